"""Graph cut: samples similar to the whole, yet not to each other."""

import math

import numpy as np
from numba import njit
from numpy import float32 as f32
from numpy import float64 as f64

from fieldloom.errors import ArgumentError
from fieldloom.kernels.intrinsics import INLINE, entry

from .checks import check_vectors
from .unit_rows import unit_rows


@njit(**INLINE)
def _add_four(a, b, c, d, at, out):  # type: ignore[no-untyped-def]
    p, q, r, s = at
    for i in range(out.shape[0]):
        out[i] = (((out[i] + a[i] * p) + b[i] * q) + c[i] * r) + d[i] * s


@njit(**INLINE)
def _add_one(a, p, out):  # type: ignore[no-untyped-def]
    for i in range(out.shape[0]):
        out[i] = out[i] + a[i] * p


@entry
def _similarities(columns, j, out):  # type: ignore[no-untyped-def]
    """Products of sample j with all: `out` float32 (m,), summed coordinate by coordinate."""
    d, m = columns.shape
    for i in range(m):
        out[i] = f32(0)
    whole = d // 4 * 4
    for k in range(0, whole, 4):
        at = (columns[k, j], columns[k + 1, j], columns[k + 2, j], columns[k + 3, j])
        _add_four(columns[k], columns[k + 1], columns[k + 2], columns[k + 3], at, out)
    for k in range(whole, d):
        _add_one(columns[k], columns[k, j], out)


@entry
def _greedy(columns, lam, indices):  # type: ignore[no-untyped-def]
    """Fill `indices` in the order of picking."""
    d, m = columns.shape
    gains, row = np.zeros(m, np.float64), np.empty(m, np.float32)
    for k in range(d):
        total = 0.0
        for i in range(m):
            total += f64(columns[k, i])
        for i in range(m):
            gains[i] += f64(columns[k, i]) * total
    for i in range(m):
        gains[i] *= lam
    for order in range(indices.shape[0]):
        best = 0
        for i in range(1, m):
            if gains[i] > gains[best]:
                best = i
        indices[order] = best
        _similarities(columns, best, row)
        for i in range(m):
            gains[i] -= 2.0 * f64(row[i])
        gains[best] = -np.inf


def graph_cut(
    vectors: np.ndarray, budget: int, *, lam: float = 1.0, pool: np.ndarray | None = None
) -> np.ndarray:
    """Choose samples of one class, or of what is left of it.

    Each step picks p with the largest gain lam Σ_i sim(p, i) − 2 Σ_{q chosen} sim(p, q), where sim is the
    cosine (0 with a zero vector) and i runs over the pool, p itself included. Ties go to the lowest index.
    Bins of Dataset Quantization take the pool of what no bin has yet.

    Sources: Zhou et al., "Dataset quantization" (ICCV 2023); Iyer et al., "Submodular combinatorial
    information measures" (ALT 2021). Exactness: cosines in float32, coordinate by coordinate, gains in
    float64, in order; equal on all machines.

    Args:
        vectors: float32 (m, d).
        budget: Samples to choose, at least 1, at most the pool's size.
        lam: Weight of the similarity to all; 0 or more.
        pool: Indices of the samples that may be chosen, and are to be represented; None: all.

    Returns:
        int64 (budget,), rows of `vectors` in the order of picking.

    Raises:
        ArgumentError: An argument breaks its contract.
    """
    vectors = check_vectors(vectors, 1)
    rows = np.arange(len(vectors)) if pool is None else _check_pool(pool, len(vectors))
    vectors = check_vectors(vectors[rows], budget)
    if not (math.isfinite(lam) and lam >= 0):
        raise ArgumentError.make(f"lam={lam!r} is out of range", why="it must be a number, 0 or more")
    indices = np.empty(budget, np.int64)
    _greedy(np.ascontiguousarray(unit_rows(vectors).T), f64(lam), indices)
    return rows[indices]


def _check_pool(pool: np.ndarray, m: int) -> np.ndarray:
    rows = np.asarray(pool)
    if rows.ndim != 1 or not np.issubdtype(rows.dtype, np.integer) or not len(rows):
        raise ArgumentError.make(
            "pool must be a list of indices", why=f"its shape is {rows.shape}, its type {rows.dtype}"
        )
    rows = np.sort(rows).astype(np.int64)
    if rows[0] < 0 or rows[-1] >= m or (rows[1:] == rows[:-1]).any():
        raise ArgumentError.make(
            "pool is out of range", why=f"it must name samples from 0 to {m - 1}, each once"
        )
    return rows
