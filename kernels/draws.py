"""Random parameters of a batch: crop windows and SAMPLE records from (seed, epoch, id, occurrence).

Everything here is a few array operations a batch, the same for the CPU and the GPU: float32 products
and sums, which round alike everywhere, and our own exp2 and sincospi.
"""

from dataclasses import dataclass

import numpy as np
from numpy import float32 as f32
from numpy import uint32 as u32
from numpy import uint64 as u64

from .elementary import exp2, sincospi
from .intrinsics import entry
from .keys import Keys
from .laws import PowerLaw
from .philox import philox, unit
from .plan import Affine, Crop, FieldColor, FieldWarp, Flip, Jitter, PassPlan, Warp
from .records import MAX_TRANSFORMS, SAMPLE


@dataclass(frozen=True, slots=True)
class Windows:
    """Where each sample's output comes from, in pixels of the image as displayed.

    Attributes:
        views: float64 (n, 4): y, x, height, width of the region that becomes the output; it may reach
            beyond the image (padding).
        rects: int32 (n, 4): the whole pixels to decode for it, within the image.
    """

    views: np.ndarray
    rects: np.ndarray


@entry
def _random_resized(ids, occurrences, epoch, slot, low, high, sizes, scale, log2_ratio, out):  # type: ignore[no-untyped-def]
    """Windows of RandomResizedCrop: ten tries for an area and an aspect that fit, else a central crop."""
    for i in range(len(ids)):
        height, width = sizes[i, 0], sizes[i, 1]
        stream = u32(u32(slot) | (u32(occurrences[i]) << u32(24)))
        found = False
        for attempt in range(10):
            a, b, c, d = philox(u32(ids[i]), u32(epoch), stream, u32(attempt), low, high)
            area = (scale[0] + (scale[1] - scale[0]) * np.float64(unit(a))) * height * width
            spread = f32(log2_ratio[1]) - f32(log2_ratio[0])
            ratio = np.float64(exp2(f32(log2_ratio[0]) + spread * unit(b)))
            w = int(np.floor(np.sqrt(area * ratio) + 0.5))
            h = int(np.floor(np.sqrt(area / ratio) + 0.5))
            if 0 < w <= width and 0 < h <= height:
                y = int((u64(c) * u64(height - h + 1)) >> u64(32))
                x = int((u64(d) * u64(width - w + 1)) >> u64(32))
                found = True
                break
        if not found:
            h, w = height, width
            ratio = width / height
            low_ratio, high_ratio = np.exp2(log2_ratio[0]), np.exp2(log2_ratio[1])
            if ratio < low_ratio:
                h = min(max(int(np.floor(width / low_ratio + 0.5)), 1), height)
            elif ratio > high_ratio:
                w = min(max(int(np.floor(height * high_ratio + 0.5)), 1), width)
            y, x = (height - h) // 2, (width - w) // 2
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = y, x, h, w


def crop_windows(plan: PassPlan, keys: Keys, sizes: np.ndarray) -> Windows:
    """Draw the crop of every sample.

    Args:
        plan: The pass.
        keys: The batch's keys.
        sizes: Image height and width as displayed, integers (n, 2).
    """
    crop, sizes = plan.crop, np.ascontiguousarray(sizes, np.int64)
    if crop.kind == "random_resized":
        rects = np.empty((len(keys), 4), np.int32)
        _random_resized(
            np.asarray(keys.ids, np.uint32), np.asarray(keys.occurrences, np.uint32), np.uint32(keys.epoch),
            np.uint32(crop.slot), np.uint32(keys.seed & 0xFFFFFFFF), np.uint32(keys.seed >> 32), sizes,
            np.asarray(crop.scale, np.float64), np.log2(np.asarray(crop.ratio, np.float64)), rects,
        )  # fmt: skip
        return Windows(rects.astype(np.float64), rects)
    whole = np.zeros((len(keys), 4), np.int32)
    whole[:, 2:] = sizes
    if crop.kind == "whole":
        return Windows(whole.astype(np.float64), whole)
    views = _cut(plan, crop, keys, sizes)
    return Windows(views, _cover(views, sizes, plan))


