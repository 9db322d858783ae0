"""Distances between samples, in whole steps: the kernels.

The distance is summed coordinate by coordinate in float32, differences first: equal samples have distance 0
(the usual |a|² + |b|² − 2ab leaves 3e-4 of their length), a row equals its column, and the bits are the same
on every machine, which no BLAS promises. Products and sums round apart, as any array library does it, so that
`facility_torch` gets the same bits by tensor operations.
"""

import numpy as np
from numba import njit
from numpy import float32 as f32
from numpy import int32 as i32
from numpy import int64 as i64
from numpy import uint32 as u32

from fieldloom.kernels.intrinsics import INLINE, entry, sqrt

#: Distances are below 2**BITS steps.
BITS = 24
#: Columns worked on at once: as many distances fit a sum of 32 bits.
TILE = 256
#: Rows whose tile lies in the first-level cache.
ROWS = 32
#: Columns worked on at once where there is but one row.
_WIDE = 2048


@njit(**INLINE)
def _add_four(a, b, c, d, at, out):  # type: ignore[no-untyped-def]
    p, q, r, s = at
    for i in range(out.shape[0]):
        t, u, v, w = a[i] - p, b[i] - q, c[i] - r, d[i] - s
        out[i] = (((out[i] + t * t) + u * u) + v * v) + w * w


@njit(**INLINE)
def _add_one(a, p, out):  # type: ignore[no-untyped-def]
    for i in range(out.shape[0]):
        t = a[i] - p
        out[i] = out[i] + t * t


@entry
def _squares(columns, first, n_rows, start, width, sums):  # type: ignore[no-untyped-def]
    """Squared distances of samples first, ... to samples start, ...: into `sums`, from its corner on."""
    # `sums` is no slice: rows of a slice of columns have a stride that the compiler does not know to be 1.
    for r in range(n_rows):
        row = sums[r, :width]
        for i in range(width):
            row[i] = f32(0)
    d = columns.shape[0]
    whole = d // 4 * 4
    for k in range(0, whole, 4):
        a, b = columns[k, start : start + width], columns[k + 1, start : start + width]
        c, e = columns[k + 2, start : start + width], columns[k + 3, start : start + width]
        for r in range(n_rows):
            j = first + r
            at = (columns[k, j], columns[k + 1, j], columns[k + 2, j], columns[k + 3, j])
            _add_four(a, b, c, e, at, sums[r, :width])
    for k in range(whole, d):
        for r in range(n_rows):
            _add_one(columns[k, start : start + width], columns[k, first + r], sums[r, :width])


@njit(**INLINE)
def _steps(squares, scale, out):  # type: ignore[no-untyped-def]
    most = f32((1 << BITS) - 1)
    for i in range(squares.shape[0]):
        out[i] = i32(min(sqrt(squares[i]) * scale, most))


@njit(**INLINE)
def _total(steps):  # type: ignore[no-untyped-def]
    total = u32(0)
    for i in range(steps.shape[0]):
        total = u32(total + u32(steps[i]))
    return i64(total)


@njit(**INLINE)
def _weighted_total(steps, counts):  # type: ignore[no-untyped-def]
    total = i64(0)
    for i in range(steps.shape[0]):
        total += i64(steps[i]) * counts[i]
    return total


@njit(**INLINE)
def _largest(steps, largest):  # type: ignore[no-untyped-def]
    for i in range(steps.shape[0]):
        largest = max(largest, steps[i])
    return largest


@entry
def fill_row(columns, scale, j, out):  # type: ignore[no-untyped-def]
    """Distances of sample j to all: `out` int32 (m,)."""
    m = columns.shape[1]
    squares = np.empty((1, _WIDE), np.float32)
    for start in range(0, m, _WIDE):
        width = min(_WIDE, m - start)
        _squares(columns, j, i64(1), start, width, squares)
        _steps(squares[0, :width], scale, out[start : start + width])


@entry
def fill_squares(columns, j, out):  # type: ignore[no-untyped-def]
    """Squared distances of sample j to all: `out` float32 (m,)."""
    m = columns.shape[1]
    squares = np.empty((1, _WIDE), np.float32)
    for start in range(0, m, _WIDE):
        width = min(_WIDE, m - start)
        _squares(columns, j, i64(1), start, width, squares)
        for i in range(width):
            out[start + i] = squares[0, i]


@entry
def scan_rows(columns, scale, counts, first, last, sums, out):  # type: ignore[no-untyped-def]
    """Sums of the distances of samples first..last - 1 to all, and the largest of these distances.

    Args:
        columns: float32 (d, m).
        scale: Steps a unit of distance, float32.
        counts: int64 (m,), how often each sample counts; (0,): once.
        first: First row.
        last: One past the last row.
        sums: int64 (m,); rows first..last - 1 are set.
        out: int32 (last - first, m) takes the distances; (0, 0) lets them go.

    Returns:
        The largest distance of these rows, in steps.
    """
    m = columns.shape[1]
    squares, steps = np.empty((ROWS, TILE), np.float32), np.empty(TILE, np.int32)
    largest = i32(0)
    for top in range(first, last, ROWS):
        n_rows = min(ROWS, last - top)
        for r in range(n_rows):
            sums[top + r] = 0
        for start in range(0, m, TILE):
            width = min(TILE, m - start)
            _squares(columns, top, n_rows, start, width, squares)
            for r in range(n_rows):
                into = steps[:width]
                if out.shape[0] > 0:
                    into = out[top + r - first, start : start + width]
                _steps(squares[r, :width], scale, into)
                largest = _largest(into, largest)
                if counts.shape[0] > 0:
                    sums[top + r] += _weighted_total(into, counts[start : start + width])
                else:
                    sums[top + r] += _total(into)
    return largest
