"""The finish stage against its float64 definition, and what it promises."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from finish_cases import (
    BIAS,
    DTYPES,
    ERASES,
    FILL,
    MODES,
    SCALE,
    SEED,
    SIZES,
    SPREAD,
    Batch,
    batch,
    reference,
    twin,
)

from fieldloom.kernels.stages.records import (
    BLEND,
    BOX,
    ERASE_CONSTANT,
    ERASE_PIXEL,
    ERASE_REGION,
    MASK_PLANES,
    PASTE,
    UNMIXED,
)


def image(out: np.ndarray, case: Batch, planar: bool = True) -> np.ndarray:
    """Flat outputs as (n, 3, h, w)."""
    n, _, height, width = case.working.shape
    return (
        out.reshape(n, 3, height, width) if planar else out.reshape(n, height, width, 3).transpose(0, 3, 1, 2)
    )


def wide(out: np.ndarray, dtype: str) -> np.ndarray:
    """Outputs as float64."""
    if dtype == "float16":
        return out.view(np.float16).astype(np.float64)
    if dtype == "bfloat16":
        return (out.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return out.astype(np.float64)


# ---------------------------------------------------------------- the definition


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", MODES)
def test_is_the_reference_within_rounding(mode: int, size: tuple[int, int]) -> None:
    case = batch(*size, 9, modes=(mode,))
    error = abs(image(twin(case), case) - reference(case))
    # Two roundings of levels up to 600 (noise), one of the output; averages of noise may round the other way.
    limit = np.full(9, 3e-6)
    if mode == PASTE:
        limit[case.finish["antialias"] == 1] = 1.001 * SCALE.max()
    assert (error.max((1, 2, 3)) <= limit).all()
    assert np.quantile(error, 0.99) <= 3e-6


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("planar", [True, False])
def test_output_types(dtype: str, planar: bool) -> None:
    case = batch(17, 23, 15, levels=dtype == "uint8")
    got, want = image(wide(twin(case, dtype, planar), dtype), case, planar), reference(case)
    if dtype == "uint8":
        assert abs(got - want.clip(0, 255)).max() <= 0.5 + 1e-3
        return
    step = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}[dtype]
    steady = abs(image(twin(case), case) - want) < 1e-4  # not where an average rounded the other way
    assert (abs(got - want) <= 0.51 * step * abs(want) + 4e-6)[steady].all()
    assert steady.mean() > 0.99


def test_unmixed_samples_are_normalized_only() -> None:
    case = batch(13, 9, 6, modes=(UNMIXED,), erase=0)
    levels = case.working.astype(np.float64)
    want = levels * SCALE[:, None, None].astype(np.float64) + BIAS[:, None, None]
    assert abs(image(twin(case), case) - want).max() < 1e-6
    plain = batch(13, 9, 6, modes=(UNMIXED,), erase=0, levels=True)
    np.testing.assert_array_equal(image(twin(plain, "uint8"), plain), plain.working)
    np.testing.assert_array_equal(image(twin(plain, "uint8", False), plain, False), plain.working)


# ---------------------------------------------------------------- mixing


def plain(mode: int, n: int = 6, size: tuple[int, int] = (16, 24), erase: float = 0.0) -> Batch:
    """A batch that comes out in levels, so that copies can be told from sums."""
    return batch(*size, n, modes=(mode,), erase=erase, levels=True)


def test_whole_weights_give_the_images_themselves() -> None:
    case = plain(BLEND)
    case.finish["weight"] = [0, 1, 0, 1, 0, 1]
    who = np.where(case.finish["weight"] == 1, case.finish["partner"][:, 0], np.arange(6))
    np.testing.assert_array_equal(image(twin(case), case), case.working[who])
    case = plain(MASK_PLANES)
    for k, masks in case.masks.items():
        masks[:] = 0
        masks[-1] = 255 if k % 2 else 0
    last = case.finish["partner"][np.arange(6), case.finish["ways"] - 2]
    who = np.where(np.arange(6) % 2 == 1, last, np.arange(6))
    np.testing.assert_array_equal(image(twin(case), case), case.working[who])


def test_boxes_are_copied() -> None:
    case = plain(BOX)
    got = image(twin(case), case)
    for k in range(6):
        y0, x0, y1, x1 = case.finish["box"][k]
        want = case.working[k].copy()
        want[:, y0:y1, x0:x1] = case.working[case.finish["partner"][k, 0]][:, y0:y1, x0:x1]
        np.testing.assert_array_equal(got[k], want)


def test_a_box_of_the_whole_image_is_the_partner() -> None:
    for mode in (BOX, PASTE):
        case = plain(mode)
        case.finish["box"] = 0, 0, 16, 24
        np.testing.assert_array_equal(image(twin(case), case), case.working[case.finish["partner"][:, 0]])


def test_averages_round_halves_up() -> None:
    case = plain(PASTE, 2, (2, 2))
    case.finish["antialias"], case.finish["box"], case.finish["partner"] = 1, (0, 0, 1, 1), 1
    case.working[1] = np.array([[0, 1], [0, 1]], np.uint8)
    assert (image(twin(case), case)[0, :, 0, 0] == 1).all()
    case.working[1] = np.array([[0, 1], [0, 0]], np.uint8)
    assert (image(twin(case), case)[0, :, 0, 0] == 0).all()


def test_averages_keep_the_mean() -> None:
    case = plain(PASTE, 2, (64, 96))
    case.finish["antialias"], case.finish["partner"] = 1, 1
    case.finish["box"] = 3, 5, 3 + 16, 5 + 24
    got = image(twin(case), case)[0, :, 3:19, 5:29]
    blocks = case.working[1].reshape(3, 16, 4, 24, 4).mean((2, 4))
    np.testing.assert_array_equal(got, np.floor(blocks + 0.5))


def test_sums_beyond_32_bits() -> None:
    """One pixel stands for a whole image of 8192 x 2048: its sum of levels does not fit into 32 bits."""
    case = batch(8192, 2048, 2, modes=(PASTE,), erase=0, levels=True)
    case.finish["antialias"], case.finish["box"], case.finish["partner"] = 1, (5, 5, 6, 6), 1
    case.working[1] = 255
    case.working[1, :, :4096] = 254  # the mean is 254.5, which rounds up
    out = np.zeros((2, case.working[0].size), np.uint8)
    from fieldloom.kernels.stages.finish import run_finish

    run_finish(
        case.finish, case.samples, case.working, case.scale, case.bias, FILL, SPREAD, np.uint32(0), 3, True,
        np.uint32(0), np.uint32(0), 0, 1, out,
    )  # fmt: skip
    assert (out[0].reshape(3, 8192, 2048)[:, 5, 5] == 255).all()


# ---------------------------------------------------------------- erasing


def test_constant_color() -> None:
    case = batch(16, 24, 6, modes=(UNMIXED,), erases=(ERASE_CONSTANT,), erase=1.0)
    got = image(twin(case), case)
    want = (FILL.astype(np.float64) * SCALE + BIAS)[:, None, None]
    for k in range(6):
        y0, x0, y1, x1 = case.finish["erase"][k]
        assert abs(got[k, :, y0:y1, x0:x1] - want).max() < 1e-6
        outside = np.ones((16, 24), bool)
        outside[y0:y1, x0:x1] = False
        clean = case.working[k] * SCALE[:, None, None].astype(np.float64) + BIAS[:, None, None]
        assert abs(got[k] - clean)[:, outside].max(initial=0) < 1e-6


def test_noise_is_standard_normal_after_normalizing() -> None:
    n = 40
    case = batch(32, 32, n, modes=(UNMIXED,), erases=(ERASE_PIXEL,), erase=1.0)
    case.finish["erase"] = 0, 0, 32, 32
    case.scale, case.bias = 1 / SPREAD, -FILL / SPREAD
    z = image(twin(case), case).astype(np.float64)
    count = z.size
    assert abs(z.mean()) < 4 / np.sqrt(count)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / count)
    assert abs((z**3).mean()) < 4 * np.sqrt(15 / count)
    assert abs((z**4).mean() - 3) < 4 * np.sqrt(96 / count)
    rows = z.transpose(1, 0, 2, 3).reshape(3, -1)
    assert abs(np.corrcoef(rows) - np.eye(3)).max() < 4 / np.sqrt(count / 3)
    assert abs((z[..., 1:] * z[..., :-1]).mean()) < 4 / np.sqrt(count)
    case.finish["erase_kind"] = ERASE_REGION
    colors = image(twin(case), case)
    assert (colors == colors[:, :, :1, :1]).all()
    assert len(np.unique(colors[:, :, 0, 0])) == 3 * n
    assert abs(colors[:, :, 0, 0].mean()) < 4 / np.sqrt(3 * n)


def test_noise_belongs_to_the_pixel_and_not_to_the_box() -> None:
    case = batch(16, 24, 1, modes=(UNMIXED,), erases=(ERASE_PIXEL,), erase=0)
    case.finish["erase"] = 0, 0, 16, 24
    whole = image(twin(case), case)
    case.finish["erase"] = 3, 5, 9, 20
    part = image(twin(case), case)
    np.testing.assert_array_equal(part[..., 3:9, 5:20], whole[..., 3:9, 5:20])


@pytest.mark.parametrize("mode", [BLEND, BOX, PASTE, MASK_PLANES])
@pytest.mark.parametrize("kind", ERASES)
def test_erased_partners_show_erased(mode: int, kind: int) -> None:
    """What a partner shows is what the partner's own output shows, wherever it is not mixed itself."""
    case = plain(mode)
    case.finish["erase_kind"] = kind
    case.finish["mode"][3:], case.finish["ways"][3:] = UNMIXED, 1
    case.finish["erase"][3:] = 2, 3, 12, 20
    case.finish["partner"][:3] = [[3, 4, 5], [4, 5, 3], [5, 3, 4]]
    case.finish["box"][:3], case.finish["weight"], case.finish["antialias"] = (0, 0, 16, 24), 1, 0
    for k in range(3):
        case.finish["ways"][k] = 2
        if mode == MASK_PLANES:
            case.masks[k][0] = 255
    got = image(twin(case), case)
    assert abs(got[:3] - got[3:]).max() < 1e-4
    assert (got[3] != case.working[3]).any()


# ---------------------------------------------------------------- what does not enter


def test_ranges_and_threads_change_nothing() -> None:
    case = batch(20, 28, 16)
    whole = twin(case)
    for step in (1, 3, 7):
        np.testing.assert_array_equal(twin(case, step=step).view(np.uint32), whole.view(np.uint32))
    with ThreadPoolExecutor(4) as pool:
        for other in pool.map(lambda step: twin(case, step=step), (1, 2, 3, 4)):
            np.testing.assert_array_equal(other.view(np.uint32), whole.view(np.uint32))


def test_order_changes_nothing() -> None:
    case = batch(20, 28, 16)
    turned = np.random.default_rng(0).permutation(16)
    np.testing.assert_array_equal(twin(case.take(turned)).view(np.uint32), twin(case)[turned].view(np.uint32))


def test_working_planes_are_left_alone() -> None:
    case = batch(20, 28, 16)
    before = case.working.copy()
    twin(case)
    np.testing.assert_array_equal(case.working, before)


def test_empty_batch() -> None:
    case = batch(5, 5, 0)
    assert twin(case).shape == (0, 75)
    assert SEED > 2**32  # so that both halves of the seed are tested
