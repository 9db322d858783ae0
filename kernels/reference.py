"""The whole fused pass in plain NumPy float64: what the CPU and CUDA twins are compared with.

Example:
    >>> import numpy as np
    >>> from fieldloom.kernels.draws import Keys
    >>> from fieldloom.kernels.fusedpass import FusedPass, Sources
    >>> from fieldloom.kernels.plan import PassPlan
    >>> image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    >>> whole, keys = FusedPass(PassPlan(4, 5)), Keys(0, 0, np.array([1]), np.array([0]))
    >>> windows = whole.windows(keys, np.array([[4, 5]]))
    >>> samples = whole.records(keys, windows, Sources.of_arrays([image]))
    >>> fast = whole(keys, windows, Sources.of_arrays([image]))
    >>> bool(abs(augment(whole, keys.seed, samples, [image]) - fast).max() < 1e-6)
    True
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .reference_lattice import Controls, controls

if TYPE_CHECKING:
    from .fusedpass import FusedPass

#: RGB -> YIQ (NTSC), rows Y, I, Q, and the inverse that the kernels' constants state.
RGB_TO_YIQ = np.array(
    [[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]]
)
YIQ_TO_RGB = np.array([[1, 0.9563, 0.6210], [1, -0.2721, -0.6474], [1, -1.1070, 1.7046]])


def box_reduce(image: np.ndarray, reduce: Sequence[int]) -> np.ndarray:
    """Means over boxes of reduce (y, x) pixels, rounded half up; those at the far edges may be smaller."""
    ry, rx = (int(r) for r in reduce)
    height, width = image.shape[:2]
    out = np.empty((-(-height // ry), -(-width // rx), 3), np.uint8)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            box = image[i * ry : (i + 1) * ry, j * rx : (j + 1) * rx].reshape(-1, 3).astype(np.int64)
            out[i, j] = np.floor_divide(2 * box.sum(0) + len(box), 2 * len(box))
    return out


def tent_filter(image: np.ndarray, taps: np.ndarray, axis: int) -> np.ndarray:
    """Symmetric taps (center, first, second, third) / 256 along an axis, edges repeated, rounded half up."""
    n = image.shape[axis]
    total = np.zeros(image.shape, np.int64)
    for offset in range(-3, 4):
        neighbor = np.clip(np.arange(n) + offset, 0, n - 1)
        total += int(taps[abs(offset)]) * np.take(image, neighbor, axis).astype(np.int64)
    return ((total + 128) // 256).astype(np.uint8)


def prefilter(image: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """What stage 2 reads: the source after box reduction and the tent, along y and then along x."""
    reduced = box_reduce(image, sample["reduce"].tolist()) if sample["reduce"].max() > 1 else image
    return tent_filter(tent_filter(reduced, sample["taps"][0], 0), sample["taps"][1], 1)


def interpolate(nodes: np.ndarray, height: int, width: int, pitch: int) -> np.ndarray:
    """Node values (m, n) at the pixel centers, bilinear: (height, width)."""
    y, x = (np.arange(height) + 0.5) / pitch, (np.arange(width) + 0.5) / pitch
    i, j = y.astype(int)[:, None], x.astype(int)[None]
    v, u = y[:, None] - i, x[None] - j
    top = (1 - u) * nodes[i, j] + u * nodes[i, j + 1]
    low = (1 - u) * nodes[i + 1, j] + u * nodes[i + 1, j + 1]
    return (1 - v) * top + v * low


def sample_image(
    image: np.ndarray, x: np.ndarray, y: np.ndarray, *, border: str, fill: Sequence[float] = (0, 0, 0)
) -> np.ndarray:
    """Bilinear values 0..255 of image (h, w, 3) at source positions, pixel centers at whole numbers.

    "reflect" mirrors about the outer pixels' centers, once; "edge" repeats them; "constant" surrounds
    the image with pixels of the color `fill`.
    """
    height, width = image.shape[:2]
    pixels = image.astype(np.float64)
    if border == "constant":
        # The fill is a frame of pixels around the image; beyond it everything is fill.
        framed = np.empty((height + 2, width + 2, 3))
        framed[:] = fill
        framed[1:-1, 1:-1] = pixels
        return sample_image(framed, x + 1, y + 1, border="edge")
    if border == "reflect":
        x, y = np.abs(x), np.abs(y)
        x, y = (
            np.where(x > width - 1, 2 * (width - 1) - x, x),
            np.where(y > height - 1, 2 * (height - 1) - y, y),
        )
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    j, i = np.floor(x).astype(int), np.floor(y).astype(int)
    right, below = np.minimum(j + 1, width - 1), np.minimum(i + 1, height - 1)
    u, v = (x - j)[..., None], (y - i)[..., None]
    top = (1 - u) * pixels[i, j] + u * pixels[i, right]
    low = (1 - u) * pixels[below, j] + u * pixels[below, right]
    return (1 - v) * top + v * low


def rgb_to_hsv(rgb: np.ndarray) -> np.ndarray:
    """The standard library's `colorsys.rgb_to_hsv` for arrays (..., 3) of 0..1; hue in turns."""
    r, g, b = np.moveaxis(rgb, -1, 0)
    high, low = rgb.max(-1), rgb.min(-1)
    spread = np.where(high == low, 1, high - low)
    rc, gc, bc = (high - r) / spread, (high - g) / spread, (high - b) / spread
    hue = np.where(r == high, bc - gc, np.where(g == high, 2 + rc - bc, 4 + gc - rc)) / 6 % 1
    gray = high == low
    saturation = np.where(gray, 0, (high - low) / np.where(high > 0, high, 1))
    return np.stack([np.where(gray, 0, hue), saturation, high], -1)


