"""Programs in plain NumPy: the definition of every step, which the twins are compared with.

Written apart from the kernels, an image at a time as (height, width, 3), slow. Integer steps are exact;
bilinear geometry, blur and noise are computed in float64, from which the kernels differ by a level at most,
and seldom.

Example:
    >>> import numpy as np
    >>> from fieldloom.kernels.stages.operations import make_steps, operation_index
    >>> image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    >>> steps = make_steps(np.array([operation_index("invert")]), np.zeros(1), 2, 3)
    >>> bool((run_program(image, steps) == 255 - image).all())
    True
"""

from collections.abc import Callable

import numpy as np

from ..philox import philox_blocks
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
    FINE_BITS,
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


def run_program(
    image: np.ndarray, steps: np.ndarray, *, counter: tuple[int, int, int] = (0, 0, 0), seed: int = 0
) -> np.ndarray:
    """One image through its steps.

    Args:
        image: uint8 (height, width, 3).
        steps: STEP (m,).
        counter: Sample id, epoch and stream of its SAMPLE record, for noise.
        seed: 64 bits.
    """
    out, total = image.copy(), None
    for step in steps:
        op = int(step["op"])
        if op == NOISE:
            out = _noise(out, step, counter, seed)
        elif op == RESTORE:
            out = image.copy()
        elif op == ACCUMULATE:
            part = out.astype(np.int64) * int(step["whole"][0])
            total = part if total is None else total + part
        elif op == RESOLVE:
            out = out if total is None else ((total + 32768) >> 16).astype(np.uint8)
            total = None
        elif op != IDENTITY:
            out = _STEPS[op](out, step)
    return out


def luma(image: np.ndarray) -> np.ndarray:
    """Pillow's gray of an image: int64 (height, width, 1)."""
    return (image.astype(np.int64) @ np.array([19595, 38470, 7471]) + 32768 >> 16)[..., None]


def _blend(degenerate: np.ndarray, image: np.ndarray, step: np.ndarray) -> np.ndarray:
    # ImagingBlend has a float: the product is rounded, and then the sum.
    difference = (image.astype(np.int64) - degenerate).astype(np.float32)
    value = degenerate.astype(np.float32) + np.float32(step["value"]) * difference
    return np.clip(value, 0, 255).astype(np.uint8)


def _brightness(image: np.ndarray, step: np.ndarray) -> np.ndarray:
    return _blend(np.zeros(1, np.int64), image, step)


def _color(image: np.ndarray, step: np.ndarray) -> np.ndarray:
    return _blend(luma(image), image, step)


def _contrast(image: np.ndarray, step: np.ndarray) -> np.ndarray:
    return _blend(np.floor(luma(image).mean(keepdims=True) + 0.5).astype(np.int64), image, step)


