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

from .checks import check_choice, check_classes, check_counts, check_vectors, check_words
from .distances import LIMIT_BYTES, Distances
from .greedy import Found, lazy, stochastic
from .rows import Rows, make_rows
from .unit_rows import unit_rows

#: Samples up to which "auto" is lazy. Choosing 10 % (10 coordinates) lazily takes 0.1 s of CPU for 5000
#: samples, 4 s for 20 000 and 17 s for 40 000; stochastic (epsilon 0.01) takes 0.06, 1.5 and
#: 6 s, and loses 0.2 % of F (perf/results/coreset-cpu.json).
LAZY_UP_TO = 20_000


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
            in expectation. "auto" is lazy up to 20 000 samples.
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
    check_choice(method, ("auto", "lazy", "stochastic"), "method")
    check_choice(metric, ("euclidean", "cosine"), "metric")
    if not 0 < epsilon < 1:
        raise ArgumentError.make(f"epsilon={epsilon!r} is out of range", why="it must lie between 0 and 1")
    counts = None if counts is None else check_counts(counts, m)
    words = check_words(rng_words)
    if metric == "cosine":
        vectors = unit_rows(vectors)
    distances = Distances(vectors, counts, limit_bytes=limit_bytes, executor=executor)
    table, found = rows_of(distances), empty_found(distances, budget)
    total = m if counts is None else int(counts.sum())
    bounds = total * distances.largest - distances.sums
    if method == "lazy" or (method == "auto" and m <= LAZY_UP_TO):
        lazy(table, distances.counts, bounds, np.argsort(-bounds, kind="stable"), found)
    else:
        n_looked = min(m, math.ceil(m / budget * math.log(1 / epsilon)))
        stochastic(table, distances.counts, bounds, words, n_looked, found)
    return to_chosen(found, distances)


def rows_of(distances: Distances) -> Rows:
    """The distances as the kernels take them."""
    return make_rows(distances.columns, distances.scale, distances.rows)


def empty_found(distances: Distances, budget: int) -> Found:
    """What the kernels fill with `budget` samples."""
    m = distances.columns.shape[1]
    return Found(
        np.empty(budget, np.int64), np.empty(budget, np.int64),
        np.full(m, distances.largest, np.int32), np.full(m, -1, np.int32),
    )  # fmt: skip


def to_chosen(found: Found, distances: Distances) -> Chosen:
    """What the kernels filled, in the unit of the vectors."""
    counts = distances.counts if len(distances.counts) else None
    sizes = np.bincount(found.owner, counts, minlength=len(found.indices))
    return Chosen(
        found.indices,
        np.maximum(sizes, 1).astype(np.float32),
        found.gains * distances.unit,
        int(found.gains.sum()) * distances.unit,
    )


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
    vectors = check_vectors(vectors, 1)
    members, parts = check_classes(labels, budgets, len(vectors))
    words = check_words(rng_words)

    def choose(label: int, pool: Executor | None) -> Chosen:
        rows, budget = members[label], int(parts[label])
        if budget == 0:
            return Chosen(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.float64), 0.0)
        own = words.copy()
        own[0] = (int(own[0]) + label) & 0xFFFFFFFF
        found = facility_location(
            vectors[rows], budget, method=method, epsilon=epsilon, rng_words=own, metric=metric,
            limit_bytes=limit_bytes, executor=pool,
        )  # fmt: skip
        return Chosen(rows[found.indices], found.weights, found.gains, found.value)

    if executor is None:
        return [choose(label, None) for label in range(len(parts))]
    # A class that fills the limit by itself runs here and shares its scan; the others run side by side,
    # the largest first, as long as all matrices under way fit.
    chosen: dict[int, Chosen] = {}
    waiting: dict[Future[Chosen], tuple[int, int]] = {}
    in_use = 0
    for label in sorted(range(len(parts)), key=lambda c: (-len(members[c]), c)):
        size = 4 * len(members[label]) ** 2
        if 2 * size > limit_bytes:
            chosen[label] = choose(label, executor)
            continue
        while in_use + size > limit_bytes:
            in_use -= _collect(waiting, chosen)
        waiting[executor.submit(choose, label, None)] = label, size
        in_use += size
    while waiting:
        _collect(waiting, chosen)
    return [chosen[label] for label in range(len(parts))]


def _collect(waiting: dict[Future[Chosen], tuple[int, int]], chosen: dict[int, Chosen]) -> int:
    """Take what is done; the bytes that it had in use."""
    freed = 0
    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
        label, size = waiting.pop(future)
        chosen[label] = future.result()
        freed += size
    return freed
