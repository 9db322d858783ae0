"""Draws the programs of a batch from the items of a recipe: which operations each sample gets.

Blocks of random words, by item, within its slot (`Keys.words(slot, draw)`):

    Pick       draw 4 i: range, level, gate, side of step i; 4 i + 1: center; 4 i + 2: noise
    Pairs      draw 0: which pair, sides (bits 0 and 1), gate of the first, of the second; 1, 2: centers
    Chains     see `augmix_draws`
    PerSample  see `sample_draws`

Where every magnitude is one of few, whole steps are made once for an image size, and drawn numbers only
choose among them; the general way gives the same records (tests/test_policy_draws.py).
"""

from dataclasses import dataclass

import numpy as np

from fieldloom.errors import ArgumentError
from fieldloom.kernels.keys import Keys
from fieldloom.kernels.philox import slot_of

from .augmix_draws import chain_steps, n_chain_steps
from .policies import Chains, Item, Pairs, PerSample, Pick
from .policy_values import Columns, Drawn, index_below, unit, whole_centers
from .records import IDENTITY, STEP
from .sample_draws import draw_samples
from .variates import normals


def n_steps(items: tuple[Item, ...]) -> int:
    """Steps of each sample's program.

    Raises:
        ArgumentError: AugMix stands behind another policy.
    """
    total = 0
    for position, item in enumerate(items):
        match item:
            case Pick():
                total += item.n
            case Pairs():
                total += 2
            case PerSample():
                total += item.k
            case Chains():
                if position:
                    raise ArgumentError.make(
                        "AugMix behind another policy",
                        why="its chains begin with the image that the first policy gets",
                        remedy="Put AugMix before all other policies, and use one only.",
                    )
                total += n_chain_steps(item)
    return total


def draw_program(
    items: tuple[Item, ...],
    keys: Keys,
    height: int,
    width: int,
    strength: np.ndarray | None = None,
    view: int = 0,
) -> np.ndarray:
    """The programs of a batch of n samples.

    Args:
        items: The policies, in order.
        keys: The samples' keys; `keys.strength` is not looked at.
        height: Image height in pixels; `width` its width.
        width: See `height`.
        strength: float32 (n,) >= 0: multiplies each magnitude's distance from the neutral one, and (up to
            1) the probability of operations without a magnitude. 0 leaves images as they are, None is 1.
        view: Which view of the samples.

    Returns:
        STEP (n, n_steps(items)): the items' steps side by side.

    Raises:
        ArgumentError: AugMix stands behind another policy, or an id has no row in a `PerSample`.
    """
    out = np.zeros((len(keys), n_steps(items)), STEP)
    if strength is not None and (strength == 1).all():
        strength = None
    at = 0
    for item in items:
        tables = _tables(item, height, width)
        if isinstance(item, Chains):
            steps = chain_steps(item, tables.columns, keys, strength, view)
        elif strength is None and tables.steps is not None:
            steps = _chosen_steps(item, tables, keys, view)
        else:
            drawn = draw_operations(item, keys, height, width, strength, view)
            steps = _steps_of(item, tables.columns, drawn)
        out[:, at : at + steps.shape[1]] = steps
        at += steps.shape[1]
    return out


def draw_operations(
    item: Pick | Pairs | PerSample,
    keys: Keys,
    height: int,
    width: int,
    strength: np.ndarray | None = None,
    view: int = 0,
) -> Drawn:
    """Operations and magnitudes of a batch, by the general way; arguments as for `draw_program`."""
    columns = _tables(item, height, width).columns
    column = None if strength is None else strength.astype(np.float64)[:, None]
    match item:
        case Pick():
            return _draw_pick(item, columns, keys, column, view)
        case Pairs():
            return _draw_pairs(item, columns, keys, column, view)
        case PerSample():
            return draw_samples(item, columns, keys, column, view)


@dataclass(slots=True)
class _Tables:
    """What an item means for one image size.

    Attributes:
        columns: Its ranges.
        steps: STEP (ranges * bins * 2 + 1,): each range's step at each level to each side, then the step
            that does nothing; None where there is no such table.
        p: Probability of each entry of `Pairs`.
    """

    columns: Columns
    steps: np.ndarray | None
    p: np.ndarray | None = None


def _steps_of(item: Item, columns: Columns, drawn: Drawn) -> np.ndarray:
    noise_slot = slot_of(item.slot >> 8, "noise")
    return columns.steps(drawn, fill=item.fill, bilinear=item.bilinear, noise_slot=noise_slot)


def _make_tables(item: Item, height: int, width: int) -> _Tables:
    if isinstance(item, Pairs):
        entries = [entry for pair in item.table for entry in pair]
        columns = Columns(tuple(entry.range for entry in entries), height, width)
        levels = np.array([[entry.level] for entry in entries])
        p = np.array([entry.p for entry in entries])
        return _Tables(columns, _step_table(item, columns, levels), p)
    columns = Columns(item.ranges, height, width)
    if isinstance(item, Pick) and item.bins and not item.noise:
        levels = np.broadcast_to(_bin_levels(item), (len(item.ranges), item.bins))
        return _Tables(columns, _step_table(item, columns, levels))
    return _Tables(columns, None)


