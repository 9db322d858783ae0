"""Decoded windows of one batch, wherever their pixels lie."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fieldloom.pipelines.upload import upload

if TYPE_CHECKING:
    import torch


class Crops:
    """Ragged RGB images as a table of pointers, and the owners of the memory behind it.

    Pointers stay valid as long as this object lives; all of them are of the host, or all of one device.
    Kernels take the four arrays; people take `array`.

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
        """Image i as uint8 (height, width, 3), copied from a device only; (0, 0, 3) for a failed image."""
        owner = self._owners[i]
        if hasattr(owner, "as_cpu"):  # DALI's TensorGPU; torch's tensors are views of an upload
            owner = owner.as_cpu()
        elif hasattr(owner, "cpu"):
            owner = owner.cpu()
        return np.zeros((0, 0, 3), np.uint8) if owner is None else np.asarray(owner)

    def set_tensors(self, places: list[int], tensors: Any, sizes: np.ndarray) -> None:
        """Put DALI's images at these places.

        Args:
            places: Indices of the images.
            tensors: DALI `TensorListCPU` or `TensorListGPU`, uint8 HWC; item k belongs to `places[k]`.
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

    def upload(self, images: Mapping[int, np.ndarray], device: "torch.device") -> None:
        """Put images from host memory at these places, in device memory, on torch's current stream."""
        memory, pointers = upload(list(images.values()), device)
        for (i, pixels), pointer in zip(images.items(), pointers.tolist(), strict=True):
            start = pointer - memory.data_ptr()
            self._owners[i] = memory[start : start + pixels.size].view(pixels.shape)
            self.pointers[i] = pointer
            self.heights[i], self.widths[i] = pixels.shape[:2]
            self.strides[i] = 3 * pixels.shape[1]
