"""Spreading classes over the processes of a distributed training."""

from collections.abc import Callable, Sequence

import numpy as np

Arrays = dict[str, np.ndarray]


class Sharing:
    """One of `world` processes that choose together; this one is alone.

    Attributes:
        rank: Number of this process.
        world: Processes.
    """

    rank = 0
    world = 1

    def exchange(self, arrays: Arrays) -> list[Arrays]:
        """What each process gave, in order of rank, for all of them."""
        return [arrays]


def over_classes(
    sharing: Sharing, costs: Sequence[int] | np.ndarray, work: Callable[[list[int]], Arrays]
) -> Arrays:
    """Do the work of all classes, each in one process, and give all of it to each.

    Args:
        sharing: The processes.
        costs: (C,): the largest first, each class goes to the process that has least so far.
        work: Takes class numbers (maybe none), gives arrays that may be concatenated.

    Returns:
        The arrays of all processes, concatenated.
    """
    loads = [0.0] * sharing.world
    mine = []
    for number in np.argsort(-np.asarray(costs), kind="stable").tolist():
        rank = loads.index(min(loads))
        loads[rank] += float(costs[number])
        if rank == sharing.rank:
            mine.append(number)
    parts = sharing.exchange(work(sorted(mine)))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
