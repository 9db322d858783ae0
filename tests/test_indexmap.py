"""Index masks on the CPU: float64 reference, identity, agreement with images, borders, arguments, threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from index_cases import RAGGED, batch_of, ids
from kernel_cases import PRESETS, cut, keys, warp
from PIL import Image
from variants import COVERING, rich_plan

from fieldloom.errors import ArgumentError
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.plan import Affine, Crop, Flip, PassPlan
from fieldloom.kernels.reference_indexmap import follow
from fieldloom.kernels.stages.erasing import Erase
from fieldloom.kernels.stages.mixing import Mixing, MixUp
from fieldloom.kernels.stages.policies import Chains, Entry, Pairs, PerSample, Pick, Range
from fieldloom.kernels.stages.spectrum import Pasta

BORDERS = ("reflect", "edge", "constant")
RANDOM = Crop("random_resized", slot=0x003)
TURNS = Affine((-180, 180), (0.3, 0.3), (0.3, 2.0), (-20, 20), 1.0, 0x205)
#: Nearest pixels may differ from float64's within this distance, in pixels, of where they change.
CLEARANCE_PX = 1e-3


def check_reference(plan: PassPlan, masks: list[np.ndarray], *, ignore: int = 255) -> None:
    """Equal to float64 but where a position lies on two pixels' edge; few such pixels may be excused."""
    batch = batch_of(plan, masks)
    got, excused = batch.run(ignore=ignore), 0
    for k, window in enumerate(batch.maps):
        want = follow(batch.fused, batch.keys.seed, batch.samples[k], window, ignore)
        differs = got[k] != want.ids
        assert want.clearance[differs].max(initial=0) <= CLEARANCE_PX, f"mask {k}"
        excused += int(differs.sum())
        allowed = {*np.unique(window).tolist()} | ({ignore} if plan.border == "constant" else set())
        assert set(np.unique(got[k]).tolist()) <= allowed
    assert excused <= 0.01 * got.size


# ---------------------------------------------------------------- reference


@pytest.mark.parametrize("name", ["rfa_translate", "rfa_all", "gaussian_no_fold", "all"])
@pytest.mark.parametrize("border", BORDERS)
def test_equals_the_reference(name: str, border: str) -> None:
    plan = PassPlan(61, 97, crop=RANDOM, warps=(TURNS,), transforms=PRESETS[name], border=border)
    check_reference(plan, [ids(90, 120, 1), ids(64, 50, 2)])


@pytest.mark.slow
@pytest.mark.parametrize("element", ["uint8", "int32"])
@pytest.mark.parametrize("row", COVERING, ids=lambda row: "-".join(map(str, row)))
def test_rich_recipes_equal_the_reference(element: str, row: tuple[str, int, int, str, bool]) -> None:
    check_reference(rich_plan(45, 71, row), [ids(*size, k, element) for k, size in enumerate(RAGGED)])


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("element", ["uint8", "int32"])
def test_ragged_windows_equal_the_reference(border: str, element: str) -> None:
    plan = PassPlan(17, 9, crop=RANDOM, warps=(TURNS,), border=border)
    check_reference(plan, [ids(*size, k, element) for k, size in enumerate(RAGGED)], ignore=200)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (1, 90), (90, 1), (3, 5), (9, 33)])
def test_ragged_outputs_equal_the_reference(size: tuple[int, int]) -> None:
    for border in BORDERS:
        check_reference(
            PassPlan(*size, warps=(TURNS,), transforms=(warp("translate"),), border=border),
            [ids(40, 50, 1), ids(2, 2, 3), ids(1, 70, 4)],
        )


@pytest.mark.parametrize("zoom", [0.9, 0.4, 0.24, 0.1, 0.05])
@pytest.mark.parametrize("border", BORDERS)
def test_shrinking_windows_equal_the_reference(zoom: float, border: str) -> None:
    # From a shrink of 4 on the image is reduced by boxes, of which the mask knows the pixels.
    affine = Affine((-30, 30), (0.2, 0.2), (zoom, zoom), (-10, 10), 1.0, 0x205)
    check_reference(PassPlan(24, 31, warps=(affine,), border=border), [ids(83, 110, 1), ids(40, 41, 2)])


# ---------------------------------------------------------------- exactness


@pytest.mark.parametrize("element", ["uint8", "int32"])
def test_identity_returns_the_mask(element: str) -> None:
    masks = [ids(57, 91, k, element) for k in range(2)]
    np.testing.assert_array_equal(batch_of(PassPlan(57, 91), masks).run(), np.stack(masks))


