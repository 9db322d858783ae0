"""From levels to magnitudes: the ranges of a policy as columns, and drawn operations as STEP records."""

from dataclasses import dataclass

import numpy as np

from .operations import OPERATIONS, make_steps, operation_index
from .policies import NEUTRAL, Color, Range

IDENTITY_INDEX = operation_index("identity")
_CUTOUT = operation_index("cutout")
#: A factor below 0 would turn an image into its negative; no strength shall do that.
_FACTORS = ("brightness", "color", "contrast", "sharpness")


@dataclass(slots=True)
class Drawn:
    """Operations of a batch, one column a step.

    Attributes:
        operations: int64 (n, k), in the order of OPERATIONS; that of "identity" where nothing happens.
        values: float64 (n, k): magnitudes in native units, of no meaning where there is none.
        centers: float64 (n, k, 2): y and x of cutouts in pixels; None where no cutout can occur.
        ranges: int64 (n, k): which of the item's ranges each came from.
    """

    operations: np.ndarray
    values: np.ndarray
    centers: np.ndarray | None
    ranges: np.ndarray


class Columns:
    """Ranges as arrays, for images of one size; each attribute has one entry a range.

    Args:
        ranges: The ranges.
        height: Of the images, in pixels; `width` likewise.
        width: See `height`.
    """

    def __init__(self, ranges: tuple[Range, ...], height: int, width: int) -> None:
        self.height, self.width = height, width
        sides = [_side(range_, height, width) for range_ in ranges]
        neutral = [NEUTRAL.get(range_.operation, 0.0) for range_ in ranges]
        self.operations = np.array([operation_index(range_.operation) for range_ in ranges])
        self.low = np.array([range_.low * side for range_, side in zip(ranges, sides, strict=True)])
        self.high = np.array([range_.high * side for range_, side in zip(ranges, sides, strict=True)])
        self.signed = np.array([range_.signed for range_ in ranges])
        self.neutral = np.array(neutral)
        #: What distances from the neutral magnitude are measured from.
        self.origin = np.where(self.signed, 0.0, self.neutral)
        self.graded = np.array([range_.operation in NEUTRAL for range_ in ranges])
        self.least = np.array([_least(range_) for range_ in ranges])
        self.most = np.array([OPERATIONS[range_.operation].high for range_ in ranges])
        self.rounding = np.array([range_.rounding for range_ in ranges])
        self.roundings = sorted({range_.rounding for range_ in ranges} - {""})
        self.has_cutout = _CUTOUT in self.operations
        fills = [range_.fill for range_ in ranges]
        self.own_fill = np.array([fill is not None for fill in fills])
        self.fills = np.floor(np.array([fill or (0, 0, 0) for fill in fills], np.float64) + 0.5)

    def values(
        self, rows: np.ndarray, levels: np.ndarray, negative: np.ndarray, strength: np.ndarray | None = None
    ) -> np.ndarray:
        """Magnitudes in native units.

        Args:
            rows: Which range, integers of any shape.
            levels: float64, of that shape.
            negative: bool, of that shape: the side to which a signed range goes.
            strength: Multiplies the distance from the neutral magnitude; must broadcast. None: 1.

        Returns:
            float64: linear in the level and rounded to float32 (so that 30 * 0.1 is 3 before `rounding`).
        """
        low = self.low[rows]
        linear = (low + (self.high[rows] - low) * levels).astype(np.float32).astype(np.float64)
        away = linear - self.origin[rows]
        away = np.where(negative & self.signed[rows], -away, away)
        if strength is not None:
            away = away * strength
        value = self.neutral[rows] + away
        for rounding in self.roundings:
            value = np.where(self.rounding[rows] == rounding, _ROUND[rounding](value), value)
        return np.minimum(np.maximum(value, self.least[rows]), self.most[rows])

    def gates(self, rows: np.ndarray, p: np.ndarray | float, strength: np.ndarray | None) -> np.ndarray:
        """Probabilities that operations happen: of those without a magnitude, `strength` scales these."""
        if strength is None:
            return np.broadcast_to(p, rows.shape)
        share = np.where(self.graded[rows], strength > 0, np.minimum(strength, 1))
        return p * share

    def draw(self, rows: np.ndarray, values: np.ndarray, on: np.ndarray, centers: np.ndarray | None) -> Drawn:
        """Operations where gates are open; identity elsewhere, and where the magnitude is the neutral one."""
        on = on & ~(self.graded[rows] & (values == self.neutral[rows]))
        return Drawn(np.where(on, self.operations[rows], IDENTITY_INDEX), values, centers, rows)

    def steps(self, drawn: Drawn, *, fill: Color, bilinear: bool, noise_slot: int) -> np.ndarray:
        """STEP (n, k)."""
        shape = drawn.operations.shape
        centers = None if drawn.centers is None else drawn.centers.reshape(-1, 2)
        steps = make_steps(
            drawn.operations.ravel(), drawn.values.ravel(), self.height, self.width,
            fill=fill, bilinear=bilinear, centers=centers, slot=noise_slot,
        )  # fmt: skip
        if self.own_fill.any():
            own = self.own_fill[drawn.ranges].ravel()
            steps["fill"][own, :3] = self.fills[drawn.ranges.ravel()[own]]
        return steps.reshape(shape)


def unit(words: np.ndarray) -> np.ndarray:
    """uint32 words as float32 in [0, 1): their upper 24 bits."""
    return (words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def index_below(words: np.ndarray, count: int | np.ndarray) -> np.ndarray:
    """uint32 words as int64 in 0..count - 1, uniform up to count / 2^32; `count` may be an array."""
    return (words.astype(np.uint64) * np.asarray(count).astype(np.uint64) >> np.uint64(32)).astype(np.int64)


def whole_centers(words: np.ndarray, columns: Columns) -> np.ndarray:
    """Centers of cutouts, uniform over the pixels: float64 (..., 2) from words (..., 4)."""
    y, x = index_below(words[..., 0], columns.height), index_below(words[..., 1], columns.width)
    return np.stack([y, x], -1).astype(np.float64)


def _side(range_: Range, height: int, width: int) -> float:
    if not range_.of_side:
        return 1.0
    return {"translate_x": width, "translate_y": height}.get(range_.operation, min(height, width))


def _least(range_: Range) -> float:
    if range_.least is not None:
        return range_.least
    if range_.operation == "posterize":  # a strength above 1 must not make black what was an image
        return min(1.0, range_.low, range_.high)
    return 0.0 if range_.operation in _FACTORS else OPERATIONS[range_.operation].low


_ROUND = {"nearest": np.rint, "trunc": np.trunc, "ceil": np.ceil}
