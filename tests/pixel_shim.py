"""Runs users' CUDA source for one pixel on the CPU, compiled by g++ under the shim."""

import ctypes

import numpy as np
from cuda_shim import compile_source

from fieldloom.kernels import cuda
from fieldloom.pipelines.fn_pixels_device import PixelModule


class PixelShim:
    """A launcher of one module.

    Attributes:
        launched: Grids so far.
    """

    def __init__(self, module: PixelModule) -> None:
        file = compile_source(module.source(), "pixels", *module.definitions(), entry="entry_pixels.h")
        self.library = ctypes.CDLL(str(file))
        self.launched: list[tuple[int, int, int]] = []

    def launch(self, launch: cuda.Launch, stream: int) -> None:
        assert stream == 0
        self.launched.append(launch.grid)
        args = launch.args.ctypes.data_as(ctypes.c_void_p)
        run = self.library.run_kernel
        assert run(launch.kernel.encode(), *launch.grid, ctypes.c_long(launch.shared_floats), args) == 0

    def struct_sizes(self) -> list[int]:
        sizes = np.zeros(2, np.int32)
        self.library.struct_sizes(sizes.ctypes.data_as(ctypes.c_void_p))
        return sizes.tolist()
