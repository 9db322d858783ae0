"""InfoBatch and SampleAdaptive: what losses of the training change about the next epoch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from selector_cases import clone, report, same, signals_of

from fieldloom.errors import ArgumentError, StateError
from fieldloom.selectors import InfoBatch, SampleAdaptive, Signals
from fieldloom.selectors.otsu import otsu_threshold

N = 4000
LOSSES = np.random.default_rng(1).exponential(1, N).astype(np.float32)
LOW = LOSSES.astype(np.float64).mean() > LOSSES

# ---------------------------------------------------------------- InfoBatch


@pytest.mark.parametrize("r", [0.25, 0.5, 0.9])
def test_infobatch_drops_with_probability_r(r: float) -> None:
    """Only below the mean, at random, within 5 deviations; anew each epoch."""
    signals = signals_of(np.zeros(N), loss=LOSSES)
    selector = InfoBatch(100, r=r)
    held = np.zeros((20, N), bool)
    for epoch in range(20):
        held[epoch, selector.select(epoch + 1, signals).ids] = True
    assert held[:, ~LOW].all()
    kept = held[:, LOW]
    assert abs(kept.mean() - (1 - r)) < 5 * np.sqrt(r * (1 - r) / kept.size)
    both = (kept[0] & kept[1]).mean()
    assert abs(both - (1 - r) ** 2) < 5 * np.sqrt((1 - r) ** 2 / LOW.sum())


def test_infobatch_weights_are_unbiased_up_to_its_scale() -> None:
    """The mean of scale x weight x (held) over 300 epochs is 1 for each sample, within 6 deviations."""
    signals, r, epochs = signals_of(np.zeros(N), loss=LOSSES), 0.5, 300
    selector, total = InfoBatch(10_000, r=r), np.zeros(N)
    for epoch in range(epochs):
        chosen = selector.select(epoch, signals)
        assert chosen.weights.dtype == np.float32
        assert chosen.weights.mean(dtype=np.float64) == pytest.approx(1, abs=1e-6)
        assert len(np.unique(chosen.weights)) == 2
        total[chosen.ids] += chosen.weights * selector.scale
    np.testing.assert_allclose(total[~LOW] / epochs, 1, rtol=1e-5)
    assert np.abs(total[LOW] / epochs - 1).max() < 6 * np.sqrt(r / (1 - r) / epochs)


def test_infobatch_first_and_last_epochs_hold_everything() -> None:
    selector, signals = InfoBatch(16), Signals(np.zeros(N, np.int64), ("loss",), 0)
    assert selector.select(0, signals) is None
    report(signals, 0, loss=LOSSES)
    sizes = [N if (chosen := selector.select(e, signals)) is None else len(chosen.ids) for e in range(1, 18)]
    assert max(sizes[:13]) < N, "epochs 1 to 13"
    assert sizes[13:] == [N] * 4, "14 and 15, an eighth of 16, and whatever comes after"
    assert selector.scale == 1
    assert InfoBatch(200, last=0.1).select(179, signals) is not None
    assert InfoBatch(200, last=0.1).select(180, signals) is None
    assert InfoBatch(7, last=0).select(6, signals) is not None


def test_infobatch_keeps_what_it_knows_nothing_of() -> None:
    signals = Signals(np.zeros(6, np.int64), ("loss",), 0)
    report(signals, 0, ids=[0, 1, 2, 3], loss=torch.tensor([1.0, 2.0, np.nan, np.inf]))
    selector = InfoBatch(1000, r=0.99)
    always = set(range(6))
    for epoch in range(1, 60):
        always &= set(selector.select(epoch, signals).ids.tolist())
    assert always == {1, 2, 3, 4, 5}, "not reported, not finite, or not below the mean, 1.5"


def test_infobatch_degenerate_losses() -> None:
    equal = InfoBatch(10).select(1, signals_of(np.zeros(5), loss=np.full(5, 3.0, np.float32)))
    assert equal.ids.tolist() == list(range(5))
    np.testing.assert_array_equal(equal.weights, np.ones(5, np.float32))
    lost = signals_of(np.zeros(5), loss=np.full(5, np.nan, np.float32))
    assert InfoBatch(10).select(1, lost) is None


def test_infobatch_without_reports_says_so() -> None:
    selector, signals = InfoBatch(10), Signals(np.zeros(5, np.int64), ("loss",), 0)
    assert selector.select(3, signals) is None, "a training may begin at any epoch"
    assert not selector.needs_scoring(4)
    with pytest.raises(StateError, match=r"needs 'loss'.*loader\.feedback\(batch, loss=\.\.\.\)"):
        selector.select(4, signals)


def test_infobatch_stands_by_its_choice_within_an_epoch() -> None:
    signals, selector = signals_of(np.zeros(N), loss=LOSSES), InfoBatch(10)
    first = selector.select(2, signals)
    report(signals, 2, ids=np.arange(100), loss=torch.full((100,), 50.0))
    assert same(selector.select(2, signals), first)
    assert same(clone(selector, InfoBatch(10)).select(2, signals), first)
    assert clone(selector, InfoBatch(10)).scale == pytest.approx(selector.scale)
    assert not same(InfoBatch(10).select(2, signals), first)


# ---------------------------------------------------------------- Otsu


def brute(values: np.ndarray) -> float:
    """Least variance within, over all splits."""
    x = np.sort(values.astype(np.float64))
    return min(i * x[:i].var() + (len(x) - i) * x[i:].var() for i in range(1, len(x)) if x[i] > x[i - 1])


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=40))
def test_otsu_is_the_best_split(values: list[float]) -> None:
    x = np.array(values, np.float32)
    threshold = otsu_threshold(x)
    if x.min() == x.max():
        assert threshold is None
        return
    x = x.astype(np.float64)
    below, above = x[x < threshold], x[x >= threshold]
    assert len(below)
    assert len(above)
    within = len(below) * below.var() + len(above) * above.var()
    assert within == pytest.approx(brute(x), rel=1e-6, abs=1e-6 * float(x.max() - x.min()) ** 2)


def test_otsu_separates_two_humps() -> None:
    """Part 4 #15."""
    rng = np.random.default_rng(0)
    losses = np.r_[rng.normal(0.1, 0.02, 700), rng.normal(1.5, 0.2, 300)].astype(np.float32)
    threshold = otsu_threshold(losses)
    assert losses[:700].max() < threshold < losses[700:].min()


