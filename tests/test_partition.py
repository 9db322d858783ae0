from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from submodular_cases import clouds, distances, facility_value

from fieldloom.errors import ArgumentError
from fieldloom.kernels.submodular.facility import Chosen, facility_location
from fieldloom.kernels.submodular.partition import merge_rounds, partitioned, pick_part, split


@given(st.integers(1, 300), st.data())
def test_split_gives_each_sample_to_one_part(m, data):
    n_parts = data.draw(st.integers(1, m))
    parts = split(m, n_parts)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(m))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert all((np.diff(part) > 0).all() for part in parts)


def test_split_follows_its_words():
    words = [None, *np.eye(5, dtype=np.uint32)]
    assert len({split(100, 2, rng_words=each)[0].tobytes() for each in words}) == 6
    # Halves at random share a quarter of the samples each.
    shared = np.intersect1d(split(1000, 2)[0], split(1000, 2, rng_words=words[1])[0])
    assert 200 < len(shared) < 300


@given(clouds())
def test_one_part_is_greedy_itself(case):
    vectors, budget = case
    whole, parted = facility_location(vectors, budget), partitioned(vectors, budget, 1)
    # The second round has only the chosen to choose from, and takes them all.
    assert sorted(parted.indices) == sorted(whole.indices)


@given(clouds(), st.data())
def test_parts_choose_as_many_and_represent_all(case, data):
    vectors, budget = case
    n_parts = data.draw(st.integers(1, len(vectors)))
    found = partitioned(vectors, budget, n_parts)
    assert len(set(found.indices.tolist())) == budget
    assert found.weights.sum() >= len(vectors)
    assert np.array_equal(found.indices, partitioned(vectors, budget, n_parts).indices)


def test_value_is_near_greedy():
    vectors = np.random.default_rng(0).normal(size=(1200, 8)).astype(np.float32)
    d = distances(vectors)
    whole = facility_value(d, facility_location(vectors, 60).indices)
    one_part = facility_value(d, pick_part(vectors[:300], np.arange(300), 60).indices)
    for n_parts in (2, 4, 8):
        with ThreadPoolExecutor(2) as pool:
            found = partitioned(vectors, 60, n_parts, executor=pool)
        assert found.weights.sum() == 1200
        value = facility_value(d, found.indices)
        assert max(one_part, 0.98 * whole) < value <= whole * 1.001


def test_a_part_that_did_better_wins():
    # The second round starts at 11 in the middle, which no pair that covers both ends contains.
    vectors = np.float32([[0], [11], [20]])
    picks = [
        Chosen(np.array([0, 2]), np.float32([10, 10]), np.zeros(2), 0.0),
        Chosen(np.array([1]), np.float32([1]), np.zeros(1), 0.0),
    ]
    merged = merge_rounds(vectors[[0, 2, 1]], picks, 2)
    assert merged.indices.tolist() == [0, 2]
    without = merge_rounds(vectors[[0, 2, 1]], [picks[0], picks[1]], 1)
    assert len(without.indices) == 1


def test_ties_go_to_the_lowest_index_of_the_class():
    vectors = np.float32([[0], [2], [0], [2]])
    picks = [
        Chosen(np.array([3, 2]), np.float32([1, 1]), np.zeros(2), 0.0),
        Chosen(np.array([1, 0]), np.float32([1, 1]), np.zeros(2), 0.0),
    ]
    merged = merge_rounds(vectors[[3, 2, 1, 0]], picks, 2)
    assert merged.indices.tolist() == [0, 1]
    assert merged.weights.tolist() == [2, 2]


def test_cosine_in_both_rounds():
    random = np.random.default_rng(1)
    vectors = random.normal(size=(200, 3)).astype(np.float32)
    lengths = np.ldexp(np.float32(1), random.integers(-3, 4, 200))[:, None]
    one, other = (partitioned(v, 12, 3, metric="cosine") for v in (vectors, vectors * lengths))
    assert np.array_equal(one.indices, other.indices)


def test_wrong_arguments():
    vectors = np.zeros((3, 2), np.float32)
    pick = Chosen(np.array([0, 1]), np.ones(2, np.float32), np.zeros(2), 0.0)
    for n_parts in (0, 4):
        with pytest.raises(ArgumentError, match=f"n_parts={n_parts}"):
            partitioned(vectors, 1, n_parts)
    with pytest.raises(ArgumentError, match="3 vectors for 2 picks"):
        merge_rounds(vectors, [pick], 1)
    with pytest.raises(ArgumentError, match="picked by two parts"):
        merge_rounds(np.zeros((4, 2), np.float32), [pick, pick], 1)
    with pytest.raises(ArgumentError, match="budget=3"):
        merge_rounds(vectors[:2], [pick], 3)
