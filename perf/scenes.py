"""Eight kinds of pictures, each a function that paints one on a canvas, different at every call."""

import math
from collections.abc import Callable

import numpy as np

from fieldloom.perf.canvas import (
    Canvas,
    Color,
    FloatArray,
    Paint,
    Shape,
    blend,
    ellipse,
    hsv,
    polygon,
    rectangle,
    tile,
)


def towers(c: Canvas) -> None:
    """Three rows of tall buildings with window grids, under a sky."""
    rng = c.rng
    hue = rng.uniform(0.52, 0.66)
    dusk = rng.uniform() < 0.4
    low = hsv(rng.uniform(0.03, 0.11), 0.5, 0.98) if dusk else hsv(hue, 0.12, 0.97)
    _sky(c, hsv(hue, 0.6, 0.55 if dusk else 0.85), low, clouds=rng.uniform(0.2, 0.9))
    for row in range(3):
        near = (row + 1) / 3
        x = -rng.uniform(0, 0.1)
        while x < c.width:
            width = rng.uniform(0.09, 0.2) * (0.6 + 0.6 * near)
            top = rng.uniform(0.1, 0.5) + 0.12 * row
            wall = hsv(
                rng.choice([0.05, 0.08, 0.58, 0.62, 0.1]), rng.uniform(0.05, 0.5), rng.uniform(0.35, 0.85)
            )
            wall = blend(low, wall, 0.35 + 0.6 * near)
            c.fill(
                rectangle(x + 0.02, top + 0.05, x + width + 0.05, 1.1), (0, 0, 0.03), opacity=0.45, blur=0.06
            )
            c.fill(
                rectangle(x, top, x + width, 1.1), _facade(c, wall, x, top, width, lit=0.6 if dusk else 0.12)
            )
            if rng.uniform() < 0.35:
                c.fill(rectangle(x + width * 0.48, top - 0.1, x + width * 0.52, top), wall * 0.5)
            x += width * rng.uniform(1.0, 1.3)
    ground = 0.93 + 0.03 * rng.uniform()
    c.fill(rectangle(-0.1, ground, c.width + 0.1, 1.1), (0.25, 0.25, 0.27))
    for i in range(12):  # a dashed line along the street
        c.fill(rectangle(i * 0.18, ground + 0.03, i * 0.18 + 0.09, ground + 0.037), (0.9, 0.88, 0.7))


def _facade(c: Canvas, wall: FloatArray, left: float, top: float, width: float, lit: float) -> Paint:
    n_columns = int(c.rng.integers(4, 9))
    pitch_x, pitch_y = width / n_columns, width / n_columns * c.rng.uniform(0.8, 1.8)
    lights = c.rng.uniform(size=(64, n_columns + 1)).astype(np.float32)
    part_x, part_y = c.rng.uniform(0.45, 0.8), c.rng.uniform(0.45, 0.8)
    edge = 1 / c.rgb.shape[0]

    def paint(x: FloatArray, y: FloatArray) -> FloatArray:
        u, v = (x - left) / pitch_x, (y - top) / pitch_y
        inside_x = np.clip((part_x / 2 - abs(u % 1 - 0.5)) * pitch_x / edge + 0.5, 0, 1)
        inside_y = np.clip((part_y / 2 - abs(v % 1 - 0.5)) * pitch_y / edge + 0.5, 0, 1)
        light = lights[v.astype(int) % 64, u.astype(int) % (n_columns + 1)]
        window = np.where(light < lit, 0.75 + 0.25 * light / lit, 0.1 + 0.3 * light).astype(np.float32)
        panes = window[..., None] * np.where((light < lit)[..., None], _LAMP, _GLASS)
        shade = 1.12 - 0.45 * (x - left) / width + 0 * y
        weight = inside_x * inside_y
        return wall * shade[..., None] * (1 - weight[..., None]) + panes * weight[..., None]

    return paint