@pytest.mark.parametrize(
    ("values", "threshold"),
    [
        ([], None),
        ([1], None),
        ([2, 2, 2], None),
        ([1, 3], 2),
        ([1e-30, 1e30, 1e30], 5e29),
        ([0, 0, 1, 5, 5], 3),
    ],
)  # fmt: skip
def test_otsu_edges(values: list[float], threshold: float | None) -> None:
    got = otsu_threshold(np.array(values, np.float64))
    assert got == (None if threshold is None else pytest.approx(threshold))


def test_otsu_of_neighbors() -> None:
    """No number lies between: the upper one is the threshold, so the lower is below it."""
    a = 1.0
    b = np.nextafter(a, 2)
    assert otsu_threshold(np.array([a, b])) == b


# ---------------------------------------------------------------- SampleAdaptive


def naive(selection, n: int) -> list[int]:  # type: ignore[no-untyped-def]
    assert selection.ids.tolist() == list(range(n))
    assert selection.weights is None
    assert selection.strength.dtype == np.float32
    return np.flatnonzero(selection.strength > 1).tolist()


def test_adaptive_augments_the_easy_more() -> None:
    losses = np.array([0.1, 2, 0.2, 3, 0.15], np.float32)
    signals, selector = Signals(np.zeros(6, np.int64), ("loss",), 0), SampleAdaptive(naive=2.5)
    first = selector.select(0, signals)
    assert naive(first, 6) == []
    report(signals, 0, ids=range(5), loss=losses)
    second = selector.select(1, signals)
    assert naive(second, 6) == [0, 2, 4], "5 was never seen, and is normal"
    assert sorted(set(second.strength.tolist())) == [1, 2.5]
    assert selector.naive_samples.tolist() == [True, False, True, False, True, False]


def test_adaptive_parts_neighboring_losses() -> None:
    """Their threshold is no float32 number; rounded, it would be the lower loss."""
    low = np.float32(1)
    signals = signals_of(np.zeros(2), loss=np.array([low, np.nextafter(low, np.float32(2))]))
    assert naive(SampleAdaptive().select(1, signals), 2) == [0]


