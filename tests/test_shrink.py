"""The tent prefilter: its taps, its integers, and what it does to images that shrink."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import PHOTOS, apply, both, keys, noise, photo
from PIL import Image

from fieldloom.kernels import reference
from fieldloom.kernels.draws import new_samples
from fieldloom.kernels.fusedpass import Sources
from fieldloom.kernels.plan import Affine, Crop, PassPlan
from fieldloom.kernels.shrink import LEAST_SHRINK, ONE, axis_filter, prepared, set_filters

SHRINKS = (1.5, 2.0, 3.0, 4.0)


def taps_of(shrink: float) -> np.ndarray:
    """Seven symmetric taps at offsets -3..3."""
    center, *sides = axis_filter(shrink)[1]
    return np.array([*sides[::-1], center, *sides])


# ---------------------------------------------------------------- design


@given(st.floats(0.05, 60))
def test_taps_sum_to_one(shrink: float) -> None:
    reduce, taps = axis_filter(shrink)
    assert taps_of(shrink).sum() == ONE
    assert min(taps) >= 0
    assert reduce == (int(shrink // 2) if shrink >= 4 else 1)


@pytest.mark.parametrize("shrink", [2, 3])
def test_whole_shrinks_give_the_tent_itself(shrink: int) -> None:
    offsets = np.arange(-3, 4)
    tent = np.maximum(shrink - abs(offsets), 0) / shrink**2
    # The rounding of the sides is made up for by the center.
    assert abs(taps_of(shrink) / ONE - tent)[offsets != 0].max() <= 0.5 / ONE
    assert abs(taps_of(shrink) / ONE - tent).max() <= 3 / ONE


@pytest.mark.parametrize("shrink", np.linspace(LEAST_SHRINK, 3.99, 40))
def test_variance_is_that_of_pillows_tent(shrink: float) -> None:
    # Pillow's tent of radius s has variance s^2 / 6, bilinear sampling adds 1 / 6 to the taps'.
    variance = (taps_of(shrink) * np.arange(-3, 4) ** 2).sum() / ONE
    assert variance == pytest.approx((shrink**2 - 1) / 6, abs=(1 + 4 + 9) / ONE)


def test_mild_shrinks_and_enlargements_are_not_filtered() -> None:
    for shrink in (0.1, 1.0, 1.11):
        assert axis_filter(shrink) == (1, (ONE, 0, 0, 0))


def test_filters_follow_the_source_axes() -> None:
    samples = new_samples(3)
    # Plain; x shrinks by 2 and y not; a quarter turn: source y runs along output x and shrinks by 3.
    affine = np.array([[[1, 0, 0], [0, 1, 0]], [[2, 0, 0], [0, 1, 0]], [[0, -1, 9], [3, 0, 0]]], np.float64)
    set_filters(samples, affine)
    np.testing.assert_array_equal(samples["reduce"], 1)
    assert samples["taps"][:, 0].tolist() == [[256, 0, 0, 0], [256, 0, 0, 0], list(axis_filter(3)[1])]
    assert samples["taps"][:, 1].tolist() == [[256, 0, 0, 0], list(axis_filter(2)[1]), [256, 0, 0, 0]]
    np.testing.assert_allclose(samples["affine"][0], [1, 0, -0.5, 0, 1, -0.5])


def test_boxes_move_the_affine_to_their_centers() -> None:
    samples = new_samples(1)
    set_filters(samples, np.array([[[8.0, 0, 16], [0, 4, 0]]]))
    assert samples["reduce"].tolist() == [[2, 4]]
    np.testing.assert_allclose(samples["affine"][0], [2, 0, 3.5, 0, 2, -0.5])


# ---------------------------------------------------------------- integers


def filtered(image: np.ndarray, shrink_y: float, shrink_x: float) -> tuple[np.ndarray, np.ndarray]:
    """The kernel's copy, without what pads it to 2 x 2 pixels, and the reference's."""
    samples, sources = new_samples(1), Sources.of_arrays([image])
    samples["source"], samples["stride"] = sources.pointers, sources.strides
    samples["height"], samples["width"] = sources.heights, sources.widths
    set_filters(samples, np.array([[[shrink_x, 0, 0], [0, shrink_y, 0]]]))
    want = reference.prefilter(image, samples[0])
    if (samples["reduce"] == 1).all() and (samples["taps"][..., 0] == ONE).all() and min(image.shape[:2]) > 1:
        return image, want  # stage 2 reads the source itself
    got = prepared(samples, 0).reshape(*[max(side, 2) for side in want.shape[:2]], 3)
    # The repeated row and column too: stage 2 loads them, with weight zero.
    for axis, side in enumerate(want.shape[:2]):
        if side == 1:
            np.testing.assert_array_equal(np.take(got, 0, axis), np.take(got, 1, axis))
    return got[: want.shape[0], : want.shape[1]], want


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 40), st.integers(1, 40), st.floats(0.5, 13), st.floats(0.5, 13), st.integers(0, 2**32 - 1)
)
def test_bits_equal_the_reference(
    height: int, width: int, shrink_y: float, shrink_x: float, seed: int
) -> None:
    np.testing.assert_array_equal(*filtered(noise(height, width, seed), shrink_y, shrink_x))


@pytest.mark.parametrize("level", [0, 1, 127, 254, 255])
@pytest.mark.parametrize("shrink", [1.3, 2.0, 2.7, 5.1, 11.0])
def test_constant_stays_constant(level: int, shrink: float) -> None:
    got, _ = filtered(np.full((33, 41, 3), level, np.uint8), shrink, shrink)
    assert (got == level).all()


def test_rows_need_not_be_adjacent() -> None:
    wide = noise(20, 30)
    np.testing.assert_array_equal(*filtered(wide[:, 4:21], 2.5, 1.5))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 1), (1, 300), (3, 3), (5, 2)])
@pytest.mark.parametrize("out", [(1, 1), (2, 3), (8, 8)])
@pytest.mark.parametrize("border", ["reflect", "edge", "constant"])
def test_tiny_images(size: tuple[int, int], out: tuple[int, int], border: str) -> None:
    for zoom in (1.0, 0.15):  # a zoom out asks for boxes larger than the image
        affine = Affine((20, 20), (0.1, 0.1), (zoom, zoom), (0, 0), 1.0, 0x105)
        plan = PassPlan(*out, crop=Crop("whole"), warps=(affine,), border=border, fill=(200, 0, 90))
        got, want = both(plan, [noise(*size, seed) for seed in range(3)])
        np.testing.assert_allclose(got, want, atol=0.01 / 255)


# ---------------------------------------------------------------- against Pillow


def psnr(image: np.ndarray, shrink: float) -> float:
    """Of a whole resize in uint8 against Pillow's antialiased bilinear."""
    height, width = (round(side / shrink) for side in image.shape[:2])
    got = apply(PassPlan(height, width, crop=Crop("whole"), dtype="uint8", planar=False), [image])[0]
    want = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR, reducing_gap=None)
    error = ((got.astype(np.float64) - np.asarray(want)) ** 2).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@pytest.mark.parametrize("shrink", [*SHRINKS, 1.1, 2.5, 5.0, 7.3])
