"""Selectors that need no signals: coverage, laws and limits of what they draw."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selector_cases import chi_square, chi_square_limit, ids_of, signals_of

from fieldloom.epoch import MAX_OCCURRENCES, plan_epoch
from fieldloom.errors import ArgumentError
from fieldloom.selection import Selection
from fieldloom.selectors import RS2, ClassBalanced, ProgressiveExpansion, Signals, WeightedSampling
from fieldloom.selectors.classes import compact, members, ranks_within, stratified_order
from fieldloom.selectors.drawing import size_of, smallest

# ---------------------------------------------------------------- RS2


@settings(max_examples=60)
@given(
    n=st.integers(1, 60), fraction=st.floats(0.01, 1), seed=st.integers(0, 2**64 - 1), balanced=st.booleans()
)
def test_rs2_without_replacement_covers(n: int, fraction: float, seed: int, balanced: bool) -> None:
    """Part 4 #12: constant size, nothing twice in an epoch, no sample ahead of another by more than one."""
    signals = signals_of(np.arange(n) % 3, seed=seed)
    selector = RS2(fraction, class_balanced=balanced)
    k = size_of(fraction, n)
    counts = np.zeros(n, int)
    for epoch in range(25):
        ids = ids_of(selector.select(epoch, signals), n)
        assert len(ids) == k
        assert (np.diff(ids) > 0).all()
        counts[ids] += 1
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.45])
def test_rs2_slices_are_disjoint_until_the_reshuffle(fraction: float) -> None:
    n = 200
    signals, selector = signals_of(np.zeros(n)), RS2(fraction)
    whole = n // size_of(fraction, n)
    seen = np.concatenate([ids_of(selector.select(e, signals), n) for e in range(whole)])
    assert len(np.unique(seen)) == len(seen)