def test_adaptive_history_is_a_moving_average() -> None:
    """beta = 1/4 with losses 1, 5, nan, 9: 1, 2, 2, 3.75; once an epoch, however often it is asked."""
    signals, selector = Signals(np.zeros(2, np.int64), ("loss",), 0), SampleAdaptive(beta=0.25)
    want = [0, 1, 2, 2, 3.75]
    for epoch, loss in enumerate([1, 5, np.nan, 9, 0]):
        for _ in range(2):
            selector.select(epoch, signals)
            assert selector.state()["history"][0] == want[epoch]
        report(signals, epoch, ids=[0], loss=torch.tensor([float(loss)]))
        selector.select(epoch, signals)
    assert selector.state()["visited"].tolist() == [True, False]


def test_adaptive_default_is_nearly_the_last_loss() -> None:
    signals, selector = signals_of(np.zeros(1), loss=np.array([3.0], np.float32)), SampleAdaptive()
    selector.select(0, signals)
    selector.select(1, signals)
    report(signals, 1, loss=np.array([1.0], np.float32))
    selector.select(2, signals)
    assert selector.state()["history"][0] == pytest.approx(0.001 * 3 + 0.999 * 1)


def test_adaptive_equal_histories_change_nobody() -> None:
    """Part 4 #15."""
    signals, selector = Signals(np.zeros(3, np.int64), ("loss",), 0), SampleAdaptive(beta=1.0)
    selector.select(0, signals)
    report(signals, 0, loss=torch.tensor([0.1, 2, 2]))
    assert naive(selector.select(1, signals), 3) == [0]
    report(signals, 1, loss=torch.tensor([1.0, 1, 1]))
    assert naive(selector.select(2, signals), 3) == [0], "as before"
    report(signals, 2, loss=torch.tensor([2, 2, 0.1]))
    assert naive(selector.select(3, signals), 3) == [2]


def test_adaptive_start() -> None:
    signals, selector = Signals(np.zeros(3, np.int64), ("loss",), 0), SampleAdaptive(start=2, normal=0.5)
    for epoch in range(2):
        assert selector.select(epoch, signals).strength.tolist() == [0.5] * 3
        report(signals, epoch, loss=torch.tensor([0.1, 2, 2]))
    assert selector.select(2, signals).strength.tolist() == [1.5, 0.5, 0.5]


def test_adaptive_without_reports_says_so() -> None:
    selector, signals = SampleAdaptive(), Signals(np.zeros(5, np.int64), ("loss",), 0)
    for _ in range(2):
        selector.select(3, signals)  # a training may begin at any epoch
    with pytest.raises(StateError, match=r"needs 'loss'.*loader\.feedback\(batch, loss=\.\.\.\)"):
        selector.select(4, signals)


def test_adaptive_resumes() -> None:
    """From the middle of an epoch, with the signals that were saved with it."""
    rng = np.random.default_rng(2)
    losses = rng.exponential(1, (6, 30)).astype(np.float32)
    signals, selector = Signals(np.zeros(30, np.int64), ("loss",), 0), SampleAdaptive(beta=0.3)
    whole = []
    for epoch in range(6):
        whole.append(selector.select(epoch, signals))
        report(signals, epoch, ids=range(15), loss=losses[epoch, :15])
        if epoch == 3:
            other = clone(selector, SampleAdaptive(beta=0.3))
            saved = Signals(signals.targets, signals.names, 0)
            saved.load(signals.state())
        report(signals, epoch, ids=range(15, 30), loss=losses[epoch, 15:])
    assert same(other.select(3, saved), whole[3])
    report(saved, 3, ids=range(15, 30), loss=losses[3, 15:])
    for epoch in (4, 5):
        assert same(other.select(epoch, saved), whole[epoch])
        report(saved, epoch, loss=losses[epoch])


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (InfoBatch, {"epochs": 0}, "InfoBatch epochs=0"),
        (InfoBatch, {"epochs": 5, "r": 1.0}, "InfoBatch r=1"),
        (InfoBatch, {"epochs": 5, "last": 1.5}, "InfoBatch last=1.5"),
        (SampleAdaptive, {"beta": 0}, "SampleAdaptive beta=0"),
        (SampleAdaptive, {"naive": 5}, "SampleAdaptive naive=5"),
        (SampleAdaptive, {"normal": -1}, "SampleAdaptive normal=-1"),
        (SampleAdaptive, {"start": 0.5}, "SampleAdaptive start=0.5"),
    ],
)  # fmt: skip
def test_options(cls: type, options: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        cls(**options)
