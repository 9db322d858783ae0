"""The contract that the loader asks of every data set: ids 0..n-1, a label each, and bytes or pixels."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import ArgumentError
from fieldloom.sources.dense import DensePixels


class Source:
    """A finite data set that is read by index, from any thread.

    A subclass sets the three attributes and overrides `read` or `pixels`, whichever `stored` names.
    An object that merely has these names works as well (`open_source` asks for no inheritance).

    Attributes:
        targets: Class index of each sample, int64, shape (n,), each >= 0.
        classes: Name of each class, or None where the source has none.
        stored: "encoded" (image files: `read`) or "pixels" (decoded images: `pixels`).
        dense: For "pixels", where all images lie if they are of one size and evenly spaced in memory: the
            loader then reaches them by arithmetic, a batch at once, and never calls `pixels` in a loop.
    """

    targets: NDArray[np.int64]
    classes: list[str] | None = None
    stored: Literal["encoded", "pixels"] = "encoded"
    dense: DensePixels | None = None

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.targets)

    def name(self, i: int) -> str:
        """What errors call sample `i`: its path, or where else it lives.

        May hold line breaks and surrogate escapes (bytes that are not UTF-8): escape it before printing.
        """
        raise NotImplementedError(f"{type(self).__name__} does not name its samples")

    def read(self, i: int) -> NDArray[np.uint8]:
        """The encoded file of sample `i`: uint8, shape (n_bytes,), n_bytes >= 1, possibly read-only.

        Raises:
            SampleError: This one sample cannot be had; the loader's `on_bad_sample` applies.
            SourceError: No sample can be had (out of file descriptors) or reading is unsafe.
        """
        raise NotImplementedError(f"{type(self).__name__} stores {self.stored}, not encoded files")

    def pixels(self, i: int) -> NDArray[np.uint8]:
        """The image of sample `i`: RGB, uint8, shape (height, width, 3), possibly read-only.

        The last two axes are contiguous (strides[1:] == (3, 1)); rows may lie further apart.
        """
        raise NotImplementedError(f"{type(self).__name__} stores {self.stored}, not pixels")


def is_source(value: object) -> bool:
    """Whether `value` meets the contract above, by its names alone."""
    stored = getattr(value, "stored", None)
    getter = {"encoded": "read", "pixels": "pixels"}.get(stored if isinstance(stored, str) else "")
    needed = ("__len__", "targets", "classes", "name", getter)
    return getter is not None and all(hasattr(value, name) for name in needed if name)


def checked_pixels(source: Source, sample: int) -> np.ndarray:
    """A decoded image of a source: the kernels go through it by address, shape and strides.

    Raises:
        ArgumentError: It is not uint8 of shape (height, width, 3).
    """
    image = source.pixels(sample)
    good = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.size
    if not good or image.shape[2] != 3:
        shown = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ArgumentError.make(
            f"{type(source).__name__}.pixels returned {shown}",
            why="an image is uint8 of shape (height, width, 3)",
            remedy="Convert it there.",
            sample=sample,
        )
    return image if image.strides[1:] == (3, 1) and image.strides[0] >= 0 else np.ascontiguousarray(image)
