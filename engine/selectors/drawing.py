"""Random subsets by counter: a sample's key is a function of (seed, epoch, id) alone."""

import numpy as np

from fieldloom.kernels.philox import PLAN_POSITION, slot_of
from fieldloom.options import number

from .signals import Signals

#: Slot of all draws that select samples.
SLOT = slot_of(PLAN_POSITION, "select")


def checked_fraction(owner: object, value: object) -> float:
    """A fraction of the data set as an option: above 0, at most 1."""
    return number(owner, "fraction", value, 1e-6, 1.0)


def size_of(fraction: float, n: int) -> int:
    """Samples in a fraction of n: the nearest whole number, at least 1."""
    return min(n, max(1, int(fraction * n + 0.5)))


def random_keys(signals: Signals, epoch: int, draw: int = 0) -> np.ndarray:
    """A 64-bit key of each sample, uint64 (n,); sorting by them is a uniform permutation."""
    words = signals.words(np.arange(signals.n_samples, dtype=np.uint32), epoch, SLOT, draw)
    return words[:, 0].astype(np.uint64) << np.uint64(32) | words[:, 1]


def smallest(values: np.ndarray, k: int, ties: np.ndarray | None = None) -> np.ndarray:
    """Indices of the k smallest values, in ascending order of index.

    Args:
        values: (n,), without NaN.
        k: From 0 to n.
        ties: (n,): among equal values the smaller ones here go first; None: the lower indices.

    Returns:
        int64 (k,).
    """
    n = len(values)
    if k >= n:
        return np.arange(n)
    if k == 0:
        return np.zeros(0, np.int64)
    # O(n) instead of a sort: only those that equal the k-th value need an order.
    last = np.partition(values, k - 1)[k - 1]
    chosen = values < last
    equal = np.flatnonzero(values == last)
    if ties is not None:
        equal = equal[np.argsort(ties[equal], kind="stable")]
    chosen[equal[: k - int(chosen.sum())]] = True
    return np.flatnonzero(chosen)
