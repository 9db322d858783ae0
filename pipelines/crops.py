"""Decoded windows of one batch, wherever their pixels lie."""

from typing import Any

import numpy as np


class Crops:
    """Ragged RGB images as a table of pointers, and the owners of the memory behind it.

    Pointers stay valid as long as this object lives. Kernels take the four arrays; people take `array`.

    Attributes:
        pointers: uint64 (n,): address of the first byte; 0 for an image that could not be decoded.
        heights: int32 (n,): rows; 0 for a failed image.
        widths: int32 (n,): columns; 0 for a failed image.
        strides: int64 (n,): bytes from one row to the next; 0 for a failed image.
    """

    def __init__(self, n: int) -> None:
        self.pointers = np.zeros(n, np.uint64)
        self.heights = np.zeros(n, np.int32)
        self.widths = np.zeros(n, np.int32)
        self.strides = np.zeros(n, np.int64)
        self._owners: list[Any] = [None] * n

    def __len__(self) -> int:
        return len(self.pointers)

    def array(self, i: int) -> np.ndarray:
        """Image i as uint8 (height, width, 3), not copied; (0, 0, 3) for a failed image."""
        owner = self._owners[i]
        return np.zeros((0, 0, 3), np.uint8) if owner is None else np.asarray(owner)

    def set_tensors(self, places: list[int], tensors: Any, sizes: np.ndarray) -> None:
        """Put DALI's images at these places.

        Args:
            places: Indices of the images.
            tensors: DALI `TensorListCPU`, uint8 HWC; item k belongs to `places[k]`.
            sizes: int32 (len(places), 2) = (height, width), which DALI was asked for: it gives them or
                fails, and asking for its shapes again would double the cost of this table.
        """
        for slot, i in enumerate(places):
            tensor = tensors[slot]
            self._owners[i] = tensor
            self.pointers[i] = tensor.data_ptr()
        self.heights[places] = sizes[:, 0]
        self.widths[places] = sizes[:, 1]
        self.strides[places] = sizes[:, 1].astype(np.int64) * 3

    def set_array(self, i: int, pixels: np.ndarray) -> None:
        """Put one image, uint8 (height, width, 3), C-contiguous, at place i."""
        self._owners[i] = pixels
        self.pointers[i] = pixels.ctypes.data
        self.heights[i], self.widths[i] = pixels.shape[:2]
        self.strides[i] = pixels.strides[0]
