"""Presets by name: the published operations, and whole recipes."""

import difflib

from fieldloom.errors import ArgumentError
from fieldloom.kernels.laws import PowerLaw
from fieldloom.mixing import FMix
from fieldloom.policies import Cutout, RandAugment, TrivialAugmentWide

from .augmentations import (
    Augmentation,
    CenterCrop,
    ColorField,
    HorizontalFlip,
    HSVField,
    Normalize,
    RandomCrop,
    RandomField,
    RandomResizedCrop,
    Resize,
)
from .order import Step

#: Single operations with the paper's gamma ~ U[7, 10], alpha ~ U[0, 1/3] and p = 0.8 (arXiv 2311.03629).
OPERATIONS: dict[str, Augmentation] = {
    "rfa_translate": RandomField("translate", law=PowerLaw(), p=0.8),
    "rfa_scale": RandomField("scale", law=PowerLaw(), p=0.8),
    "rfa_shear": RandomField("shear", law=PowerLaw(), p=0.8),
    "rfa_rotate": RandomField("rotate", law=PowerLaw(), p=0.8),
    "rfa_color": HSVField(law=PowerLaw(), p=0.8),
}

#: Mean and standard deviation of CIFAR-10's training images.
_CIFAR10 = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
#: That mean in levels: cutouts are 0 behind `Normalize`, as published.
_GRAY = (125.0, 123.0, 114.0)

#: Whole recipes.
RECIPES: dict[str, tuple[Step, ...]] = {
    "imagenet": (RandomResizedCrop(), HorizontalFlip(), Normalize()),
    "imagenet_eval": (Resize(256), CenterCrop(), Normalize()),
    "imagenet_randaugment": (
        RandomResizedCrop(),
        HorizontalFlip(),
        RandAugment(n=2, magnitude=9),
        Normalize(),
    ),
    "imagenet_fmix": (RandomResizedCrop(), HorizontalFlip(), Normalize(), FMix()),
    "rfa": (RandomResizedCrop(), HorizontalFlip(), RandomField("translate"), ColorField(), Normalize()),
    "cifar": (RandomCrop(padding=4), HorizontalFlip(), Cutout(16, fill=_GRAY), Normalize(*_CIFAR10)),
    "trivial": (RandomResizedCrop(), HorizontalFlip(), TrivialAugmentWide(), Normalize()),
}


def preset(name: str) -> tuple[Step, ...]:
    """The augmentations of a preset, as a tuple to put into (or instead of) a list.

    Args:
        name: "rfa_translate", "rfa_scale", "rfa_shear", "rfa_rotate" or "rfa_color" (single operations),
            "imagenet", "imagenet_eval", "imagenet_randaugment", "imagenet_fmix", "rfa", "cifar" (crops of
            the images' own size after padding by 4, flip, Cutout(16) in the mean color) or "trivial" (whole
            recipes).

    Each operation stands for itself, with the paper's whole alpha. For a composition by the paper's rule
    (alpha / sqrt(n), in a random order) name the kinds together: `RandomField("translate", "shear")`.

    Raises:
        ArgumentError: There is no preset of this name.
    """
    if name in OPERATIONS:
        return (OPERATIONS[name],)
    if name in RECIPES:
        return RECIPES[name]
    known = [*OPERATIONS, *RECIPES]
    close = difflib.get_close_matches(str(name), known, 1)
    raise ArgumentError.make(
        f"preset {name!r}",
        why="there is no such preset" + (f" (did you mean {close[0]!r}?)" if close else ""),
        remedy=f"Known are {', '.join(known)}.",
    )
