"""Compile a list of augmentations into the plan of one fused pass, or say why it cannot be one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from fieldloom.errors import ArgumentError
from fieldloom.kernels import plan as kernel
from fieldloom.kernels.laws import Gaussian, Law
from fieldloom.kernels.philox import PLAN_POSITION, slot_of
from fieldloom.kernels.records import BORDERS, MAX_TRANSFORMS

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
from .options import choice, color, is_whole
from .order import Step, check_order
from .presets import preset
from .staging import compile_stages

DTYPES = ("float32", "float16", "bfloat16", "uint8")
LAYOUTS = ("NCHW", "NHWC", "channels_last")
_Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Format:
    """What comes out, besides the augmentations: size, element type, layout, border; and the schedule.

    epochs: Planned length of training, for mixes that stop after a fraction of it; None: not known.
    mix_group: Consecutive positions of the plan among which mixing partners are found.
    """

    size: int | tuple[int, int] = 224
    dtype: str = "float32"
    layout: str = "NCHW"
    border: str = "reflect"
    fill: tuple[float, float, float] | float = 0.0
    epochs: int | None = None
    mix_group: int = 8


def compile_recipe(augment: object, form: Format) -> kernel.PassPlan:
    """Check a recipe and compile it.

    Args:
        augment: A preset's name, or a sequence of augmentations and preset names.
        form: The output.

    Raises:
        ArgumentError: Names the option or the position in the list, and what would be right.
    """
    height, width = _size(form.size)
    items = flatten(augment)
    check_order(items)
    later = compile_stages(items, height, width, epochs=form.epochs, group=form.mix_group)
    warps: list[kernel.Warp] = []
    transforms: list[kernel.Transform] = []
    crop = kernel.Crop()
    normalize = Normalize((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    resize: int | None = None
    for position, item in enumerate(items):
        match item:
            case Resize():
                resize = item.side
            case RandomResizedCrop() | RandomCrop() | CenterCrop():
                crop = _crop(item, resize, position)
            case HorizontalFlip() | VerticalFlip():
                horizontal = isinstance(item, HorizontalFlip)
                warps.append(kernel.Flip(item.p, horizontal, slot_of(position, "flip")))
            case RandomAffine():
                warps.append(_affine(item, position))
            case RandomField():
                transforms.append(_field(item, position))
            case ColorField() | HSVField():
                transforms.append(_color_field(item, position))
            case ColorJitter():
                amplitudes = (item.brightness, item.contrast, item.saturation, 2 * item.hue)
                transforms.append(kernel.Jitter(amplitudes, item.p, slot_of(position, "color_jitter")))
            case Normalize():
                normalize = item
    _check_capacity(transforms)
    if form.dtype == "uint8" and any(isinstance(item, Normalize) for item in items):
        raise ArgumentError.make(
            "Normalize with dtype=uint8",
            why="normalized values are negative and fractional",
            remedy="Leave Normalize out, or take a float dtype.",
        )
    return kernel.PassPlan(
        height=height, width=width, crop=crop, warps=tuple(warps), transforms=tuple(transforms),
        mean=normalize.mean, std=normalize.std, border=choice("", "border", form.border, tuple(BORDERS)),
        fill=color("", "fill", form.fill), dtype=choice("", "dtype", form.dtype, DTYPES),
        planar=choice("", "layout", form.layout, LAYOUTS) == "NCHW",
        spectrum=later.spectrum, program=later.program, erase=later.erase, mixing=later.mixing,
        views=later.views,
    )  # fmt: skip


def _size(size: object) -> tuple[int, int]:
    pair = size if isinstance(size, (list, tuple)) else (size, size)
    if len(pair) != 2 or not all(is_whole(v) and 1 <= v <= 8192 for v in pair):
        raise ArgumentError.make(
            f"size={size!r}",
            why="not a whole number of pixels from 1 to 8192, nor (height, width) of such",
            remedy="Pass size=224 or size=(height, width).",
        )
    return int(pair[0]), int(pair[1])


def flatten(augment: object) -> list[Step]:
    """Augmentations in order, presets opened."""
    if augment is None:
        return []
    if isinstance(augment, str):
        return list(preset(augment))
    if isinstance(augment, Step):
        return [augment]
    if not isinstance(augment, Sequence):
        raise ArgumentError.make(
            f"augment={augment!r}{_class_hint(augment)}",
            why="not a list of augmentations",
            remedy="Pass a list such as [RandomResizedCrop(), Normalize()], or a preset's name.",
        )
    items: list[Step] = []
    for position, item in enumerate(augment):
        if isinstance(item, str):
            items.extend(preset(item))
        elif isinstance(item, (list, tuple)):  # what `preset` returns, or a part of a recipe
            items.extend(flatten(item))
        elif isinstance(item, Step):
            items.append(item)
        else:
            raise ArgumentError.make(
                f"augment[{position}]={item!r}{_class_hint(item)}",
                why="not an augmentation of fieldloom",
                remedy="Pass instances such as fieldloom.HorizontalFlip().",
            )
    if len(items) >= PLAN_POSITION:
        raise ArgumentError.make(
            f"augment of {len(items)} operations",
            why=f"more than {PLAN_POSITION - 1}",
            remedy="Shorten the list.",
        )
    return items


def _class_hint(item: object) -> str:
    return " (a class: add parentheses)" if isinstance(item, type) else ""


def _check_capacity(transforms: list[kernel.Transform]) -> None:
    count = sum(len(t.kinds) if isinstance(t, kernel.FieldWarp) else 1 for t in transforms)
    if count > MAX_TRANSFORMS:
        raise ArgumentError.make(
            f"augment with {count} field and color transforms",
            why=f"one pass holds {MAX_TRANSFORMS}",
            remedy="Leave some out.",
        )


def _crop(item: Step, resize: int | None, position: int) -> kernel.Crop:
    slot = slot_of(position, "crop")
    match item:
        case RandomResizedCrop():
            return kernel.Crop("random_resized", scale=item.scale, ratio=item.ratio, slot=slot)
        case RandomCrop():
            return kernel.Crop("random", resize=resize, padding=item.padding, slot=slot)
        case _:
            return kernel.Crop("center", resize=resize, slot=slot)


def _affine(item: RandomAffine, position: int) -> kernel.Affine:
    degrees, shear = cast("_Range", item.degrees), cast("_Range", item.shear)  # ranges once checked
    return kernel.Affine(degrees, item.translate, item.scale, shear, item.p, slot_of(position, "affine"))


def _field(item: RandomField, position: int) -> kernel.FieldWarp:
    share = len(item.kinds) ** -0.5  # the paper's rule for compositions
    amplitudes = tuple(share * _unit(item.law, kind) for kind in item.kinds)
    return kernel.FieldWarp(
        item.kinds, item.law, amplitudes, item.p, item.no_fold, slot_of(position, "field")
    )


def _unit(law: Law, kind: str) -> float:
    """The lattice's amplitude for one unit of the law; its coordinates count half sides."""
    if not isinstance(law, Gaussian):
        return 1.0
    if law.sigma is not None:
        return 2 * law.sigma if kind == "translate" else law.sigma
    # length / 5 of a side at half a side from the center, whatever the kind.
    calm = 2 * law.length / 5
    return calm / 3.141592653589793 if kind == "rotate" else calm


def _color_field(item: ColorField | HSVField, position: int) -> kernel.FieldColor:
    slot = slot_of(position, "color_field")
    if isinstance(item, HSVField):
        level = 1.0  # the power law brings its own bound, alpha
        if isinstance(item.law, Gaussian):
            level = item.law.length / 5 if item.law.sigma is None else item.law.sigma
        return kernel.FieldColor(item.law, (level, level, level), True, item.p, slot)
    amplitudes = (item.brightness, item.contrast, item.saturation, 2 * item.hue)
    return kernel.FieldColor(item.law, amplitudes, False, item.p, slot)
