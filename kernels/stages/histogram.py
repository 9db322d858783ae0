"""AutoContrast and Equalize: operations that look at a channel's distribution first; CPU twin.

Exactness: Pillow's bits (ImageOps.autocontrast and equalize, without cutoff and mask).
"""

from numba import njit
from numpy import float32 as f32
from numpy import float64 as f64
from numpy import int32 as i32
from numpy import uint8 as u8
from numpy import uint32 as u32
from numpy import uint64 as u64

from ..intrinsics import INLINE, KERNEL, fma, load_u32
from .pointwise import byte


@njit(**INLINE)
def _byte_of(word, k):  # type: ignore[no-untyped-def]
    return u64((word >> u32(8 * k)) & u32(255))


@njit(**INLINE)
def _look_up(plane, table):  # type: ignore[no-untyped-def]
    """Replace each value by its entry. Four values are loaded at once, which is a third faster."""
    address, whole = u64(plane.ctypes.data), plane.size // 4
    for j in range(whole):
        word = load_u32(address, u64(4 * j))
        plane[4 * j] = table[_byte_of(word, 0)]
        plane[4 * j + 1] = table[_byte_of(word, 1)]
        plane[4 * j + 2] = table[_byte_of(word, 2)]
        plane[4 * j + 3] = table[_byte_of(word, 3)]
    for i in range(4 * whole, plane.size):
        plane[i] = table[plane[i]]


@njit(**INLINE)
def _extremes(plane):  # type: ignore[no-untyped-def]
    low, high = u8(255), u8(0)
    for i in range(plane.size):
        low, high = min(low, plane[i]), max(high, plane[i])
    return i32(low), i32(high)


@njit(**INLINE)
def _stretched(x, low, slope, shift):  # type: ignore[no-untyped-def]
    return byte(fma(f32(i32(i32(x) - low)), slope, shift))


@njit(**INLINE)
def _stretch(plane, low, slope, shift):  # type: ignore[no-untyped-def]
    for i in range(plane.size):
        plane[i] = _stretched(plane[i], low, slope, shift)


@njit(**INLINE)
def _equals_table(table, low, high, slope, shift):  # type: ignore[no-untyped-def]
    wrong = 0
    for x in range(low, high + 1):
        wrong += _stretched(u8(x), low, slope, shift) != table[x]
    return wrong == 0


@njit(**KERNEL)
def autocontrast(plane, table):  # type: ignore[no-untyped-def]
    """Stretch one channel to 0..255; `table` is uint8 (256,) of scratch.

    float64 with two roundings is Pillow's own arithmetic (Python floats): where the quotient is whole, its
    rounding decides whether one less comes out. Nine times in ten that is so for none or for all of these
    values, and a line in float32, slightly raised or lowered, gives the table's values several times faster.
    """
    low, high = _extremes(plane)
    if high <= low:
        return
    scale = f64(255.0) / f64(high - low)
    offset = f64(-low) * scale
    for x in range(low, high + 1):
        table[x] = u8(min(max(i32(f64(x) * scale + offset), i32(0)), i32(255)))
    slope, shift = f32(255) / f32(i32(high - low)), f32(0.001)
    for sign in range(2):
        if _equals_table(table, low, high, slope, shift):
            _stretch(plane, low, slope, shift)
            return
        shift = -shift if sign == 0 else shift
    _look_up(plane, table)


@njit(**INLINE)
def _count(plane, counts):  # type: ignore[no-untyped-def]
    """Histogram into counts[:256]; four of them, since adding to one place twice in a row has to wait."""
    counts[:] = u32(0)
    one, address, whole = u32(1), u64(plane.ctypes.data), plane.size // 4
    for j in range(whole):
        word = load_u32(address, u64(4 * j))
        counts[_byte_of(word, 0)] += one
        counts[_byte_of(word, 1) + u64(256)] += one
        counts[_byte_of(word, 2) + u64(512)] += one
        counts[_byte_of(word, 3) + u64(768)] += one
    for i in range(4 * whole, plane.size):
        counts[plane[i]] += one
    for x in range(256):
        counts[x] = u32(u32(counts[x] + counts[x + 256]) + u32(counts[x + 512] + counts[x + 768]))


@njit(**KERNEL)
def equalize(plane, table, counts):  # type: ignore[no-untyped-def]
    """Equalize one channel; `table` is uint8 (256,) and `counts` uint32 (1024,) of scratch."""
    _count(plane, counts)
    last = 255
    while counts[last] == u32(0):
        last -= 1
    step = u32(u32(plane.size) - counts[last]) // u32(255)  # 0 also where all values are equal
    if step == u32(0):
        return
    n = u32(step // u32(2))
    for x in range(last + 1):
        table[x] = u8(min(u32(n // step), u32(255)))
        n = u32(n + counts[x])
    _look_up(plane, table)
