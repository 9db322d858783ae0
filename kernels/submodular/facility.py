"""Facility location: samples such that every sample of the class is near a chosen one.

Greedy maximization of F(S) = Σ_i max_{j in S} s_ij with s_ij = L − ‖v_i − v_j‖₂, where L is the largest
distance within the class, so that no similarity is negative. Greedy reaches 1 − 1/e of the optimum; L moves F
by a constant and changes no choice.

Sources: Mirzasoleiman et al., "Coresets for data-efficient training of machine learning models" (CRAIG, ICML
2020); Liu and Mirzasoleiman, "Data-efficient augmentation for training neural networks" (NeurIPS 2022).
Exactness: integers (`distances`): equal on all machines, for any number of threads, in blocks as in whole.
"""

import math
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass

import numpy as np

from fieldloom.errors import ArgumentError

from .distances import LIMIT_BYTES, Distances, check_vectors
from .greedy import Found, lazy, stochastic
from .rows import make_rows
from .unit_rows import unit_rows

#: Samples up to which "auto" is lazy.
LAZY_UP_TO = 50_000


@dataclass(frozen=True, slots=True)
class Chosen:
    """Chosen samples of one class.

    Attributes:
        indices: int64 (k,), rows of the vectors in the order of picking.
        weights: float32 (k,), samples that each one represents: those it is nearest to (of equally near ones
            the lowest index counts); 1 for one that represents none, such as the second of two equal samples.
        gains: float64 (k,), what each added to F when it was picked, in the unit of the vectors.
        value: F of all.
    """

    indices: np.ndarray
    weights: np.ndarray
    gains: np.ndarray
    value: float


def facility_location(
    vectors: np.ndarray,
    budget: int,
    *,
    method: str = "auto",
    epsilon: float = 0.01,
    rng_words: Sequence[int] | np.ndarray | None = None,
    metric: str = "euclidean",
    counts: np.ndarray | None = None,
    limit_bytes: int = LIMIT_BYTES,
    executor: Executor | None = None,
) -> Chosen:
    """Choose samples of one class.

    Args:
        vectors: float32 (m, d), one vector a sample, such as softmax(logits) − onehot(label).
        budget: Samples to choose, 1 <= budget <= m.
        method: "lazy" gives the choices of plain greedy, ties to the lowest index. "stochastic" takes in each
            step the best of (m / budget) ln(1 / epsilon) random candidates, which reaches 1 − 1/e − epsilon
            in expectation. "auto" is lazy up to 50 000 samples.
        epsilon: Above 0, below 1.
        rng_words: Five uint32 for the candidates of "stochastic": three counter words (say class, epoch,
            stream word) and the seed's lower and upper half (`fieldloom.kernels.philox`); None takes zeros.
        metric: "euclidean", or "cosine" for the Euclidean distance of the vectors scaled to length 1 (zero
            vectors stay).
        counts: int64 (m,), above 0: how many samples each vector stands for; None: one.
        limit_bytes: Memory for distances. All m x m are kept where they fit in float32's size; else rows are
            made again whenever they are needed and no longer kept.
        executor: Pool that shares the scan of all distances; None stays in this thread.

    Returns:
        The chosen, in order.

    Raises:
        ArgumentError: An argument breaks its contract.
    """
    vectors = check_vectors(vectors, budget)
    m = len(vectors)
    _check(method, ("auto", "lazy", "stochastic"), "method")
    _check(metric, ("euclidean", "cosine"), "metric")
    if not 0 < epsilon < 1:
        raise ArgumentError.make(f"epsilon={epsilon!r} is out of range", why="it must lie between 0 and 1")
    counts = None if counts is None else _check_counts(counts, m)
    words = _check_words(rng_words)
    if metric == "cosine":
        vectors = unit_rows(vectors)
    distances = Distances(vectors, counts, limit_bytes=limit_bytes, executor=executor)
    table = make_rows(distances.columns, distances.scale, distances.rows)
    total = m if counts is None else int(counts.sum())
    bounds = total * distances.largest - distances.sums
    found = Found(
        np.empty(budget, np.int64), np.empty(budget, np.int64),
        np.full(m, distances.largest, np.int32), np.full(m, -1, np.int32),
    )  # fmt: skip
    if method == "lazy" or (method == "auto" and m <= LAZY_UP_TO):
        lazy(table, distances.counts, bounds, np.argsort(-bounds, kind="stable"), found)
    else:
        n_looked = min(m, math.ceil(m / budget * math.log(1 / epsilon)))
        stochastic(table, distances.counts, bounds, words, n_looked, found)
    sizes = np.maximum(np.bincount(found.owner, counts, minlength=budget), 1).astype(np.float32)
    gains = found.gains * distances.unit
    return Chosen(found.indices, sizes, gains, int(found.gains.sum()) * distances.unit)