_LAMP, _GLASS = np.array((1.0, 0.87, 0.55), np.float32), np.array((0.6, 0.8, 1.0), np.float32)


def hills(c: Canvas) -> None:
    """Wooded ridges, one behind the other in haze, and a low sun."""
    rng = c.rng
    warm = rng.uniform(0.02, 0.13)
    low = hsv(warm, rng.uniform(0.15, 0.5), 1.0)
    _sky(c, hsv(rng.uniform(0.55, 0.63), 0.6, 0.8), low, clouds=rng.uniform(0.2, 0.8))
    _sun(c, rng.uniform(0.1, 0.9) * c.width, rng.uniform(0.15, 0.3), warm)
    green = rng.uniform(0.18, 0.38) if rng.uniform() < 0.7 else rng.uniform(0.03, 0.1)
    n = int(rng.integers(4, 7))
    for i in range(n):
        near = (i + 1) / n
        ridge = _ridge(c, 0.34 + 0.5 * near**1.2, 0.05 + 0.05 * near)
        cover = np.clip((c.y - ridge[None, :]) * c.rgb.shape[0] + 0.5, 0, 1)
        depth = np.clip((c.y - ridge[None, :]) * 5, 0, 1)
        wood = c.texture(0.7, 2 if near > 0.6 else 3, 1 if near > 0.6 else 2) + 0.6 * c.texture(1.7)
        color = blend(low * 0.8, hsv(green + 0.05 * (1 - near), 0.6, 0.4), near**0.8)
        lighted: FloatArray = color * (1 + (0.22 * near * wood - 0.1 * near)[..., None])
        lighted = blend(lighted, low, 1.2 * depth * (1 - near))  # mist lies in the valleys
        c.rgb += cover[..., None] * (lighted - c.rgb)
    for _ in range(int(rng.integers(6, 22))):
        _fir(c, rng.uniform(0, c.width), rng.uniform(0.86, 1.05), rng.uniform(0.1, 0.3), green)


def _fir(c: Canvas, x: float, foot: float, height: float, hue: float) -> None:
    c.fill(rectangle(x - 0.02 * height, foot - 0.3 * height, x + 0.02 * height, foot), (0.2, 0.13, 0.08))
    for i in range(5):
        top, half = foot - height * (1 - 0.17 * i), height * (0.08 + 0.045 * i)
        green = hsv(hue, 0.7, c.rng.uniform(0.16, 0.32))
        c.fill(polygon((x, top), (x + half, top + 0.3 * height), (x - half, top + 0.3 * height)), green)


def balloons(c: Canvas) -> None:
    """Striped hot-air balloons, far and near."""
    rng = c.rng
    low = hsv(rng.uniform(0.05, 0.6), 0.15, 1.0)
    _sky(c, hsv(rng.uniform(0.54, 0.62), rng.uniform(0.4, 0.8), 0.9), low, clouds=rng.uniform(0.4, 1.0))
    for i in range(2):
        ridge = _ridge(c, 0.86 + 0.07 * i, 0.03)
        cover = np.clip((c.y - ridge[None, :]) * c.rgb.shape[0] + 0.5, 0, 1)
        field = hsv(rng.uniform(0.1, 0.3), 0.5, 0.65) * (1 + 0.2 * c.texture(0.8, 3, 1)[..., None])
        c.rgb += cover[..., None] * (field - c.rgb)
    for radius in [*sorted(rng.uniform(0.05, 0.12, int(rng.integers(2, 5)))), rng.uniform(0.15, 0.26)]:
        _balloon(c, rng.uniform(0.1, 0.9) * c.width, rng.uniform(0.2, 0.55), float(radius))


