"""Draws how the samples of a batch are mixed: partners, parameters, masks to be made, label weights."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import float32 as f32

from .beta import beta
from .mixing import USER_TABLE, CutMix, FMix, Mix, Mixing, MixUp, ResizeMix, UserMasks, mask_stride
from .partners import find_partners
from .policy_values import index_below
from .records import BLEND, BOX, FINISH, MASK, MASK_PLANES, PASTE
from .staged import Groups, Mixture

if TYPE_CHECKING:
    from fieldloom.kernels.keys import Keys

# Draws of a mix's slot: its gate, then its law, then the law again for labels of their own.
_GATE, _LAW, _AGAIN = 0, 1, 33


@dataclass(slots=True)
class _Drawn:
    """What a mix drew for its m samples.

    Attributes:
        pixels: float64 (m, ways): shares of the pixels, the sample's own first.
        sampled: float64 (m,): own share as drawn, before it became whole pixels.
        fields: Values of FINISH fields.
        masks: Own pixels and soft half width of the masks to be made, int64 (m,) each.
    """

    pixels: np.ndarray
    sampled: np.ndarray
    fields: dict[str, Any]
    masks: tuple[np.ndarray, np.ndarray] | None = None


def draw_mixing(
    mixing: Mixing,
    keys: "Keys",
    groups: Groups,
    height: int,
    width: int,
    strength: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, Mixture]:
    """Draw how a batch is mixed.

    Args:
        mixing: What the recipe mixes.
        keys: Keys of n samples.
        groups: Where their partners are found.
        height: Output height; `width` its width.
        width: See `height`.
        strength: float32 (n,) >= 0, multiplies the probability of being mixed; None is 1 for all.

    Returns:
        FINISH (n,), MASK (k,) and the mixture. Nothing is erased. Masks are numbered as `place_masks` wants
        them: MASK.out is 1 + its offset in a buffer of k masks of `mask_stride` bytes, FINISH.masks the same,
        or USER_TABLE + the offset in `Mixing.table`.

    A sample's draws depend on its own key; its partner on the group's members and their plan positions.
    """
    n = len(keys)
    finish = np.zeros(n, FINISH)
    finish["ways"] = 1
    finish["partner"] = np.arange(n)[:, None]
    places = np.repeat(np.arange(n, dtype=np.int64)[:, None], mixing.ways, 1)
    weights, pixels = np.zeros((n, mixing.ways), np.float32), np.zeros((n, mixing.ways), np.float32)
    weights[:, 0] = pixels[:, 0] = 1
    mixture = Mixture(places, weights, pixels, np.zeros(n, np.uint8))
    choice = _choose(mixing, keys, groups)
    gates = {slot: keys.units(slot, _GATE)[:, 0] for slot in {m.slot for m in mixing.items}}
    words = {slot: keys.words(slot) for slot in {m.partner_slot for m in mixing.items}}
    masks: list[np.ndarray] = []
    n_masks = 0
    for number, (item, start) in enumerate(zip(mixing.items, mixing.table_starts(), strict=True)):
        rows = np.flatnonzero(choice == number)
        if item.stop_epoch is not None and keys.epoch >= item.stop_epoch:
            continue
        p = f32(item.p) if strength is None else f32(item.p) * np.asarray(strength, np.float32)[rows]
        rows = rows[gates[item.slot][rows] < p]
        if len(rows):
            n_ways = item.table.shape[1] + 1 if isinstance(item, UserMasks) else 2
            partners = find_partners(groups, rows, words[item.partner_slot][rows], item.partner, n_ways)
            found = partners[:, 0] >= 0
            rows, partners = rows[found], partners[found]
        if not len(rows):
            continue
        own = type(keys)(keys.seed, keys.epoch, keys.ids[rows], keys.occurrences[rows])
        drawn = _draw(item, own, height, width, _LAW)
        ways = drawn.pixels.shape[1]
        for name, values in drawn.fields.items():
            finish[name][rows] = values
        finish["ways"][rows] = ways
        finish["partner"][rows, : ways - 1] = partners
        if drawn.masks is not None:
            made = np.zeros(len(rows), MASK)
            made["sample"], made["slot"] = rows, item.mask_slot
            made["count"], made["soft"] = drawn.masks
            made["out"] = 1 + mask_stride(height, width) * (n_masks + np.arange(len(rows)))
            finish["masks"][rows] = made["out"]
            masks.append(made)
            n_masks += len(rows)
        elif isinstance(item, UserMasks):
            finish["masks"][rows] += USER_TABLE + np.uint64(start)
        _record(mixture, number + 1, rows, partners, drawn.pixels, _labels(item, drawn, own, height, width))
    return finish, np.concatenate(masks) if masks else np.zeros(0, MASK), mixture


def _choose(mixing: Mixing, keys: "Keys", groups: Groups) -> np.ndarray:
    """Which of the items each sample may get, int64 (n,)."""
    n = len(keys)
    if len(mixing.items) == 1:
        return np.zeros(n, np.int64)
    if mixing.alternate is None:
        ends = np.cumsum(np.asarray(mixing.weights, np.float64)).astype(np.float32)
        ends[-1] = 1
        return np.searchsorted(ends, keys.units(mixing.slot)[:, 0], side="right")
    ends = np.cumsum(mixing.every)
    turn = keys.epoch if mixing.alternate == "epochs" else np.asarray(groups.positions) // groups.size
    return np.broadcast_to(np.searchsorted(ends, turn % ends[-1], side="right"), n)


def _draw(item: Mix, keys: "Keys", height: int, width: int, first: int) -> _Drawn:
    """Draw a mix's own parameters from block `first` of its slot on."""
    match item:
        case MixUp():
            own = beta(item.alpha, item.alpha, keys, item.slot, first + 1).astype(np.float64)
            weight = (1 - own).astype(np.float32)
            return _Drawn(_two(own), own, {"mode": BLEND, "weight": weight})
        case CutMix():
            return _draw_box(item, keys, height, width, first)
        case ResizeMix():
            return _draw_paste(item, keys, height, width, first)
        case FMix():
            return _draw_mask(item, keys, height, width, first)
        case UserMasks():
            sets, ways = item.shares.shape
            index = index_below(keys.words(item.slot, first)[:, 0], sets)
            offset = (index * ((ways - 1) * height * width)).astype(np.uint64)
            return _Drawn(item.shares[index], item.shares[index, 0], {"mode": MASK_PLANES, "masks": offset})


