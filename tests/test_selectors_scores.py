"""Selectors that rank samples: what they score, whom they hold, and what they ask for."""

from typing import Any

import numpy as np
import pytest
import torch
from selector_cases import chi_square, chi_square_limit, clone, ids_of, report, same, signals_of

from fieldloom.errors import ArgumentError, StateError
from fieldloom.kernels.submodular.budgets import class_budgets
from fieldloom.selectors import EL2N, EntropyFilter, Forgetting, GraNd, MaxLoss, Signals
from fieldloom.selectors.proxies import entropies, residuals

RNG = np.random.default_rng(0)
N, C, D = 90, 6, 5
TARGETS = RNG.integers(0, C, N)
LOGITS = RNG.normal(0, 2, (N, C)).astype(np.float16)
EMBEDDINGS = RNG.normal(0, 1, (N, D)).astype(np.float16)
LOSSES = RNG.exponential(1, N).astype(np.float32)


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z.astype(np.float64) - z.max(1, keepdims=True).astype(np.float64))
    return e / e.sum(1, keepdims=True)


P = softmax(LOGITS)
ERRORS = np.linalg.norm(P - np.eye(C)[TARGETS], axis=1)
LENGTHS = np.linalg.norm(EMBEDDINGS.astype(np.float64), axis=1)
SCORES = {
    "loss": (MaxLoss, {"warmup": 0}, LOSSES, {"loss": LOSSES}),
    "el2n": (EL2N, {"warmup": 0}, ERRORS, {"logits": LOGITS}),
    "grand": (
        GraNd, {"warmup": 0}, ERRORS * np.sqrt(LENGTHS**2 + 1), {"logits": LOGITS, "embeddings": EMBEDDINGS}
    ),
    "grand without bias": (
        GraNd, {"warmup": 0, "bias": False}, ERRORS * LENGTHS, {"logits": LOGITS, "embeddings": EMBEDDINGS}
    ),
    "entropy": (EntropyFilter, {"warmup": 0}, -(P * np.log(P)).sum(1), {"logits": LOGITS}),
}  # fmt: skip


@pytest.mark.parametrize("case", SCORES)
@pytest.mark.parametrize("keep", ["hard", "easy"])
@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_holds_the_extremes_of_its_score(case: str, keep: str, fraction: float) -> None:
    cls, options, scores, values = SCORES[case]
    selector = cls(fraction=fraction, keep=keep, **options)
    signals = signals_of(TARGETS, **values)
    np.testing.assert_allclose(selector.scores(signals), scores, rtol=1e-5)
    k = round(fraction * N)
    order = np.argsort(-scores if keep == "hard" else scores)
    np.testing.assert_array_equal(selector.select(0, signals).ids, np.sort(order[:k]))


@pytest.mark.parametrize("case", SCORES)
def test_class_balanced_ranks_within_classes(case: str) -> None:
    cls, options, scores, values = SCORES[case]
    chosen = cls(fraction=0.3, class_balanced=True, **options).select(0, signals_of(TARGETS, **values)).ids
    budgets = class_budgets(np.bincount(TARGETS), 27, equal=False)
    for c in range(C):
        of = np.flatnonzero(c == TARGETS)
        want = of[np.argsort(-scores[of])][: budgets[c]]
        np.testing.assert_array_equal(chosen[TARGETS[chosen] == c], np.sort(want))
    assert len(chosen) == 27


def test_all_is_none() -> None:
    assert EL2N(1.0, warmup=0).select(0, signals_of(TARGETS, logits=LOGITS)) is None


def test_equal_scores_come_at_random() -> None:
    """Among 60 samples of one score each is held alike over 1000 seeds, at 1e-6; the larger ones always."""
    losses, held = np.r_[np.full(60, 2.0), np.full(10, 3.0)].astype(np.float32), np.zeros(70)
    for seed in range(1000):
        signals = signals_of(np.zeros(70), seed=seed, loss=losses)
        held[MaxLoss(0.5, warmup=0).select(0, signals).ids] += 1
    assert (held[60:] == 1000).all()
    assert chi_square(held[:60], np.full(60, held[:60].mean())) < chi_square_limit(59)
    many = signals_of(np.repeat([0, 1], 35), loss=losses)
    balanced = MaxLoss(0.5, warmup=0, class_balanced=True)
    assert len(balanced.select(0, many).ids) == 35


def test_what_is_no_number_is_hard() -> None:
    losses = np.array([1, np.nan, 3, np.inf, 2], np.float32)
    signals = signals_of(np.zeros(5), loss=losses)
    assert MaxLoss(0.4, warmup=0).select(0, signals).ids.tolist() == [1, 3]
    assert MaxLoss(0.4, "easy", warmup=0).select(0, signals).ids.tolist() == [0, 4]
    logits = LOGITS.copy()
    logits[7, 2] = np.inf
    assert 7 in EL2N(0.02, warmup=0).select(0, signals_of(TARGETS, logits=logits)).ids


