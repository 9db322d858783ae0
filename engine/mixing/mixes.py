"""Mixes as data: MixUp, CutMix, FMix, ResizeMix, and mixing by masks of the user's.

All are drawn for each sample by itself (none once a batch), and share four options, see `_Mix`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fieldloom.errors import ArgumentError
from fieldloom.kernels.stages.records import MAX_WAYS
from fieldloom.options import choice, flag, is_number, number, pair

PARTNERS = ("random", "same_class", "other_class", "reversed")
LABELS = ("same", "sampled", "independent")
#: Largest table of masks in bytes.
_MOST_BYTES = 1 << 31


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mix:
    """Options that all mixes have; each class explains its own, and how its labels follow."""

    p: float = 1.0
    partner: str = "random"
    labels: str | float = "same"
    stop_at: float | None = None


def _check_shared(mix: _Mix) -> None:
    object.__setattr__(mix, "p", number(mix, "p", mix.p, 0, 1))
    choice(mix, "partner", mix.partner, PARTNERS)
    if is_number(mix.labels):
        object.__setattr__(mix, "labels", number(mix, "labels", mix.labels, 0, 1))
    else:
        choice(mix, "labels", mix.labels, LABELS)
    if mix.stop_at is not None:
        object.__setattr__(mix, "stop_at", number(mix, "stop_at", mix.stop_at, 0, 1))


@dataclass(frozen=True, slots=True)
class MixUp(_Mix):
    """Blend each image with a partner: lam a + (1 - lam) b, lam ~ Beta(alpha, alpha).

    Args:
        alpha: Of the Beta law; 1.0 (uniform) as torchvision has it, the paper takes 0.1 to 0.4 on ImageNet.
        p: Probability that a sample is mixed, times its strength.
        partner: Among the other members of its group in the plan (`DataLoader(mix_group=)`): "random",
            "same_class", "other_class", or "reversed" (the mirrored place, as timm has it). Where nobody
            fits the rule, the sample stays as it is.
        labels: Weight of the sample's own label: "same" is lam; "independent" another draw from the law; a
            number is that. ("sampled" is the same as "same" here.)
        stop_at: No mixing from this fraction of training on, which `DataLoader(epochs=)` must know.

    Labels: own class with weight lam, partner's with 1 - lam, in `batch.mix`.
    Launches: one more, `finish`, shared with erasing and all other mixes.
    Source: Zhang et al., mixup, arXiv 1710.09412; partners and stop: "Benefits of mixup".
    Exactness: one multiply-add in float32 on the 8-bit levels, before they are normalized.
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", number(self, "alpha", self.alpha, 1e-3, 1e3))
        _check_shared(self)


@dataclass(frozen=True, slots=True)
class CutMix(_Mix):
    """Show a box of the partner in each image.

    Sides are floor(sqrt(1 - lam)) of the image's, lam ~ Beta(alpha, alpha); the center is uniform over the
    pixels, and the box is cut at the borders.

    Args:
        alpha: Of the Beta law.
        minmax: Draw each side by itself instead, uniform between these fractions of the image's, the box
            uniform inside the image (timm's `cutmix_minmax`).
        p: Probability that a sample is mixed, times its strength.
        partner: As for `MixUp`.
        labels: Weight of the sample's own label: "same" is the share of its pixels that are left, exactly
            (0.682 on average at alpha = 1); "sampled" lam itself, whatever the borders cut; "independent" the
            share of another box; a number is that.
        stop_at: No mixing from this fraction of training on, which `DataLoader(epochs=)` must know.

    Labels: own class with that weight, partner's with the rest, in `batch.mix`.
    Launches: one more, `finish`, shared with erasing and all other mixes.
    Source: Yun et al., CutMix, arXiv 1905.04899.
    Exactness: pixels are copied; shares are exact.
    """

    alpha: float = 1.0
    minmax: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", number(self, "alpha", self.alpha, 1e-3, 1e3))
        if self.minmax is not None:
            object.__setattr__(self, "minmax", pair(self, "minmax", self.minmax, 0, 1))
        _check_shared(self)


