"""FMix masks: a low-frequency random field a mask, thresholded by rank, CPU twin.

The law is FMix's: amplitude 1 / max(f, 1 / P)^decay at frequency f in cycles a pixel, P = max(h, w), which on
integer modes k = f P is |k|^-decay; the constant term moves all pixels alike and is left out. Unlike the
published code, whose energy lies along one axis, and like its formula, the field is isotropic: cosines
and sines of one period on both axes (`laws.PowerLaw`, gamma = 2 decay).

The field is made at nodes, some fifty to a hundred a side, and is bilinear between them. There it becomes
whole numbers: from nodes to pixels all is integer arithmetic, so counts, ranks and masks are exact.

Source: Harris et al., "FMix: Enhancing Mixed Sample Data Augmentation" (arXiv 2002.12047).
Exactness: exactly `count` pixels are the sample's own; equal bits on both twins. Against the full spectrum at
every pixel, decay 3, equal area: 0.1 % of the pixels differ (0.08 % at 224 x 224, 0.16 % at 32 x 32).
"""

from dataclasses import dataclass
from functools import lru_cache

import numba as nb
import numpy as np
from numba import njit
from numpy import float32 as f32
from numpy import int32 as i32
from numpy import uint16 as u16
from numpy import uint32 as u32

from fieldloom.kernels.intrinsics import INLINE, KERNEL, as_bytes, entry, fma
from fieldloom.kernels.laws import plane_waves
from fieldloom.kernels.philox import fill_normals
from fieldloom.kernels.records import FIELD_DRAWS

from .mask_ranks import harden, soften

#: Nodes along the longer side, at least; half of it is what 8 px would be at 224, which doubles the error.
LEAST_NODES = 48
#: Largest whole number at a node.
_TOP = 65535


@dataclass(frozen=True, slots=True, eq=False)
class MaskTables:
    """The constant tables of masks of one size and law.

    Attributes:
        height: Pixels.
        width: Pixels.
        pitch: Pixels from node to node, a power of two; node (i, j) lies on pixel (i pitch, j pitch).
        nodes_y: Nodes along y, the last on or beyond the last pixel.
        nodes_x: Likewise along x.
        waves: Columns of either basis: 1, cos, sin, cos 2, ...
        floats: float32: amplitudes (waves, waves), then the bases (nodes_y, waves) and (waves, nodes_x).
    """

    height: int
    width: int
    pitch: int
    nodes_y: int
    nodes_x: int
    waves: int
    floats: np.ndarray

    @property
    def shift(self) -> int:
        """Binary digits of the pitch."""
        return self.pitch.bit_length() - 1