def _balloon(c: Canvas, x: float, y: float, r: float) -> None:
    rng = c.rng
    hue = rng.uniform()
    colors = np.stack(
        [hsv(hue, 0.85, 0.95), hsv(hue + rng.choice([0.12, 0.35, 0.5]), 0.8, 0.95), hsv(hue, 0.1, 0.98)]
    )
    gores, band = int(rng.integers(5, 9)), rng.uniform() < 0.5

    def paint(px: FloatArray, py: FloatArray) -> FloatArray:
        dx, dy = (px - x) / r, np.clip((py - y) / r, -1.0, 1.6)
        half = np.where(dy < 0, np.sqrt(np.clip(1 - dy * dy, 1e-4, 1)), np.clip(1 - 0.42 * dy * dy, 0.12, 1))
        side = np.clip(dx / half, -0.999, 0.999)
        gore = (np.arcsin(side) / np.pi + 0.5) * gores
        which = np.where(abs(dy - 0.1) < 0.13, 2, gore.astype(int) % 2) if band else gore.astype(int) % 3
        seam = 1 - 0.25 * np.exp(-(((gore % 1 - 0.5) ** 2 - 0.25) ** 2) * 600)
        light = (0.62 + 0.5 * np.sqrt(np.clip(1 - (side + 0.35) ** 2, 0, 1)) - 0.18 * dy) * seam
        return colors[which] * light[..., None]

    def envelope(px: FloatArray, py: FloatArray) -> FloatArray:
        dx, dy = (px - x) / r, (py - y) / r
        below = abs(dx) - np.clip(1 - 0.42 * np.clip(dy, 0, 1.45) ** 2, 0.12, 1)
        return r * np.where(dy < 0, np.hypot(dx, dy) - 1, np.maximum(below, dy - 1.4))

    for side in (-0.1, 0.1):
        c.fill(
            _line(x + side * r, y + 1.35 * r, x + side * 0.8 * r, y + 1.75 * r, 0.012 * r), (0.15, 0.1, 0.08)
        )
    c.fill(Shape((x - r, y - r, x + r, y + 1.45 * r), envelope), paint)
    c.fill(rectangle(x - 0.12 * r, y + 1.7 * r, x + 0.12 * r, y + 1.88 * r), (0.35, 0.22, 0.1))


def marbles(c: Canvas) -> None:
    """Glossy balls with swirls on a wooden table, with soft shadows."""
    rng = c.rng
    wood = hsv(rng.uniform(0.05, 0.1), rng.uniform(0.4, 0.7), rng.uniform(0.5, 0.8))
    grain = 0.14 * c.texture(1.0, 7, 1) + 0.05 * c.texture(0.4, 3, 1)
    boards = (c.y * rng.uniform(3.5, 6)) % 1
    gap = np.clip((0.5 - abs(boards - 0.5)) * 25, 0, 1)
    c.rgb[:] = wood * (1 + grain)[..., None] * (0.35 + 0.65 * gap)[..., None]
    c.rgb *= (0.75 + 0.35 * (1 - c.x / c.width) + 0 * c.y)[..., None]
    placed: list[tuple[float, float, float]] = []
    for _ in range(60):
        r = rng.uniform(0.06, 0.19)
        x, y = rng.uniform(0, c.width), rng.uniform(0.05, 0.95)
        if all(np.hypot(x - px, y - py) > r + pr for px, py, pr in placed):
            placed.append((x, y, r))
    for x, y, r in sorted(placed, key=lambda ball: ball[1]):
        c.fill(
            ellipse(x + 0.45 * r, y + 0.5 * r, 1.15 * r, 0.85 * r, 0.6),
            (0.05, 0.02, 0.0),
            opacity=0.6,
            blur=0.6 * r,
        )
        _ball(c, x, y, r)


