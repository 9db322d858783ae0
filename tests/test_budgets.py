import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldloom.errors import ArgumentError
from fieldloom.kernels.submodular.budgets import class_budgets

counts_lists = st.lists(st.integers(0, 30), max_size=12)


@given(counts_lists, st.integers(0, 200), st.booleans())
def test_sum_is_exact_and_no_class_gives_more_than_it_has(counts, budget, equal):
    found = class_budgets(counts, budget, equal=equal)
    assert found.dtype == np.int64
    assert found.shape == (len(counts),)
    assert found.sum() == min(budget, sum(counts))
    assert (found >= 0).all()
    assert (found <= np.array(counts, np.int64)).all()


@given(counts_lists.filter(len), st.integers(0, 200))
def test_equal_gives_the_same_but_for_small_classes(counts, budget):
    found = class_budgets(counts, budget, equal=True)
    level = found.max()
    for c, (part, n) in enumerate(zip(found, counts, strict=True)):
        assert part in (n, level, level - 1)
        assert part == n or part >= level - 1
        if part == level - 1 and part < n:  # those that give one less come last
            assert all(later < level or counts[c + i + 1] < level for i, later in enumerate(found[c + 1 :]))


@given(counts_lists.filter(sum), st.integers(0, 200))
def test_proportional_decrements_the_most_rounded_first(counts, budget):
    budget = min(budget, sum(counts))
    found = class_budgets(counts, budget, equal=False)
    total = sum(counts)
    exact = [budget * n / total for n in counts]
    up = [math.ceil(budget * n / total - 1e-12) for n in counts]
    lowered = [c for c in range(len(counts)) if found[c] != up[c]]
    assert all(found[c] == up[c] - 1 for c in lowered)
    excess = [u - e for u, e in zip(up, exact, strict=True)]
    for c in lowered:
        for other in set(range(len(counts))) - set(lowered):
            assert excess[c] > excess[other] - 1e-9
            assert c < other or excess[c] > excess[other] + 1e-9


@pytest.mark.parametrize(
    ("counts", "budget", "equal", "expected"),
    [
        ([5000] * 10, 5000, True, [500] * 10),
        ([10, 10, 10], 10, True, [4, 3, 3]),
        ([2, 50, 50, 1], 30, True, [2, 14, 13, 1]),
        ([0, 3, 3], 4, True, [0, 2, 2]),
        ([3, 3, 0], 5, True, [3, 2, 0]),
        ([10, 20, 30], 6, False, [1, 2, 3]),
        ([1, 1, 1, 1], 2, False, [0, 0, 1, 1]),
        ([100, 1], 50, False, [50, 0]),
        ([100, 2], 50, False, [49, 1]),
        ([4, 4], 100, False, [4, 4]),
        ([], 3, False, []),
        ([0, 0], 3, True, [0, 0]),
    ],
)
def test_known_cases(counts, budget, equal, expected):
    assert class_budgets(counts, budget, equal=equal).tolist() == expected


def test_products_beyond_64_bits():
    found = class_budgets([2**40, 2**40, 2**41], 2**41, equal=False)
    assert found.tolist() == [2**39, 2**39, 2**40]


@pytest.mark.parametrize(
    ("counts", "budget", "message"),
    [
        ([1, -1], 1, "counts must be"),
        ([1.0], 1, "counts must be"),
        ([[1]], 1, "counts must be"),
        ([1], -1, "budget=-1 is out of range"),
        ([1], 1.5, "budget=1.5"),
        ([1], True, "budget=True"),
    ],
)
def test_wrong_arguments(counts, budget, message):
    with pytest.raises(ArgumentError, match=message):
        class_budgets(counts, budget, equal=True)
