"""NumPy outputs of the kernels as torch tensors, without a copy."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def to_tensor(out: np.ndarray, dtype: str, layout: str) -> "torch.Tensor":
    """A tensor over `out`, which it keeps alive.

    Args:
        out: (n, 3, h, w) or (n, h, w, 3); 16-bit floats as uint16.
        dtype: "float32", "float16", "bfloat16" or "uint8".
        layout: "channels_last" turns NHWC memory into a channels-last NCHW tensor.
    """
    import torch

    if dtype == "float16":
        out = out.view(np.float16)
    tensor = torch.from_numpy(out)
    if dtype == "bfloat16":
        tensor = tensor.view(torch.bfloat16)
    return tensor.permute(0, 3, 1, 2) if layout == "channels_last" else tensor


def by_views(images: "torch.Tensor", views: int) -> "torch.Tensor":
    """(views * n, ...), view by view, as (views, n, ...); of one view (n, ...)."""
    return images if views == 1 else images.unflatten(0, (views, len(images) // views))


def dtype_name(dtype: object) -> str:
    """Name of a torch or NumPy dtype ("float32" for torch.float32); unknown things come back as text."""
    if isinstance(dtype, type) and issubclass(dtype, np.generic):
        return np.dtype(dtype).name
    return str(dtype).removeprefix("torch.")