def _draw_box(item: CutMix, keys: "Keys", height: int, width: int, first: int) -> _Drawn:
    words = keys.words(item.slot, first)
    size = np.array([height, width])
    if item.minmax is None:
        own = beta(item.alpha, item.alpha, keys, item.slot, first + 1).astype(np.float64)
        sides = np.floor(np.sqrt(1 - own)[:, None] * size).astype(np.int64)
        start = index_below(words[:, 2:], size) - sides // 2
        low, high = np.maximum(start, 0), np.minimum(start + sides, size)
        return _boxed(BOX, low, high, own, height, width)
    least, most = (np.floor(share * size).astype(np.int64) for share in item.minmax)
    sides = least + index_below(words[:, :2], most - least + 1)
    low = index_below(words[:, 2:], size - sides + 1)
    return _boxed(BOX, low, low + sides, None, height, width)


def _draw_paste(item: ResizeMix, keys: "Keys", height: int, width: int, first: int) -> _Drawn:
    words = keys.words(item.slot, first)
    size = np.array([height, width])
    unit = keys.units(item.slot, first)[:, 0].astype(np.float64)
    zoom = item.low + (item.high - item.low) * unit
    sides = np.floor(zoom[:, None] * size).astype(np.int64)
    low = np.minimum(np.maximum(index_below(words[:, 2:], size) - sides // 2, 0), size - sides)
    drawn = _boxed(PASTE, low, low + sides, 1 - zoom**2, height, width)
    drawn.fields["antialias"] = int(item.antialias)
    return drawn


def _boxed(
    mode: int, low: np.ndarray, high: np.ndarray, sampled: np.ndarray | None, height: int, width: int
) -> _Drawn:
    """A partner that shows in a box: shares are exact areas."""
    own = 1 - ((high[:, 0] - low[:, 0]) * (high[:, 1] - low[:, 1])) / (height * width)
    return _Drawn(
        _two(own), own if sampled is None else sampled, {"mode": mode, "box": np.concatenate([low, high], 1)}
    )


def _draw_mask(item: FMix, keys: "Keys", height: int, width: int, first: int) -> _Drawn:
    area = height * width
    own = beta(item.alpha + item.reformulate, item.alpha, keys, item.slot, first + 1).astype(np.float64)
    up = keys.words(item.slot, first)[:, 0] >> np.uint32(31)
    exact = own * area
    count = np.where(up, np.ceil(exact), np.floor(exact)).astype(np.int64)
    least = np.minimum(own, 1 - own)
    soft = (area * np.minimum(item.max_soft, least)).astype(np.int64)
    soft = np.minimum(soft, np.minimum(count, area - count))
    return _Drawn(_two(count / area), own, {"mode": MASK_PLANES}, (count, soft))


def _labels(item: Mix, drawn: _Drawn, keys: "Keys", height: int, width: int) -> np.ndarray:
    """Label weights by the item's rule, float64 (m, ways)."""
    if isinstance(item, FMix) and item.reformulate:
        return _with_own(drawn.pixels, np.ones(len(keys)))
    match item.labels:
        case "same":
            return drawn.pixels
        case "sampled":
            return _with_own(drawn.pixels, drawn.sampled)
        case "independent":
            return _draw(item, keys, height, width, _AGAIN).pixels
        case _:
            return _with_own(drawn.pixels, np.full(len(keys), float(item.labels)))


def _with_own(pixels: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The same shares among the partners, with another one for the sample itself."""
    others = pixels[:, 1:]
    total = others.sum(1, keepdims=True)
    split = np.where(total > 0, others / np.where(total > 0, total, 1), 1 / others.shape[1])
    return np.concatenate([own[:, None], (1 - own)[:, None] * split], 1)


def _record(
    mixture: Mixture,
    kind: int,
    rows: np.ndarray,
    partners: np.ndarray,
    pixels: np.ndarray,
    labels: np.ndarray,
) -> None:
    ways = pixels.shape[1]
    mixture.kinds[rows] = kind
    for target, values in ((mixture.pixels, pixels), (mixture.weights, labels)):
        others = values[:, 1:].astype(np.float32)
        target[rows, 1:ways] = others
        target[rows, 0] = f32(1) - (others[:, 0] if ways == 2 else others.sum(1))
        if values is labels is pixels:  # the usual rule: the same numbers again
            mixture.weights[rows] = target[rows]
            break
    shown = pixels[:, 1:] > 0
    if labels is not pixels:
        shown |= labels[:, 1:] > 0
    mixture.places[rows, 1:ways] = np.where(shown, partners, rows[:, None])


def _two(own: np.ndarray) -> np.ndarray:
    out = np.empty((len(own), 2))
    out[:, 0], out[:, 1] = own, 1 - own
    return out
