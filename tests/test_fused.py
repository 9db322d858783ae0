"""The whole pass: float64 reference, exactness where it is promised, borders, colors, formats, threads."""

import colorsys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from kernel_cases import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    PRESETS,
    apply,
    both,
    cut,
    keys,
    noise,
    photo,
    warp,
)

from fieldloom.kernels import reference
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.plan import Affine, Crop, FieldColor, Flip, Jitter, PassPlan, PowerLaw

#: A hundredth of an 8-bit level.
TIGHT = 0.01 / 255
WHOLE = Crop("whole")
RANDOM = Crop("random_resized", slot=0x003)
NORMALIZED = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}


def check_close(got: np.ndarray, want: np.ndarray, *, hsv: bool = False, std: float = 1.0) -> None:
    """Within 0.01 of a level of values 0..1 divided by std.

    In HSV the hue of an almost black or gray pixel is a quotient of rounding errors: there all but 1 in
    10000 values hold to that, and the rest to half a level.
    """
    error = abs(got - want) * std
    if hsv:
        assert np.quantile(error, 0.9999) <= TIGHT
        assert error.max() <= 0.5 / 255
    else:
        assert error.max() <= TIGHT


# ---------------------------------------------------------------- reference


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("size", [(224, 224), (61, 97)])
def test_float32_equals_the_reference(name: str, size: tuple[int, int]) -> None:
    images = [photo(256, 256, 1), photo(300, 280, 2)]
    got, want = both(PassPlan(*size, crop=RANDOM, transforms=PRESETS[name], **NORMALIZED), images)
    check_close(got, want, hsv=name in ("rfa_color", "all"), std=0.229)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 300), (300, 1), (3, 5), (9, 17), (33, 255)])
@pytest.mark.parametrize("border", ["reflect", "edge", "constant"])
def test_ragged_sizes_equal_the_reference(size: tuple[int, int], border: str) -> None:
    plan = PassPlan(*size, transforms=PRESETS["all"], border=border, fill=(9, 80, 255))
    got, want = both(plan, [photo(40, 50, 1), photo(*size, 2), photo(2, 2, 3), photo(1, 70, 4)])
    check_close(got, want, hsv=True)


def test_white_noise_equals_the_reference() -> None:
    # Neighbors differ by up to 255 levels, so a position's rounding (1e-5 px) shows the most.
    got, want = both(PassPlan(224, 224, transforms=PRESETS["rfa_translate"]), [noise(256, 256)])
    assert abs(got - want).max() < 0.02 / 255


@pytest.mark.parametrize("name", PRESETS)
def test_uint8_is_within_one_level(name: str) -> None:
    plan = PassPlan(120, 160, crop=RANDOM, transforms=PRESETS[name], dtype="uint8")
    got, want = both(plan, [photo(256, 256, 1), photo(190, 300, 2)])
    difference = abs(got.astype(np.float64) - want)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 1e-3


def test_full_range_affines_equal_the_reference() -> None:
    affine = Affine((-180, 180), (0.2, 0.2), (0.5, 2.0), (-20, 20), 1.0, 0x205)
    warps = (Flip(0.5, True, 0x104), affine, Flip(0.5, False, 0x304))
    for border in ("reflect", "edge", "constant"):
        got, want = both(
            PassPlan(50, 70, crop=RANDOM, warps=warps, border=border), [photo(90, 80, k) for k in range(8)]
        )
        check_close(got, want)


# ---------------------------------------------------------------- exactness


def test_identity_is_exact() -> None:
    image = noise(57, 91)
    plan = {"height": 57, "width": 91, "crop": WHOLE}
    levels = apply(PassPlan(**plan, dtype="uint8", planar=False), [image])[0]
    np.testing.assert_array_equal(levels, image)
    plain = apply(PassPlan(**plan, planar=False), [image])[0]
    np.testing.assert_array_equal(plain, image * np.float32(1 / 255))
    normalized = apply(PassPlan(**plan, planar=False, **NORMALIZED), [image])[0]
    scale = (1 / (255 * np.array(IMAGENET_STD))).astype(np.float32).astype(np.float64)
    bias = (-np.array(IMAGENET_MEAN) / IMAGENET_STD).astype(np.float32)
    # One rounding a pixel: the float64 product and sum are exact.
    np.testing.assert_array_equal(normalized, (image * scale + bias).astype(np.float32))


@pytest.mark.parametrize("kind", ["center", "random"])
def test_crops_without_resizing_are_exact(kind: str) -> None:
    images = [noise(80, 70, k) for k in range(6)]
    one_pass = FusedPass(PassPlan(32, 40, crop=Crop(kind, slot=0x003), dtype="uint8", planar=False))  # type: ignore[arg-type]
    windows = one_pass.windows(keys(6), np.array([[80, 70]] * 6))
    crops = cut(images, windows)
    np.testing.assert_array_equal(one_pass(keys(6), windows, Sources.of_arrays(crops)), np.stack(crops))


