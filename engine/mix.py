"""What the images of a mixed batch are made of."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fieldloom.kernels.stages.staged import Mixture

if TYPE_CHECKING:
    import torch


@dataclass(slots=True, eq=False)
class Mix:
    """Classes, weights and ids of what each image of a batch was mixed from; the sample itself stands first.

    Attributes:
        classes: int64 (n, ways), usually two ways. A sample that was not mixed has its own class in all. None
            where targets are not classes: `batch.targets` are mixed then.
        weights: float32 (n, ways), label weights; rows sum to 1.
        pixels: float32 (n, ways), shares of the pixels on the host; they differ from `weights` where a mix
            has a label rule of its own.
        ids: int64 (n, ways), sample ids on the host.
        kinds: uint8 (n,) on the host: which mix of the recipe's choice acted, counted from 1; 0: none.
    """

    classes: "torch.Tensor | None"
    weights: "torch.Tensor"
    pixels: "torch.Tensor"
    ids: "torch.Tensor"
    kinds: "torch.Tensor"


def mix_of(mixture: Mixture, targets: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, Mix]:
    """The targets of a mixed batch, and the mixture.

    Args:
        mixture: What the kernels were told.
        targets: int64 (n,), classes: they stay what they are; or float32 (n, k): they are mixed by weight.
        ids: int64 (n,), sample ids.
    """
    import torch

    classes = None
    if targets.ndim == 1 and targets.dtype == np.int64:
        classes = torch.from_numpy(targets[mixture.places])
    else:
        rows, weights = targets[mixture.places].astype(np.float32), mixture.weights
        targets = (rows * weights.reshape(weights.shape + (1,) * (rows.ndim - 2))).sum(1)
    columns = (mixture.weights, mixture.pixels, ids[mixture.places], mixture.kinds)
    return targets, Mix(classes, *map(torch.from_numpy, columns))


def group_of(place: int, n: int, size: int, batch_size: int | None) -> slice:
    """Places of a plan of n samples among which the partners of one are found.

    Args:
        place: Place of the sample.
        n: Length of the plan.
        size: Places of a group.
        batch_size: Where groups end with each batch; None: they do not.
    """
    batch = 0 if batch_size is None else place // batch_size * batch_size
    first = batch + (place - batch) // size * size
    last = min(first + size, n)
    return slice(first, last if batch_size is None else min(last, batch + batch_size))
