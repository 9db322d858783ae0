"""Stage 2: lattice -> source coordinates -> bilinear gather -> color -> normalize -> store, CPU twin.

Row by row, in steps over scratch rows that stay in the first-level cache:

1. node rows are interpolated along x once for every `pitch` rows, then along y for each row;
2. coordinates meet the border; whole and fractional parts are split;
3. four unaligned 4-byte loads a pixel (the only scalar loop; at offsets o and o + 2 they never read
   past the last pixel);
4. unpacking and bilinear interpolation; 5. color; 6. normalize, convert, store.

Steps 1, 2 and 4-6 vectorize. No fast-math: multiply-adds are explicit (`fma`), so that the CUDA twin
gives the same bits.
"""

import numpy as np
from numba import njit, types
from numba.extending import overload
from numpy import float32 as f32
from numpy import int32 as i32
from numpy import uint8 as u8
from numpy import uint16 as u16
from numpy import uint32 as u32
from numpy import uint64 as u64

from .intrinsics import INLINE, entry, float_bits, floor, fma, half_bits, load_u32
from .records import (
    ADDITIVE_HSV,
    CHROMA_P,
    CHROMA_Q,
    FILL,
    GAIN,
    HUE,
    LINEAR,
    OFFSET,
    REFLECT,
    SATURATION,
    SX,
    SY,
    VALUE,
)

# Output types: how a float32 leaves.
AS_FLOAT32, AS_FLOAT16, AS_BFLOAT16, AS_UINT8 = range(4)

# The YIQ transform (NTSC); its inverse is given to the same number of digits, so that grays stay gray.
Y_R, Y_G, Y_B = f32(0.299), f32(0.587), f32(0.114)
I_R, I_G, I_B = f32(0.595716), f32(-0.274453), f32(-0.321263)
Q_R, Q_G, Q_B = f32(0.211456), f32(-0.522591), f32(0.311135)
R_I, R_Q = f32(0.9563), f32(0.6210)
G_I, G_Q = f32(-0.2721), f32(-0.6474)
B_I, B_Q = f32(-1.1070), f32(1.7046)


@njit(**INLINE)
def lerp(a, b, t):  # type: ignore[no-untyped-def]
    """a + t (b - a), exact at t = 0 and t = 1 (for exact differences) and for a = b."""
    return fma(t, b - a, a)


@njit(**INLINE)
def clip(v, low, high):  # type: ignore[no-untyped-def]
    """v limited to [low, high]; -0.0 becomes 0.0 at low = 0, as the GPU's saturation gives it."""
    return min(max(low, v), high)


