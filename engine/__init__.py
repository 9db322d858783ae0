"""fieldloom: a data-loading augmentation engine for PyTorch.

    import fieldloom as fl

    augment = [fl.RandomResizedCrop(), fl.HorizontalFlip(), fl.RandomField("translate"), fl.ColorField()]
    with fl.DataLoader("photos/train", shuffle=True, augment=[*augment, fl.Normalize()]) as loader:
        for batch in loader:
            images, targets = batch

Names are handed on lazily: importing this package starts neither torch nor DALI nor Numba.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__

if __name__ != "fieldloom":
    raise ImportError(
        "this folder is the package fieldloom: install the project (pip install -e .) and import fieldloom"
    )

#: Public name -> module that defines it.
_HOMES = {
    "ArgumentError": "errors",
    "AugMix": "policies",
    "AutoAugment": "policies",
    "Batch": "batch",
    "CenterCrop": "augmentations",
    "ClassBalanced": "selectors",
    "ColorField": "augmentations",
    "ColorJitter": "augmentations",
    "Coreset": "selectors",
    "CutMix": "mixing",
    "Cutout": "policies",
    "DataLoader": "loader",
    "DatasetQuantization": "selectors",
    "DecodeError": "errors",
    "DeviceError": "errors",
    "DualVariable": "policies",
    "EL2N": "selectors",
    "EntropyFilter": "selectors",
    "FMix": "mixing",
    "FieldloomError": "errors",
    "Forgetting": "selectors",
    "Gaussian": "kernels.laws",
    "GaussianBlur": "policies",
    "GaussianNoise": "policies",
    "GraNd": "selectors",
    "GraphCut": "selectors",
    "Grayscale": "policies",
    "HSVField": "augmentations",
    "HorizontalFlip": "augmentations",
    "InfoBatch": "selectors",
    "KCenter": "selectors",
    "LabelError": "errors",
    "LimitError": "errors",
    "MADAUG_OPERATIONS": "policies",
    "MaskMix": "mixing",
    "MaxLoss": "selectors",
    "MissingError": "errors",
    "Mix": "mix",
    "MixUp": "mixing",
    "Normalize": "augmentations",
    "OneOf": "mixing",
    "Operation": "policies",
    "PASTA": "policies",
    "PolicyChain": "policies",
    "PowerLaw": "kernels.laws",
    "ProgressiveExpansion": "selectors",
    "RS2": "selectors",
    "RandAugment": "policies",
    "RandomAffine": "augmentations",
    "RandomCrop": "augmentations",
    "RandomErasing": "mixing",
    "RandomField": "augmentations",
    "RandomResizedCrop": "augmentations",
    "Resize": "augmentations",
    "ResizeMix": "mixing",
    "SampleAdaptive": "selectors",
    "SampleError": "errors",
    "SamplePolicy": "policies",
    "Selection": "selection",
    "Selector": "selectors",
    "Signals": "selectors",
    "SourceError": "errors",
    "StateError": "errors",
    "ThreeAugment": "policies",
    "TooManyBadSamples": "errors",
    "TrivialAugmentWide": "policies",
    "UnsafeError": "errors",
    "VerticalFlip": "augmentations",
    "WeightedSampling": "selectors",
    "WorkerDied": "errors",
    "WorkerStalled": "errors",
    "apply_operation": "policies",
    "apply_policy": "policies",
    "augment": "replay",
    "decoupled_mixup_loss": "mixing",
    "expand_operations": "policies",
    "jensen_shannon": "mixing",
    "mix_batch": "mixing",
    "mixed_cross_entropy": "mixing",
    "pack": "sources",
    "preset": "presets",
    "soft_cross_entropy": "mixing",
    "soft_targets": "mixing",
}

__all__ = [
    "EL2N",
    "MADAUG_OPERATIONS",
    "PASTA",
    "RS2",
    "ArgumentError",
    "AugMix",
    "AutoAugment",
    "Batch",
    "CenterCrop",
    "ClassBalanced",
    "ColorField",
    "ColorJitter",
    "Coreset",
    "CutMix",
    "Cutout",
    "DataLoader",
    "DatasetQuantization",
    "DecodeError",
    "DeviceError",
    "DualVariable",
    "EntropyFilter",
    "FMix",
    "FieldloomError",
    "Forgetting",
    "Gaussian",
    "GaussianBlur",
    "GaussianNoise",
    "GraNd",
    "GraphCut",
    "Grayscale",
    "HSVField",
    "HorizontalFlip",
    "InfoBatch",
    "KCenter",
    "LabelError",
    "LimitError",
    "MaskMix",
    "MaxLoss",
    "MissingError",
    "Mix",
    "MixUp",
    "Normalize",
    "OneOf",
    "Operation",
    "PolicyChain",
    "PowerLaw",
    "ProgressiveExpansion",
    "RandAugment",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomField",
    "RandomResizedCrop",
    "Resize",
    "ResizeMix",
    "SampleAdaptive",
    "SampleError",
    "SamplePolicy",
    "Selection",
    "Selector",
    "Signals",
    "SourceError",
    "StateError",
    "ThreeAugment",
    "TooManyBadSamples",
    "TrivialAugmentWide",
    "UnsafeError",
    "VerticalFlip",
    "WeightedSampling",
    "WorkerDied",
    "WorkerStalled",
    "__version__",
    "apply_operation",
    "apply_policy",
    "augment",
    "decoupled_mixup_loss",
    "expand_operations",
    "jensen_shannon",
    "mix_batch",
    "mixed_cross_entropy",
    "pack",
    "preset",
    "soft_cross_entropy",
    "soft_targets",
]

if TYPE_CHECKING:
    from .augmentations import (
        CenterCrop,
        ColorField,
        ColorJitter,
        HorizontalFlip,
        HSVField,
        Normalize,
        RandomAffine,
        RandomCrop,
        RandomField,
        RandomResizedCrop,
        Resize,
        VerticalFlip,
    )
    from .batch import Batch
    from .errors import (
        ArgumentError,
        DecodeError,
        DeviceError,
        FieldloomError,
        LabelError,
        LimitError,
        MissingError,
        SampleError,
        SourceError,
        StateError,
        TooManyBadSamples,
        UnsafeError,
        WorkerDied,
        WorkerStalled,
    )
    from .kernels.laws import Gaussian, PowerLaw
    from .loader import DataLoader
    from .mix import Mix
    from .mixing import (
        CutMix,
        FMix,
        MaskMix,
        MixUp,
        OneOf,
        RandomErasing,
        ResizeMix,
        decoupled_mixup_loss,
        jensen_shannon,
        mix_batch,
        mixed_cross_entropy,
        soft_cross_entropy,
        soft_targets,
    )
    from .policies import (
        MADAUG_OPERATIONS,
        PASTA,
        AugMix,
        AutoAugment,
        Cutout,
        DualVariable,
        GaussianBlur,
        GaussianNoise,
        Grayscale,
        Operation,
        PolicyChain,
        RandAugment,
        SamplePolicy,
        ThreeAugment,
        TrivialAugmentWide,
        apply_operation,
        apply_policy,
        expand_operations,
    )
    from .presets import preset
    from .replay import augment
    from .selection import Selection
    from .selectors import (
        EL2N,
        RS2,
        ClassBalanced,
        Coreset,
        DatasetQuantization,
        EntropyFilter,
        Forgetting,
        GraNd,
        GraphCut,
        InfoBatch,
        KCenter,
        MaxLoss,
        ProgressiveExpansion,
        SampleAdaptive,
        Selector,
        Signals,
        WeightedSampling,
    )
    from .sources import pack


def _graph_recipes() -> Any:
    return importlib.import_module("fieldloom.graph_recipes").GraphRecipes()


# Upwards nobody imports: DALI operators ask for the compiler that is registered here.
importlib.import_module("fieldloom.pipelines.compiling").register(_graph_recipes)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"fieldloom.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'fieldloom' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
