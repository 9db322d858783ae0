"""Random parameters: crops against torchvision's published algorithms, flips, affines, gates, laws."""

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import keys, ks_distance, records, warp

from fieldloom.kernels.draws import Keys, affines, crop_windows
from fieldloom.kernels.fusedpass import FusedPass
from fieldloom.kernels.laws import PowerLaw
from fieldloom.kernels.philox import slot_of
from fieldloom.kernels.plan import Affine, Crop, FieldColor, Flip, Jitter, PassPlan

RANDOM = Crop("random_resized", slot=slot_of(0, "crop"))


def rects(crop: Crop, size: tuple[int, int], n: int, out: tuple[int, int] = (224, 224)) -> np.ndarray:
    return crop_windows(PassPlan(*out, crop=crop), keys(n), np.array([size] * n)).rects


def published_random_resized(
    rng: np.random.Generator, height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> tuple[int, int, int, int]:
    """torchvision's RandomResizedCrop.get_params, with NumPy's random numbers."""
    area = height * width
    log_ratio = (math.log(ratio[0]), math.log(ratio[1]))
    for _ in range(10):
        target = area * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(*log_ratio))
        w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1)), h, w
    in_ratio = width / height
    if in_ratio < min(ratio):
        w, h = width, round(width / min(ratio))
    elif in_ratio > max(ratio):
        h, w = height, round(height * max(ratio))
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


def two_sample_ks(a: np.ndarray, b: np.ndarray) -> float:
    """Kolmogorov-Smirnov statistic in units of its 1/sqrt(n): above 1.95 with probability 0.001."""
    values = np.concatenate([a, b])
    distance = [np.searchsorted(np.sort(s), values, side="right") / len(s) for s in (a, b)]
    return float(abs(distance[0] - distance[1]).max() * math.sqrt(len(a) * len(b) / (len(a) + len(b))))


# ---------------------------------------------------------------- RandomResizedCrop


@pytest.mark.parametrize("size", [(375, 500), (500, 333), (256, 256), (100, 400)])
def test_random_resized_crop_has_the_published_law(size: tuple[int, int]) -> None:
    n, rng = 12_000, np.random.default_rng(0)
    want = np.array([published_random_resized(rng, *size, RANDOM.scale, RANDOM.ratio) for _ in range(n)])
    got = rects(RANDOM, size, n)
    for what in (
        lambda r: r[:, 2] * r[:, 3] / (size[0] * size[1]),
        lambda r: r[:, 3] / r[:, 2],
        lambda r: r[:, 2],
        lambda r: r[:, 3],
        lambda r: r[:, 0] / np.maximum(size[0] - r[:, 2], 1),
        lambda r: r[:, 1] / np.maximum(size[1] - r[:, 3], 1),
    ):
        assert two_sample_ks(what(got), what(want)) < 1.95