@dataclass(frozen=True, slots=True)
class FMix(_Mix):
    """Show the partner where a mask of low-frequency noise is below its threshold.

    A mask for each sample: a random field with amplitudes frequency^-decay, isotropic, thresholded by rank so
    that exactly floor or ceil (a fair coin) of lam times all pixels stay the sample's own, lam ~ Beta(alpha,
    alpha). (The published code draws one mask a batch, and its field varies along one axis only.)

    Args:
        alpha: Of the Beta law.
        decay: Exponent of the spectrum; larger is smoother.
        max_soft: Half width of the soft edge, as a share of all pixels (by rank), at most min(lam, 1 - lam);
            0 for hard edges.
        reformulate: The paper's other form: lam ~ Beta(alpha + 1, alpha), and the label is the sample's own.
        p: Probability that a sample is mixed, times its strength.
        partner: As for `MixUp`.
        labels: Weight of the sample's own label: "same" is its share of the pixels; "sampled" lam before it
            became whole pixels (as published); "independent" another draw; a number is that.
        stop_at: No mixing from this fraction of training on, which `DataLoader(epochs=)` must know.

    Labels: own class with that weight, partner's with the rest, in `batch.mix`.
    Launches: two more, `masks` and `finish`; the latter is shared with erasing and all other mixes.
    Source: Harris et al., FMix, arXiv 2002.12047.
    Exactness: the count of pixels is exact; see `fieldloom.kernels.stages.masks` for the field.
    """

    alpha: float = 1.0
    decay: float = 3.0
    max_soft: float = 0.0
    reformulate: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", number(self, "alpha", self.alpha, 1e-3, 1e3))
        object.__setattr__(self, "decay", number(self, "decay", self.decay, 0.1, 10))
        object.__setattr__(self, "max_soft", number(self, "max_soft", self.max_soft, 0, 0.5))
        flag(self, "reformulate", self.reformulate)
        _check_shared(self)


@dataclass(frozen=True, slots=True)
class ResizeMix(_Mix):
    """Paste the whole partner, shrunk, into each image.

    Both sides are shrunk by tau ~ U(scale), rounded down to whole pixels; the center is uniform over the
    pixels, and the box is shifted (not cut) to lie inside.

    Args:
        scale: Range of tau.
        antialias: Average the pixels that each one covers; False takes the nearest, as published.
        p: Probability that a sample is mixed, times its strength.
        partner: As for `MixUp`.
        labels: Weight of the sample's own label: "same" is the share of its pixels that are left, exactly
            (0.757 on average at the default scale); "sampled" 1 - tau^2; "independent" the share at another
            tau; a number is that.
        stop_at: No mixing from this fraction of training on, which `DataLoader(epochs=)` must know.

    Labels: own class with that weight, partner's with the rest, in `batch.mix`.
    Launches: one more, `finish`, shared with erasing and all other mixes.
    Source: Qin et al., ResizeMix, arXiv 2012.11101.
    Exactness: pixels are copied, or averaged in whole numbers and rounded; shares are exact.
    """

    scale: tuple[float, float] = (0.1, 0.8)
    antialias: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", pair(self, "scale", self.scale, 1e-3, 1.0))
        flag(self, "antialias", self.antialias)
        _check_shared(self)


