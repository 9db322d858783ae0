"""Decoded images that are already in memory."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import ArgumentError
from fieldloom.sources.base import Source
from fieldloom.sources.dense import DensePixels
from fieldloom.sources.labels import check_num_classes
from fieldloom.sources.rows import check_targets

_LAYOUT = (
    "images are uint8, RGB or gray, channels last: (n, height, width, 3), or a list of (height, width, 3)"
)


class ArraySource(Source):
    """Images as uint8 pixels, and their labels: `(images, labels)`. The pixels are not copied.

    Gray images, of shape (height, width) or (height, width, 1), are expanded to RGB one at a time when
    they are asked for. torch tensors on the CPU are taken as the arrays that they share memory with.
    """

    stored = "pixels"

    def __init__(self, images: object, labels: object, *, num_classes: int | None = None) -> None:
        """Check shapes and types; every image of a list is looked at.

        Args:
            images: uint8 array of shape (n, height, width, 3), (n, height, width, 1) or (n, height,
                width); or a list of arrays of shape (height, width, 3), (height, width, 1) or (height,
                width), whose sizes may differ.
            labels: One class index an image, sequence or array of shape (n,); or rows of numbers, (n, k).
            num_classes: If given, labels are below it.

        Raises:
            ArgumentError: The pixels are not uint8 (floats in 0..1 would turn black), channels come
                first or are not 1 or 3, an image has no pixels, or the lengths differ.
            LabelError: A label is not an integer from 0 to num_classes - 1.
        """
        stack = as_array(images)
        if stack is not None and stack.dtype != object:
            _check(stack, "images", n_leading=1)
            self._images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8] = stack
            self.dense = DensePixels.of_array(stack)
        else:
            self._images = [_image(image, i) for i, image in enumerate(_items(images, "images"))]
        array = as_array(labels)
        column = _items(labels, "labels") if array is None else array
        if len(column) != len(self._images):
            raise ArgumentError.make(
                "images and labels do not match",
                why=f"there are {len(self._images)} images and {len(column)} labels",
                remedy="Pass one label an image.",
            )
        self.targets = check_targets(column, check_num_classes(num_classes), self.name)

    def name(self, i: int) -> str:
        """Where sample `i` lives (it has no name of its own)."""
        return "image in memory"

    def pixels(self, i: int) -> NDArray[np.uint8]:
        """The image of sample `i`; see `Source.pixels`. A view of the user's memory where it fits."""
        image = self._images[i]
        if image.ndim == 2:
            image = image[:, :, None]
        if image.shape[2] == 1:
            return np.repeat(image, 3, axis=2)
        # The kernels step through rows by their stride, but through a row as packed RGB.
        return image if image.strides[1:] == (3, 1) else np.ascontiguousarray(image)


def as_array(value: Any) -> NDArray[Any] | None:
    """`value` as an array, if it is one or is a torch tensor on the CPU; else None. Copies nothing.

    Raises:
        ArgumentError: It is a tensor on another device.
    """
    if isinstance(value, np.ndarray):
        return value
    # By name: whoever hands over a tensor has imported torch, and nobody else shall pay for it.
    if type(value).__module__.partition(".")[0] != "torch" or not hasattr(value, "device"):
        return None
    if value.device.type != "cpu":
        raise ArgumentError.make(
            f"a tensor on {value.device}",
            why="sources hold arrays in CPU memory",
            remedy="Pass tensor.cpu().",
        )
    return np.asarray(value.detach())


def _items(values: object, option: str) -> Sequence[object]:
    if isinstance(values, np.ndarray):
        return values.tolist() if values.ndim else []
    if isinstance(values, (list, tuple, range)):
        return values
    raise ArgumentError.make(f"{option} is a {type(values).__name__}", why="a list or an array is needed")


def _image(value: object, i: int) -> NDArray[np.uint8]:
    image = as_array(value)
    if image is None:
        raise ArgumentError.make(f"image {i} is a {type(value).__name__}", why=_LAYOUT)
    _check(image, f"image {i}", n_leading=0)
    return image


def _check(image: NDArray[Any], what: str, *, n_leading: int) -> None:
    """Refuse what is not uint8 gray or RGB with channels last, after `n_leading` leading axes."""
    what = f"{what} of type {image.dtype} and shape {image.shape}"
    if image.dtype != np.uint8:
        remedy = "Convert to uint8, 0 to 255."
        if image.dtype.kind == "f":
            # A bare cast would make all of 0..1 black, without a word.
            remedy = "For values in 0..1 pass (images * 255).round().astype(np.uint8)."
        raise ArgumentError.make(what, why=_LAYOUT, remedy=remedy)
    shape = image.shape[n_leading:]
    if len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3)):
        if 0 in shape:
            raise ArgumentError.make(what, why="each image needs at least one pixel")
        return
    remedy = ""
    if len(shape) == 3 and shape[0] in (1, 3):
        axes = tuple(range(n_leading)) + tuple(n_leading + axis for axis in (1, 2, 0))
        remedy = f"Channels come first here: pass images.transpose{axes} (torch: permute)."
    elif len(shape) == 3 and shape[2] == 4:
        remedy = "For RGBA pass images[..., :3], after blending with a background where it matters."
    raise ArgumentError.make(what, why=_LAYOUT, remedy=remedy)
