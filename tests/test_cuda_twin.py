"""The CUDA source, run on the CPU under a shim, gives the bits of the Numba twin in both stages."""

import ctypes
import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cuda_shim import ShimPass, has_compiler, library
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import PRESETS, cut, keys, nodes_of, noise, photo
from test_philox import KNOWN
from variants import BORDERS, COVERING, DTYPES, colors, fixed, rich_plan, variant

from fieldloom.kernels import cuda, reference, reference_lattice
from fieldloom.kernels.draws import Keys
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.laws import Gaussian, PowerLaw
from fieldloom.kernels.plan import Affine, Crop, FieldWarp, Flip, PassPlan
from fieldloom.kernels.records import ADDITIVE_HSV, LINEAR, SAMPLE, TRANSFORM
from fieldloom.kernels.shrink import prepared

pytestmark = pytest.mark.skipif(not has_compiler, reason="needs g++")

#: Sources (height, width) at which index arithmetic breaks first.
RAGGED = (
    (1, 1), (1, 70), (60, 1), (2, 2), (1, 2), (2, 1), (2, 3), (3, 2), (5, 7), (33, 31), (97, 61), (64, 96),
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Compile side by side what the quick tests need; g++ takes most of their time."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(library, {variant(*row) for row in COVERING}))


def strided(image: np.ndarray, *, before: int, gap: int) -> np.ndarray:
    """The same pixels at an odd address, with rows further apart than they are long.

    `before` bytes lie before the image and `gap` between its rows; memory reaches to the end of the last
    aligned word of four bytes, as `FusedPass` asks of sources that the CUDA source reads.
    """
    height, width = image.shape[:2]
    stride = 3 * width + gap
    memory = np.full((before + height * stride + 3) // 4 * 4, 0xA5, np.uint8)
    rows = memory[before : before + height * stride].reshape(height, stride)
    view = rows[:, : 3 * width].reshape(height, width, 3) if gap == 0 else _pixels(rows, width)
    view[:] = image
    return view


def _pixels(rows: np.ndarray, width: int) -> np.ndarray:
    return np.lib.stride_tricks.as_strided(
        rows, (rows.shape[0], width, 3), (rows.strides[0], 3, 1), writeable=True
    )


def ragged_images(sizes=RAGGED) -> list[np.ndarray]:  # type: ignore[no-untyped-def]
    return [(noise if k % 2 else photo)(*size, k) for k, size in enumerate(sizes)]


def check_twin(plan: PassPlan, images: list[np.ndarray], batch: Keys | None = None) -> np.ndarray:
    """Prefilter, lattice and output of a batch have equal bits on both twins; returns the output."""
    fused, batch = FusedPass(plan), keys(len(images)) if batch is None else batch
    windows = fused.windows(batch, np.array([image.shape[:2] for image in images]))
    crops = [
        strided(crop, before=k % 5, gap=(0, 1, 2, 7)[k % 4]) for k, crop in enumerate(cut(images, windows))
    ]
    sources = Sources.of_arrays(crops)
    shim = ShimPass(fused)
    got, want = shim(batch, windows, sources), fused(batch, windows, sources)
    check_copies(shim)
    samples = fused.records(batch, windows, sources)
    check_nodes(shim, nodes_of(fused, samples, batch.seed))
    np.testing.assert_array_equal(bits(got), bits(want))
    return got


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return array.ctypes.data_as(ctypes.c_void_p)


def bits(array: np.ndarray) -> np.ndarray:
    """Bit patterns: equal numbers are not enough, zeros have signs."""
    return array.view({1: np.uint8, 2: np.uint16, 4: np.uint32}[array.dtype.itemsize])


def check_copies(shim: ShimPass) -> None:
    """The prefiltered copies equal the twin's, byte for byte."""
    for k in np.flatnonzero(shim.samples["copy"]):
        want = prepared(shim.samples, k).ravel()
        start = int(shim.samples["copy"][k]) - shim.copies.ctypes.data
        np.testing.assert_array_equal(shim.copies[start : start + want.size], want)


def check_nodes(shim: ShimPass, want: np.ndarray) -> None:
    """The planes that each sample's mode uses equal the twin's (n, 9, nodes_y, nodes_x)."""
    for mode, got, planes in zip(shim.modes, shim.nodes, want, strict=True):
        used = [0, 1] + [2, 3, 4, 5] * bool(mode & LINEAR) + [6, 7, 8] * bool(mode & ADDITIVE_HSV)
        for plane in used:
            np.testing.assert_array_equal(bits(got[..., plane].copy()), bits(planes[plane]), f"plane {plane}")


# ---------------------------------------------------------------- layout


def test_structs_have_numpys_sizes() -> None:
    sizes = np.zeros(5, np.int32)
    library(variant(*COVERING[0])).struct_sizes(pointer(sizes))
    want = (SAMPLE, TRANSFORM, cuda.PREFILTER_ARGS, cuda.LATTICE_ARGS, cuda.FUSED_ARGS)
    assert sizes.tolist() == [dtype.itemsize for dtype in want]


# ---------------------------------------------------------------- random numbers


def philox(counters: np.ndarray, keys_: np.ndarray) -> np.ndarray:
    out = np.empty((len(counters), 4), np.uint32)
    arrays = [np.ascontiguousarray(a, np.uint32) for a in (counters, keys_)]
    library(variant(*COVERING[0])).run_philox(*map(pointer, (*arrays, out)), len(out))
    return out


def test_philox_known_answers() -> None:
    counters, keys_, answers = (np.array(column, np.uint32) for column in zip(*KNOWN, strict=True))
    np.testing.assert_array_equal(philox(counters, keys_), answers)


def test_random_philox_blocks_equal_numpys() -> None:
    rng = np.random.default_rng(1)
    counters = rng.integers(0, 2**32, (100_000, 4), np.uint32)
    keys_ = rng.integers(0, 2**32, (100_000, 2), np.uint32)
    np.testing.assert_array_equal(philox(counters, keys_), reference_lattice.philox(counters, keys_))


# ---------------------------------------------------------------- equal bits


@pytest.mark.parametrize("row", COVERING, ids=lambda row: "-".join(map(str, row)))
def test_covering_variants(row: tuple[str, int, int, str, bool]) -> None:
    # Neither side is a multiple of 32 or of 8 rows of threads.
    check_twin(rich_plan(45, 71, row), ragged_images())


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("planar", [True, False])
def test_all_variants(dtype: str, border: str, planar: bool) -> None:
    for mode in range(4):
        for pitch in (8, 4, 2, 1):
            check_twin(rich_plan(37, 43, (dtype, pitch, mode, border, planar)), ragged_images())


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name: str) -> None:
    mode = cuda.Variant.of(PassPlan(8, 8, transforms=PRESETS[name])).color_mode
    # Each in the format of a variant that is compiled anyway.
    dtype, pitch, _, border, planar = next(row for row in COVERING if row[2] == mode and row[1] == 4)
    plan = PassPlan(
        40, 52, crop=Crop("random_resized", slot=0x003), transforms=PRESETS[name], border=border, dtype=dtype,
        planar=planar,
    )  # fmt: skip
    check_twin(fixed(pitch, plan), [photo(90, 70, 1), noise(33, 64, 2), photo(224, 224, 3)])


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 2), (2, 1), (1, 300), (300, 1), (7, 9), (8, 32), (9, 33), (31, 65), (64, 64)]
)
def test_ragged_outputs(size: tuple[int, int]) -> None:
    for row in COVERING:
        if row[1] <= min(size):  # as `PassPlan.pitch` has it
            check_twin(rich_plan(*size, row), ragged_images(((1, 1), (2, 2), (40, 50))))