def _ball(c: Canvas, x: float, y: float, r: float) -> None:
    rng = c.rng
    hue = rng.uniform()
    first, second = (
        hsv(hue, rng.uniform(0.5, 1), 0.95),
        hsv(hue + rng.uniform(0.2, 0.6), 0.7, rng.uniform(0.3, 1)),
    )
    swirl, offset, turn = tile(1.7), rng.integers(0, 1024, 2), rng.uniform(0, 6.3)
    dotted = rng.uniform() < 0.35

    def paint(px: FloatArray, py: FloatArray) -> FloatArray:
        dx, dy = (px - x) / r + 0 * py, (py - y) / r + 0 * px
        dz = np.sqrt(np.clip(1 - dx * dx - dy * dy, 0, 1))
        u, v = math.cos(turn) * dx + math.sin(turn) * dy, math.cos(turn) * dy - math.sin(turn) * dx
        cells = swirl[
            (offset[0] + 90 * v / (0.5 + dz)).astype(int) % 1024,
            (offset[1] + 90 * u / (0.5 + dz)).astype(int) % 1024,
        ]
        pattern = 7 * v / (0.6 + dz) + 1.2 * cells
        weight = 0.5 + 0.5 * np.tanh(4 * np.sin(pattern) * (np.sin(9 * u / (0.6 + dz)) if dotted else 1))
        light = np.clip(-0.5 * dx - 0.55 * dy + 0.67 * dz, 0, 1)
        glint = np.clip(-0.36 * dx - 0.4 * dy + 0.84 * dz, 0, 1) ** 60
        rim = 0.25 * (1 - dz) ** 3
        return blend(first, second, weight) * (0.22 + 0.85 * light)[..., None] + (glint + rim)[..., None]

    c.fill(ellipse(x, y, r), paint)


def mosaic(c: Canvas) -> None:
    """A wall of patterned tiles, seen at an angle, worn by weather."""
    rng = c.rng
    turn, pitch = rng.uniform(-0.6, 0.6), rng.uniform(0.12, 0.24)
    depth = 1 + rng.uniform(-0.35, 0.35) * (c.x / c.width - 0.5) + rng.uniform(-0.35, 0.35) * (c.y - 0.5)
    u = (math.cos(turn) * c.x + math.sin(turn) * c.y) / depth / pitch + 50
    v = (math.cos(turn) * c.y - math.sin(turn) * c.x) / depth / pitch + 50
    column, row = u.astype(int) % 64, v.astype(int) % 64
    u, v = u % 1 - 0.5, v % 1 - 0.5
    hue = rng.uniform()
    palette = np.stack([hsv(hue + d, s, b) for d, s, b in _PALETTE])
    muted = rng.uniform(0.4, 1.0)
    palette = palette * muted + palette.mean(1, keepdims=True) * (1 - muted)
    ground, figure, kind, flip = (rng.integers(0, n, (64, 64)) for n in (6, 6, 5, 4))
    turned = flip[row, column]
    u, v = np.where(turned & 1, -u, u), np.where(turned & 2, -v, v)
    radius = np.hypot(u, v)
    distances = np.stack(
        [
            radius - 0.36,
            abs(radius - 0.28) - 0.09,
            (u + v) * 0.7,
            np.maximum(abs(u), abs(v)) - 0.27,
            np.hypot(u - 0.5, v - 0.5) - 0.72,
        ]
    )
    distance = np.take_along_axis(distances, kind[row, column][None], axis=0)[0]
    edge = 1 / (c.rgb.shape[0] * pitch)
    weight = np.clip(0.5 - distance / edge, 0, 1)
    second = palette[(figure + (figure == ground))[row, column] % 6]
    first = palette[ground[row, column]]
    rim = 0.5 - np.maximum(abs(u), abs(v))
    bevel = 1 + 0.25 * np.clip(1 - rim / 0.1, 0, 1) * np.sign(-u - v)
    tint = 1 + 0.1 * rng.standard_normal((64, 64), np.float32)[row, column]
    surface = (first + weight[..., None] * (second - first)) * (bevel * tint)[..., None]
    wear = np.clip(0.5 + 0.2 * c.texture(1.3) + 0.12 * c.texture(0.5), 0, 1)
    surface = surface * (0.7 + 0.5 * wear)[..., None]
    grout = np.clip((0.03 - rim) / edge + 0.5, 0, 1)
    c.rgb[:] = surface + grout[..., None] * (
        np.array((0.62, 0.6, 0.56), np.float32) * (0.6 + 0.5 * wear)[..., None] - surface
    )
    x = rng.uniform(0, c.width)  # the shadow of something that stands beside
    shadow = polygon((x, -0.2), (x + 0.4, -0.2), (x + 0.1, 1.2), (x - 0.3, 1.2))
    c.fill(shadow, (0.02, 0.03, 0.08), opacity=0.45, blur=0.08)


