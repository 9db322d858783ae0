"""The published spaces of operations and magnitudes, one table each."""

from dataclasses import dataclass

from fieldloom.kernels.stages.policies import Color, Range

_AXES = ("x", "y")
_FACTORS = ("brightness", "color", "contrast", "sharpness")
_BLACK, _GRAY, _MEAN = (0.0, 0.0, 0.0), (128.0, 128.0, 128.0), (125.0, 123.0, 114.0)


@dataclass(frozen=True, slots=True)
class Space:
    """Operations with the magnitudes that a level means (see `Range`), and what a code uses with them.

    Attributes:
        ranges: In the published order.
        unit: What a magnitude of RandAugment counts: "bin" of a number of bins, "tenth", or "" where each
            operation's level is drawn from `level`.
        level: Smallest and largest level drawn.
        bins: Levels drawn from, 0 for all between.
        p: Probability of each operation.
        bilinear: Interpolation of geometric operations, else the nearest pixel.
        fill: RGB outside the image.
    """

    ranges: tuple[Range, ...]
    unit: str = "bin"
    level: tuple[float, float] = (0.0, 1.0)
    bins: int = 1
    p: float = 1.0
    bilinear: bool = False
    fill: Color = _BLACK

    def range_of(self, operation: str) -> Range:
        """The range of one of its operations."""
        return next(range_ for range_ in self.ranges if range_.operation == operation)


def _each(names: tuple[str, ...], low: float, high: float, **options: object) -> tuple[Range, ...]:
    return tuple(Range(name, low, high, **options) for name in names)  # type: ignore[arg-type]


def _both(name: str, low: float, high: float, **options: object) -> tuple[Range, ...]:
    return _each(tuple(f"{name}_{axis}" for axis in _AXES), low, high, signed=True, **options)


