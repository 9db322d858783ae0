"""PASTA on 8-bit planes: transform, multiply each bin, transform back, CPU twin of spectrum.cu.

Rows are transformed two at a time, as the real and the imaginary part of one line; the half spectra of
both are parted (times two, which the last step takes back). Then columns of the half spectrum are
transformed, multiplied and transformed back, and rows likewise. `LANES` lines lie side by side, so that all
loops run over lines.
"""

import numpy as np
from numba import njit
from numpy import float32 as f32
from numpy import int32 as i32
from numpy import uint8 as u8
from numpy import uint32 as u32

from fieldloom.kernels.intrinsics import INLINE, KERNEL, entry, fma
from fieldloom.kernels.philox import fill_normals

from .fourier import transform
from .spectrum import CHANNEL_DRAWS

#: Lines side by side: 32 of 224 values, twice and complex, are 112 KB.
LANES = 32


@njit(**INLINE)
def _load(top, low, lane, lanes, xr, xi):  # type: ignore[no-untyped-def]
    """Two rows become one line."""
    for x in range(top.shape[0]):
        xr[x * lanes + lane] = f32(top[x])
        xi[x * lanes + lane] = f32(low[x])


@njit(**KERNEL)
def _part(xr, xi, lanes, start, height, width, real, imag):  # type: ignore[no-untyped-def]
    """Half spectra (doubled) of each line's two rows."""
    for lane in range(lanes):
        y = 2 * (start + lane)
        for k in range(width // 2 + 1):
            a, b = k * lanes + lane, (width - k if k else 0) * lanes + lane
            real[y, k] = xr[a] + xr[b]
            imag[y, k] = xi[a] - xi[b]
        if y + 1 < height:
            for k in range(width // 2 + 1):
                a, b = k * lanes + lane, (width - k if k else 0) * lanes + lane
                real[y + 1, k] = xi[a] + xi[b]
                imag[y + 1, k] = xr[b] - xr[a]


@njit(**KERNEL)
def _join(real, imag, lanes, start, height, width, xr, xi):  # type: ignore[no-untyped-def]
    """Spectra of lines from half spectra of their two rows; the inverse of `_part`."""
    for lane in range(lanes):
        y = 2 * (start + lane)
        paired = y + 1 < height
        for k in range(width // 2 + 1):
            ar, ai = real[y, k], imag[y, k]
            br = real[y + 1, k] if paired else f32(0)
            bi = imag[y + 1, k] if paired else f32(0)
            a = k * lanes + lane
            xr[a] = ar - bi
            xi[a] = ai + br
            if 0 < 2 * k < width:
                b = (width - k) * lanes + lane
                xr[b] = ar + bi
                xi[b] = br - ai


@njit(**INLINE)
def _copy(values, out):  # type: ignore[no-untyped-def]
    for i in range(values.shape[0]):
        out[i] = values[i]


@njit(**INLINE)
def _scale(values, factors):  # type: ignore[no-untyped-def]
    for i in range(values.shape[0]):
        values[i] = values[i] * factors[i]


@njit(**INLINE)
def _factors(deviation, z):  # type: ignore[no-untyped-def]
    for i in range(deviation.shape[0]):
        z[i] = fma(deviation[i], z[i], f32(1))


@njit(**INLINE)
def _mirror(factors, column):  # type: ignore[no-untyped-def]
    """A column of bins whose mirror images lie in it: those of negative ky take their factors."""
    height = factors.shape[0]
    for y in range(1, (height + 1) // 2):
        factors[height - y, column] = factors[y, column]


@njit(**KERNEL)
def draw_factors(sample, channel, slot, deviation, seed_low, seed_high, width, factors):  # type: ignore[no-untyped-def]
    """Fill factors (height, whole blocks of four) with a channel's; what lies behind the bins is unused."""
    height, bins, stride = factors.shape[0], deviation.shape[1], factors.shape[1]
    flat = factors.reshape(-1)
    first = u32((1 + channel) * CHANNEL_DRAWS)
    fill_normals(flat, sample.sample, sample.epoch, u32(sample.stream | slot), seed_low, seed_high, first)
    for y in range(height):
        _factors(deviation[min(y, height - y)], flat[y * stride : y * stride + bins])
    _mirror(factors, 0)
    if width % 2 == 0:
        _mirror(factors, width // 2)


@njit(**INLINE)
def _store(xr, xi, lane, lanes, scale, top, low):  # type: ignore[no-untyped-def]
    """A line becomes two rows of levels: rounded half up, limited to 0..255."""
    for x in range(top.shape[0]):
        top[x] = u8(i32(min(max(f32(0), fma(xr[x * lanes + lane], scale, f32(0.5))), f32(255))))
        low[x] = u8(i32(min(max(f32(0), fma(xi[x * lanes + lane], scale, f32(0.5))), f32(255))))


@njit(**KERNEL)
def scratch(height, width):  # type: ignore[no-untyped-def]
    """Two sets of lines, real and imaginary, and what odd factors need."""
    size = max(height, width) * LANES
    lines = np.empty((4, size), np.float32)
    return lines, np.empty((8, size // 2 + 1), np.float32)


@njit(**KERNEL)
def rows_forward(plane, stages, roots, lines, spare, real, imag):  # type: ignore[no-untyped-def]
    """Twice the half spectra (height, bins) of the rows of a plane (height, width) of bytes."""
    height, width = plane.shape
    zeros, pairs = np.zeros(width, np.uint8), (height + 1) // 2
    for start in range(0, pairs, LANES):
        lanes = min(LANES, pairs - start)
        n = width * lanes
        xr, xi, yr, yi = lines[0, :n], lines[1, :n], lines[2, :n], lines[3, :n]
        for lane in range(lanes):
            y = 2 * (start + lane)
            _load(plane[y], plane[y + 1] if y + 1 < height else zeros, lane, lanes, xr, xi)
        if transform(xr, xi, yr, yi, lanes, stages, roots, spare):
            xr, xi = yr, yi
        _part(xr, xi, lanes, start, height, width, real, imag)


@njit(**KERNEL)
def scale_columns(factors, stages, roots, lines, spare, real, imag):  # type: ignore[no-untyped-def]
    """Transform columns, multiply, transform back (times the height)."""
    height, bins = real.shape
    for start in range(0, bins, LANES):
        lanes = min(LANES, bins - start)
        n = height * lanes
        xr, xi, yr, yi = lines[0, :n], lines[1, :n], lines[2, :n], lines[3, :n]
        for y in range(height):
            row = slice(y * lanes, (y + 1) * lanes)
            _copy(real[y, start : start + lanes], xr[row])
            _copy(imag[y, start : start + lanes], xi[row])
        if transform(xr, xi, yr, yi, lanes, stages, roots, spare):
            xr, xi, yr, yi = yr, yi, xr, xi
        for y in range(height):
            row = slice(y * lanes, (y + 1) * lanes)
            _scale(xr[row], factors[y, start : start + lanes])
            _scale(xi[row], factors[y, start : start + lanes])
        if transform(xi, xr, yi, yr, lanes, stages, roots, spare):
            xr, xi = yr, yi
        for y in range(height):
            row = slice(y * lanes, (y + 1) * lanes)
            _copy(xr[row], real[y, start : start + lanes])
            _copy(xi[row], imag[y, start : start + lanes])


@njit(**KERNEL)
def rows_back(real, imag, stages, roots, lines, spare, plane):  # type: ignore[no-untyped-def]
    """Transform rows back into levels."""
    height, width = plane.shape
    unused, pairs = np.empty(width, np.uint8), (height + 1) // 2
    scale = f32(0.5) / f32(i32(height * width))
    for start in range(0, pairs, LANES):
        lanes = min(LANES, pairs - start)
        n = width * lanes
        xr, xi, yr, yi = lines[0, :n], lines[1, :n], lines[2, :n], lines[3, :n]
        _join(real, imag, lanes, start, height, width, xr, xi)
        if transform(xi, xr, yi, yr, lanes, stages, roots, spare):
            xr, xi = yr, yi
        for lane in range(lanes):
            y = 2 * (start + lane)
            _store(xr, xi, lane, lanes, scale, plane[y], plane[y + 1] if y + 1 < height else unused)


@entry
def run_spectra(active, samples, working, deviation, roots_y, roots_x, factors_y, factors_x, seed_low, seed_high, slot, first, last):  # type: ignore[no-untyped-def]  # noqa: E501  # fmt: skip
    """Multiply the amplitudes of samples first .. last - 1 in place.

    Args:
        active: int32 (n,): 1 where PASTA acts.
        samples: SAMPLE (n,): their counter words.
        working: uint8 (n, 3, height, width).
        deviation: See `SpectrumTables`; the next four likewise.
        roots_y: See `deviation`.
        roots_x: See `deviation`.
        factors_y: See `deviation`.
        factors_x: See `deviation`.
        seed_low: Seed, uint32; `seed_high` its upper half.
        seed_high: See `seed_low`.
        slot: Random slot.
        first: First sample.
        last: Behind the last.
    """
    height, width = working.shape[2], working.shape[3]
    bins = width // 2 + 1
    stages_y, stages_x = factors_y[factors_y > 0], factors_x[factors_x > 0]
    lines, spare = scratch(height, width)
    real, imag = np.empty((height, bins), np.float32), np.empty((height, bins), np.float32)
    factors = np.empty((height, (bins + 3) // 4 * 4), np.float32)
    for index in range(first, last):
        if not active[index]:
            continue
        for channel in range(3):
            plane = working[index, channel]
            rows_forward(plane, stages_x, roots_x, lines, spare, real, imag)
            draw_factors(samples[index], channel, slot, deviation, seed_low, seed_high, width, factors)
            scale_columns(factors, stages_y, roots_y, lines, spare, real, imag)
            rows_back(real, imag, stages_x, roots_x, lines, spare, plane)