_PALETTE = (
    (0, 0.75, 0.8),
    (0.5, 0.6, 0.55),
    (0.08, 0.5, 0.95),
    (0.0, 0.08, 0.93),
    (0.58, 0.5, 0.3),
    (0.15, 0.8, 0.9),
)


def flowers(c: Canvas) -> None:
    """Blossoms before a meadow that is out of focus."""
    rng = c.rng
    green = rng.uniform(0.2, 0.36)
    c.rgb[:] = blend(hsv(green, 0.5, 0.75), hsv(green + 0.04, 0.7, 0.25), c.y + 0.2 * c.texture(1.7))
    for _ in range(24):  # lights out of focus
        spot = hsv(green + rng.uniform(-0.12, 0.08), rng.uniform(0.2, 0.6), rng.uniform(0.5, 1))
        r = rng.uniform(0.03, 0.1)
        c.fill(ellipse(rng.uniform(0, c.width), rng.uniform(0, 0.9), r), spot, opacity=0.3, blur=0.4 * r)
    hue = rng.uniform(0.72, 1.17)  # any color but green
    for size in sorted(rng.uniform(0.06, 0.22, int(rng.integers(7, 13)))):
        x, y = rng.uniform(0, c.width), rng.uniform(0.15, 0.85)
        blur = 0.05 * max(0.0, 0.13 - size) / 0.13
        c.fill(
            _line(x, y, x + rng.uniform(-0.1, 0.1), 1.1, 0.035 * size + 0.003),
            hsv(green, 0.75, 0.35),
            blur=blur,
        )
        leaf_y = y + rng.uniform(0.6, 1.2) * size
        c.fill(
            ellipse(x + 0.3 * size, leaf_y, 0.4 * size, 0.1 * size, -0.6), hsv(green, 0.7, 0.45), blur=blur
        )
        _blossom(c, x, y, float(size), hue + rng.uniform(-0.12, 0.12), blur)
    for _ in range(40):  # blades of grass
        x = rng.uniform(0, c.width)
        tip = (x + rng.uniform(-0.08, 0.08), rng.uniform(0.72, 0.95))
        c.fill(
            polygon(tip, (x + 0.006, 1.02), (x - 0.006, 1.02)),
            hsv(green + rng.uniform(-0.05, 0.05), 0.75, rng.uniform(0.2, 0.6)),
        )


