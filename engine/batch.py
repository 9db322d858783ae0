"""What the loader delivers."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fieldloom.errors import ArgumentError

if TYPE_CHECKING:
    import torch

    from .mix import Mix


@dataclass(slots=True, eq=False)
class Batch:
    """One batch; `images, targets = batch` unpacks it, and `batch["image"]` asks for a column by its name.

    Attributes:
        images: (n, 3, height, width), or (n, height, width, 3) in layout "NHWC"; of a recipe with several
            views (views, n, ...).
        targets: int64 (n,), class indices; of mixed samples the class of the sample itself. Where targets are
            several numbers, float32 (n, k), mixed by weight with their samples; where they come with the
            samples, whatever numbers these have. -1 where there are none.
        ids: int64 (n,), sample ids.
        weights: float32 (n,), mean 1 over the epoch; of mixed samples the mean by their label weights.
        epoch: Number of the epoch.
        index: Number of the batch within it.
        mix: What mixed images are made of; None where the recipe mixes nothing.
        scoring: Whether `DataLoader.scoring_pass` delivered it.
        masks: int64 (n, height, width), ids under the pixels, through the same geometry as the images, each
            pixel the nearest one's id; of several views (views, n, ...); None where the source has none.
        fields: Other columns of the source by name: tensors where they are numbers, else lists.
        names: What the source calls "image", "target" and "mask".
    """

    images: "torch.Tensor"
    targets: "torch.Tensor"
    ids: "torch.Tensor"
    weights: "torch.Tensor"
    epoch: int
    index: int
    mix: "Mix | None" = None
    scoring: bool = False
    masks: "torch.Tensor | None" = None
    fields: dict[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator["torch.Tensor"]:
        yield self.images
        yield self.targets

    def __len__(self) -> int:
        return len(self.ids)

    def keys(self) -> list[str]:
        """Names of the columns, as the source has them: so `dict(batch)` is a dict of columns."""
        named = ["image", "target", *(["mask"] if self.masks is not None else [])]
        return [*(self.names.get(name, name) for name in named), *self.fields]

    def __getitem__(self, name: str | int) -> Any:
        """A column by the source's name for it, or by "image", "target" or "mask"; 0 and 1 as it unpacks."""
        if isinstance(name, int) and not isinstance(name, bool) and 0 <= name <= 1:
            return (self.images, self.targets)[name]
        columns = {"image": self.images, "target": self.targets, "mask": self.masks}
        own = {self.names.get(key, key): value for key, value in columns.items()}
        for known in (own, self.fields, columns):
            if isinstance(name, str) and known.get(name) is not None:
                return known[name]
        raise ArgumentError.make(
            f"batch[{name!r}]", why="there is no such column", remedy=f"There are {', '.join(self.keys())}."
        )

    def to(self, device: "torch.device | str | int", non_blocking: bool = False) -> "Batch":
        """This batch with images, targets, weights, masks, mixture and numeric fields on a device.

        Ids stay on the host, as with a loader whose device is a GPU; so do the mixture's shares and kinds.
        """
        return self._with(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """This batch with those tensors in pinned memory; `torch.utils.data` calls it by this name too."""
        return self._with(lambda tensor: tensor.pin_memory())

    def _with(self, change: "Callable[[torch.Tensor], torch.Tensor]") -> "Batch":
        import torch

        def changed(column: Any) -> Any:
            return change(column) if isinstance(column, torch.Tensor) else column

        mix = self.mix
        if mix is not None:
            mix = replace(mix, classes=changed(mix.classes), weights=change(mix.weights))
        return replace(
            self,
            images=change(self.images), targets=change(self.targets), weights=change(self.weights), mix=mix,
            masks=changed(self.masks), fields={name: changed(column) for name, column in self.fields.items()},
        )  # fmt: skip

    def soft_targets(self, n_classes: int, smoothing: float = 0.0) -> "torch.Tensor":
        """Dense targets, float32 (n, n_classes): of mixed samples their classes by weight, else one-hot.

        Args:
            n_classes: Classes of the data set.
            smoothing: Label smoothing s: 1 - s + s / C on, s / C off, before mixing.
        """
        from .mixing.losses import soft_targets

        if self.targets.ndim != 1 or self.targets.is_floating_point():
            raise ArgumentError.make(
                "soft_targets of a batch whose targets are not classes",
                why=f"they are {self.targets.dtype} of shape {tuple(self.targets.shape)}",
                remedy="Use batch.targets: they are mixed already.",
            )
        if self.mix is not None and self.mix.classes is not None:
            return soft_targets(self.mix.classes, self.mix.weights, n_classes, smoothing)
        import torch

        own = torch.ones((len(self), 1), device=self.targets.device)
        return soft_targets(self.targets[:, None], own, n_classes, smoothing)
