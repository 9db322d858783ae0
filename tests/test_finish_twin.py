"""The CUDA source of the finish stage, run on a CPU under a shim, gives the bits of the Numba twin."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cuda_shim import has_compiler
from finish_cases import DTYPES, ERASES, MODES, SIZES, Batch, batch, empty, launch_of, twin
from hypothesis import given, settings
from hypothesis import strategies as st
from stage_shim import run, stage_library, struct_size

from fieldloom.kernels.stages import launches
from fieldloom.kernels.stages.launches import StageVariant
from fieldloom.kernels.stages.records import FINISH, PASTE

pytestmark = pytest.mark.skipif(not has_compiler, reason="needs g++")

VARIANTS = [(dtype, planar) for dtype in DTYPES for planar in (True, False)]


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Compile side by side; g++ takes most of the tests' time."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda row: stage_library(("finish",), variant(*row)), VARIANTS))


def variant(dtype: str, planar: bool) -> StageVariant:
    return StageVariant(DTYPES.index(dtype), planar)


def device(case: Batch, dtype: str = "float32", planar: bool = True, header: str = "cpu.h") -> np.ndarray:
    """The CUDA source, (n, 3 h w)."""
    n, out = len(case.finish), empty(case, dtype)
    launch = launch_of(case, out)
    flags = ("-pthread",) if header == "threads.h" else ()
    library = stage_library(("finish",), variant(dtype, planar), *flags, header=header)
    run(library, launch.kernel, launch.grid, launch.args, shared_floats=launch.shared_floats)
    assert (out[n] == 77).all()
    return out[:n]


def check(case: Batch, dtype: str = "float32", planar: bool = True) -> None:
    got, want = device(case, dtype, planar), twin(case, dtype, planar)
    whole = {1: np.uint8, 2: np.uint16, 4: np.uint32}[got.dtype.itemsize]
    np.testing.assert_array_equal(got.view(whole), want.view(whole))


def test_structs_have_numpys_sizes() -> None:
    library = stage_library(("finish",), variant("float32", True))
    assert struct_size(library, "Finish") == FINISH.itemsize
    assert struct_size(library, "FinishArgs") == launches.FINISH_ARGS.itemsize


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("dtype", "planar"), VARIANTS)
def test_sizes_and_formats(dtype: str, planar: bool, size: tuple[int, int]) -> None:
    check(batch(*size, 15), dtype, planar)
    check(batch(*size, 15, seed=1, levels=True), dtype, planar)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ERASES)
@pytest.mark.parametrize("size", [(20, 36), (37, 43)])
def test_modes_and_kinds_of_erasing(mode: int, kind: int, size: tuple[int, int]) -> None:
    for erase in (0.0, 0.5, 1.0):
        check(batch(*size, 10, modes=(mode,), erases=(kind,), erase=erase))


def test_pasting_shrinks_of_all_sizes() -> None:
    for antialias in (0, 1):
        case = batch(48, 37, 37, modes=(PASTE,), erase=0.3)
        case.finish["antialias"] = antialias
        for k in range(37):
            case.finish["box"][k] = 0, 0, max(1, 48 * k // 36), max(k, 1)
        check(case)


def test_extreme_weights() -> None:
    case = batch(9, 12, 20)
    case.finish["weight"] = np.resize(np.array([0, 1, 2**-30, 1 - 2**-24], np.float32), 20)
    check(case)


def test_real_threads() -> None:
    """Eight in a block: what one thread writes, no other does."""
    for planar in (True, False):
        case = batch(21, 19, 6)
        got = device(case, "float32", planar, "threads.h")
        np.testing.assert_array_equal(got.view(np.uint32), twin(case, "float32", planar).view(np.uint32))


def test_views_of_one_sample_get_noise_of_their_own() -> None:
    case = batch(16, 16, 4, modes=(0,), erases=(2,), erase=1.0)
    case.finish["erase"] = 0, 0, 16, 16
    case.samples[1] = case.samples[0]
    case.samples["stream"][:2] = 0, 1 << 16
    check(case)
    out = twin(case)
    assert (out[0] != out[1]).mean() > 0.99


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_batch(data: st.DataObject) -> None:
    side = st.integers(1, 40)
    case = batch(
        data.draw(side), data.draw(side), data.draw(st.integers(1, 6)),
        modes=data.draw(st.permutations(MODES)), erase=data.draw(st.floats(0, 1)),
        seed=data.draw(st.integers(0, 2**32)), levels=data.draw(st.booleans()),
    )  # fmt: skip
    check(case, *data.draw(st.sampled_from(VARIANTS)))