def n_modes(height: int, width: int, decay: float) -> int:
    """Highest mode along an axis, at most Nyquist's; at decay 3 the rest would move 0.1 % of the pixels."""
    enough = 8 if decay >= 3.5 else 12 if decay >= 2.5 else 32
    return max(1, min(enough, max(height, width) // 2))


@lru_cache(32)
def mask_tables(height: int, width: int, decay: float) -> MaskTables:
    """The tables of masks of this size.

    Args:
        height: Pixels, 1..8192.
        width: Pixels, 1..8192.
        decay: Exponent of the amplitude, 3 in the paper. Below 2.5 the field is rough and its spectrum ends
            before the law does: at decay 2 one pixel in 200 differs from the full spectrum's mask.
    """
    side, modes = max(height, width), n_modes(height, width, decay)
    least = LEAST_NODES if modes <= 16 else 3 * LEAST_NODES
    pitch = 1 << (max(1, side // least).bit_length() - 1)
    nodes_y, nodes_x = -(-height // pitch) + 1, -(-width // pitch) + 1
    by, bx = (plane_waves(np.arange(n) * (pitch / side), modes) for n in (nodes_y, nodes_x))
    floats = np.concatenate([amplitudes(modes, decay).ravel(), by.ravel(), bx.T.ravel()])
    floats = floats.astype(np.float32)
    floats.setflags(write=False)
    return MaskTables(height, width, pitch, nodes_y, nodes_x, 2 * modes + 1, floats)


def amplitudes(modes: int, decay: float) -> np.ndarray:
    """Amplitude of each product of two waves, float64 (2 modes + 1, 2 modes + 1).

    Where both modes are positive the product stands for two plane waves, k and its mirror image: hence the
    root of two, without which the field is not isotropic.
    """
    k = (np.arange(2 * modes + 1) + 1) // 2
    square = k[:, None] ** 2 + k[None, :] ** 2
    law = np.where(square == 0, 0, np.maximum(square, 1) ** (-decay / 2))
    return law * np.where((k[:, None] > 0) & (k[None, :] > 0), np.sqrt(2), 1)


@njit(**INLINE)
def _first(row, weight, total):  # type: ignore[no-untyped-def]
    for i in range(total.shape[0]):
        total[i] = fma(weight, row[i], f32(0))


@njit(**INLINE)
def _add(row, weight, total):  # type: ignore[no-untyped-def]
    for i in range(total.shape[0]):
        total[i] = fma(weight, row[i], total[i])


@njit(**INLINE)
def _add_four(a, b, c, d, p, q, r, s, total):  # type: ignore[no-untyped-def]
    """Four `_add`s in one pass: the same sums, a quarter of the loads and stores of `total`."""
    for i in range(total.shape[0]):
        total[i] = fma(s, d[i], fma(r, c[i], fma(q, b[i], fma(p, a[i], total[i]))))


@njit(**INLINE)
def _combine(rows, weights, total):  # type: ignore[no-untyped-def]
    """total = sum of weights[k] rows[k], in the order of k."""
    n = rows.shape[0]
    _first(rows[0], weights[0], total)
    last = (n - 1) // 4 * 4
    for k in range(1, last, 4):
        _add_four(
            rows[k], rows[k + 1], rows[k + 2], rows[k + 3],
            weights[k], weights[k + 1], weights[k + 2], weights[k + 3], total,
        )  # fmt: skip
    for k in range(last + 1, n):
        _add(rows[k], weights[k], total)


@njit(**INLINE)
def _extend(row, low, high):  # type: ignore[no-untyped-def]
    for i in range(row.shape[0]):
        low, high = min(low, row[i]), max(high, row[i])
    return low, high


@njit(**INLINE)
def _round(row, low, scale, out):  # type: ignore[no-untyped-def]
    for i in range(row.shape[0]):
        out[i] = i32(fma(row[i] - low, scale, f32(0.5)))


@njit(**KERNEL)
def draw_nodes(sample, slot, tables, waves, seed_low, seed_high, nodes):  # type: ignore[no-untyped-def]
    """Fill nodes (nodes_y, nodes_x), int32, with one mask's field, stretched to 0..65535."""
    nodes_y, nodes_x = nodes.shape
    n = waves * waves
    z = np.empty((n + 3) // 4 * 4, np.float32)
    stream = u32(sample.stream | slot)
    fill_normals(z, sample.sample, sample.epoch, stream, seed_low, seed_high, u32(FIELD_DRAWS))
    for i in range(n):
        z[i] = z[i] * tables[i]
    noise = z[:n].reshape(waves, waves)
    by = tables[n : n + nodes_y * waves].reshape(nodes_y, waves)
    bx = tables[n + nodes_y * waves : n + (nodes_y + nodes_x) * waves].reshape(waves, nodes_x)
    field, column = np.empty((nodes_y, nodes_x), np.float32), np.empty(waves, np.float32)
    for y in range(nodes_y):
        _combine(noise, by[y], column)
        _combine(bx, column, field[y])
    low = high = field[0, 0]
    for y in range(nodes_y):
        low, high = _extend(field[y], low, high)
    scale = f32(_TOP) / (high - low) if high > low else f32(0)
    for y in range(nodes_y):
        _round(field[y], low, scale, nodes[y])


@njit(**INLINE)
def _double(row, n, out):  # type: ignore[no-untyped-def]
    """Twice the piecewise linear function at nodes 0..n, at twice as many."""
    for i in range(n):
        out[2 * i] = i32(row[i] + row[i])
        out[2 * i + 1] = i32(row[i] + row[i + 1])


@njit(**INLINE)
def _widen(row, pitch, spare, out):  # type: ignore[no-untyped-def]
    """`pitch` times a row of nodes at every pixel; `spare` and `out` hold whole cells and one more."""
    n = row.shape[0] - 1
    out[: n + 1] = row
    step = 1
    while step < pitch:
        spare[: n + 1] = out[: n + 1]
        _double(spare, n, out)
        out[2 * n] = i32(spare[n] + spare[n])
        n, step = 2 * n, 2 * step


@njit(**INLINE)
def _begin(upper, lower, pitch, value, slope):  # type: ignore[no-untyped-def]
    for x in range(value.shape[0]):
        value[x] = i32(upper[x] * pitch)
        slope[x] = i32(lower[x] - upper[x])


@njit(**INLINE)
def _descend(value, slope, shift, levels):  # type: ignore[no-untyped-def]
    for x in range(levels.shape[0]):
        v = value[x]
        levels[x] = u16(u32(v) >> shift)
        value[x] = i32(v + slope[x])


@njit(**KERNEL)
def pixel_levels(nodes, pitch, levels):  # type: ignore[no-untyped-def]
    """levels (h, w), uint16: the whole part of the bilinear function of the nodes at every pixel."""
    height, width = levels.shape
    nodes_y, nodes_x = nodes.shape
    padded = (nodes_x - 1) * pitch + 1
    upper, lower, spare = np.empty(padded, np.int32), np.empty(padded, np.int32), np.empty(padded, np.int32)
    value, slope = np.empty(width, np.int32), np.empty(width, np.int32)
    shift = 0
    while 1 << shift < pitch * pitch:
        shift += 1
    _widen(nodes[0], pitch, spare, lower)
    for i in range(nodes_y - 1):
        upper, lower = lower, upper
        _widen(nodes[i + 1], pitch, spare, lower)
        _begin(upper, lower, i32(pitch), value, slope)
        for y in range(i * pitch, min((i + 1) * pitch, height)):
            _descend(value, slope, u32(shift), levels[y])


@entry
def run_masks(masks, samples, tables, waves, pitch, seed_low, seed_high, height, width, first, last):  # type: ignore[no-untyped-def]  # fmt: skip
    """Make masks first .. last - 1.

    Args:
        masks: MASK records (k,); `out` is the address of height * width bytes.
        samples: SAMPLE records, of which a mask's `sample` names one: its counter words.
        tables: `MaskTables.floats`; `waves` and `pitch` likewise.
        waves: See `tables`.
        pitch: See `tables`.
        seed_low: Seed, uint32; `seed_high` its upper half.
        seed_high: See `seed_low`.
        height: Pixels; `width` likewise.
        width: See `height`.
        first: First record.
        last: Behind the last record.
    """
    nodes = np.empty(((height + pitch - 1) // pitch + 1, (width + pitch - 1) // pitch + 1), np.int32)
    levels = np.empty((height, width), np.uint16)
    flat = levels.reshape(-1)
    for k in range(first, last):
        record = masks[k]
        out = nb.carray(as_bytes(record.out), (height * width,), np.uint8)
        draw_nodes(samples[record.sample], record.slot, tables, waves, seed_low, seed_high, nodes)
        pixel_levels(nodes, pitch, levels)
        if record.soft > 0:
            soften(flat, record.count, record.soft, out)
        else:
            harden(flat, record.count, width, out)
