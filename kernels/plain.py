"""The shortcut of uint8 planes: a sample that is only cut out, or mirrored, is copied instead of resampled.

In-memory data sets of the output's own size take it, and images that were resized beforehand. The pixels are
those of the general path: at whole positions a bilinear sample is the pixel itself.
"""

import numba as nb
import numpy as np
from numba import njit
from numpy import float32 as f32
from numpy import uint64 as u64

from .intrinsics import INLINE, KERNEL, as_bytes, entry, floor


@njit(**INLINE)
def _start(step, offset, n, side):  # type: ignore[no-untyped-def]
    """First source pixel along an axis of positions step * (i + 1/2) + offset, or -1: not whole pixels."""
    first = f32(0.5) * step + offset
    last = first + step * f32(np.int32(n - 1))
    whole = floor(first) == first and (step == f32(1) or step == f32(-1))
    inside = min(first, last) >= f32(0) and max(first, last) <= f32(np.int32(side - 1))
    return np.int64(first) if whole and inside else np.int64(-1)


@njit(**INLINE)
def is_plain(sample, height, width):  # type: ignore[no-untyped-def]
    """Whether a sample without a copy for filtering is a cut of whole pixels, mirrored or not."""
    a = sample.affine
    return (
        sample.active == 0
        and a[1] == f32(0)
        and a[3] == f32(0)
        and _start(a[0], a[2], width, sample.width) >= 0
        and _start(a[4], a[5], height, sample.height) >= 0
    )


@njit(**INLINE)
def _part(row, r, g, b):  # type: ignore[no-untyped-def]
    for x in range(r.shape[0]):
        r[x], g[x], b[x] = row[3 * x], row[3 * x + 1], row[3 * x + 2]


@njit(**INLINE)
def _reverse(source, out):  # type: ignore[no-untyped-def]
    # An unsigned index: a signed one would be tested for counting from the end, and nothing would vectorize.
    last = u64(source.shape[0] - 1)
    for x in range(out.shape[0]):
        out[x] = source[last - u64(x)]


@njit(**KERNEL)
def copy_plain(sample, height, width, out):  # type: ignore[no-untyped-def]
    """Copy a plain sample into flat uint8 planes of 3 * height * width."""
    a, stride, area = sample.affine, sample.stride, height * width
    source = nb.carray(as_bytes(u64(sample.source)), (stride * sample.height,), np.uint8)
    mirrored, upside_down = a[0] < f32(0), a[4] < f32(0)
    x0 = _start(a[0], a[2], width, sample.width) - (width - 1 if mirrored else 0)
    y0 = _start(a[4], a[5], height, sample.height)
    red, green, blue = np.empty(width, np.uint8), np.empty(width, np.uint8), np.empty(width, np.uint8)
    for y in range(height):
        start = (y0 - y if upside_down else y0 + y) * stride + 3 * x0
        row = source[start : start + 3 * width]
        at = y * width
        r, g, b = (
            out[at : at + width],
            out[area + at : area + at + width],
            out[2 * area + at : 2 * area + at + width],
        )
        if mirrored:
            _part(row, red, green, blue)
            _reverse(red, r)
            _reverse(green, g)
            _reverse(blue, b)
        else:
            _part(row, r, g, b)


@entry
def is_plain_sample(samples, index, height, width):  # type: ignore[no-untyped-def]
    """`is_plain` of one record, for tests."""
    return is_plain(samples[index], height, width)
