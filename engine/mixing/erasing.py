"""Random erasing as data."""

from dataclasses import dataclass

from fieldloom.kernels.philox import slot_of
from fieldloom.kernels.stages.erasing import Erase
from fieldloom.kernels.stages.records import ERASE_CONSTANT, ERASE_PIXEL, ERASE_REGION
from fieldloom.options import choice, color, number, pair

FILLS = ("mean", "noise", "color noise")
_KINDS = {"mean": ERASE_CONSTANT, "noise": ERASE_PIXEL, "color noise": ERASE_REGION}


@dataclass(frozen=True, slots=True)
class RandomErasing:
    """Erase a box of each image with probability p, behind everything but mixing.

    The area is U(scale) of the image, the aspect ratio (height / width) log-uniform in `ratio`, both sides
    rounded to whole pixels, the place uniform; ten tries for a box that is smaller than the image on both
    sides, else nothing is erased. A sample that others are mixed with is erased before. All views of a sample
    (`AugMix(views=...)`), the clean one too, are erased in the same place.

    Args:
        p: Probability, times the sample's strength.
        scale: Range of the area as a fraction of the image.
        ratio: Range of the aspect ratio.
        fill: "mean" is the mean that the recipe's `Normalize` subtracts (so 0 comes out), without one
            ImageNet's; RGB 0..255, or one number; "noise" a normal color a pixel, "color noise" one a box,
            both with the mean and deviation that `Normalize` has (so standard normal numbers come out).

    Labels: unchanged.
    Launches: one more, `finish`, shared with mixing.
    Source: Zhong et al., Random Erasing, arXiv 1708.04896; rules as in torchvision and timm.
    Exactness: noise is not rounded to 8 bits, nor clipped, in float output types.
    """

    p: float = 0.25
    scale: tuple[float, float] = (0.02, 1 / 3)
    ratio: tuple[float, float] = (0.3, 10 / 3)
    fill: str | float | tuple[float, float, float] = "mean"

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", number(self, "p", self.p, 0, 1))
        object.__setattr__(self, "scale", pair(self, "scale", self.scale, 1e-6, 1.0))
        object.__setattr__(self, "ratio", pair(self, "ratio", self.ratio, 1e-2, 1e2))
        if isinstance(self.fill, str):
            choice(self, "fill", self.fill, FILLS)
        else:
            object.__setattr__(self, "fill", color(self, "fill", self.fill))


def compile_erasing(item: RandomErasing, position: int) -> Erase:
    """What the kernels draw from for random erasing at a position of the recipe."""
    slot = slot_of(position, "erase")
    if isinstance(item.fill, str):
        return Erase(item.p, item.scale, item.ratio, _KINDS[item.fill], None, slot)
    return Erase(item.p, item.scale, item.ratio, ERASE_CONSTANT, color(item, "fill", item.fill), slot)
