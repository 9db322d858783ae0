"""Random erasing: where a box of each sample is erased, and with what."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy import float32 as f32
from numpy import int64 as i64
from numpy import uint64 as u64

from fieldloom.kernels.elementary import exp2
from fieldloom.kernels.intrinsics import entry
from fieldloom.kernels.philox import unit

from .records import ERASE_CONSTANT

if TYPE_CHECKING:
    from fieldloom.kernels.keys import Keys

#: Tries for a box that fits, as published.
TRIES = 10
# Draw 0 of the slot is the color that a whole box may get, which the stage draws itself.
_GATE, _FIRST_TRY = 1, 2
#: ImageNet's mean and standard deviation, of values in 0..1.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Erase:
    """Erase a box of each sample with probability p.

    Attributes:
        p: Probability.
        scale: Range of the box's area as a share of the image.
        ratio: Range of its height / width, log-uniform.
        kind: ERASE_CONSTANT, ERASE_REGION or ERASE_PIXEL.
        fill: Color 0..255; None: the mean that the recipe normalizes with, and normal colors have its
            standard deviation too (`erase_levels`).
        slot: Random slot.
    """

    p: float
    scale: tuple[float, float]
    ratio: tuple[float, float]
    kind: int = ERASE_CONSTANT
    fill: tuple[float, float, float] | None = None
    slot: int = 0


def erase_levels(
    erase: Erase, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Color of erased pixels, and standard deviation of normal ones.

    Args:
        erase: What is erased.
        mean: What the recipe subtracts from values in 0..1, and `std` divides by. Mean 0 and deviation 1
            (no normalization) stand for ImageNet's.
        std: See `mean`.

    Returns:
        Two float32 (3,), in levels 0..255.
    """
    if not any(mean) and all(s == 1 for s in std):
        mean, std = _MEAN, _STD
    level = 255 * np.asarray(mean) if erase.fill is None else np.asarray(erase.fill)
    return level.astype(np.float32), (255 * np.asarray(std)).astype(np.float32)


@entry
def _propose(words, rows, height, width, scale, log2_ratio, out):  # type: ignore[no-untyped-def]
    """One try for the samples `rows`; keeps those that fit, and returns the others."""
    failed = np.empty(len(rows), np.int64)
    left = 0
    spread = f32(log2_ratio[1]) - f32(log2_ratio[0])
    for k in range(len(rows)):
        a, b, c, d = words[rows[k]]
        area = (scale[0] + (scale[1] - scale[0]) * np.float64(unit(a))) * np.float64(height * width)
        ratio = np.float64(exp2(f32(log2_ratio[0]) + spread * unit(b)))
        h = i64(np.floor(np.sqrt(area * ratio) + 0.5))
        w = i64(np.floor(np.sqrt(area / ratio) + 0.5))
        if 0 < h < height and 0 < w < width:
            y = i64((u64(c) * u64(height - h + 1)) >> u64(32))
            x = i64((u64(d) * u64(width - w + 1)) >> u64(32))
            box = out[rows[k]]
            box[0], box[1], box[2], box[3] = y, x, y + h, x + w
        else:
            failed[left] = rows[k]
            left += 1
    return failed[:left]


def draw_erasing(
    erase: Erase, keys: "Keys", height: int, width: int, strength: np.ndarray | None = None, view: int = 0
) -> np.ndarray:
    """Draw the box of every sample.

    Args:
        erase: What is erased.
        keys: Keys of n samples.
        height: Output height; `width` its width.
        width: See `height`.
        strength: float32 (n,) >= 0, multiplies the probability; None is 1 for all.
        view: Which view of the samples.

    Returns:
        int32 (n, 4): y0, x0, y1, x1 (ends exclusive); zeros where nothing is erased, which is also the case
        when none of ten boxes was smaller than the image on both sides.

    Source: Zhong et al., "Random erasing data augmentation" (AAAI 2020), with the rules of torchvision's
    and timm's classes: sides rounded to whole pixels, both below the image's.
    """
    out = np.zeros((len(keys), 4), np.int32)
    p = f32(erase.p) if strength is None else f32(erase.p) * np.asarray(strength, np.float32)
    left = np.flatnonzero(keys.units(erase.slot, _GATE, view)[:, 0] < p)
    scale, log2_ratio = np.asarray(erase.scale, np.float64), np.log2(np.asarray(erase.ratio, np.float64))
    for attempt in range(TRIES):
        if not len(left):
            break
        words = keys.words(erase.slot, _FIRST_TRY + attempt, view)
        left = _propose(words, left, height, width, scale, log2_ratio, out)
    return out
