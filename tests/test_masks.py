"""FMix masks: exact area, isotropy, soft edges, agreement with the definition in float64."""

import numpy as np
import pytest
from kernel_calls import from_python
from mask_cases import SEED, SIZES, SLOT, make, records
from mask_cases import place as placed

from fieldloom.kernels.stages import mask_ranks, reference_masks
from fieldloom.kernels.stages.masks import LEAST_NODES, mask_tables, run_masks

find_level, harden, soften = map(from_python, (mask_ranks.find_level, mask_ranks.harden, mask_ranks.soften))


def counts_of(n: int, area: int, seed: int = 0) -> np.ndarray:
    """Counts from 0 to area, both ends included."""
    counts = np.random.default_rng(seed).integers(0, area + 1, n)
    counts[:2] = 0, area
    return counts


# ---------------------------------------------------------------- area


@pytest.mark.parametrize("size", SIZES)
def test_area_is_exact(size: tuple[int, int]) -> None:
    height, width = size
    counts = counts_of(24, height * width)
    out = make(height, width, counts)
    assert set(np.unique(out)) <= {0, 255}
    np.testing.assert_array_equal((out == 0).sum((1, 2)), counts)


@pytest.mark.parametrize("decay", [1.0, 2.0, 3.5, 8.0])
def test_area_is_exact_for_other_laws(decay: float) -> None:
    counts = counts_of(12, 70 * 41)
    np.testing.assert_array_equal((make(70, 41, counts, decay=decay) == 0).sum((1, 2)), counts)


