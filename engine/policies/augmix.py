"""AugMix: a random convex combination of an image and of chains of operations on it."""

from dataclasses import dataclass

from fieldloom.errors import ArgumentError
from fieldloom.kernels.stages.policies import MAX_DEPTH, MAX_WIDTH, Chains
from fieldloom.options import choice, color, flag, is_whole, number, whole_number

from .operations import INTERPOLATIONS
from .spaces import AUGMIX, AUGMIX_MORE


@dataclass(frozen=True, slots=True)
class AugMix:
    """(1 - m) x + m (w1 chain1(x) + w2 chain2(x) + ...), with chains of random operations.

    Args:
        severity: Each operation's strength is U(0.1, severity), of at most 10; published: 3 for CIFAR, 1
            for ImageNet.
        width: Chains.
        depth: Operations a chain; -1: uniformly 1, 2 or 3, drawn for each chain.
        alpha: Weights w are Dirichlet(alpha, ...), m is Beta(alpha, alpha).
        views: Images that each sample becomes. 3 gives what the Jensen-Shannon loss takes: the clean image,
            then two mixtures with draws of their own. Policies behind it are drawn for each view, the clean
            one too; erasing and mixing are the same for all.
        all_operations: Also color, contrast, brightness and sharpness, which the paper leaves out since
            ImageNet-C tests with them.
        interpolation: "bilinear" as published, or "nearest".
        fill: RGB 0..255, or one number, of what lies outside the image.

    With l the strength, an operation is one of autocontrast, equalize, posterize to 4 - int(0.4 l) bits,
    rotate by int(3 l) degrees, solarize from 256 - int(25.6 l) on, shear by 0.03 l, translate by
    int(l / 30 of the side) pixels; fair coins give the signs. Factors are 0.1 + 0.18 l. Must stand before
    all other policies of a recipe. Per-sample strength multiplies each magnitude's distance from doing
    nothing; at 0 the image stays as it is.

    Launches: one for the whole program, whatever its length.
    Source: Hendrycks et al., arXiv 1912.02781; google-research/augmix.
    Exactness: 8-bit operations equal Pillow's bit for bit, bilinear geometry lies within a level; weights
    are whole multiples of 2^-16 that sum to 1, and the sum is rounded to 8 bits once (the published code
    mixes after normalization, in floating point; both are convex, so they differ by that rounding).
    """

    severity: float = 3.0
    width: int = 3
    depth: int = -1
    alpha: float = 1.0
    views: int = 1
    all_operations: bool = False
    interpolation: str = "bilinear"
    fill: tuple[float, float, float] | float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "severity", number(self, "severity", self.severity, 0.1, 10))
        object.__setattr__(self, "width", whole_number(self, "width", self.width, 1, MAX_WIDTH))
        if not is_whole(self.depth) or not (self.depth == -1 or 1 <= self.depth <= MAX_DEPTH):
            raise ArgumentError.make(
                f"AugMix depth={self.depth!r}",
                why=f"not -1, nor a whole number from 1 to {MAX_DEPTH}",
                remedy="Pass -1 to draw it for each chain.",
            )
        object.__setattr__(self, "alpha", number(self, "alpha", self.alpha, 0.05, 1e3))
        object.__setattr__(self, "views", whole_number(self, "views", self.views, 1, 8))
        flag(self, "all_operations", self.all_operations)
        choice(self, "interpolation", self.interpolation, INTERPOLATIONS)
        object.__setattr__(self, "fill", color(self, "fill", self.fill))

    def item(self, slot: int) -> Chains:
        """What the kernels draw from."""
        return Chains(
            AUGMIX + AUGMIX_MORE if self.all_operations else AUGMIX,
            (0.01, self.severity / 10),
            self.width,
            max(self.depth, 0),
            self.alpha,
            self.views,
            bilinear=self.interpolation == "bilinear",
            fill=color(self, "fill", self.fill),
            slot=slot,
        )
