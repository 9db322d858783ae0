"""Erase, mix, normalize, store: the last stage of a staged recipe, CPU twin.

Row by row over scratch rows that stay in the first-level cache. A row of a sample is widened from its 8-bit
planes and erased; then its partners come, each erased likewise (an erased sample is erased wherever it
shows); then the row is normalized, converted and stored as the fused pass stores (`fused.store_row`).

One launch on a GPU. Exactness: equal bits on both twins; each value is rounded once or twice in float32
(`reference_finish.py` is the definition).
"""

import numba as nb
import numpy as np
from numba import njit
from numpy import float32 as f32
from numpy import int32 as i32
from numpy import int64 as i64
from numpy import uint32 as u32
from numpy import uint64 as u64

from fieldloom.kernels.fused import clip, store_row
from fieldloom.kernels.intrinsics import INLINE, KERNEL, as_bytes, entry, floor, fma
from fieldloom.kernels.philox import normal_pair, philox
from fieldloom.kernels.records import FIELD_DRAWS

from .records import BLEND, BOX, ERASE_CONSTANT, ERASE_PIXEL, MASK_PLANES, MAX_WAYS, PASTE, UNMIXED

_ONE_255TH = f32(0.00392156863)


@njit(**INLINE)
def _normal_color(sample, draw, noise):  # type: ignore[no-untyped-def]
    """The normal color of one block of a sample's own words."""
    slot, seed_low, seed_high, red, green, blue, red_spread, green_spread, blue_spread = noise
    a, b, c, d = philox(sample.sample, sample.epoch, sample.stream | slot, draw, seed_low, seed_high)
    first, second = normal_pair(a, b)
    third, _ = normal_pair(c, d)
    return fma(first, red_spread, red), fma(second, green_spread, green), fma(third, blue_spread, blue)


@njit(**KERNEL)
def _box_colors(finish, samples, record, own, noise, out):  # type: ignore[no-untyped-def]
    """What the boxes of a mixture's images are erased with, where they have one color; the own first."""
    for way in range(record.ways):
        k = i64(own) if way == 0 else i64(record.partner[way - 1])
        color = out[way]
        if finish[k].erase_kind == ERASE_CONSTANT:
            color[0], color[1], color[2] = noise[3], noise[4], noise[5]
        else:
            color[0], color[1], color[2] = _normal_color(samples[k], u32(0), noise)


@njit(**INLINE)
def _widen(source, out):  # type: ignore[no-untyped-def]
    for x in range(out.shape[0]):
        out[x] = f32(i32(source[x]))


@njit(**KERNEL)
def _fill_normal(sample, draw, noise, red, green, blue):  # type: ignore[no-untyped-def]
    """A normal color a pixel; not inlined, as it would be compiled for each use of `_load`."""
    for x in range(red.shape[0]):
        red[x], green[x], blue[x] = _normal_color(sample, draw + u32(x), noise)


@njit(**INLINE)
def _planes(pixels, k, height, width):  # type: ignore[no-untyped-def]
    """Sample k of `working` by its address: such views cost no reference counts, which are 0.1 us a row."""
    start = pixels + u64(k) * u64(3 * height * width)
    return nb.carray(as_bytes(start), (3, height, width), np.uint8)


@njit(**INLINE)
def _load(planes, y, left, right, record, sample, color, noise, rows):  # type: ignore[no-untyped-def]
    """Columns left .. right - 1 of row y of a sample, erased, into the same columns of rows (3, w)."""
    for c in range(3):
        _widen(planes[c, y, left:right], rows[c, left:right])
    box = record.erase
    first, last = max(i64(box[1]), left), min(i64(box[3]), right)
    if y < box[0] or y >= box[2] or first >= last:
        return
    if record.erase_kind == ERASE_PIXEL:
        draw = u32(FIELD_DRAWS) + u32(y * planes.shape[2] + first)
        _fill_normal(sample, draw, noise, rows[0, first:last], rows[1, first:last], rows[2, first:last])
    else:
        for c in range(3):
            part, level = rows[c, first:last], color[c]
            for x in range(part.shape[0]):
                part[x] = level


