"""Masks by rank: exactly `count` pixels of a field become the sample's own, CPU twin.

A pixel's *level* is a whole number 0..65535, linear in the field. The `count` pixels of the highest levels
are the sample's own; pixels of one level go by column, then by row (so that on a GPU, where a thread has
columns, they need no order among threads). False position finds the level from exact counts: here over a
plane of all pixels' levels, in the CUDA twin by the same steps without a plane.
"""

import numpy as np
from numba import njit
from numpy import float32 as f32
from numpy import int32 as i32
from numpy import uint8 as u8
from numpy import uint16 as u16

from fieldloom.kernels.intrinsics import INLINE, KERNEL, fma

#: Levels of a pixel.
LEVELS = 1 << 16
#: Bins of a soft edge at most.
BINS = 1024
#: Steps of false position before bisection takes over; seven are usual.
_STEPS = 24
#: Pixels counted at once: their number fits 16 bits.
_CHUNK = 4096


@njit(**INLINE)
def _count_chunk(levels, level):  # type: ignore[no-untyped-def]
    n = u16(0)
    for i in range(levels.shape[0]):
        n = u16(n + u16(levels[i] >= level))
    return n


@njit(**KERNEL)
def count_from(levels, level):  # type: ignore[no-untyped-def]
    """Pixels of at least this level (1..65535)."""
    n = 0
    for start in range(0, levels.size, _CHUNK):
        n += i32(_count_chunk(levels[start : start + _CHUNK], u16(level)))  # type: ignore[assignment]
    return n


@njit(**KERNEL)
def find_level(levels, target):  # type: ignore[no-untyped-def]
    """A level from which on there are `target` pixels, and that number.

    Where ties leave none: the highest level from which on there are more.
    """
    if target <= 0:
        return LEVELS, 0
    if target >= levels.size:
        return 0, levels.size
    low, high, n_low = 0, LEVELS, levels.size
    surplus, deficit, last = f32(n_low - target), f32(target), 0
    steps = 0
    while high - low > 1:
        middle = (low + high) // 2
        if steps < _STEPS:
            middle = low + int(f32(high - low) * (surplus / (surplus + deficit)))
            middle = min(max(middle, low + 1), high - 1)
        steps += 1
        n = count_from(levels, middle)
        if n == target:
            return middle, n
        # Illinois: an end that stays twice counts half, or it would stay for ever.
        if n > target:
            low, n_low, surplus = middle, n, f32(n - target)
            deficit = deficit * f32(0.5) if last == 1 else deficit
            last = 1
        else:
            high, deficit = middle, f32(target - n)
            surplus = surplus * f32(0.5) if last == -1 else surplus
            last = -1
    return low, n_low


@njit(**INLINE)
def _harden(levels, level, mask):  # type: ignore[no-untyped-def]
    for i in range(levels.shape[0]):
        mask[i] = u8(0) if levels[i] >= level else u8(255)


@njit(**INLINE)
def _count_equal(levels, level):  # type: ignore[no-untyped-def]
    n = u16(0)
    for i in range(levels.shape[0]):
        n = u16(n + u16(levels[i] == level))
    return n


@njit(**KERNEL)
def _break_ties(levels, level, n_own, width, mask):  # type: ignore[no-untyped-def]
    """Of the pixels of this level leave the sample the first `n_own` by column, then by row."""
    ties = np.zeros(width, np.int32)
    for rank in range(2):
        for start in range(0, levels.size, _CHUNK // 16):
            chunk = levels[start : start + _CHUNK // 16]
            if not _count_equal(chunk, u16(level)):
                continue
            for i in range(chunk.size):
                if chunk[i] == level:
                    x = (start + i) % width
                    if rank == 0:
                        ties[x] += 1
                    elif ties[x] > 0:
                        ties[x] -= 1
                    else:
                        mask[start + i] = u8(255)
        if rank == 0:  # from a column's ties to those of them that the sample keeps
            for x in range(width):
                ties[x] = min(ties[x], n_own)
                n_own -= ties[x]


@njit(**KERNEL)
def harden(levels, count, width, mask):  # type: ignore[no-untyped-def]
    """mask (h * w) = 0 for the sample's own `count` pixels, 255 for all others."""
    if count <= 0 or count >= levels.size:
        mask[:] = u8(255) if count <= 0 else u8(0)
        return
    level, n = find_level(levels, count)
    _harden(levels, u16(level), mask)
    if n > count:
        above = count_from(levels, level + 1) if level + 1 < LEVELS else 0
        _break_ties(levels, level, count - above, width, mask)


@njit(**KERNEL)
def soften(levels, count, soft, mask):  # type: ignore[no-untyped-def]
    """mask (h * w) = 0 up to rank count - soft, 255 from count + soft on, linear in rank between.

    The pixels between are counted in at most BINS bins of equal width in levels, and ranks are linear within
    a bin.
    """
    high, n_above = find_level(levels, count - soft)
    if n_above > count - soft and high < LEVELS:  # ties: they take part in the edge
        high += 1
        n_above = count_from(levels, high) if high < LEVELS else 0
    low, _ = find_level(levels, count + soft)
    shift = 0
    while (high - 1 - low) >> shift >= BINS:
        shift += 1
    bins = np.zeros(BINS, np.int32)
    for i in range(levels.size):
        if low <= levels[i] < high:
            bins[(levels[i] - low) >> shift] += 1
    table = np.empty(LEVELS, np.uint8)
    per_rank = f32(127.5) / f32(i32(soft))
    step = f32(1) / f32(i32(1 << shift))
    rank = n_above - (count - soft)
    for b in range(BINS - 1, -1, -1):
        n = bins[b]
        slope = f32(i32(n)) * step
        # The middle of a level's own share of the bin.
        base = fma(step * f32(-0.5), f32(i32(n)), f32(i32(rank + n)))
        rank += n
        first = low + (b << shift)
        for level in range(first, min(first + (1 << shift), high)):
            within = fma(-slope, f32(i32(level - first)), base)
            value = fma(within, per_rank, f32(0.5))
            table[level] = u8(i32(min(max(f32(0), value), f32(255))))
    for i in range(levels.size):
        level = i32(levels[i])  # type: ignore[assignment]
        mask[i] = u8(0) if level >= high else u8(255) if level < low else table[level]
