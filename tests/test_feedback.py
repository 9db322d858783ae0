"""Selectors in a loader: what they hear, when they decide, and what is never opened."""

from pathlib import Path

import numpy as np
import pytest
import torch
from kernel_cases import photo
from PIL import Image

import fieldloom as fl
from fieldloom.errors import ArgumentError, StateError
from fieldloom.selectors.base import Selector
from fieldloom.selectors.signals import Signals

N = 30
IMAGES = np.stack([photo(12, 14, k) for k in range(N)])
LABELS = np.arange(N) % 3


class Hardest(Selector):
    """The samples of largest loss; all before there is one."""

    signals = ("loss", "logits")

    def __init__(self, n: int) -> None:
        self.n, self.asked, self.heard = n, [], []

    def select(self, epoch: int, signals: Signals) -> fl.Selection | None:
        self.asked.append(epoch)
        if not signals.seen("loss").any():
            return None
        return fl.Selection(np.sort(np.argsort(-signals.array("loss"), kind="stable")[: self.n]))

    def observe(self, ids: torch.Tensor, values: dict, epoch: int) -> None:
        self.heard.append((epoch, sorted(values), ids.tolist()))

    def needs_scoring(self, epoch: int) -> bool:
        return epoch == 0


def loader(selector: object = None, source: object = None, **options: object) -> fl.DataLoader:
    settings = {"batch_size": 8, "size": 10, "shuffle": True, "seed": 3, "threads": 1, "device": "cpu"}
    data = (IMAGES, LABELS) if source is None else source
    return fl.DataLoader(data, selection=selector, **settings | options)


def loss_of(batch: fl.Batch) -> torch.Tensor:
    return (batch.ids * 7 % N).float()


def test_losses_decide_the_next_epoch() -> None:
    selector = Hardest(9)
    with loader(selector) as some:
        first = []
        for batch in some:
            first += batch.ids.tolist()
            some.feedback(batch, loss=loss_of(batch), correct=batch.ids > 3)
        second = [i for batch in some for i in batch.ids.tolist()]
    assert sorted(first) == list(range(N))
    assert sorted(second) == sorted(sorted(range(N), key=lambda i: -(i * 7 % N))[:9])
    assert selector.asked == [0, 1]  # once an epoch
    assert [heard[:2] for heard in selector.heard] == [
        (0, ["loss"])
    ] * 4  # what it did not declare is not told


def test_scoring_pass_sees_all_without_augmentation() -> None:
    augment = [fl.RandomResizedCrop(), fl.RandAugment(), fl.Normalize(), fl.MixUp()]
    selector = Hardest(5)
    with loader(selector, augment=augment) as some:
        assert some.needs_scoring
        seen = {}
        for batch in some.scoring_pass():
            assert batch.scoring
            assert batch.mix is None
            seen |= dict(zip(batch.ids.tolist(), batch.images, strict=True))
            some.feedback(batch, loss=loss_of(batch), logits=torch.ones(len(batch), 4))
        assert list(seen) == list(range(N))
        want = fl.augment(IMAGES[3], augment=[fl.Resize(11), fl.CenterCrop(), fl.Normalize()], size=10)
        torch.testing.assert_close(seen[3], want)
        assert selector.heard == []  # scoring is not training
        assert len(some) == 1
        assert len([0 for batch in some for _ in batch.ids]) == 5
        assert not some.needs_scoring
        assert some.signals.n_bytes == N * (4 + 4 + 2 * 4 + 4)


def test_scoring_beside_an_iterator_that_nobody_read() -> None:
    """Frameworks make one only to see that they can: its epoch is the one to be scored for."""
    with loader(Hardest(5)) as some, loader(Hardest(5)) as other:
        unread = iter(some)
        assert some.needs_scoring
        for batch in some.scoring_pass():
            assert batch.epoch == 0
            some.feedback(batch, loss=loss_of(batch))
        assert len(next(unread)) == 8  # decided before
        other.load_state_dict(some.state_dict())
        assert [b.ids.tolist() for b in other] == [b.ids.tolist() for b in unread]
        some.set_epoch(0)
        assert len([0 for batch in some for _ in batch.ids]) == 5


