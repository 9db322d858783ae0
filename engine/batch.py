"""What the loader delivers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(slots=True, eq=False)
class Batch:
    """One batch; `images, targets = batch` unpacks it.

    Attributes:
        images: (n, 3, height, width), or (n, height, width, 3) in layout "NHWC".
        targets: int64 (n,), class indices.
        ids: int64 (n,), sample ids.
        weights: float32 (n,), mean 1 over the epoch.
        epoch: Number of the epoch.
        index: Number of the batch within it.
    """

    images: "torch.Tensor"
    targets: "torch.Tensor"
    ids: "torch.Tensor"
    weights: "torch.Tensor"
    epoch: int
    index: int

    def __iter__(self) -> Iterator["torch.Tensor"]:
        yield self.images
        yield self.targets

    def __len__(self) -> int:
        return len(self.targets)
