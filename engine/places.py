"""From a stretch of the plan to a batch's work: which samples, and at which places partners are found."""

import numpy as np

from fieldloom.kernels.draws import Windows
from fieldloom.kernels.plan import PassPlan

from .epoch import EpochPlan
from .mix import group_of
from .work import Work


class Places:
    """Cuts batches out of plans.

    Args:
        form: The compiled recipe.
        batch_size: Samples of a batch.

    Attributes:
        groups_are_local: Whether batches cut the plan's groups apart, so that mixing partners come from
            within the batch alone.
    """

    def __init__(self, form: PassPlan, batch_size: int) -> None:
        self._group = 0 if form.mixing is None else form.mixing.group
        self._batch_size = batch_size
        self.groups_are_local = bool(self._group) and batch_size % self._group != 0

    def work(self, plan: EpochPlan, index: int, where: slice) -> Work:
        """The work of one batch; copies, all of it: a batch belongs to the user, who may write into it."""
        ids = plan.ids[where].astype(np.int64)
        weights = np.ones(len(ids), np.float32) if plan.weights is None else plan.weights[where].copy()
        none = Windows(np.zeros((len(ids), 4)), np.zeros((len(ids), 4), np.int32))
        strength = None if plan.strength is None else plan.strength[where].copy()
        if self.groups_are_local or (self._group and plan.bounds is not None):
            positions = self._apart(plan, where)
        elif plan.positions is not None:
            positions = plan.positions[where]
        else:
            positions = np.arange(where.start, where.stop)
        return Work(index, ids, plan.repeats(where), weights, strength, positions, none)

    def group(self, plan: EpochPlan, place: int) -> slice:
        """Places of the plan among which the mixing partners of one are found; itself if nothing is mixed."""
        if not self._group:
            return slice(place, place + 1)
        if plan.bounds is None:
            return group_of(
                place, len(plan), self._group, self._batch_size if self.groups_are_local else None
            )
        batch = int(np.searchsorted(plan.bounds, place, "right")) - 1
        first, end = int(plan.bounds[batch]), int(plan.bounds[batch + 1])
        group = group_of(place - first, end - first, self._group, None)
        return slice(first + group.start, first + group.stop)

    def _apart(self, plan: EpochPlan, where: slice) -> np.ndarray:
        """Positions for which no group reaches beyond its batch: each batch begins with a group of its own.

        The groups' numbers go on from batch to batch, since choices may take turns by them.
        """
        n = where.stop - where.start
        if plan.bounds is not None:
            room = -(-int(np.diff(plan.bounds).max()) // self._group) * self._group
            batch = int(np.searchsorted(plan.bounds, where.start, "right")) - 1
            return batch * room + where.start - plan.bounds[batch] + np.arange(n)
        first = where.start if plan.positions is None else int(plan.positions[where.start])
        room = -(-self._batch_size // self._group) * self._group
        places = np.arange(where.start, where.stop) % self._batch_size
        return first // self._batch_size * room + places
