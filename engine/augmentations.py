"""Augmentations as data: small frozen dataclasses, put into a list and compiled once into a plan.

Nothing random or stateful lives here. Each class says what it draws for every sample; the draws are
pure functions of (seed, epoch, sample id, occurrence, operation). One fused pass executes all of them
with a single resampling, in this order whatever it costs elsewhere: crop, then flips and affines in
the order of the list, then field warps, then color in the order of the list, then `Normalize`.
"""

from dataclasses import dataclass, field

from fieldloom.errors import ArgumentError
from fieldloom.kernels.laws import Gaussian, Law, PowerLaw
from fieldloom.kernels.records import GEOMETRIC

from .options import flag, is_number, number, pair, whole_number


@dataclass(frozen=True, slots=True)
class RandomResizedCrop:
    """Cut a random part of the image and resize it to the output size.

    Area is U(scale) of the image, the aspect ratio (width / height) log-uniform in `ratio`; ten tries,
    then the largest central part whose aspect lies in `ratio`. Only that part is decoded.

    Args:
        scale: Range of the area as a fraction of the image.
        ratio: Range of the aspect ratio.

    Source: the crop of Inception (arXiv 1409.4842), with the rules of torchvision's class of this name.
    Exactness: shrinking is antialiased (see `fieldloom.kernels.shrink`).
    """

    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", pair(self, "scale", self.scale, 1e-4, 1.0))
        object.__setattr__(self, "ratio", pair(self, "ratio", self.ratio, 1e-2, 1e2))


@dataclass(frozen=True, slots=True)
class RandomCrop:
    """Cut a window of the output's size at a random place; nothing is resized.

    Args:
        padding: Pixels added on each side first; they are filled by the loader's `border`.

    An image that is smaller than the output is centered, and the rest is border too.

    Exactness: whole pixels, unless `Resize` stands before it.
    """

    padding: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "padding", whole_number(self, "padding", self.padding, 0, 4096))


@dataclass(frozen=True, slots=True)
class CenterCrop:
    """Cut the window of the output's size at the center (the usual evaluation, behind `Resize`).

    Exactness: whole pixels, rounded as torchvision's class of this name, unless `Resize` stands before it.
    """


@dataclass(frozen=True, slots=True)
class Resize:
    """Resize the shorter side to `side` pixels, before `CenterCrop` or `RandomCrop`.

    Args:
        side: Pixels of the shorter side, or None: resize the whole image to the output size, whatever
            its aspect ratio (also what happens without any crop).

    Resize and crop are composed into one resampling, which differs from resizing to whole 8-bit pixels
    first by less than their rounding.

    Exactness: shrinking is antialiased (see `fieldloom.kernels.shrink`).
    """

    side: int | None = None

    def __post_init__(self) -> None:
        if self.side is not None:
            object.__setattr__(self, "side", whole_number(self, "side", self.side, 1, 65536))


@dataclass(frozen=True, slots=True)
class HorizontalFlip:
    """Mirror left and right.

    Args:
        p: Probability.

    Exactness: whole pixels.
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", number(self, "p", self.p, 0, 1))


@dataclass(frozen=True, slots=True)
class VerticalFlip:
    """Mirror top and bottom.

    Args:
        p: Probability.

    Exactness: whole pixels.
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", number(self, "p", self.p, 0, 1))