def _cut(plan: PassPlan, crop: Crop, keys: Keys, sizes: np.ndarray) -> np.ndarray:
    """Views of "random" and "center" crops: whole pixels of the (resized, padded) image."""
    # torchvision's arithmetic: the longer side is cut to whole pixels, halves round to even.
    out_size = np.array([plan.height, plan.width])
    resized = sizes if crop.resize is None else sizes * crop.resize // sizes.min(1, keepdims=True)
    per_pixel = sizes / np.maximum(resized, 1)
    room = resized + 2 * crop.padding - out_size
    if crop.kind == "center":
        start = np.where(room < 0, -(-room // 2), np.rint(room / 2))
    else:
        words = keys.words(crop.slot)[:, 2:].astype(np.uint64)
        steps = np.maximum(room + 1, 1).astype(np.uint64)
        start = ((words * steps) >> np.uint64(32)).astype(np.int64)
        start = np.where(room < 0, -(-room // 2), start)  # too small an image is centered
    start = start - crop.padding
    views = np.empty((len(keys), 4))
    views[:, :2], views[:, 2:] = start * per_pixel, out_size * per_pixel
    return views


def _cover(views: np.ndarray, sizes: np.ndarray, plan: PassPlan) -> np.ndarray:
    """Whole pixels around views, with the margin that filtering and bilinear sampling look at."""
    shrink = np.maximum(views[:, 2:] / [plan.height, plan.width], 1)
    exact = (views == np.floor(views)).all(1, keepdims=True) & (shrink == 1).all(1, keepdims=True)
    margin = np.where(exact, 0, np.ceil(shrink) + 1)
    start = np.clip(np.floor(views[:, :2]) - margin, 0, sizes - 1)
    stop = np.clip(np.ceil(views[:, :2] + views[:, 2:]) + margin, start + 1, sizes)
    return np.concatenate([start, stop - start], 1).astype(np.int32)


def affines(plan: PassPlan, keys: Keys, windows: Windows) -> np.ndarray:
    """Output pixel edges -> source (rect) pixel edges, float64 (n, 2, 3).

    Backward maps compose from the crop outwards: what is applied last stands nearest to the output.
    """
    views, rects = windows.views, windows.rects
    step_y, step_x = views[:, 2] / plan.height, views[:, 3] / plan.width
    matrix = np.zeros((len(keys), 2, 3))
    matrix[:, 0, 0], matrix[:, 1, 1] = step_x, step_y
    matrix[:, 0, 2], matrix[:, 1, 2] = views[:, 1] - rects[:, 1], views[:, 0] - rects[:, 0]
    for warp in plan.warps:
        matrix = _compose(matrix, _backward(plan, keys, warp))
    return matrix


def _compose(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Points go through `inner` first; both (n, 2, 3). Plain products: no library whose sums may differ."""
    a, b = outer, inner
    out = np.empty_like(a)
    for row in range(2):
        for column in range(3):
            out[:, row, column] = a[:, row, 0] * b[:, 0, column] + a[:, row, 1] * b[:, 1, column]
        out[:, row, 2] += a[:, row, 2]
    return out


def _backward(plan: PassPlan, keys: Keys, warp: Warp) -> np.ndarray:
    """Matrix of one flip or affine over output pixels; identity where its gate is shut."""
    matrix = np.zeros((len(keys), 2, 3))
    matrix[:, 0, 0] = matrix[:, 1, 1] = 1
    if isinstance(warp, Flip):
        on = keys.units(warp.slot)[:, 0] < f32(warp.p)
        axis, side = (0, plan.width) if warp.horizontal else (1, plan.height)
        matrix[on, axis, axis] = -1
        matrix[on, axis, 2] = side
        return matrix
    drawn, more = keys.units(warp.slot, 0), keys.units(warp.slot, 1)
    on = more[:, 0] < f32(warp.p)
    angle = _between(warp.degrees, drawn[:, 0])
    shift_x = _between((-warp.translate[0], warp.translate[0]), drawn[:, 1]) * plan.width
    shift_y = _between((-warp.translate[1], warp.translate[1]), drawn[:, 2]) * plan.height
    magnified, sheared = _between(warp.scale, drawn[:, 3]), _between(warp.shear, more[:, 1])
    if keys.strength is not None:
        s = keys.strength.astype(np.float64)
        angle, shift_x, shift_y, sheared = angle * s, shift_x * s, shift_y * s, sheared * s
        magnified = np.maximum(1 + (magnified - 1) * s, 1e-3)
    zoom = 1 / magnified
    sine, cosine = _sincos_degrees(angle)
    shear_s, shear_c = _sincos_degrees(sheared)
    # source - center = zoom R(angle) Shear (output - center - shift)
    linear = np.empty((len(keys), 2, 2))
    shear = shear_s / shear_c
    linear[:, 0, 0], linear[:, 0, 1] = zoom * cosine, zoom * (cosine * shear - sine)
    linear[:, 1, 0], linear[:, 1, 1] = zoom * sine, zoom * (sine * shear + cosine)
    center_x, center_y = plan.width / 2, plan.height / 2
    from_x, from_y = center_x + shift_x, center_y + shift_y
    full = np.empty((len(keys), 2, 3))
    full[:, :, :2] = linear
    full[:, 0, 2] = center_x - linear[:, 0, 0] * from_x - linear[:, 0, 1] * from_y
    full[:, 1, 2] = center_y - linear[:, 1, 0] * from_x - linear[:, 1, 1] * from_y
    return np.where(on[:, None, None], full, matrix)


def _between(limits: tuple[float, float], u: np.ndarray) -> np.ndarray:
    return limits[0] + (limits[1] - limits[0]) * u.astype(np.float64)


@entry
def _sincospi_of(x, sine, cosine):  # type: ignore[no-untyped-def]
    for i in range(len(x)):
        sine[i], cosine[i] = sincospi(x[i])


def _sincos_degrees(angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    turns = (angle / 180).astype(np.float32)
    sine, cosine = np.empty_like(turns), np.empty_like(turns)
    _sincospi_of(turns, sine, cosine)
    return sine.astype(np.float64), cosine.astype(np.float64)


def draw_transforms(plan: PassPlan, keys: Keys, samples: np.ndarray) -> None:
    """Write counter words, gates, orders, exponents and amplitudes into the SAMPLE records."""
    n = len(keys)
    samples["sample"], samples["epoch"] = keys.ids, keys.epoch
    samples["stream"] = np.asarray(keys.occurrences, np.uint32) << np.uint32(24)
    samples["order"] = np.arange(MAX_TRANSFORMS)
    active = np.zeros(n, np.uint32)
    index = 0
    for transform in plan.transforms:
        u = keys.units(transform.slot)
        count = len(transform.kinds) if isinstance(transform, FieldWarp) else 1
        own = np.uint32((1 << (index + count)) - (1 << index))
        active |= np.where(u[:, 0] < f32(transform.p), own, u32(0))
        amplitude = samples["amplitude"][:, index : index + count]
        if isinstance(transform, Jitter):
            drawn = keys.units(transform.slot, 1) * f32(2) - f32(1)
            amplitude[:, 0] = drawn * np.asarray(transform.amplitudes, np.float32)
        else:
            _draw_law(transform, u, samples, index, amplitude)
            if count > 1:
                ranks = np.argsort(keys.words(transform.slot, 1)[:, :count], axis=1, kind="stable")
                samples["order"][:, index : index + count] = index + ranks
        index += count
    if keys.strength is not None:
        samples["amplitude"] *= keys.strength[:, None, None]
        active = np.where(keys.strength > 0, active, u32(0))
    samples["active"] = active


def _draw_law(
    transform: FieldWarp | FieldColor, u: np.ndarray, samples: np.ndarray, index: int, amplitude: np.ndarray
) -> None:
    strength = np.ones(len(u), np.float32)
    if isinstance(transform.law, PowerLaw):
        gamma, alpha = (np.asarray(r, np.float32) for r in (transform.law.gamma, transform.law.alpha))
        samples["gamma"][:, index : index + amplitude.shape[1]] = (
            gamma[0] + (gamma[1] - gamma[0]) * u[:, 1]
        )[:, None]
        strength = alpha[0] + (alpha[1] - alpha[0]) * u[:, 2]
    if isinstance(transform, FieldWarp):
        scale = np.asarray(transform.amplitudes, np.float32)
        amplitude[:] = (strength[:, None] * scale)[:, :, None]
    else:
        scale = np.zeros(4, np.float32)
        scale[: len(transform.amplitudes)] = transform.amplitudes
        amplitude[:, 0] = strength[:, None] * scale


def new_samples(n: int) -> np.ndarray:
    """Zeroed SAMPLE records."""
    return np.zeros(n, SAMPLE)


__all__ = ["Affine", "Keys", "Windows", "affines", "crop_windows", "draw_transforms", "new_samples"]
