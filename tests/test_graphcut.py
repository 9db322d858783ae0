import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from submodular_cases import clouds

from fieldloom.errors import ArgumentError
from fieldloom.kernels.submodular.graphcut import graph_cut


def cosines(vectors: np.ndarray) -> np.ndarray:
    v = vectors.astype(np.float64)
    lengths = np.linalg.norm(v, axis=1, keepdims=True)
    unit = np.divide(v, lengths, out=np.zeros_like(v), where=lengths > 0)
    return unit @ unit.T


def gains(similar: np.ndarray, chosen: list[int], lam: float) -> np.ndarray:
    found = lam * similar.sum(1) - 2 * similar[:, chosen].sum(1)
    found[chosen] = -np.inf
    return found


@given(clouds(), st.sampled_from([0.0, 0.5, 1.0, 7.0]))
def test_every_pick_gains_the_most(case, lam):
    vectors, budget = case
    found = graph_cut(vectors, budget, lam=lam).tolist()
    assert len(set(found)) == budget
    similar = cosines(vectors)
    for n, j in enumerate(found):
        possible = gains(similar, found[:n], lam)
        assert possible[j] >= possible.max() - 1e-5 * len(vectors)


@given(
    st.lists(st.sampled_from([(1, 0), (0, 1), (-1, 0), (0, -2), (0, 0)]), min_size=1, max_size=20), st.data()
)
def test_equals_naive_greedy_in_every_tie(rows, data):
    # Cosines of these are whole numbers, and all sums exact.
    vectors, chosen = np.array(rows, np.float32), []
    similar = cosines(vectors)
    budget = data.draw(st.integers(1, len(rows)))
    for _ in range(budget):
        chosen.append(int(gains(similar, chosen, 1.0).argmax()))
    assert graph_cut(vectors, budget).tolist() == chosen


def test_picks_differ_from_each_other_and_resemble_the_rest():
    vectors = np.float32([[1, 0], [1, 0.01], [1, 0.02], [0, 1], [0.01, 1], [-1, -1]])
    first, second = graph_cut(vectors, 2)
    assert {int(first) // 3, int(second) // 3} == {0, 1}


@given(clouds(), st.data())
def test_pool_is_a_class_of_its_own(case, data):
    vectors, _ = case
    every = list(range(len(vectors)))
    pool = np.array(data.draw(st.lists(st.sampled_from(every), min_size=1, unique=True)))
    budget = data.draw(st.integers(1, len(pool)))
    rows = np.sort(pool)
    assert graph_cut(vectors, budget, pool=pool).tolist() == rows[graph_cut(vectors[rows], budget)].tolist()
    assert np.array_equal(
        graph_cut(vectors, budget, pool=rows), graph_cut(vectors, budget, pool=pool)
    )  # its order does not matter


def test_many_coordinates():
    vectors = np.random.default_rng(0).normal(size=(500, 67)).astype(np.float32)
    similar, found = cosines(vectors), graph_cut(vectors, 50).tolist()
    chosen: list[int] = []
    for _ in range(50):
        chosen.append(int(gains(similar, chosen, 1.0).argmax()))
    assert found == chosen


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": 0}, "budget=0"),
        ({"budget": 5}, "budget=5"),
        ({"pool": [0, 1], "budget": 3}, "budget=3 is out of range.*to 2"),
        ({"pool": [0, 0]}, "pool is out of range"),
        ({"pool": [0, 4]}, "pool is out of range.*0 to 3"),
        ({"pool": [-1]}, "pool is out of range"),
        ({"pool": []}, "pool must be"),
        ({"pool": [True, False, True, True]}, "pool must be"),
        ({"lam": -1}, "lam=-1 is out of range"),
        ({"lam": float("nan")}, "lam=nan"),
    ],
)
def test_wrong_arguments(change, message):
    arguments = {"budget": 1} | change
    with pytest.raises(ArgumentError, match=message):
        graph_cut(np.ones((4, 2), np.float32), **arguments)
