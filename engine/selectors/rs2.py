"""RS2: another random subset each epoch."""

import numpy as np

from fieldloom.options import flag
from fieldloom.selection import Selection

from .base import Selector
from .classes import stratified_order
from .drawing import checked_fraction, random_keys, size_of
from .signals import Signals


class RS2(Selector):
    """Repeated sampling of random subsets: each epoch holds a random fraction of the samples.

    Without replacement, epochs take consecutive slices of a permutation of the data set, and of a new one
    where it ends; the slice across the end takes nothing twice. After any number of epochs two samples'
    counts differ by at most 1. With replacement (across epochs; never within one), each epoch's subset is
    uniform and independent of the others.

    Either way an epoch's subset is computed from (seed, epoch) alone: there is nothing to save, and any
    epoch can be asked for.

    Args:
        fraction: Share of the data set, above 0 and at most 1; the subset has the nearest whole size.
        replacement: See above.
        class_balanced: Hold the classes in proportion, up to one or two samples each. Where a class's share
            is below one sample, epochs take turns: every class still gets its due over the epochs.

    Needs: nothing.
    Memory: 65 bytes a sample while selecting.
    Cost: one to three sorts.
    Source: Okanovic et al., Repeated Random Sampling for Minimizing the Time-to-Accuracy of Learning,
        arXiv 2305.18424. The number of epochs stays that of a full training, and the schedule of the learning
        rate is stretched over the steps that there are. The published code wraps modulo n + 1, which makes
        one subset short; here all have the same size, and what is left of a permutation comes first in the
        next epoch.
    """

    def __init__(self, fraction: float, replacement: bool = False, class_balanced: bool = False) -> None:
        self.fraction = checked_fraction(self, fraction)
        self.replacement = flag(self, "replacement", replacement)
        self.class_balanced = flag(self, "class_balanced", class_balanced)

    def select(self, epoch: int, signals: Signals) -> Selection | None:
        """The epoch's subset, in the data set's order; None where it is everything."""
        n = signals.n_samples
        k = size_of(self.fraction, n)
        if k == n:
            return None
        if self.replacement:
            ids = self._order(epoch, signals)[:k]
        elif 2 * k <= n:
            ids = self._slice(epoch, k, signals)
        else:
            # The same law seen from the other side: each sample is left out once before any is left out
            # twice. It keeps slices below half of a permutation, which `_permutation` relies on.
            left_out = np.zeros(n, bool)
            left_out[self._slice(epoch, n - k, signals)] = True
            ids = np.flatnonzero(~left_out)
        return Selection(np.sort(ids))

    def _order(self, number: int, signals: Signals) -> np.ndarray:
        if self.class_balanced:
            return stratified_order(signals, number)
        return np.argsort(random_keys(signals, number), kind="stable")

    def _slice(self, epoch: int, k: int, signals: Signals) -> np.ndarray:
        """Places epoch * k to epoch * k + k - 1 of one permutation after the other, for 2 k <= n."""
        n = signals.n_samples
        number, first = divmod(epoch * k, n)
        ids = self._permutation(number, k, signals)[first : first + k]
        if len(ids) < k:
            ids = np.concatenate([ids, self._permutation(number + 1, k, signals)[: k - len(ids)]])
        return ids

    def _permutation(self, number: int, k: int, signals: Signals) -> np.ndarray:
        """A permutation whose first places avoid what the epoch across its beginning already holds.

        That epoch holds the last t < k of the permutation before. Its own k - t places here are filled with
        the first others, all of which stand among the first k. So the last k are never moved (2 k <= n), and
        what the permutation before ends with is known without going further back.
        """
        n = signals.n_samples
        order = self._order(number, signals)
        t = number * n % k
        if t == 0:
            return order
        held = np.zeros(n, bool)
        held[self._order(number - 1, signals)[n - t :]] = True
        head, rest = order[:k], order[k:]
        new = ~held[head]
        new[np.cumsum(new) > k - t] = False
        return np.concatenate([head[new], head[~new], rest])
