"""Images of one size that lie in memory at equal distances: reached by arithmetic, not one by one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fieldloom.kernels.fusedpass import Sources


@dataclass(frozen=True, slots=True)
class DensePixels:
    """A stack of uint8 RGB images, packed within their rows; in host or in device memory.

    Attributes:
        pointer: Address of the first image's first byte.
        sample_stride: Bytes from one image to the next; `row_stride` from one row to the next.
        row_stride: See `sample_stride`.
        height: Pixels; `width` likewise.
        width: See `height`.
        owner: The array or tensor that holds them, (n, height, width, 3).
    """

    pointer: int
    sample_stride: int
    row_stride: int
    height: int
    width: int
    owner: Any

    @classmethod
    def of_array(cls, images: np.ndarray) -> "DensePixels | None":
        """Of a uint8 array (n, height, width, 3); None if its memory does not lie as the kernels need it."""
        if images.ndim != 4 or images.shape[3] != 3 or not images.size:
            return None
        if images.strides[2:] != (3, 1) or images.strides[1] < 0:
            return None
        pointer = images.__array_interface__["data"][0]
        height, width = images.shape[1:3]
        return cls(pointer, images.strides[0], images.strides[1], height, width, images)

    @classmethod
    def of_tensor(cls, images: Any) -> "DensePixels":
        """Of a contiguous uint8 tensor (n, height, width, 3), wherever it lies."""
        height, width = images.shape[1:3]
        return cls(images.data_ptr(), 3 * width * height, 3 * width, height, width, images)

    def sizes(self, n: int) -> np.ndarray:
        """(height, width) of n images, integers (n, 2)."""
        return np.broadcast_to(np.array([self.height, self.width]), (n, 2))

    def sources(self, ids: np.ndarray, rects: np.ndarray) -> "Sources":
        """Windows of some images.

        Args:
            ids: Integers (n,).
            rects: int32 (n, 4) = (y, x, height, width), within the images.
        """
        from fieldloom.kernels.fusedpass import Sources

        offsets = ids * self.sample_stride + rects[:, 0] * np.int64(self.row_stride) + 3 * rects[:, 1]
        # A negative stride (images[::-1]) makes negative offsets; addresses wrap to what is meant.
        pointers = offsets.astype(np.int64).view(np.uint64) + np.uint64(self.pointer)
        strides = np.full(len(ids), self.row_stride, np.int64)
        return Sources(pointers, rects[:, 2], rects[:, 3], strides, self.owner)
