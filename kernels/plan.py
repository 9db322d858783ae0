"""What one fused pass does, as plain data: the form into which a recipe is compiled.

The engine's augmentations are a user's vocabulary; these records are the kernels'. Positions and slots
are fixed here, ranges are checked above.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .laws import Gaussian, Law, PowerLaw

if TYPE_CHECKING:
    from .stages.erasing import Erase
    from .stages.mixing import Mixing
    from .stages.policies import Item
    from .stages.spectrum import Pasta


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
        spectrum: Amplitudes of the Fourier transform, behind the above.
        program: Policies and 8-bit operations, in order, behind that.
        erase: A box of noise or of one color, behind that.
        mixing: With other samples of the batch, at the end.
        views: Images that each sample becomes; they differ from `program` on.
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
    spectrum: "Pasta | None" = None
    program: "tuple[Item, ...]" = ()
    erase: "Erase | None" = None
    mixing: "Mixing | None" = None
    views: int = 1

    @property
    def staged(self) -> bool:
        """Whether pixels are held as 8 bits between the fused pass and the output (`kernels.stages`)."""
        return bool(self.spectrum or self.program or self.erase or self.mixing)

    def maps_follow(self) -> str | None:
        """Why index masks cannot follow the images of this plan; None: they can (`FusedPass.index_maps`).

        They can where all geometry is the fused pass's: crop, warps and fields, whatever the colors do, PASTA
        included (it keeps phases). Policies may hold color operations only. Erasing and Cutout leave masks
        alone: what is hidden is still to be predicted, as torchvision's RandomErasing and Albumentations'
        CoarseDropout have it by default. Each view of a sample has the same geometry, hence the same mask.
        """
        if self.mixing is not None:
            return "it mixes samples, and ids cannot be blended"
        if not self.program:
            return None
        from .stages.policies import operations_of  # here, because most plans need none of it

        moving = sorted(name for name in operations_of(self.program) if name in GEOMETRIC_OPERATIONS)
        if moving:
            return f"a policy moves pixels behind the fused pass ({', '.join(moving)}), where masks are not"
        return None

    def pitch(self) -> int:
        """Lattice pitch in output pixels: the coarsest of 8, 4, 2, 1 that every field law bears.

        Bilinear interpolation between nodes errs by about pitch^2 / 8 times the second derivative. The
        rule asks for at most 0.25 px of displacement and 0.01 of a color control at the largest
        amplitude. Distance of the lattice's source positions from the continuous field, in output
        pixels, at the paper's largest alpha (1/3) and gamma ~ U[7, 10]: pitch, 99.9 % of all pixels,
        and the maximum over 96 images (tests/test_pitch.py asserts it):

            =============  ================  ================  ================
            preset         224 px            96 px             32 px
            =============  ================  ================  ================
            rfa_translate  4   0.10   0.19   2   0.05   0.10   2   0.14   0.23
            rfa_scale      4   0.08   0.15   2   0.04   0.07   2   0.12   0.18
            rfa_shear      4   0.07   0.16   2   0.04   0.08   2   0.11   0.18
            rfa_rotate     2   0.06   0.10   1   0.05   0.09   1   0.16   0.26
            all four       2   0.03   0.06   2   0.09   0.16   1   0.09   0.16
            =============  ================  ================  ================

        (At 224 px and pitch 8, translate errs by 0.36 px, at most 0.76, and rotate by 1.1 px, at most 2.0.)
        """
        side = min(self.height, self.width)
        finest = 8.0
        for transform in self.transforms:
            if not isinstance(transform, Jitter):
                finest = min(finest, _bearable_pitch(transform, side))
        pitch = 8
        while pitch > 1 and (pitch > finest or pitch > side):
            pitch //= 2
        return pitch


#: Operations of policies after which a pixel stands elsewhere; `stages.operations` has them all.
GEOMETRIC_OPERATIONS = frozenset(
    ("shear_x", "shear_y", "translate_x", "translate_y", "rotate", "horizontal_flip", "vertical_flip")
)

#: Largest distance of a warp from its continuous field in output pixels, and of a color control.
_WARP_TOLERANCE_PX, _COLOR_TOLERANCE = 0.25, 0.01
#: Largest second derivative, in sides^-2, of a field of bound 1 (power law, gamma 7) or of deviation 1 and
#: length 1 (Gaussian): measured as the largest distance over some hundred images, both axes together.
_POWER_CURVATURE, _GAUSSIAN_CURVATURE = 96.0, 12.0
#: How far a unit of a field moves the corners of the image, in half sides: rotation by pi g has a lever.
_LEVER = {"translate": 1.0, "scale": 1.0, "shear": 1.0, "rotate": 4.0}


def _bearable_pitch(transform: FieldWarp | FieldColor, side: int) -> float:
    law = transform.law
    if isinstance(transform, FieldWarp):
        levers = zip(transform.kinds, transform.amplitudes, strict=True)
        strength = math.hypot(*(_LEVER[kind] * amplitude for kind, amplitude in levers))
        tolerance = _WARP_TOLERANCE_PX / (side / 2)
    else:
        strength = max(map(abs, transform.amplitudes))
        tolerance = _COLOR_TOLERANCE
    if isinstance(law, Gaussian):
        curvature, coarsest = _GAUSSIAN_CURVATURE / law.length**2, law.length * side / 4
    else:
        rougher = _roughness(law.gamma[0], law.n_modes()) / _roughness(7, 8)
        curvature, coarsest = _POWER_CURVATURE * rougher * law.alpha[1], math.inf
    bend = curvature * strength
    return min(coarsest, side * math.sqrt(8 * tolerance / bend) if bend > 0 else math.inf)


def _roughness(gamma: float, modes: int) -> float:
    """Deviation of the second derivative of a power-law field relative to its own, in (2 pi / side)^2."""
    squares = [a * a + b * b for a in range(-modes, modes + 1) for b in range(-modes, modes + 1) if a or b]
    return math.sqrt(sum(k ** (2 - gamma / 2) for k in squares) / sum(k ** (-gamma / 2) for k in squares))


__all__ = [
    "Affine", "Crop", "FieldColor", "FieldWarp", "Flip", "Gaussian", "Jitter", "PassPlan", "PowerLaw",
    "Transform", "Warp",
]  # fmt: skip