@pytest.mark.parametrize("kind", ["constant", "two", "few", "steps"])
def test_ties_go_by_column_then_by_row(kind: str) -> None:
    height, width = 13, 29
    rng = np.random.default_rng(2)
    levels = {
        "constant": np.full((height, width), 40000),
        "two": rng.integers(0, 2, (height, width)) * 65535,
        "few": rng.integers(100, 105, (height, width)),
        "steps": np.repeat(np.arange(width)[None] // 4, height, 0),
    }[kind].astype(np.uint16)
    # By level downwards, then by column, then by row.
    y, x = np.mgrid[:height, :width]
    order = np.lexsort([y.ravel(), x.ravel(), -levels.ravel().astype(int)])
    for count in (0, 1, 2, 57, 188, 376, 377):
        out = np.empty(height * width, np.uint8)
        harden(levels.ravel(), count, width, out)
        want = np.full(height * width, 255)
        want[order[:count]] = 0
        np.testing.assert_array_equal(out, want)


def test_level_is_found_where_false_position_is_slow() -> None:
    # All but a few pixels at one end.
    levels = np.zeros(50_000, np.uint16)
    levels[:40] = np.arange(65_496, 65_536)
    assert find_level(levels, 40)[1] == 40
    assert find_level(levels, 17) == (65_519, 17)
    assert find_level(levels, 41) == (0, 50_000)
    assert find_level(np.zeros(9, np.uint16), 4) == (0, 9)


# ---------------------------------------------------------------- randomness


def test_what_a_mask_depends_on() -> None:
    counts = np.full(5, 800)
    out = make(40, 50, counts)
    assert len({each.tobytes() for each in out}) == 5
    # Not on the batch,
    np.testing.assert_array_equal(make(40, 50, counts[:3]), out[:3])
    # nor on the range in which it is made,
    split, tables = np.zeros_like(out), mask_tables(40, 50, 3.0)
    seed = np.uint32(SEED & 0xFFFFFFFF), np.uint32(SEED >> 32)
    arguments = placed(counts, 0, split), records(5), tables.floats, tables.waves, tables.pitch, *seed, 40, 50
    for first, last in ((3, 5), (0, 3)):
        run_masks(*arguments, first, last)
    np.testing.assert_array_equal(split, out)
    # but on the seed and on the slot.
    assert (make(40, 50, counts, seed=SEED + 1) != out).any((1, 2)).all()
    assert (make(40, 50, counts, seed=SEED + (1 << 40)) != out).any((1, 2)).all()
    other = placed(counts, 0, split)
    other["slot"] += 1 << 8
    run_masks(other, *arguments[1:], 0, 5)
    assert (split != out).any((1, 2)).all()


def test_a_larger_count_only_adds_pixels() -> None:
    small, large = make(64, 64, np.full(8, 1000)), make(64, 64, np.full(8, 1300))
    assert (large[small == 0] == 0).all()


@pytest.fixture(scope="module")
def halves() -> np.ndarray:
    """4000 masks of 64 x 64, each half the sample's: +1 and -1, float32."""
    out = make(64, 64, np.full(4000, 2048))
    return np.where(out == 0, np.float32(1), np.float32(-1))


def test_transitions_along_rows_and_columns_are_alike(halves: np.ndarray) -> None:
    # Both ways some 1.6 changes a line; over 4000 masks their ratio deviates by 0.009, so 0.05 is 5 sigma.
    # The published code gives 1.43.
    along_x = (halves[:, :, 1:] != halves[:, :, :-1]).sum((1, 2)) / 64
    along_y = (halves[:, 1:] != halves[:, :-1]).sum((1, 2)) / 64
    deviation = (along_x - along_y).std() / np.sqrt(len(halves)) / along_x.mean()
    assert deviation < 0.01
    assert along_x.mean() / along_y.mean() == pytest.approx(1, abs=0.05)
    assert 1.4 < along_x.mean() < 1.8


@pytest.mark.parametrize("lag", [4, 16, 28])
def test_correlation_is_the_same_both_ways(halves: np.ndarray, lag: int) -> None:
    # Bounds are five standard errors of the differences, measured from the masks.
    across = (halves[:, :, lag:] * halves[:, :, :-lag]).mean((1, 2))
    down = (halves[:, lag:] * halves[:, :-lag]).mean((1, 2))
    error = (across - down).std() / np.sqrt(len(halves))
    assert error < 0.02
    assert abs(across.mean() - down.mean()) < 5 * error
    # And along the diagonals, at the same distance, as far as whole pixels allow: 4 to 3 + 3, ...
    step = {4: 3, 16: 11, 28: 20}[lag]
    both = (halves[:, step:, step:] * halves[:, :-step, :-step]).mean((1, 2))
    mirrored = (halves[:, step:, :-step] * halves[:, :-step, step:]).mean((1, 2))
    assert abs(both.mean() - mirrored.mean()) < 5 * (both - mirrored).std() / np.sqrt(len(halves))
    # The period is a square, so diagonals differ at lags near half of it.
    if lag < 28:
        assert both.mean() == pytest.approx(across.mean(), abs=0.06)


def test_masks_are_not_point_symmetric(halves: np.ndarray) -> None:
    # The published code's are, exactly.
    turned = (halves * halves[:, ::-1, ::-1]).mean((1, 2))
    assert abs(turned.mean()) < 0.05
    assert turned.max() < 0.999


def test_every_pixel_is_the_samples_own_equally_often(halves: np.ndarray) -> None:
    # 4000 masks: a pixel's share deviates by 0.0079; the largest stays within 5 sigma.
    assert abs((halves > 0).mean(0) - 0.5).max() < 0.04


# ---------------------------------------------------------------- the definition


def full_spectrum(height: int, width: int, decay: float, sample: int) -> np.ndarray:
    """The field of a sample with all modes up to Nyquist's; those beyond the kernel's are drawn elsewhere."""
    modes = max(1, max(height, width) // 2)
    kept = mask_tables(height, width, decay).waves // 2
    z = np.random.default_rng(sample).standard_normal((2 * modes + 1, 2 * modes + 1))
    stream = sample % 3 << 24 | SLOT
    inner = reference_masks.noise(kept, sample=sample, epoch=3, stream=stream, seed=SEED)
    z[: 2 * kept + 1, : 2 * kept + 1] = inner
    return reference_masks.field(z, height, width, decay)


@pytest.mark.parametrize("size", [(224, 224), (160, 224), (100, 60), (64, 64), (32, 32), (7, 5), (1, 40)])
def test_agrees_with_the_full_spectrum(size: tuple[int, int]) -> None:
    height, width = size
    n = 12
    counts = np.random.default_rng(1).integers(0, height * width + 1, n)
    out = make(height, width, counts)
    wrong = [
        (out[k] != reference_masks.mask(full_spectrum(height, width, 3.0, k), counts[k])).mean()
        for k in range(n)
    ]
    assert np.mean(wrong) < 0.003


@pytest.mark.parametrize(("decay", "most"), [(4.0, 0.001), (2.5, 0.005), (2.0, 0.012)])
def test_agrees_with_the_full_spectrum_of_other_laws(decay: float, most: float) -> None:
    counts = np.random.default_rng(1).integers(0, 128 * 128, 8)
    out = make(128, 128, counts, decay=decay)
    wrong = [(out[k] != reference_masks.mask(full_spectrum(128, 128, decay, k), counts[k])) for k in range(8)]
    assert np.mean(wrong) < most


@pytest.mark.parametrize("side", [1, 2, 31, 64, 95, 96, 224, 513, 8192])
def test_lattices(side: int) -> None:
    tables = mask_tables(side, side, 3.0)
    assert tables.pitch == 1 or side / tables.pitch >= LEAST_NODES
    assert tables.pitch & (tables.pitch - 1) == 0
    assert (tables.nodes_x - 2) * tables.pitch < side <= (tables.nodes_x - 1) * tables.pitch
    assert tables.floats.size == tables.waves**2 + tables.waves * (tables.nodes_y + tables.nodes_x)
    # The largest whole number of a pixel, and the level behind the last, fit 31 bits.
    assert 65536 * tables.pitch**2 < 2**31


# ---------------------------------------------------------------- soft edges


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_soft_edges_are_linear_in_rank(share: float) -> None:
    height, width, n = 96, 96, 6
    counts = np.random.default_rng(3).integers(2000, 7000, n)
    soft = np.minimum((share * height * width) * np.ones(n), np.minimum(counts, 9216 - counts)).astype(int)
    out = make(height, width, counts, soft)
    for k in range(n):
        values = full_spectrum(height, width, 3.0, k)
        error = np.abs(out[k] - reference_masks.mask(values, counts[k], soft[k]))
        # Of 255; the hard masks' own error is as large: it is what the end of the spectrum moves.
        assert error.mean() < 0.8
        assert share < 0.1 or error.max() < 25
        # The mean is the hard mask's: to a pixel.
        assert out[k].mean() * height * width / 255 == pytest.approx(height * width - counts[k], abs=1)
    hard = make(height, width, counts)
    assert ((out < 128) == (hard == 0)).mean() > 0.998


@pytest.mark.parametrize("soft", [1, 7, 300, 2000])
def test_soft_edges_against_exact_ranks(soft: int) -> None:
    # Distinct levels: ranks are known. Bins hold one level each here, or a few.
    rng = np.random.default_rng(4)
    levels = rng.permutation(65536)[:5000].astype(np.uint16)
    out = np.empty(5000, np.uint8)
    soften(levels, 2500, soft, out)
    want = reference_masks.mask(levels[None].astype(float), 2500, soft)[0]
    # Half a level of rounding, and within a bin at most its own ranks.
    assert abs(out - want).max() <= 0.5 + 255 * 6 / (2 * soft)
    assert abs(out.astype(float) - want).mean() < 0.6 + 30 / soft
    assert out.sum() / 255 == pytest.approx(2500, abs=0.5)
    assert (np.diff(out[np.argsort(levels)].astype(int)) <= 0).all()


def test_soft_edge_of_one_level_is_even() -> None:
    out = np.empty(100, np.uint8)
    soften(np.full(100, 9, np.uint16), 50, 20, out)
    assert set(out) <= {127, 128}


def test_soft_edges_up_to_the_ends() -> None:
    # The whole mask is an edge, or all of one side is.
    for count, soft in ((2048, 2048), (10, 10), (4090, 6)):
        out = make(64, 64, np.array([count]), soft)[0]
        assert out.sum() / 255 == pytest.approx(4096 - count, abs=1)