def test_logits_far_apart_have_entropy_and_error() -> None:
    logits = torch.tensor([[6e4, -6e4, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float16)
    np.testing.assert_allclose(entropies(logits), [0, np.log(3)], rtol=1e-6)
    p = residuals(logits, torch.tensor([1, 0]))
    assert p.dtype == torch.float32
    np.testing.assert_allclose(p, [[1, -1, 0], [-2 / 3, 1 / 3, 1 / 3]], atol=1e-6)


def test_scores_in_blocks_equal_those_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    signals = signals_of(TARGETS, logits=LOGITS)
    whole = EL2N(0.5, warmup=0).scores(signals)
    monkeypatch.setattr("fieldloom.selectors.proxies.BLOCK", 7 * C)
    np.testing.assert_array_equal(EL2N(0.5, warmup=0).scores(signals), whole)


# ---------------------------------------------------------------- max loss


def test_losses_that_were_not_reported_come_first() -> None:
    for keep, last in (("hard", 4), ("easy", 1)):
        signals = Signals(np.zeros(6, np.int64), ("loss",), 0)
        report(signals, 0, ids=[1, 2, 3, 4], loss=torch.tensor([1.0, 2, 3, 4]))
        assert MaxLoss(0.5, keep).select(1, signals).ids.tolist() == sorted([0, 5, last])


def test_max_loss_follows_training_or_asks_for_scores() -> None:
    signals = signals_of(np.zeros(4), loss=np.array([4, 3, 2, 1], np.float32))
    selector = MaxLoss(0.5)
    assert selector.select(0, signals) is None
    assert [selector.needs_scoring(e) for e in range(3)] == [False] * 3
    first = selector.select(1, signals)
    assert first.ids.tolist() == [0, 1]
    report(signals, 1, ids=[0, 1], loss=torch.tensor([0.0, 0.5]))
    assert same(selector.select(1, signals), first), "an epoch's choice stands when it is asked for again"
    assert selector.select(2, signals).ids.tolist() == [2, 3]
    scored = MaxLoss(0.5, every=3, scoring=True)
    assert [scored.needs_scoring(e) for e in range(3)] == [False, True, True]
    partial = Signals(np.zeros(6, np.int64), ("loss",), 0)
    report(partial, 0, ids=[1, 2, 3, 4], loss=torch.ones(4))
    with pytest.raises(StateError, match=r"every sample.*2 of 6.*scoring_pass"):
        scored.select(1, partial)


# ---------------------------------------------------------------- entropy


def test_entropy_threshold() -> None:
    scores = SCORES["entropy"][2]
    signals = signals_of(TARGETS, logits=LOGITS)
    hard = EntropyFilter(1.0, warmup=0).select(0, signals).ids
    easy = EntropyFilter(1.0, keep="easy", warmup=0).select(0, signals).ids
    np.testing.assert_array_equal(hard, np.flatnonzero(scores > 1))
    assert sorted([*hard, *easy]) == list(range(N))
    assert EntropyFilter(0.0, warmup=0).select(0, signals) is None
    with pytest.raises(StateError, match=r"threshold=5 .* no sample.*entropies go from 0\.\d+ to 1\.\d+"):
        EntropyFilter(5.0, warmup=0).select(0, signals)


def test_entropy_takes_one_rule() -> None:
    for options in ({}, {"threshold": 1.0, "fraction": 0.5}):
        with pytest.raises(ArgumentError, match=r"EntropyFilter threshold=.*one of them"):
            EntropyFilter(**options)
    with pytest.raises(ArgumentError, match="EntropyFilter threshold=-1"):
        EntropyFilter(-1)


# ---------------------------------------------------------------- forgetting


def history(selector: Forgetting, rows: list[str], signals: Signals) -> None:
    """Epochs of reports: 1 right, 0 wrong, - not reported."""
    for epoch, row in enumerate(rows):
        selector.select(epoch, signals)
        ids = [i for i, c in enumerate(row) if c != "-"]
        report(signals, epoch, ids=ids, correct=torch.tensor([row[i] == "1" for i in ids]))


ROWS = ["110010-", "100110-", "110-00-", "0-1110-", "101110-"]
#: Events, by hand; 6 was never reported and 5 never right.
EVENTS = [1, 2, 0, 0, 1, np.inf, np.inf]


def test_forgetting_counts_events() -> None:
    signals, selector = Signals(np.zeros(7, np.int64), ("correct",), 0), Forgetting(0.3, warmup=5)
    history(selector, ROWS, signals)
    assert selector.select(5, signals).ids.tolist() == [5, 6]
    assert selector.scores(signals).tolist() == EVENTS
    easy = Forgetting(0.3, "easy", warmup=5)
    history(easy, ROWS, signals)
    assert easy.select(5, signals).ids.tolist() == [2, 3]


@pytest.mark.parametrize("cut", range(5))
def test_forgetting_resumes(cut: int) -> None:
    """State and signals of the middle of epoch `cut`, which is then asked for again."""
    signals, selector = Signals(np.zeros(7, np.int64), ("correct",), 0), Forgetting(0.3, warmup=5)
    history(selector, ROWS[: cut + 1], signals)
    selector = clone(selector, Forgetting(0.3, warmup=5))
    loaded = Signals(signals.targets, signals.names, 0)
    loaded.load(signals.state())
    for epoch in range(cut, 5):
        selector.select(epoch, loaded)
        if epoch > cut:
            ids = [i for i, c in enumerate(ROWS[epoch]) if c != "-"]
            report(loaded, epoch, ids=ids, correct=torch.tensor([ROWS[epoch][i] == "1" for i in ids]))
    selector.select(5, loaded)
    assert selector.scores(loaded).tolist() == EVENTS


def test_forgetting_counts_once_however_often_it_is_asked() -> None:
    signals, selector = Signals(np.zeros(7, np.int64), ("correct",), 0), Forgetting(0.3, warmup=5)
    for epoch, row in enumerate(ROWS):
        selector.select(epoch, signals)
        ids = [i for i, c in enumerate(row) if c != "-"]
        for part in (ids[:3], ids[3:]):
            report(signals, epoch, ids=part, correct=torch.tensor([row[i] == "1" for i in part]))
            selector.select(epoch, signals)
    selector.select(5, signals)
    selector.select(5, signals)
    assert selector.scores(signals).tolist() == EVENTS


def test_forgetting_without_reports() -> None:
    selector, signals = Forgetting(0.5, warmup=2), Signals(np.zeros(4, np.int64), ("correct",), 0)
    assert selector.select(0, signals) is None
    assert not selector.needs_scoring(2)
    with pytest.raises(StateError, match=r"needs 'correct'.*loader\.feedback\(batch, correct=\.\.\.\)"):
        selector.select(2, signals)


def test_history_of_another_data_set() -> None:
    selector = Forgetting(0.5, warmup=1)
    selector.select(0, Signals(np.zeros(4, np.int64), ("correct",), 0))
    with pytest.raises(StateError, match=r"history of 4 samples.*has 5"):
        selector.select(0, Signals(np.zeros(5, np.int64), ("correct",), 0))


# ---------------------------------------------------------------- when


def test_periods_and_scoring() -> None:
    signals = signals_of(TARGETS, logits=LOGITS, epoch=2)
    selector = EL2N(0.3, every=3, warmup=2)
    assert [selector.needs_scoring(e) for e in range(4)] == [False, False, True, True]
    assert selector.select(1, signals) is None
    first = selector.select(2, signals)
    assert [selector.needs_scoring(e) for e in range(2, 6)] == [False, False, False, True]
    report(signals, 3, logits=LOGITS[::-1].copy())
    assert same(selector.select(4, signals), first)
    provisional = selector.select(5, signals)
    assert not same(provisional, first)
    assert selector.needs_scoring(5), "the signals are older than the choice"
    report(signals, 5, logits=np.roll(LOGITS, 5, 0))
    assert not same(selector.select(5, signals), provisional), "scored since then"
    assert not selector.needs_scoring(5)
    assert not selector.needs_scoring(1), "warm-up"


def test_one_choice_for_ever() -> None:
    signals, selector = signals_of(TARGETS, logits=LOGITS), EL2N(0.3, warmup=0)
    first = selector.select(0, signals)
    report(signals, 7, logits=LOGITS[::-1].copy())
    assert same(selector.select(50, signals), first)
    assert not selector.needs_scoring(50)


def test_a_failed_choice_leaves_the_former() -> None:
    signals, selector = signals_of(TARGETS, logits=LOGITS), EntropyFilter(1.0, every=2, warmup=0)
    first = selector.select(0, signals)
    report(signals, 2, logits=np.zeros_like(LOGITS) + 50 * np.eye(C, dtype=np.float16)[TARGETS])
    with pytest.raises(StateError, match="holds no sample"):
        selector.select(2, signals)
    assert same(selector.select(1, signals), first)


def test_labels_beyond_the_logits() -> None:
    with pytest.raises(StateError, match=r"logits of 6 columns.*labels go up to 6"):
        EL2N(0.5, warmup=0).select(0, signals_of(TARGETS + 1, logits=LOGITS))


@pytest.mark.parametrize("cls", [EL2N, GraNd, EntropyFilter])
def test_scoring_of_some_is_not_enough(cls: Any) -> None:
    signals = Signals(TARGETS, cls.signals, 0)
    with pytest.raises(StateError, match=r"needs 'logits'.*feedback\(batch, logits=\.\.\.\)"):
        cls(fraction=0.5, warmup=0).select(0, signals)
    report(signals, 0, ids=np.arange(N - 1), logits=LOGITS[:-1], embeddings=EMBEDDINGS[:-1])
    with pytest.raises(StateError, match=r"'logits' of every sample.*1 of 90.*scoring_pass"):
        cls(fraction=0.5, warmup=0).select(0, signals)


def test_ids_of_everything() -> None:
    assert ids_of(None, 3).tolist() == [0, 1, 2]