@njit(**INLINE)
def widen(nodes, row, pitch, out):  # type: ignore[no-untyped-def]
    """Interpolate one node row along x to pixel centers; out has whole cells."""
    step = f32(1) / f32(i32(pitch))
    for cell in range(out.shape[0] // pitch):
        left, right = nodes[row, cell], nodes[row, cell + 1]
        for t in range(pitch):
            out[cell * pitch + t] = lerp(left, right, (f32(i32(t)) + f32(0.5)) * step)


@njit(**INLINE)
def _locate(px, py, height, width, stride, border, offset, fx, fy, cover):  # type: ignore[no-untyped-def]
    """Apply the border, split coordinates into a byte offset and fractions.

    Reflection is about pixel centers, once (beyond one image length coordinates stay at the edge).
    `cover` gets the share of the image in the bilinear footprint; the rest is fill.
    """
    x_max, y_max = f32(i32(width - 1)), f32(i32(height - 1))
    last_column, last_row = i32(max(width - 2, 0)), i32(max(height - 2, 0))
    if border == REFLECT:
        for x in range(px.shape[0]):
            u, v = abs(px[x]), abs(py[x])
            px[x] = fma(x_max, f32(2), -u) if u > x_max else u
            py[x] = fma(y_max, f32(2), -v) if v > y_max else v
    elif border == FILL:
        one, zero = f32(1), f32(0)
        for x in range(px.shape[0]):
            inside_x = clip(min(px[x] + one, x_max + one - px[x]), zero, one)
            inside_y = clip(min(py[x] + one, y_max + one - py[x]), zero, one)
            cover[x] = inside_x * inside_y
    for x in range(px.shape[0]):
        u, v = clip(px[x], f32(0), x_max), clip(py[x], f32(0), y_max)
        # An image of one row or column lies repeated in memory: the second is read with weight 0.
        column, row = min(i32(u), last_column), min(i32(v), last_row)
        fx[x], fy[x] = u - f32(column), v - f32(row)
        offset[x] = u32(row) * u32(stride) + u32(column) * u32(3)


@njit(**INLINE)
def _gather(source, stride, offset, top, top2, low, low2):  # type: ignore[no-untyped-def]
    """Load the four pixels around each position: two overlapping words of each of two rows."""
    below = source + u64(stride)
    two = u64(2)
    for x in range(offset.shape[0]):
        o = u64(offset[x])
        top[x], top2[x] = load_u32(source, o), load_u32(source, o + two)
        low[x], low2[x] = load_u32(below, o), load_u32(below, o + two)


@njit(**INLINE)
def _channel(word, k):  # type: ignore[no-untyped-def]
    return f32(i32((word >> u32(8 * k)) & u32(255)))


@njit(**INLINE)
def _bilinear(top, top2, low, low2, fx, fy, r, g, b):  # type: ignore[no-untyped-def]
    """Interpolate; values stay 0..255."""
    for x in range(fx.shape[0]):
        t, t2, w, w2 = top[x], top2[x], low[x], low2[x]
        u, v = fx[x], fy[x]
        r[x] = lerp(lerp(_channel(t, 0), _channel(t2, 1), u), lerp(_channel(w, 0), _channel(w2, 1), u), v)
        g[x] = lerp(lerp(_channel(t, 1), _channel(t2, 2), u), lerp(_channel(w, 1), _channel(w2, 2), u), v)
        b[x] = lerp(lerp(_channel(t, 2), _channel(t2, 3), u), lerp(_channel(w, 2), _channel(w2, 3), u), v)


@njit(**INLINE)
def _fill(cover, fill, r, g, b):  # type: ignore[no-untyped-def]
    for x in range(cover.shape[0]):
        r[x] = lerp(fill[0], r[x], cover[x])
        g[x] = lerp(fill[1], g[x], cover[x])
        b[x] = lerp(fill[2], b[x], cover[x])


@njit(**INLINE)
def _hsv_channel(n, hue6, value, chroma):  # type: ignore[no-untyped-def]
    """One channel of HSV -> RGB: value - chroma * clip(min(k, 4 - k), 0, 1) with k = (n + 6 h) mod 6."""
    k = n + hue6
    k = k - f32(6) if k >= f32(6) else k
    return fma(-chroma, clip(min(k, f32(4) - k), f32(0), f32(1)), value)


@njit(**INLINE)
def _add_hsv(hue, saturation, value, r, g, b):  # type: ignore[no-untyped-def]
    """0..255 in, 0..1 out: add the fields in HSV; hue wraps, saturation and value clip."""
    scale, zero, one, six = f32(0.00392156863), f32(0), f32(1), f32(6)
    for x in range(hue.shape[0]):
        red, green, blue = r[x] * scale, g[x] * scale, b[x] * scale
        high = max(max(red, green), blue)  # noqa: PLW3301  # the CUDA twin's own order
        chroma = high - min(min(red, green), blue)  # noqa: PLW3301
        gray = chroma == zero
        inverse = one / (one if gray else chroma)
        h_red = (green - blue) * inverse
        h_green = fma(blue - red, inverse, f32(2))
        h_blue = fma(red - green, inverse, f32(4))
        h = h_red if high == red else h_green if high == green else h_blue
        h = zero if gray else h
        s = chroma / (high if high > zero else one)
        h = fma(hue[x], six, h)
        h = h - six * floor(h * f32(0.16666667))
        h = h - six if h >= six else h
        s = clip(s + saturation[x], zero, one)
        v = clip(high + value[x], zero, one)
        c = v * s
        r[x] = _hsv_channel(f32(5), h, v, c)
        g[x] = _hsv_channel(f32(3), h, v, c)
        b[x] = _hsv_channel(f32(1), h, v, c)


@njit(**INLINE)
def _linear_color(gain, offset, chroma_p, chroma_q, r, g, b):  # type: ignore[no-untyped-def]
    """Luma gain and offset, chroma rotation and gain; 0..1 out, clipped."""
    zero, one = f32(0), f32(1)
    for x in range(gain.shape[0]):
        red, green, blue = r[x], g[x], b[x]
        y = fma(Y_R, red, fma(Y_G, green, Y_B * blue))
        i = fma(I_R, red, fma(I_G, green, I_B * blue))
        q = fma(Q_R, red, fma(Q_G, green, Q_B * blue))
        p_, q_ = chroma_p[x], chroma_q[x]
        y = fma(gain[x], y, offset[x])
        turned = fma(p_, i, -(q_ * q))
        q = fma(q_, i, p_ * q)
        r[x] = clip(fma(R_I, turned, fma(R_Q, q, y)), zero, one)
        g[x] = clip(fma(G_I, turned, fma(G_Q, q, y)), zero, one)
        b[x] = clip(fma(B_I, turned, fma(B_Q, q, y)), zero, one)


@njit(**INLINE)
def _bfloat16_bits(v):  # type: ignore[no-untyped-def]
    bits = float_bits(v)
    return u16((bits + u32(0x7FFF) + ((bits >> u32(16)) & u32(1))) >> u32(16))


def store_row(values, n, scale, bias, output, start, step, out):  # type: ignore[no-untyped-def]
    """Normalize a channel of one row, convert it and write it at start, start + step, ... of flat `out`."""
    raise NotImplementedError  # exists as an overload only: the element type of `out` picks the code


@njit(**INLINE)
def _store_float32(values, scale, bias, _output, out):  # type: ignore[no-untyped-def]
    for x in range(out.shape[0]):
        out[x] = fma(values[x], scale, bias)


@njit(**INLINE)
def _store_16_bits(values, scale, bias, output, out):  # type: ignore[no-untyped-def]
    if output == AS_FLOAT16:
        for x in range(out.shape[0]):
            out[x] = half_bits(fma(values[x], scale, bias))
    else:
        for x in range(out.shape[0]):
            out[x] = _bfloat16_bits(fma(values[x], scale, bias))


@njit(**INLINE)
def _store_uint8(values, scale, bias, _output, out):  # type: ignore[no-untyped-def]
    for x in range(out.shape[0]):
        out[x] = u8(i32(clip(fma(values[x], scale, bias) + f32(0.5), f32(0), f32(255))))


_STORES = {types.float32: _store_float32, types.uint16: _store_16_bits, types.uint8: _store_uint8}


@overload(store_row, jit_options=INLINE)  # type: ignore[arg-type]
def _store_by_type(values, n, scale, bias, output, start, step, out):  # type: ignore[no-untyped-def]
    store = _STORES[out.dtype]

    def write(values, n, scale, bias, output, start, step, out):  # type: ignore[no-untyped-def]
        if step == 1:  # of its own: contiguous rows vectorize
            store(values, scale, bias, output, out[start : start + n])
        else:
            store(values, scale, bias, output, out[start : start + (n - 1) * step + 1 : step])

    return write


@entry
def fused(source, stride, height, width, nodes, mode, pitch, border, fill, scales, bias, output, planar, out_height, out_width, out):  # type: ignore[no-untyped-def]  # noqa: E501  # fmt: skip
    """One sample from its source and its lattice.

    Args:
        source: Address of the source's first byte (uint8 RGB); memory holds at least 2 x 2 pixels.
        stride: Bytes from row to row; `height` and `width` in pixels.
        height: See `stride`.
        width: See `stride`.
        nodes: Planes of `lattice`; `mode` is what it returned.
        mode: See `nodes`.
        pitch: Lattice pitch.
        border: REFLECT, EDGE or FILL; `fill` is the fill color 0..255.
        fill: See `border`.
        scales: float32 (2, 3): output per pixel unit without and with a color stage; `bias` (3,).
        bias: See `scales`.
        output: AS_FLOAT32, AS_FLOAT16, AS_BFLOAT16 or AS_UINT8.
        planar: True for CHW, False for HWC.
        out_height: Output size; `out_width`.
        out_width: See `out_height`.
        out: Flat output of 3 * out_height * out_width elements: float32, uint16 or uint8.
    """
    n_cells = nodes.shape[2] - 1
    padded = n_cells * pitch
    upper = np.empty((9, padded), np.float32)
    lower = np.empty((9, padded), np.float32)
    row = np.empty((9, padded), np.float32)
    offset = np.empty(padded, np.uint32)
    fx, fy = np.empty(padded, np.float32), np.empty(padded, np.float32)
    cover = np.empty(padded, np.float32)
    top, top2 = np.empty(padded, np.uint32), np.empty(padded, np.uint32)
    low, low2 = np.empty(padded, np.uint32), np.empty(padded, np.uint32)
    r, g, b = np.empty(padded, np.float32), np.empty(padded, np.float32), np.empty(padded, np.float32)
    first_color = GAIN if mode & LINEAR else HUE
    last_color = VALUE if mode & ADDITIVE_HSV else CHROMA_Q
    step = f32(1) / f32(i32(pitch))
    scale = scales[1] if mode else scales[0]  # color stages turn 0..255 into 0..1
    area = out_height * out_width
    for y in range(out_height):
        within = y % pitch
        if within == 0:
            for plane in range(9):
                used = plane <= SY or (mode != 0 and first_color <= plane <= last_color)
                if not used:
                    continue
                if y == 0:
                    widen(nodes[plane], 0, pitch, lower[plane])
                upper[plane, :] = lower[plane]
                widen(nodes[plane], y // pitch + 1, pitch, lower[plane])
        ty = (f32(i32(within)) + f32(0.5)) * step
        for plane in range(9):
            used = plane <= SY or (mode != 0 and first_color <= plane <= last_color)
            if used:
                u, d, w = upper[plane], lower[plane], row[plane]
                for x in range(padded):
                    w[x] = lerp(u[x], d[x], ty)
        _locate(row[SX], row[SY], height, width, stride, border, offset, fx, fy, cover)
        _gather(source, stride, offset, top, top2, low, low2)
        _bilinear(top, top2, low, low2, fx, fy, r, g, b)
        if border == FILL:
            _fill(cover, fill, r, g, b)
        if mode & ADDITIVE_HSV:
            _add_hsv(row[HUE], row[SATURATION], row[VALUE], r, g, b)
        if mode & LINEAR:
            _linear_color(row[GAIN], row[OFFSET], row[CHROMA_P], row[CHROMA_Q], r, g, b)
        if planar:
            start = y * out_width
            store_row(r, out_width, scale[0], bias[0], output, start, 1, out)
            store_row(g, out_width, scale[1], bias[1], output, start + area, 1, out)
            store_row(b, out_width, scale[2], bias[2], output, start + 2 * area, 1, out)
        else:
            start = y * out_width * 3
            store_row(r, out_width, scale[0], bias[0], output, start, 3, out)
            store_row(g, out_width, scale[1], bias[1], output, start + 1, 3, out)
            store_row(b, out_width, scale[2], bias[2], output, start + 2, 3, out)