@dataclass(frozen=True, slots=True)
class RandomAffine:
    """A classical affine about the center, the same for every pixel; composed into the one resampling.

    Args:
        degrees: Rotation, U(-degrees, degrees), or a range.
        translate: Largest shift (x, y) as a fraction of width and height.
        scale: Range of the magnification.
        shear: Horizontal shear in degrees, U(-shear, shear), or a range.
        p: Probability.

    Exactness: one bilinear resampling of the crop, within 0.01 of a level of float64.
    """

    degrees: float | tuple[float, float] = 10.0
    translate: tuple[float, float] = (0.0, 0.0)
    scale: tuple[float, float] = (1.0, 1.0)
    shear: float | tuple[float, float] = 0.0
    p: float = 1.0

    def __post_init__(self) -> None:
        for option, limit in (("degrees", 180.0), ("shear", 80.0)):
            value = getattr(self, option)
            if is_number(value):
                size = number(self, option, value, 0, limit)
                value = (-size, size)
            object.__setattr__(self, option, pair(self, option, value, -limit, limit))
        if not isinstance(self.translate, (list, tuple)) or len(self.translate) != 2:
            raise ArgumentError.make(
                f"RandomAffine translate={self.translate!r}",
                why="not two numbers from 0 to 1",
                remedy="Pass translate=(x, y), fractions of width and height.",
            )
        shift = tuple(number(self, "translate", v, 0, 1) for v in self.translate)
        object.__setattr__(self, "translate", shift)
        object.__setattr__(self, "scale", pair(self, "scale", self.scale, 1e-2, 1e2))
        object.__setattr__(self, "p", number(self, "p", self.p, 0, 1))


@dataclass(frozen=True, slots=True, init=False)
class RandomField:
    """Random-field warp: the parameter of a geometric transform becomes a random field over the pixels.

    With (x, y) the output position in centered units (half the shorter side is 1) and g independent
    fields of `law`, the source position is:

    * "translate": (x + g1, y + g2)
    * "scale": ((1 + g1) x, (1 + g2) y)
    * "shear": (x + g1 y, g2 x + y)
    * "rotate": R(pi g) (x, y)

    Several kinds are one composition: evaluated at the same pixel and multiplied in an order drawn for
    each image, each with alpha (or sigma) / sqrt(n).

    Args:
        kinds: One or more of the four names.
        law: `PowerLaw()` (the paper's: gamma ~ U[7, 10], alpha ~ U[0, 1/3] for each image) or
            `Gaussian(length, sigma)`. Sigma of "translate" is a fraction of the output's shorter side;
            of "scale" and "shear" it is that of g, of "rotate" in half turns.
        p: Probability that an image is warped (the paper's 0.8).
        no_fold: Shrink a displacement that would fold the image until it does not, by the exact test
            of the lattice's cell corners. Off by default, as published.

    Source: Mansfield et al., Random Field Augmentations, arXiv 2311.03629.
    Exactness: the field is bilinear between lattice nodes (`PassPlan.pitch`); at the presets it lies
    within a quarter of a pixel of the continuous field. Pixels come from the crop, reflected at its
    edges by default. "rotate" folds most images at the paper's settings, and is offered as published.
    """

    kinds: tuple[str, ...]
    law: Law
    p: float
    no_fold: bool

    def __init__(self, *kinds: str, law: Law | None = None, p: float = 0.8, no_fold: bool = False) -> None:
        wrong = [k for k in kinds if not isinstance(k, str) or k not in GEOMETRIC]
        if not kinds or wrong or len(set(kinds)) != len(kinds):
            raise ArgumentError.make(
                f"RandomField kinds {kinds!r}",
                why=f"{wrong[0]!r} is not a kind" if wrong else "no kind, or one twice",
                remedy=f"Pass one or more of {', '.join(GEOMETRIC)}, each once.",
            )
        object.__setattr__(self, "kinds", tuple(kinds))
        object.__setattr__(self, "law", PowerLaw() if law is None else law)
        object.__setattr__(self, "p", number(self, "p", p, 0, 1))
        object.__setattr__(self, "no_fold", flag(self, "no_fold", no_fold))
        _check_law(self, self.law)