# torchvision, autoaugment.py: RandAugment. Posterize is 8 - round(4 t); translations are cut to whole pixels.
_STANDARD = (
    Range("identity"),
    *_both("shear", 0, 0.3),
    *_both("translate", 0, 150 / 331, rounding="trunc", of_side=True),
    Range("rotate", 0, 30, signed=True),
    *_each(_FACTORS, 0, 0.9, signed=True),
    Range("posterize", 8, 4, rounding="nearest"),
    Range("solarize", 255, 0),
    Range("autocontrast"),
    Range("equalize"),
)
# torchvision, TrivialAugmentWide.
_WIDE = (
    Range("identity"),
    *_both("shear", 0, 0.99),
    *_both("translate", 0, 32, rounding="trunc"),
    Range("rotate", 0, 135, signed=True),
    *_each(_FACTORS, 0, 0.99, signed=True),
    Range("posterize", 8, 2, rounding="nearest"),
    Range("solarize", 255, 0),
    Range("autocontrast"),
    Range("equalize"),
)
# timm, auto_augment.py: levels of tenths.
_TIMM_GEOMETRY = (*_both("shear", 0, 0.3), *_both("translate", 0, 0.45, of_side=True))
_TIMM_FACTORS = ("color", "contrast", "brightness", "sharpness")
_TIMM_FLAT = (Range("autocontrast"), Range("equalize"), Range("invert"), Range("rotate", 0, 30, signed=True))
_TIMM_ADD = Range("solarize_add", 0, 110, rounding="trunc")
_TIMM = (
    *_TIMM_FLAT,
    Range("posterize", 0, 4, rounding="trunc"),
    Range("solarize", 0, 256, rounding="trunc"),
    _TIMM_ADD,
    *_each(_TIMM_FACTORS, 0.1, 1.9),
    *_TIMM_GEOMETRY,
)
_POSTERIZE_MORE = Range("posterize", 4, 0, rounding="ceil")
_SOLARIZE_MORE = Range("solarize", 256, 0, rounding="ceil")
_TIMM_INCREASING = (
    *_TIMM_FLAT,
    _POSTERIZE_MORE,
    _SOLARIZE_MORE,
    _TIMM_ADD,
    *_each(_TIMM_FACTORS, 0, 0.9, signed=True, least=0.1),
    *_TIMM_GEOMETRY,
)
# timm's 3-Augment: desaturation by .5 to 1 is a color factor of .5 to 0.
_TIMM_THREE = (_SOLARIZE_MORE, Range("color", 0.5, 0), Range("gaussian_blur", 0.1, 2.0))
# Google's UDA: translations up to 10 pixels and cutouts up to 20, made for images of 32.
_UDA = (
    Range("invert"),
    Range("cutout", 0, 20, rounding="trunc"),
    Range("sharpness", 0.1, 1.9),
    Range("autocontrast"),
    _POSTERIZE_MORE,
    Range("shear_x", 0, 0.3, signed=True),
    *_both("translate", 0, 10, rounding="trunc"),
    Range("shear_y", 0, 0.3, signed=True),
    Range("rotate", 0, 30, signed=True, rounding="trunc"),
    Range("equalize"),
    Range("contrast", 0.1, 1.9),
    Range("color", 0.1, 1.9),
    _SOLARIZE_MORE,
    Range("brightness", 0.1, 1.9),
)
# FixMatch as SAA has it: each level uniform; signed operations have ranges about 0 instead of coins.
_FIXMATCH = (
    Range("autocontrast"),
    Range("brightness", 0.05, 0.95),
    Range("color", 0.05, 0.95),
    Range("contrast", 0.05, 0.95),
    Range("equalize"),
    Range("identity"),
    Range("posterize", 4, 8, rounding="trunc"),
    Range("rotate", -30, 30),
    Range("sharpness", 0.05, 0.95),
    *_each(("shear_x", "shear_y"), -0.3, 0.3),
    Range("solarize", 0, 256),
    *_each(("translate_x", "translate_y"), -0.3, 0.3, of_side=True),
)
# MADAug, operation.py: magnitudes 0..1; a mirror sign besides the range's own.
_MADAUG = (
    *_both("shear", -0.3, 0.3),
    *_both("translate", -0.45, 0.45, of_side=True),
    Range("rotate", -30, 30, signed=True),
    Range("autocontrast"),
    Range("invert"),
    Range("equalize"),
    Range("solarize", 0, 256),
    Range("posterize", 4, 8, rounding="trunc"),
    *_each(("contrast", "color", "brightness", "sharpness"), 0.1, 1.9),
    Range("cutout", 0, 0.2, of_side=True, fill=_MEAN),
    Range("horizontal_flip"),
    Range("identity"),
)
# AugMix, augmentations.py: levels of tenths of 0.1 to the severity.
AUGMIX = (
    Range("autocontrast"),
    Range("equalize"),
    _POSTERIZE_MORE,
    Range("rotate", 0, 30, signed=True, rounding="trunc"),
    _SOLARIZE_MORE,
    *_both("shear", 0, 0.3),
    *_both("translate", 0, 1 / 3, rounding="trunc", of_side=True),
)
#: What AugMix adds with `all_operations`: those that are among the corruptions of ImageNet-C.
AUGMIX_MORE = _each(("color", "contrast", "brightness", "sharpness"), 0.1, 1.9)

#: Spaces by name. "standard", "wide" and "madaug" are also what external control chooses from.
SPACES = {
    "standard": Space(_STANDARD),
    "wide": Space(_WIDE),
    "timm": Space(_TIMM, "tenth", p=0.5, bilinear=True, fill=_GRAY),
    "timm_increasing": Space(_TIMM_INCREASING, "tenth", p=0.5, bilinear=True, fill=_GRAY),
    "timm_3a": Space(_TIMM_THREE, "tenth", p=0.5, bilinear=True, fill=_GRAY),
    "uda": Space(_UDA, "", level=(0.1, 0.9), bins=9, p=0.5),
    "fixmatch": Space(_FIXMATCH, "", bins=0),
    "madaug": Space(_MADAUG, ""),
}