def test_rs2_carries_over_what_is_left() -> None:
    """5 of 7: the two samples that epoch 0 leaves come in epoch 1; 3 of 7: the one that epochs 0, 1 leave."""
    signals = signals_of(np.zeros(7), seed=3)
    for fraction, k in ((5 / 7, 5), (3 / 7, 3)):
        selector = RS2(fraction)
        before = {i for e in range(7 // k) for i in selector.select(e, signals).ids.tolist()}
        assert set(range(7)) - before <= set(selector.select(7 // k, signals).ids.tolist())


@pytest.mark.parametrize("options", [{}, {"replacement": True}, {"class_balanced": True}])
@pytest.mark.parametrize("fraction", [0.2, 0.7])
def test_rs2_is_uniform(options: dict, fraction: float) -> None:
    """Epoch 5 of 3000 seeds holds each sample, and epochs 0 and 5 each pair of places, alike: at 1e-6."""
    n, trials = 20, 3000
    selector = RS2(fraction, **options)
    k = size_of(fraction, n)
    held = np.zeros((trials, n), bool)
    for seed in range(trials):
        held[seed, selector.select(5, signals_of(np.repeat([0, 1], n // 2), seed=seed)).ids] = True
    # Variance of a cell is that of drawing without replacement, smaller than Poisson's by 1 - k / n.
    counts, expected = held.sum(0), np.full(n, trials * k / n)
    assert chi_square(counts, expected) / (1 - k / n) < chi_square_limit(n - 1)
    if not options.get("class_balanced"):
        together = (held.T.astype(int) @ held)[np.triu_indices(n, 1)]
        p = k * (k - 1) / (n * (n - 1))
        assert np.abs(together - trials * p).max() < 6 * np.sqrt(trials * p * (1 - p))


def test_rs2_with_replacement_is_independent_of_other_epochs() -> None:
    """The overlap of neighboring epochs has the mean k^2 / n of independent subsets, within 5 deviations."""
    n, k, signals = 200, 40, signals_of(np.zeros(200))
    selector = RS2(k / n, replacement=True)
    epochs = [set(selector.select(e, signals).ids.tolist()) for e in range(401)]
    overlaps = [len(a & b) for a, b in itertools.pairwise(epochs)]
    deviation = np.sqrt(k * (k / n) * (1 - k / n) * (n - k) / (n - 1) / len(overlaps))
    assert abs(np.mean(overlaps) - k * k / n) < 5 * deviation


def test_rs2_differs_between_seeds_and_epochs_and_permutations() -> None:
    for options in ({}, {"replacement": True}, {"class_balanced": True}):
        selector = RS2(0.5, **options)
        chosen = {
            tuple(selector.select(e, signals_of(np.zeros(40), seed=s)).ids)
            for e in range(6)
            for s in range(6)
        }
        assert len(chosen) == 36


@pytest.mark.parametrize("replacement", [False, True])
def test_rs2_balanced_holds_classes_in_proportion(replacement: bool) -> None:
    targets = np.repeat([0, 5, 9], [300, 60, 30])
    selector = RS2(0.3, replacement, class_balanced=True)
    for epoch in range(12):
        ids = selector.select(epoch, signals_of(targets)).ids
        got = np.bincount(targets[ids])[[0, 5, 9]]
        assert np.abs(got - [90, 18, 9]).max() <= (2 if replacement else 4), "4: an epoch may have two parts"


def test_rs2_balanced_with_fewer_places_than_classes() -> None:
    """Each epoch has different classes, at most one sample of each; all get their turn."""
    targets = np.repeat(np.arange(50), 10)
    selector, signals = RS2(20 / 500, class_balanced=True), signals_of(targets)
    classes = np.zeros(50, int)
    for epoch in range(25):  # one permutation
        got = targets[selector.select(epoch, signals).ids]
        assert len(set(got)) == len(got) == 20
        classes[got] += 1
    assert (classes == 10).all()


@pytest.mark.parametrize("replacement", [False, True])
def test_rs2_balanced_is_uniform_where_classes_are_unlike(replacement: bool) -> None:
    """One of 20 samples, classes of 1, 4 and 15, epochs 0 and 1 of 8000 seeds: each alike, at 1e-6."""
    targets, trials = np.repeat([0, 1, 2], [1, 4, 15]), 8000
    selector, held = RS2(0.05, replacement, class_balanced=True), np.zeros((2, 20))
    for seed in range(trials):
        signals = signals_of(targets, seed=seed)
        for epoch in range(2):
            held[epoch, selector.select(epoch, signals).ids] += 1
    for counts in held:
        assert chi_square(counts, np.full(20, trials / 20)) < chi_square_limit(19)


def test_rs2_balanced_draws_classes_independently() -> None:
    """20 of 50 classes an epoch: neighbors 0 and 1 come together as any two do, within 5 deviations."""
    targets, trials, p = np.repeat(np.arange(50), 4), 400, 20 * 19 / (50 * 49)
    selector = RS2(20 / 200, class_balanced=True)
    chosen = (targets[selector.select(0, signals_of(targets, seed=s)).ids] for s in range(trials))
    together = sum({0, 1} <= set(classes.tolist()) for classes in chosen)
    assert abs(together - trials * p) < 5 * np.sqrt(trials * p * (1 - p))


def test_rs2_of_one_sample_and_of_all() -> None:
    assert RS2(1.0).select(3, signals_of(np.zeros(5))) is None
    assert RS2(0.01).select(3, signals_of(np.zeros(1))) is None
    one = signals_of(np.zeros(6))
    assert sorted(int(RS2(0.01).select(e, one).ids[0]) for e in range(6)) == list(range(6))


# ---------------------------------------------------------------- drawing and classes


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 30), st.booleans())
def test_smallest(values: list[int], k: int, tied: bool) -> None:
    k = min(k, len(values))
    ties = np.arange(len(values))[::-1] if tied else np.arange(len(values))
    want = np.sort(np.lexsort((ties, values))[:k])
    np.testing.assert_array_equal(smallest(np.array(values), k, ties if tied else None), want)


@given(st.lists(st.tuples(st.integers(-2, 4), st.integers(0, 3)), min_size=1, max_size=30), st.booleans())
def test_ranks_within_classes(pairs: list[tuple[int, int]], tied: bool) -> None:
    labels, values = np.array(pairs).T
    numbers, counts = compact(labels)
    assert (np.unique(labels)[numbers] == labels).all()
    assert counts.tolist() == [int((labels == c).sum()) for c in np.unique(labels)]
    ties = np.arange(len(labels))[::-1]
    ranks = ranks_within(numbers, counts, values, ties if tied else None)
    for number, of in enumerate(members(numbers, counts)):
        np.testing.assert_array_equal(of, np.flatnonzero(numbers == number))
        order = np.lexsort((ties[of] if tied else of, values[of]))
        assert ranks[of[order]].tolist() == list(range(len(of)))


def test_classes_may_have_large_numbers() -> None:
    numbers, counts = compact(np.array([99_999_999, 3, 99_999_999]))
    assert numbers.tolist() == [1, 0, 1]
    assert counts.tolist() == [1, 2]


def test_stretches_of_a_stratified_order_are_balanced() -> None:
    targets = np.repeat(np.arange(7), np.arange(10, 80, 10))
    n, shares = len(targets), np.bincount(targets) / len(targets)
    order = stratified_order(signals_of(targets), 4)
    assert sorted(order) == list(range(n))
    for length in (5, 40, 150):
        for first in range(0, n - length, 7):
            got = np.bincount(targets[order[first : first + length]], minlength=7)
            assert np.abs(got - length * shares).max() <= 2


# ---------------------------------------------------------------- weights


def test_weighted_sampling_follows_the_weights() -> None:
    """Chi square at 1e-6; a weight of 0 never comes."""
    weights = np.array([1, 2, 0, 3, 0.5, 1, 1, 1.5] * 25)
    n, epochs, selector = len(weights), 200, WeightedSampling(weights)
    signals = signals_of(np.zeros(n))
    counts = sum(np.bincount(selector.select(e, signals).ids, minlength=n) for e in range(epochs))
    positive = weights > 0
    assert not counts[~positive].any()
    expected = n * epochs * weights / weights.sum()
    assert chi_square(counts[positive], expected[positive]) < chi_square_limit(int(positive.sum()) - 1)


def test_weighted_sampling_without_replacement_has_the_sequential_law() -> None:
    """First places of (1, 2, 3, 0) by weight, pairs by Bayes: chi square at 1e-6 over 6000 epochs."""
    selector = WeightedSampling([1, 2, 3, 0], n=2, replacement=False)
    signals = signals_of(np.zeros(4))
    counts = np.zeros((4, 4))
    for epoch in range(6000):
        a, b = selector.select(epoch, signals).ids
        counts[a, b] += 1
    w = np.array([1, 2, 3])
    want = np.array([[a / 6 * b / (6 - a) for b in w] for a in w]) * 6000
    others = ~np.eye(3, dtype=bool)
    assert counts.sum() == counts[:3, :3][others].sum() == 6000
    assert chi_square(counts[:3, :3][others], want[others]) < chi_square_limit(5)


def test_weighted_sampling_at_the_ends_of_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """A draw that meets a boundary belongs to the sample above it, never to one of weight 0."""
    draws = np.array([0.0, 0.5, 1 - 2.0**-53])
    monkeypatch.setattr(Signals, "uniforms", lambda *_: draws)
    chosen = WeightedSampling([0, 1, 0, 1, 0], n=3).select(0, signals_of(np.zeros(5)))
    assert chosen.ids.tolist() == [1, 3, 3]


def test_weighted_sampling_of_any_size_and_of_huge_weights() -> None:
    signals = signals_of(np.zeros(3))
    assert len(WeightedSampling([1, 1, 1], n=100).select(0, signals).ids) == 100
    assert WeightedSampling([1e308, 0, 1e308], n=9).select(0, signals).weights is None
    assert set(WeightedSampling([0, 0, 5], n=64).select(0, signals).ids) == {2}
    assert sorted(WeightedSampling([4, 2, 1], replacement=False).select(0, signals).ids) == [0, 1, 2]


def test_class_balanced_draws_classes_alike() -> None:
    """Chi square of classes, and of samples within one, at 1e-6."""
    targets = np.repeat([0, 3, 7], [400, 40, 60])
    signals, selector = signals_of(targets), ClassBalanced()
    ids = np.concatenate([selector.select(e, signals).ids for e in range(60)])
    assert len(ids) == 60 * 500
    classes = np.bincount(targets[ids])[[0, 3, 7]]
    assert chi_square(classes, np.full(3, 10_000)) < chi_square_limit(2)
    within = np.bincount(ids, minlength=500)[400:440]
    assert chi_square(within, np.full(40, within.mean())) < chi_square_limit(39)
    assert len(ClassBalanced(n=30).select(0, signals).ids) == 30


def test_what_would_come_too_often_is_refused_before_it_happens() -> None:
    signals = signals_of(np.repeat([0, 1], [1000, 1]))
    with pytest.raises(ArgumentError, match=r"sample 1000 about 500 times.*at most 128.*n=12\d "):
        ClassBalanced().select(0, signals)
    at_most = ClassBalanced(n=128)
    for epoch in range(200):
        plan_epoch(1001, at_most.select(epoch, signals), shuffle=True, seed=0, epoch=epoch)
    with pytest.raises(ArgumentError, match="WeightedSampling would draw sample 1 about 65 times"):
        WeightedSampling([0, 1, 0], n=65).select(0, signals_of(np.zeros(3)))
    # Accepted: 64 expected; ten times that many epochs as anybody trains stay below 128.
    selector, few = WeightedSampling(np.ones(4), n=256), signals_of(np.zeros(4))
    most = max(np.bincount(selector.select(e, few).ids).max() for e in range(2000))
    assert 64 < most <= MAX_OCCURRENCES


def test_weighted_sampling_refuses() -> None:
    for weights, message in (
        ([1, -1], r"weight -1.0 \(of sample 1\)"), ([1, np.nan], "weight nan"), ([np.inf], "weight inf"),
        ([0, 0], "all 0"), ([], r"shape \(0,\)"), ([[1]], r"shape \(1, 1\)"),
        ("abc", "not a list of numbers"), ([1j], "not a list of numbers"), ([[1], [1, 2]], "no array"),
        (3, r"shape \(\)"),
    ):  # fmt: skip
        with pytest.raises(ArgumentError, match=f"WeightedSampling .*{message}"):
            WeightedSampling(weights)
    with pytest.raises(ArgumentError, match=r"with 2 weights.*3 samples"):
        WeightedSampling([1, 1]).select(0, signals_of(np.zeros(3)))
    with pytest.raises(ArgumentError, match=r"n=3 and replacement=False.*2 of 3 samples"):
        WeightedSampling([1, 1, 0], replacement=False).select(0, signals_of(np.zeros(3)))


def test_weights_are_not_shared_with_the_user() -> None:
    weights = np.ones(3)
    selector = WeightedSampling(weights, n=50)
    weights[:] = 0
    assert len(selector.select(0, signals_of(np.zeros(3))).ids) == 50


# ---------------------------------------------------------------- progressive expansion

GROUPS = np.repeat([4, 1, 9], [50, 20, 8])


def test_expansion_starts_balanced_and_grows_to_everything() -> None:
    selector, signals = ProgressiveExpansion(GROUPS, start=3, interval=2, add=10), signals_of(np.zeros(78))
    sets = [set(ids_of(selector.select(e, signals), 78).tolist()) for e in range(20)]
    assert sets[0] == sets[1] == sets[2]
    assert np.bincount(GROUPS[sorted(sets[0])])[[1, 4, 9]].tolist() == [8, 8, 8]
    sizes = [len(s) for s in sets]
    assert sizes == [24] * 3 + [34, 34, 44, 44, 54, 54, 64, 64, 74, 74] + [78] * 7
    assert all(a <= b for a, b in itertools.pairwise(sets))
    assert selector.select(19, signals) is None


def test_expansion_cap_and_even_spread() -> None:
    signals = signals_of(np.zeros(78))
    capped = ProgressiveExpansion(GROUPS, 1, 1, 1, cap=15).select(0, signals)
    assert np.bincount(GROUPS[capped.ids])[[1, 4, 9]].tolist() == [15, 15, 8]
    even = ProgressiveExpansion(GROUPS, 2, 3, 0, epochs=10)  # milestones 2, 5, 8
    assert [len(ids_of(even.select(e, signals), 78)) for e in (1, 2, 4, 5, 8, 9)] == [24, 42, 42, 60, 78, 78]


def test_expansion_adds_uniformly() -> None:
    """Over 3000 seeds each sample that is not in the balanced beginning is added alike: at 1e-6."""
    selector, added = ProgressiveExpansion(np.repeat([0, 1], [30, 10]), 1, 1, 5), np.zeros(40)
    for seed in range(3000):
        signals = signals_of(np.zeros(40), seed=seed)
        new = np.setdiff1d(selector.select(1, signals).ids, selector.select(0, signals).ids)
        assert len(new) == 5
        added[new] += 1
    assert not added[30:].any()
    assert chi_square(added[:30], np.full(30, 500)) < chi_square_limit(29)


def test_expansion_refuses() -> None:
    good = {"groups": [0, 1], "start": 1, "interval": 1, "add": 1}
    for option, value, message in (
        ("groups", [0.5, 1], "float64.*whole numbers"), ("groups", [[1], [2, 3]], "no array"),
        ("groups", [[1]], r"shape \(1, 1\)"), ("start", -1, "start=-1"), ("interval", 0, "interval=0"),
        ("add", 1.5, "add=1.5"), ("cap", -1, "cap=-1"), ("epochs", 0, "epochs=0"),
        ("add", 0, "add=0, start=1"),
    ):  # fmt: skip
        with pytest.raises(ArgumentError, match=f"ProgressiveExpansion.*{message}"):
            ProgressiveExpansion(**{**good, option: value})
    with pytest.raises(ArgumentError, match=r"with 2 groups.*3 samples"):
        ProgressiveExpansion(**good).select(0, signals_of(np.zeros(3)))


def test_selections_are_plain_subsets() -> None:
    """No weights, no strength: what is drawn counts as it is."""
    signals = signals_of(np.zeros(78))
    for selector in (RS2(0.3), WeightedSampling(np.ones(78)), ProgressiveExpansion(GROUPS, 5, 1, 1)):
        chosen = selector.select(2, signals)
        assert isinstance(chosen, Selection)
        assert chosen.ids.dtype == np.int64
        assert chosen.weights is None
        assert chosen.strength is None
