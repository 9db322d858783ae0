"""Single operations with a probability, and 3-Augment."""

from dataclasses import dataclass

from fieldloom.errors import ArgumentError
from fieldloom.kernels.stages.operations import OPERATIONS, operation_index
from fieldloom.kernels.stages.policies import NEUTRAL, Pick, Range
from fieldloom.options import choice, color, flag, is_number, number, pair

from .operations import INTERPOLATIONS

_Span = float | tuple[float, float]


@dataclass(frozen=True, slots=True)
class Operation:
    """One named operation with probability p.

    Args:
        name: Such as "equalize", "autocontrast", "posterize", "solarize", "invert", "sharpness", "rotate",
            "shear_x"; a wrong name's error lists all.
        magnitude: A number, or a range (low, high) in which it is drawn uniformly (whole numbers where the
            operation takes those: bits of posterize, levels of solarize_add); None for operations that take
            none. In the operation's own unit: Pillow's factor, degrees, pixels, bits kept, threshold.
        p: Probability.
        signed: Magnitudes are distances from doing nothing (a factor of 1, an angle of 0), and a fair coin
            says to which side.
        interpolation: "nearest" or "bilinear", of geometric operations.
        fill: RGB 0..255, or one number, of what lies outside the image, and of cutouts.

    Per-sample strength multiplies the magnitude's distance from doing nothing; of an operation without a
    magnitude it multiplies (up to 1) the probability.

    Launches: one for the whole program, whatever its length.
    Source: Pillow's ImageOps, ImageEnhance, ImageFilter and Image.transform.
    Exactness: equal bit for bit to Pillow's operation, but for bilinear geometry (within a level),
    gaussian_blur (a true Gaussian, where Pillow blurs by boxes) and gaussian_noise.
    """

    name: str
    magnitude: _Span | None = None
    p: float = 1.0
    signed: bool = False
    interpolation: str = "nearest"
    fill: tuple[float, float, float] | float = 0.0

    def __post_init__(self) -> None:
        operation_index(self.name)
        flag(self, "signed", self.signed)
        if self.name not in NEUTRAL:
            if self.magnitude is not None or self.signed:
                raise ArgumentError.make(
                    f"Operation({self.name!r}) magnitude={self.magnitude!r}, signed={self.signed}",
                    why="this operation has no magnitude",
                    remedy="Leave both out.",
                )
        else:
            object.__setattr__(self, "magnitude", _magnitude(self))
        object.__setattr__(self, "p", number(self, "p", self.p, 0, 1))
        choice(self, "interpolation", self.interpolation, INTERPOLATIONS)
        object.__setattr__(self, "fill", color(self, "fill", self.fill))

    def item(self, slot: int) -> Pick:
        """What the kernels draw from."""
        low, high = (0.0, 0.0) if self.magnitude is None else _span(self.magnitude)
        bins = int(high - low) + 1 if OPERATIONS[self.name].whole else 0
        return Pick(
            (Range(self.name, low, high, self.signed),), 1, (0.0, 1.0), 1 if low == high else bins,
            p=self.p, bilinear=self.interpolation == "bilinear", fill=color(self, "fill", self.fill),
            slot=slot,
        )  # fmt: skip


def _span(magnitude: _Span) -> tuple[float, float]:
    return magnitude if isinstance(magnitude, tuple) else (magnitude, magnitude)


def _magnitude(owner: Operation) -> tuple[float, float]:
    taken, neutral = OPERATIONS[owner.name], NEUTRAL[owner.name]
    low, high = taken.low, taken.high
    if owner.name in ("brightness", "color", "contrast", "sharpness"):
        low, high = 0.0, 64.0
    if owner.signed:
        low, high = 0.0, min(high - neutral, neutral - low)
    span = _checked_span(owner, "magnitude", owner.magnitude, low, high)
    if taken.whole and (span[0] % 1 or span[1] % 1):
        raise ArgumentError.make(
            f"Operation({owner.name!r}) magnitude={owner.magnitude!r}",
            why=f"its unit ({taken.parameter}) is whole",
            remedy="Pass whole numbers.",
        )
    return span


def _checked_span(owner: object, option: str, value: object, low: float, high: float) -> tuple[float, float]:
    if is_number(value):
        size = number(owner, option, value, low, high)
        return size, size
    return pair(owner, option, value, low, high)


