"""Variants of the CUDA source that together cover every pair of options, and recipes that need them."""

from fieldloom.kernels.cuda import Variant
from fieldloom.kernels.laws import Gaussian, PowerLaw
from fieldloom.kernels.plan import Affine, Crop, FieldColor, FieldWarp, Flip, Jitter, PassPlan, Transform
from fieldloom.kernels.records import ADDITIVE_HSV, LINEAR

DTYPES = ("float32", "float16", "bfloat16", "uint8")
BORDERS = ("reflect", "edge", "constant")
PITCHES = (8, 4, 2, 1)

#: Two Latin squares of order 4, orthogonal to each other and to `i ^ j` (multiplication in GF(4)).
_TWICE, _THRICE = (0, 2, 3, 1), (0, 3, 1, 2)

#: (dtype, pitch, color mode, border, planar): each pair of values of two columns occurs in some row.
COVERING = tuple(
    (DTYPES[i], PITCHES[j], i ^ j, BORDERS[(i ^ _TWICE[j]) % 3], bool((i ^ _THRICE[j]) & 1))
    for i in range(4)
    for j in range(4)
)


def variant(dtype: str, pitch: int, mode: int, border: str, planar: bool) -> Variant:
    """The compile-time variant of a row of COVERING."""
    return Variant(DTYPES.index(dtype), planar, BORDERS.index(border), mode, min(4, pitch))


#: The variant for which speed is claimed: training in half precision with a color field.
FLAGSHIP = variant("float16", 8, LINEAR, "reflect", True)


class _FixedPitch(PassPlan):
    """A plan on a lattice of the pitch that its recipe is tested at."""

    __slots__ = ("_pitch",)

    def pitch(self) -> int:
        return self._pitch


def fixed(pitch: int, plan: PassPlan) -> PassPlan:
    """The same plan on a lattice of this pitch."""
    out = _FixedPitch(**{name: getattr(plan, name) for name in PassPlan.__slots__})
    object.__setattr__(out, "_pitch", pitch)
    return out


def colors(mode: int, p: float = 0.7) -> tuple[Transform, ...]:
    """Color transforms that need this mode, gated."""
    hsv = (FieldColor(PowerLaw(), (0.5, 0.4, 0.3), True, p, 0x307),)
    linear = (
        FieldColor(Gaussian(0.5), (0.2, 0.2, 0.3, 0.1), False, p, 0x407),
        Jitter((0.4, 0.4, 0.4, 0.1), p, 0x508),
    )
    return (hsv if mode & ADDITIVE_HSV else ()) + (linear if mode & LINEAR else ())


def rich_plan(height: int, width: int, row: tuple[str, int, int, str, bool]) -> PassPlan:
    """A recipe with every geometric kind, both laws, gates, a guard and a row's colors and output."""
    dtype, pitch, mode, border, planar = row
    warps = (Flip(0.5, True, 0x104), Affine((-40, 40), (0.2, 0.2), (0.3, 1.5), (-10, 10), 0.5, 0x205))
    fields = (
        FieldWarp(("rotate", "scale", "shear", "translate"), PowerLaw(), (0.5,) * 4, 0.8, False, 0x106),
        FieldWarp(("translate",), Gaussian(0.3), (0.1,), 0.5, True, 0x206),
    )
    plan = PassPlan(
        height, width, crop=Crop("random_resized", slot=0x003), warps=warps,
        transforms=fields + colors(mode), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225),
        border=border, fill=(9.0, 80.0, 255.0), dtype=dtype, planar=planar,
    )  # fmt: skip
    return fixed(pitch, plan)
