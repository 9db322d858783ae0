"""Draws `PerSample` items: each sample's own probabilities and levels.

Blocks of random words: draw 0 the gate of the whole item; 1 + i jitter and side of step i; 32 + i center
of step i; 64 on, one word an operation.
"""

import math

import numpy as np

from fieldloom.errors import ArgumentError
from fieldloom.kernels.keys import Keys

from .policies import PerSample
from .policy_values import Columns, Drawn, unit, whole_centers
from .variates import exponentials


def draw_samples(
    item: PerSample, columns: Columns, keys: Keys, strength: np.ndarray | None, view: int
) -> Drawn:
    """Operations (n, k) of a batch; `strength` is float64 (n, 1) or None.

    Raises:
        ArgumentError: An id has no row.
    """
    n, ids = len(keys), np.asarray(keys.ids, np.int64)
    probabilities, levels = own_rows(item.probabilities, ids), own_rows(item.levels, ids)
    chosen = without_replacement(probabilities, item.k, keys, item.slot, view)
    possible = np.take_along_axis(probabilities, chosen, 1) > 0
    words = np.stack([keys.words(item.slot, 1 + step, view) for step in range(item.k)], 1)
    level = np.take_along_axis(levels, chosen, 1).astype(np.float64)
    if item.jitter:
        level = np.clip(level + item.jitter * (2 * unit(words[:, :, 0]).astype(np.float64) - 1), 0, 1)
    gate = unit(keys.words(item.slot, 0, view)[:, :1]) < share_of(item, keys.epoch)
    # Each step's own gate matters only where strength makes operations without a magnitude rarer.
    on = possible & gate & (unit(words[:, :, 2]) < columns.gates(chosen, 1.0, strength))
    centers = None
    if columns.has_cutout and n:
        places = [keys.words(item.slot, 32 + step, view) for step in range(item.k)]
        centers = whole_centers(np.stack(places, 1), columns)
    values = columns.values(chosen, level, words[:, :, 1] >> np.uint32(31) == 1, strength)
    return columns.draw(chosen, values, on, centers)


def own_rows(table: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The rows of some samples; a table of one row is everybody's."""
    if len(table) == 1:
        return np.broadcast_to(table, (len(ids), table.shape[1]))
    if len(ids) and ids.max() >= len(table):
        raise ArgumentError.make(
            f"SamplePolicy for sample {ids.max()}",
            why=f"its arrays have {len(table)} rows",
            remedy="Give it one row for each sample of the data set, or one row for all.",
        )
    return table[ids]


def without_replacement(probabilities: np.ndarray, k: int, keys: Keys, slot: int, view: int) -> np.ndarray:
    """k different columns for each row, drawn one after the other by weight: int64 (n, k), in that order.

    A race: column j arrives after an exponential time of rate p_j, and the order of arrival has the law of
    drawing without replacement. Columns of probability 0 arrive last (never, but k must be filled).

    Source: Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (IPL 97, 2006).
    """
    columns = probabilities.shape[1]
    blocks = [keys.words(slot, 64 + block, view) for block in range(-(-columns // 4))]
    times = exponentials(np.concatenate(blocks, 1)[:, :columns])
    with np.errstate(divide="ignore"):
        arrival = times.astype(np.float64) / probabilities
    return np.argsort(arrival, axis=1, kind="stable")[:, :k]


def share_of(item: PerSample, epoch: int) -> float:
    """Share of the samples that the item acts on in an epoch, to 2^-20 (no math library has a say below)."""
    if not item.tau:
        return item.fraction
    return min(math.floor((math.tanh(epoch / item.tau) + 0.01) * 2**20 + 0.5) / 2**20, item.fraction)
