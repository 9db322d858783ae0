"""Antialiasing for crops that shrink: a tent prefilter at source resolution, CPU twin.

Stage 2 samples the source bilinearly, which aliases once a crop shrinks. Pillow's antialiased bilinear
resize weighs the source with a tent of radius s (the shrink). Here the source is first filtered by
integer taps h such that h convolved with bilinear's own tent of radius 1 is close to that tent:

* for an integer s, h = the tent of radius s at integer offsets, and the match is exact (a piecewise
  linear function with integer knots is its own linear interpolation);
* between integers, the mixture of both neighbors with the variance (s^2 - 1) / 6;
* from a shrink of 4 on, the source is first averaged over boxes of floor(s / 2) pixels.

It costs one streaming pass in integers over the crop, against four times the gathers for supersampling,
and leaves stage 2 as it is. The two axes of the source shrink independently. Local shrinking by a random
field is not filtered (the presets stretch less than the crop does).

Exactness: integers, rounded half up after each axis; equal bits on both twins.
"""

import numba as nb
import numpy as np
from numba import njit
from numpy import uint8 as u8
from numpy import uint16 as u16
from numpy import uint32 as u32

from .intrinsics import INLINE, as_bytes, entry
from .records import SAMPLE

#: Taps sum to this.
ONE = 256
#: Shrinks below this are not filtered: bilinear alone is within 40 dB of Pillow's there.
LEAST_SHRINK = 1.12


