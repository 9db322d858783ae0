"""Strength of augmentation by each sample's history of losses."""

from collections.abc import Mapping

import numpy as np

from fieldloom.options import number, whole_number
from fieldloom.selection import MAX_STRENGTH, Selection

from .base import Selector
from .otsu import otsu_threshold
from .reports import Reports, history_of
from .signals import Signals


class SampleAdaptive(Selector):
    """Augment samples more that the model finds easy.

    Each sample's history is a moving average of its losses, h <- (1 - beta) h + beta loss, once an epoch; its
    first loss starts it. At the start of an epoch Otsu's threshold parts all histories in two: samples below
    it are *naive*, the others normal. An epoch holds every sample once, with strength `naive` or `normal`;
    samples without a loss so far are normal and have no part in the threshold. Where all histories are
    equal, nobody changes sides.

    Args:
        beta: Weight of the new loss; the default is the published one, nearly the last loss alone.
        start: First epoch that makes the difference; before, all are normal.
        naive: Strength for naive samples (see `DataLoader.select`).
        normal: Strength for the others.

    Needs: loss, from the training loop.
    Memory: the signal's 8 bytes a sample, 6 for history and sides, and 80 while selecting.
    Cost: one sort an epoch.
    Source: Gui et al., SAA: Enhancing Sample-Aware Augmentation (FixMatch and FlexMatch with it), after its
        code. There a naive sample's strong view joins halves of two RandAugment results; here a number
        scales whatever the recipe does, which is our choice, as are 1.5 and 1. There unvisited samples count
        as naive, from a history of 0.

    Attributes:
        naive_samples: bool (n,): which samples are naive now; None before the first epoch.
    """

    signals = ("loss",)

    def __init__(self, beta: float = 0.999, start: int = 0, naive: float = 1.5, normal: float = 1.0) -> None:
        self.beta = number(self, "beta", beta, 1e-6, 1.0)
        self.start = whole_number(self, "start", start, 0, 2**32 - 1)
        self.naive = number(self, "naive", naive, 0.0, MAX_STRENGTH)
        self.normal = number(self, "normal", normal, 0.0, MAX_STRENGTH)
        self.naive_samples: np.ndarray | None = None
        self._history: np.ndarray | None = None
        self._visited: np.ndarray | None = None
        self._reports = Reports()

    def select(self, epoch: int, signals: Signals) -> Selection:
        """Every sample, with its strength.

        Raises:
            StateError: An epoch has passed, `start` has come, and no loss was ever reported.
        """
        n = signals.n_samples
        self.naive_samples = history_of(self.naive_samples, n, np.bool_)
        self._history = history_of(self._history, n, np.float32)
        self._visited = history_of(self._visited, n, np.bool_)
        fresh = self._reports.fresh(signals, "loss", epoch)
        if fresh.any():
            self._update(np.flatnonzero(fresh), signals.array("loss"))
        if epoch >= self.start:
            if epoch > self._reports.began and not self._visited.any():
                signals.tensor("loss")  # raises, and names the call
            self._part()
        strength = np.where(self.naive_samples, np.float32(self.naive), np.float32(self.normal))
        return Selection(np.arange(n), strength=strength)

    def _update(self, ids: np.ndarray, losses: np.ndarray) -> None:
        """Let new losses into the histories; what is not finite would stay in them for ever."""
        assert self._history is not None
        assert self._visited is not None
        ids = ids[np.isfinite(losses[ids])]
        new = losses[ids].astype(np.float64)
        old = np.where(self._visited[ids], self._history[ids], new)
        self._history[ids] = (1 - self.beta) * old + self.beta * new
        self._visited[ids] = True

    def _part(self) -> None:
        assert self._history is not None
        assert self._visited is not None
        assert self.naive_samples is not None
        threshold = otsu_threshold(self._history[self._visited])
        if threshold is not None:
            # In float64: rounded to float32, the threshold may meet the value below it.
            self.naive_samples = self._visited & (self._history.astype(np.float64) < threshold)

    def state(self) -> dict[str, np.ndarray]:
        """History and sides: 6 bytes a sample."""
        state = self._reports.state()
        for name, values in self._arrays().items():
            if values is not None:
                state[name] = values
        return state

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Take back what `state` gave."""
        self._reports.load(state)
        for name in self._arrays():
            setattr(self, _ATTRIBUTES[name], np.array(state[name]) if name in state else None)

    def _arrays(self) -> dict[str, np.ndarray | None]:
        return {name: getattr(self, attribute) for name, attribute in _ATTRIBUTES.items()}


#: Name in the state -> attribute.
_ATTRIBUTES = {"naive": "naive_samples", "history": "_history", "visited": "_visited"}