@pytest.mark.parametrize(("p_x", "p_y"), [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_flips_are_exact(p_x: float, p_y: float) -> None:
    mask = ids(45, 62)
    warps = (Flip(p_x, True, 0x104), Flip(p_y, False, 0x204))
    got = batch_of(PassPlan(45, 62, warps=warps), [mask]).run()[0]
    np.testing.assert_array_equal(got, mask[:: -1 if p_y else 1, :: -1 if p_x else 1])


@pytest.mark.parametrize("kind", ["center", "random"])
def test_cuts_are_exact(kind: str) -> None:
    batch = batch_of(PassPlan(32, 40, crop=Crop(kind, slot=0x003)), [ids(80, 70, k) for k in range(6)])  # type: ignore[arg-type]
    np.testing.assert_array_equal(batch.run(), np.stack(batch.maps))


@pytest.mark.parametrize("size", [(23, 31), (100, 64), (9, 11), (224, 224)])
def test_resizing_is_pillows_nearest(size: tuple[int, int]) -> None:
    mask = ids(77, 101)
    batch = batch_of(PassPlan(*size), [mask])
    want = np.asarray(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST))
    away = follow(batch.fused, batch.keys.seed, batch.samples[0], mask).clearance > CLEARANCE_PX
    np.testing.assert_array_equal(batch.run()[0][away], want[away])
    assert away.mean() > 0.9


def test_halves_go_up() -> None:
    # Pixel i of a halved axis lies on the edge of pixels 2 i and 2 i + 1.
    mask = ids(8, 12)
    np.testing.assert_array_equal(batch_of(PassPlan(4, 6), [mask]).run()[0], mask[1::2, 1::2])


def test_borders_by_hand() -> None:
    mask = np.array([[10, 20, 40, 80]] * 4, np.uint8)
    got = {}
    for border in BORDERS:
        batch = batch_of(PassPlan(4, 4, border=border), [mask])
        batch.samples["affine"][:, 2] -= 2  # the output shows what lies two pixels to the left
        got[border] = batch.run(samples=batch.samples, ignore=99)[0, 0].tolist()
    assert got == {"reflect": [40, 20, 10, 20], "edge": [10, 10, 10, 20], "constant": [99, 99, 10, 20]}


def test_padding_is_ignored() -> None:
    plan = PassPlan(6, 6, crop=Crop("random", padding=3, slot=0x003), border="constant")
    got = batch_of(plan, [np.full((6, 6), -7, np.int32)] * 20).run(ignore=-1)
    assert set(np.unique(got).tolist()) == {-7, -1}


# ---------------------------------------------------------------- with images


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("zoom", [1.2, 0.6, 0.15])
@pytest.mark.parametrize("name", ["rfa_translate", "rfa_rotate", "gaussian_no_fold"])
def test_is_where_the_image_is(name: str, zoom: float, border: str) -> None:
    """In an image whose color is its id, a pixel of one id's color has that id: geometry is the same."""
    cells = np.random.default_rng(0).permutation(np.arange(1, 21)).reshape(4, 5).astype(np.uint8)
    mask = np.kron(cells, np.ones((60, 50), np.uint8))
    image = np.repeat(mask[..., None] * np.uint8(10), 3, 2)
    affine = Affine((-40, 40), (0.2, 0.2), (zoom, zoom), (-10, 10), 1.0, 0x205)
    plan = PassPlan(
        75, 100, warps=(affine, Flip(0.5, True, 0x104)), transforms=PRESETS[name], border=border,
        dtype="uint8", planar=False,
    )  # fmt: skip
    batch = batch_of(plan, [mask] * 4)
    seen = batch.fused(batch.keys, batch.windows, Sources.of_arrays(cut([image] * 4, batch.windows)))[..., 0]
    got = batch.run(ignore=0)
    # Mixtures of colors may hit a third one's: only pixels whose neighbors have one color too are inside.
    middle = seen[:, 1:-1, 1:-1]
    around = [seen[:, 1 + dy : 74 + dy, 1 + dx : 99 + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    inside = np.logical_and.reduce([part == middle for part in around]) & (middle % 10 == 0)
    np.testing.assert_array_equal(got[:, 1:-1, 1:-1][inside] * 10, middle[inside])
    assert inside.mean() > 0.15


def test_colors_and_formats_do_not_enter() -> None:
    geometry = (warp("translate", "rotate"),)
    masks = [ids(60, 70, k) for k in range(3)]
    want = batch_of(PassPlan(40, 48, crop=RANDOM, transforms=geometry), masks).run()
    colors = (*geometry, *PRESETS["all"][1:])
    half = PassPlan(40, 48, crop=RANDOM, transforms=colors, dtype="float16", planar=False, mean=(0.5,) * 3)
    np.testing.assert_array_equal(batch_of(half, masks).run(), want)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("name", ["", "all", "gaussian_no_fold"])
def test_kept_positions_and_records_give_the_same_bits(dtype: str, name: str) -> None:
    plan = PassPlan(40, 48, warps=(Flip(0.5, True, 0x104),), transforms=PRESETS.get(name, ()), dtype=dtype)
    # The third image is only cut or mirrored, which is a shortcut of uint8 planes.
    masks = [ids(60, 70), ids(300, 301), ids(40, 48)]
    batch = batch_of(plan, masks)
    images = [np.repeat(window[..., None], 3, 2) for window in batch.maps]
    positions = batch.fused.empty_positions(3)
    positions[:] = np.nan
    given = batch.fused.records(batch.keys, batch.windows, Sources.of_arrays(images))
    before = given.tobytes()
    out = batch.fused(batch.keys, batch.windows, Sources.of_arrays(images), positions=positions)
    np.testing.assert_array_equal(
        out, batch.fused(batch.keys, batch.windows, Sources.of_arrays(images)), "the images stay the same"
    )
    want = batch.run()
    np.testing.assert_array_equal(batch.run(samples=given, positions=positions), want)
    np.testing.assert_array_equal(batch.run(samples=given), want)
    assert given.tobytes() == before


# ---------------------------------------------------------------- batches and threads


def test_threads_and_batches_do_not_enter() -> None:
    plan = PassPlan(40, 48, crop=RANDOM, warps=(TURNS,), transforms=(warp("translate"),))
    masks = [ids(50 + 3 * k, 60, k) for k in range(13)]
    whole = batch_of(plan, masks).run()
    for threads in (1, 3):
        with ThreadPoolExecutor(threads) as pool:
            np.testing.assert_array_equal(batch_of(plan, masks).run(executor=pool), whole)
    parts = [batch_of(plan, masks[k : k + 5], keys(len(masks[k : k + 5]), first=k)).run() for k in (0, 5, 10)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_strided_windows_and_given_outputs() -> None:
    large = ids(120, 150, 3, "int32")
    inside = large[11:61, 23:83]
    batch = batch_of(PassPlan(40, 40, transforms=(warp("rotate"),)), [inside])
    out = np.full((3, 40, 40), 5, np.int32)
    strided = batch.fused.index_maps(
        batch.keys, batch.windows, Sources.of_arrays([inside]), "int32", out=out[1:2]
    )
    np.testing.assert_array_equal(strided, batch.run())
    assert np.shares_memory(strided, out)
    assert (out[[0, 2]] == 5).all()


def test_the_stride_of_a_single_row_does_not_matter() -> None:
    row = ids(1, 60)
    batch = batch_of(PassPlan(1, 40), [row])
    for single in (np.broadcast_to(row[0], (1, 60)), np.repeat(row, 2, 0)[::-1][:1]):
        got = batch.fused.index_maps(batch.keys, batch.windows, Sources.of_arrays([single]), "uint8")
        np.testing.assert_array_equal(got, batch.run())


def test_views_have_the_same_mask() -> None:
    color = Chains((Range("posterize", 8, 4, rounding="nearest"),), (0.0, 1.0), views=3)
    masks = [ids(30, 40, k) for k in range(2)]
    plan = PassPlan(20, 24, crop=RANDOM, program=(color,), views=3)
    got = batch_of(plan, masks).run()
    want = batch_of(PassPlan(20, 24, crop=RANDOM), masks).run()
    np.testing.assert_array_equal(got, np.concatenate([want] * 3))


def test_an_empty_batch_is_empty() -> None:
    fused = FusedPass(PassPlan(8, 8, crop=RANDOM))
    windows = fused.windows(keys(0), np.zeros((0, 2), np.int64))
    assert fused.index_maps(keys(0), windows, Sources.of_arrays([]), "uint8").shape == (0, 8, 8)


# ---------------------------------------------------------------- which recipes, which arguments

SOLARIZE, ROTATE = Range("solarize", 256, 0), Range("rotate", 0, 30, signed=True)
ONE = np.ones((1, 2), np.float32)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"transforms": PRESETS["all"], "warps": (Flip(0.5, True, 0x104), TURNS)},
        {"erase": Erase(0.5, (0.02, 0.3), (0.3, 3.3), 0, None, 0x30A)},
        {"spectrum": Pasta(3.0, 2.0, 0.25, 0.5, 0x30B)},
        {"program": (Pick((SOLARIZE, Range("cutout", 0, 8))),)},
        {"program": (Chains((SOLARIZE,), (0.0, 1.0), views=3),), "views": 3},
        {"program": (PerSample((SOLARIZE, Range("invert")), ONE, ONE),)},
    ],
    ids=["nothing", "fields", "erasing", "pasta", "color policy", "views", "per sample"],
)
def test_plans_that_masks_follow(options: dict) -> None:
    assert PassPlan(8, 8, **options).maps_follow() is None


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"mixing": Mixing((MixUp(alpha=0.2, p=1.0),), (1.0,))}, "mixes samples"),
        ({"program": (Pick((SOLARIZE, ROTATE, Range("shear_x", 0, 1))),)}, r"\(rotate, shear_x\)"),
        ({"program": (Pick((SOLARIZE,)), Chains((ROTATE,), (0.0, 1.0)))}, r"\(rotate\)"),
        ({"program": (PerSample((SOLARIZE, Range("horizontal_flip")), ONE, ONE),)}, r"\(horizontal_flip\)"),
        (
            {"program": (Pairs(((Entry(SOLARIZE, 0, 1), Entry(Range("translate_y", 0, 9), 1, 1)),)),)},
            r"\(translate_y\)",
        ),
    ],
    ids=["mixing", "pick", "chains", "per sample", "pairs"],
)
def test_plans_that_masks_cannot_follow(options: dict, why: str) -> None:
    plan = PassPlan(8, 8, **options)
    assert plan.maps_follow() is not None
    with pytest.raises(ArgumentError, match=f"masks with this recipe: .*{why}"):
        batch_of(plan, [ids(8, 8)]).run()


