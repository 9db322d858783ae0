"""The CUDA source of the masks, run on a CPU under a shim, gives the bits of the Numba twin."""

import numpy as np
import pytest
from cuda_shim import has_compiler
from kernel_calls import from_python
from mask_cases import SEED, SIZES, make, place, records
from stage_shim import run, stage_library, struct_size

from fieldloom.kernels.stages import launches, mask_ranks, masks
from fieldloom.kernels.stages.masks import MaskTables, mask_tables
from fieldloom.kernels.stages.records import MASK

pytestmark = pytest.mark.skipif(not has_compiler, reason="needs g++")

#: One thread a block; eight real ones.
HEADERS = {"cpu.h": (), "threads.h": ("-pthread",)}


def device(
    tables: MaskTables, counts: np.ndarray, soft: np.ndarray | int = 0, header: str = "cpu.h"
) -> np.ndarray:
    """Masks from the CUDA source, uint8 (n, h, w)."""
    n = len(counts)
    out = np.full((n, tables.height, tables.width), 7, np.uint8)
    records_, samples = place(counts, soft, out), records(n)
    scratch = np.full(launches.masks_scratch_floats(tables, n), np.nan, np.float32)
    launch = launches.masks_launch(
        tables, n, SEED, masks=records_.ctypes.data, samples=samples.ctypes.data,
        floats=tables.floats.ctypes.data, scratch=scratch.ctypes.data,
    )  # fmt: skip
    library = stage_library(("masks",), None, *HEADERS[header], header=header)
    run(library, launch.kernel, launch.grid, launch.args, shared_floats=launch.shared_floats)
    return out


def ragged(height: int, width: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts from none to all, and soft edges as wide as they may be."""
    rng = np.random.default_rng(height * 1000 + width)
    counts = rng.integers(0, height * width + 1, n)
    counts[:2] = 0, height * width
    soft = (rng.uniform(0, 1, n) ** 2 * np.minimum(counts, height * width - counts)).astype(int)
    soft[3] = 0
    return counts, soft


def test_structs_have_numpys_sizes() -> None:
    library = stage_library(("masks",))
    assert struct_size(library, "Mask") == MASK.itemsize
    assert struct_size(library, "MasksArgs") == launches.MASKS_ARGS.itemsize


@pytest.mark.parametrize("size", SIZES)
def test_equal_bits(size: tuple[int, int]) -> None:
    counts, soft = ragged(*size, 8)
    tables = mask_tables(*size, 3.0)
    np.testing.assert_array_equal(device(tables, counts), make(*size, counts))
    np.testing.assert_array_equal(device(tables, counts, soft), make(*size, counts, soft))


@pytest.mark.parametrize("decay", [2.0, 2.5, 4.0])
def test_equal_bits_of_other_laws(decay: float) -> None:
    counts, soft = ragged(50, 120, 6)
    got = device(mask_tables(50, 120, decay), counts, soft)
    np.testing.assert_array_equal(got, make(50, 120, counts, soft, decay=decay))


@pytest.mark.parametrize("size", [(3, 2), (33, 57), (100, 40)])
def test_threads_do_not_enter(size: tuple[int, int]) -> None:
    counts, soft = ragged(*size, 5)
    tables = mask_tables(*size, 3.0)
    np.testing.assert_array_equal(device(tables, counts, header="threads.h"), make(*size, counts))
    np.testing.assert_array_equal(device(tables, counts, soft, "threads.h"), make(*size, counts, soft))


@pytest.mark.parametrize("header", HEADERS)
def test_equal_bits_of_ties(header: str) -> None:
    # Amplitudes of 0: a constant field, in which every pixel ties.
    tables = mask_tables(14, 22, 3.0)
    flat = np.zeros_like(tables.floats)
    level = MaskTables(14, 22, tables.pitch, tables.nodes_y, tables.nodes_x, tables.waves, flat)
    counts = np.array([0, 1, 14, 15, 200, 307, 308])
    got = device(level, counts, header=header)
    want = np.full((7, 22, 14), 255)
    for k, count in enumerate(counts):
        want[k].reshape(-1)[:count] = 0  # by column, then by row
    np.testing.assert_array_equal(got, want.swapaxes(1, 2))


def test_ties_are_common_enough_to_be_tested() -> None:
    # 300 x 20 pixels in 65536 levels tie in some masks, and large images in nearly all.
    draw_nodes, pixel_levels, find_level = map(
        from_python, (masks.draw_nodes, masks.pixel_levels, mask_ranks.find_level)
    )
    tables = mask_tables(224, 224, 3.0)
    nodes = np.empty((tables.nodes_y, tables.nodes_x), np.int32)
    levels = np.empty((224, 224), np.uint16)
    ties = 0
    for sample in records(20):
        seed = np.uint32(SEED & 0xFFFFFFFF), np.uint32(SEED >> 32)
        draw_nodes(sample, np.uint32(5), tables.floats, tables.waves, *seed, nodes)
        pixel_levels(nodes, tables.pitch, levels)
        ties += sum(find_level(levels.ravel(), count)[1] != count for count in range(100, 50000, 4000))
    assert ties > 20
