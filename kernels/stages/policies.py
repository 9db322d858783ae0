"""What the policies of a recipe do, as plain data: which operations a sample may get, and how strong.

The engine's classes are a user's vocabulary; these items are what `policy_draws` draws from. Ranges are
checked above. Magnitudes are in each operation's native unit (`operations.py`).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

#: At which magnitude an operation does nothing; those that are not listed have no magnitude.
NEUTRAL = {
    "shear_x": 0.0,
    "shear_y": 0.0,
    "translate_x": 0.0,
    "translate_y": 0.0,
    "rotate": 0.0,
    "brightness": 1.0,
    "color": 1.0,
    "contrast": 1.0,
    "sharpness": 1.0,
    "posterize": 8.0,
    "solarize": 256.0,
    "solarize_add": 0.0,
    "cutout": 0.0,
    "gaussian_blur": 0.0,
    "gaussian_noise": 0.0,
}
#: Chains of `Chains` at most, and operations of one.
MAX_WIDTH = MAX_DEPTH = 8

Rounding = Literal["", "nearest", "trunc", "ceil"]
Color = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Range:
    """One operation and how its magnitude follows from a level: linear, level 0 is `low`, level 1 is `high`.

    Attributes:
        operation: Its name.
        low: Magnitude at level 0; `high` at level 1.
        high: See `low`.
        signed: low and high are distances from the neutral magnitude, and a fair coin says to which side.
        rounding: How the magnitude becomes a whole number: "" not at all, "nearest" (halves to even),
            "trunc" towards zero, "ceil" up.
        of_side: low and high are fractions of the image: of its width for translate_x, of its height for
            translate_y, of the shorter side for all others.
        least: Smallest magnitude, where one is published.
        fill: Color for this operation, where it is not the item's.
    """

    operation: str
    low: float = 0.0
    high: float = 0.0
    signed: bool = False
    rounding: Rounding = ""
    of_side: bool = False
    least: float | None = None
    fill: Color | None = None


@dataclass(frozen=True, slots=True)
class Pick:
    """`n` operations one after the other, each drawn uniformly from `ranges`, with replacement.

    Attributes:
        ranges: What is drawn from.
        n: Operations.
        level: Smallest and largest level.
        bins: Levels at equal distances from the smallest to the largest, drawn uniformly; 0: all between.
        noise: Standard deviation of normal noise on the level, which is then clipped to 0..top.
        top: See `noise`.
        p: Probability of each operation.
        bilinear: Interpolation of geometric operations, else the nearest pixel.
        fill: RGB 0..255 of what lies outside.
        slot: Random slot.
    """

    ranges: tuple[Range, ...]
    n: int = 1
    level: tuple[float, float] = (1.0, 1.0)
    bins: int = 1
    noise: float = 0.0
    top: float = 1.0
    p: float = 1.0
    bilinear: bool = False
    fill: Color = (0.0, 0.0, 0.0)
    slot: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One operation of a sub-policy, at a fixed level, with probability p."""

    range: Range
    level: float
    p: float


@dataclass(frozen=True, slots=True)
class Pairs:
    """One of several pairs of operations, drawn uniformly.

    Attributes:
        table: The pairs.
        bilinear: As in `Pick`, like `fill` and `slot`.
        fill: See `bilinear`.
        slot: See `bilinear`.
    """

    table: tuple[tuple[Entry, Entry], ...]
    bilinear: bool = False
    fill: Color = (0.0, 0.0, 0.0)
    slot: int = 0


@dataclass(frozen=True, slots=True)
class Chains:
    """A weighted sum of the image and of `width` chains of operations on it (AugMix).

    Attributes:
        ranges: What each operation is drawn from.
        level: Between which levels, uniformly.
        width: Chains.
        depth: Operations a chain; 0: uniformly 1, 2 or 3.
        alpha: Parameter of the chains' Dirichlet weights, and of the Beta weight of their sum.
        views: Images that a sample becomes; if several, the first stays as it is.
        bilinear: As in `Pick`, like `fill` and `slot`.
        fill: See `bilinear`.
        slot: See `bilinear`.
    """

    ranges: tuple[Range, ...]
    level: tuple[float, float]
    width: int = 3
    depth: int = 0
    alpha: float = 1.0
    views: int = 1
    bilinear: bool = True
    fill: Color = (0.0, 0.0, 0.0)
    slot: int = 0

    @property
    def longest(self) -> int:
        """Operations of the longest chain."""
        return self.depth or 3


@dataclass(frozen=True, slots=True, eq=False)
class PerSample:
    """`k` different operations by each sample's own probabilities, at its own levels.

    Attributes:
        ranges: The operations, in the order of the columns below.
        probabilities: float32 (n_samples, len(ranges)), or one row for all; need not sum to 1.
        levels: float32, of the same shape.
        k: Operations a sample.
        jitter: Each level moves by U(-jitter, jitter), and stays in 0..1.
        fraction: Share of the samples that get any.
        tau: If not 0, the share is min(tanh(epoch / tau) + 0.01, fraction).
        bilinear: As in `Pick`, like `fill` and `slot`.
        fill: See `bilinear`.
        slot: See `bilinear`.
    """

    ranges: tuple[Range, ...]
    probabilities: np.ndarray
    levels: np.ndarray
    k: int = 2
    jitter: float = 0.0
    fraction: float = 1.0
    tau: float = 0.0
    bilinear: bool = False
    fill: Color = (0.0, 0.0, 0.0)
    slot: int = 0


Item = Pick | Pairs | Chains | PerSample


def operations_of(items: tuple[Item, ...]) -> set[str]:
    """Names of all operations that some sample may get."""
    ranges: list[Range] = []
    for item in items:
        if isinstance(item, Pairs):
            ranges += [entry.range for pair in item.table for entry in pair]
        else:
            ranges += item.ranges
    return {each.operation for each in ranges}
