"""RandAugment with its published spaces, and TrivialAugment."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fieldloom.errors import ArgumentError
from fieldloom.kernels.stages.policies import Pick, Range
from fieldloom.options import choice, color, is_number, number, whole_number

from .operations import INTERPOLATIONS
from .spaces import SPACES, Space

_SPACES = ("standard", "wide", "timm", "timm_increasing", "timm_3a", "uda", "fixmatch")


@dataclass(frozen=True, slots=True)
class RandAugment:
    """`n` operations one after the other, each drawn uniformly, with replacement, from a space.

    Args:
        n: Operations an image.
        magnitude: How strong; what it counts depends on the space. By default 9 (10 in timm's spaces is
            their strongest), None in spaces that draw it.
        space: Which operations, with which magnitudes (t is the level, "+-" a fair coin):

            =====================  ==============================  ==============================
            space                  "standard" (torchvision)        "wide" (TrivialAugment)
            =====================  ==============================  ==============================
            level t                magnitude / (bins - 1)          magnitude / (bins - 1)
            shear_x, shear_y       +-0.3 t                         +-0.99 t
            translate_x, _y        +-150 / 331 of the side, t;     +-32 t, whole pixels
                                   whole pixels
            rotate                 +-30 t degrees                  +-135 t degrees
            brightness, color,     1 +- 0.9 t                      1 +- 0.99 t
            contrast, sharpness
            posterize              8 - round(4 t) bits             8 - round(6 t) bits
            solarize               255 (1 - t)                     255 (1 - t)
            and without magnitude  identity, autocontrast,         the same
                                   equalize
            =====================  ==============================  ==============================

            =====================  ==============================  ==============================
            space                  "timm" ("timm_increasing")      "uda"
            =====================  ==============================  ==============================
            level t                magnitude / 10                  one of 0.1, 0.2, ..., 0.9
            probability of each    0.5                             0.5
            shear, rotate          +-0.3 t, +-30 t                 the same; whole degrees
            translate_x, _y        +-0.45 t of the side            +-10 t, whole pixels
            factors                0.1 + 1.8 t (max(0.1, 1+-.9t))  0.1 + 1.8 t
            posterize              int(4 t) (4 - int(4 t))         4 - int(4 t)
            solarize               int(256 t) (256 - int(256 t))   256 - int(256 t)
            solarize_add, cutout   int(110 t), none                none, int(20 t) pixels
            and without magnitude  invert, autocontrast, equalize  the same
            interpolation, fill    bilinear, 128                   nearest, 0
            =====================  ==============================  ==============================

            "timm_3a" is timm's 3-Augment set: solarize 256 - int(256 t), color factor (1 - t) / 2,
            gaussian_blur 0.1 + 1.9 t. "fixmatch" draws each level uniformly, as SAA's RandAugment does:
            factors 0.05..0.95, posterize 4..7 bits, rotate +-30, shear +-0.3, translate +-0.3 of the
            side, solarize 0..256; identity, autocontrast, equalize.
        bins: Levels of "standard" and "wide".
        p: Probability of each operation; None: the space's own, 1 where the table names none.
        noise: Standard deviation of normal noise on the magnitude, drawn for each operation (timm's mstd);
            infinite: the magnitude is uniform from 0 to `magnitude`.
        top: Largest magnitude after noise in timm's spaces (their mmax).
        operations: Names of the space's operations to draw from; repeat one to make it likelier. None: all.
        interpolation: "nearest" or "bilinear", of geometric operations; None: the space's own. timm
            chooses between bilinear and bicubic at random.
        fill: RGB 0..255, or one number, of what lies outside the image; None: the space's own.

    Per-sample strength multiplies each magnitude's distance from doing nothing.

    Launches: one for the whole program, whatever its length.
    Source: Cubuk et al., arXiv 1909.13719; torchvision/transforms/autoaugment.py (order and magnitudes of
    "standard"), timm/data/auto_augment.py, google-research/uda, GuanGui-nju/SAA.
    Exactness: equal bit for bit to Pillow's operations in order; bilinear geometry within a level.
    Magnitudes are the table's, rounded once to float32 (torch.linspace misses some by a last bit on some
    processors, and its 15.999999 pixels are cut to 15).
    """

    n: int = 2
    magnitude: float | None = None
    space: str = "standard"
    bins: int = 31
    p: float | None = None
    noise: float = 0.0
    top: float = 10.0
    operations: tuple[str, ...] | None = None
    interpolation: str | None = None
    fill: tuple[float, float, float] | float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", whole_number(self, "n", self.n, 1, 16))
        choice(self, "space", self.space, _SPACES)
        object.__setattr__(self, "bins", whole_number(self, "bins", self.bins, 2, 1024))
        object.__setattr__(self, "top", number(self, "top", self.top, 0.1, 100))
        unit = SPACES[self.space].unit
        if unit:
            most = self.bins - 1 if unit == "bin" else self.top
            magnitude = min(9.0, most) if self.magnitude is None else self.magnitude
            object.__setattr__(self, "magnitude", number(self, "magnitude", magnitude, 0, most))
        elif self.magnitude is not None:
            raise ArgumentError.make(
                f"RandAugment magnitude={self.magnitude!r} with space={self.space!r}",
                why="this space draws a magnitude for each operation",
                remedy="Leave magnitude out, or choose another space.",
            )
        object.__setattr__(self, "noise", _noise(self, unit))
        if self.p is not None:
            object.__setattr__(self, "p", number(self, "p", self.p, 0, 1))
        if self.operations is not None:
            object.__setattr__(self, "operations", _names(self, SPACES[self.space]))
        if self.interpolation is not None:
            choice(self, "interpolation", self.interpolation, INTERPOLATIONS)
        if self.fill is not None:
            object.__setattr__(self, "fill", color(self, "fill", self.fill))

    def item(self, slot: int) -> Pick:
        """What the kernels draw from."""
        space = SPACES[self.space]
        ranges: tuple[Range, ...] = space.ranges
        if self.operations is not None:
            ranges = tuple(space.range_of(name) for name in self.operations)
        level, bins, noise, top = space.level, space.bins, 0.0, 1.0
        if self.magnitude is not None:
            scale = self.bins - 1 if space.unit == "bin" else 10
            level, bins = (self.magnitude / scale, self.magnitude / scale), 1
            noise, top = self.noise / scale, 1.0 if space.unit == "bin" else self.top / scale
            if math.isinf(noise):
                level, bins, noise = (0.0, level[1]), 0, 0.0
        return Pick(
            ranges, self.n, level, bins, noise, top,
            p=space.p if self.p is None else self.p,
            bilinear=space.bilinear if self.interpolation is None else self.interpolation == "bilinear",
            fill=space.fill if self.fill is None else color(self, "fill", self.fill),
            slot=slot,
        )  # fmt: skip


def _noise(owner: RandAugment, unit: str) -> float:
    noise = owner.noise
    if unit and is_number(noise) and noise == math.inf:
        return math.inf
    if not unit and noise:
        raise ArgumentError.make(
            f"RandAugment noise={noise!r} with space={owner.space!r}",
            why="this space draws a magnitude for each operation",
            remedy="Leave noise out.",
        )
    return number(owner, "noise", noise, 0, 1e3)


def _names(owner: RandAugment, space: Space) -> tuple[str, ...]:
    known = [range_.operation for range_ in space.ranges]
    names = owner.operations
    if isinstance(names, str) or not isinstance(names, Sequence) or not names or len(names) > 256:
        raise ArgumentError.make(
            f"RandAugment operations={names!r}",
            why="not a list of one to 256 names",
            remedy=f"Pass some of {', '.join(known)}.",
        )
    for name in names:
        if name not in known:
            raise ArgumentError.make(
                f"RandAugment operations with {name!r}",
                why=f"the space {owner.space!r} has no such operation",
                remedy=f"Pass some of {', '.join(known)}.",
            )
    return tuple(names)


@dataclass(frozen=True, slots=True)
class TrivialAugmentWide:
    """One operation at one of `bins` levels, both drawn uniformly.

    Args:
        bins: Levels.
        interpolation: "nearest" or "bilinear", of geometric operations.
        fill: RGB 0..255, or one number, of what lies outside the image.

    Operations and magnitudes are those of `RandAugment(space="wide")`. Per-sample strength multiplies each
    magnitude's distance from doing nothing.

    Launches: one for the whole program, whatever its length.
    Source: Müller and Hutter, arXiv 2103.10158; torchvision/transforms/autoaugment.py.
    Exactness: equal bit for bit to Pillow's operations; bilinear geometry within a level.
    """

    bins: int = 31
    interpolation: str = "nearest"
    fill: tuple[float, float, float] | float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "bins", whole_number(self, "bins", self.bins, 2, 1024))
        choice(self, "interpolation", self.interpolation, INTERPOLATIONS)
        object.__setattr__(self, "fill", color(self, "fill", self.fill))

    def item(self, slot: int) -> Pick:
        """What the kernels draw from."""
        return Pick(
            SPACES["wide"].ranges, 1, (0.0, 1.0), self.bins,
            bilinear=self.interpolation == "bilinear", fill=color(self, "fill", self.fill), slot=slot,
        )  # fmt: skip
