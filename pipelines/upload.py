"""Images from host memory into device memory: packed, in one copy, without waiting."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fieldloom.kernels.device import allocate

if TYPE_CHECKING:
    import torch

#: Each image begins at a multiple of this; kernels read whole words, up to 3 bytes behind an image's end.
ALIGNMENT = 16


def upload(images: Sequence[np.ndarray], device: "torch.device") -> "tuple[torch.Tensor, np.ndarray]":
    """Enqueue the copy of some images, on torch's current stream.

    Args:
        images: uint8 (height, width, 3), any strides; may be changed as soon as this returns.
        device: Where to.

    Returns:
        The memory, which must live until the stream has passed what reads it; and uint64 (n,), the address
        of each image, whose rows lie 3 * width bytes apart.

    Raises:
        DeviceMemoryError: The device has too little memory.
    """
    import torch

    sizes = np.fromiter((-(-image.size // ALIGNMENT) * ALIGNMENT for image in images), np.int64, len(images))
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(images) else 0
    # torch reuses pinned memory only after the copies from it have been made.
    pinned = torch.empty(total, dtype=torch.uint8, pin_memory=device.type == "cuda")
    flat = pinned.numpy()
    for image, start in zip(images, (ends - sizes).tolist(), strict=True):
        flat[start : start + image.size].reshape(image.shape)[...] = image
    memory = allocate((total,), torch.uint8, device)
    memory.copy_(pinned, non_blocking=True)
    return memory, (ends - sizes).astype(np.uint64) + np.uint64(memory.data_ptr())
