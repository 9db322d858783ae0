"""The contract that the loader asks of every data set: ids 0..n-1, a target each, and bytes or pixels."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import ArgumentError
from fieldloom.sources.dense import DensePixels
from fieldloom.sources.sample import Sample


class Source:
    """A finite data set that is read by index, from any thread.

    A subclass sets `targets` and `stored` and overrides `read` or `pixels`, whichever `stored` names; one
    that has masks, other fields or targets that come with the samples sets `more` and overrides `sample`. An
    object that merely has these names works as well (`open_source` asks for no inheritance).

    Attributes:
        targets: Class index of each sample, integers of any width, shape (n,), each >= 0; or several numbers
            for each (multi-label, regression), float32 (n, k); or None: they come with the samples.
        classes: Name of each class, or None where the source has none.
        stored: "encoded" (image files: `read`) or "pixels" (decoded images: `pixels`).
        more: Whether `sample` gives more than `read` or `pixels`: a target, a mask, fields.
        has_masks: Whether samples have masks.
        names: What the source calls "image", "target" and "mask", where that is something else: batches
            can be asked by these names.
        dense: For "pixels", where all images lie if they are of one size and evenly spaced in memory: the
            loader then reaches them by arithmetic, a batch at once, and never calls `pixels` in a loop.
        windowed: For "pixels", whether sizes are known without reading (`sizes`) and parts of an image can be
            read (`window`): only what a crop needs is read then, ahead of time, on several threads.
    """

    targets: NDArray[np.integer] | NDArray[np.float32] | None
    classes: list[str] | None = None
    stored: Literal["encoded", "pixels"] = "encoded"
    more: bool = False
    has_masks: bool = False
    names: Mapping[str, str] = {}
    dense: DensePixels | None = None
    windowed: bool = False

    def __len__(self) -> int:
        """Number of samples."""
        if self.targets is None:
            raise NotImplementedError(f"{type(self).__name__} does not say how many samples it has")
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

    def sample(self, i: int) -> Sample:
        """Sample `i` with all that belongs to it. Raises as `read` does."""
        return Sample(self.read(i) if self.stored == "encoded" else self.pixels(i))

    def sizes(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Height and width of these images, (len(ids), 2), without reading them (`windowed`)."""
        raise NotImplementedError(f"{type(self).__name__} does not know its images' sizes")

    def window(self, i: int, rect: tuple[int, int, int, int]) -> NDArray[np.uint8]:
        """The part (y, x, height, width) of the image of sample `i`, as `pixels` gives it (`windowed`).

        Raises as `read` does.
        """
        raise NotImplementedError(f"{type(self).__name__} does not read parts of images")

    def close(self) -> None:
        """Let go of open files; called by nobody but the user. Idempotent."""


def is_source(value: object) -> bool:
    """Whether `value` meets the contract above, by its names alone."""
    stored = getattr(value, "stored", None)
    getter = {"encoded": "read", "pixels": "pixels"}.get(stored if isinstance(stored, str) else "")
    needed = ("__len__", "targets", "classes", "name", getter)
    return getter is not None and all(hasattr(value, name) for name in needed if name)


def checked_pixels(image: object, source: Source, sample: int) -> np.ndarray:
    """A decoded image of a source: the kernels go through it by address, shape and strides.

    Raises:
        ArgumentError: It is not uint8 of shape (height, width, 3).
    """
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
        or not image.size
    ):
        shown = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise ArgumentError.make(
            f"{type(source).__name__}.pixels returned {shown}",
            why="an image is uint8 of shape (height, width, 3)",
            remedy="Convert it there.",
            sample=sample,
        )
    return image if image.strides[1:] == (3, 1) and image.strides[0] >= 0 else np.ascontiguousarray(image)