def _sharpness(image: np.ndarray, step: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    smooth = image.astype(np.int64)
    if height > 2 and width > 2:
        total = 4 * smooth[1:-1, 1:-1]
        for y in range(3):
            for x in range(3):
                total = total + image[y : y + height - 2, x : x + width - 2]
        smooth[1:-1, 1:-1] = np.floor(total / 13 + 0.5)
    return _blend(smooth, image, step)


def _posterize(image: np.ndarray, step: np.ndarray) -> np.ndarray:
    unit = 2 ** (8 - int(step["whole"][0]))
    return (image.astype(np.int64) // unit * unit).astype(np.uint8)


def _solarize(image: np.ndarray, step: np.ndarray) -> np.ndarray:
    return np.where(image.astype(np.int64) < step["whole"][0], image, 255 - image)


def _solarize_add(image: np.ndarray, step: np.ndarray) -> np.ndarray:
    addend, threshold = step["whole"][:2].tolist()
    raised = np.minimum(image.astype(np.int64) + addend, 255)
    return np.where(image.astype(np.int64) < threshold, raised, image).astype(np.uint8)


def _invert(image: np.ndarray, _step: np.ndarray) -> np.ndarray:
    return 255 - image


def _autocontrast(image: np.ndarray, _step: np.ndarray) -> np.ndarray:
    out = image.copy()
    for c in range(3):
        low, high = float(image[..., c].min()), float(image[..., c].max())
        if high > low:
            scale = 255.0 / (high - low)
            table = np.arange(256) * scale + -low * scale
            out[..., c] = np.clip(np.trunc(table), 0, 255).astype(np.uint8)[image[..., c]]
    return out


def _equalize(image: np.ndarray, _step: np.ndarray) -> np.ndarray:
    out = image.copy()
    for c in range(3):
        counts = np.bincount(image[..., c].ravel(), minlength=256)
        step = (counts.sum() - counts[image[..., c].max()]) // 255
        if step:
            before = np.cumsum(counts) - counts
            out[..., c] = np.minimum((step // 2 + before) // step, 255).astype(np.uint8)[image[..., c]]
    return out


def _fill_box(image: np.ndarray, step: np.ndarray) -> np.ndarray:
    y0, x0, y1, x1 = step["whole"][:4].tolist()
    out = image.copy()
    out[y0:y1, x0:x1] = step["fill"][:3]
    return out


def _nearest(image: np.ndarray, step: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    w = step["whole"].astype(np.int64)
    y, x = np.mgrid[:height, :width]
    column, row = (w[0] * x + w[1] * y + w[2]) // 65536, (w[3] * x + w[4] * y + w[5]) // 65536
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    pixels = image[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    return np.where(inside[..., None], pixels, step["fill"][:3])


def _bilinear(image: np.ndarray, step: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    w, unit = step["whole"].astype(np.float64), 2.0**-FINE_BITS
    y, x = np.mgrid[:height, :width]
    sx = (w[0] * x + w[1] * y + w[6]) * unit + w[2]
    sy = (w[3] * x + w[4] * y + w[7]) * unit + w[5]
    inside = (sx >= 0) & (sx < width) & (sy >= 0) & (sy < height)
    sx, sy = np.clip(sx - 0.5, 0, width - 1), np.clip(sy - 0.5, 0, height - 1)
    left, top = np.floor(sx).astype(np.int64), np.floor(sy).astype(np.int64)
    right, low = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    u, v = (sx - left)[..., None], (sy - top)[..., None]
    upper = image[top, left] * (1 - u) + image[top, right] * u
    lower = image[low, left] * (1 - u) + image[low, right] * u
    # What is whole but for float64's own rounding is meant to be whole.
    value = np.floor(upper * (1 - v) + lower * v + 1e-9)
    return np.where(inside[..., None], value, step["fill"][:3]).astype(np.uint8)


def _blur(image: np.ndarray, step: np.ndarray) -> np.ndarray:
    sigma = float(step["value"])
    if sigma <= 0:
        return image
    radius = min(int(np.ceil(3 * sigma)), 15)
    kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    out = image.astype(np.float64)
    for axis in range(2):
        # NumPy's "reflect" is about pixel centers, and repeats where the image is smaller than the kernel.
        pad = [(radius, radius) if axis == a else (0, 0) for a in range(3)]
        padded = np.pad(out, pad, "reflect" if image.shape[axis] > 1 else "edge")
        n = image.shape[axis]
        parts = [k * padded.take(np.arange(i, i + n), axis) for i, k in enumerate(kernel / kernel.sum())]
        out = np.sum(parts, axis=0)
    return np.floor(out + 0.5).astype(np.uint8)


def _noise(image: np.ndarray, step: np.ndarray, counter: tuple[int, int, int], seed: int) -> np.ndarray:
    height, width = image.shape[:2]
    sample, epoch, stream = counter
    counters = np.empty((height * width, 4), np.uint32)
    counters[:, :3] = sample, epoch, stream | int(step["whole"][0])
    counters[:, 3] = np.arange(height * width)
    keys = np.broadcast_to(np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint32), (len(counters), 2)).copy()
    words = np.empty_like(counters)
    philox_blocks(counters, keys, words)
    units = ((words >> np.uint32(8)) + 0.5) * 2.0**-24
    radius = np.sqrt(-2 * np.log(units[:, ::2]))
    angle = np.pi * ((words[:, 1::2] >> np.uint32(8)) * 2.0**-23 - 1)
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 2).reshape(-1, 4)
    value = image + float(step["value"]) * pairs[:, :3].reshape(image.shape)
    return np.clip(np.floor(value + 0.5), 0, 255).astype(np.uint8)


_STEPS: dict[int, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    NEAREST: _nearest,
    BILINEAR: _bilinear,
    BRIGHTNESS: _brightness,
    COLOR: _color,
    CONTRAST: _contrast,
    SHARPNESS: _sharpness,
    POSTERIZE: _posterize,
    SOLARIZE: _solarize,
    SOLARIZE_ADD: _solarize_add,
    INVERT: _invert,
    AUTOCONTRAST: _autocontrast,
    EQUALIZE: _equalize,
    FILL_BOX: _fill_box,
    BLUR: _blur,
}
