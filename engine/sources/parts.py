"""What a map-style data set returns for a sample, taken apart: image, target, mask, fields."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fieldloom.errors import ArgumentError
from fieldloom.sources.roles import IMAGE_NAMES, MASK_NAMES, TARGET_NAMES, find_column
from fieldloom.sources.stored import is_pillow

_RETURN = "Return (image, target), the image alone, or a dict with an image in it."


@dataclass(slots=True)
class Parts:
    """One sample, taken apart, nothing converted.

    Attributes:
        image: Bytes, a path, a PIL image, or pixels.
        target: What it returned as the target, or None.
        mask: What it returned as the mask, or None.
        fields: The rest of a dict.
        names: What a dict called "image", "target" and "mask".
    """

    image: Any
    target: Any = None
    mask: Any = None
    fields: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


def take_apart(sample: Any, i: int) -> Parts:
    """Which part of what a data set returned is what.

    A dict by its keys' customary names; a pair as (image, target), or as (image, mask) where its second is a
    PIL image or an integer array of two axes, or as (image, fields) where it is a dict; else an image.

    Args:
        sample: What `dataset[i]` returned.
        i: The sample id that errors name.

    Raises:
        ArgumentError: It is none of these.
    """
    if hasattr(sample, "_asdict"):
        sample = sample._asdict()
    if isinstance(sample, Mapping):
        return _of_mapping(sample, i)
    if not isinstance(sample, (tuple, list)):
        return Parts(sample)
    if len(sample) == 1:
        return Parts(sample[0])
    if len(sample) != 2:
        raise ArgumentError.make(
            f"a data set that returns a {type(sample).__name__} of length {len(sample)}",
            why="which item is what is not plain",
            remedy=_RETURN,
            sample=i,
        )
    image, second = sample
    if isinstance(second, Mapping):
        rest = _of_mapping({"image": image, **second}, i)
        rest.names.pop("image", None)
        return rest
    return Parts(image, mask=second) if is_mask(second) else Parts(image, second)


def _of_mapping(sample: Mapping[Any, Any], i: int) -> Parts:
    keys = [key for key in sample if isinstance(key, str)]
    image = find_column(keys, IMAGE_NAMES)
    if image is None:
        raise ArgumentError.make(
            "a data set that returns a dict without an image",
            why=f"its keys are {', '.join(map(repr, sample))}",
            remedy="Call the image's key 'image'.",
            sample=i,
        )
    names = {"image": image}
    target, mask = find_column(keys, TARGET_NAMES), find_column(keys, MASK_NAMES)
    if target is not None:
        names["target"] = target
    if mask is not None and (is_mask(sample[mask]) or isinstance(sample[mask], (bytes, str))):
        names["mask"] = mask
    taken = set(names.values())
    fields = {str(key): value for key, value in sample.items() if key not in taken}
    return Parts(
        sample[image],
        sample[names["target"]] if "target" in names else None,
        sample[names["mask"]] if "mask" in names else None,
        fields,
        names,
    )


def is_mask(value: Any) -> bool:
    """Whether this has a mask's shape: a PIL image, or integers on two axes."""
    if is_pillow(value):
        return True
    kind = str(getattr(value, "dtype", ""))
    return getattr(value, "ndim", 0) == 2 and ("int" in kind or "bool" in kind)
