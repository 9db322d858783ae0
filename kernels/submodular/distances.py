"""Distances within a class as whole numbers of one step, by rows that are kept or made again.

A distance counts steps of a power of two, fewer than 2**24 in all, so that it needs no more than the digits
of a float32, and sums of them are exact in 64 bits. Hence no gain of the greedy methods depends on the order
of its summands: lazy equals naive greedy in every tie, blocks equal the whole matrix, and one thread equals
many.

The distance itself is summed coordinate by coordinate in float32, differences first: equal samples have
distance 0 (the usual |a|² + |b|² − 2ab leaves 3e-4 of their length), a row equals its column, and the bits
are the same on every machine, which no BLAS promises.

Exactness: below 2**24 steps of the largest distance; truncated, an error of one step at most (6e-8 to 2.4e-7
of the largest distance).
"""

import math
from collections.abc import Iterator
from concurrent.futures import Executor

import numpy as np
from numba import njit
from numpy import float32 as f32
from numpy import int32 as i32
from numpy import int64 as i64
from numpy import uint32 as u32

from fieldloom.errors import ArgumentError
from fieldloom.kernels.intrinsics import INLINE, KERNEL, entry, sqrt

#: Distances are below 2**BITS steps.
BITS = 24
#: Columns worked on at once: as many distances fit a sum of 32 bits.
TILE = 256
#: Rows whose tile lies in the first-level cache.
_ROWS = 32
#: Memory that distances may take, in bytes.
LIMIT_BYTES = 1 << 29


@njit(**INLINE)
def _add_four(a, b, c, d, at, out):  # type: ignore[no-untyped-def]
    # Product and sum round apart, as any array library does it: no fma.
    p, q, r, s = at
    for i in range(out.shape[0]):
        t, u, v, w = a[i] - p, b[i] - q, c[i] - r, d[i] - s
        out[i] = (((out[i] + t * t) + u * u) + v * v) + w * w


@njit(**INLINE)
def _add_one(a, p, out):  # type: ignore[no-untyped-def]
    for i in range(out.shape[0]):
        t = a[i] - p
        out[i] = out[i] + t * t


@njit(**KERNEL)
def _squares(columns, first, start, sums):  # type: ignore[no-untyped-def]
    """Squared distances of samples first, ... to samples start, ...: `sums` (rows, columns), overwritten."""
    n_rows, width = sums.shape
    for r in range(n_rows):
        row = sums[r]
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
            _add_four(a, b, c, e, at, sums[r])
    for k in range(whole, d):
        for r in range(n_rows):
            _add_one(columns[k, start : start + width], columns[k, first + r], sums[r])


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


@njit(**KERNEL)
def fill_row(columns, scale, j, out):  # type: ignore[no-untyped-def]
    """Distances of sample j to all: `out` int32 (m,)."""
    m = columns.shape[1]
    squares = np.empty((1, TILE), np.float32)
    for start in range(0, m, TILE):
        width = min(TILE, m - start)
        _squares(columns, j, start, squares[:, :width])
        _steps(squares[0, :width], scale, out[start : start + width])


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
    squares, steps = np.empty((_ROWS, TILE), np.float32), np.empty(TILE, np.int32)
    largest = i32(0)
    for top in range(first, last, _ROWS):
        n_rows = min(_ROWS, last - top)
        for r in range(n_rows):
            sums[top + r] = 0
        for start in range(0, m, TILE):
            width = min(TILE, m - start)
            _squares(columns, top, start, squares[:n_rows, :width])
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


