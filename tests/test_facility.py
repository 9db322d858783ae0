from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from submodular_cases import (
    best_facility,
    clouds,
    cluster_sizes,
    distances,
    facility_gains,
    facility_value,
    lines,
    naive_facility,
)

from fieldloom.errors import ArgumentError
from fieldloom.kernels.submodular.distances import Distances
from fieldloom.kernels.submodular.facility import facility_location, facility_location_classes
from fieldloom.kernels.submodular.pairwise import TILE


def same(a, b) -> bool:
    return (
        np.array_equal(a.indices, b.indices)
        and np.array_equal(a.weights, b.weights)
        and np.array_equal(a.gains, b.gains)
        and a.value == b.value
    )


def cloud(m, d, seed=0):
    return np.random.default_rng(seed).normal(size=(m, d)).astype(np.float32)


@given(lines())
def test_equals_naive_greedy_in_every_tie(case):
    vectors, budget = case
    d = distances(vectors)
    found = facility_location(vectors, budget, method="lazy")
    assert found.indices.tolist() == naive_facility(d, budget)
    assert found.weights.tolist() == cluster_sizes(d, found.indices).tolist()
    assert found.value == facility_value(d, found.indices)
    assert found.gains.sum() == found.value
    assert (found.indices.dtype, found.weights.dtype, found.gains.dtype) == (np.int64, np.float32, np.float64)


@given(lines(), st.data())
def test_counts_are_repeated_samples(case, data):
    vectors, budget = case
    counts = np.array(data.draw(st.lists(st.integers(1, 9), min_size=len(vectors), max_size=len(vectors))))
    d = distances(vectors)
    found = facility_location(vectors, budget, counts=counts)
    assert found.indices.tolist() == naive_facility(d, budget, counts)
    assert found.weights.tolist() == cluster_sizes(d, found.indices, counts).tolist()
    assert found.value == facility_value(d, found.indices, counts)


@given(clouds())
def test_every_pick_gains_the_most(case):
    vectors, budget = case
    d = distances(vectors)
    found = facility_location(vectors, budget)
    assert len(set(found.indices.tolist())) == budget
    error = len(d) * d.max() * 3e-7  # a step each, and float32
    for n, j in enumerate(found.indices):
        gains = facility_gains(d, found.indices[:n])
        assert gains[j] >= gains.max() - 2 * error
        assert abs(gains[j] - found.gains[n]) <= 2 * error
    assert abs(found.value - facility_value(d, found.indices)) <= 2 * error


@given(clouds(largest=9))
def test_reaches_its_share_of_the_optimum(case):
    vectors, budget = case
    d = distances(vectors)
    found = facility_location(vectors, budget)
    assert facility_value(d, found.indices) >= (1 - 1 / np.e) * best_facility(d, budget) - 1e-5


@given(clouds(), st.sampled_from(["lazy", "stochastic"]), st.integers(2, 9))
def test_blocks_equal_the_whole(case, method, n_rows):
    vectors, budget = case
    whole = facility_location(vectors, budget, method=method)
    limit = 4 * len(vectors) * n_rows
    assert same(facility_location(vectors, budget, method=method, limit_bytes=limit), whole)


@pytest.mark.parametrize("n_rows", [2, 50, 700])
def test_threads_and_blocks_of_many_tiles(n_rows):
    vectors = cloud(2 * TILE + 188, 7)
    m = len(vectors)
    whole = facility_location(vectors, 70)
    assert whole.indices.tolist() == naive_facility(distances(vectors), 70)
    with ThreadPoolExecutor(3) as pool:
        found = facility_location(vectors, 70, limit_bytes=4 * m * n_rows, executor=pool)
    assert same(found, whole)


def test_memory_stays_below_the_limit():
    vectors = cloud(300, 4)
    for limit in (2400, 50_000, 359_999, 360_000, 10**6):
        kept = Distances(vectors, limit_bytes=limit)
        assert kept.rows.nbytes <= limit
        assert kept.whole == (limit >= 360_000)
    with pytest.raises(ArgumentError, match="limit_bytes=2399 is too little"):
        Distances(vectors, limit_bytes=2399)


