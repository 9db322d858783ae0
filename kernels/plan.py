"""What one fused pass does, as plain data: the form into which a recipe is compiled.

The engine's augmentations are a user's vocabulary; these records are the kernels'. Positions and slots
are fixed here, ranges are checked above.
"""

from dataclasses import dataclass
from typing import Literal

from .laws import Gaussian, Law, PowerLaw


@dataclass(frozen=True, slots=True)
class Crop:
    """Which part of the image becomes the output (exactly one in a pass).

    kind: "whole" resizes all of it; "random_resized" draws area `scale` and aspect `ratio`;
    "random" and "center" cut the output's size out of the image, after its shorter side was resized to
    `resize` (None: not at all) and after `padding` pixels were added on each side.
    """

    kind: Literal["whole", "random_resized", "random", "center"] = "whole"
    scale: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    resize: int | None = None
    padding: int = 0
    slot: int = 0


@dataclass(frozen=True, slots=True)
class Flip:
    """Mirror with probability p: horizontally, or vertically."""

    p: float
    horizontal: bool
    slot: int


@dataclass(frozen=True, slots=True)
class Affine:
    """A classical affine about the output's center, the same for all pixels, with probability p.

    degrees, scale, shear (degrees) are ranges; translate is the largest shift (x, y) as a fraction.
    """

    degrees: tuple[float, float]
    translate: tuple[float, float]
    scale: tuple[float, float]
    shear: tuple[float, float]
    p: float
    slot: int


@dataclass(frozen=True, slots=True)
class FieldWarp:
    """A composition of geometric field transforms, drawn and gated together.

    amplitudes: for each kind, what a unit of the law means to the lattice; the power law's alpha is
    drawn within its range and multiplied by it.
    """

    kinds: tuple[str, ...]
    law: Law
    amplitudes: tuple[float, ...]
    p: float
    no_fold: bool
    slot: int


@dataclass(frozen=True, slots=True)
class FieldColor:
    """Color fields: brightness, contrast, saturation, hue (linear), or hue, saturation, value (additive)."""

    law: Law
    amplitudes: tuple[float, ...]
    hsv: bool
    p: float
    slot: int


@dataclass(frozen=True, slots=True)
class Jitter:
    """Brightness, contrast, saturation and hue, the same for all pixels: each U(-a, a) about identity."""

    amplitudes: tuple[float, float, float, float]
    p: float
    slot: int


Warp = Flip | Affine
Transform = FieldWarp | FieldColor | Jitter


@dataclass(frozen=True, slots=True)
class PassPlan:
    """One fused pass: geometry and color in the order of application, and the output's format.

    Attributes:
        height: Output height in pixels; `width` its width.
        crop: Which part of the image.
        warps: Flips and affines, in order.
        transforms: Fields and jitters, in order.
        mean: Subtracted, and `std` divided by, with values in 0..1.
        border: "reflect", "edge" or "constant" (then `fill`, RGB 0..255).
        dtype: "float32", "float16", "bfloat16" or "uint8".
        planar: True for NCHW, False for NHWC.
        center: Luma about which contrast acts.
    """

    height: int
    width: int
    crop: Crop = Crop()
    warps: tuple[Warp, ...] = ()
    transforms: tuple[Transform, ...] = ()
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    border: str = "reflect"
    fill: tuple[float, float, float] = (0.0, 0.0, 0.0)
    dtype: str = "float32"
    planar: bool = True
    center: float = 0.5

    def pitch(self) -> int:
        """Lattice pitch in output pixels: the coarsest of 8, 4, 2, 1 that every field law bears.

        Bilinear interpolation between nodes errs by about pitch^2 / 8 times the second derivative;
        the rules keep that under a quarter of a pixel for the presets (tests/test_pitch.py).
        """
        side = min(self.height, self.width)
        finest = 8.0
        for transform in self.transforms:
            if isinstance(transform, FieldWarp):
                finest = min(finest, side * _nodes_per_side(transform.law, warp=True))
            elif isinstance(transform, FieldColor):
                finest = min(finest, side * _nodes_per_side(transform.law, warp=False))
        pitch = 8
        while pitch > 1 and (pitch > finest or pitch > side):
            pitch //= 2
        return pitch


def _nodes_per_side(law: Law, *, warp: bool) -> float:
    """Largest pitch as a fraction of the side."""
    if isinstance(law, Gaussian):
        return law.length / (8 if warp else 4)
    return 1 / (3.5 * law.n_modes()) if warp else 1 / (2 * law.n_modes())


__all__ = [
    "Affine", "Crop", "FieldColor", "FieldWarp", "Flip", "Gaussian", "Jitter", "PassPlan", "PowerLaw",
    "Transform", "Warp",
]  # fmt: skip