@dataclass(frozen=True, slots=True)
class ColorField:
    """Four random fields over the pixels: brightness, contrast, saturation, hue; one matrix a pixel.

    In the linear luma/chroma form: luma is multiplied by (1 + brightness)(1 + contrast) with contrast
    about mid-gray, chroma also by (1 + saturation) and turned by the hue angle; then clipped to 0..1.

    Args:
        brightness: Standard deviation of the field (Gaussian law), or its bound in alphas (power law).
        contrast: Likewise.
        saturation: Likewise.
        hue: Likewise, in turns (0.5 is the opposite color).
        law: Law of all four fields, independent of each other.
        p: Probability that an image is recolored.

    For the paper's additive HSV fields see `HSVField`. `ColorJitter` is the same with constants.

    Source: this project; the idea of color fields is arXiv 2311.03629's.
    Exactness: fields are bilinear between lattice nodes, within 0.01 of a control of the continuous ones.
    """

    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.15
    hue: float = 0.02
    law: Law = field(default_factory=lambda: Gaussian(0.3))
    p: float = 0.8

    def __post_init__(self) -> None:
        for option in ("brightness", "contrast", "saturation"):
            object.__setattr__(self, option, number(self, option, getattr(self, option), 0, 4))
        object.__setattr__(self, "hue", number(self, "hue", self.hue, 0, 0.5))
        object.__setattr__(self, "p", number(self, "p", self.p, 0, 1))
        _check_law(self, self.law)
        if isinstance(self.law, Gaussian) and self.law.sigma is not None:
            raise ArgumentError.make(
                f"ColorField law={self.law!r}",
                why="the four options give the deviations already",
                remedy="Leave sigma out of the law.",
            )


@dataclass(frozen=True, slots=True)
class HSVField:
    """The published color fields: hue, saturation and value each get a random field added.

    H wraps around, S and V are clipped to [0, 1]; a hue field of alpha 1/3 turns hues by a third.

    Args:
        law: The paper's power law by default. Of a `Gaussian`, sigma is the deviation of each field
            (hue in turns), and length / 5 without one.
        p: Probability that an image is recolored.

    Must precede `ColorField` and `ColorJitter` in a list.

    Source: arXiv 2311.03629, "color".
    Exactness: fields are bilinear between lattice nodes. Near gray, hue is a ratio of rounding errors: there
    an output may differ from float64 by 0.08 of a level.
    """

    law: Law = field(default_factory=PowerLaw)
    p: float = 0.8

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", number(self, "p", self.p, 0, 1))
        _check_law(self, self.law)


@dataclass(frozen=True, slots=True)
class ColorJitter:
    """Brightness, contrast, saturation and hue, the same for every pixel of an image.

    Args:
        brightness: Factor 1 + U(-brightness, brightness).
        contrast: Likewise, about mid-gray (as DALI; torchvision takes the image's mean instead).
        saturation: Likewise.
        hue: U(-hue, hue) turns of the chroma plane.
        p: Probability.

    The four are one matrix in the linear luma/chroma form, clipped once at the end.

    Exactness: within 0.01 of a level of float64.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    p: float = 1.0

    def __post_init__(self) -> None:
        for option in ("brightness", "contrast", "saturation"):
            object.__setattr__(self, option, number(self, option, getattr(self, option), 0, 1))
        object.__setattr__(self, "hue", number(self, "hue", self.hue, 0, 0.5))
        object.__setattr__(self, "p", number(self, "p", self.p, 0, 1))


@dataclass(frozen=True, slots=True)
class Normalize:
    """(value - mean) / std for values in 0..1; only erasing and mixing follow. Without it outputs are 0..1.

    Args:
        mean: RGB; by default ImageNet's.
        std: RGB, each > 0; by default ImageNet's.

    Exactness: one multiply-add a value, rounded once.
    """

    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def __post_init__(self) -> None:
        for option, low in (("mean", -1e3), ("std", 1e-6)):
            value = getattr(self, option)
            value = (value, value, value) if is_number(value) else value
            if not isinstance(value, (list, tuple)) or len(value) != 3:
                raise ArgumentError.make(
                    f"Normalize {option}={value!r}",
                    why="not three numbers",
                    remedy="Pass one a channel, RGB.",
                )
            checked = tuple(number(self, option, v, low, 1e3) for v in value)
            object.__setattr__(self, option, checked)


def _check_law(owner: object, law: object) -> None:
    if not isinstance(law, (PowerLaw, Gaussian)):
        raise ArgumentError.make(
            f"{type(owner).__name__} law={law!r}",
            why="not a field law",
            remedy="Pass fieldloom.PowerLaw(...) or fieldloom.Gaussian(...).",
        )


Augmentation = (
    RandomResizedCrop | RandomCrop | CenterCrop | Resize | HorizontalFlip | VerticalFlip | RandomAffine
    | RandomField | ColorField | HSVField | ColorJitter | Normalize
)  # fmt: skip
