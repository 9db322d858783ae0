"""Operations that look at a pixel's neighbors: sharpness and Gaussian blur, CPU twin."""

import numpy as np
from numba import njit
from numpy import float32 as f32
from numpy import int32 as i32
from numpy import uint8 as u8
from numpy import uint16 as u16
from numpy import uint32 as u32

from ..elementary import exp2
from ..intrinsics import INLINE, KERNEL, floor, fma
from .pointwise import blend, byte, copy_bytes

#: Largest radius of the blur's kernel.
MAX_RADIUS = 15


@njit(**INLINE)
def _sum_columns(above, row, below, sums):  # type: ignore[no-untyped-def]
    for x in range(sums.size):
        sums[x] = u16(u16(above[x]) + u16(row[x]) + u16(below[x]) + u16(2))


@njit(**INLINE)
def _smooth(left, center, right, row, out):  # type: ignore[no-untyped-def]
    for x in range(out.size):
        total = u16(u16(left[x] + center[x] + right[x]) + u16(row[x]) * u16(4))
        # floor((total + 6.5) / 13), exact up to 13 * 255; the three sums bring 6 with them
        out[x] = u8(u32(u32(total) * u32(5042)) >> u32(16))


@njit(**INLINE)
def _blend_all(pixels, factor, smooth):  # type: ignore[no-untyped-def]
    for i in range(smooth.size):
        smooth[i] = blend(f32(i32(smooth[i])), f32(i32(pixels[i])), factor)


@njit(**KERNEL)
def sharpness(plane, factor, height, width, copy):  # type: ignore[no-untyped-def]
    """Blend one flat plane with its smoothed self, in place; `copy` is uint8 scratch of its size.

    The outermost pixels keep their values, as Pillow's filter copies them: blended with themselves.

    Exactness: Pillow's bits (ImageFilter.SMOOTH: ones around five, divided by 13 and rounded; no sum lies
    half way, so that integers round as its float32 does).
    """
    if height < 3 or width < 3:
        return
    copy_bytes(plane, copy[: plane.size])
    # Rows as one line, since single ones would end in pixels beside whole vectors; the columns at both ends
    # get nonsense and are put back.
    pixels, n = copy[: plane.size], width * (height - 2)
    sums = np.empty(n, np.uint16)
    _sum_columns(pixels[:n], pixels[width : width + n], pixels[2 * width :], sums)
    first, last = width + 1, width + n - 1
    _smooth(sums[:-2], sums[1:-1], sums[2:], pixels[first:last], plane[first:last])
    for y in range(1, height - 1):
        left, right = y * width, (y + 1) * width - 1
        plane[left], plane[right] = copy[left], copy[right]
    _blend_all(pixels, factor, plane)


@njit(**INLINE)
def blur_weights(sigma, weights):  # type: ignore[no-untyped-def]
    """Half a Gaussian kernel of sum 1 into float32 (16,), center first; returns its radius.

    exp(-k^2 / (2 sigma^2)) up to ceil(3 sigma), at most 15; normalized by the sum in this order.
    """
    radius = min(i32(-floor(f32(-3) * sigma)), i32(MAX_RADIUS))
    rate = f32(-0.72134752) / (sigma * sigma)  # -1 / (2 ln 2), for powers of two
    weights[0] = f32(1)
    total = f32(1)
    for k in range(1, radius + 1):
        weights[k] = exp2(rate * f32(i32(k * k)))
        total = fma(weights[k], f32(2), total)
    for k in range(radius + 1):
        weights[k] = weights[k] / total
    return radius


@njit(**INLINE)
def _reflect(i, n):  # type: ignore[no-untyped-def]
    """Index i reflected about the centers of pixels 0 and n - 1, as often as needed."""
    if n == 1:
        return 0
    i = abs(i) % (2 * n - 2)
    return min(i, 2 * n - 2 - i)


@njit(**INLINE)
def _center_row(row, weight, out):  # type: ignore[no-untyped-def]
    for x in range(out.size):
        out[x] = weight * f32(i32(row[x]))


@njit(**INLINE)
def _add_rows(a, b, weight, out):  # type: ignore[no-untyped-def]
    for x in range(out.size):
        out[x] = fma(weight, f32(i32(i32(a[x]) + i32(b[x]))), out[x])


@njit(**INLINE)
def _center(line, weight, out):  # type: ignore[no-untyped-def]
    for x in range(out.size):
        out[x] = weight * line[x]


@njit(**INLINE)
def _add(a, b, weight, out):  # type: ignore[no-untyped-def]
    for x in range(out.size):
        out[x] = fma(weight, a[x] + b[x], out[x])


@njit(**INLINE)
def _round(values, out):  # type: ignore[no-untyped-def]
    for x in range(out.size):
        out[x] = byte(values[x] + f32(0.5))


@njit(**KERNEL)
def blur(plane, sigma, height, width, copy):  # type: ignore[no-untyped-def]
    """Gaussian blur of one flat plane in place; `copy` is uint8 scratch of its size.

    Columns first, then rows, in float32 from the center outwards; rounded half up at the end. Borders are
    reflected about the centers of the outermost pixels.
    """
    if sigma <= f32(0):
        return
    copy_bytes(plane, copy[: plane.size])
    weights = np.empty(MAX_RADIUS + 1, np.float32)
    radius = blur_weights(sigma, weights)
    line = np.empty(width + 2 * radius, np.float32)
    total = np.empty(width, np.float32)
    middle = line[radius : radius + width]
    for y in range(height):
        _center_row(copy[y * width : (y + 1) * width], weights[0], middle)
        for k in range(1, radius + 1):
            above, below = _reflect(y - k, height) * width, _reflect(y + k, height) * width
            _add_rows(copy[above : above + width], copy[below : below + width], weights[k], middle)
        for k in range(1, radius + 1):
            line[radius - k] = middle[_reflect(-k, width)]
            line[radius + width - 1 + k] = middle[_reflect(width - 1 + k, width)]
        _center(middle, weights[0], total)
        for k in range(1, radius + 1):
            before, behind = radius - k, radius + k
            _add(line[before : before + width], line[behind : behind + width], weights[k], total)
        _round(total, plane[y * width : (y + 1) * width])