def _blossom(c: Canvas, x: float, y: float, size: float, hue: float, blur: float) -> None:
    rng = c.rng
    petals, turn, tilt = int(rng.integers(5, 13)), rng.uniform(0, 6.3), rng.uniform(0.65, 1.0)
    outer, inner = hsv(hue, rng.uniform(0.4, 0.95), 0.97), hsv(hue + 0.06, 0.8, 0.7)

    def polar(px: FloatArray, py: FloatArray) -> tuple[FloatArray, FloatArray]:
        dx, dy = (px - x) / size, (py - y) / (size * tilt)
        return np.hypot(dx, dy), np.arctan2(dy, dx + 0 * dy) + turn

    def distance(px: FloatArray, py: FloatArray) -> FloatArray:
        radius, angle = polar(px, py)
        return (radius - 0.55 - 0.45 * np.sqrt(abs(np.cos(angle * petals / 2)))) * size * 0.8

    def paint(px: FloatArray, py: FloatArray) -> FloatArray:
        radius, angle = polar(px, py)
        wave = abs(np.cos(angle * petals / 2))
        veins = 0.06 * np.sin(angle * petals * 7) * radius
        light = 0.62 + 0.42 * wave**0.5 + veins - 0.15 * np.sin(angle - turn - 0.7)
        return blend(inner, outer, 1.5 * radius - 0.25) * light[..., None]

    c.fill(
        ellipse(x + 0.12 * size, y + 0.16 * size, size, size * tilt),
        (0, 0.05, 0),
        opacity=0.4,
        blur=0.5 * size,
    )
    c.fill(Shape((x - size, y - size, x + size, y + size), distance), paint, blur=blur)
    heart = 0.27 * size
    c.fill(ellipse(x, y, heart, heart * tilt), hsv(0.12, 0.9, 0.75), blur=blur)
    for _ in range(30):
        r, angle = heart * 0.9 * np.sqrt(rng.uniform()), rng.uniform(0, 6.3)
        dot = ellipse(x + r * np.cos(angle), y + r * np.sin(angle) * tilt, 0.12 * heart)
        c.fill(dot, hsv(rng.uniform(0.07, 0.14), 0.9, rng.uniform(0.35, 1)), blur=blur)


def sails(c: Canvas) -> None:
    """Sailing boats on a sea with small waves, and their reflections."""
    rng = c.rng
    horizon = rng.uniform(0.38, 0.52)
    hue = rng.uniform(0.48, 0.6)
    warm = rng.uniform(0.03, 0.12)
    low = hsv(warm, rng.uniform(0.05, 0.45), 1.0)
    _sky(c, hsv(hue, rng.uniform(0.35, 0.7), 0.85), low, clouds=rng.uniform(0.2, 1.0), bottom=horizon)
    sun = rng.uniform(0.15, 0.85) * c.width
    _sun(c, sun, horizon - rng.uniform(0.08, 0.25), warm)
    first = round(horizon * c.rgb.shape[0])
    for x, size in zip(rng.uniform(0.1, 0.9, 4) * c.width, sorted(rng.uniform(0.05, 0.32, 4)), strict=True):
        _boat(c, float(x), horizon + 0.012, float(size))
    below = c.y[first:] - horizon + 0.012
    waves = tile(1.3)
    rows = (rng.integers(0, 1024) + 110 / below).astype(int) % 1024
    columns = (rng.integers(0, 1024) + 130 * (c.x - c.width / 2) / below).astype(int) % 1024
    wave = 1.4 * waves[rows, columns] * below / (below + 0.05)  # far waves are too small to see
    # Water shows the mirror image of what is above the horizon, each row pushed aside by its waves.
    mirror_row = np.clip(
        first - 1 - (np.arange(len(below))[:, None] * 0.95 + 5 * wave).astype(int), 0, first - 1
    )
    mirror_column = np.clip(
        np.arange(c.rgb.shape[1])[None, :] + (6 * wave * (0.3 + below)).astype(int), 0, c.rgb.shape[1] - 1
    )
    mirror = c.rgb[mirror_row, mirror_column]
    water = blend(hsv(hue, 0.6, 0.55), hsv(hue + 0.03, 0.85, 0.25), 1.6 * below + 0.22 * wave)
    glitter = 0.7 * np.clip(wave - 1.1, 0, 1) * np.exp(-(((c.x - sun) / (0.06 + 0.35 * below)) ** 2))
    c.rgb[first:] = 0.55 * water + 0.42 * mirror + 0.05 * wave[..., None] + glitter[..., None] * low
    for x, size in zip(rng.uniform(0.1, 0.9, 1) * c.width, rng.uniform(0.4, 0.6, 1), strict=True):
        c.fill(ellipse(x, horizon + 0.33, 0.3 * size, 0.03), (0, 0.05, 0.1), opacity=0.5, blur=0.04)
        _boat(c, float(x), horizon + 0.33, float(size))