@njit(**INLINE)
def _copy(source, out):  # type: ignore[no-untyped-def]
    # Slice assignments would compile NumPy's error messages along: 5 s.
    for x in range(out.shape[0]):
        out[x] = source[x]


@njit(**INLINE)
def _clear(sums):  # type: ignore[no-untyped-def]
    for x in range(sums.shape[0]):
        sums[x] = 0


@njit(**INLINE)
def _blend(own, other, weight):  # type: ignore[no-untyped-def]
    for x in range(own.shape[0]):
        own[x] = fma(weight, other[x] - own[x], own[x])


@njit(**INLINE)
def _add_partner(total, own, other, plane):  # type: ignore[no-untyped-def]
    """total += plane / 255 * (other - own)."""
    for x in range(total.shape[0]):
        total[x] = fma(f32(i32(plane[x])) * _ONE_255TH, other[x] - own[x], total[x])


@njit(**INLINE)
def _part(index, source, target):  # type: ignore[no-untyped-def]
    """First of the `source` pixels that pixel `index` of `target` <= `source` stands for; each has one."""
    return i64(index) * i64(source) // i64(target)


@njit(**INLINE)
def _pick(row, columns, out):  # type: ignore[no-untyped-def]
    for x in range(out.shape[0]):
        out[x] = row[columns[x]]


@njit(**INLINE)
def _sum_rows(rows, sums):  # type: ignore[no-untyped-def]
    """Add 8-bit levels of a row: erased pixels are fractions, and round like an output."""
    for c in range(3):
        row, total = rows[c], sums[c]
        for x in range(total.shape[0]):
            total[x] += i32(clip(floor(row[x] + f32(0.5)), f32(0), f32(255)))


