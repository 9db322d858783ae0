"""Which places of a plan each batch takes, counted when asked: a list of them would outgrow the plan."""

from collections.abc import Sequence
from typing import overload

import numpy as np


class Slices(Sequence[slice]):
    """Places of the batches of a plan, in order.

    Args:
        length: Samples of the plan.
        batch_size: Samples of a batch.
        drop_last: Leave out the last, incomplete batch.
        bounds: int64 (batches + 1,), where each batch begins and the last one ends, for batches of different
            sizes; the options above say nothing then.
        batches: Which of the batches; None: all.

    Example:
        >>> list(Slices(5, 2, drop_last=False))[1:]
        [slice(2, 4, None), slice(4, 5, None)]
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        *,
        drop_last: bool,
        bounds: np.ndarray | None = None,
        batches: range | None = None,
    ) -> None:
        self._length, self._size, self._drop_last, self._bounds = length, batch_size, drop_last, bounds
        if batches is None and bounds is not None:
            batches = range(len(bounds) - 1)
        elif batches is None:
            batches = range(length // batch_size if drop_last else -(-length // batch_size))
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    @overload
    def __getitem__(self, index: int) -> slice: ...

    @overload
    def __getitem__(self, index: slice) -> "Slices": ...

    def __getitem__(self, index: int | slice) -> "slice | Slices":
        batches = self._batches[index]
        if isinstance(batches, range):
            return Slices(
                self._length, self._size, drop_last=self._drop_last, bounds=self._bounds, batches=batches
            )
        if self._bounds is not None:
            return slice(int(self._bounds[batches]), int(self._bounds[batches + 1]))
        first = batches * self._size
        return slice(first, min(first + self._size, self._length))
