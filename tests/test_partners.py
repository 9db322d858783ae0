"""Partners: within the groups of the plan, by each rule, whatever else the batch holds."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mixing_cases import ALL, draw, groups, user_masks

from fieldloom.kernels.stages.mixing import Mix
from fieldloom.kernels.stages.staged import Groups, Mixture

N = 80_000


def partners(rule: str, n: int, at: Groups, item: Mix = ALL["mixup"]) -> Mixture:
    return draw(dataclasses.replace(item, partner=rule), n, groups=at)[2]


def test_random_partners_are_uniform_among_the_others() -> None:
    mixture = partners("random", N, groups(N))
    own, other = mixture.places.T
    assert (own // 8 == other // 8).all()
    assert (own != other).all()
    gap = (other - own) % 8
    counts = np.bincount(gap, minlength=8)[1:]
    chi2 = ((counts - N / 7) ** 2 / (N / 7)).sum()
    assert chi2 < 22.5  # 6 degrees of freedom, once in 1000


@pytest.mark.parametrize("size", [2, 3, 5, 8, 64])
def test_group_sizes_and_ragged_ends(size: int) -> None:
    own, other = partners("random", 131, groups(131, size)).places.T
    assert (own // size == other // size).all()
    alone = 131 % size == 1
    assert (own == other).sum() == alone


def test_positions_make_groups_wherever_a_batch_begins() -> None:
    at = Groups(np.arange(5, 45), np.zeros(40, np.int64), 8)
    own, other = partners("random", 40, at).places.T
    assert (at.positions[own] // 8 == at.positions[other] // 8).all()
    assert (own != other).all()  # the first group has three members, the last five


@pytest.mark.parametrize(("rule", "same"), [("same_class", True), ("other_class", False)])
def test_class_rules(rule: str, same: bool) -> None:
    classes = np.random.default_rng(0).integers(0, 3, 800)
    mixture = partners(rule, 800, groups(800, classes=classes))
    own, other = mixture.places.T
    mixed = mixture.kinds == 1
    assert 0.5 < mixed.mean() <= 1
    assert ((classes[own] == classes[other]) == same)[mixed].all()
    assert (own != other)[mixed].all()
    for i in np.flatnonzero(~mixed):
        members = np.delete(classes[i // 8 * 8 : i // 8 * 8 + 8], i % 8)
        assert not ((members == classes[i]) == same).any()
    assert (mixture.weights[~mixed] == [1, 0]).all()


def test_reversed() -> None:
    np.testing.assert_array_equal(
        partners("reversed", 16, groups(16)).places[:, 1], [*range(7, -1, -1), *range(15, 7, -1)]
    )
    mixture = partners("reversed", 5, groups(5))
    np.testing.assert_array_equal(mixture.places[:, 1], [4, 3, 2, 1, 0])
    np.testing.assert_array_equal(mixture.kinds, [1, 1, 0, 1, 1])  # the middle mirrors itself


def test_more_ways() -> None:
    item = user_masks(4, 4, ways=4)
    for rule in ("random", "reversed"):
        finish, _, mixture = draw(dataclasses.replace(item, partner=rule), 80, (4, 4))
        for row in mixture.places:
            assert len(set(row)) == 4
            assert len(set(row // 8)) == 1
    assert finish["partner"][0].tolist() == [7, 1, 2]  # "reversed" goes on behind the mirrored place
    assert finish["partner"][6].tolist() == [1, 2, 3]
    # A group of two: the one partner comes again.
    finish, _, mixture = draw(item, 2, (4, 4))
    assert finish["partner"].tolist() == [[1, 1, 1], [0, 0, 0]]
    assert abs(mixture.weights.sum(1) - 1).max() < 1e-6


def test_several_partners_are_uniform_together() -> None:
    n = 40_000
    finish, _, _ = draw(user_masks(4, 4, ways=3), n, (4, 4), groups=groups(n, 4))
    first, second = (finish["partner"][:, :2] - np.arange(n)[:, None]).T % 4
    counts = np.bincount(4 * first + second, minlength=16)
    pairs = counts[counts > 0]
    assert len(pairs) == 6  # ordered pairs of the three others
    assert ((pairs - n / 6) ** 2 / (n / 6)).sum() < 20.5  # 5 degrees of freedom, once in 1000


@given(st.data())
def test_any_batch(data: st.DataObject) -> None:
    """Whatever the group and the order: partners belong to the group and fit the rule."""
    n, size = data.draw(st.integers(0, 30)), data.draw(st.integers(1, 12))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    at = Groups(rng.permutation(60)[:n], rng.integers(0, 3, n), size)
    rule = data.draw(st.sampled_from(["random", "same_class", "other_class", "reversed"]))
    name = data.draw(st.sampled_from(list(ALL)))
    item = dataclasses.replace(ALL[name], partner=rule)
    finish, _, mixture = draw(item, n, (12, 20), groups=at)
    mixed = np.flatnonzero(mixture.kinds)
    for i in mixed:
        for j in finish["partner"][i, : finish["ways"][i] - 1]:
            assert i != j
            assert at.positions[i] // size == at.positions[j] // size
            if rule.endswith("class"):
                assert (at.classes[i] == at.classes[j]) == (rule == "same_class")
    if rule == "random":
        counts = np.unique(at.positions // size, return_counts=True)
        assert len(mixed) == sum(c for c in counts[1] if c > 1)
