"""Arguments of the selection methods."""

from collections.abc import Sequence

import numpy as np

from fieldloom.errors import ArgumentError


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
    check_budget(budget, len(vectors))
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


def check_budget(budget: int, m: int) -> None:
    """Raise ArgumentError unless `budget` is a whole number from 1 to m."""
    if isinstance(budget, bool) or not isinstance(budget, int | np.integer) or not 1 <= budget <= m:
        raise ArgumentError.make(
            f"budget={budget!r} is out of range", why=f"it must be a whole number from 1 to {m}"
        )


def check_classes(
    labels: np.ndarray, budgets: np.ndarray | Sequence[int], n: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Members of each class, and the budgets as int64.

    Raises:
        ArgumentError: Labels are not n integers below the number of budgets, or a budget exceeds its class.
    """
    labels, parts = np.asarray(labels), np.asarray(budgets)
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
        raise ArgumentError.make(
            "labels must be integers, one a vector",
            why=f"their shape is {labels.shape}, type {labels.dtype}, for {n} vectors",
        )
    if parts.ndim != 1 or not np.issubdtype(parts.dtype, np.integer):
        raise ArgumentError.make(
            "budgets must be integers, one a class", why=f"their shape is {parts.shape}, type {parts.dtype}"
        )
    if not 0 <= labels.min() <= labels.max() < len(parts):
        raise ArgumentError.make(
            "labels are out of range",
            why=f"they go from {labels.min()} to {labels.max()}, with {len(parts)} budgets",
        )
    sizes = np.bincount(labels, minlength=len(parts))
    wrong = (parts < 0) | (parts > sizes)
    if wrong.any():
        label = int(wrong.argmax())
        raise ArgumentError.make(
            f"the budget {parts[label]} of class {label} is out of range",
            why=f"the class has {sizes[label]} samples",
        )
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
    return members, parts.astype(np.int64)


def check_choice(value: str, known: tuple[str, ...], name: str) -> None:
    """Raise ArgumentError unless `value` is one of `known`."""
    if value not in known:
        raise ArgumentError.make(
            f"{name}={value!r} is not known", why=f"it must be one of {', '.join(known)}"
        )


def check_counts(counts: np.ndarray, m: int) -> np.ndarray:
    """Counts as int64 (m,), all above 0, or ArgumentError."""
    counts = np.asarray(counts)
    if counts.shape != (m,) or not np.issubdtype(counts.dtype, np.integer) or counts.min() < 1:
        raise ArgumentError.make(
            "counts must be integers above 0, one a vector",
            why=f"their shape is {counts.shape}, type {counts.dtype}",
        )
    return np.ascontiguousarray(counts, np.int64)


def check_words(words: Sequence[int] | np.ndarray | None) -> np.ndarray:
    """Five random words as uint32 (zeros for None), or ArgumentError."""
    if words is None:
        return np.zeros(5, np.uint32)
    given = np.asarray(words)
    if given.shape != (5,) or given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= 1 << 32:
        raise ArgumentError.make(
            "rng_words must be five whole numbers below 2**32", why=f"they are {words!r}"
        )
    return given.astype(np.uint32)