@pytest.mark.parametrize("zoom", [0.9, 0.7, 0.4, 0.24, 0.1, 0.01])
@pytest.mark.parametrize("row", [COVERING[1], COVERING[6], COVERING[11]], ids=str)
def test_shrinks(zoom: float, row: tuple[str, int, int, str, bool]) -> None:
    # Down to boxes that are larger than the image; shears and turns give the axes their own.
    affine = Affine((-90, 90), (0.3, 0.3), (zoom, zoom), (-30, 30), 1.0, 0x205)
    dtype, pitch, mode, border, planar = row
    plan = PassPlan(
        33, 47, warps=(Flip(0.5, False, 0x104), affine), transforms=colors(mode), border=border,
        fill=(200.0, 0.0, 90.0), dtype=dtype, planar=planar,
    )  # fmt: skip
    check_twin(fixed(pitch, plan), ragged_images())


def test_gates_off() -> None:
    row = COVERING[3]
    plan = rich_plan(20, 30, row)
    still = tuple(dataclasses.replace(t, p=0.0) for t in plan.transforms)
    off = fixed(row[1], PassPlan(20, 30, transforms=still, border=row[3], dtype=row[0], planar=row[4]))
    out = check_twin(off, ragged_images())
    bare = fixed(row[1], PassPlan(20, 30, border=row[3], dtype=row[0], planar=row[4]))
    images = ragged_images()
    fused = FusedPass(bare)
    windows = fused.windows(keys(len(images)), np.array([i.shape[:2] for i in images]))
    np.testing.assert_array_equal(out, fused(keys(len(images)), windows, Sources.of_arrays(images)))


def test_no_fold_and_strong_fields() -> None:
    dtype, pitch, _, border, planar = next(row for row in COVERING if row[2] == 0)
    for no_fold in (True, False):
        warps = (
            FieldWarp(("rotate", "translate"), PowerLaw((3, 5), (0.5, 2.0)), (1.0, 1.0), 1.0, no_fold, 0x106),
            FieldWarp(("shear", "scale"), Gaussian(0.2), (0.5, 0.5), 0.7, not no_fold, 0x206),
        )
        plan = PassPlan(64, 50, transforms=warps, border=border, dtype=dtype, planar=planar)
        check_twin(fixed(pitch, plan), [photo(64, 80, k) for k in range(6)])


