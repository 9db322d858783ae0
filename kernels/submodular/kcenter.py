"""k-center by farthest-first traversal: every next sample is the one farthest from all chosen so far."""

import numpy as np
from numpy import float32 as f32

from fieldloom.errors import ArgumentError
from fieldloom.kernels.intrinsics import entry

from .checks import check_vectors
from .distances import scaled_columns
from .pairwise import fill_squares


@entry
def _most_central(columns):  # type: ignore[no-untyped-def]
    """The sample nearest to the mean; sums run in float64, in order."""
    d, m = columns.shape
    squares = np.zeros(m, np.float64)
    for k in range(d):
        total = 0.0
        for i in range(m):
            total += np.float64(columns[k, i])
        mean = total / m
        for i in range(m):
            t = np.float64(columns[k, i]) - mean
            squares[i] += t * t
    best = 0
    for i in range(1, m):
        if squares[i] < squares[best]:
            best = i
    return best


@entry
def _traverse(columns, indices):  # type: ignore[no-untyped-def]
    """Fill indices[1:]; indices[0] is given."""
    m = columns.shape[1]
    nearest, squares = np.full(m, np.inf, np.float32), np.empty(m, np.float32)
    for order in range(indices.shape[0]):
        if order > 0:
            best = 0
            for i in range(1, m):
                if nearest[i] > nearest[best]:
                    best = i
            indices[order] = best
        fill_squares(columns, indices[order], squares)
        for i in range(m):
            nearest[i] = min(nearest[i], squares[i])
        # Below any other from now on, so that of equal samples each is chosen but once.
        nearest[indices[order]] = f32(-1)


def k_center(vectors: np.ndarray, budget: int, *, first: int | None = None) -> np.ndarray:
    """Choose samples of one class such that the farthest of all is near a chosen one.

    The largest distance to a chosen sample is at most twice the optimum's.

    Sources: Gonzalez, "Clustering to minimize the maximum intercluster distance" (1985); Sener and Savarese,
    "Active learning for convolutional neural networks: a core-set approach" (ICLR 2018).
    Exactness: squared distances in float32, coordinate by coordinate; ties to the lowest index; equal on all
    machines.

    Args:
        vectors: float32 (m, d).
        budget: Samples to choose, 1 <= budget <= m.
        first: The first one; None takes the one nearest to the mean.

    Returns:
        int64 (budget,), in the order of picking.

    Raises:
        ArgumentError: An argument breaks its contract.
    """
    vectors = check_vectors(vectors, budget)
    if first is not None and (isinstance(first, bool) or not 0 <= first < len(vectors)):
        raise ArgumentError.make(f"first={first!r} is out of range", why=f"there are {len(vectors)} samples")
    columns = scaled_columns(vectors)[0]
    indices = np.empty(budget, np.int64)
    indices[0] = _most_central(columns) if first is None else first
    _traverse(columns, indices)
    return indices
