"""Forgetting events: how often a sample that was right became wrong."""

from collections.abc import Mapping

import numpy as np

from fieldloom.selection import Selection

from .ranked import Ranked
from .reports import Reports, history_of
from .signals import Signals


class Forgetting(Ranked):
    """Hold the samples that were forgotten most often: right once, wrong the next time.

    Samples that were never right, or never reported, count as forgotten infinitely often.

    Args:
        fraction: Share of the data set, above 0 and at most 1.
        keep: "hard" holds the most forgotten, "easy" the least.
        class_balanced: Rank within each class, which gives in proportion to its size.
        every: Epochs between choices; None: only one is made.
        warmup: Epochs before the first choice, in which events are counted; they hold every sample.

    Needs: correct, from the training loop, from the first epoch on.
    Memory: the signal's 5 bytes a sample, 6 for counts, and 40 while selecting.
    Cost: some array operations an epoch.
    Source: Toneva et al., An Empirical Study of Example Forgetting (ICLR 2019). There events are counted over
        a whole training, for another one; here over `warmup` epochs of the same. A sample that an epoch holds
        several times is judged by its last report.
    """

    signals = ("correct",)
    scoring = False

    def __init__(
        self,
        fraction: float,
        keep: str = "hard",
        class_balanced: bool = False,
        every: int | None = None,
        warmup: int = 20,
    ) -> None:
        super().__init__(fraction, keep, class_balanced, every, warmup)
        self._events: np.ndarray | None = None
        self._right: np.ndarray | None = None
        self._learned: np.ndarray | None = None
        self._reports = Reports()

    def select(self, epoch: int, signals: Signals) -> Selection | None:
        """Count what is new, then choose if it is time."""
        n = signals.n_samples
        self._events = history_of(self._events, n, np.int32)
        self._right = history_of(self._right, n, np.bool_)
        self._learned = history_of(self._learned, n, np.bool_)
        fresh = self._reports.fresh(signals, "correct", epoch)
        if fresh.any():
            right = signals.array("correct")
            self._events += fresh & self._right & ~right
            self._right = np.where(fresh, right, self._right)
            self._learned |= fresh & right
        return super().select(epoch, signals)

    def scores(self, signals: Signals) -> np.ndarray:
        """The numbers of events."""
        signals.tensor("correct")  # raises where nothing was reported, and names the call
        assert self._events is not None
        assert self._learned is not None
        return np.where(self._learned, self._events, np.inf)

    def state(self) -> dict[str, np.ndarray]:
        """The last choice, and 6 bytes a sample of history."""
        state = super().state() | self._reports.state()
        for name in ("events", "right", "learned"):
            values = getattr(self, f"_{name}")
            if values is not None:
                state[name] = values
        return state

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Take back what `state` gave."""
        super().load(state)
        self._reports.load(state)
        for name in ("events", "right", "learned"):
            setattr(self, f"_{name}", np.array(state[name]) if name in state else None)
