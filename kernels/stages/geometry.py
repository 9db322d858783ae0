"""Affine resampling of 8-bit planes in fixed point, nearest or bilinear: CPU twin.

In a row of the output, the pixels that lie inside the source are one run, whose ends are found by integer
division; the rest is fill. Pixels of the run come from a packed copy (three channels in 32 bits), so that a
pixel costs one load and not three. Where rows stay rows (shifts, shear_x, flips) they are copied instead.

Exactness: nearest has the coefficients and the arithmetic of Pillow's ImagingTransformAffine. Bilinear lies
within one level of Pillow's, which computes in float64 and cuts to an integer, as this does from float32.
"""

import numpy as np
from numba import njit
from numpy import float32 as f32
from numpy import int32 as i32
from numpy import int64 as i64
from numpy import uint8 as u8
from numpy import uint32 as u32
from numpy import uint64 as u64

from ..fused import lerp
from ..intrinsics import INLINE, KERNEL
from .pointwise import copy_bytes
from .records import FINE_BITS

_ONE = 1 << 16
_FINE = 1 << FINE_BITS
_PLANES = 3


@njit(**INLINE)
def _inside(slope, offset, limit, first, last):  # type: ignore[no-untyped-def]
    """The part of first..last - 1 where 0 <= slope x + offset < limit, as (first, last)."""
    if slope == 0:
        return (first, last) if 0 <= offset < limit else (first, first)
    if slope < 0:  # mirrored: the same bounds for limit - 1 minus the line
        slope, offset = -slope, limit - 1 - offset
    first = max(first, -(offset // slope))  # the quotient rounds down: ceil(-offset / slope)
    return first, max(first, min(last, (limit - 1 - offset) // slope + 1))


@njit(**INLINE)
def _pack(r, g, b, packed):  # type: ignore[no-untyped-def]
    for i in range(packed.size):
        packed[i] = u32(u32(r[i]) | u32(u32(g[i]) << u32(8)) | u32(u32(b[i]) << u32(16)))


@njit(**INLINE)
def _unpack(packed, r, g, b):  # type: ignore[no-untyped-def]
    for i in range(packed.size):
        word = packed[i]
        r[i], g[i], b[i] = u8(word), u8(word >> u32(8)), u8(word >> u32(16))


@njit(**INLINE)
def _index_row(index, slope_x, slope_y, x0, y0, width):  # type: ignore[no-untyped-def]
    """Places in the packed copy; all products fit, as the caller's run lies inside."""
    for x in range(index.size):
        column = i32(i32(x0 + i32(slope_x * i32(x))) >> i32(16))
        row = i32(i32(y0 + i32(slope_y * i32(x))) >> i32(16))
        index[x] = u32(i32(i32(row * width) + column))


@njit(**INLINE)
def _gather(packed, index, out):  # type: ignore[no-untyped-def]
    for x in range(index.size):
        out[x] = packed[u64(index[x])]


@njit(**INLINE)
def _fill_row(planes, row, width, first, last, fill):  # type: ignore[no-untyped-def]
    """Fill what lies beside first..last - 1 in one row of each plane."""
    area = planes.size // _PLANES
    for c in range(_PLANES):
        out = planes[c * area + row * width : c * area + (row + 1) * width]
        out[:first] = fill[c]
        out[last:] = fill[c]


@njit(**INLINE)
def _reverse(source, out):  # type: ignore[no-untyped-def]
    last = u64(out.size - 1)
    for x in range(out.size):
        out[x] = source[last - u64(x)]  # unsigned: a signed place would be tested for wrapping


@njit(**INLINE)
def _copy_rows(planes, whole, fill, height, width, copy):  # type: ignore[no-untyped-def]
    """Steps that take each output row from one source row, from left to right or back."""
    area = height * width
    copy_bytes(planes, copy[: planes.size])
    for y in range(height):
        x0 = i64(whole[1]) * y + whole[2]
        row = (i64(whole[4]) * y + whole[5]) >> 16
        first, last = _inside(i64(whole[0]), x0, i64(width) << 16, 0, width)
        if row < 0 or row >= height:
            first, last = 0, 0
        start = (x0 + first * whole[0]) >> 16
        for c in range(_PLANES):
            begin = c * area + y * width
            out = planes[begin + first : begin + last]
            line = c * area + row * width + start
            if whole[0] > 0:
                copy_bytes(copy[line : line + out.size], out)
            else:
                _reverse(copy[line + 1 - out.size : line + 1], out)
        _fill_row(planes, y, width, first, last, fill)


@njit(**KERNEL)
def nearest(planes, whole, fill, height, width, packed, bytes_):  # type: ignore[no-untyped-def]
    """Resample three flat planes in place.

    Args:
        planes: uint8 (3 height width,).
        whole: The step's coefficients.
        fill: uint8 color of what lies outside.
        height: Of the image; `width` likewise.
        width: See `height`.
        packed: uint32 (height width,) of scratch; `bytes_` is the same memory as uint8.
        bytes_: See `packed`.
    """
    if (whole[0] == _ONE or whole[0] == -_ONE) and whole[3] == 0:
        _copy_rows(planes, whole, fill, height, width, bytes_)
        return
    area = height * width
    _pack(planes[:area], planes[area : 2 * area], planes[2 * area :], packed)
    index, row = np.empty(width, np.uint32), np.empty(width, np.uint32)
    for y in range(height):
        x0, y0 = i64(whole[1]) * y + whole[2], i64(whole[4]) * y + whole[5]
        first, last = _inside(i64(whole[0]), x0, i64(width) << 16, 0, width)
        first, last = _inside(i64(whole[3]), y0, i64(height) << 16, first, last)
        places, found = index[: last - first], row[: last - first]
        _index_row(
            places, i32(whole[0]), i32(whole[3]), i32(x0 + first * whole[0]), i32(y0 + first * whole[3]),
            i32(width),
        )  # fmt: skip
        _gather(packed, places, found)
        begin, end = y * width + first, y * width + last
        _unpack(
            found, planes[begin:end], planes[area + begin : area + end],
            planes[2 * area + begin : 2 * area + end],
        )  # fmt: skip
        _fill_row(planes, y, width, first, last, fill)


@njit(**INLINE)
def _locate(slope, offset, side, place, fraction):  # type: ignore[no-untyped-def]
    """Index of the first of two neighbors and the second one's weight, along one axis.

    Beyond the outermost centers the edge repeats: weight 0 of a neighbor that may not even exist.
    """
    for x in range(place.size):
        at = i64(offset + i64(slope) * i64(x))
        whole = i32(at >> i64(FINE_BITS))
        # 24 bits are what a float32 holds exactly.
        part = f32(i32(i64(at & i64(_FINE - 1)) >> i64(FINE_BITS - 24))) * f32(2.0**-24)
        fraction[x] = part if i32(0) <= whole < i32(side - 1) else f32(0)
        place[x] = min(max(whole, i32(0)), i32(side - 1))


@njit(**INLINE)
def _join(row, column, width, index):  # type: ignore[no-untyped-def]
    for x in range(index.size):
        index[x] = u32(i32(i32(row[x] * width) + column[x]))


@njit(**INLINE)
def _corners(packed, index, width, a, b, c, d):  # type: ignore[no-untyped-def]
    """The pixels at and right of each place, and those below."""
    for x in range(index.size):
        first = u64(index[x])
        second = u64(first + width)
        a[x], b[x] = packed[first], packed[u64(first + u64(1))]
        c[x], d[x] = packed[second], packed[u64(second + u64(1))]


@njit(**INLINE)
def _interpolate(a, b, c, d, u, v, shift, out):  # type: ignore[no-untyped-def]
    """One channel: along x first, cut to an integer; values stay between those of the corners."""
    for x in range(out.size):
        top = lerp(_channel(a[x], shift), _channel(b[x], shift), u[x])
        low = lerp(_channel(c[x], shift), _channel(d[x], shift), u[x])
        out[x] = u8(i32(lerp(top, low, v[x])))


@njit(**INLINE)
def _channel(word, shift):  # type: ignore[no-untyped-def]
    return f32(i32((word >> shift) & u32(255)))


@njit(**KERNEL)
def bilinear(planes, whole, fill, height, width, packed):  # type: ignore[no-untyped-def]
    """Resample three flat planes in place; arguments as `nearest`, but `packed` has width + 1 pixels more."""
    area = height * width
    _pack(planes[:area], planes[area : 2 * area], planes[2 * area :], packed[:area])
    places = np.empty((2, width), np.int32)
    index = np.empty(width, np.uint32)
    fractions = np.empty((2, width), np.float32)
    corners = np.empty((4, width), np.uint32)
    x_first = (i64(whole[2]) << FINE_BITS) + whole[6]
    y_first = (i64(whole[5]) << FINE_BITS) + whole[7]
    for y in range(height):
        x0, y0 = i64(whole[1]) * y + x_first, i64(whole[4]) * y + y_first
        first, last = _inside(i64(whole[0]), x0, i64(width) << FINE_BITS, 0, width)
        first, last = _inside(i64(whole[3]), y0, i64(height) << FINE_BITS, first, last)
        n = last - first
        columns, rows, u, v = places[0, :n], places[1, :n], fractions[0, :n], fractions[1, :n]
        half = _FINE // 2  # from the pixels' edges, which bound the image, to their centers
        _locate(i32(whole[0]), x0 + first * whole[0] - half, i32(width), columns, u)
        _locate(i32(whole[3]), y0 + first * whole[3] - half, i32(height), rows, v)
        _join(rows, columns, i32(width), index[:n])
        a, b, c, d = corners[0, :n], corners[1, :n], corners[2, :n], corners[3, :n]
        _corners(packed, index[:n], u64(width), a, b, c, d)
        for channel in range(_PLANES):
            begin = channel * area + y * width
            _interpolate(a, b, c, d, u, v, u32(8 * channel), planes[begin + first : begin + last])
        _fill_row(planes, y, width, first, last, fill)
