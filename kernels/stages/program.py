"""Programs of 8-bit operations, each sample its own: CPU twin of program.cu.

Steps work in place on a sample's planes (3, height, width); what needs its neighbors works from a copy in
scratch that is allocated once a call. Nothing is computed for steps that a program lacks.
"""

import numpy as np
from numba import njit
from numpy import float32 as f32
from numpy import int32 as i32
from numpy import uint8 as u8
from numpy import uint32 as u32

from ..intrinsics import INLINE, KERNEL, entry, fma
from ..philox import normal_pair, philox
from .geometry import bilinear, nearest
from .histogram import autocontrast, equalize
from .neighborhood import blur, sharpness
from .pointwise import (
    blend_with,
    byte,
    color,
    copy_bytes,
    fill_box,
    mean_luma,
    posterize,
    solarize,
    solarize_add,
)
from .records import (
    ACCUMULATE,
    AUTOCONTRAST,
    BILINEAR,
    BLUR,
    BRIGHTNESS,
    COLOR,
    CONTRAST,
    EQUALIZE,
    FILL_BOX,
    IDENTITY,
    INVERT,
    NEAREST,
    NOISE,
    POSTERIZE,
    RESOLVE,
    RESTORE,
    SHARPNESS,
    SOLARIZE,
    SOLARIZE_ADD,
)

#: Pixels whose noise is drawn at once.
_CHUNK = 512


@njit(**INLINE)
def _draw(sample, epoch, stream, first, low, high, r, g, b):  # type: ignore[no-untyped-def]
    for i in range(r.size):
        w, x, y, z = philox(sample, epoch, stream, u32(first + u32(i)), low, high)
        r[i], g[i] = normal_pair(w, x)
        b[i], _ = normal_pair(y, z)


@njit(**INLINE)
def _add_noise(pixels, z, sigma):  # type: ignore[no-untyped-def]
    for i in range(pixels.size):
        pixels[i] = byte(fma(sigma, z[i], f32(i32(pixels[i]))) + f32(0.5))


@njit(**KERNEL)
def _noise(planes, sample, epoch, stream, low, high, sigma):  # type: ignore[no-untyped-def]
    """Add normals: block y * width + x of the stream holds pixel (y, x)'s."""
    area = planes.size // 3
    z = np.empty((3, _CHUNK), np.float32)
    for first in range(0, area, _CHUNK):
        n = min(_CHUNK, area - first)
        _draw(sample, epoch, stream, u32(first), low, high, z[0, :n], z[1, :n], z[2, :n])
        for c in range(3):
            _add_noise(planes[c * area + first : c * area + first + n], z[c, :n], sigma)


@njit(**KERNEL)
def _accumulate(planes, weight, sums, first):  # type: ignore[no-untyped-def]
    if first:
        for i in range(planes.size):
            sums[i] = u32(u32(planes[i]) * weight)
    else:
        for i in range(planes.size):
            sums[i] = u32(sums[i] + u32(u32(planes[i]) * weight))


@njit(**KERNEL)
def _resolve(sums, planes):  # type: ignore[no-untyped-def]
    for i in range(planes.size):
        planes[i] = u8(u32(sums[i] + u32(32768)) >> u32(16))


@njit(**INLINE)
def _restores(steps):  # type: ignore[no-untyped-def]
    for j in range(steps.size):  # noqa: SIM110 - Numba has no generators with closures
        if steps[j].op == RESTORE:
            return True
    return False


def run_programs(
    program: np.ndarray,
    samples: np.ndarray,
    working: np.ndarray,
    seed_low: np.uint32,
    seed_high: np.uint32,
    first: int,
    last: int,
) -> None:
    """Run the programs of samples first .. last - 1; releases the GIL.

    Args:
        program: STEP (n, m).
        samples: SAMPLE (n,), for the counter words of noise.
        working: uint8 (n, 3, height, width), C-contiguous; changed in place.
        seed_low: Lower half of the seed; `seed_high` the upper one.
        seed_high: See `seed_low`.
        first: Range of samples; `last` is exclusive.
        last: See `first`.

    Source: Pillow 13's ImageOps, ImageEnhance and Image.transform; AugMix (arXiv 1912.02781) for sums.
    Exactness: Pillow's bits, but for bilinear geometry, blur and noise (see there).
    """
    # Allocated here, for Numba takes half a second to compile it.
    n, _, height, width = working.shape
    area, ops = height * width, program["op"][first:last]
    packed = np.empty(area + width + 1, np.uint32)
    origin = np.empty(3 * area if (ops == RESTORE).any() else 0, np.uint8)
    sums = np.empty(3 * area if (ops == ACCUMULATE).any() else 0, np.uint32)
    _run(
        program, samples, working.reshape(n, 3 * area), height, width, seed_low, seed_high, first, last,
        packed, packed.view(np.uint8), origin, sums, np.empty(256, np.uint8), np.empty(1024, np.uint32),
    )  # fmt: skip


@entry
def _run(program, samples, flat, height, width, seed_low, seed_high, first, last, packed, copy, origin, sums, table, counts):  # type: ignore[no-untyped-def]  # noqa: E501  # fmt: skip
    area = height * width
    for k in range(first, last):
        planes = flat[k]
        r, g, b = planes[:area], planes[area : 2 * area], planes[2 * area :]
        if _restores(program[k]):
            copy_bytes(planes, origin)
        summed = False
        for j in range(program.shape[1]):
            step = program[k, j]
            op, whole, fill, value = step.op, step.whole, step.fill, step.value
            if op == IDENTITY:
                continue
            if op == NEAREST:
                nearest(planes, whole, fill, height, width, packed[:area], copy)
            elif op == BILINEAR:
                bilinear(planes, whole, fill, height, width, packed)
            elif op == BRIGHTNESS:
                blend_with(planes, i32(0), value)
            elif op == COLOR:
                color(r, g, b, value)
            elif op == CONTRAST:
                blend_with(planes, i32(mean_luma(r, g, b)), value)
            elif op == SHARPNESS:
                for c in range(3):
                    sharpness(planes[c * area : (c + 1) * area], value, height, width, copy)
            elif op == POSTERIZE:
                posterize(planes, whole[0])
            elif op == SOLARIZE:
                solarize(planes, whole[0])
            elif op == INVERT:
                solarize(planes, i32(0))
            elif op == SOLARIZE_ADD:
                solarize_add(planes, whole[0], whole[1])
            elif op == AUTOCONTRAST:
                for c in range(3):
                    autocontrast(planes[c * area : (c + 1) * area], table)
            elif op == EQUALIZE:
                for c in range(3):
                    equalize(planes[c * area : (c + 1) * area], table, counts)
            elif op == FILL_BOX:
                fill_box(planes, whole, fill, width)
            elif op == BLUR:
                for c in range(3):
                    blur(planes[c * area : (c + 1) * area], value, height, width, copy)
            elif op == NOISE:
                stream = u32(samples[k].stream | u32(whole[0]))
                _noise(planes, samples[k].sample, samples[k].epoch, stream, seed_low, seed_high, value)
            elif op == RESTORE:
                copy_bytes(origin, planes)
            elif op == ACCUMULATE:
                _accumulate(planes, u32(whole[0]), sums, not summed)
                summed = True
            elif op == RESOLVE:
                if summed:
                    _resolve(sums, planes)
                summed = False