def _boat(c: Canvas, x: float, water: float, size: float) -> None:
    rng = c.rng
    hull, mast, lean = (
        hsv(rng.uniform(), 0.7, rng.uniform(0.25, 0.8)),
        water - size,
        rng.uniform(-0.04, 0.08) * size,
    )
    cloth, stripe = hsv(rng.uniform(), rng.uniform(0, 0.25), 0.98), hsv(rng.uniform(), 0.8, 0.85)
    n = int(rng.integers(3, 8))

    def paint(px: FloatArray, py: FloatArray) -> FloatArray:
        band = ((py - mast) / size * n + 0.3 * (px - x) / size).astype(int) % 3 == 1
        shade = 1.0 - 0.5 * np.clip((px - x) / size + 0.2, 0, 0.6) + 0 * py
        return np.where(band[..., None], stripe, cloth) * shade[..., None]

    deck = water - 0.1 * size
    c.fill(
        polygon(
            (x + lean, mast + 0.04 * size),
            (x + 0.36 * size, deck - 0.05 * size),
            (x + 0.03 * size, deck - 0.05 * size),
        ),
        paint,
    )
    c.fill(
        polygon(
            (x + lean, mast + 0.1 * size), (x - 0.01 * size, deck - 0.04 * size), (x - 0.28 * size, deck)
        ),
        cloth * 0.85,
    )
    c.fill(_line(x + lean, mast, x, deck, 0.008 * size + 0.001), (0.2, 0.15, 0.1))
    c.fill(
        polygon(
            (x - 0.33 * size, deck),
            (x + 0.38 * size, deck),
            (x + 0.27 * size, water),
            (x - 0.24 * size, water),
        ),
        hull,
    )
    c.fill(
        rectangle(x - 0.3 * size, deck + 0.02 * size, x + 0.34 * size, deck + 0.035 * size), (0.95, 0.93, 0.9)
    )


def lanterns(c: Canvas) -> None:
    """A street at night: paper lanterns, lights out of focus, a wet road."""
    rng = c.rng
    hue = rng.uniform(0.58, 0.72)
    road = rng.uniform(0.72, 0.82)
    c.rgb[:] = blend(hsv(hue, 0.75, 0.1), hsv(hue + 0.1, 0.5, 0.32), c.y / road + 0.1 * c.texture(1.7))
    x = -0.05
    while x < c.width:
        width, top = rng.uniform(0.12, 0.3), rng.uniform(0.15, 0.5)
        c.fill(rectangle(x, top, x + width, road), _facade(c, hsv(hue, 0.4, 0.13), x, top, width, lit=0.35))
        x += width * rng.uniform(1.0, 1.15)
    for _ in range(45):
        r = rng.uniform(0.012, 0.05)
        light = hsv(
            rng.choice([0.03, 0.08, 0.12, 0.5, 0.6, 0.85]) + rng.uniform(-0.02, 0.02),
            rng.uniform(0.5, 0.9),
            1,
        )
        y = road - rng.gamma(2.0, 0.06)
        c.fill(ellipse(rng.uniform(0, c.width), y, r), light, opacity=rng.uniform(0.25, 0.75), blur=0.25 * r)
    for line in range(int(rng.integers(1, 4))):
        start, sag = rng.uniform(0.02, 0.25) + 0.08 * line, rng.uniform(0.05, 0.2)
        n, r = int(rng.integers(4, 8)), rng.uniform(0.035, 0.075)
        red = rng.choice([0.0, 0.04, 0.09, 0.13, 0.93])
        for i in range(n):
            t = (i + 0.5) / n
            _lantern(c, t * c.width, start + sag * 4 * t * (1 - t) + 0.09, r, float(red))
    first = round(road * c.rgb.shape[0])
    rows = np.arange(c.rgb.shape[0] - first)
    wet = c.texture(1.7, 4, 1)[first:] + 0.15 * c.texture(0.4)[first:]
    source_row = np.clip(first - 1 - (rows[:, None] * 1.8 + 7 * wet).astype(int), 0, first - 1)
    columns = np.clip(np.arange(c.rgb.shape[1])[None, :] + (5 * wet).astype(int), 0, c.rgb.shape[1] - 1)
    fade = np.linspace(0.75, 0.3, len(rows), dtype=np.float32)[:, None, None]
    c.rgb[first:] = c.rgb[source_row, columns] * fade + (0.04 + 0.015 * wet)[..., None]


