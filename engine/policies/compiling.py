"""From the user's policies to the items that the kernels draw from."""

from fieldloom.kernels.philox import slot_of
from fieldloom.kernels.stages.policies import Item

from .augmix import AugMix
from .autoaugment import AutoAugment
from .external import SamplePolicy
from .randaugment import RandAugment, TrivialAugmentWide
from .simple import Cutout, GaussianBlur, GaussianNoise, Grayscale, Operation, ThreeAugment

#: Whatever a recipe may list as a policy.
Policy = (
    RandAugment | TrivialAugmentWide | AutoAugment | AugMix | ThreeAugment | Operation | Cutout | GaussianBlur
    | GaussianNoise | Grayscale | SamplePolicy
)  # fmt: skip
POLICIES: tuple[type, ...] = (
    RandAugment, TrivialAugmentWide, AutoAugment, AugMix, ThreeAugment, Operation, Cutout, GaussianBlur,
    GaussianNoise, Grayscale, SamplePolicy,
)  # fmt: skip


def compile_policy(item: Policy, position: int) -> Item:
    """What the kernels draw from for a policy at a position of the recipe."""
    return item.item(slot_of(position, "program"))
