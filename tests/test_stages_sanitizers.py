"""The stages' CUDA source under the sanitizers, and proof that they look.

As in test_cuda_sanitizers.py: a block of one thread shows the address sanitizer every array at its exact
size, a block of eight real threads shows the thread sanitizer every `__syncthreads()`, and a thread a block
shows it blocks that touch each other's memory.
"""

import contextlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import sanitized
from cuda_shim import has_compiler
from finish_cases import DTYPES, SIZES, batch
from kernel_cases import noise, photo
from program_cases import SHAPES
from sanitized import Batch, MissingSanitizer
from sanitized_stages import (
    add_finish,
    add_masks,
    add_program,
    add_spectrum,
    every_step,
    shuffled_programs,
)
from spectrum_cases import MILD, planes, tables_of

from fieldloom.kernels.stages import launches
from fieldloom.kernels.stages.launches import STAGES, StageVariant
from fieldloom.kernels.stages.masks import MaskTables, mask_tables

pytestmark = pytest.mark.skipif(not has_compiler, reason="needs g++")


def pictures(n: int, height: int, width: int) -> np.ndarray:
    """uint8 (n, 3, height, width): noise and photographs in turn."""
    return np.stack([(photo, noise)[k % 2](height, width, k).transpose(2, 0, 1) for k in range(n)])


def level(height: int, width: int) -> MaskTables:
    """Tables without amplitudes: a constant field, in which every pixel ties."""
    tables = mask_tables(height, width, 3.0)
    return MaskTables(
        height, width, tables.pitch, tables.nodes_y, tables.nodes_x, tables.waves, 0 * tables.floats
    )


# ---------------------------------------------------------------- what runs: (batch, all of it)


def programs(into: Batch, full: bool) -> None:
    """Each operation by itself at all magnitudes, at the end of memory too, and one behind the other."""
    for shape in (*SHAPES, (40, 36), (3, 70)) if full else ((1, 1), (5, 3), (12, 36)):
        image = noise(*shape)
        steps = every_step(image)
        add_program(into, steps, pictures(len(steps), *shape))
        for step in steps if full or shape == (5, 3) else steps[:0]:
            add_program(into, step[None], pictures(1, *shape))
        shuffled = shuffled_programs(2, image)
        add_program(into, shuffled, pictures(len(shuffled), *shape))


def few_programs(into: Batch, full: bool) -> None:
    """Every operation behind every other, on few pixels: barriers cost most."""
    for shape in ((10, 12), (7, 9)):  # planes that are whole words, and others
        shuffled = shuffled_programs(4 if full else 2, noise(*shape))
        add_program(into, shuffled, pictures(len(shuffled), *shape))


