"""Mixing as plain data: which samples a recipe mixes, how, and what their labels become.

Per sample: a mix is chosen, its gate is drawn (probability p times the sample's strength), a partner is
found within the sample's group, the mix draws its parameters, and the label rule its weights.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

#: Masks and mask tables begin at multiples of this.
TABLE_ALIGNMENT = 16
#: FINISH.masks before it is placed: USER_TABLE + offset into `Mixing.table`, or 1 + offset into the buffer of
#: FMix masks.
USER_TABLE = np.uint64(1 << 63)

PartnerRule = Literal["random", "same_class", "other_class", "reversed"]
#: "same": labels get the shares of the pixels; "sampled": the lam that was drawn, before it became whole
#: pixels; "independent": shares drawn a second time; a number: the sample's own label has this weight.
LabelRule = Literal["same", "sampled", "independent"] | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What all mixes have.

    Attributes:
        p: Probability that a sample is mixed.
        partner: Who its partner is, among the other members of its group.
        labels: How its label is weighted.
        stop_epoch: No mixing from this epoch on; None: never stops.
        slot: Random slot of the mix's own draws; draw 0 is the gate, later ones the parameters.
        partner_slot: Random slot of the choice of partners.
        mask_slot: Random slot of an FMix mask.
    """

    p: float = 1.0
    partner: PartnerRule = "random"
    labels: LabelRule = "same"
    stop_epoch: int | None = None
    slot: int = 0
    partner_slot: int = 0
    mask_slot: int = 0


@dataclass(frozen=True, slots=True)
class MixUp(Rule):
    """x = lam a + (1 - lam) b with lam ~ Beta(alpha, alpha)."""

    alpha: float


@dataclass(frozen=True, slots=True)
class CutMix(Rule):
    """A box of the partner; its area is 1 - lam, lam ~ Beta(alpha, alpha), or its sides U(minmax)."""

    alpha: float
    minmax: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class FMix(Rule):
    """A mask from low-frequency noise; its own share is lam ~ Beta(alpha, alpha).

    decay: Exponent of the spectrum. max_soft: Half width of the soft edge, as a share of the pixels.
    reformulate: lam ~ Beta(alpha + 1, alpha), and the label is the sample's own alone.
    """

    alpha: float
    decay: float
    max_soft: float
    reformulate: bool = False


@dataclass(frozen=True, slots=True)
class ResizeMix(Rule):
    """The whole partner, shrunk to U(low, high) of each side, pasted at a random place."""

    low: float
    high: float
    antialias: bool


@dataclass(frozen=True, slots=True, eq=False)
class UserMasks(Rule):
    """One of the user's mask sets, drawn for each sample.

    table: uint8 (k, ways - 1, h, w): 255 times each partner's weight.
    shares: float64 (k, ways): pixel shares of each set, the sample's own first; rows sum to 1.
    """

    table: np.ndarray
    shares: np.ndarray


Mix = MixUp | CutMix | FMix | ResizeMix | UserMasks


@dataclass(frozen=True, slots=True)
class Mixing:
    """The choice among a recipe's mixes.

    Attributes:
        items: The mixes; `Mixture.kinds` counts them from 1.
        weights: Probability of each; they sum to 1. Unused where the choice alternates.
        alternate: How the choice is made: None by each sample's own draw; "epochs" by the epoch; "groups"
            by the number of the sample's group in the plan.
        every: Alternating: for how many epochs (groups) each item acts in turn.
        slot: Random slot of the draw among `items`.
        group: Consecutive positions of the plan among which partners are found.
    """

    items: tuple[Mix, ...]
    weights: tuple[float, ...]
    alternate: Literal["epochs", "groups"] | None = None
    every: tuple[int, ...] = ()
    slot: int = 0
    group: int = 8

    @property
    def ways(self) -> int:
        """Most images that one output may hold."""
        return max((m.table.shape[1] + 1 if isinstance(m, UserMasks) else 2 for m in self.items), default=2)

    @property
    def decay(self) -> float | None:
        """Exponent of the FMix masks, the same for all; None without FMix."""
        return next((m.decay for m in self.items if isinstance(m, FMix)), None)

    def table(self) -> np.ndarray:
        """The users' mask tables behind each other: uint8, each from a multiple of TABLE_ALIGNMENT on.

        Upload it once; `place_masks` wants its address.
        """
        tables = [m.table.reshape(-1) for m in self.items if isinstance(m, UserMasks)]
        out = np.zeros(sum(_aligned(t.size) for t in tables), np.uint8)
        start = 0
        for table in tables:
            out[start : start + table.size] = table
            start += _aligned(table.size)
        return out

    def table_starts(self) -> tuple[int, ...]:
        """Where each item's table begins within `table`; items without one count nothing."""
        starts, start = [], 0
        for m in self.items:
            starts.append(start)
            start += _aligned(m.table.size) if isinstance(m, UserMasks) else 0
        return tuple(starts)


def mask_stride(height: int, width: int) -> int:
    """Bytes from one FMix mask to the next within their buffer."""
    return _aligned(height * width)


def place_masks(finish: np.ndarray, masks: np.ndarray, buffer: int, table: int) -> None:
    """Turn the masks' places, as `draw_mixing` numbers them, into addresses.

    Args:
        finish: FINISH (n,); `masks` becomes an address where it is not 0.
        masks: MASK (k,); `out` becomes an address.
        buffer: Address of k masks of `mask_stride` bytes, a multiple of TABLE_ALIGNMENT.
        table: Address of `Mixing.table`, likewise; any number where no mix has one.
    """
    masks["out"] += np.uint64(buffer - 1)
    at = finish["masks"]
    of_user = at >= USER_TABLE
    address = np.where(of_user, at - USER_TABLE + np.uint64(table), at + np.uint64(buffer - 1))
    finish["masks"] = np.where(at > 0, address, 0)


def _aligned(n_bytes: int) -> int:
    return -(-n_bytes // TABLE_ALIGNMENT) * TABLE_ALIGNMENT