def test_an_epoch_that_goes_on_is_not_decided_anew() -> None:
    with loader(Hardest(20)) as some, loader(Hardest(20)) as other:
        for batch in some.scoring_pass():
            some.feedback(batch, loss=loss_of(batch))
        iterator = iter(some)
        next(iterator)
        other.load_state_dict(some.state_dict())
        assert not other.needs_scoring
        for batch in other.scoring_pass():  # by a script that does not ask
            other.feedback(batch, loss=-loss_of(batch))
        assert [b.ids.tolist() for b in other] == [b.ids.tolist() for b in iterator]


def test_unselected_files_are_never_opened(tmp_path: Path) -> None:
    files = []
    for k in range(N):
        path = tmp_path / f"{k}.png"
        Image.fromarray(IMAGES[k]).save(path)
        files.append((path, int(LABELS[k])))
    with loader(Hardest(4), files) as some:
        for batch in some.scoring_pass():
            some.feedback(batch, loss=loss_of(batch))
        kept = set(some._chooser.selection(0).ids.tolist())
        for k, (path, _) in enumerate(files):
            if k not in kept:
                path.unlink()
        assert {i for batch in some for i in batch.ids.tolist()} == kept


def test_select_by_hand_overrides_and_returns() -> None:
    with loader(Hardest(4)) as some:
        for batch in some.scoring_pass():
            some.feedback(batch, loss=loss_of(batch))
        some.select([1, 2, 3], repeats=[1, 0, 2])
        assert not some.needs_scoring
        assert sorted(i for batch in some for i in batch.ids.tolist()) == [1, 3, 3]
        some.select(None)
        assert len(some._chooser.selection(some.epoch).ids) == 4


def test_repeats_get_weights_and_augmentations_of_their_own() -> None:
    with loader(augment=[fl.RandomResizedCrop()]) as some:
        some.select([4, 9], repeats=[3, 1], weights=[1, 5])
        batch = next(iter(some))
        at = batch.ids == 4
        assert int(at.sum()) == 3
        assert len({image.numpy().tobytes() for image in batch.images[at]}) == 3
        np.testing.assert_allclose(batch.weights.mean(), 1, rtol=1e-6)
        np.testing.assert_allclose(batch.weights[~at] / batch.weights[at][0], 5, rtol=1e-6)


@pytest.mark.parametrize(
    ("repeats", "why"),
    [([1, 2], "there are 3 ids"), ([1, -1, 1], ">= 0"), ([1, 1.5, 1], "whole"), ([0, 0, 0], "all 0"),
     ([1, float("nan"), 1], "finite"), ([200, 1, 1], "128 times")],
)  # fmt: skip
def test_wrong_repeats(repeats: list, why: str) -> None:
    with loader() as some, pytest.raises(ArgumentError, match=why):
        some.select([1, 2, 3], repeats=repeats)


def test_a_missing_signal_names_the_call() -> None:
    class Needs(Selector):
        signals = ("logits",)

        def select(self, epoch: int, signals: Signals) -> None:
            signals.tensor("logits", complete=True)

    with loader(Needs()) as some:
        with pytest.raises(StateError, match=r"loader\.feedback\(batch, logits=\.\.\.\)"):
            iter(some)
        batch = next(iter(some.scoring_pass()))
        some.feedback(batch, logits=torch.zeros(len(batch), 2))
        with pytest.raises(StateError, match=r"22 of 30 were never reported.*scoring_pass"):
            iter(some)


@pytest.mark.parametrize(
    ("values", "why"),
    [({"losses": [0.0]}, "loss, correct"), ({}, "without values"), ({"loss": torch.zeros(())}, "of shape"),
     ({"loss": torch.zeros(3)}, "8 samples"), ({"logits": torch.zeros(8)}, "dimension")],
)  # fmt: skip
def test_wrong_feedback(values: dict, why: str) -> None:
    with loader(Hardest(3)) as some:
        batch = next(iter(some))
        with pytest.raises(ArgumentError, match=why):
            some.feedback(batch, **values)


def test_columns_must_stay() -> None:
    with loader(Hardest(3)) as some:
        batch = next(iter(some))
        some.feedback(batch, logits=torch.zeros(8, 4))
        with pytest.raises(ArgumentError, match="logits"):
            some.feedback(batch, logits=torch.zeros(8, 5))


@pytest.mark.parametrize("wrong", [3, "RS2", Hardest, object()])
def test_what_is_no_selector_is_refused(wrong: object) -> None:
    with pytest.raises(ArgumentError, match="selection="):
        loader(wrong)