def test_zero_amplitudes() -> None:
    # A field of no amplitude is +0.0 on both twins, whatever sign the amplitude has.
    dtype, pitch, mode, border, planar = COVERING[3]
    assert mode == LINEAR | ADDITIVE_HSV
    still = [dataclasses.replace(t, amplitudes=(-0.0,) * len(t.amplitudes)) for t in colors(mode, 1.0)]
    warp = FieldWarp(("rotate", "translate"), PowerLaw(), (-0.0, 0.0), 1.0, False, 0x106)
    plan = PassPlan(20, 30, transforms=(warp, *still), border=border, dtype=dtype, planar=planar)
    check_twin(fixed(pitch, plan), ragged_images())


def test_batch_and_order_do_not_enter() -> None:
    plan = rich_plan(24, 40, COVERING[3])
    images, n = ragged_images(), len(RAGGED)
    whole = check_twin(plan, images)
    turned = np.random.default_rng(0).permutation(n)
    batch = keys(n)
    same = Keys(batch.seed, batch.epoch, batch.ids[turned], batch.occurrences[turned])
    np.testing.assert_array_equal(check_twin(plan, [images[k] for k in turned], same), whole[turned])
    np.testing.assert_array_equal(check_twin(plan, [images[4]], keys(1, first=4))[0], whole[4])


def test_more_than_one_word_of_ids() -> None:
    plan = rich_plan(16, 16, COVERING[7])
    large = Keys(2**64 - 1, 2**32 - 1, np.array([0, 2**31, 2**32 - 1]), np.array([0, 7, 255]))
    check_twin(plan, ragged_images(((9, 9), (20, 30), (1, 5))), large)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_random_recipes(data: st.DataObject) -> None:
    dtype, pitch, mode, border, planar = data.draw(st.sampled_from(COVERING))
    unit = st.floats(0, 1, width=32)
    laws = st.one_of(
        st.builds(
            lambda low, alpha: PowerLaw((low, low + 2), (0.0, alpha)), st.floats(3, 12), st.floats(0, 1)
        ),
        st.builds(Gaussian, st.floats(0.1, 1)),
    )
    kinds = st.lists(
        st.sampled_from(["translate", "scale", "shear", "rotate"]), min_size=1, max_size=4, unique=True
    )
    fields = [
        FieldWarp(tuple(names), law, (amplitude,) * len(names), p, guard, 0x106)
        for names, law, amplitude, p, guard in data.draw(
            st.lists(st.tuples(kinds, laws, unit, unit, st.booleans()), max_size=1)
        )
    ]
    transforms = data.draw(st.permutations([*fields, *colors(mode, data.draw(unit))]))
    crops = [Crop("whole"), Crop("random_resized", slot=3), Crop("center"), Crop("random", padding=4, slot=3)]
    affine = Affine((-180, 180), (0.5, 0.5), (0.1, 3), (-40, 40), data.draw(unit), 0x205)
    side, out_side = st.integers(1, 70), st.integers(pitch, 70)
    plan = PassPlan(
        data.draw(out_side), data.draw(out_side), crop=data.draw(st.sampled_from(crops)), warps=(affine,),
        transforms=tuple(transforms), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 1.0), border=border,
        fill=data.draw(st.tuples(*[st.floats(0, 255, width=32)] * 3)), dtype=dtype, planar=planar,
        center=data.draw(unit),
    )  # fmt: skip
    sizes = data.draw(st.lists(st.tuples(side, side), min_size=1, max_size=4))
    seed = data.draw(st.integers(0, 2**64 - 1))
    check_twin(fixed(pitch, plan), ragged_images(sizes), keys(len(sizes), seed=seed))


# ---------------------------------------------------------------- float64


@pytest.mark.parametrize("mode", range(4))
def test_is_within_tolerance_of_the_reference(mode: int) -> None:
    dtype, pitch, _, border, planar = next(r for r in COVERING if r[0] == "float32" and r[2] == mode)
    warps = FieldWarp(("rotate", "translate"), PowerLaw(), (0.7, 0.7), 1.0, True, 0x106)
    plan = fixed(
        pitch,
        PassPlan(
            45, 70, crop=Crop("random_resized", slot=0x003), transforms=(warps, *colors(mode)), border=border,
            fill=(9.0, 80.0, 255.0), dtype=dtype, planar=planar,
        ),
    )  # fmt: skip
    images = [photo(80, 90, 1), photo(97, 61, 2), photo(30, 30, 3), photo(1, 40, 4)]
    fused, batch = FusedPass(plan), keys(len(images))
    windows = fused.windows(batch, np.array([image.shape[:2] for image in images]))
    crops = cut(images, windows)
    sources = Sources.of_arrays(crops)
    samples = fused.records(batch, windows, sources)
    want = reference.augment(fused, batch.seed, samples, crops)
    error = abs(ShimPass(fused)(batch, windows, sources) - want)
    # The hue of an almost gray pixel is a quotient of rounding errors (see test_fused.py).
    assert np.quantile(error, 0.9999 if mode & ADDITIVE_HSV else 1) <= 0.01 / 255
    assert error.max() <= 0.5 / 255
