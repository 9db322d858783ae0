"""One sample as a source gives it: the image, and whatever belongs to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(slots=True)
class Sample:
    """What `Source.sample` gives.

    Attributes:
        image: What the source stores: an encoded file, uint8 (n_bytes,), or RGB pixels, uint8 (height,
            width, 3).
        target: Its target, where targets come with the samples (`Source.targets` is None): a whole number, a
            number, or a 1-D array of numbers; else None.
        mask: Ids of its pixels, where the source has masks (`Source.has_masks`): an encoded file, uint8
            (n_bytes,), or an integer array (height, width) of the size of the image as displayed; else None.
        fields: Everything else, by name: numbers, arrays of numbers, text, bytes.
    """

    image: np.ndarray
    target: Any = None
    mask: np.ndarray | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Extras:
    """What goes beside a sample's image through the loader: a `Sample` without it, the mask decoded."""

    target: Any = None
    mask: np.ndarray | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