def test_geometric_operations_are_all_known() -> None:
    from fieldloom.kernels.plan import GEOMETRIC_OPERATIONS
    from fieldloom.kernels.stages.operations import OPERATIONS
    from fieldloom.kernels.stages.records import NEAREST

    assert {name for name, each in OPERATIONS.items() if each.op == NEAREST} == GEOMETRIC_OPERATIONS


@pytest.mark.parametrize(
    ("element", "options", "what"),
    [
        ("int64", {}, "element='int64': not known"),
        ("uint8", {"ignore": -1}, "ignore=-1: ids of type uint8 lie in 0 to 255"),
        ("uint8", {"ignore": 256}, "ignore=256"),
        ("uint8", {"out": np.empty((1, 8, 9), np.uint8)}, "out of shape"),
        ("uint8", {"out": np.empty((1, 8, 8), np.int32)}, "type int32"),
        ("uint8", {"out": np.empty((1, 8, 16), np.uint8)[:, :, ::2]}, "C-contiguous"),
        ("uint8", {"positions": np.empty((2, 2, 2, 2), np.float32)}, "positions of shape"),
        ("uint8", {"positions": np.empty((1, 2, 2, 2), np.float64)}, "and type float64"),
    ],
)
def test_refused_arguments(element: str, options: dict, what: str) -> None:
    batch = batch_of(PassPlan(8, 8), [ids(8, 8)])
    with pytest.raises(ArgumentError, match=what):
        batch.fused.index_maps(batch.keys, batch.windows, batch.sources, element, **options)


