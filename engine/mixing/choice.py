"""A choice among mixes, and the compilation of either into what the kernels draw from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fieldloom.errors import ArgumentError
from fieldloom.kernels.philox import slot_of
from fieldloom.kernels.stages import mixing as kernel
from fieldloom.options import choice, is_number, is_whole

from .mixes import CutMix, FMix, MaskMix, MixUp, ResizeMix, mask_table

_ONE = (MixUp, CutMix, FMix, ResizeMix, MaskMix)


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of several mixes for each sample, by chance or in turn.

    Args:
        mixes: Instances of `MixUp`, `CutMix`, `FMix`, `ResizeMix`, `MaskMix`.
        p: Probability of each, 1 in sum; None: alike. (The probability that a chosen mix acts is its own p.)
        alternate: Take them in turn instead, the same for all samples: "epochs" by the number of the epoch,
            "groups" by the number of the group of `DataLoader(mix_group=)` positions in the epoch's plan
            (where batches cut groups apart, each piece counts).
        every: Alternating: for how many epochs (or groups) in a row each acts; None: one each.

    Labels: those of the mix that acted, which `batch.mix.kinds` counts from 1.
    Launches: one more, `finish`, whatever is chosen; two with FMix.
    Source: timm's switch between MixUp and CutMix; FMix's alternation (arXiv 2002.12047), by steps there.
    Exactness: a mix does for a sample what it would do alone.
    """

    mixes: Sequence[MixUp | CutMix | FMix | ResizeMix | MaskMix]
    p: Sequence[float] | None = None
    alternate: str | None = None
    every: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.mixes, (list, tuple)) or not self.mixes:
            raise ArgumentError.make(
                f"OneOf mixes={self.mixes!r}", why="not a list of mixes", remedy="Pass [MixUp(), CutMix()]."
            )
        for i, mix in enumerate(self.mixes):
            if not isinstance(mix, _ONE):
                hint = " (a class: add parentheses)" if isinstance(mix, type) else ""
                raise ArgumentError.make(
                    f"OneOf mixes[{i}]={mix!r}{hint}",
                    why="not a mix",
                    remedy=f"Pass instances of {', '.join(c.__name__ for c in _ONE)}.",
                )
        decays = sorted({mix.decay for mix in self.mixes if isinstance(mix, FMix)})
        if len(decays) > 1:
            raise ArgumentError.make(
                f"OneOf mixes with FMix decay={decays[0]:g} and {decays[1]:g}",
                why="one recipe holds the tables of one spectrum",
                remedy="Give all FMix the same decay.",
            )
        object.__setattr__(self, "mixes", tuple(self.mixes))
        if self.p is not None:
            object.__setattr__(self, "p", _probabilities(self.p, len(self.mixes)))
        if self.alternate is not None:
            choice(self, "alternate", self.alternate, ("epochs", "groups"))
        if self.every is not None:
            object.__setattr__(self, "every", _turns(self.every, len(self.mixes)))
        if (self.p is not None and self.alternate is not None) or (
            self.every is not None and self.alternate is None
        ):
            raise ArgumentError.make(
                f"OneOf p={self.p!r}, alternate={self.alternate!r}, every={self.every!r}",
                why="a choice is by chance (p) or in turn (alternate, every)",
                remedy="Leave the other's options out.",
            )


def _probabilities(p: object, n: int) -> tuple[float, ...]:
    good = isinstance(p, (list, tuple)) and len(p) == n and all(is_number(v) and 0 <= v <= 1 for v in p)
    if not good or abs(sum(p) - 1) > 1e-6:  # type: ignore[call-overload]
        raise ArgumentError.make(
            f"OneOf p={p!r}",
            why=f"not {n} probabilities that sum to 1",
            remedy="Pass one for each mix; a mix's own p says how often it acts.",
        )
    return tuple(map(float, p))  # type: ignore[arg-type, call-overload]


def _turns(every: object, n: int) -> tuple[int, ...]:
    good = isinstance(every, (list, tuple)) and len(every) == n
    if not good or not all(is_whole(v) and v >= 1 for v in every):  # type: ignore[attr-defined]
        raise ArgumentError.make(
            f"OneOf every={every!r}",
            why=f"not {n} whole numbers from 1 on",
            remedy="Pass one for each mix.",
        )
    return tuple(map(int, every))  # type: ignore[call-overload]


#: Whatever a recipe may list as a mix.
Mix = MixUp | CutMix | FMix | ResizeMix | MaskMix | OneOf
MIXES: tuple[type, ...] = (*_ONE, OneOf)


def compile_mixing(
    item: Mix, position: int, epochs: int | None, height: int, width: int, group: int = 8
) -> kernel.Mixing:
    """What the kernels draw from.

    Args:
        item: A mix, or a choice among some.
        position: Its place in the recipe, which numbers its random slots.
        epochs: Planned epochs, for mixes that stop after a fraction of them.
        height: Output height; `width` its width.
        width: See `height`.
        group: Consecutive positions of the plan among which partners are found.

    Raises:
        ArgumentError: A mix stops at a fraction of an unknown number of epochs.
    """
    mixes = item.mixes if isinstance(item, OneOf) else (item,)
    compiled = tuple(_compile(mix, position, epochs, height, width) for mix in mixes)
    weights, turns = (1 / len(mixes),) * len(mixes), (1,) * len(mixes)
    alternate = None
    if isinstance(item, OneOf):
        weights = weights if item.p is None else tuple(item.p)
        turns = turns if item.every is None else tuple(item.every)
        alternate = item.alternate
    return kernel.Mixing(
        compiled, weights, alternate, turns, slot_of(position, "mix_choice"), group  # type: ignore[arg-type]
    )  # fmt: skip


def _compile(
    mix: MixUp | CutMix | FMix | ResizeMix | MaskMix,
    position: int,
    epochs: int | None,
    height: int,
    width: int,
) -> kernel.Mix:
    rule: dict = {
        "p": mix.p,
        "partner": mix.partner,
        "labels": mix.labels,
        "stop_epoch": _stop_epoch(mix, epochs),
        "slot": slot_of(position, "mix"),
        "partner_slot": slot_of(position, "partner"),
        "mask_slot": slot_of(position, "mask"),
    }
    match mix:
        case MixUp():
            return kernel.MixUp(mix.alpha, **rule)
        case CutMix():
            return kernel.CutMix(mix.alpha, mix.minmax, **rule)
        case FMix():
            return kernel.FMix(mix.alpha, mix.decay, mix.max_soft, mix.reformulate, **rule)
        case ResizeMix():
            return kernel.ResizeMix(*mix.scale, mix.antialias, **rule)
        case MaskMix():
            table, shares = mask_table(mix, height, width)
            return kernel.UserMasks(table, shares, **rule)


def _stop_epoch(mix: MixUp | CutMix | FMix | ResizeMix | MaskMix, epochs: int | None) -> int | None:
    if mix.stop_at is None:
        return None
    if epochs is None:
        raise ArgumentError.make(
            f"{type(mix).__name__} stop_at={mix.stop_at:g}",
            why="a fraction of training, whose length is not known here",
            remedy="Pass DataLoader(epochs=...), the number of epochs that you will train.",
        )
    return math.ceil(mix.stop_at * epochs - 1e-9)
