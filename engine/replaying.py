"""The part of a loader that makes one sample of an epoch again."""

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from fieldloom.errors import ArgumentError

from .choosing import Chooser
from .epoch import MAX_EPOCH, EpochPlan
from .options import flag, whole_number
from .production import Production
from .ranks import Rank
from .sources import Source

if TYPE_CHECKING:
    from fieldloom.kernels.plan import PassPlan


class Replayed:
    """Mixed into `DataLoader`."""

    plan: "PassPlan"
    _share: Rank
    source: Source
    _chooser: Chooser
    _production: Production

    def _check(self, what: str) -> None:
        raise NotImplementedError

    def _plan(self, epoch: int) -> EpochPlan:
        raise NotImplementedError

    def _part(self, whole: EpochPlan, rank: Rank) -> EpochPlan:
        raise NotImplementedError

    def replay(self, sample: int, epoch: int, occurrence: int = 0, mask: bool = False) -> Any:
        """One sample exactly as an epoch delivers it, bit for bit.

        A recipe that mixes needs the epoch's plan for that, and the sample's group: then the sample must
        be in the plan of the present selection, and up to a group's other samples are read; of a sample that
        several ranks get, it is this rank's. Of a selector that hears signals only the epoch under way (or
        the next, once decided) can be replayed: its choices for others are not kept.

        Args:
            sample: Its id.
            epoch: The epoch.
            occurrence: Which repeat of it in that epoch.
            mask: Whether to give its mask too.

        Returns:
            Tensor (3, height, width), or (height, width, 3) in layout "NHWC"; with several views
            (views, ...). With `mask` a pair of it and the mask, int64 (height, width) or (views, ...).
        """
        self._check("replay")
        sample = whole_number("", "sample", sample, 0, len(self.source) - 1)
        epoch = whole_number("", "epoch", epoch, 0, MAX_EPOCH)
        occurrence = whole_number("", "occurrence", occurrence, 0, 255)
        if flag("", "mask", mask) and not getattr(self.source, "has_masks", False):
            raise ArgumentError.make("replay of a mask", why="the data set has none", remedy="Leave it out.")
        if not self._chooser.known(epoch):
            raise ArgumentError.make(
                f"replay of epoch {epoch}",
                why="the selector's choice for it is not at hand",
                remedy="Replay the epoch under way, or select its samples by hand in a loader of your own.",
            )
        selection = self._chooser.selection(epoch)
        if self.plan.mixing is None and (selection is None or selection.strength is None):
            alone = EpochPlan(epoch, np.array([sample]), np.array([occurrence], np.uint8), None)
            return self._replay(alone, 0, mask)
        found = self._find(epoch, sample, occurrence)
        if found is None:
            raise ArgumentError.make(
                f"replay of sample {sample}, occurrence {occurrence}",
                why="it is not in the plan of the present selection",
                remedy="Select it: what it looks like depends on its group, or on its strength.",
            )
        return self._replay(*found, mask)

    def _replay(self, plan: EpochPlan, place: int, mask: bool) -> Any:
        image, ids = self._production.replay(plan, place)
        return (image, ids) if mask else image

    def _find(self, epoch: int, sample: int, occurrence: int) -> tuple[EpochPlan, int] | None:
        """A plan that has the sample, this rank's first, then others', then the whole; and its place."""
        whole, world = self._plan(epoch), self._share.world
        ranks = (Rank((self._share.index + k) % world, world) for k in range(world))
        for plan in itertools.chain((self._part(whole, rank) for rank in ranks), (whole,)):
            repeats = 0 if plan.occurrences is None else plan.occurrences
            found = np.flatnonzero((plan.ids == sample) & (repeats == occurrence))
            if len(found):
                return plan, int(found[0])
        return None
