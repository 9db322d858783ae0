"""Decoded images that already lie in a GPU's memory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import ArgumentError
from fieldloom.sources.base import Source
from fieldloom.sources.dense import DensePixels
from fieldloom.sources.labels import check_num_classes
from fieldloom.sources.rows import check_targets


class ResidentSource(Source):
    """Images as a torch tensor on a GPU, and their labels: `(images, labels)`. The pixels are not copied.

    Attributes:
        device: Where the images are ("cuda:0").
    """

    stored = "pixels"

    def __init__(self, images: Any, labels: Any, *, num_classes: int | None = None) -> None:
        """Check the shape.

        Args:
            images: uint8 tensor of shape (n, height, width, 3), contiguous.
            labels: One class index an image, shape (n,), or rows of numbers, (n, k); a tensor on any device,
                an array or a sequence.
            num_classes: If given, labels are below it.

        Raises:
            ArgumentError: Another type, shape or layout, or the lengths differ.
            LabelError: A label is not an integer from 0 to num_classes - 1.
        """
        shape = tuple(images.shape)
        if str(images.dtype) != "torch.uint8" or len(shape) != 4 or shape[3] != 3 or 0 in shape[1:]:
            raise ArgumentError.make(
                f"images of type {images.dtype} and shape {shape} on {images.device}",
                why="GPU-resident images are uint8, RGB, channels last: (n, height, width, 3)",
                remedy="Convert them; for NCHW pass images.permute(0, 2, 3, 1).contiguous().",
            )
        if not images.is_contiguous():
            raise ArgumentError.make(
                "images are not contiguous", why="rows must be packed", remedy="Pass images.contiguous()."
            )
        if hasattr(labels, "detach"):
            labels = labels.detach().cpu().numpy()
        if len(labels) != len(images):
            raise ArgumentError.make(
                "images and labels do not match",
                why=f"there are {len(images)} images and {len(labels)} labels",
                remedy="Pass one label an image.",
            )
        self.device = str(images.device)
        self._images = images.detach()
        self.dense = DensePixels.of_tensor(self._images)
        self.targets = check_targets(labels, check_num_classes(num_classes), self.name)

    def name(self, i: int) -> str:
        """Where sample `i` lives (it has no name of its own)."""
        return f"image on {self.device}"

    def pixels(self, i: int) -> NDArray[np.uint8]:
        """A copy of the image of sample `i` in host memory; waits for the GPU."""
        return np.asarray(self._images[i].cpu())


def is_resident(images: object) -> bool:
    """Whether this is a torch tensor on a GPU."""
    if type(images).__module__.partition(".")[0] != "torch":
        return False
    return getattr(getattr(images, "device", None), "type", "cpu") == "cuda"
