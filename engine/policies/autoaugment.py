"""AutoAugment's three published policies."""

import re
from dataclasses import dataclass
from functools import cache

from fieldloom.kernels.stages.policies import Entry, Pairs, Range
from fieldloom.options import choice, color

from .operations import INTERPOLATIONS
from .spaces import SPACES

# Sub-policies of two operations: abbreviation, probability, and after the slash a magnitude from 0 to 9.
_LETTERS = {
    "P": "posterize", "R": "rotate", "So": "solarize", "A": "autocontrast", "E": "equalize", "I": "invert",
    "C": "color", "K": "contrast", "H": "sharpness", "B": "brightness",
    "SX": "shear_x", "SY": "shear_y", "TX": "translate_x", "TY": "translate_y",
}  # fmt: skip
_POLICIES = {
    "imagenet": """
        P.4/8 R.6/9   So.6/5 A.6    E.8 E.6       P.6/7 P.6/6   E.4 So.2/4
        E.4 R.8/8     So.6/3 E.6    P.8/5 E1      R.2/3 So.6/8  E.6 P.4/6
        R.8/8 C.4/0   R.4/9 E.6     E0 E.8        I.6 E1        C.6/4 K1/8
        R.8/8 C1/2    C.8/8 So.8/7  H.4/7 I.6     SX.6/5 E1     C.4/0 E.6
        E.4 So.2/4    So.6/5 A.6    I.6 E1        C.6/4 K1/8    E.8 E.6""",
    "cifar10": """
        I.1 K.2/6     R.7/2 TX.3/9  H.8/1 H.9/3   SY.5/8 TY.7/9 A.5 E.9
        SY.2/7 P.3/7  C.4/3 B.6/7   H.3/9 B.7/9   E.6 E.5       K.6/7 H.6/5
        C.7/7 TX.5/8  E.3 A.4       TY.4/3 H.2/6  B.9/6 C.2/8   So.5/2 I0
        E.2 A.6       E.2 E.6       C.9/9 E.6     A.8 So.2/8    B.1/3 C.7/0
        So.4/5 A.9    TY.9/9 TY.7/9 A.9 So.8/3    E.8 I.1       TY.7/9 A.9""",
    "svhn": """
        SX.9/4 I.2    SY.9/8 I.7    E.6 So.6/6    I.9 E.6       E.6 R.9/3
        SX.9/4 A.8    SY.9/8 I.4    SY.9/5 So.2/6 I.9 A.8       E.6 R.9/3
        SX.9/4 So.3/3 SY.8/8 I.7    E.9 TY.6/6    I.9 E.6       K.3/3 R.8/4
        I.8 TY0/2     SY.7/6 So.4/8 I.6 R.8/4     SY.3/7 TX.9/3 SX.1/6 I.6
        So.7/2 TY.6/7 SY.8/4 I.8    SX.7/9 TY.8/3 SY.8/5 A.7    SX.7/2 I.1""",
}
_STEP = re.compile(r"([A-Z][A-Zo]?)(\.?\d)(?:/(\d))?")


@cache
def sub_policies(policy: str) -> tuple[tuple[Entry, Entry], ...]:
    """The 25 pairs of a policy; levels are ninths of RandAugment's standard ranges."""
    space = {range_.operation: range_ for range_ in SPACES["standard"].ranges}
    space["invert"] = Range("invert")
    entries = []
    for word in _POLICIES[policy].split():
        found = _STEP.fullmatch(word)
        assert found is not None, word
        letters, p, magnitude = found.groups()
        entries.append(Entry(space[_LETTERS[letters]], int(magnitude or 0) / 9, float(p)))
    return tuple(zip(entries[::2], entries[1::2], strict=True))


@dataclass(frozen=True, slots=True)
class AutoAugment:
    """One of a learned policy's 25 pairs of operations, drawn uniformly; each fires by its probability.

    Args:
        policy: "imagenet", "cifar10" or "svhn".
        interpolation: "nearest" or "bilinear", of geometric operations.
        fill: RGB 0..255, or one number, of what lies outside the image.

    Magnitudes 0..9 are ninths of the ranges of `RandAugment(space="standard")`; fair coins give the signs
    of shears, translations, rotations and factors. Per-sample strength multiplies each magnitude's
    distance from doing nothing, and (up to 1) the probabilities of operations without a magnitude.

    Launches: one for the whole program, whatever its length.
    Source: Cubuk et al., arXiv 1805.09501; torchvision/transforms/autoaugment.py.
    Exactness: equal bit for bit to Pillow's operations in order; bilinear geometry within a level.
    """

    policy: str = "imagenet"
    interpolation: str = "nearest"
    fill: tuple[float, float, float] | float = 0.0

    def __post_init__(self) -> None:
        choice(self, "policy", self.policy, tuple(_POLICIES))
        choice(self, "interpolation", self.interpolation, INTERPOLATIONS)
        object.__setattr__(self, "fill", color(self, "fill", self.fill))

    def item(self, slot: int) -> Pairs:
        """What the kernels draw from."""
        return Pairs(
            sub_policies(self.policy),
            bilinear=self.interpolation == "bilinear",
            fill=color(self, "fill", self.fill),
            slot=slot,
        )
