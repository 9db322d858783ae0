"""Presets by name: the published operations, and whole recipes."""

import difflib

from fieldloom.errors import ArgumentError
from fieldloom.kernels.laws import PowerLaw

from .augmentations import (
    Augmentation,
    CenterCrop,
    ColorField,
    HorizontalFlip,
    HSVField,
    Normalize,
    RandomField,
    RandomResizedCrop,
    Resize,
)

#: Single operations with the paper's gamma ~ U[7, 10], alpha ~ U[0, 1/3] and p = 0.8 (arXiv 2311.03629).
OPERATIONS: dict[str, Augmentation] = {
    "rfa_translate": RandomField("translate", law=PowerLaw(), p=0.8),
    "rfa_scale": RandomField("scale", law=PowerLaw(), p=0.8),
    "rfa_shear": RandomField("shear", law=PowerLaw(), p=0.8),
    "rfa_rotate": RandomField("rotate", law=PowerLaw(), p=0.8),
    "rfa_color": HSVField(law=PowerLaw(), p=0.8),
}

#: Whole recipes.
RECIPES: dict[str, tuple[Augmentation, ...]] = {
    "imagenet": (RandomResizedCrop(), HorizontalFlip(), Normalize()),
    "imagenet_eval": (Resize(256), CenterCrop(), Normalize()),
    "rfa": (RandomResizedCrop(), HorizontalFlip(), RandomField("translate"), ColorField(), Normalize()),
}


def preset(name: str) -> tuple[Augmentation, ...]:
    """The augmentations of a preset, as a tuple to put into (or instead of) a list.

    Args:
        name: "rfa_translate", "rfa_scale", "rfa_shear", "rfa_rotate" or "rfa_color" (single operations),
            "imagenet", "imagenet_eval" or "rfa" (whole recipes).

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
