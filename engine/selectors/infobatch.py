"""InfoBatch: drop some of the samples that are learned already, and let the others of them weigh more."""

import math

import numpy as np

from fieldloom.options import number, whole_number
from fieldloom.selection import Selection

from .drawing import SLOT
from .periodic import Periodic
from .signals import Signals


class InfoBatch(Periodic):
    """Drop samples of small loss at random, and let those of them that stay weigh more.

    Each sample whose loss lies below the mean is dropped with probability r; if kept, it weighs 1 / (1 − r).

    In expectation the weighted sum of gradients over an epoch is that over all samples. Samples without a
    loss so far, or with one that is not finite, are kept and have no part in the mean. The first epoch and
    the last share `last` of the training hold every sample.

    `batch.weights` have mean 1 over the epoch, so weighted losses `(loss * batch.weights).mean()` keep their
    size, and an epoch makes fewer steps. The published rule does not scale: its steps are larger, by the
    factor `scale`. Multiply the loss by it to follow the paper; the direction is the same.

    Args:
        epochs: Length of the training.
        r: Probability of being dropped.
        last: Share of the training, at its end, without dropping.

    Needs: loss, from the training loop.
    Memory: the signal's 8 bytes a sample, 16 for the choice, and 70 while selecting.
    Cost: some array operations an epoch.
    Source: Qin et al., InfoBatch: Lossless Training Speed Up by Unbiased Dynamic Data Pruning (ICLR 2024),
        arXiv 2303.04947; r = 0.5, last = 1 / 8. There a fixed number of samples below the mean is dropped;
        here each by itself, so that a sample's fate does not depend on others beyond the mean.

    Attributes:
        scale: See above; 1 for an epoch that holds every sample.
    """

    signals = ("loss",)
    scoring = False

    def __init__(self, epochs: int, r: float = 0.5, last: float = 0.125) -> None:
        super().__init__(every=1, warmup=0)
        self.epochs = whole_number(self, "epochs", epochs, 1, 2**32 - 1)
        self.r = number(self, "r", r, 0.0, 0.99)
        self.last = number(self, "last", last, 0.0, 1.0)

    @property
    def scale(self) -> float:
        """Factor by which the published rule's weights are larger than those of the present epoch."""
        # Samples above the mean have weight 1 before scaling, and there always are some.
        chosen = self._chosen
        return 1.0 if chosen is None or chosen.weights is None else 1 / float(chosen.weights.min())

    def choose(self, epoch: int, signals: Signals) -> Selection | None:
        """Draw who stays.

        Raises:
            StateError: An epoch has passed, and no loss was ever reported.
        """
        # Rounded up, but not for what 0.1 * 200 has beyond 20.
        whole = math.ceil(self.last * self.epochs - 1e-9)
        if epoch >= self.epochs - whole:
            return None
        if self._at is None and not signals.seen("loss").any():
            return None
        losses = signals.array("loss").astype(np.float64)
        known = signals.seen("loss") & np.isfinite(losses)
        if not known.any():
            return None
        low = known & (losses < losses[known].mean())
        draws = signals.uniforms(np.arange(signals.n_samples), epoch, SLOT)
        kept = np.flatnonzero(~low | (draws >= self.r))
        weights = np.where(low[kept], 1 / (1 - self.r), 1.0)
        return Selection(kept, (weights / weights.mean()).astype(np.float32))