def test_flips_are_exact() -> None:
    image = noise(45, 62)
    for p_x, p_y in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
        warps = (Flip(p_x, True, 0x104), Flip(p_y, False, 0x204))
        got = apply(PassPlan(45, 62, warps=warps, dtype="uint8", planar=False), [image])[0]
        np.testing.assert_array_equal(got, image[:: -1 if p_y else 1, :: -1 if p_x else 1])


@pytest.mark.parametrize("name", [n for n in PRESETS if n.startswith(("rfa_", "gauss")) and n != "rfa_color"])
@pytest.mark.parametrize("border", ["reflect", "edge", "constant"])
def test_constant_image_stays_constant_under_every_warp(name: str, border: str) -> None:
    levels = np.array([7, 130, 255], np.uint8)
    affine = Affine((-30, 30), (0.1, 0.1), (0.4, 1.5), (-10, 10), 1.0, 0x205)
    plan = PassPlan(
        75, 100, crop=RANDOM, warps=(affine,), transforms=PRESETS[name], border=border,
        fill=tuple(float(v) for v in levels), dtype="uint8", planar=False,
    )  # fmt: skip
    got = apply(plan, [np.tile(levels, (90, 120, 1))] * 4)
    assert (got == levels).all()
    plan = PassPlan(75, 100, crop=RANDOM, transforms=PRESETS[name], planar=False)
    exact = apply(plan, [np.tile(levels, (90, 120, 1))])
    np.testing.assert_array_equal(exact, np.broadcast_to(levels * np.float32(1 / 255), exact.shape))


def test_gray_stays_gray_under_linear_color() -> None:
    gray = np.repeat(noise(40, 40)[..., :1], 3, 2)
    for name in ("color_field", "jitter"):
        got = apply(PassPlan(40, 40, transforms=PRESETS[name]), [gray])[0]
        assert abs(got - got[:1]).max() < 1e-6


# ---------------------------------------------------------------- borders


def test_borders_by_hand() -> None:
    image = np.repeat(np.array([[10, 20, 40, 80]], np.uint8)[..., None], 3, 2).repeat(4, 0)
    shift = Affine((0, 0), (0.75, 0.0), (1, 1), (0, 0), 1.0, 0x105)
    got = {}
    for border in ("reflect", "edge", "constant"):
        one_pass = FusedPass(PassPlan(4, 4, border=border, fill=(200.0,) * 3, dtype="uint8", planar=False))
        windows, sources = one_pass.windows(keys(1), np.array([[4, 4]])), Sources.of_arrays([image])
        samples = one_pass.records(keys(1), windows, sources)
        samples["affine"][:, 2] -= 2  # the output shows what lies two pixels to the left
        out = reference.augment(one_pass, keys(1).seed, samples, [image])
        got[border] = out[0, 0, :, 0].tolist()
    assert got == {"reflect": [40, 20, 10, 20], "edge": [10, 10, 10, 20], "constant": [200, 200, 10, 20]}
    for border in got:
        plan = PassPlan(4, 4, warps=(shift,), border=border, fill=(200.0,) * 3)
        check_close(*both(plan, [image] * 6, keys(6)))


def test_half_a_pixel_beyond_the_edge_is_half_fill() -> None:
    image = np.full((6, 6, 3), 100, np.uint8)
    padded = Crop("random", padding=3, slot=0x003)
    got = apply(
        PassPlan(6, 6, crop=padded, border="constant", fill=(0, 0, 0), dtype="uint8"), [image] * 30, keys(30)
    )
    assert set(np.unique(got)) == {0, 100}  # whole pixels: no mixture


# ---------------------------------------------------------------- color


def test_reference_hsv_is_the_standard_librarys() -> None:
    colors = np.random.default_rng(0).integers(0, 256, (500, 3)) / 255
    colors = np.concatenate([colors, np.eye(3), 1 - np.eye(3), np.zeros((1, 3)), np.ones((1, 3))])
    want = np.array([colorsys.rgb_to_hsv(*c) for c in colors])
    np.testing.assert_allclose(reference.rgb_to_hsv(colors), want, atol=1e-12)
    np.testing.assert_allclose(
        reference.hsv_to_rgb(want), [colorsys.hsv_to_rgb(*c) for c in want], atol=1e-12
    )


def test_hsv_of_zero_strength_returns_the_image() -> None:
    nothing = FieldColor(PowerLaw(alpha=(0, 0)), (1.0, 1.0, 1.0), True, 1.0, 0x107)
    image = noise(50, 50)
    got = apply(PassPlan(50, 50, transforms=(nothing,), dtype="uint8", planar=False), [image])[0]
    np.testing.assert_array_equal(got, image)


