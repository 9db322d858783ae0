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
    "Batch": "batch",
    "CenterCrop": "augmentations",
    "ColorField": "augmentations",
    "ColorJitter": "augmentations",
    "DataLoader": "loader",
    "DecodeError": "errors",
    "DeviceError": "errors",
    "FieldloomError": "errors",
    "Gaussian": "kernels.laws",
    "HSVField": "augmentations",
    "HorizontalFlip": "augmentations",
    "LabelError": "errors",
    "LimitError": "errors",
    "MissingError": "errors",
    "Normalize": "augmentations",
    "PowerLaw": "kernels.laws",
    "RandomAffine": "augmentations",
    "RandomCrop": "augmentations",
    "RandomField": "augmentations",
    "RandomResizedCrop": "augmentations",
    "Resize": "augmentations",
    "SampleError": "errors",
    "Selection": "selection",
    "SourceError": "errors",
    "StateError": "errors",
    "TooManyBadSamples": "errors",
    "UnsafeError": "errors",
    "VerticalFlip": "augmentations",
    "augment": "replay",
    "preset": "presets",
}

__all__ = [
    "ArgumentError",
    "Batch",
    "CenterCrop",
    "ColorField",
    "ColorJitter",
    "DataLoader",
    "DecodeError",
    "DeviceError",
    "FieldloomError",
    "Gaussian",
    "HSVField",
    "HorizontalFlip",
    "LabelError",
    "LimitError",
    "MissingError",
    "Normalize",
    "PowerLaw",
    "RandomAffine",
    "RandomCrop",
    "RandomField",
    "RandomResizedCrop",
    "Resize",
    "SampleError",
    "Selection",
    "SourceError",
    "StateError",
    "TooManyBadSamples",
    "UnsafeError",
    "VerticalFlip",
    "__version__",
    "augment",
    "preset",
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
    )
    from .kernels.laws import Gaussian, PowerLaw
    from .loader import DataLoader
    from .presets import preset
    from .replay import augment
    from .selection import Selection


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"fieldloom.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'fieldloom' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