@pytest.mark.parametrize("method", ["lazy", "stochastic"])
def test_equal_samples_and_all(method):
    vectors = np.repeat(np.float32([[0, 0], [3, 4], [0, 0]]), [2, 3, 1], axis=0)
    found = facility_location(vectors, 6, method=method)
    assert sorted(found.indices.tolist()) == [0, 1, 2, 3, 4, 5]
    assert found.value == 30
    by_index = dict(zip(found.indices.tolist(), found.weights.tolist(), strict=True))
    assert by_index == {0: 3, 1: 1, 2: 3, 3: 1, 4: 1, 5: 1}
    for zeros in (np.zeros((4, 3), np.float32), np.zeros((4, 0), np.float32)):
        assert facility_location(zeros, 3).indices.tolist() == [0, 1, 2]
        assert facility_location(zeros, 3).value == 0


def test_one_sample():
    found = facility_location(np.float32([[5, 6]]), 1)
    assert (found.indices.tolist(), found.weights.tolist(), found.value) == ([0], [1], 0)


@pytest.mark.parametrize("exponent", [-140, -60, 60, 120])
def test_the_unit_does_not_matter(exponent):
    vectors = np.round(cloud(50, 5) * 64) / 8
    scaled = np.ldexp(vectors, exponent)
    assert np.array_equal(np.ldexp(scaled.astype(np.float64), -exponent), vectors)
    one, other = facility_location(vectors, 9), facility_location(scaled, 9)
    assert np.array_equal(one.indices, other.indices)
    assert np.array_equal(np.ldexp(one.gains, exponent), other.gains)


def test_a_shift_costs_no_precision():
    # By |a|² + |b|² − 2ab these distances would be lost: next to 5e6, float32 has steps of 0.5.
    vectors = np.round(cloud(50, 5) * 64) / 64
    moved = facility_location(vectors + np.float32(1000), 9)
    assert np.array_equal(facility_location(vectors, 9).indices, moved.indices)


def test_cosine_looks_at_directions():
    vectors = cloud(60, 4)
    lengths = np.ldexp(np.float32(1), np.random.default_rng(1).integers(-3, 4, 60))[:, None]
    assert same(
        facility_location(vectors, 9, metric="cosine"),
        facility_location(vectors * lengths, 9, metric="cosine"),
    )
    units = vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    expected = facility_location(units.astype(np.float32), 9)
    assert np.array_equal(facility_location(vectors, 9, metric="cosine").indices, expected.indices)
    assert facility_location(np.zeros((2, 3), np.float32), 1, metric="cosine").indices.tolist() == [0]


@given(clouds())
def test_stochastic_that_looks_at_all_is_lazy(case):
    vectors, budget = case
    # (m / k) ln(1 / epsilon) >= m
    found = facility_location(vectors, budget, method="stochastic", epsilon=np.exp(-budget) / 2)
    assert same(found, facility_location(vectors, budget, method="lazy"))


def test_stochastic_follows_its_words():
    vectors = cloud(200, 5)
    chosen = {
        tuple(facility_location(vectors, 20, method="stochastic", rng_words=words).indices.tolist())
        for words in [(0, 0, 0, 0, 0), None, *np.eye(5, dtype=np.uint32)]
    }
    assert len(chosen) == 6  # None means zeros
    values = [
        facility_location(vectors, 20, method="stochastic", rng_words=(n, 0, 0, 0, 0), epsilon=0.1).value
        for n in range(20)
    ]
    best = facility_location(vectors, 20).value
    assert (1 - 1 / np.e - 0.1) * best < min(values)
    assert 0.97 * best < np.mean(values) < best


def test_stochastic_draws_candidates_evenly():
    # One candidate a step: the first pick is any sample, as often as any other.
    vectors = cloud(8, 2)
    first = [
        facility_location(vectors, 8, method="stochastic", epsilon=0.9, rng_words=(n, 1, 2, 3, 4)).indices[0]
        for n in range(4000)
    ]
    counts = np.bincount(first, minlength=8)
    assert ((counts - 500) ** 2 / 500).sum() < 24.3  # chi-square, 7 degrees of freedom, 0.1 %