def _bin_levels(item: Pick) -> np.ndarray:
    low, high = item.level
    return low + (high - low) * np.arange(item.bins) / max(item.bins - 1, 1)


def _step_table(item: Item, columns: Columns, levels: np.ndarray) -> np.ndarray | None:
    if columns.has_cutout:  # its place is drawn too
        return None
    shape = (*levels.shape, 2)
    rows = np.broadcast_to(np.arange(len(levels))[:, None, None], shape)
    values = columns.values(rows, levels[:, :, None], np.broadcast_to([False, True], shape))
    drawn = columns.draw(rows.reshape(-1, 2), values.reshape(-1, 2), np.ones((1, 1), bool), None)
    table = np.zeros(rows.size + 1, STEP)
    table[:-1] = _steps_of(item, columns, drawn).ravel()
    table["op"][-1] = IDENTITY
    return table


#: Tables of the items in use. By identity: hashing all ranges of an item costs more than a draw.
_KNOWN: dict[tuple[int, int, int], tuple[object, _Tables]] = {}
_KEPT = 64


def _tables(item: Item, height: int, width: int) -> _Tables:
    # What is kept holds its key, so that its id is not given away; of `PerSample`, not the user's arrays.
    anchor = item.ranges if isinstance(item, PerSample) else item
    key = (id(anchor), height, width)
    known = _KNOWN.get(key)
    if known is not None and known[0] is anchor:
        return known[1]
    tables = _make_tables(item, height, width)
    if len(_KNOWN) >= _KEPT:
        _KNOWN.clear()
    _KNOWN[key] = (anchor, tables)
    return tables


def _chosen_steps(item: Item, tables: _Tables, keys: Keys, view: int) -> np.ndarray:
    """Steps out of the item's table."""
    table: np.ndarray = tables.steps  # type: ignore[assignment]
    if isinstance(item, Pairs):
        rows, negative, gate = _pair_words(item, keys, view)
        on = gate < tables.p[rows]  # type: ignore[index]
        return table[np.where(on, 2 * rows + negative, -1)]
    assert isinstance(item, Pick)
    index = np.empty((len(keys), item.n), np.int64)
    for step in range(item.n):
        words = keys.words(item.slot, 4 * step, view)
        row = index_below(words[:, 0], len(item.ranges))
        chosen = row * item.bins + index_below(words[:, 1], item.bins) if item.bins > 1 else row
        chosen = 2 * chosen + (words[:, 3] >> np.uint32(31))
        index[:, step] = (
            chosen if item.p == 1 else np.where(unit(words[:, 2]) < np.float64(item.p), chosen, -1)
        )
    return table[index]


def _draw_pick(item: Pick, columns: Columns, keys: Keys, strength: np.ndarray | None, view: int) -> Drawn:
    words = np.stack([keys.words(item.slot, 4 * step, view) for step in range(item.n)], 1)
    rows = index_below(words[:, :, 0], len(item.ranges))
    low, high = item.level
    if item.bins:
        levels = _bin_levels(item)[index_below(words[:, :, 1], item.bins)]
    else:
        levels = low + (high - low) * unit(words[:, :, 1]).astype(np.float64)
    if item.noise:
        more = np.stack([keys.words(item.slot, 4 * step + 2, view) for step in range(item.n)], 1)
        noisy = levels + item.noise * normals(more[:, :, 0], more[:, :, 1]).astype(np.float64)
        levels = np.clip(noisy, 0, item.top)
    centers = None
    if columns.has_cutout:
        places = [keys.words(item.slot, 4 * step + 1, view) for step in range(item.n)]
        centers = whole_centers(np.stack(places, 1), columns)
    values = columns.values(rows, levels, words[:, :, 3] >> np.uint32(31) == 1, strength)
    on = unit(words[:, :, 2]) < columns.gates(rows, item.p, strength)
    return columns.draw(rows, values, on, centers)


def _pair_words(item: Pairs, keys: Keys, view: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Entries, sides and gates of a batch: int64, bool and float32 (n, 2)."""
    words = keys.words(item.slot, 0, view)
    rows = 2 * index_below(words[:, :1], len(item.table)) + np.arange(2)
    negative = (words[:, 1:2] >> np.arange(2, dtype=np.uint32) & np.uint32(1)) == 1
    return rows, negative, unit(words[:, 2:])


def _draw_pairs(item: Pairs, columns: Columns, keys: Keys, strength: np.ndarray | None, view: int) -> Drawn:
    rows, negative, gate = _pair_words(item, keys, view)
    entries = [entry for pair in item.table for entry in pair]
    levels = np.array([entry.level for entry in entries])[rows]
    p = np.array([entry.p for entry in entries])[rows]
    centers = None
    if columns.has_cutout:
        places = [keys.words(item.slot, 1 + step, view) for step in range(2)]
        centers = whole_centers(np.stack(places, 1), columns)
    values = columns.values(rows, levels, negative, strength)
    return columns.draw(rows, values, gate < columns.gates(rows, p, strength), centers)
