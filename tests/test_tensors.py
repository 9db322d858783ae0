"""Kernel outputs as tensors."""

import numpy as np
import pytest
import torch

from fieldloom.tensors import dtype_name, to_tensor


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "uint8"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "channels_last"])
@pytest.mark.parametrize("n", [0, 2])
def test_to_tensor_copies_nothing(dtype: str, layout: str, n: int) -> None:
    memory = {"float32": np.float32, "float16": np.uint16, "bfloat16": np.uint16, "uint8": np.uint8}[dtype]
    shape = (n, 3, 4, 5) if layout == "NCHW" else (n, 4, 5, 3)
    out = np.arange(np.prod(shape)).reshape(shape).astype(memory)
    tensor = to_tensor(out, dtype, layout)
    assert tensor.dtype == getattr(torch, dtype)
    assert tensor.shape == ((n, 4, 5, 3) if layout == "NHWC" else (n, 3, 4, 5))
    if n:
        assert tensor.data_ptr() == out.__array_interface__["data"][0]
        bits = tensor.permute(0, 2, 3, 1) if layout == "channels_last" else tensor
        view = bits.contiguous().view({2: torch.int16, 4: torch.int32, 1: torch.uint8}[bits.element_size()])
        assert np.array_equal(
            view.numpy().view(out.view(f"i{out.itemsize}").dtype), out.view(f"i{out.itemsize}")
        )


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (torch.float32, "float32"),
        (torch.bfloat16, "bfloat16"),
        (np.float16, "float16"),
        (np.dtype("uint8"), "uint8"),
        ("float32", "float32"),
        (None, "None"),
        (3, "3"),
    ],
)
def test_dtype_name(dtype, name: str) -> None:
    assert dtype_name(dtype) == name
