"""Operations that turn each pixel into another one at the same place, CPU twin.

All work in place on contiguous uint8 arrays and vectorize; arithmetic is cheaper here than a table of 256.

Exactness: Pillow's bits (ImageEnhance over ImagingBlend, ImageOps). A blend is float32 with product and sum
rounded one after the other, clipped and cut to an integer, as ImagingBlend does it.
"""

from numba import njit
from numpy import float32 as f32
from numpy import int32 as i32
from numpy import int64 as i64
from numpy import uint8 as u8
from numpy import uint32 as u32

from ..intrinsics import INLINE, KERNEL

#: Pillow's luma in 2^-16.
LUMA_R, LUMA_G, LUMA_B = u32(19595), u32(38470), u32(7471)
#: Pixels whose luma a 32-bit sum can hold.
_SUMMABLE = 1 << 23


@njit(**INLINE)
def byte(v):  # type: ignore[no-untyped-def]
    """A float32 clipped to 0..255 and cut to an integer."""
    return u8(min(max(i32(v), i32(0)), i32(255)))


@njit(**INLINE)
def copy_bytes(source, out):  # type: ignore[no-untyped-def]
    """Copy an array over another one; Numba takes two seconds to compile `out[:] = source`."""
    for i in range(out.size):
        out[i] = source[i]


@njit(**INLINE)
def blend(d, x, factor):  # type: ignore[no-untyped-def]
    """d + factor (x - d) for float32 d and x of whole values, two roundings."""
    return byte(d + factor * (x - d))


@njit(**INLINE)
def luma(r, g, b):  # type: ignore[no-untyped-def]
    """Pillow's luma of uint8 channels, uint32."""
    return u32(u32(LUMA_R * r + LUMA_G * g + LUMA_B * b + u32(32768)) >> u32(16))


@njit(**KERNEL)
def blend_with(pixels, level, factor):  # type: ignore[no-untyped-def]
    """Blend all of `pixels` with one gray level (brightness: 0; contrast: the mean)."""
    d = f32(level)
    for i in range(pixels.size):
        pixels[i] = blend(d, f32(i32(pixels[i])), factor)


@njit(**KERNEL)
def color(r, g, b, factor):  # type: ignore[no-untyped-def]
    """Blend each pixel with its own luma."""
    for i in range(r.size):
        x, y, z = u32(r[i]), u32(g[i]), u32(b[i])
        d = f32(i32(luma(x, y, z)))
        r[i] = blend(d, f32(i32(x)), factor)
        g[i] = blend(d, f32(i32(y)), factor)
        b[i] = blend(d, f32(i32(z)), factor)


@njit(**INLINE)
def _luma_sum(r, g, b):  # type: ignore[no-untyped-def]
    total = u32(0)
    for i in range(r.size):
        total = u32(total + luma(u32(r[i]), u32(g[i]), u32(b[i])))
    return total


@njit(**KERNEL)
def mean_luma(r, g, b):  # type: ignore[no-untyped-def]
    """The mean luma, rounded half up, int64: integers give what Pillow's quotient in float64 gives."""
    n, total = i64(r.size), i64(0)
    for first in range(0, n, _SUMMABLE):
        last = min(first + _SUMMABLE, n)
        total += i64(_luma_sum(r[first:last], g[first:last], b[first:last]))
    return (2 * total + n) // (2 * n)


@njit(**KERNEL)
def posterize(pixels, bits):  # type: ignore[no-untyped-def]
    """Keep the highest 0..8 bits."""
    mask = u8((255 << (8 - bits)) & 255)
    for i in range(pixels.size):
        pixels[i] = u8(pixels[i] & mask)


@njit(**KERNEL)
def solarize(pixels, threshold):  # type: ignore[no-untyped-def]
    """Invert values from `threshold` (0..256) on; 0 inverts all."""
    if threshold > 255:
        return
    t = u8(threshold)
    for i in range(pixels.size):
        x = pixels[i]
        pixels[i] = x if x < t else u8(~x)


@njit(**KERNEL)
def solarize_add(pixels, addend, threshold):  # type: ignore[no-untyped-def]
    """Add to values below `threshold`, up to 255."""
    for i in range(pixels.size):
        x = i32(pixels[i])
        pixels[i] = u8(min(i32(x + i32(addend)), i32(255))) if x < i32(threshold) else u8(x)


@njit(**KERNEL)
def fill_box(planes, box, fill, width):  # type: ignore[no-untyped-def]
    """Fill rows box[0]..box[2] - 1, columns box[1]..box[3] - 1 of three flat planes."""
    area = planes.size // 3
    for c in range(3):
        for y in range(box[0], box[2]):
            row = c * area + y * width
            planes[row + box[1] : row + box[3]] = fill[c]