@dataclass(frozen=True, slots=True, eq=False)
class MaskMix(_Mix):
    """Mix two to four images by weights of the user's, a weight for each image and pixel.

    A sample gets one of the k sets of masks, each alike often, and as many different partners as the set has
    ways besides its own. (In a group with fewer members partners come again.)

    Args:
        masks: (k, ways, height, width), 2 to 4 ways, the sample's own first; at least 0, and 1 in sum over
            the ways. NumPy, torch, or anything that converts. Any resolution: resized bilinearly to the
            output's when the recipe is compiled, then held in 8 bits.
        p: Probability that a sample is mixed, times its strength.
        partner: As for `MixUp`; "reversed" goes on behind the mirrored place for more ways.
        labels: Weight of the sample's own label: "same" is the mean of its mask (and of each partner's, the
            mean of theirs); "independent" those of another set; a number is that, and the partners share the
            rest. ("sampled" is the same as "same" here.)
        stop_at: No mixing from this fraction of training on, which `DataLoader(epochs=)` must know.

    Labels: one class and weight for each way, in `batch.mix`.
    Launches: one more, `finish`, shared with erasing and all other mixes.
    Source: N-way mixing as AdAutoMix has it, arXiv 2312.11954; for masks that come from a network see
    `fieldloom.mixing.mix_batch`.
    Exactness: weights are multiples of 1/255; weight 1 gives the pixel itself.
    """

    masks: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "masks", _checked_masks(self.masks))
        _check_shared(self)


def _checked_masks(masks: Any) -> np.ndarray:
    try:
        host = masks.detach().cpu().numpy() if hasattr(masks, "detach") else masks
        values = np.array(host, np.float32)  # a copy: later changes of the user's must not reach it
    except (TypeError, ValueError):
        values = np.zeros(0, np.float32)
    if values.ndim != 4 or not 2 <= values.shape[1] <= MAX_WAYS or not values.size:
        raise ArgumentError.make(
            f"MaskMix masks of shape {getattr(masks, 'shape', None) or type(masks).__name__}",
            why=f"not (k, ways, height, width) with 2 to {MAX_WAYS} ways",
            remedy="Pass one weight for each set, image and pixel; the sample's own comes first.",
        )
    if not np.isfinite(values).all() or values.min() < 0 or abs(values.sum(1) - 1).max() > 1e-3:
        raise ArgumentError.make(
            f"MaskMix masks from {values.min():g} to {values.max():g}, in sum over the ways "
            f"{values.sum(1).min():g} to {values.sum(1).max():g}",
            why="weights are at least 0, and 1 in sum",
            remedy="Divide by the sum over axis 1, or take a softmax.",
        )
    values.setflags(write=False)
    return values


def mask_table(mix: MaskMix, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """What the kernels get: 8-bit weights of the partners, and the pixel shares of all.

    Args:
        mix: Its masks.
        height: Output height; `width` its width.
        width: See `height`.

    Returns:
        uint8 (k, ways - 1, height, width) that sum to at most 255 over the ways, and float64 (k, ways).

    Raises:
        ArgumentError: The table would have more than 2 GiB.
    """
    sets, ways = mix.masks.shape[:2]
    if sets * (ways - 1) * height * width > _MOST_BYTES:
        raise ArgumentError.make(
            f"MaskMix of {sets} sets at {height} x {width} pixels",
            why=f"{sets * (ways - 1) * height * width / 2**30:.1f} GiB of masks, more than 2",
            remedy="Pass fewer sets.",
        )
    table = np.empty((sets, ways - 1, height, width), np.uint8)
    for values, planes in zip(mix.masks, table, strict=True):
        full = _resized(values[1:].astype(np.float64), height, width)
        # Rounded in sum: each by itself could exceed 255 together.
        ends = np.floor(np.clip(np.cumsum(full, 0), 0, 1) * 255 + 0.5)
        planes[:] = np.diff(ends, axis=0, prepend=0)
    partners = table.mean((2, 3), dtype=np.float64) / 255
    return table, np.concatenate([1 - partners.sum(1, keepdims=True), partners], 1)


def _resized(planes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear, pixel centers at halves, edges repeated: (m, h, w) -> (m, height, width)."""
    for axis, side in ((1, height), (2, width)):
        old = planes.shape[axis]
        at = np.clip((np.arange(side) + 0.5) * old / side - 0.5, 0, old - 1)
        low = np.floor(at).astype(np.int64)
        shape = [1, 1, 1]
        shape[axis] = side
        part = (at - low).reshape(shape)
        lower, upper = planes.take(low, axis), planes.take(np.minimum(low + 1, old - 1), axis)
        planes = lower + part * (upper - lower)
    return planes