def test_refused_windows() -> None:
    batch = batch_of(PassPlan(8, 8), [ids(8, 8), ids(9, 9)])
    other = Sources.of_arrays([batch.maps[0], batch.maps[1][:-1]])
    with pytest.raises(ArgumentError, match="mask 1 of the batch: 8 x 9 pixels: that of its image has 9 x 9"):
        batch.fused.index_maps(batch.keys, batch.windows, other, "uint8", samples=batch.samples)
    # Bytes taken for int32: rows are too short; an odd address; rows upwards.
    with pytest.raises(ArgumentError, match="mask 0 of the batch: rows 8 bytes apart"):
        batch.fused.index_maps(batch.keys, batch.windows, batch.sources, "int32")
    memory = np.zeros(8 * 32 + 1, np.uint8)
    odd = memory[1:] if memory.ctypes.data % 2 == 0 else memory[:-1]
    batch = batch_of(PassPlan(8, 8), [ids(8, 8, 0, "int32")])
    unaligned = Sources.of_arrays([odd[: 8 * 32].view(np.int32).reshape(8, 8)])
    with pytest.raises(ArgumentError, match="rows are aligned"):
        batch.fused.index_maps(batch.keys, batch.windows, unaligned, "int32")
    upwards = Sources.of_arrays([batch.maps[0][::-1]])
    with pytest.raises(ArgumentError, match="rows -32 bytes apart"):
        batch.fused.index_maps(batch.keys, batch.windows, upwards, "int32")
