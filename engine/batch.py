"""What the loader delivers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from .mix import Mix


@dataclass(slots=True, eq=False)
class Batch:
    """One batch; `images, targets = batch` unpacks it.

    Attributes:
        images: (n, 3, height, width), or (n, height, width, 3) in layout "NHWC"; of a recipe with several
            views (views, n, ...).
        targets: int64 (n,), class indices; of mixed samples the class of the sample itself.
        ids: int64 (n,), sample ids.
        weights: float32 (n,), mean 1 over the epoch; of mixed samples the mean by their label weights.
        epoch: Number of the epoch.
        index: Number of the batch within it.
        mix: What mixed images are made of; None where the recipe mixes nothing.
        scoring: Whether `DataLoader.scoring_pass` delivered it.
    """

    images: "torch.Tensor"
    targets: "torch.Tensor"
    ids: "torch.Tensor"
    weights: "torch.Tensor"
    epoch: int
    index: int
    mix: "Mix | None" = None
    scoring: bool = False

    def __iter__(self) -> Iterator["torch.Tensor"]:
        yield self.images
        yield self.targets

    def __len__(self) -> int:
        return len(self.targets)

    def soft_targets(self, n_classes: int, smoothing: float = 0.0) -> "torch.Tensor":
        """Dense targets, float32 (n, n_classes): of mixed samples their classes by weight, else one-hot.

        Args:
            n_classes: Classes of the data set.
            smoothing: Label smoothing s: 1 - s + s / C on, s / C off, before mixing.
        """
        from .mixing.losses import soft_targets

        if self.mix is not None:
            return soft_targets(self.mix.classes, self.mix.weights, n_classes, smoothing)
        import torch

        own = torch.ones((len(self), 1), device=self.targets.device)
        return soft_targets(self.targets[:, None], own, n_classes, smoothing)
