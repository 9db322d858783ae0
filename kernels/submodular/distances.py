"""Distances within a class as whole numbers of one step.

A distance counts steps of a power of two, fewer than 2**24 in all, so that it needs no more than the digits
of a float32, and sums of them are exact in 64 bits. Hence no gain of the greedy methods depends on the order
of its summands: lazy equals naive greedy in every tie, blocks equal the whole matrix, and one thread equals
many.

Exactness: below 2**24 steps of the largest distance; truncated, an error of one step at most (6e-8 to 2.4e-7
of the largest distance).
"""

import math
from collections.abc import Iterator
from concurrent.futures import Executor

import numpy as np

from fieldloom.errors import ArgumentError

from .pairwise import BITS, ROWS, scan_rows

#: Memory that distances may take, in bytes.
LIMIT_BYTES = 1 << 29


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
        step = m if executor is None else max(ROWS, -(-m // 64))

        def task(first: int) -> int:
            last = min(first + step, m)
            out = self.rows[first:last] if self.whole else np.empty((0, 0), np.int32)
            return int(scan_rows(self.columns, self.scale, self.counts, first, last, self.sums, out))

        return (map if executor is None else executor.map)(task, range(0, m, step))


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
    bound = 2.002 * math.sqrt(_farthest(columns)) or 1.0  # 0.1 % for its own rounding; 0: all are equal
    bits = math.frexp(bound)[1]
    return columns, np.float32(2.0 ** (BITS - bits)), math.ldexp(1.0, bits - BITS + exponent)


def _farthest(columns: np.ndarray) -> float:
    """Largest squared distance of any sample to the first, with the kernels' bits."""
    squares = np.zeros(columns.shape[1], np.float32)
    for column in columns:
        difference = column - column[0]
        squares += difference * difference
    return float(squares.max())
