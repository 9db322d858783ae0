"""Orders and choices within classes, as sorts over all samples at once: a thousand classes cost as two."""

import numpy as np

from .drawing import SLOT, random_keys
from .signals import Signals


def compact(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the labels that occur: int64 (n,) from 0 to C - 1, and how often each occurs, int64 (C,)."""
    if not len(labels) or labels.min() < 0 or labels.max() > 2 * len(labels) + 1000:
        _, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
        return numbers.reshape(-1), counts
    counts = np.bincount(labels)  # a fifth of the time
    return (np.cumsum(counts > 0) - 1)[labels], counts[counts > 0]


def members(numbers: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    """Indices of each class in ascending order: a list of C arrays."""
    return np.split(_by_class(numbers, len(counts)), np.cumsum(counts)[:-1])


def _by_class(numbers: np.ndarray, n_classes: int) -> np.ndarray:
    """Indices by class, in their order within each."""
    # NumPy's stable sort of 16 bits is a radix sort.
    narrow = numbers.astype(np.uint16) if n_classes <= 1 << 16 else numbers
    return np.argsort(narrow, kind="stable")


def ranks_within(
    numbers: np.ndarray, counts: np.ndarray, values: np.ndarray, ties: np.ndarray | None = None
) -> np.ndarray:
    """Place of each sample among its class by ascending value, int64 (n,) from 0.

    Args:
        numbers: int64 (n,), from `compact`.
        counts: int64 (C,), from `compact`.
        values: (n,), without NaN.
        ties: (n,): orders equal values; None: by index.
    """
    order = np.argsort(values, kind="stable") if ties is None else np.lexsort((ties, values))
    order = order[_by_class(numbers[order], len(counts))]
    starts = np.cumsum(counts) - counts
    ranks = np.empty(len(numbers), np.int64)
    ranks[order] = np.arange(len(numbers)) - np.repeat(starts, counts)
    return ranks


def smallest_by_class(
    values: np.ndarray, labels: np.ndarray, budget: int, ties: np.ndarray | None = None
) -> np.ndarray:
    """Of each class its share of `budget` with the smallest values: indices in ascending order."""
    from fieldloom.kernels.submodular.budgets import class_budgets

    numbers, counts = compact(labels)
    budgets = class_budgets(counts, budget, equal=False)
    return np.flatnonzero(ranks_within(numbers, counts, values, ties) < budgets[numbers])


def stratified_order(signals: Signals, epoch: int) -> np.ndarray:
    """A random permutation of which every stretch holds the classes in proportion.

    The j-th of a class's n_c samples (in random order) is put at place (j + v_c) / n_c of the unit interval,
    v_c uniform. So a stretch of k places holds k n_c / n of each class, up to one or two; where that is less
    than 1, some of these classes, at random. The spacing goes on across the end of the interval, so the order
    may begin anywhere: it does at a random place, which makes every sample's place uniform.

    Returns:
        int64 (n,).
    """
    numbers, counts = compact(signals.targets)
    ranks = ranks_within(numbers, counts, random_keys(signals, epoch))
    *phases, start = signals.uniforms(np.arange(len(counts) + 1), epoch, SLOT, draw=1)
    order = np.argsort((ranks + np.array(phases)[numbers]) / counts[numbers], kind="stable")
    return np.roll(order, int(start * len(order)))