@pytest.mark.parametrize("limit_bytes", [1 << 20, 60_000])
@pytest.mark.parametrize("method", ["lazy", "stochastic"])
def test_classes_are_chosen_each_by_itself(limit_bytes, method):
    random = np.random.default_rng(2)
    labels = random.permutation(np.repeat([0, 1, 3, 4], [150, 40, 100, 1]))
    vectors, budgets = random.normal(size=(291, 6)).astype(np.float32), [20, 0, 0, 100, 1]
    options = {"limit_bytes": limit_bytes, "method": method}
    alone = facility_location_classes(vectors, labels, budgets, rng_words=(1, 2, 3, 4, 5), **options)
    with ThreadPoolExecutor(3) as pool:
        found = facility_location_classes(
            vectors, labels, budgets, rng_words=(1, 2, 3, 4, 5), executor=pool, **options
        )
    for label, (a, b) in enumerate(zip(alone, found, strict=True)):
        assert same(a, b)
        assert len(a.indices) == budgets[label]
        assert (labels[a.indices] == label).all()
        if budgets[label]:
            members = np.flatnonzero(labels == label)
            own = facility_location(
                vectors[members], budgets[label], rng_words=(1 + label, 2, 3, 4, 5), **options
            )
            assert np.array_equal(members[own.indices], a.indices)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": 0}, "budget=0 is out of range.*from 1 to 4"),
        ({"budget": 5}, "budget=5 is out of range"),
        ({"budget": True}, "budget=True"),
        ({"budget": 2.0}, "budget=2.0"),
        ({"vectors": np.zeros((0, 3), np.float32)}, r"its shape is \(0, 3\)"),
        ({"vectors": np.zeros(3, np.float32)}, "must be a matrix"),
        ({"vectors": np.zeros((4, 2), int)}, "floating-point"),
        ({"vectors": np.float32([[0], [np.nan], [1]])}, "row 1 has NaN"),
        ({"vectors": np.array([[0], [1], [1e300]])}, "row 2 has NaN"),
        ({"method": "greedy"}, "method='greedy' is not known"),
        ({"metric": "l1"}, "metric='l1' is not known"),
        ({"epsilon": 0}, "epsilon=0 is out of range"),
        ({"epsilon": float("nan")}, "epsilon=nan"),
        ({"rng_words": [1, 2, 3]}, "five whole numbers"),
        ({"rng_words": [1, 2, 3, 4, -1]}, "five whole numbers"),
        ({"counts": [1, 1, 1]}, "counts must be"),
        ({"counts": [1, 1, 0, 1]}, "counts must be"),
        ({"limit_bytes": 31}, "limit_bytes=31"),
    ],
)
def test_wrong_arguments(change, message):
    arguments = {"vectors": np.zeros((4, 2), np.float32), "budget": 2} | change
    with pytest.raises(ArgumentError, match=message):
        facility_location(arguments.pop("vectors"), arguments.pop("budget"), **arguments)


@pytest.mark.parametrize(
    ("labels", "budgets", "message"),
    [
        ([0, 1, 1], [1, 1], "one a vector"),
        ([0.0, 1, 1, 1], [1, 1], "must be integers"),
        ([0, 1, 2, 1], [1, 1], "from 0 to 2, with 2 budgets"),
        ([0, 1, -1, 1], [1, 1], "from -1 to 1"),
        ([0, 1, 1, 1], [1, 4], "the budget 4 of class 1 is out of range: the class has 3"),
        ([0, 1, 1, 1], [-1, 1], "the budget -1 of class 0"),
        ([0, 1, 1, 1], [0.5, 1], "budgets must be integers"),
    ],
)
def test_wrong_classes(labels, budgets, message):
    with pytest.raises(ArgumentError, match=message):
        facility_location_classes(np.zeros((4, 2), np.float32), np.array(labels), budgets)
