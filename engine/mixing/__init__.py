"""Mixing of samples within groups of the plan, and the losses that go with it."""

if __name__ != "fieldloom.mixing":
    raise ImportError(
        "This folder is the package fieldloom.mixing: install the project (pip install -e .) "
        "and import fieldloom.mixing"
    )

from .choice import MIXES, Mix, OneOf, compile_mixing
from .erasing import RandomErasing, compile_erasing
from .losses import (
    decoupled_mixup_loss,
    jensen_shannon,
    mixed_cross_entropy,
    soft_cross_entropy,
    soft_targets,
)
from .masks import mix_batch
from .mixes import CutMix, FMix, MaskMix, MixUp, ResizeMix

__all__ = [
    "MIXES",
    "CutMix",
    "FMix",
    "MaskMix",
    "Mix",
    "MixUp",
    "OneOf",
    "RandomErasing",
    "ResizeMix",
    "compile_erasing",
    "compile_mixing",
    "decoupled_mixup_loss",
    "jensen_shannon",
    "mix_batch",
    "mixed_cross_entropy",
    "soft_cross_entropy",
    "soft_targets",
]
