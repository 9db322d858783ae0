"""Two rounds of greedy for a class too large for one: parts choose, then one chooses among their choices.

Round 1 takes `budget` samples of every part, round 2 `budget` of all that were taken, each counting for as
many samples as it represents. Only the vectors of the taken travel between ranks. The result is the best of
the second round's and of each part's own choice, as judged by the taken with their counts.

Sources: Mirzasoleiman et al., "Distributed submodular maximization" (GreeDi, NIPS 2013); Barbosa et al., "The
power of randomization: distributed submodular maximization on massive datasets" (ICML 2015): parts at random
give half of greedy's 1 − 1/e in expectation. Both judge by all samples; judging by representatives is ours,
and saves reading the class again. Exactness: integers, equal on all machines.
"""

from collections.abc import Sequence
from concurrent.futures import Executor

import numpy as np

from fieldloom.errors import ArgumentError
from fieldloom.kernels.philox import philox_blocks

from .checks import check_choice, check_vectors, check_words
from .distances import LIMIT_BYTES, Distances
from .facility import Chosen, empty_found, facility_location, rows_of, to_chosen
from .greedy import adopt
from .unit_rows import unit_rows


def split(m: int, n_parts: int, *, rng_words: Sequence[int] | np.ndarray | None = None) -> list[np.ndarray]:
    """Deal samples to parts at random, as evenly as can be.

    Args:
        m: Samples, below 2**32.
        n_parts: Parts, 1 <= n_parts <= m.
        rng_words: Five uint32 as for `facility_location`.

    Returns:
        int64 arrays of ascending indices, one a part, each index once.

    Raises:
        ArgumentError: An argument breaks its contract.
    """
    if not 1 <= n_parts <= m:
        raise ArgumentError.make(f"n_parts={n_parts} is out of range", why=f"there are {m} samples")
    words = check_words(rng_words)
    counters = np.empty((m, 4), np.uint32)
    counters[:, :3], counters[:, 3] = words[:3], np.arange(m)
    blocks = np.empty_like(counters)
    philox_blocks(counters, np.broadcast_to(words[3:], (m, 2)).copy(), blocks)
    order = np.argsort(blocks[:, 0], kind="stable")
    return [np.sort(order[part::n_parts]) for part in range(n_parts)]


def merge_rounds(
    vectors: np.ndarray,
    picks: Sequence[Chosen],
    budget: int,
    *,
    metric: str = "euclidean",
    method: str = "auto",
    rng_words: Sequence[int] | np.ndarray | None = None,
    limit_bytes: int = LIMIT_BYTES,
    executor: Executor | None = None,
) -> Chosen:
    """Second round: choose among what the parts chose.

    Args:
        vectors: float32 (n, d), vectors of all picks, part after part, in each part's order.
        picks: What each part chose, with `indices` of the whole class.
        budget: Samples to choose, 1 <= budget <= n.
        metric: As for `facility_location`, and the same as in the first round.
        method: As for `facility_location`.
        rng_words: As for `facility_location`.
        limit_bytes: As for `facility_location`.
        executor: As for `facility_location`.

    Returns:
        The chosen, with `indices` of the whole class; `weights` sum what their picks represent; `gains` and
        `value` are estimates: each pick stands for all that it represents.

    Raises:
        ArgumentError: An argument breaks its contract.
    """
    vectors = check_vectors(vectors, budget)
    check_choice(metric, ("euclidean", "cosine"), "metric")
    indices = np.concatenate([each.indices for each in picks])
    counts = np.concatenate([each.weights for each in picks]).astype(np.int64)
    if len(indices) != len(vectors):
        raise ArgumentError.make(
            "vectors and picks must match", why=f"{len(vectors)} vectors for {len(indices)} picks"
        )
    if len(np.unique(indices)) != len(indices):
        raise ArgumentError.make("a sample was picked by two parts", remedy="Give each sample to one part.")
    # Ties go to the lowest index of the class, whichever part it was in.
    order = np.argsort(indices, kind="stable")
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    vectors, counts = np.ascontiguousarray(vectors[order]), counts[order]
    best = facility_location(
        vectors, budget, method=method, metric=metric, rng_words=rng_words, counts=counts,
        limit_bytes=limit_bytes, executor=executor,
    )  # fmt: skip
    if len(picks) > 1:
        scaled = unit_rows(vectors) if metric == "cosine" else vectors
        distances = Distances(scaled, counts, limit_bytes=limit_bytes, executor=executor)
        first = 0
        for each in picks:
            own = places[first : first + len(each.indices)][:budget]
            first += len(each.indices)
            if len(own) == budget:
                found = empty_found(distances, budget)
                adopt(rows_of(distances), distances.counts, own, found)
                rival = to_chosen(found, distances)
                best = rival if rival.value > best.value else best
    return Chosen(indices[order[best.indices]], best.weights, best.gains, best.value)


def partitioned(
    vectors: np.ndarray,
    budget: int,
    n_parts: int,
    *,
    metric: str = "euclidean",
    method: str = "auto",
    rng_words: Sequence[int] | np.ndarray | None = None,
    limit_bytes: int = LIMIT_BYTES,
    executor: Executor | None = None,
) -> Chosen:
    """Both rounds in one process: what ranks that share the parts end with.

    Args:
        vectors: float32 (m, d), one class.
        budget: Samples to choose, 1 <= budget <= m.
        n_parts: Parts; a part smaller than the budget gives all it has.
        metric: As for `facility_location`.
        method: As for `facility_location`.
        rng_words: As for `facility_location`; they deal the parts, too.
        limit_bytes: As for `facility_location`.
        executor: As for `facility_location`.

    Returns:
        As of `merge_rounds`.

    Raises:
        ArgumentError: An argument breaks its contract.
    """
    vectors = check_vectors(vectors, budget)
    options = {
        "metric": metric, "method": method, "rng_words": rng_words,
        "limit_bytes": limit_bytes, "executor": executor,
    }  # fmt: skip
    picks = [
        pick_part(vectors[part], part, budget, **options)  # type: ignore[arg-type]
        for part in split(len(vectors), n_parts, rng_words=rng_words)
    ]
    taken = np.concatenate([each.indices for each in picks])
    return merge_rounds(vectors[taken], picks, budget, **options)  # type: ignore[arg-type]


def pick_part(vectors: np.ndarray, part: np.ndarray, budget: int, **options: object) -> Chosen:
    """First round of one part.

    Args:
        vectors: float32 (len(part), d), the part's own.
        part: int64, the part's indices in the class (`split`).
        budget: Samples to choose; all, if the part has fewer.
        options: Of `facility_location`.

    Returns:
        The chosen, with `indices` of the class.

    Raises:
        ArgumentError: An argument breaks its contract.
    """
    found = facility_location(vectors, min(budget, len(part)), **options)  # type: ignore[arg-type]
    return Chosen(part[found.indices], found.weights, found.gains, found.value)