@dataclass(frozen=True, slots=True)
class Cutout:
    """A square of one color, its center uniform over the image, cut off at the edges.

    Args:
        size: Side in pixels, or a range (low, high) in which it is drawn.
        p: Probability.
        fill: RGB 0..255, or one number; FixMatch takes (125, 123, 114), CIFAR-10's mean.
        of_side: `size` is a fraction of the image's shorter side; (0.0, 0.5) is FixMatch's.

    Per-sample strength multiplies the side.

    Launches: one for the whole program, whatever its length.
    Source: DeVries and Taylor, arXiv 1708.04552 (theirs makes odd sides even, and erases normalized values,
    so that its color is the data set's mean).
    Exactness: equal to the published code's box, for its center.
    """

    size: _Span = 16
    p: float = 1.0
    fill: tuple[float, float, float] | float = 0.0
    of_side: bool = False

    def __post_init__(self) -> None:
        flag(self, "of_side", self.of_side)
        most = 1 if self.of_side else OPERATIONS["cutout"].high
        object.__setattr__(self, "size", _checked_span(self, "size", self.size, 0, most))
        object.__setattr__(self, "p", number(self, "p", self.p, 0, 1))
        object.__setattr__(self, "fill", color(self, "fill", self.fill))

    def item(self, slot: int) -> Pick:
        """What the kernels draw from."""
        low, high = _span(self.size)
        range_ = Range("cutout", low, high, rounding="nearest", of_side=self.of_side)
        return Pick((range_,), 1, (0.0, 1.0), 0, p=self.p, fill=color(self, "fill", self.fill), slot=slot)


@dataclass(frozen=True, slots=True)
class GaussianBlur:
    """Gaussian blur of a standard deviation drawn uniformly.

    Args:
        sigma: Standard deviation in pixels, at most 6, or a range.
        p: Probability.

    Per-sample strength multiplies sigma.

    Launches: one for the whole program, whatever its length.
    Source: SimCLR's augmentation (arXiv 2002.05709), with its range of sigma.
    Exactness: a true Gaussian; Pillow's filter of this name blurs by three boxes.
    """

    sigma: _Span = (0.1, 2.0)
    p: float = 0.5

    def __post_init__(self) -> None:
        most = OPERATIONS["gaussian_blur"].high
        object.__setattr__(self, "sigma", _checked_span(self, "sigma", self.sigma, 0, most))
        object.__setattr__(self, "p", number(self, "p", self.p, 0, 1))

    def item(self, slot: int) -> Pick:
        """What the kernels draw from."""
        low, high = _span(self.sigma)
        return Pick((Range("gaussian_blur", low, high),), 1, (0.0, 1.0), 0, p=self.p, slot=slot)


@dataclass(frozen=True, slots=True)
class GaussianNoise:
    """Independent normal noise on every value, of a standard deviation drawn uniformly for each image.

    Args:
        std: Standard deviation as a fraction of white, or a range.
        p: Probability.

    Values are rounded and clipped to 0..255. Per-sample strength multiplies std.

    Launches: one for the whole program, whatever its length.
    Source: the corruption of this name in ImageNet-C (arXiv 1903.12261), on 8 bits.
    Exactness: the noise is a function of seed, epoch, sample and position, the same on every device.
    """

    std: _Span = (0.0, 0.1)
    p: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "std", _checked_span(self, "std", self.std, 0, 1))
        object.__setattr__(self, "p", number(self, "p", self.p, 0, 1))

    def item(self, slot: int) -> Pick:
        """What the kernels draw from."""
        low, high = _span(self.std)
        range_ = Range("gaussian_noise", 255 * low, 255 * high)
        return Pick((range_,), 1, (0.0, 1.0), 0, p=self.p, slot=slot)


@dataclass(frozen=True, slots=True)
class Grayscale:
    """All three channels become the luma, with probability p.

    Args:
        p: Probability. Per-sample strength multiplies it, up to 1.

    Launches: one for the whole program, whatever its length.
    Source: SimCLR's augmentation (arXiv 2002.05709).
    Exactness: equal bit for bit to Pillow's conversion to "L".
    """

    p: float = 0.2

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", number(self, "p", self.p, 0, 1))

    def item(self, slot: int) -> Pick:
        """What the kernels draw from."""
        return Pick((Range("grayscale"),), p=self.p, slot=slot)


@dataclass(frozen=True, slots=True)
class ThreeAugment:
    """3-Augment: one of grayscale, solarize (from 128 on) and Gaussian blur, each as likely.

    Args:
        sigma: Range of the blur's standard deviation in pixels.

    The published recipe goes on with ColorJitter(0.3, 0.3, 0.3), which belongs to the fused pass here and
    stands before it. timm's variant with magnitudes is `RandAugment(space="timm_3a")`. Per-sample strength
    multiplies what it can: the blur, the threshold's distance from 256, the probability of grayscale.

    Launches: one for the whole program, whatever its length.
    Source: Touvron et al., DeiT III, arXiv 2204.07118; facebookresearch/deit, augment.py.
    Exactness: grayscale and solarize equal Pillow's bit for bit; the blur is a true Gaussian.
    """

    sigma: tuple[float, float] = (0.1, 2.0)

    def __post_init__(self) -> None:
        most = OPERATIONS["gaussian_blur"].high
        object.__setattr__(self, "sigma", pair(self, "sigma", self.sigma, 0, most))

    def item(self, slot: int) -> Pick:
        """What the kernels draw from."""
        ranges = (
            Range("grayscale"),
            Range("solarize", 128, 128),
            Range("gaussian_blur", *self.sigma),
        )
        return Pick(ranges, 1, (0.0, 1.0), 0, slot=slot)
