"""Draw a displacement as a grid: lines that were straight in the source, carried along by the warp."""

import numpy as np
from numpy.typing import NDArray

from .displacement import Displacement

_PAPER = np.array((252, 252, 249), np.float32)
#: Colors from no displacement to the largest.
_RAMP = np.array([_PAPER, (206, 230, 227), (128, 193, 198), (62, 143, 172)], np.float32)
_LINE, _EDGE, _FOLD = (np.array(c, np.float32) for c in ((24, 46, 60), (202, 84, 44), (226, 76, 56)))
_BEYOND = np.array((236, 235, 230), np.float32)


def draw_grid(displacement: Displacement, *, limit_px: float, lines: int = 14) -> NDArray[np.uint8]:
    """The grid as an image of the output's size.

    An output pixel shows what lies at its source position, so this is what the warp makes of a photograph
    of a regular grid. The stronger line is the crop's edge; beyond it, where the border is mirrored, the
    ground is gray. A fold (negative determinant of the Jacobian) is red.

    Args:
        displacement: What to draw.
        limit_px: Displacement in pixels that gets the darkest color.
        lines: Cells along the shorter side.

    Returns:
        uint8 (height, width, 3).
    """
    height, width = displacement.height, displacement.width
    ux, uy = displacement.dense()
    x = ux + np.arange(width, dtype=np.float32) + np.float32(0.5)
    y = uy + np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5)
    dx, dy = np.gradient(x), np.gradient(y)  # each (d/d row, d/d column)
    rgb = _shade(np.hypot(ux, uy) / max(limit_px, 1e-6))
    beyond = (x < 0) | (x > width) | (y < 0) | (y > height)
    rgb[beyond] = 0.45 * rgb[beyond] + 0.55 * _BEYOND
    folded = dx[1] * dy[0] - dx[0] * dy[1] < 0
    rgb[folded] = 0.35 * rgb[folded] + 0.65 * _FOLD
    spacing = min(height, width) / lines
    for place, slope, side in ((x, dx, width), (y, dy, height)):
        steep = np.maximum(np.hypot(*slope), 0.2)  # a line does not grow without bound where the map is flat
        nearest = np.rint(place / spacing) * spacing
        _ink(rgb, _LINE, np.abs(place - nearest) / steep, 0.55, 0.8)
        edge = np.minimum(np.abs(place), np.abs(place - side)) / steep
        _ink(rgb, _EDGE, edge, 1.0, 1.0)
    return np.clip(rgb + 0.5, 0, 255).astype(np.uint8)


def draw_scale(width: int, height: int) -> NDArray[np.uint8]:
    """The colors of a displacement from 0 to the limit, left to right."""
    return np.repeat(_shade(np.linspace(0, 1, width, dtype=np.float32))[None], height, 0).astype(np.uint8)


def _shade(part: NDArray[np.float32]) -> NDArray[np.float32]:
    """The ramp's color for each part 0..1 of the limit, (..., 3)."""
    steps = np.linspace(0, 1, len(_RAMP))
    channels = [np.interp(np.clip(part, 0, 1), steps, _RAMP[:, c]) for c in range(3)]
    return np.stack(channels, -1).astype(np.float32)


def _ink(
    rgb: NDArray[np.float32],
    color: NDArray[np.float32],
    distance: NDArray[np.float32],
    half: float,
    opacity: float,
) -> None:
    """Draw a line of half-width `half` where `distance` (pixels) is small; its edge is one pixel soft."""
    cover = opacity * np.clip(half + 0.5 - distance, 0, 1)[..., None]
    rgb += cover * (color - rgb)
