"""The CUDA source of programs, run on the CPU under a shim, gives the bits of the Numba twin."""

import ctypes

import numpy as np
import pytest
from cuda_shim import has_compiler
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import noise, photo
from program_cases import SHAPES, VALUES, random_programs, samples_of, steps_of
from stage_shim import run, stage_library, struct_size

from fieldloom.kernels.stages import launches
from fieldloom.kernels.stages.operations import OPERATIONS
from fieldloom.kernels.stages.program import run_programs
from fieldloom.kernels.stages.records import ACCUMULATE, RESOLVE, RESTORE, STEP

needs_compiler = pytest.mark.skipif(not has_compiler, reason="needs g++")
SEED = 0xFEDC_BA98_7654_3210


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    return stage_library(("program",))


@pytest.fixture(scope="module")
def threads() -> ctypes.CDLL:
    """Eight real threads a block: sums over them must not depend on their order."""
    return stage_library(("program",), None, "-pthread", header="threads.h")


def by_numba(program: np.ndarray, planes: np.ndarray) -> np.ndarray:
    out = planes.copy()
    low, high = np.uint32(SEED & 0xFFFFFFFF), np.uint32(SEED >> 32)
    run_programs(program, samples_of(len(planes)), out, low, high, 0, len(planes))
    return out


def by_shim(library: ctypes.CDLL, program: np.ndarray, planes: np.ndarray) -> np.ndarray:
    n, _, height, width = planes.shape
    out, samples = planes.copy(), samples_of(n)
    chains = bool(np.isin(program["op"], (RESTORE, ACCUMULATE)).any())
    # A guard behind the scratch: its size is exact.
    scratch = np.full(launches.program_scratch_bytes(n, height, width, chains=chains) + 16, 0xA5, np.uint8)
    launch = launches.program_launch(
        n, program.shape[1], height, width, SEED, program=program.ctypes.data, samples=samples.ctypes.data,
        working=out.ctypes.data, scratch=scratch.ctypes.data, chains=chains,
    )  # fmt: skip
    assert launch.shared_floats == 0
    run(library, launch.kernel, launch.grid, launch.args)
    assert (scratch[-16:] == 0xA5).all()
    return out


def pictures(n: int, height: int, width: int) -> np.ndarray:
    """uint8 (n, 3, height, width): noise and photographs in turn."""
    found = [photo(height, width, k) if k % 2 else noise(height, width, k) for k in range(n)]
    return np.stack([image.transpose(2, 0, 1) for image in found])


def assert_equal(library: ctypes.CDLL, program: np.ndarray, planes: np.ndarray) -> None:
    expected, found = by_numba(program, planes), by_shim(library, program, planes)
    wrong = np.flatnonzero((expected != found).any((1, 2, 3)))
    assert not len(wrong), (len(wrong), program[wrong[0]])


@needs_compiler
def test_structs_have_one_layout(library: ctypes.CDLL) -> None:
    assert struct_size(library, "Step") == STEP.itemsize
    assert struct_size(library, "ProgramArgs") == launches.PROGRAM_ARGS.itemsize


@needs_compiler
@pytest.mark.parametrize("shape", [*SHAPES, (64, 64)], ids=str)
def test_each_operation(library: ctypes.CDLL, shape: tuple[int, int]) -> None:
    image = noise(*shape)
    for bilinear in (False, True):
        steps = np.concatenate(
            [
                steps_of(name, VALUES.get(name, (0,)), image, fill=(1, 2, 250), bilinear=bilinear, slot=0x20A)
                for name in OPERATIONS
            ]
        )
        assert_equal(library, steps[:, None], pictures(len(steps), *shape))


@needs_compiler
def test_each_operation_on_dull_images(library: ctypes.CDLL) -> None:
    # One value, two values, and a channel of each: histograms with all their special cases.
    image = noise(12, 20)
    steps = np.concatenate([steps_of(name, VALUES.get(name, (0,))[-1], image) for name in OPERATIONS])
    for planes in (
        np.full((3, 12, 20), 255), np.zeros((3, 12, 20)), noise(12, 20).transpose(2, 0, 1) % 2 * 7,
        np.stack([np.full((12, 20), 9), noise(12, 20)[..., 0] // 2, noise(12, 20)[..., 1] % 3 + 250]),
    ):  # fmt: skip
        assert_equal(library, steps[:, None], np.repeat(planes[None].astype(np.uint8), len(steps), 0))


@needs_compiler
@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 37), st.integers(1, 37), st.integers(1, 7), st.integers(0, 6), st.integers(0, 2**32 - 1),
    st.booleans(),
)  # fmt: skip
def test_mixed_programs(
    library: ctypes.CDLL, height: int, width: int, n: int, m: int, seed: int, chains: bool
) -> None:
    rng = np.random.default_rng(seed)
    program = random_programs(rng, n, m, height, width)
    if chains:
        ops = rng.choice([RESTORE, ACCUMULATE, RESOLVE], (n, m))
        program["op"] = np.where(rng.random((n, m)) < 0.5, ops, program["op"])
        weights = rng.integers(0, 65536 // max(m, 1), (n, m))
        program["whole"][..., 0] = np.where(program["op"] == ACCUMULATE, weights, program["whole"][..., 0])
    assert_equal(library, program, pictures(n, height, width))


@needs_compiler
def test_real_threads(threads: ctypes.CDLL) -> None:
    rng = np.random.default_rng(0)
    for shape in ((1, 1), (5, 3), (31, 45), (40, 36)):
        program = random_programs(rng, 40, 3, *shape)
        program["op"][:, 1][::5] = RESTORE
        assert_equal(threads, program, pictures(40, *shape))


@needs_compiler
def test_a_difference_would_be_seen() -> None:
    source = launches.source(("program",))
    assert source.count("sum + 0.5f") == 1
    other = stage_library(("program",), source=source.replace("sum + 0.5f", "sum + 0.499f"))
    program = steps_of("gaussian_blur", 1.0, noise(40, 40))[:, None]
    planes = pictures(1, 40, 40)
    assert not np.array_equal(by_numba(program, planes), by_shim(other, program, planes))
