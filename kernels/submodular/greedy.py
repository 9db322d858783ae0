"""Greedy facility location over rows of distances: lazy and stochastic, exact in whole numbers.

The state is the distance of every sample to the nearest chosen one. What a candidate would gain is the sum of
what it would take off these distances; it only shrinks as samples are chosen, so an old gain is an upper
bound.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy import int64 as i64
from numpy import uint32 as u32
from numpy import uint64 as u64

from fieldloom.kernels.intrinsics import INLINE, entry
from fieldloom.kernels.philox import philox

from .pairwise import TILE
from .rows import row_of


class Found(NamedTuple):
    """What the kernels fill.

    Attributes:
        indices: int64 (k,), the chosen in order.
        gains: int64 (k,), what each gained, in steps.
        nearest: int32 (m,), distance of each sample to the nearest chosen one, in steps; at first the largest
            distance of all.
        owner: int32 (m,), which of the chosen each sample belongs to; at first -1.
    """

    indices: np.ndarray
    gains: np.ndarray
    nearest: np.ndarray
    owner: np.ndarray


@njit(**INLINE)
def _tile_gain(row, nearest):  # type: ignore[no-untyped-def]
    total = u32(0)
    for i in range(row.shape[0]):
        total = u32(total + u32(max(nearest[i] - row[i], 0)))
    return i64(total)


@entry
def _gain(row, nearest, counts):  # type: ignore[no-untyped-def]
    m, total = row.shape[0], i64(0)
    if counts.shape[0] > 0:
        for i in range(m):
            total += i64(max(nearest[i] - row[i], 0)) * counts[i]
        return total
    for start in range(0, m, TILE):
        stop = min(start + TILE, m)
        total += _tile_gain(row[start:stop], nearest[start:stop])
    return total


@entry
def _choose(row, j, order, gain, found):  # type: ignore[no-untyped-def]
    """Make j the chosen one of number `order`; a sample equally near to two belongs to the lower index."""
    indices, nearest, owner = found.indices, found.nearest, found.owner
    indices[order], found.gains[order] = j, gain
    for i in range(row.shape[0]):
        if row[i] > nearest[i]:
            continue
        if row[i] < nearest[i] or owner[i] < 0 or j < indices[owner[i]]:
            nearest[i], owner[i] = row[i], order


@njit(**INLINE)
def _before(bounds, i, j):  # type: ignore[no-untyped-def]
    return bounds[i] > bounds[j] or (bounds[i] == bounds[j] and i < j)


@entry
def _sink(heap, size, bounds):  # type: ignore[no-untyped-def]
    """Let the heap's root sink to its place: largest bound first, of equal ones the lowest index."""
    at, j = 0, heap[0]
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _before(bounds, heap[child + 1], heap[child]):
            child += 1
        if _before(bounds, j, heap[child]):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = j


@entry
def lazy(rows, counts, bounds, heap, found):  # type: ignore[no-untyped-def]
    """Lazy greedy: only candidates whose upper bound is the largest are looked at again.

    Source: Minoux, "Accelerated greedy algorithms for maximizing submodular set functions" (1978).

    Args:
        rows: `Rows` of distances.
        counts: int64 (m,), how often each sample counts; (0,): once.
        bounds: int64 (m,), what each gains while none is chosen; changed.
        heap: int64 (m,), samples by descending bound, then ascending index; changed.
        found: Takes the result.

    Returns:
        Gains that were worked out.
    """
    size, looked, order = heap.shape[0], 0, 0
    fresh = np.zeros(size, np.int32)
    while order < found.indices.shape[0]:
        j = heap[0]
        row = row_of(rows, j)
        if fresh[j] == order:
            _choose(row, j, order, bounds[j], found)
            order += 1
            size -= 1
            heap[0] = heap[size]
        else:
            bounds[j], fresh[j] = _gain(row, found.nearest, counts), order
            looked += 1
        _sink(heap, size, bounds)
    return looked


@entry
def adopt(rows, counts, given, found):  # type: ignore[no-untyped-def]
    """Take the samples `given`, int64 (k,), in this order, and work out what each gains.

    Args:
        rows: `Rows` of distances.
        counts: int64 (m,), how often each sample counts; (0,): once.
        given: int64 (k,), samples.
        found: Takes the result.
    """
    for order in range(given.shape[0]):
        row = row_of(rows, given[order])
        _choose(row, given[order], order, _gain(row, found.nearest, counts), found)


@entry
def stochastic(rows, counts, bounds, words, n_looked, found):  # type: ignore[no-untyped-def]
    """Stochastic greedy: each step takes the best of some random candidates.

    Candidates whose upper bound cannot win are drawn but not worked out, which changes no choice.

    Source: Mirzasoleiman et al., "Lazier than lazy greedy" (AAAI 2015).

    Args:
        rows: `Rows` of distances.
        counts: int64 (m,), how often each sample counts; (0,): once.
        bounds: int64 (m,), what each gains while none is chosen; changed.
        words: uint32 (5,): three counter words, two key words; the fourth counter word counts the draws.
        n_looked: Candidates a step.
        found: Takes the result.

    Returns:
        Gains that were worked out.
    """
    size, looked, draw = bounds.shape[0], 0, 0
    rest, word = np.arange(size), np.empty(4, np.uint32)
    for order in range(found.indices.shape[0]):
        best, at = i64(-1), 0
        for n in range(min(n_looked, size)):
            if draw % 4 == 0:
                block = philox(words[0], words[1], words[2], u32(draw // 4), words[3], words[4])
                word[0], word[1], word[2], word[3] = block
            other = n + i64(u64(word[draw % 4]) * u64(size - n) >> u64(32))
            draw += 1
            rest[n], rest[other] = rest[other], rest[n]
            j = rest[n]
            if best >= 0 and not _before(bounds, j, best):
                continue
            if order > 0:
                bounds[j] = _gain(row_of(rows, j), found.nearest, counts)
                looked += 1
            if best < 0 or _before(bounds, j, best):
                best, at = j, n
        _choose(row_of(rows, best), best, order, bounds[best], found)
        size -= 1
        rest[at] = rest[size]
    return looked