@pytest.mark.parametrize("size", [(1, 8192), (8192, 1), (3, 900), (1, 1), (2, 2)])
def test_random_resized_crop_falls_back_on_extreme_shapes(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    crop = Crop("random_resized", (0.5, 1.0), (3 / 4, 4 / 3), slot=3)
    got = rects(crop, size, 400)
    want = np.array([published_random_resized(rng, *size, crop.scale, crop.ratio) for _ in range(400)])
    assert (got[:, 2:] > 0).all()
    if max(size) > 2:  # never fits: the central crop, always the same
        np.testing.assert_array_equal(got, want)
    else:
        assert set(map(tuple, got.tolist())) == set(map(tuple, want.tolist()))


def test_random_resized_crop_can_reach_every_place() -> None:
    got = rects(Crop("random_resized", (0.25, 0.25), (1.0, 1.0), slot=3), (16, 16), 4000)
    assert (got[:, 2:] == 8).all()
    counts = np.bincount(got[:, 0] * 9 + got[:, 1], minlength=81)
    assert counts.min() > 0
    # Chi-square of 80 degrees of freedom deviates by 12.6.
    assert ((counts - 4000 / 81) ** 2 / (4000 / 81)).sum() < 80 + 4 * 12.6


# ---------------------------------------------------------------- whole, center, random


def test_whole_is_the_whole_image() -> None:
    windows = crop_windows(PassPlan(10, 10), keys(2), np.array([[30, 40], [1, 7]]))
    assert windows.rects.tolist() == [[0, 0, 30, 40], [0, 0, 1, 7]]
    np.testing.assert_array_equal(windows.views, windows.rects)


def published_center(size: tuple[int, int], resize: int | None, out: tuple[int, int]) -> list[float]:
    """torchvision's Resize(resize) and CenterCrop(out): top and left in the resized image, and its size."""
    height, width = size
    if resize is not None:
        short, long = min(size), max(size)
        new_long = int(resize * long / short)
        height, width = (resize, new_long) if height <= width else (new_long, resize)
    pad = [max((o - s) // 2, 0) if o > s else 0 for o, s in zip(out, (height, width), strict=True)]
    top, left = (
        -p if o > s else int(round((s - o) / 2.0))  # noqa: RUF046
        for p, o, s in zip(pad, out, (height, width), strict=True)
    )
    return [top, left, height, width]


@settings(max_examples=300, deadline=None)
@given(
    st.tuples(st.integers(1, 900), st.integers(1, 900)),
    st.one_of(st.none(), st.integers(1, 400)),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
)
def test_center_crop_is_torchvisions_window(
    size: tuple[int, int], resize: int | None, out: tuple[int, int]
) -> None:
    top, left, height, width = published_center(size, resize, out)
    crop = Crop("center", resize=resize)
    view = crop_windows(PassPlan(*out, crop=crop), keys(1), np.array([size])).views[0]
    step_y, step_x = size[0] / height, size[1] / width
    np.testing.assert_allclose(
        view, [top * step_y, left * step_x, out[0] * step_y, out[1] * step_x], rtol=1e-12
    )


def test_center_crop_examples() -> None:
    # 500 x 375 resized to 341 x 256; (341 - 224) / 2 = 58.5 rounds to 58, halves to even.
    plan = PassPlan(224, 224, crop=Crop("center", resize=256))
    view = crop_windows(plan, keys(1), np.array([[500, 375]])).views[0]
    np.testing.assert_allclose(view, [58 * 500 / 341, 16 * 375 / 256, 224 * 500 / 341, 224 * 375 / 256])


def test_random_crop_with_padding_is_uniform_over_its_places() -> None:
    # CIFAR's recipe: 32 x 32, four pixels of padding, 9 x 9 places from -4 to 4.
    windows = crop_windows(
        PassPlan(32, 32, crop=Crop("random", padding=4, slot=3)), keys(8100), np.array([[32, 32]] * 8100)
    )
    assert (windows.views[:, 2:] == 32).all()
    places = windows.views[:, :2].astype(int) + 4
    counts = np.bincount(places[:, 0] * 9 + places[:, 1], minlength=81)
    assert len(counts) == 81
    assert ((counts - 100) ** 2 / 100).sum() < 80 + 4 * 12.6


def test_random_crop_without_padding_stays_inside() -> None:
    windows = crop_windows(
        PassPlan(20, 30, crop=Crop("random", slot=3)), keys(500), np.array([[25, 33]] * 500)
    )
    assert set(windows.views[:, 0].tolist()) == set(range(6))
    assert set(windows.views[:, 1].tolist()) == set(range(4))
    np.testing.assert_array_equal(windows.views, windows.rects)


def test_too_small_an_image_is_centered() -> None:
    view = crop_windows(PassPlan(32, 32, crop=Crop("random", slot=3)), keys(1), np.array([[20, 29]])).views[0]
    assert view.tolist() == [-6, -1, 32, 32]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["whole", "random_resized", "random", "center"]),
    st.tuples(st.integers(1, 500), st.integers(1, 500)),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.one_of(st.none(), st.integers(1, 300)),
    st.integers(0, 20),
)
def test_rects_lie_within_the_image(
    kind: str, size: tuple[int, int], out: tuple[int, int], resize: int | None, padding: int
) -> None:
    crop = Crop(kind, resize=resize, padding=padding, slot=3)  # type: ignore[arg-type]
    windows = crop_windows(PassPlan(*out, crop=crop), keys(20), np.array([size] * 20))
    y, x, h, w = windows.rects.T
    assert min(y.min(), x.min()) >= 0
    assert min(h.min(), w.min()) >= 1
    assert (y + h).max() <= size[0]
    assert (x + w).max() <= size[1]
    # Whatever of the view lies in the image is decoded.
    assert (y <= np.clip(windows.views[:, 0], 0, size[0] - 1)).all()
    assert (y + h >= np.minimum(windows.views[:, 0] + windows.views[:, 2], size[0]) - 1e-9).all()
    assert (x + w >= np.minimum(windows.views[:, 1] + windows.views[:, 3], size[1]) - 1e-9).all()


# ---------------------------------------------------------------- flips and affines


def matrices(plan: PassPlan, n: int) -> np.ndarray:
    """Backward maps over an image of the output's size, (n, 2, 3)."""
    windows = crop_windows(plan, keys(n), np.array([[plan.height, plan.width]] * n))
    return affines(plan, keys(n), windows)


def test_flips_half_of_the_images() -> None:
    plan = PassPlan(40, 60, warps=(Flip(0.5, True, slot_of(1, "flip")), Flip(0.3, False, slot_of(2, "flip"))))
    m = matrices(plan, 20_000)
    flipped_x, flipped_y = m[:, 0, 0] < 0, m[:, 1, 1] < 0
    assert flipped_x.mean() == pytest.approx(0.5, abs=0.015)
    assert flipped_y.mean() == pytest.approx(0.3, abs=0.015)
    assert (flipped_x & flipped_y).mean() == pytest.approx(0.15, abs=0.015)
    np.testing.assert_array_equal(m[flipped_x, 0], np.broadcast_to([-1, 0, 60], (flipped_x.sum(), 3)))
    np.testing.assert_array_equal(m[~flipped_x, 0], np.broadcast_to([1, 0, 0], ((~flipped_x).sum(), 3)))


def test_backward_affine_by_hand() -> None:
    # A quarter turn and twice the size about the center (4, 3) of 8 x 6: out (5, 3) shows (4, 3.5).
    turn = Affine((90, 90), (0, 0), (2, 2), (0, 0), 1.0, 0x105)
    np.testing.assert_allclose(
        matrices(PassPlan(6, 8, warps=(turn,)), 1)[0], [[0, -0.5, 5.5], [0.5, 0, 1]], atol=1e-6
    )
    # A shear by 45 degrees: source x gains output y, about the center.
    shear = Affine((0, 0), (0, 0), (1, 1), (45, 45), 1.0, 0x105)
    np.testing.assert_allclose(
        matrices(PassPlan(6, 8, warps=(shear,)), 1)[0], [[1, 1, -3], [0, 1, 0]], atol=1e-6
    )


def test_affine_shifts_stay_in_their_ranges() -> None:
    shift = Affine((0, 0), (0.1, 0.25), (1, 1), (0, 0), 1.0, 0x105)
    m = matrices(PassPlan(40, 80, warps=(shift,)), 5000)
    for axis, reach in ((0, 8), (1, 10)):
        values = np.sort(m[:, axis, 2])
        assert ks_distance(values, np.clip((values + reach) / (2 * reach), 0, 1)) < 1.95


def test_warps_compose_in_the_order_of_application() -> None:
    # First shear, then mirror: backward, the mirror comes first.
    shear = Affine((0, 0), (0, 0), (1, 1), (45, 45), 1.0, 0x105)
    flip = Flip(1.0, True, 0x204)
    shear_3, flip_3 = (
        np.array([[1, 1, -4], [0, 1, 0], [0, 0, 1]]),
        np.array([[-1, 0, 8], [0, 1, 0], [0, 0, 1]]),
    )
    one = matrices(PassPlan(8, 8, warps=(shear, flip)), 1)[0]
    other = matrices(PassPlan(8, 8, warps=(flip, shear)), 1)[0]
    np.testing.assert_allclose(one, (shear_3 @ flip_3)[:2], atol=1e-6)
    np.testing.assert_allclose(other, (flip_3 @ shear_3)[:2], atol=1e-6)


def test_view_scales_to_the_output() -> None:
    plan = PassPlan(10, 20, crop=RANDOM)
    windows = crop_windows(plan, keys(50), np.array([[90, 70]] * 50))
    m = affines(plan, keys(50), windows)
    ends = m[:, :, :2] @ np.array([20.0, 10.0]) + m[:, :, 2]
    np.testing.assert_allclose(ends, windows.rects[:, [3, 2]])
    np.testing.assert_allclose(m[:, :, 2], 0, atol=1e-9)


# ---------------------------------------------------------------- gates and laws


def test_gates_open_with_their_probability_together() -> None:
    color = FieldColor(PowerLaw(), (1.0, 1.0, 1.0), True, 0.3, 0x207)
    plan = PassPlan(32, 32, transforms=(warp("translate", "rotate", p=0.8), color))
    active = records(FusedPass(plan), keys(20_000))["active"]
    assert set(np.unique(active).tolist()) == {0, 3, 4, 7}  # both kinds of one warp open together
    assert (active & 1).mean() == pytest.approx(0.8, abs=0.015)
    assert (active >> 2).mean() == pytest.approx(0.3, abs=0.015)
    assert (active == 7).mean() == pytest.approx(0.24, abs=0.015)


def test_gates_of_zero_and_one_are_certain() -> None:
    plan = PassPlan(32, 32, transforms=(warp("translate", p=1.0), Jitter((0.1,) * 4, 0.0, 0x208)))  # type: ignore[arg-type]
    assert (records(FusedPass(plan), keys(5000))["active"] == 1).all()


def test_gamma_and_alpha_are_uniform_and_shared_by_a_composition() -> None:
    samples = records(FusedPass(PassPlan(32, 32, transforms=(warp("translate", "rotate"),))), keys(10_000))
    gamma, alpha = np.sort(samples["gamma"][:, 0]), np.sort(samples["amplitude"][:, 0, 0] * math.sqrt(2))
    assert ks_distance(gamma, (gamma - 7.0) / 3) < 1.95
    assert ks_distance(alpha, alpha * 3.0) < 1.95
    assert abs(np.corrcoef(samples["gamma"][:, 0], samples["amplitude"][:, 0, 0])[0, 1]) < 0.05
    np.testing.assert_array_equal(samples["gamma"][:, 0], samples["gamma"][:, 1])
    np.testing.assert_array_equal(samples["amplitude"][:, 0], samples["amplitude"][:, 1])


def test_orders_are_uniform_permutations() -> None:
    kinds = ("translate", "scale", "shear", "rotate")
    order = records(FusedPass(PassPlan(32, 32, transforms=(warp(*kinds),))), keys(24_000))["order"]
    np.testing.assert_array_equal(order[:, 4:], np.broadcast_to([4, 5, 6, 7], (24_000, 4)))
    code = order[:, :4] @ np.array([64, 16, 4, 1])
    counts = np.array([(code == np.dot(p, [64, 16, 4, 1])).sum() for p in permutations(range(4))])
    assert counts.sum() == 24_000
    # Chi-square of 23 degrees of freedom deviates by 6.8.
    assert ((counts - 1000) ** 2 / 1000).sum() < 23 + 4 * 6.8


def test_jitters_are_uniform_about_identity() -> None:
    plan = PassPlan(32, 32, transforms=(Jitter((0.4, 0.3, 0.2, 0.1), 1.0, 0x108),))
    drawn = records(FusedPass(plan), keys(10_000))["amplitude"][:, 0]
    for values, reach in zip(np.sort(drawn.T.astype(np.float64)), (0.4, 0.3, 0.2, 0.1), strict=True):
        assert ks_distance(values, (values + reach) / (2 * reach)) < 1.95
    assert abs(np.corrcoef(drawn.T) - np.eye(4)).max() < 0.05


def test_records_depend_on_the_keys_alone() -> None:
    one_pass = FusedPass(PassPlan(32, 32, crop=RANDOM, transforms=(warp("translate"),)))
    ids = np.array([4, 9, 4, 2])
    batch = Keys(1, 2, ids, np.array([0, 0, 1, 0]))
    sizes = np.array([[50, 60]] * 4)
    whole = one_pass.windows(batch, sizes).rects
    assert (whole[0] != whole[2]).any()  # a repeat within the epoch is another draw
    alone = one_pass.windows(Keys(1, 2, ids[1:2], np.zeros(1, int)), sizes[:1]).rects
    np.testing.assert_array_equal(alone[0], whole[1])