@njit(**INLINE)
def _mean_columns(sums, n_rows, out):  # type: ignore[no-untyped-def]
    """Means of the columns that each output pixel stands for, halves rounded up."""
    width, n = sums.shape[0], out.shape[0]
    for x in range(n):
        start = _part(x, width, n)
        stop = _part(x + 1, width, n)
        total = i64(0)
        for column in range(start, stop):
            total += i64(sums[column])
        count = i64(n_rows) * (stop - start)
        out[x] = f32((i64(2) * total + count) // (i64(2) * count))


@njit(**INLINE)
def _sources(record, y, height, width):  # type: ignore[no-untyped-def]
    """Rows first .. last - 1 and columns left .. right - 1 of partners that row y needs."""
    mode = record.mode
    if mode in (BLEND, MASK_PLANES):
        return y, y + 1, i64(0), width
    top, left = i64(record.box[0]), i64(record.box[1])
    bottom, right = i64(record.box[2]), i64(record.box[3])
    if mode == UNMIXED or y < top or y >= bottom or left >= right:
        return y, y, i64(0), width
    if mode == BOX:
        return y, y + 1, left, right
    first = _part(y - top, height, bottom - top)
    if record.antialias:
        return first, _part(y - top + 1, height, bottom - top), i64(0), width
    return first, first + 1, i64(0), width


@njit(**INLINE)
def _mix_row(finish, samples, pixels, record, sample, planes, y, colors, noise, columns, sums, own, base, other):  # type: ignore[no-untyped-def]  # noqa: E501  # fmt: skip
    """Row y of a sample, erased and mixed: levels 0..255 into `own` (3, w); the others are scratch."""
    height, width = planes.shape[1], planes.shape[2]
    mode, averages = record.mode, record.mode == PASTE and record.antialias != 0
    _load(planes, y, i64(0), i64(width), record, sample, colors[0], noise, own)
    first, last, left, right = _sources(record, i64(y), i64(height), i64(width))
    if first == last:
        return
    for c in range(3):
        if mode == MASK_PLANES:
            _copy(own[c], base[c])
        if averages:
            _clear(sums[c])
    for way in range(1, record.ways):
        j = i64(record.partner[way - 1])
        for row in range(first, last):
            source = _planes(pixels, j, height, width)
            _load(source, row, left, right, finish[j], samples[j], colors[way], noise, other)
            if averages:
                _sum_rows(other, sums)
        if mode == MASK_PLANES:
            masks = nb.carray(as_bytes(record.masks), (record.ways - 1, height, width), np.uint8)
        for c in range(3):
            if mode == BLEND:
                _blend(own[c], other[c], record.weight)
            elif mode == BOX:
                _copy(other[c, left:right], own[c, left:right])
            elif mode == MASK_PLANES:
                _add_partner(own[c], base[c], other[c], masks[way - 1, y])
            else:
                box = own[c, i64(record.box[1]) : i64(record.box[3])]
                if averages:
                    _mean_columns(sums[c], last - first, box)
                else:
                    _pick(other[c], columns, box)


@entry
def run_finish(finish, samples, working, scale, bias, erase_fill, erase_spread, erase_slot, output, planar, seed_low, seed_high, first, last, out):  # type: ignore[no-untyped-def]  # noqa: E501  # fmt: skip
    """Finish samples first .. last - 1 of a batch.

    Args:
        finish: FINISH records (n,), masks placed (`mixing.place_masks`).
        samples: SAMPLE records (n,), for their counter words.
        working: uint8 (n, 3, height, width), C-contiguous; read only, so ranges may run at the same time.
        scale: float32 (3,): output per level 0..255.
        bias: float32 (3,): output of black.
        erase_fill: float32 (3,): color of erased pixels, levels 0..255; of normal colors the mean.
        erase_spread: float32 (3,): standard deviation of normal colors.
        erase_slot: uint32: random slot of erasing.
        output: AS_FLOAT32, AS_FLOAT16, AS_BFLOAT16 or AS_UINT8.
        planar: True for NCHW, False for NHWC.
        seed_low: uint32; `seed_high` likewise.
        seed_high: See `seed_low`.
        first: First sample.
        last: Behind the last sample.
        out: (n, 3 * height * width) of float32, uint16 or uint8.
    """
    height, width = working.shape[2], working.shape[3]
    area = height * width
    pixels = u64(working.ctypes.data)
    noise = (
        u32(erase_slot), u32(seed_low), u32(seed_high), erase_fill[0], erase_fill[1], erase_fill[2],
        erase_spread[0], erase_spread[1], erase_spread[2],
    )  # fmt: skip
    own, other = np.empty((3, width), np.float32), np.empty((3, width), np.float32)
    base = np.empty((3, width), np.float32)
    colors = np.empty((MAX_WAYS, 3), np.float32)
    sums = np.empty((3, width), np.int32)
    columns = np.empty(width, np.int64)
    for k in range(first, last):
        record, sample, planes, target = finish[k], samples[k], _planes(pixels, k, height, width), out[k]
        box = record.erase
        if record.mode == UNMIXED and (box[2] <= box[0] or box[3] <= box[1]):
            for c in range(3):
                plane = planes[c].reshape(area)
                if planar:
                    store_row(plane, area, scale[c], bias[c], output, c * area, 1, target)
                else:
                    store_row(plane, area, scale[c], bias[c], output, c, 3, target)
            continue
        _box_colors(finish, samples, record, k, noise, colors)
        if record.mode == PASTE:
            across = i64(record.box[3]) - i64(record.box[1])
            for x in range(across):
                columns[x] = _part(x, width, across)
        for y in range(height):
            _mix_row(
                finish, samples, pixels, record, sample, planes, y, colors, noise, columns, sums, own, base,
                other,
            )  # fmt: skip
            start = y * width
            for c in range(3):
                if planar:
                    store_row(own[c], width, scale[c], bias[c], output, c * area + start, 1, target)
                else:
                    store_row(own[c], width, scale[c], bias[c], output, 3 * start + c, 3, target)