def test_feedback_needs_a_selector() -> None:
    with loader() as some, pytest.raises(StateError, match="without a selector"):
        some.feedback(next(iter(some)), loss=torch.zeros(8))


def test_asking_for_the_length_decides_nothing_too_early() -> None:
    selector = Hardest(9)
    with loader(selector) as some:
        assert len(some) == 4  # nothing is known yet: all samples
        for batch in some.scoring_pass():
            some.feedback(batch, loss=loss_of(batch))
        assert len(some) == 2
        hard = []
        for batch in some:
            assert len(some) == 2
            some.feedback(batch, loss=-loss_of(batch))
            hard += batch.ids.tolist()
        assert selector.asked == [0, 0]
        assert not set(hard) & {i for batch in some for i in batch.ids.tolist()}  # it heard of their losses


@pytest.mark.parametrize(
    "bad",
    [fl.Selection(np.array([N])), fl.Selection(np.array([], np.int64)), [1, 2, -1],
     fl.Selection(np.array([1, 2]), np.array([1.0, np.nan])), fl.Selection(np.array([1, 2]), np.ones(3))],
)  # fmt: skip
def test_wrong_choices_of_a_selector_are_named(bad: object) -> None:
    class Wrong:
        def select(self, epoch: int, signals: Signals) -> object:
            return bad

    with loader(Wrong()) as some, pytest.raises(ArgumentError, match="select"):
        iter(some)


def test_a_state_carries_signals_and_decisions() -> None:
    with loader(Hardest(9)) as some, loader(Hardest(9)) as other:
        for batch in some:
            some.feedback(batch, loss=loss_of(batch))
        iterator = iter(some)
        next(iterator)
        state = some.state_dict()
        rest = [batch.ids.tolist() for batch in iterator]
        other.load_state_dict(state)
        assert [batch.ids.tolist() for batch in other] == rest
        # Later decisions follow from the same signals.
        assert sorted(i for b in other for i in b.ids.tolist()) == sorted(
            i for b in some for i in b.ids.tolist()
        )
        assert other._chooser._selector.asked[0] == 2


def test_mixed_samples_report_for_themselves() -> None:
    with loader(Hardest(9), augment=[fl.MixUp()]) as some:
        for batch in some:
            some.feedback(batch, loss=loss_of(batch))
        np.testing.assert_array_equal(some.signals.array("loss"), np.arange(N) * 7 % N)


def test_a_selector_chooses_among_files_that_can_be_bad() -> None:
    with loader(Hardest(9), on_bad_sample="skip") as some:
        for batch in some.scoring_pass(batch_size=11):
            some.feedback(batch, loss=loss_of(batch))
        assert sum(len(batch) for batch in some) == 9


def test_a_sample_that_cannot_be_read_does_not_block_scoring(tmp_path: Path) -> None:
    files = []
    for k in range(N):
        path = tmp_path / f"{k}.png"
        Image.fromarray(IMAGES[k]).save(path)
        files.append((path, int(LABELS[k])))
    files[11][0].write_bytes(b"no image")
    with loader(fl.Coreset(0.3), files, on_bad_sample="skip") as some:
        for batch in some.scoring_pass():
            some.feedback(batch, logits=torch.randn(len(batch), 3))
        assert 0 < sum(len(batch) for batch in some) <= 9


def test_replay_asks_no_selector_about_the_past() -> None:
    selector = Hardest(9)
    with loader(selector, augment=[fl.RandAugment(), fl.MixUp()]) as some:
        for batch in some:
            some.feedback(batch, loss=loss_of(batch))
        list(some)
        batch = next(iter(some))
        sample = int(batch.ids[0])
        np.testing.assert_array_equal(some.replay(sample, 2).numpy(), batch.images[0].numpy())
        with pytest.raises(ArgumentError, match="not at hand"):
            some.replay(sample, 0)
        assert selector.asked == [0, 1, 2]


def test_a_choice_by_hand_leaves_the_epoch_under_way_alone() -> None:
    with loader(batch_size=4) as some, loader(batch_size=4) as other:
        iterator = iter(some)
        next(iterator)
        some.select([1, 2, 3])
        assert len(some) == 8
        state = some.state_dict()
        rest = [batch.ids.tolist() for batch in iterator]
        other.load_state_dict(state)
        assert [batch.ids.tolist() for batch in other] == rest
        assert len(rest) == 7
        for each in (some, other):
            assert sorted(i for batch in each for i in batch.ids.tolist()) == [1, 2, 3]