def facility_location_classes(
    vectors: np.ndarray,
    labels: np.ndarray,
    budgets: np.ndarray | Sequence[int],
    *,
    executor: Executor | None = None,
    limit_bytes: int = LIMIT_BYTES,
    method: str = "auto",
    epsilon: float = 0.01,
    rng_words: Sequence[int] | np.ndarray | None = None,
    metric: str = "euclidean",
) -> list[Chosen]:
    """Choose samples of every class, each by itself.

    Args:
        vectors: float32 (n, d).
        labels: Integers (n,), classes from 0 on; classes need not all occur.
        budgets: Samples to choose of each class, (number of classes,); 0 chooses none.
        executor: Pool that works on classes side by side, as many as `limit_bytes` allows; None stays in this
            thread.
        limit_bytes: Memory for the distances of all classes under way.
        method: As for `facility_location`.
        epsilon: As for `facility_location`.
        rng_words: As for `facility_location`; the class is added to the first word.
        metric: As for `facility_location`.

    Returns:
        For each class its chosen; `indices` are rows of `vectors`.

    Raises:
        ArgumentError: An argument breaks its contract.
    """
    vectors, labels, budgets = np.asarray(vectors), np.asarray(labels), np.asarray(budgets)
    if labels.shape != vectors.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise ArgumentError.make(
            "labels must be integers, one a vector", why=f"their shape is {labels.shape}, type {labels.dtype}"
        )
    if budgets.ndim != 1 or not np.issubdtype(budgets.dtype, np.integer):
        raise ArgumentError.make(
            "budgets must be integers, one a class", why=f"their shape is {budgets.shape}"
        )
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(budgets):
        raise ArgumentError.make(
            "labels are out of range",
            why=f"they go from {labels.min()} to {labels.max()}, with {len(budgets)} budgets",
        )
    sizes = np.bincount(labels, minlength=len(budgets))
    order = np.argsort(labels, kind="stable")
    members = np.split(order, np.cumsum(sizes)[:-1])
    words = _check_words(rng_words)

    def choose(label: int, pool: Executor | None) -> Chosen:
        rows, budget = members[label], int(budgets[label])
        if budget == 0:
            return Chosen(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.float64), 0.0)
        if budget < 0 or budget > len(rows):
            raise ArgumentError.make(
                f"the budget {budget} of class {label} is out of range", why=f"it has {len(rows)} samples"
            )
        own = words.copy()
        own[0] += np.uint32(label)
        found = facility_location(
            vectors[rows], budget, method=method, epsilon=epsilon, rng_words=own, metric=metric,
            limit_bytes=limit_bytes, executor=pool,
        )  # fmt: skip
        return Chosen(rows[found.indices], found.weights, found.gains, found.value)

    if executor is None:
        return [choose(label, None) for label in range(len(budgets))]
    # A class that fills the limit by itself runs here and shares its scan; the others run side by side,
    # the largest first, as long as all matrices under way fit.
    chosen: dict[int, Chosen] = {}
    waiting: dict[Future[Chosen], tuple[int, int]] = {}
    in_use = 0
    for label in np.argsort(-sizes, kind="stable").tolist():
        size = 4 * int(sizes[label]) ** 2
        if 2 * size > limit_bytes:
            chosen[label] = choose(label, executor)
            continue
        while in_use + size > limit_bytes:
            in_use -= _collect(waiting, chosen)
        waiting[executor.submit(choose, label, None)] = label, size
        in_use += size
    while waiting:
        _collect(waiting, chosen)
    return [chosen[label] for label in range(len(budgets))]


def _collect(waiting: dict[Future[Chosen], tuple[int, int]], chosen: dict[int, Chosen]) -> int:
    """Take what is done; the bytes that it had in use."""
    freed = 0
    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
        label, size = waiting.pop(future)
        chosen[label] = future.result()
        freed += size
    return freed


def _check(value: str, known: tuple[str, ...], name: str) -> None:
    if value not in known:
        raise ArgumentError.make(
            f"{name}={value!r} is not known", why=f"it must be one of {', '.join(known)}"
        )


def _check_counts(counts: np.ndarray, m: int) -> np.ndarray:
    counts = np.asarray(counts)
    if counts.shape != (m,) or not np.issubdtype(counts.dtype, np.integer) or counts.min() < 1:
        raise ArgumentError.make(
            "counts must be integers above 0, one a vector",
            why=f"their shape is {counts.shape}, type {counts.dtype}",
        )
    return np.ascontiguousarray(counts, np.int64)


def _check_words(words: Sequence[int] | np.ndarray | None) -> np.ndarray:
    if words is None:
        return np.zeros(5, np.uint32)
    given = np.asarray(words)
    if given.shape != (5,) or given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= 1 << 32:
        raise ArgumentError.make(
            "rng_words must be five whole numbers below 2**32", why=f"they are {words!r}"
        )
    return given.astype(np.uint32)