def test_jitter_is_its_published_formula() -> None:
    one_pass = FusedPass(
        PassPlan(30, 30, transforms=(Jitter((0.4, 0.4, 0.0, 0.0), 1.0, 0x108),), planar=False)
    )
    image = (photo(30, 30, 5) // 4 + 90).astype(np.uint8)  # far from clipping
    windows, sources = one_pass.windows(keys(5), np.array([[30, 30]] * 5)), Sources.of_arrays([image] * 5)
    samples = one_pass.records(keys(5), windows, sources)
    got = one_pass(keys(5), windows, sources)
    for k, (brightness, contrast, _, _) in enumerate(samples["amplitude"][:, 0].astype(np.float64)):
        want = (1 + contrast) * ((1 + brightness) * image / 255 - 0.5) + 0.5
        if want.min() > 0 and want.max() < 1:
            np.testing.assert_allclose(got[k], want, atol=2e-4)  # the printed inverse of YIQ has four digits


# ---------------------------------------------------------------- formats


def test_half_floats_are_the_rounded_float32() -> None:
    plan = {"height": 33, "width": 50, "crop": RANDOM, "transforms": PRESETS["all"], **NORMALIZED}
    images = [photo(80, 90, k) for k in range(3)]
    single = apply(PassPlan(**plan), images)
    half = apply(PassPlan(**plan, dtype="float16"), images)
    np.testing.assert_array_equal(half.view(np.float16), single.astype(np.float16))
    brain = torch.from_numpy(apply(PassPlan(**plan, dtype="bfloat16"), images).view(np.int16))
    assert torch.equal(brain.view(torch.bfloat16), torch.from_numpy(single).to(torch.bfloat16))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "uint8"])
def test_layouts_hold_the_same_values(dtype: str) -> None:
    plan = {"height": 29, "width": 43, "crop": RANDOM, "transforms": PRESETS["all"], "dtype": dtype}
    images = [photo(60, 70, k) for k in range(3)]
    planar, last = apply(PassPlan(**plan), images), apply(PassPlan(**plan, planar=False), images)
    assert planar.shape == (3, 3, 29, 43)
    assert last.shape == (3, 29, 43, 3)
    np.testing.assert_array_equal(planar, last.transpose(0, 3, 1, 2))


def test_uint8_clips() -> None:
    bright = Jitter((1.0, 1.0, 1.0, 0.5), 1.0, 0x108)
    got, want = both(
        PassPlan(32, 32, transforms=(bright,), dtype="uint8"), [noise(32, 32, k) for k in range(6)], keys(6)
    )
    assert abs(got - want).max() <= 1
    assert {0, 255} <= set(np.unique(got).tolist())


# ---------------------------------------------------------------- batches and threads


def test_threads_and_batches_do_not_enter() -> None:
    one_pass = FusedPass(
        PassPlan(64, 64, crop=RANDOM, warps=(Flip(0.5, True, 0x104),), transforms=PRESETS["all"])
    )
    images = [photo(70 + 3 * k, 90, k) for k in range(23)]
    sizes = np.array([image.shape[:2] for image in images])

    def run(first: int, last: int, executor: ThreadPoolExecutor | None = None) -> np.ndarray:
        batch = keys(last - first, first=first)
        windows = one_pass.windows(batch, sizes[first:last])
        sources = Sources.of_arrays(cut(images[first:last], windows))
        return one_pass(batch, windows, sources, executor=executor)

    whole = run(0, 23)
    for size in (1, 7):
        parts = [run(k, min(k + size, 23)) for k in range(0, 23, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    for threads in (1, 2, 4):
        with ThreadPoolExecutor(threads) as pool:
            np.testing.assert_array_equal(run(0, 23, pool), whole)


def test_sources_may_lie_inside_larger_images() -> None:
    large = photo(120, 150, 3)
    one_pass = FusedPass(PassPlan(40, 40, transforms=PRESETS["all"]))
    windows = one_pass.windows(keys(1), np.array([[50, 60]]))
    inside = large[11:61, 23:83]
    strided = one_pass(keys(1), windows, Sources.of_arrays([inside]))
    packed = one_pass(keys(1), windows, Sources.of_arrays([np.ascontiguousarray(inside)]))
    np.testing.assert_array_equal(strided, packed)


def test_writes_only_its_output() -> None:
    one_pass = FusedPass(PassPlan(31, 45, transforms=(warp("rotate"),), border="constant"))
    buffer = np.full((4, 3, 31, 45), np.nan, np.float32)
    windows = one_pass.windows(keys(2), np.array([[31, 45]] * 2))
    one_pass(keys(2), windows, Sources.of_arrays([noise(31, 45)] * 2), out=buffer[1:3])
    assert np.isnan(buffer[[0, 3]]).all()
    assert np.isfinite(buffer[1:3]).all()


def test_an_empty_batch_is_empty() -> None:
    one_pass = FusedPass(PassPlan(8, 8, crop=RANDOM))
    windows = one_pass.windows(keys(0), np.zeros((0, 2), np.int64))
    assert one_pass(keys(0), windows, Sources.of_arrays([])).shape == (0, 3, 8, 8)
