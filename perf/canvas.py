"""Paint on an array: smooth shapes with soft edges, and textures whose spectrum falls like a photograph's.

Coordinates are in image heights: y runs 0..1 downward, x runs 0..width/height. Colors are RGB, 0..1, as
displayed (no linear light).
"""

import colorsys
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]  # float32 throughout, which type checkers cannot follow
Color = Sequence[float] | FloatArray
Paint = Color | Callable[[FloatArray, FloatArray], FloatArray]
"""One color, or a function from coordinates (x, y) to colors of shape (height, width, 3)."""

_TILE = 1024  # pixels a side: larger than any photograph that is drawn from it


@dataclass(frozen=True)
class Shape:
    """A region: negative distance inside, and a box (left, top, right, bottom) that holds it."""

    box: tuple[float, float, float, float]
    distance: Callable[[FloatArray, FloatArray], FloatArray]


def ellipse(x: float, y: float, rx: float, ry: float | None = None, turn: float = 0.0) -> Shape:
    """An ellipse around (x, y) with half axes rx and ry (a disc without ry), turned by `turn` radians."""
    # Python's own floats leave the pixels in float32; NumPy's float64 scalars would not.
    x, y, rx, ry = (float(v) for v in (x, y, rx, rx if ry is None else ry))
    reach = max(rx, ry)
    cos, sin = math.cos(turn), math.sin(turn)

    def distance(px: FloatArray, py: FloatArray) -> FloatArray:
        dx, dy = px - x, py - y
        return (np.hypot((cos * dx + sin * dy) / rx, (cos * dy - sin * dx) / ry) - 1) * min(rx, ry)

    return Shape((x - reach, y - reach, x + reach, y + reach), distance)


def polygon(*corners: tuple[float, float]) -> Shape:
    """A convex polygon, corners clockwise as seen (y down)."""
    points = np.array(corners, np.float32)
    edges = np.roll(points, -1, axis=0) - points
    normals = np.stack([edges[:, 1], -edges[:, 0]], 1) / np.hypot(*edges.T)[:, None]

    def distance(px: FloatArray, py: FloatArray) -> FloatArray:
        sides = [nx * (px - cx) + ny * (py - cy) for (nx, ny), (cx, cy) in zip(normals, points, strict=True)]
        return np.maximum.reduce(sides)

    return Shape((*points.min(0).tolist(), *points.max(0).tolist()), distance)


def rectangle(left: float, top: float, right: float, bottom: float) -> Shape:
    """An upright rectangle."""
    return polygon((left, top), (right, top), (right, bottom), (left, bottom))


class Canvas:
    """An image to paint on, and the random numbers to paint with.

    Attributes:
        rgb: float32, shape (height, width, 3).
        x: x of each column, shape (1, width). y: y of each row, shape (height, 1).
        width: Width in image heights.
        rng: Draws whatever is random in the picture.
    """

    def __init__(self, width_px: int, height_px: int, rng: np.random.Generator) -> None:
        self.rgb: FloatArray = np.zeros((height_px, width_px, 3), np.float32)
        self.x = ((np.arange(width_px, dtype=np.float32) + 0.5) / height_px)[None, :]
        self.y = ((np.arange(height_px, dtype=np.float32) + 0.5) / height_px)[:, None]
        self.width = width_px / height_px
        self.rng = rng

    def fill(self, shape: Shape, paint: Paint, *, opacity: float = 1.0, blur: float = 0.0) -> None:
        """Paint a shape; its edge goes over from full to nothing within `blur` plus one pixel."""
        height = self.rgb.shape[0]
        edge = blur + 1 / height
        left, top, right, bottom = (round(v * height) for v in shape.box)
        margin = round(edge * height / 2) + 1
        rows = slice(max(top - margin, 0), max(bottom + margin, 0))
        columns = slice(max(left - margin, 0), max(right + margin, 0))
        part = self.rgb[rows, columns]
        if not part.size:
            return
        x, y = self.x[:, columns], self.y[rows]
        cover = np.clip(0.5 - shape.distance(x, y) / edge, 0, 1)
        if blur:
            cover = cover * cover * (3 - 2 * cover)
        color = paint(x, y) if callable(paint) else np.asarray(paint, np.float32)
        part += (opacity * cover)[..., None] * (color - part)

    def mix(self, color: Color, weight: FloatArray) -> None:
        """Go from the image toward `color` by a weight a pixel (0..1, broadcast to the image)."""
        self.rgb += weight[..., None] * (np.asarray(color, np.float32) - self.rgb)

    def texture(self, slope: float, step_y: int = 1, step_x: int = 1) -> FloatArray:
        """A piece of random texture in the image's size; see `tile`. A step > 1 packs that axis denser."""
        height, width = self.rgb.shape[:2]
        top, left = self.rng.integers(0, _TILE, 2)
        rows = (top + step_y * np.arange(height)) % _TILE
        columns = (left + step_x * np.arange(width)) % _TILE
        return tile(slope)[rows].take(columns, axis=1)


@cache
def tile(slope: float) -> FloatArray:
    """Periodic noise, 1024 x 1024, mean 0, deviation 1, amplitude ∝ frequency^-slope.

    Slope 0 is white, 1 is the spectrum of natural images, 1.7 looks like clouds. Drawn once a process:
    a picture takes a window of it at a random place.
    """
    white = np.random.default_rng(round(slope * 1000)).standard_normal((_TILE, _TILE), np.float32)
    frequency = np.hypot(np.fft.fftfreq(_TILE)[:, None], np.fft.rfftfreq(_TILE)[None, :])
    frequency[0, 0] = np.inf  # no mean
    # Below two periods a tile, the spectrum is flat: a window of a tile shall hold more than one cloud.
    spectrum = np.fft.rfft2(white) * np.maximum(frequency, 3 / _TILE) ** -slope * np.isfinite(frequency)
    noise = np.fft.irfft2(spectrum, s=(_TILE, _TILE)).astype(np.float32)
    return noise / noise.std()


def hsv(hue: float, saturation: float, value: float) -> FloatArray:
    """A color from hue (in turns, periodic), saturation and value (0..1)."""
    return np.array(
        colorsys.hsv_to_rgb(hue % 1, min(max(saturation, 0), 1), min(max(value, 0), 1)), np.float32
    )


def blend(a: Color, b: Color, weight: FloatArray | float) -> FloatArray:
    """Colors from `a` (weight 0) to `b` (weight 1): shape of weight plus one axis of 3."""
    start = np.asarray(a, np.float32)
    return start + np.clip(np.asarray(weight, np.float32), 0, 1)[..., None] * (
        np.asarray(b, np.float32) - start
    )