def test_synthetic_images_shrink_like_pillows(shrink: float) -> None:
    values = [psnr(photo(336, 300, seed), shrink) for seed in range(10)]
    assert np.quantile(values, 0.05) >= 32


def photographs() -> list[Path]:
    return sorted(PHOTOS.glob("*/*.JPEG"))


@pytest.mark.skipif(not photographs(), reason="no photographs beside this checkout")
@pytest.mark.parametrize("shrink", SHRINKS)
def test_photographs_shrink_like_pillows(shrink: float) -> None:
    values = []
    for path in photographs():
        with Image.open(path) as image:
            values.append(psnr(np.asarray(image.convert("RGB")), shrink))
    assert np.quantile(values, 0.05) >= 32


@pytest.mark.parametrize("shrink", SHRINKS)
def test_shrunk_noise_does_not_alias(shrink: float) -> None:
    # White noise keeps the share of its variance that the tent passes; bilinear alone keeps far more.
    side = 384
    image = noise(side, side)
    out = round(side / shrink)
    got = apply(PassPlan(out, out, crop=Crop("whole"), dtype="uint8"), [image])[0].astype(np.float64)
    want = Image.fromarray(image).resize((out, out), Image.Resampling.BILINEAR, reducing_gap=None)
    assert got.std() == pytest.approx(np.asarray(want, np.float64).std(), rel=0.15)


def test_random_crops_that_shrink_equal_the_reference() -> None:
    crop = Crop("random_resized", (0.08, 1.0), (3 / 4, 4 / 3), slot=0x003)
    got, want = both(PassPlan(40, 40, crop=crop), [photo(200, 260, k) for k in range(12)], keys(12))
    np.testing.assert_allclose(got, want, atol=0.01 / 255)
