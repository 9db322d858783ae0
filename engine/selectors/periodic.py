"""Selectors that choose now and then: the machinery of when, and of what stands in between."""

from collections.abc import Mapping

import numpy as np

from fieldloom.errors import StateError
from fieldloom.options import whole_number
from fieldloom.selection import Selection

from .base import Selector
from .sharing import Sharing
from .signals import Signals

_MAX = 2**32 - 1


class Periodic(Selector):
    """Chooses at epoch `warmup` and each `every` epochs from there; in between, the last choice stands.

    A subclass overrides `choose`. A choice is remembered, so that asking again (after a resume in the middle
    of an epoch, when signals have moved on) gives the same; it is part of `state`. Only one that was made
    before the scoring pass it should have waited for, because somebody asked how long the epoch will be, is
    made again after it.

    Args:
        every: Epochs between choices; None: only one is made.
        warmup: Epochs before the first choice; they hold every sample.

    Attributes:
        scoring: Whether choices want signals of every sample from a scoring pass, rather than what training
            reported by the way.
        sharing: The processes that choose together; the loader sets it under `torch.distributed`.
    """

    scoring = True
    sharing = Sharing()

    def __init__(self, every: int | None, warmup: int) -> None:
        self.every = None if every is None else whole_number(self, "every", every, 1, _MAX)
        self.warmup = whole_number(self, "warmup", warmup, 0, _MAX)
        self._at: int | None = None
        self._scored = False
        self._chosen: Selection | None = None

    def choose(self, epoch: int, signals: Signals) -> Selection | None:
        """A new choice; None is every sample once.

        Args:
            epoch: The one at which the choice is due, which keys its draws.
            signals: What was reported so far.
        """
        raise NotImplementedError

    def due(self, epoch: int) -> int:
        """The epoch whose choice holds at `epoch`, which is `warmup` or later."""
        return self.warmup if self.every is None else epoch - (epoch - self.warmup) % self.every

    def needs_scoring(self, epoch: int) -> bool:
        """Whether the choice for an epoch still waits for a scoring pass."""
        waits = self._at != self.due(epoch) or not self._scored
        return self.scoring and epoch >= self.warmup and waits

    def select(self, epoch: int, signals: Signals) -> Selection | None:
        """The choice that holds at an epoch."""
        if epoch < self.warmup:
            return None
        due = self.due(epoch)
        scored = self.scoring and all(int(signals.epochs(name).min()) >= due for name in signals.names)
        if self._at != due or (scored and not self._scored):
            # In this order: a choice that fails leaves the former one.
            self._chosen = self.choose(due, signals)
            self._at, self._scored = due, scored
        _check_size(self, self._chosen, signals.n_samples)
        return self._chosen

    def state(self) -> dict[str, np.ndarray]:
        """The last choice and its epoch: 4 bytes a selected sample, 4 more for weights, and for strengths."""
        if self._at is None:
            return {}
        arrays = {"at": np.array([self._at, self._scored])}
        if self._chosen is not None:
            arrays["ids"] = self._chosen.ids.astype(np.uint32)
            for name in ("weights", "strength"):
                values = getattr(self._chosen, name)
                if values is not None:
                    arrays[name] = values
        return arrays

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Take back what `state` gave."""
        self._at, self._scored = None, False
        if "at" in state:
            self._at, self._scored = int(state["at"][0]), bool(state["at"][1])
        self._chosen = None
        if "ids" in state:
            optional = {name: np.array(state[name]) for name in ("weights", "strength") if name in state}
            self._chosen = Selection(np.array(state["ids"], np.int64), **optional)


def _check_size(selector: Selector, chosen: Selection | None, n: int) -> None:
    """A state that was loaded may be of another data set."""
    if chosen is not None and len(chosen.ids) and chosen.ids.max() >= n:
        raise StateError.make(
            f"{type(selector).__name__} holds a choice with sample {chosen.ids.max()}",
            why=f"the data set has {n} samples",
            remedy="Load a state of this data set.",
        )
