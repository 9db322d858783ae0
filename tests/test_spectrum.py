"""PASTA: its Fourier transform, the law of its factors, agreement with float64, gates and arguments."""

import numpy as np
import pytest
from kernel_calls import from_python
from kernel_cases import keys
from spectrum_cases import (
    HIGH,
    LOW,
    MILD,
    SEED,
    SIZES,
    SLOT,
    draw_factors,
    planes,
    records,
    rows_back,
    rows_forward,
    run,
    scale_columns,
    scratch,
    tables_of,
)

from fieldloom.errors import ArgumentError
from fieldloom.kernels.stages import fourier, reference_spectrum
from fieldloom.kernels.stages.fourier import MAX_FACTORS, factors, roots
from fieldloom.kernels.stages.spectrum import CHANNEL_DRAWS, MAX_SIDE, Pasta, draw_spectra
from fieldloom.policies.pasta import PASTA, compile_pasta

transform = from_python(fourier.transform)

# ---------------------------------------------------------------- the transform


def transformed(x: np.ndarray) -> np.ndarray:
    """Transform columns of x (n, lanes), complex."""
    n, lanes = x.shape
    arrays = [np.ascontiguousarray(part, np.float32).ravel() for part in (x.real, x.imag)]
    arrays += [np.full(n * lanes, np.nan, np.float32) for _ in range(2)]
    spare = np.full((8, n * lanes // 2 + 1), np.nan, np.float32)
    swapped = transform(*arrays, lanes, np.array(factors(n), np.int32), roots(n), spare)
    real, imag = arrays[2:] if swapped else arrays[:2]
    return (real + 1j * imag).reshape(n, lanes)


LENGTHS = (
    *range(1, 41),
    49,
    64,
    70,
    96,
    97,
    121,
    128,
    210,
    224,
    225,
    243,
    256,
    343,
    509,
    512,
    1000,
    2039,
    2048,
)


@pytest.mark.parametrize("lanes", [1, 5])
def test_transform_is_numpys(lanes: int) -> None:
    rng = np.random.default_rng(0)
    for n in LENGTHS:
        x = rng.standard_normal((n, lanes)) + 1j * rng.standard_normal((n, lanes))
        want = np.fft.fft(x, axis=0)
        assert abs(transformed(x) - want).max() < 2e-6 * abs(want).max(), n


def test_a_line_does_not_depend_on_its_neighbors() -> None:
    rng = np.random.default_rng(1)
    for n in (30, 64, 97, 224):
        x = rng.standard_normal((n, 19)) + 1j * rng.standard_normal((n, 19))
        np.testing.assert_array_equal(transformed(x)[:, 7:8], transformed(x[:, 7:8]))


def test_factors_of_all_sides() -> None:
    for n in range(1, MAX_SIDE + 1):
        found = factors(n)
        assert np.prod(found, dtype=int) == n
        assert len(found) < MAX_FACTORS
        assert found.count(2) <= 1
        assert all(radix == 4 or all(radix % p for p in range(2, int(radix**0.5) + 1)) for radix in found)


# ---------------------------------------------------------------- the whole


@pytest.mark.parametrize("size", [*SIZES, (224, 224), (97, 101)])
def test_no_noise_is_the_identity(size: tuple[int, int]) -> None:
    working = planes(2, *size)
    np.testing.assert_array_equal(run(tables_of((0.0, 0.0, 2.0), *size), working), working)


def reference(law: tuple[float, float, float], working: np.ndarray) -> np.ndarray:
    """Levels of float64, neither limited nor rounded."""
    n, _, height, width = working.shape
    out = np.empty(working.shape)
    for k, sample in enumerate(records(n)):
        scale = [
            reference_spectrum.factors(
                Pasta(*law, 1.0, SLOT), height, width, channel=channel, sample=int(sample["sample"]), epoch=3,
                stream=int(sample["stream"]) | SLOT, seed=SEED,
            )
            for channel in range(3)
        ]  # fmt: skip
        out[k] = reference_spectrum.apply(working[k], np.stack(scale))
    return out


@pytest.mark.parametrize("law", [MILD, (3.0, 0.25, 2.0), (10.0, 0.5, 1.0)])
@pytest.mark.parametrize("size", SIZES)
def test_agrees_with_float64(size: tuple[int, int], law: tuple[float, float, float]) -> None:
    working = planes(2, *size)
    want = reference(law, working)
    out = run(tables_of(law, *size), working)
    rounded = np.floor(np.clip(want, 0, 255) + 0.5)
    # Where float64 is not on the brink between two levels, they are the same.
    brink = abs(want + 0.5 - np.rint(want + 0.5)) < 0.01
    np.testing.assert_array_equal(out[~brink], rounded[~brink])
    assert abs(out - rounded).max() <= 1
    assert brink.mean() < 0.1 or brink.size < 100
    assert (out != working).any()


# ---------------------------------------------------------------- the law


def half_spectra(
    law: tuple[float, float, float], size: tuple[int, int], n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Half spectra of one image before and behind the factors, from the kernel: complex (1 or n, h, bins)."""
    height, width = size
    tables = tables_of(law, *size)
    y, x = (r[r > 0] for r in (tables.factors_y, tables.factors_x))
    lines, spare = scratch(height, width)
    plane, bins = planes(1, *size)[0, 0], tables.bins
    real, imag = np.empty((height, bins), np.float32), np.empty((height, bins), np.float32)
    factors_ = np.empty((height, 4 * tables.row_draws), np.float32)
    out = []
    for sample in records(n):
        rows_forward(plane, x, tables.roots_x, lines, spare, real, imag)
        draw_factors(sample, 0, np.uint32(SLOT), tables.deviation, LOW, HIGH, width, factors_)
        scale_columns(factors_, y, tables.roots_y, lines, spare, real, imag)
        # The columns are back in pixels, times the height: forward again, in float64.
        out.append(np.fft.fft((real + 1j * imag).astype(complex), axis=0) / height / 2)
    return np.fft.rfft2(plane.astype(float))[None], np.array(out)


@pytest.mark.parametrize("size", [(8, 10), (9, 8), (7, 5)])
def test_deviations_of_the_spectrum(size: tuple[int, int]) -> None:
    # Re(out / in) has mean 1 and deviation sigma / sqrt(2), and sigma where a bin is its own mirror image. Of
    # 3000 draws a deviation deviates by 1.3 %, a mean by 1.8 % of it: bounds are some five times that.
    height, width = size
    before, behind = half_spectra((3.0, 0.25, 2.0), size, 3000)
    ratio = behind / before
    want = reference_spectrum.sigma(Pasta(3.0, 0.25, 2.0, 1.0, SLOT), height, width)[:, : width // 2 + 1]
    y, x = np.arange(height)[:, None], np.arange(width // 2 + 1)[None]
    alone = (2 * y % height == 0) & (2 * x % width == 0)
    assert alone.sum() == (1 + (height % 2 == 0)) * (1 + (width % 2 == 0))
    want = want / np.where(alone, 1, np.sqrt(2))
    np.testing.assert_allclose(ratio.real.std(0) / want, 1, atol=0.065)
    assert (abs(ratio.real.mean(0) - 1) < 0.1 * want).all()
    # Phases stay, up to float32's rounding.
    assert np.quantile(abs(ratio.imag), 0.999) < 1e-3
    # Bins are independent, but for mirror images.
    flat = (ratio.real - 1).reshape(3000, -1) / want.ravel()
    correlation = np.corrcoef(flat.T)
    mirror = (-y % height) * (width // 2 + 1) + x
    for a in range(len(correlation)):
        column = a % (width // 2 + 1)
        paired = 2 * column % width == 0
        image = int(mirror.ravel()[a]) if paired else a
        assert correlation[a, image] > 0.999
        others = np.delete(correlation[a], [a, image])
        assert abs(others).max() < 0.1


@pytest.mark.parametrize("size", [(6, 8), (7, 9), (8, 7)])
def test_factors_are_those_of_real_images(size: tuple[int, int]) -> None:
    # Columns kx = 0 and Nyquist's hold their own mirror images, and one factor serves both.
    height, width = size
    tables = tables_of((3.0, 0.25, 2.0), *size)
    out = np.empty((height, 4 * tables.row_draws), np.float32)
    draw_factors(records(1)[0], 1, np.uint32(SLOT), tables.deviation, LOW, HIGH, width, out)
    for x in [0] + [width // 2] * (width % 2 == 0):
        np.testing.assert_array_equal(out[1:, x], out[1:, x][::-1])
    assert (out[1:, 1] != out[1:, 1][::-1]).sum() >= height - 2


def test_random_numbers_of_a_channel_suffice() -> None:
    assert MAX_SIDE * ((MAX_SIDE // 2 + 1 + 3) // 4) <= CHANNEL_DRAWS


def test_what_the_noise_depends_on() -> None:
    tables, image = tables_of(MILD, 20, 30), planes(1, 20, 30)
    same = np.repeat(image, 4, 0)
    same[:, 1:] = same[:, :1]
    out = run(tables, same)
    assert len({plane.tobytes() for sample in out for plane in sample}) == 12
    np.testing.assert_array_equal(run(tables, same[:2]), out[:2])
    in_parts, ones = same.copy(), np.ones(4, np.int32)
    for first, last in ((2, 4), (0, 2)):
        tables.run(ones, records(4), in_parts, LOW, HIGH, first, last)
    np.testing.assert_array_equal(in_parts, out)
    other = same.copy()
    tables.run(ones, records(4), other, LOW, np.uint32(HIGH + 1), 0, 4)
    assert (other != out).any((2, 3)).all()


def test_rows_there_and_back() -> None:
    # Without the columns: half spectra times two, and back.
    plane = planes(1, 9, 12)[0, 0]
    lines, spare = scratch(9, 12)
    real, imag = np.empty((9, 7), np.float32), np.empty((9, 7), np.float32)
    x = np.array(factors(12), np.int32)
    rows_forward(plane, x, roots(12), lines, spare, real, imag)
    np.testing.assert_allclose((real + 1j * imag) / 2, np.fft.rfft(plane.astype(float)), atol=1e-3)
    out = np.empty_like(plane)
    rows_back(real * np.float32(9), imag * np.float32(9), x, roots(12), lines, spare, out)
    np.testing.assert_array_equal(out, plane)


# ---------------------------------------------------------------- gates and arguments


def test_only_active_samples_change() -> None:
    working = planes(4, 12, 15)
    out = run(tables_of(MILD, 12, 15), working, np.array([0, 1, 0, 1], np.int32))
    np.testing.assert_array_equal((out != working).any((1, 2, 3)), [False, True, False, True])
    np.testing.assert_array_equal(out[[1, 3]], run(tables_of(MILD, 12, 15), working)[[1, 3]])


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_gates(p: float) -> None:
    pasta, batch = Pasta(3.0, 0.25, 2.0, p, SLOT), keys(20_000)
    gates = draw_spectra(pasta, batch)
    assert gates.dtype == np.int32
    assert set(gates.tolist()) <= {0, 1}
    # 20000 draws: a share deviates by 0.0033 at most.
    assert gates.mean() == pytest.approx(p, abs=0.015 if 0 < p < 1 else 0)
    half = draw_spectra(pasta, batch, np.full(20_000, 0.5, np.float32))
    assert half.mean() == pytest.approx(p / 2, abs=0.015 if p else 0)
    assert (half <= gates).all()
    np.testing.assert_array_equal(draw_spectra(pasta, batch, np.full(20_000, 7.0, np.float32)), gates)
    assert draw_spectra(pasta, batch, np.zeros(20_000, np.float32)).sum() == 0
    assert draw_spectra(pasta, keys(0)).shape == (0,)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PASTA(alpha=-1),
        lambda: PASTA(beta=float("nan")),
        lambda: PASTA(k=11),
        lambda: PASTA(p=1.5),
        lambda: PASTA(alpha=True),
        lambda: PASTA(k="2"),
    ],
)
def test_wrong_arguments_are_named(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ArgumentError, match=r"PASTA (alpha|beta|k|p)="):
        make()


def test_compiling() -> None:
    found = compile_pasta(PASTA(10, 0.5, 1, 0.3), 4, 224, MAX_SIDE)
    assert found == Pasta(10.0, 0.5, 1.0, 0.3, 4 << 8 | 15)
    for size in ((MAX_SIDE + 1, 8), (8, MAX_SIDE + 1)):
        with pytest.raises(ArgumentError, match="2048"):
            compile_pasta(PASTA(), 0, *size)
