from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from submodular_cases import clouds, distances, lines

from fieldloom.errors import ArgumentError
from fieldloom.kernels.submodular.kcenter import k_center
from fieldloom.kernels.submodular.pairwise import TILE


def naive(d: np.ndarray, budget: int, first: int) -> list[int]:
    chosen = [first]
    for _ in range(budget - 1):
        nearest = d[:, chosen].min(1)
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
    return chosen


@given(lines(), st.data())
def test_equals_the_definition_in_every_tie(case, data):
    vectors, budget = case
    first = data.draw(st.integers(0, len(vectors) - 1))
    found = k_center(vectors, budget, first=first)
    assert found.dtype == np.int64
    assert found.tolist() == naive(distances(vectors), budget, first)


@given(clouds())
def test_every_pick_is_the_farthest(case):
    vectors, budget = case
    d = distances(vectors)
    found = k_center(vectors, budget)
    assert len(set(found.tolist())) == budget
    v = vectors.astype(np.float64)
    to_mean = ((v - v.mean(0)) ** 2).sum(1)
    assert to_mean[found[0]] <= to_mean.min() + 1e-9
    for n in range(1, budget):
        nearest = d[:, found[:n]].min(1)
        assert nearest[found[n]] >= nearest.max() * (1 - 1e-6)


@given(clouds(largest=8))
def test_radius_is_at_most_twice_the_optimum(case):
    vectors, budget = case
    d = distances(vectors)
    radius = d[:, k_center(vectors, budget)].min(1).max()
    best = min(d[:, list(c)].min(1).max() for c in combinations(range(len(d)), budget))
    assert radius <= 2 * best * (1 + 1e-6)


def test_rows_of_several_blocks():
    vectors = np.random.default_rng(0).normal(size=(9 * TILE + 3, 6)).astype(np.float32)
    assert k_center(vectors, 40, first=5).tolist() == naive(distances(vectors), 40, 5)


def test_small_and_equal():
    assert k_center(np.float32([[3]]), 1).tolist() == [0]
    assert k_center(np.zeros((3, 2), np.float32), 3).tolist() == [0, 1, 2]
    assert k_center(np.float32([[0], [10], [4], [6]]), 1).tolist() == [2]  # 4 and 6 are equally near to 5
    assert k_center(np.float32([[0], [1e30], [-1e30]]), 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("budget", "first", "message"),
    [
        (0, None, "budget=0"),
        (4, None, "budget=4"),
        (1, 3, "first=3 is out of range"),
        (1, -1, "first=-1"),
        (1, True, "first=True"),
    ],
)
def test_wrong_arguments(budget, first, message):
    with pytest.raises(ArgumentError, match=message):
        k_center(np.zeros((3, 2), np.float32), budget, first=first)
