"""Independent draws with given probabilities, as from torch's `WeightedRandomSampler`."""

from typing import Any

import numpy as np

from fieldloom.epoch import MAX_OCCURRENCES
from fieldloom.errors import ArgumentError
from fieldloom.options import flag, whole_number
from fieldloom.selection import Selection

from .base import Selector
from .classes import compact
from .drawing import SLOT, smallest
from .signals import Signals

#: Expected repeats of a sample that are still accepted. A Poisson count of mean 64 passes 128 with a
#: probability below 1e-11, so no epoch is refused in the middle of a training.
MAX_EXPECTED = MAX_OCCURRENCES // 2


class WeightedSampling(Selector):
    """Draw an epoch's samples with probabilities in proportion to weights.

    With replacement, each of the n draws is independent of the others; a repeated sample is augmented anew
    each time. Without, samples are drawn one after the other in proportion to the weights of those that
    are left. The draws are keyed by the epoch. `batch.weights` stay 1: the weights act by frequency.

    Args:
        weights: One number >= 0 a sample.
        n: Draws of an epoch; None: as many as there are samples.
        replacement: See above.

    Needs: nothing.
    Memory: 8 bytes a sample, and 60 a draw while selecting.
    Cost: one sort; draws stand in random order also with `shuffle=False`.
    Source: the rule of `torch.utils.data.WeightedRandomSampler`; without replacement Efraimidis & Spirakis
        2006, the same law. Where we differ: an epoch holds a sample at most 128 times, so weights by which
        one is expected more than 64 times are refused.

    Raises:
        ArgumentError: Weights are negative, not finite or all 0.
    """

    def __init__(self, weights: Any, n: int | None = None, replacement: bool = True) -> None:
        self._weights: np.ndarray | None = _checked(self, weights)
        self.n = None if n is None else whole_number(self, "n", n, 1, 2**32 - 1)
        self.replacement = flag(self, "replacement", replacement)

    def select(self, epoch: int, signals: Signals) -> Selection:
        """The epoch's draws.

        Raises:
            ArgumentError: There is not one weight a sample; one sample would come too often; or, without
                replacement, there are fewer samples of positive weight than draws.
        """
        weights = self._of(signals)
        if len(weights) != signals.n_samples:
            raise ArgumentError.make(
                f"{type(self).__name__} with {len(weights)} weights",
                why=f"the data set has {signals.n_samples} samples",
                remedy="Pass one weight a sample.",
            )
        n = signals.n_samples if self.n is None else self.n
        draw = self._with if self.replacement else self._without
        return Selection(draw(weights, n, epoch, signals))

    def _of(self, signals: Signals) -> np.ndarray:
        assert self._weights is not None
        return self._weights

    def _with(self, weights: np.ndarray, n: int, epoch: int, signals: Signals) -> np.ndarray:
        total = np.cumsum(weights)
        worst = int(weights.argmax())
        expected = n * weights[worst] / total[-1]
        if expected > MAX_EXPECTED:
            raise ArgumentError.make(
                f"{type(self).__name__} would draw sample {worst} about {expected:.0f} times an epoch",
                why=f"an epoch holds a sample at most {MAX_OCCURRENCES} times, and up to {MAX_EXPECTED} may "
                "be expected",
                remedy=f"Draw at most n={int(n * MAX_EXPECTED / expected)} an epoch, or take milder weights.",
            )
        # Draws are numbered where samples are elsewhere: the counter's first word only has to differ.
        at = signals.uniforms(np.arange(n), epoch, SLOT) * total[-1]
        # A product may round up to the total itself.
        return np.minimum(np.searchsorted(total, at, side="right"), np.flatnonzero(weights)[-1])

    def _without(self, weights: np.ndarray, n: int, epoch: int, signals: Signals) -> np.ndarray:
        positive = np.flatnonzero(weights)
        if n > len(positive):
            raise ArgumentError.make(
                f"{type(self).__name__} with n={n} and replacement=False",
                why=f"{len(positive)} of {len(weights)} samples have a positive weight",
                remedy="Pass a smaller n, or replacement=True.",
            )
        # The n smallest of exponential times with these rates.
        times = -np.log1p(-signals.uniforms(positive, epoch, SLOT)) / weights[positive]
        chosen = smallest(times, n)
        return positive[chosen[np.argsort(times[chosen], kind="stable")]]


class ClassBalanced(WeightedSampling):
    """Draw an epoch's samples so that each class is as likely as every other, with replacement.

    A sample's weight is 1 / (size of its class); see `WeightedSampling`.

    Args:
        n: Draws of an epoch; None: as many as there are samples.

    Needs: nothing.
    Memory: 75 bytes a sample while selecting.
    Cost: two sorts.
    Source: the usual rule of inverse class frequency. A class is refused that is so small that its samples
        are expected more than 64 times an epoch.
    """

    def __init__(self, n: int | None = None) -> None:
        super().__init__((1.0,), n)
        self._weights = None

    def _of(self, signals: Signals) -> np.ndarray:
        numbers, counts = compact(signals.targets)
        return (counts.max() / counts)[numbers]


def _checked(owner: object, values: Any) -> np.ndarray:
    """Weights as float64 (n,), the largest 1: so that the sum of huge ones stays finite."""
    name = type(owner).__name__
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentError.make(
            f"{name} weights that are no array", why=str(error), remedy="Pass one number a sample."
        ) from None
    if array.ndim != 1 or array.dtype.kind not in "biuf" or not array.size:
        raise ArgumentError.make(
            f"{name} weights of shape {array.shape} and type {array.dtype}",
            why="not a list of numbers",
            remedy="Pass one number a sample.",
        )
    weights = array.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(weights) | (weights < 0))
    if bad.size:
        raise ArgumentError.make(
            f"{name} weight {weights[bad[0]]} (of sample {bad[0]})",
            why="not a finite number >= 0",
            remedy="Mend it.",
        )
    if not weights.any():
        raise ArgumentError.make(
            f"{name} weights that are all 0", why="nothing could be drawn", remedy="Pass a positive one."
        )
    return weights / weights.max()
