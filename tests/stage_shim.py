"""Compiles stages of the CUDA source with g++ under the shim and runs their kernels on the CPU."""

import ctypes

import numpy as np
from cuda_shim import compile_source

from fieldloom.kernels.stages import launches


def stage_library(
    stages: tuple[str, ...] = launches.STAGES,
    variant: launches.StageVariant | None = None,
    *flags: str,
    header: str = "cpu.h",
    source: str | None = None,
) -> ctypes.CDLL:
    """The library of some stages."""
    variant = launches.StageVariant(0, True) if variant is None else variant
    text = launches.source(stages) if source is None else source
    file = compile_source(
        text, "stages", *variant.definitions(), *flags, header=header, entry="entry_stages.h"
    )
    return ctypes.CDLL(str(file))


def run(
    library: ctypes.CDLL, kernel: str, grid: tuple[int, int, int], args: np.ndarray, *, shared_floats: int = 0
) -> None:
    """Run one kernel: `args` is its struct, a structured array of one element."""
    pointer = args.ctypes.data_as(ctypes.c_void_p)
    assert library.run_kernel(kernel.encode(), *grid, ctypes.c_long(shared_floats), pointer) == 0


def struct_size(library: ctypes.CDLL, name: str) -> int:
    """sizeof a struct of the source, -1 for none of this name."""
    return library.struct_size(name.encode())
