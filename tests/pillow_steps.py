"""Drawn operations one after the other, by Pillow: what programs are compared with."""

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from fieldloom.kernels.draws import new_samples
from fieldloom.kernels.keys import Keys
from fieldloom.kernels.stages.operations import OPERATIONS
from fieldloom.kernels.stages.program import run_programs

_NAMES = list(OPERATIONS)
_ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "color": ImageEnhance.Color,
    "contrast": ImageEnhance.Contrast,
    "sharpness": ImageEnhance.Sharpness,
}
_AFFINES = {
    "shear_x": lambda v: (1, v, 0, 0, 1, 0),
    "shear_y": lambda v: (1, 0, 0, v, 1, 0),
    "translate_x": lambda v: (1, 0, v, 0, 1, 0),
    "translate_y": lambda v: (1, 0, 0, 0, 1, v),
}
_PLAIN = {
    "invert": ImageOps.invert,
    "autocontrast": ImageOps.autocontrast,
    "equalize": ImageOps.equalize,
    "horizontal_flip": ImageOps.mirror,
    "vertical_flip": ImageOps.flip,
    "grayscale": lambda image: image.convert("L").convert("RGB"),
    "identity": lambda image: image,
}
#: Operations whose result Pillow's own functions give bit for bit, nearest pixels taken.
EXACT = {*_ENHANCERS, *_AFFINES, *_PLAIN, "rotate", "posterize", "solarize", "solarize_add", "cutout"}


def by_pillow(
    image: np.ndarray,
    operations: np.ndarray,
    values: np.ndarray,
    centers: np.ndarray | None = None,
    fill: tuple[int, int, int] = (0, 0, 0),
) -> np.ndarray:
    """Operations on uint8 (h, w, 3), the nearest pixels taken.

    operations: indices (k,), values: native magnitudes (k,), centers: y and x (k, 2) of cutouts.
    """
    picture = Image.fromarray(image)
    for step, (operation, value) in enumerate(zip(operations, values, strict=True)):
        center = None if centers is None else centers[step]
        picture = _one(picture, _NAMES[operation], float(value), center, fill)
    return np.asarray(picture)


def _one(picture, name, value, center, fill):
    if name in _ENHANCERS:
        return _ENHANCERS[name](picture).enhance(value)
    if name in _AFFINES:
        return picture.transform(picture.size, Image.Transform.AFFINE, _AFFINES[name](value), fillcolor=fill)
    if name in _PLAIN:
        return _PLAIN[name](picture)
    if name == "rotate":
        return picture.rotate(value, fillcolor=fill)
    if name == "posterize":
        # Pillow itself refuses 0 bits, though its mask would be black.
        return ImageOps.posterize(picture, int(value)) if value else picture.point([0] * 768)
    if name == "solarize":
        return ImageOps.solarize(picture, value)
    if name == "solarize_add":
        return picture.point([min(255, i + int(value)) if i < 128 else i for i in range(256)] * 3)
    assert name == "cutout", name
    side, (y, x) = int(np.floor(value + 0.5)), center
    top, left = int(np.floor(y - side / 2 + 0.5)), int(np.floor(x - side / 2 + 0.5))
    picture = picture.copy()
    if side and top + side > 0 and left + side > 0:
        ImageDraw.Draw(picture).rectangle((left, top, left + side - 1, top + side - 1), fill)
    return picture


def by_program(images: np.ndarray, steps: np.ndarray, keys: Keys) -> np.ndarray:
    """Programs STEP (n, m) on uint8 (n, h, w, 3)."""
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    samples = new_samples(len(images))
    samples["sample"], samples["epoch"] = keys.ids, keys.epoch
    low, high = np.uint32(keys.seed & 0xFFFFFFFF), np.uint32(keys.seed >> 32)
    run_programs(steps, samples, planes, low, high, 0, len(images))
    return planes.transpose(0, 2, 3, 1)
