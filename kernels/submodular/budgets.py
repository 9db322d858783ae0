"""How many samples each class gives: the rules of data-efficient augmentation, without random rounding."""

from collections.abc import Sequence

import numpy as np

from fieldloom.errors import ArgumentError


def class_budgets(counts: np.ndarray | Sequence[int], budget: int, *, equal: bool) -> np.ndarray:
    """Part a budget among classes.

    Equal: every class gives the same number; a smaller class gives all it has, and the others make up for it.
    Where the numbers cannot be the same, the first classes give one more. Proportional: class c of n_c gives
    ⌈B n_c / N⌉, less one for as many classes as it takes to total B, those first whom rounding up gave the
    most (then by index).

    Source: Liu and Mirzasoleiman, "Data-efficient augmentation for training neural networks" (NeurIPS 2022);
    its code decrements random classes. Exactness: integers.

    Args:
        counts: Samples of each class, 0 or more.
        budget: B >= 0, samples to choose in all.
        equal: Which rule.

    Returns:
        int64, one number a class, at most its count; the sum is min(B, N).

    Raises:
        ArgumentError: A negative count or budget, or no integers.
    """
    sizes = np.asarray(counts)
    if not sizes.size:
        sizes = sizes.astype(np.int64)
    if sizes.ndim != 1 or sizes.dtype.kind not in "iu" or (sizes.size and sizes.min() < 0):
        raise ArgumentError.make(
            "counts must be whole numbers, 0 or more, one a class",
            why=f"their shape is {sizes.shape}, type {sizes.dtype}",
        )
    if isinstance(budget, bool) or not isinstance(budget, int | np.integer) or budget < 0:
        raise ArgumentError.make(
            f"budget={budget!r} is out of range", why="it must be a whole number, 0 or more"
        )
    numbers = [int(n) for n in sizes]  # Python's own: budget * n may exceed 64 bits
    budget = min(int(budget), sum(numbers))
    parts = _equal(numbers, budget) if equal else _proportional(numbers, budget)
    return np.array(parts, np.int64)


def _equal(sizes: list[int], budget: int) -> list[int]:
    parts = [0] * len(sizes)
    left = budget
    by_size = sorted(range(len(sizes)), key=lambda c: (sizes[c], c))
    # Smallest first: whoever cannot give its share gives all, and the share of the rest grows.
    for done, c in enumerate(by_size):
        share, extra = divmod(left, len(sizes) - done)
        if sizes[c] > share:
            for rank, other in enumerate(sorted(by_size[done:])):
                parts[other] = share + (rank < extra)
            return parts
        parts[c] = sizes[c]
        left -= sizes[c]
    return parts


def _proportional(sizes: list[int], budget: int) -> list[int]:
    total = max(1, sum(sizes))
    parts = [-(-budget * n // total) for n in sizes]
    # What rounding up gave, in parts of 1 / total; it sums to as many as must go.
    excess = [part * total - budget * n for part, n in zip(parts, sizes, strict=True)]
    by_excess = sorted(range(len(sizes)), key=lambda c: (-excess[c], c))
    for c in by_excess[: sum(parts) - budget]:
        parts[c] -= 1
    return parts
