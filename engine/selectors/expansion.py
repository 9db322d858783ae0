"""Progressive expansion: start balanced over groups, then add the rest bit by bit."""

from typing import Any

import numpy as np

from fieldloom.errors import ArgumentError
from fieldloom.options import whole_number
from fieldloom.selection import Selection

from .base import Selector
from .classes import compact, ranks_within
from .drawing import random_keys, smallest
from .signals import Signals

_MAX = 2**32 - 1


class ProgressiveExpansion(Selector):
    """Train on a set that is balanced over groups first, and add other samples at milestones.

    Until epoch `start` an epoch holds max(size of the smallest group, `cap`) samples of every group, all of
    a smaller one. At epochs `start`, `start + interval`, ... `add` more samples come in, drawn uniformly
    from those not used yet, until none is left. What is in stays in. The set is computed from (seed, epoch)
    alone: there is nothing to save.

    Args:
        groups: Integers (n,): the group of each sample, for instance class * n_attributes + attribute.
        start: Epoch of the first milestone.
        interval: Epochs between milestones.
        add: Samples that come in at each; 0 spreads the rest evenly over the milestones before `epochs`.
        cap: Samples that a group may give in the beginning where the smallest has fewer; 0: none.
        epochs: Length of the training; needed with add=0 only.

    Needs: groups.
    Memory: 8 bytes a sample, and 50 while selecting.
    Cost: one sort.
    Source: Deng et al., Robust Learning with Progressive Data Expansion Against Spurious Correlation,
        arXiv 2306.04949; Waterbirds: start=140, interval=10, add=10, CelebA: 16, 10, 50, CivilComments: 15,
        2, 300 with cap=150. Lower the learning rate once at `start`, as there. Where we differ: the published
        code draws what it adds with replacement, and for CelebA draws the beginning anew at `start`.

    Raises:
        ArgumentError: An option is out of range.
    """

    def __init__(
        self, groups: Any, start: int, interval: int, add: int, cap: int = 0, epochs: int | None = None
    ) -> None:
        self._groups = _checked(groups)
        self.start = whole_number(self, "start", start, 0, _MAX)
        self.interval = whole_number(self, "interval", interval, 1, _MAX)
        self.add = whole_number(self, "add", add, 0, _MAX)
        self.cap = whole_number(self, "cap", cap, 0, _MAX)
        self.epochs = None if epochs is None else whole_number(self, "epochs", epochs, 1, _MAX)
        if not self.add and (self.epochs is None or self.epochs <= self.start):
            raise ArgumentError.make(
                f"ProgressiveExpansion with add=0, start={self.start} and epochs={self.epochs}",
                why="the rest is spread over the milestones from start to epochs",
                remedy="Pass epochs, larger than start; or add.",
            )

    def select(self, epoch: int, signals: Signals) -> Selection | None:
        """The set at an epoch, in the data set's order; None where it is everything.

        Raises:
            ArgumentError: There is not one group a sample.
        """
        n = signals.n_samples
        if len(self._groups) != n:
            raise ArgumentError.make(
                f"ProgressiveExpansion with {len(self._groups)} groups",
                why=f"the data set has {n} samples",
                remedy="Pass one group a sample.",
            )
        # Keys of epoch 0, whatever the epoch: the same order of entry every time.
        keys = random_keys(signals, 0)
        numbers, counts = compact(self._groups)
        held = ranks_within(numbers, counts, keys) < max(int(counts.min()), self.cap)
        others = np.flatnonzero(~held)
        held[others[smallest(keys[others], min(len(others), self._added(epoch, len(others))))]] = True
        return None if held.all() else Selection(np.flatnonzero(held))

    def _added(self, epoch: int, rest: int) -> int:
        if epoch < self.start:
            return 0
        passed = (epoch - self.start) // self.interval + 1
        if self.add:
            return passed * self.add
        assert self.epochs is not None
        return rest * passed // -((self.start - self.epochs) // self.interval)


def _checked(groups: Any) -> np.ndarray:
    try:
        array = np.asarray(groups)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentError.make(
            "ProgressiveExpansion groups that are no array", why=str(error), remedy="Pass one a sample."
        ) from None
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ArgumentError.make(
            f"ProgressiveExpansion groups of shape {array.shape} and type {array.dtype}",
            why="not a list of whole numbers",
            remedy="Pass one group a sample.",
        )
    return array.astype(np.int64)