def axis_filter(shrink: float) -> tuple[int, tuple[int, int, int, int]]:
    """Box reduction and tent taps for one axis.

    Args:
        shrink: Source pixels per output pixel.

    Returns:
        (reduce, (center, first, second, third)): taps are symmetric, in 1/256, and sum to 256 with
        both sides counted.
    """
    reduce = int(shrink // 2) if shrink >= 4 else 1
    rest = shrink / reduce
    if rest < LEAST_SHRINK:
        return reduce, (ONE, 0, 0, 0)
    low = min(int(rest), 3)
    mix = (rest**2 - low**2) / ((low + 1) ** 2 - low**2)
    offsets = np.arange(1, 4)
    sides = (1 - mix) * np.maximum(low - offsets, 0) / low**2
    sides = sides + mix * np.maximum(low + 1 - offsets, 0) / (low + 1) ** 2
    first, second, third = (round(float(t) * ONE) for t in sides)
    return reduce, (ONE - 2 * (first + second + third), first, second, third)


_TABLE_STEP = 1 / 64


def _filter_table() -> tuple[np.ndarray, np.ndarray]:
    shrinks = np.arange(0, 4 + _TABLE_STEP, _TABLE_STEP)
    taps = np.array([axis_filter(min(float(s), 3.9999))[1] for s in shrinks], np.uint16)
    return shrinks, taps


_, _TAPS = _filter_table()


def set_filters(samples: np.ndarray, affine: np.ndarray) -> None:
    """Choose each sample's prefilter from its affine and write both into the SAMPLE records.

    Args:
        samples: SAMPLE records with height and width set; `reduce`, `taps` and `affine` are written.
        affine: float64 (n, 2, 3): output pixel edges -> source pixel *edges*, before reduction.
    """
    shrink = np.sqrt((affine[:, :, :2] ** 2).sum(2))  # source pixels per output pixel on (x, y)
    reduce = np.where(shrink >= 4, np.floor(shrink / 2), 1)
    rest = np.minimum(shrink / reduce, 3.9999)
    taps = _TAPS[np.floor(rest / _TABLE_STEP + 0.5).astype(np.int64)]
    samples["reduce"] = reduce[:, ::-1]
    samples["taps"] = taps[:, ::-1]
    # Edges to centers of the reduced source: box i covers [i r, (i + 1) r), its center is pixel i.
    inner = affine / reduce[:, :, None]
    inner[:, :, 2] -= 0.5
    samples["affine"] = inner.reshape(-1, 6)


@njit(**INLINE)
def needs_copy(sample):  # type: ignore[no-untyped-def]
    """Whether stage 2 cannot read the source as it is: it is filtered, or less than 2 pixels wide or high."""
    plain = sample.reduce[0] == 1 and sample.reduce[1] == 1
    plain = plain and sample.taps[0, 0] == ONE and sample.taps[1, 0] == ONE
    return not plain or sample.height < 2 or sample.width < 2


@njit(**INLINE)
def reduced_shape(sample):  # type: ignore[no-untyped-def]
    """Height and width of the source after box reduction, as stage 2 sees it."""
    height = (sample.height + sample.reduce[0] - 1) // sample.reduce[0]
    width = (sample.width + sample.reduce[1] - 1) // sample.reduce[1]
    return height, width


@njit(**INLINE)
def copy_shape(sample):  # type: ignore[no-untyped-def]
    """Height and width of the copy that `prepare` makes: repeated to 2 x 2 pixels for stage 2's loads."""
    height, width = reduced_shape(sample)
    return max(height, 2), max(width, 2)


@njit(**INLINE)
def _box(source, sample, out):  # type: ignore[no-untyped-def]
    """Average boxes of reduce[0] x reduce[1] pixels (fewer at the far edges), rounded half up."""
    ry, rx = sample.reduce[0], sample.reduce[1]
    height, width, stride = sample.height, sample.width, sample.stride
    for i in range(out.shape[0]):
        y0 = min(i, (height - 1) // ry) * ry  # a single box is repeated to fill two rows
        y1 = min(y0 + ry, height)
        for j in range(out.shape[1] // 3):
            x0 = min(j, (width - 1) // rx) * rx
            x1 = min(x0 + rx, width)
            count = u32((y1 - y0) * (x1 - x0))
            for c in range(3):
                total = count // u32(2)
                for y in range(y0, y1):
                    row = y * stride
                    for x in range(x0, x1):
                        total += u32(source[row + 3 * x + c])
                out[i, 3 * j + c] = u8(total // count)


@njit(**INLINE)
def _plain_copy(source, sample, out):  # type: ignore[no-untyped-def]
    """Copy, repeating the last row and column where the source is less than 2 pixels wide or high."""
    for i in range(out.shape[0]):
        row = min(i, sample.height - 1) * sample.stride
        for j in range(out.shape[1] // 3):
            x = min(j, sample.width - 1)
            for c in range(3):
                out[i, 3 * j + c] = source[row + 3 * x + c]


@njit(**INLINE)
def _weigh(center, weight, total):  # type: ignore[no-untyped-def]
    """total = weight * center + 1/2, in 1/256."""
    for i in range(total.shape[0]):
        total[i] = u16(u16(weight * u16(center[i])) + u16(128))


@njit(**INLINE)
def _add_pair(left, right, weight, total):  # type: ignore[no-untyped-def]
    """total += weight * (left + right)."""
    for i in range(total.shape[0]):
        total[i] = u16(total[i] + u16(weight * u16(u16(left[i]) + u16(right[i]))))


@njit(**INLINE)
def _finish(total, out):  # type: ignore[no-untyped-def]
    for i in range(total.shape[0]):
        out[i] = u8(total[i] >> u16(8))


@njit(**INLINE)
def _reach(taps):  # type: ignore[no-untyped-def]
    return 3 if taps[3] else 2 if taps[2] else 1 if taps[1] else 0


@njit(**INLINE)
def _tent(source, stride, height, taps_y, taps_x, out):  # type: ignore[no-untyped-def]
    """Separable tent filter with repeated edges; source rows `stride` bytes apart, out (height, 3 width).

    Rows are passed on as slices: plain indices from zero are what lets the loops above vectorize.
    """
    n = out.shape[1]
    total = np.empty(n, np.uint16)
    line = np.empty(n + 18, np.uint8)  # one row between the axes, three pixels of padding on each side
    middle = line[9 : 9 + n]
    for y in range(height):
        start = y * stride
        _weigh(source[start : start + n], u16(taps_y[0]), total)
        for k in range(1, _reach(taps_y) + 1):
            above, below = max(y - k, 0) * stride, min(y + k, height - 1) * stride
            _add_pair(source[above : above + n], source[below : below + n], u16(taps_y[k]), total)
        _finish(total, middle)
        for k in range(9):
            line[k] = middle[k % 3]
            line[9 + n + k] = middle[n - 3 + k % 3]
        _weigh(middle, u16(taps_x[0]), total)
        for k in range(1, _reach(taps_x) + 1):
            left, right = 9 - 3 * k, 9 + 3 * k
            _add_pair(line[left : left + n], line[right : right + n], u16(taps_x[k]), total)
        _finish(total, out[y])


@entry
def prepare(sample):  # type: ignore[no-untyped-def]
    """The filtered copy of a sample's source, uint8 (height', 3 width'), for which `needs_copy` holds."""
    height, width = copy_shape(sample)
    source = nb.carray(as_bytes(sample.source), (sample.stride * sample.height,), np.uint8)
    out = np.empty((height, 3 * width), np.uint8)
    reduced = sample.reduce[0] > 1 or sample.reduce[1] > 1
    small = sample.height < 2 or sample.width < 2
    filtered = sample.taps[0, 0] != ONE or sample.taps[1, 0] != ONE
    if reduced:
        _box(source, sample, out)
    elif small:
        _plain_copy(source, sample, out)
    if not filtered:
        return out
    if reduced or small:
        again = np.empty((height, 3 * width), np.uint8)
        _tent(out.reshape(-1), 3 * width, height, sample.taps[0], sample.taps[1], again)
        return again
    _tent(source, sample.stride, height, sample.taps[0], sample.taps[1], out)
    return out


@entry
def prepared(samples, index):  # type: ignore[no-untyped-def]
    """`prepare` of one sample of an array, for tests and previews."""
    return prepare(samples[index])


__all__ = [
    "LEAST_SHRINK",
    "SAMPLE",
    "axis_filter",
    "copy_shape",
    "needs_copy",
    "prepare",
    "reduced_shape",
    "set_filters",
]
