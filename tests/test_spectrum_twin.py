"""The CUDA source of PASTA, run on a CPU under a shim, gives the bits of the Numba twin after each launch."""

import numpy as np
import pytest
from cuda_shim import has_compiler
from spectrum_cases import (
    HIGH,
    LOW,
    MILD,
    SEED,
    SIZES,
    SLOT,
    draw_factors,
    planes,
    records,
    rows_forward,
    run,
    scale_columns,
    scratch,
    tables_of,
)
from stage_shim import run as run_kernel
from stage_shim import stage_library, struct_size

from fieldloom.kernels.stages import launches
from fieldloom.kernels.stages.fourier import MAX_FACTORS
from fieldloom.kernels.stages.spectrum import MAX_SIDE, SpectrumTables

pytestmark = pytest.mark.skipif(not has_compiler, reason="needs g++")

#: One thread a block; eight real ones.
HEADERS = {"cpu.h": (), "threads.h": ("-pthread",)}


def device(
    tables: SpectrumTables, working: np.ndarray, active: np.ndarray | None = None, header: str = "cpu.h"
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The planes, and the spectra (n, 3, 2, h, bins) after the first and the second launch."""
    n, out = len(working), working.copy()
    active = np.ones(n, np.int32) if active is None else active
    samples, floats = records(n), tables.floats()
    memory = np.full(launches.spectrum_scratch_floats(tables, n), np.nan, np.float32)
    library = stage_library(("spectrum",), None, *HEADERS[header], header=header)
    spectra = []
    for launch in launches.spectrum_launches(
        tables, n, SEED, active=active.ctypes.data, samples=samples.ctypes.data, working=out.ctypes.data,
        floats=floats.ctypes.data, scratch=memory.ctypes.data,
    ):  # fmt: skip
        run_kernel(library, launch.kernel, launch.grid, launch.args, shared_floats=launch.shared_floats)
        spectra.append(memory.reshape(n, 3, 2, tables.height, tables.bins).copy())
    return out, spectra[:2]


def host(tables: SpectrumTables, working: np.ndarray) -> list[np.ndarray]:
    """The same spectra from the Numba twin."""
    y, x = (r[r > 0] for r in (tables.factors_y, tables.factors_x))
    lines, spare = scratch(tables.height, tables.width)
    factors = np.empty((tables.height, 4 * tables.row_draws), np.float32)
    out = [np.empty((len(working), 3, 2, tables.height, tables.bins), np.float32) for _ in range(2)]
    for k, sample in enumerate(records(len(working))):
        for channel in range(3):
            real, imag = out[0][k, channel]
            rows_forward(working[k, channel], x, tables.roots_x, lines, spare, real, imag)
            draw_factors(sample, channel, np.uint32(SLOT), tables.deviation, LOW, HIGH, tables.width, factors)
            out[1][k, channel] = out[0][k, channel]
            scale_columns(factors, y, tables.roots_y, lines, spare, *out[1][k, channel])
    return out


def check(tables: SpectrumTables, working: np.ndarray, header: str = "cpu.h") -> None:
    """Equal bits of the spectra and of the planes."""
    got, spectra = device(tables, working, header=header)
    for mine, twin in zip(spectra, host(tables, working), strict=True):
        np.testing.assert_array_equal(mine.view(np.uint32), twin.view(np.uint32))
    np.testing.assert_array_equal(got, run(tables, working))


def test_structs_have_numpys_sizes() -> None:
    library = stage_library(("spectrum",))
    assert struct_size(library, "SpectrumArgs") == launches.SPECTRUM_ARGS.itemsize
    assert launches.SPECTRUM_ARGS["factors_x"].shape == (MAX_FACTORS,)


@pytest.mark.parametrize("size", [*SIZES, (224, 224), (5, 1000), (2048, 4), (3, 2039)])
def test_equal_bits(size: tuple[int, int]) -> None:
    check(tables_of(MILD, *size), planes(2, *size))


@pytest.mark.parametrize("law", [(3.0, 0.25, 2.0), (10.0, 0.5, 1.0), (0.0, 0.0, 0.0), (100.0, 10.0, 10.0)])
def test_equal_bits_of_other_laws(law: tuple[float, float, float]) -> None:
    check(tables_of(law, 33, 40), planes(2, 33, 40))


@pytest.mark.parametrize("size", [(1, 1), (5, 6), (31, 17), (12, 40), (70, 9)])
def test_threads_do_not_enter(size: tuple[int, int]) -> None:
    check(tables_of(MILD, *size), planes(2, *size), "threads.h")


def test_only_active_samples_change() -> None:
    working, active = planes(4, 12, 15), np.array([0, 1, 0, 1], np.int32)
    tables = tables_of(MILD, 12, 15)
    got, _ = device(tables, working, active)
    np.testing.assert_array_equal(got, run(tables, working, active))
    np.testing.assert_array_equal(got[::2], working[::2])


@pytest.mark.parametrize("size", [(224, 224), (MAX_SIDE, 7), (7, MAX_SIDE), (MAX_SIDE, MAX_SIDE), (1, 1)])
def test_lines_fit_shared_memory(size: tuple[int, int]) -> None:
    tables = tables_of(MILD, *size)
    for launch in launches.spectrum_launches(
        tables, 3, SEED, active=0, samples=0, working=0, floats=0, scratch=0
    ):
        assert 0 < 4 * launch.shared_floats <= 48 * 1024
        assert launch.grid[1:] == (3, 3)
