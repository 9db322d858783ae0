"""The order of a recipe: what may stand behind what."""

import itertools

from fieldloom.errors import ArgumentError
from fieldloom.mixing import Mix, RandomErasing
from fieldloom.policies import PASTA, Policy

from .augmentations import (
    Augmentation,
    CenterCrop,
    ColorField,
    ColorJitter,
    HSVField,
    Normalize,
    RandomCrop,
    RandomResizedCrop,
    Resize,
)

#: Whatever a recipe may list.
Step = Augmentation | PASTA | Policy | RandomErasing | Mix

_CROPS = (RandomResizedCrop, RandomCrop, CenterCrop)
_COLORS = (ColorField, ColorJitter)
_PASS, _PASTA, _POLICY, _ERASING, _MIXING = range(5)


def check_order(items: list[Step]) -> None:
    """One pass has one order. A list that says otherwise is refused.

    Raises:
        ArgumentError: Names what stands in the wrong place, and where it belongs.
    """
    crops = [i for i, item in enumerate(items) if isinstance(item, _CROPS)]
    resizes = [i for i, item in enumerate(items) if isinstance(item, Resize)]
    if len(crops) > 1 or len(resizes) > 1:
        raise ArgumentError.make(
            f"augment with {len(crops)} crops and {len(resizes)} resizes",
            why="one pass resamples once, from one window",
            remedy="Keep one crop, and at most one Resize before it.",
        )
    first = (crops + resizes + [0])[0]
    before = [item for item in items[:first] if not isinstance(item, Resize)]
    if before:
        raise ArgumentError.make(
            f"{type(before[0]).__name__} before {type(items[first]).__name__}",
            why="the crop comes first, so that only its pixels are decoded",
            remedy="Put the crop at the front of the list.",
        )
    if resizes:
        side = items[resizes[0]].side  # type: ignore[union-attr]
        follows = bool(crops) and resizes[0] < crops[0] and not isinstance(items[crops[0]], RandomResizedCrop)
        if side is not None and not follows:
            raise ArgumentError.make(
                f"Resize(side={side}) without a crop of the output size behind it",
                why="every image of a batch has the loader's size",
                remedy="Put CenterCrop() or RandomCrop() directly behind it, or use Resize().",
            )
        if side is None and crops:
            raise ArgumentError.make(
                "Resize() with a crop", why="it takes the whole image", remedy="Leave one of them out."
            )
    for position, item in enumerate(items):
        behind = [other for other in items[position + 1 :] if _rank(other) < _ERASING]
        if isinstance(item, Normalize) and behind:
            raise ArgumentError.make(
                f"Normalize at position {position} of {len(items)}, before {type(behind[0]).__name__}",
                why="only erasing and mixing work on normalized values",
                remedy="Put it last, or only RandomErasing and mixes behind it.",
            )
        if isinstance(item, HSVField) and any(isinstance(other, _COLORS) for other in items[:position]):
            raise ArgumentError.make(
                "HSVField behind another color operation",
                why="the pass adds in HSV before its linear color matrix",
                remedy="Put HSVField before ColorField and ColorJitter.",
            )
    if sum(isinstance(item, HSVField) for item in items) > 1:
        raise ArgumentError.make(
            "two HSVFields", why="the pass adds in HSV once", remedy="Keep one, with a larger alpha."
        )
    _check_stages(items)


def _check_stages(items: list[Step]) -> None:
    staged = [item for item in items if not isinstance(item, Normalize)]
    for item, following in itertools.pairwise(staged):
        if _rank(following) < _rank(item):
            raise ArgumentError.make(
                f"{type(following).__name__} behind {type(item).__name__}",
                why="the order is: crop, flips, fields and color; PASTA; policies; RandomErasing; mixing",
                remedy=f"Put {type(following).__name__} before {type(item).__name__}.",
            )
    for kind, name in ((_PASTA, "PASTA"), (_ERASING, "RandomErasing"), (_MIXING, "mix")):
        found = [item for item in items if _rank(item) == kind and not isinstance(item, Normalize)]
        if len(found) > 1:
            raise ArgumentError.make(
                f"two of {type(found[0]).__name__}, {type(found[1]).__name__}",
                why=f"a recipe holds one {name}",
                remedy="Choose among mixes by OneOf([...])." if kind == _MIXING else "Keep one.",
            )


def _rank(item: Step) -> int:
    """Place in the order of execution."""
    if isinstance(item, Augmentation):
        return _PASS
    if isinstance(item, PASTA):
        return _PASTA
    if isinstance(item, RandomErasing):
        return _ERASING
    return _MIXING if isinstance(item, Mix) else _POLICY