class Distances:
    """Distances within one class: sums of all rows, and as many rows as memory is allowed for.

    Args:
        vectors: float32 (m, d), checked (`check_vectors`).
        counts: int64 (m,), how often each sample counts, or None for once.
        limit_bytes: Memory that rows of distances may take; the vectors' own copy (4 m d bytes) and some
            numbers a sample come on top.
        executor: Pool for the scan; None stays in this thread.

    Attributes:
        columns: float32 (d, m): the vectors times a power of two, transposed.
        scale: Steps a unit of distance in `columns`.
        unit: Length of a step in the vectors' own unit.
        counts: int64 (m,) or (0,).
        sums: int64 (m,): sum of each sample's distances to all, in steps.
        largest: The largest distance, in steps.
        rows: int32 (r, m): all rows (r = m), or room for some.

    Raises:
        ArgumentError: `limit_bytes` holds less than two rows.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        counts: np.ndarray | None = None,
        *,
        limit_bytes: int = LIMIT_BYTES,
        executor: Executor | None = None,
    ) -> None:
        m = len(vectors)
        n_rows = min(m, limit_bytes // (4 * m))
        if n_rows < min(m, 2):
            raise ArgumentError.make(
                f"limit_bytes={limit_bytes} is too little",
                why=f"two rows of {m} distances take {8 * m} bytes",
                remedy="Raise limit_bytes, or part the class (fieldloom.kernels.submodular.partition).",
            )
        self.columns, self.scale, self.unit = scaled_columns(vectors)
        self.counts = np.zeros(0, np.int64) if counts is None else counts
        self.rows = np.empty((n_rows, m), np.int32)
        self.sums = np.empty(m, np.int64)
        self.largest = max(self._scan(executor))

    @property
    def whole(self) -> bool:
        """Whether all rows are kept."""
        return len(self.rows) == self.columns.shape[1]

    def _scan(self, executor: Executor | None) -> Iterator[int]:
        m = self.columns.shape[1]
        step = m if executor is None else max(_ROWS, -(-m // 64))

        def task(first: int) -> int:
            last = min(first + step, m)
            out = self.rows[first:last] if self.whole else np.empty((0, 0), np.int32)
            return int(scan_rows(self.columns, self.scale, self.counts, first, last, self.sums, out))

        return (map if executor is None else executor.map)(task, range(0, m, step))


def check_vectors(vectors: np.ndarray, budget: int) -> np.ndarray:
    """The vectors as C-contiguous float32 (m, d).

    Raises:
        ArgumentError: Not two-dimensional, not finite, m = 0, or not 1 <= budget <= m.
    """
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or not len(vectors):
        raise ArgumentError.make(
            "vectors must be a matrix (samples, coordinates)", why=f"its shape is {vectors.shape}"
        )
    if not np.issubdtype(vectors.dtype, np.floating):
        raise ArgumentError.make("vectors must be floating-point", why=f"their type is {vectors.dtype}")
    if (
        isinstance(budget, bool)
        or not isinstance(budget, int | np.integer)
        or not 1 <= budget <= len(vectors)
    ):
        raise ArgumentError.make(
            f"budget={budget!r} is out of range", why=f"it must be a whole number from 1 to {len(vectors)}"
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold is reported below
        vectors = np.ascontiguousarray(vectors, np.float32)
    finite = np.isfinite(vectors).all(1)
    if not finite.all():
        row = int(finite.argmin())
        raise ArgumentError.make(
            "vectors must be finite",
            why=f"row {row} has NaN, infinity or what float32 cannot hold",
            remedy="Check the loss for divergence, or leave such samples out.",
        )
    return vectors


def scaled_columns(vectors: np.ndarray) -> tuple[np.ndarray, np.float32, float]:
    """Vectors ready for the kernels.

    A power of two brings the largest coordinate near 1, so that no square overflows, and small vectors'
    squares do not vanish. The step follows from twice the largest distance to the first sample, which no
    distance exceeds and which costs one row, not all.

    Args:
        vectors: float32 (m, d), C-contiguous and finite.

    Returns:
        float32 (d, m); steps a unit of distance of these, a power of two; length of a step in the vectors'
        unit.
    """
    exponent = math.frexp(float(np.abs(vectors).max(initial=0)))[1]
    columns = np.ascontiguousarray(np.ldexp(vectors, -exponent).T)
    bound = 2.002 * math.sqrt(farthest(columns)) or 1.0  # 0.1 % for its own rounding; 0: all are equal
    bits = math.frexp(bound)[1]
    return columns, np.float32(2.0 ** (BITS - bits)), math.ldexp(1.0, bits - BITS + exponent)


@entry
def farthest(columns):  # type: ignore[no-untyped-def]
    """Largest squared distance of any sample to the first."""
    m = columns.shape[1]
    squares = np.empty((1, TILE), np.float32)
    largest = f32(0)
    for start in range(0, m, TILE):
        width = min(TILE, m - start)
        _squares(columns, 0, start, squares[:, :width])
        for i in range(width):
            largest = max(largest, squares[0, i])
    return largest