def _lantern(c: Canvas, x: float, y: float, r: float, hue: float) -> None:
    hue += c.rng.uniform(-0.02, 0.02)
    c.fill(ellipse(x, y, 3 * r), hsv(hue + 0.02, 0.7, 1), opacity=0.3, blur=4.5 * r)
    c.fill(_line(x, y - 0.12 - r, x, y - r, 0.0015), (0.05, 0.04, 0.05))

    def paint(px: FloatArray, py: FloatArray) -> FloatArray:
        dx, dy = (px - x) / r, (py - y) / r
        ribs = 0.88 + 0.12 * np.cos(dy * 22)
        glow = np.clip(1.15 - 0.55 * np.hypot(dx, dy - 0.15) ** 2, 0, 2) * ribs
        return blend(hsv(hue, 0.95, 0.75), hsv(hue + 0.07, 0.55, 1), glow * 0.8 - 0.1) * glow[..., None]

    c.fill(ellipse(x, y, r, 0.82 * r), paint)
    for end in (-1, 1):
        c.fill(
            rectangle(x - 0.35 * r, y + end * 0.8 * r - 0.07 * r, x + 0.35 * r, y + end * 0.8 * r + 0.07 * r),
            (0.1, 0.05, 0.03),
        )


def _sky(c: Canvas, top: Color, low: Color, *, clouds: float, bottom: float = 0.6) -> None:
    """A gradient from top to low (reached at height `bottom`), with clouds of that strength (0..1)."""
    height = c.y / bottom
    c.rgb[:] = blend(top, low, height**1.3 + 0 * c.x)
    billow = c.texture(1.7, 2, 1) + 0.25 * c.texture(1.0, 3, 2)
    cover = np.clip(0.45 * billow - 0.25 + 0.5 * clouds * (1 - 0.4 * height), 0, 1) * clouds
    lit = np.clip(0.94 - 0.1 * c.texture(1.7, 2, 1), 0, 1)
    c.rgb += cover[..., None] * (lit[..., None] * np.array((1.0, 0.985, 0.97), np.float32) - c.rgb)


def _sun(c: Canvas, x: float, y: float, hue: float) -> None:
    c.fill(ellipse(x, y, 0.35), hsv(hue, 0.4, 1), opacity=0.6, blur=0.65)
    c.fill(ellipse(x, y, 0.045), hsv(hue + 0.03, 0.12, 1), blur=0.01)


def _ridge(c: Canvas, level: float, height: float) -> FloatArray:
    """The upper edge of a ridge: one y a column, smooth noise around `level` with a little roughness."""
    start = int(c.rng.integers(0, 1024))
    place = int(c.rng.integers(0, 1024))
    line = tile(2.5)[place] + 0.15 * tile(1.7)[place]
    return level + height * line[(start + np.arange(c.rgb.shape[1])) % 1024]


def _line(x0: float, y0: float, x1: float, y1: float, half: float) -> Shape:
    """A straight line as a thin quadrilateral, `half` image heights to each side."""
    length = float(np.hypot(x1 - x0, y1 - y0))
    nx, ny = -(y1 - y0) / length * half, (x1 - x0) / length * half
    return polygon((x0 - nx, y0 - ny), (x1 - nx, y1 - ny), (x1 + nx, y1 + ny), (x0 + nx, y0 + ny))


SCENES: tuple[Callable[[Canvas], None], ...] = (
    towers,
    hills,
    balloons,
    marbles,
    mosaic,
    flowers,
    sails,
    lanterns,
)
"""In the order of their labels; a function's name is its class's name."""
