"""The part of a loader that decides what the next epoch holds, and hears of the training."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fieldloom.selectors.signals import Signals

from .batch import Batch
from .choosing import Chooser
from .evaluation import evaluation

if TYPE_CHECKING:
    from fieldloom.kernels.plan import PassPlan

    from .loader import DataLoader


class Steered:
    """Mixed into `DataLoader`."""

    batch_size: int
    plan: "PassPlan"
    _augment: Any
    _chooser: Chooser
    _resume_at: int

    @property
    def epoch(self) -> int:
        """The next epoch; `DataLoader` says which."""
        raise NotImplementedError

    def _check(self, what: str) -> None:
        raise NotImplementedError

    def _sibling(self, augment: Any, batch_size: int) -> "DataLoader":
        raise NotImplementedError

    def select(self, ids: Any, weights: Any = None, repeats: Any = None, strength: Any = None) -> None:
        """Hold only these samples from the next epoch on; the others are not even opened.

        Args:
            ids: Sample ids (repeats are delivered repeatedly, each with its own augmentations), or a
                boolean mask over all samples; None goes back to all, or to the selector's choice.
            weights: One number >= 0 an id; scaled to mean 1 and delivered as `batch.weights`.
            repeats: How often each id is delivered, whole numbers; at most 128 times.
            strength: One number from 0 to 4 an id: how strongly each is augmented. It multiplies every
                amplitude and magnitude, and the probability of what has none (mixing, erasing, equalize);
                0 leaves crop, flips and `Normalize`, 1 is the recipe as written.

        Raises:
            ArgumentError: Names the first bad id, weight, repeat or strength.
        """
        self._check("select from")
        self._chooser.select(ids, weights, repeats, strength)

    def feedback(self, batch: Batch, **values: Any) -> None:
        """Report what the model made of a batch, for the selector; what it did not ask for is ignored.

        Args:
            batch: As this loader, or its `scoring_pass`, delivered it. A mixed sample's values count for
                the sample itself.
            **values: `loss` (n,) without reduction, `correct` (n,) bool, `logits` (n, classes), `embeddings`
                (n, d); tensors on any device, or arrays. Logits and embeddings are kept in half precision;
                `loader.signals.n_bytes` says what all takes.

        Raises:
            ArgumentError: A value has another name or shape.
            StateError: There is no selector.
        """
        self._chooser.feedback(batch, values)

    @property
    def signals(self) -> Signals:
        """What was reported of the samples."""
        return self._chooser.signals

    @property
    def needs_scoring(self) -> bool:
        """Whether the selector wants a `scoring_pass` before the next epoch.

        Not where a loaded state goes on within an epoch: what it holds was decided when it began.
        """
        return self._resume_at == 0 and self._chooser.needs_scoring(self.epoch)

    def scoring_pass(self, augment: Any = None, batch_size: int | None = None) -> Iterator[Batch]:
        """All samples once, in order, without augmentation: to be scored by the model, and reported.

            for batch in loader.scoring_pass():
                loader.feedback(batch, logits=model(batch.images))

        Args:
            augment: The evaluation recipe; None makes one of this loader's: its Normalize, and the usual
                central crop (of 256 / 224 of the size) if it crops at random.
            batch_size: None: this loader's.

        Each rank scores its part; `feedback` knows these batches, so that histories of the training's own
        losses do not count them.
        """
        self._check("score with")
        recipe = evaluation(self._augment, self.plan.height, self.plan.width) if augment is None else augment
        size = self.batch_size if batch_size is None else batch_size
        epoch = self.epoch
        with self._sibling(recipe, size) as other:
            for batch in other:
                batch.epoch, batch.scoring = epoch, True
                yield batch
            self._chooser.signals.excuse([bad.sample for bad in other.ledger.bad if bad.action == "skip"])