def hsv_to_rgb(hsv: np.ndarray) -> np.ndarray:
    """The standard library's `colorsys.hsv_to_rgb` for arrays (..., 3)."""
    h, s, v = np.moveaxis(hsv, -1, 0)
    sector = np.floor(h * 6)
    f = h * 6 - sector
    p, q, t = v * (1 - s), v * (1 - s * f), v * (1 - s * (1 - f))
    choices = [(v, t, p), (q, v, p), (p, v, t), (p, q, v), (t, p, v), (v, p, q)]
    sector = sector.astype(int) % 6
    return np.stack([np.choose(sector, [c[k] for c in choices]) for k in range(3)], -1)


def recolor(
    values: np.ndarray,
    *,
    hsv: np.ndarray | None = None,
    linear: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Color stages on pixels (h, w, 3) of 0..1.

    Args:
        values: RGB.
        hsv: Added to hue (turns, cyclic), saturation and value (both clipped): (3, h, w).
        linear: Luma gain, luma offset and complex chroma factor, each (h, w); the result is clipped.
    """
    if hsv is not None:
        changed = rgb_to_hsv(values) + np.moveaxis(hsv, 0, -1)
        changed[..., 0] %= 1
        changed[..., 1:] = np.clip(changed[..., 1:], 0, 1)
        values = hsv_to_rgb(changed)
    if linear is not None:
        gain, offset, chroma = linear
        yiq = values @ RGB_TO_YIQ.T
        turned = chroma * (yiq[..., 1] + 1j * yiq[..., 2])
        yiq = np.stack([gain * yiq[..., 0] + offset, turned.real, turned.imag], -1)
        values = np.clip(yiq @ YIQ_TO_RGB.T, 0, 1)
    return values


def render(one_pass: "FusedPass", nodes: Controls, source: np.ndarray) -> np.ndarray:
    """Stage 2 of one sample: from its controls and its (filtered) source (h, w, 3) to float64 output.

    Returns:
        (3, height, width), or (height, width, 3) unless planar; whole levels for uint8.
    """
    plan = one_pass.plan

    def at_pixels(values: np.ndarray) -> np.ndarray:
        return interpolate(values, plan.height, plan.width, one_pass.pitch)

    x, y = at_pixels(nodes.x), at_pixels(nodes.y)
    values = sample_image(source, x, y, border=plan.border, fill=plan.fill) / 255
    hsv = None if nodes.hsv is None else np.stack([at_pixels(f) for f in nodes.hsv])
    linear = (
        (at_pixels(nodes.gain), at_pixels(nodes.offset), at_pixels(nodes.chroma)) if nodes.linear else None
    )
    values = recolor(values, hsv=hsv, linear=linear)
    out = (values - plan.mean) / plan.std
    if plan.dtype == "uint8":
        out = np.clip(np.floor(out * 255 + 0.5), 0, 255)
    return out.transpose(2, 0, 1) if plan.planar else out


def augment(
    one_pass: "FusedPass", seed: int, samples: np.ndarray, images: Sequence[np.ndarray]
) -> np.ndarray:
    """A batch through the whole pass in float64.

    Args:
        one_pass: The compiled pass; its plan and pitch are used, none of its tables.
        seed: Seed of the keys that `samples` were drawn with.
        samples: SAMPLE records as `FusedPass.records` makes them, so that both twins get equal
            parameters: affine, filter taps, gates, orders, amplitudes.
        images: The sources' pixels, uint8 (h, w, 3) each.

    Returns:
        float64 (n, 3, height, width), or (n, height, width, 3) unless planar. Half floats are not
        rounded; uint8 comes as whole levels.
    """
    out = [
        render(one_pass, controls(one_pass.plan, one_pass.pitch, sample, seed), prefilter(image, sample))
        for sample, image in zip(samples, images, strict=True)
    ]
    return np.stack(out)