def masks(into: Batch, full: bool) -> None:
    """Hard ones, soft ones, and ties."""
    for height, width in (
        ((1, 1), (1, 9), (9, 1), (33, 57), (70, 130), (224, 20)) if full else ((1, 3), (13, 22), (7, 100))
    ):
        area = height * width
        counts = [0, area, area // 2, area // 2, area // 3, area - 1, area // 3]
        soft = [0, 0, area // 2, area // 9, area // 3, 1, 0]
        add_masks(into, mask_tables(height, width, 3.0), counts, soft)
        add_masks(into, level(height, width), counts, soft)


def spectra(into: Batch, full: bool) -> None:
    """Ragged sizes: primes, powers, more and fewer lines than lie side by side."""
    sizes = ((1, 1), (1, 7), (7, 1), (2, 2), (31, 17), (12, 40), (37, 24), (150, 3), (3, 509))
    for size in sizes if full else ((1, 1), (5, 3), (9, 20), (22, 7)):
        add_spectrum(into, tables_of(MILD, *size), planes(3, *size), np.array([1, 0, 1], np.int32))


def finishes(into: Batch, full: bool, dtype: str = "float32") -> None:
    """Every mode and kind of erasing."""
    for size in SIZES if full else ((1, 1), (7, 1), (9, 8), (5, 13)):
        add_finish(into, batch(*size, 15, levels=dtype == "uint8"), dtype)


CASES: dict[str, Callable[[Batch, bool], None]] = {
    "program": few_programs,
    "spectrum": spectra,
    "masks": masks,
    "finish": finishes,
}
FLOATS = StageVariant(0, True)


def report(sanitizer: str, source: str, batch: Batch, variant: StageVariant = FLOATS) -> str:
    """What the sanitizer says of a batch; skips where it is missing."""
    try:
        return sanitized.run(sanitized.build(sanitizer, variant, source), batch)
    except MissingSanitizer as error:
        pytest.skip(str(error))


def case(stage: str, full: bool = False) -> Batch:
    """The batch in which the thread sanitizer looks for races."""
    found = Batch()
    CASES[stage](found, full)
    return found


# ---------------------------------------------------------------- what a slip of the pen would do

#: (stage, right, wrong, what the sanitizer calls it).
SLIPS = {
    "last column": ("finish", "at_most(a.width - x, 4)", "4", "heap-buffer-overflow"),
    "last tile": ("finish", "place >= all", "place > all", "heap-buffer-overflow"),
    "mask's last row": ("masks", "at_most(f.pitch, f.height - y)", "f.pitch", "heap-buffer-overflow"),
    "noise": ("masks", "k < 4 && 4 * i + k < n_noise", "k < 4", "heap-buffer-overflow"),
    "ties": ("masks", "ties[x] = n;", "ties[x + 1] = n;", "heap-buffer-overflow"),
    "lines": ("spectrum", "at_most(a.lanes_y, bins - first)", "a.lanes_y", "heap-buffer-overflow"),
    "last line": ("spectrum", "y + 1 < h ? float(", "true ? float(", "heap-buffer-overflow"),
    "neighbor": ("program", "column < width && row", "column <= width && row", "heap-buffer-overflow"),
    "second row": ("program", "at_most(whole + 1, side - 1)", "whole + 1", "heap-buffer-overflow"),
    "reflection": ("program", "at_most(i, 2 * n - 2 - i)", "i", "heap-buffer-overflow"),
    "words": (
        "program",
        "if (width % 4) nearest<1>",
        "if (false) nearest<1>",
        "misaligned|heap-buffer|division by zero",
    ),
    "shared memory": (
        "program",
        "EACH(i, 768u) counts[i] = 0;",
        "EACH(i, 769u) counts[i] = 0;",
        "out of bounds",
    ),
    "cast": ("program", "int(clip(v, 255.0f))", "int(v * 1e5f)", "outside the range"),
}
QUICK_SLIPS = ("last column",)


def slip(name: str) -> str:
    stage, right, wrong, _ = SLIPS[name]
    source = launches.source((stage,))
    assert source.count(right) == 1, (source.count(right), right)
    return source.replace(right, wrong)


def barriers(stage: str) -> dict[str, str]:
    """The source without one barrier, for each of them."""
    source, found = launches.source((stage,)), dict[str, str]()
    for barrier in re.finditer(r"__syncthreads\(\);", source):
        function = re.findall(r"^\S.* (\w+)\([^()]*(?:\) \{)?$", source[: barrier.start()], re.MULTILINE)[-1]
        rank = sum(name.startswith(f"{function}-") for name in found)
        found[f"{function}-{rank}"] = source[: barrier.start()] + source[barrier.end() :]
    return found


BARRIERS = {(stage, name): source for stage in STAGES for name, source in barriers(stage).items()}
QUICK_BARRIERS = (("program", "equalize-3"), ("spectrum", "transform-1"))
assert BARRIERS.keys() >= set(QUICK_BARRIERS), list(BARRIERS)


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Compile side by side what the quick tests need."""
    wanted = [
        (sanitizer, launches.source((stage,))) for stage in STAGES for sanitizer in ("address", "thread")
    ]
    wanted += [("address", slip(name)) for name in QUICK_SLIPS]
    wanted += [("thread", BARRIERS[name]) for name in QUICK_BARRIERS]
    wanted += [("blocks", launches.source())]

    def build(sanitizer: str, source: str) -> None:
        # A sanitizer that is missing is reported by the tests.
        with contextlib.suppress(MissingSanitizer):
            sanitized.build(sanitizer, FLOATS, source)

    with ThreadPoolExecutor(4) as pool:
        for task in [pool.submit(build, *each) for each in wanted]:
            task.result()


# ---------------------------------------------------------------- addresses and undefined behavior


@pytest.mark.parametrize("full", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["few", "all"])
@pytest.mark.parametrize("stage", STAGES)
def test_addresses_are_clean(stage: str, full: bool) -> None:
    found = Batch()
    (programs if stage == "program" else CASES[stage])(found, full)
    assert report("address", launches.source((stage,)), found) == ""


@pytest.mark.slow
@pytest.mark.parametrize("planar", [True, False], ids=["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_addresses_of_all_formats_are_clean(dtype: str, planar: bool) -> None:
    found = Batch()
    finishes(found, True, dtype)
    variant = StageVariant(DTYPES.index(dtype), planar)
    assert report("address", launches.source(("finish",)), found, variant) == ""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK_SLIPS else pytest.mark.slow) for name in SLIPS]
)
def test_slips_are_found(name: str) -> None:
    stage, found = SLIPS[name][0], Batch()
    (programs if stage == "program" else CASES[stage])(found, False)
    assert re.search(SLIPS[name][3], report("address", slip(name), found))


# ---------------------------------------------------------------- races


@pytest.mark.parametrize("full", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["few", "all"])
@pytest.mark.parametrize("stage", STAGES)
def test_threads_do_not_race(stage: str, full: bool) -> None:
    assert report("thread", launches.source((stage,)), case(stage, full)) == ""


@pytest.mark.parametrize(
    ("stage", "name"),
    [pytest.param(*key, marks=[] if key in QUICK_BARRIERS else pytest.mark.slow) for key in BARRIERS],
)
def test_a_missing_barrier_is_found(stage: str, name: str) -> None:
    # So none is missing, and none is superfluous.
    assert "data race" in report("thread", BARRIERS[stage, name], case(stage))


def test_blocks_do_not_race() -> None:
    found = Batch()
    for each in CASES.values():
        each(found, False)
    assert report("blocks", launches.source(), found) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "right", "wrong"),
    [
        ("finish", "u32(blockIdx.x) * 256u", "u32(blockIdx.x) * 255u"),
        ("spectrum", "first = blockIdx.x * a.lanes_y", "first = blockIdx.x"),
        ("masks", "a.nodes + k * n_nodes", "a.nodes"),
        ("program", "a.scratch + offset", "a.scratch"),
    ],
)
def test_blocks_that_race_are_found(stage: str, right: str, wrong: str) -> None:
    source = launches.source((stage,))
    assert source.count(right) == 1
    found = Batch()
    if stage == "finish":
        add_finish(found, batch(40, 44, 3), "float32")
    else:
        CASES[stage](found, False)
    assert "data race" in report("blocks", source.replace(right, wrong), found)
