"""Single operations on 8-bit images: the public face of the program stage."""

from typing import Any

import numpy as np

from fieldloom.errors import ArgumentError
from fieldloom.kernels.draws import new_samples
from fieldloom.kernels.keys import Keys
from fieldloom.kernels.philox import slot_of
from fieldloom.kernels.stages.operations import OPERATIONS, make_steps, operation_index
from fieldloom.kernels.stages.program import run_programs
from fieldloom.options import choice, color, number, whole_number

#: How geometric operations read between pixels.
INTERPOLATIONS = ("nearest", "bilinear")
#: Largest side of an image.
_LARGEST = 8192


def apply_operation(
    name: str,
    image: Any,
    magnitude: float | None = None,
    *,
    fill: float | tuple[float, float, float] = 0,
    interpolation: str = "nearest",
    seed: int = 0,
) -> Any:
    """Apply one operation to an image, or to each of a batch.

    | names | magnitude |
    |---|---|
    | identity, invert, autocontrast, equalize, grayscale, horizontal_flip, vertical_flip | none |
    | brightness, color, contrast, sharpness | Pillow's factor, -1e6..1e6: 1 changes nothing |
    | posterize | bits kept, 0..8, a whole number |
    | solarize | threshold 0..256: values from it on are inverted |
    | solarize_add | levels 0..255 added to values below 128, a whole number |
    | shear_x, shear_y | -2..2: output (x, y) shows source (x + m y, y), or (x, y + m x) |
    | translate_x, translate_y | pixels, -8192..8192: output (x, y) shows source (x + m, y), or (x, y + m) |
    | rotate | degrees, -360..360, counter-clockwise about the center |
    | cutout | side of a filled square in pixels, 0..8192, rounded; its center is uniform in the image |
    | gaussian_blur | standard deviation in pixels, 0..6; borders are reflected |
    | gaussian_noise | standard deviation in levels, 0..255, for each channel by itself |

    Args:
        name: Of the operation.
        image: uint8 RGB (height, width, 3) or (n, height, width, 3), sides 1..8192; a NumPy array, or a torch
            tensor on the CPU. Is not changed.
        magnitude: In the operation's unit; None for operations that take none.
        fill: RGB 0..255, or one number, of what lies outside the image and of cutouts; rounded.
        interpolation: "nearest" or "bilinear", of shears, translations and rotations.
        seed: 64 bits; noise and the places of cutouts depend on it and on the index in the batch alone.

    Returns:
        A new image or batch of the same kind and shape, C-contiguous.

    Raises:
        ArgumentError: Names the argument, its value and what is legal.

    Launches: none, for this runs on the CPU; as a step of a policy, a part of its one launch.
    Source: Pillow (ImageOps, ImageEnhance, Image.transform and Image.rotate); cutout: arXiv 1708.04552.
    Exactness: Pillow's bits, flips and nearest geometry included; bilinear geometry lies within one level.
        Blur (radius ceil(3 sigma), at most 15) and noise are float32, rounded half up.

    Example:
        >>> import numpy as np
        >>> from fieldloom.policies.operations import apply_operation
        >>> image = np.array([[[0, 100, 255], [10, 20, 30]]], np.uint8)
        >>> apply_operation("posterize", image, 1).tolist()
        [[[0, 0, 128], [0, 0, 0]]]
        >>> apply_operation("translate_x", image, 1, fill=7).tolist()
        [[[10, 20, 30], [7, 7, 7]]]
    """
    index = operation_index(name)
    value = _magnitude(name, magnitude)
    rgb = color("apply_operation", "fill", fill)
    choice("apply_operation", "interpolation", interpolation, INTERPOLATIONS)
    seed = whole_number("apply_operation", "seed", seed, 0, 2**64 - 1)
    batch = _batch(image)
    n, height, width = batch.shape[:3]
    planes = np.array(batch.transpose(0, 3, 1, 2), order="C")
    keys = Keys(seed, 0, np.arange(n), np.zeros(n, np.int64))
    centers = keys.units(slot_of(0, "program"))[:, :2] * np.array([height, width], np.float64)
    steps = make_steps(
        np.full(n, index), np.full(n, value), height, width,
        fill=rgb, bilinear=interpolation == "bilinear", centers=centers, slot=slot_of(0, "noise"),
    )  # fmt: skip
    samples = new_samples(n)
    samples["sample"] = keys.ids
    low, high = np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32)
    run_programs(steps[:, None], samples, planes, low, high, 0, n)
    out = np.ascontiguousarray(planes.transpose(0, 2, 3, 1)).reshape(image.shape)
    if not is_tensor(image):
        return out
    import torch

    return torch.from_numpy(out)


def _magnitude(name: str, magnitude: float | None) -> float:
    taken = OPERATIONS[name]
    owner = f"apply_operation({name!r})"
    if not taken.parameter:
        if magnitude is not None:
            raise ArgumentError.make(
                f"{owner} magnitude={magnitude!r}", why="it takes none", remedy="Leave it out."
            )
        return 0.0
    if magnitude is None:
        raise ArgumentError.make(
            f"{owner} without a magnitude",
            why=f"it takes a number from {taken.low:g} to {taken.high:g}",
            remedy=f"Pass magnitude, its unit: {taken.parameter}.",
        )
    if taken.whole:
        return float(whole_number(owner, "magnitude", magnitude, int(taken.low), int(taken.high)))
    return number(owner, "magnitude", magnitude, taken.low, taken.high)


def is_tensor(image: object) -> bool:
    """Whether it is torch's."""
    return type(image).__module__.partition(".")[0] == "torch"  # by name, so that nobody imports torch for it


def _batch(image: Any) -> np.ndarray:
    """The image or the images as an array (n, height, width, 3), not copied."""
    if is_tensor(image) and image.device.type != "cpu":
        raise ArgumentError.make(
            f"apply_operation image on {image.device}", why="it runs on the CPU", remedy="Pass image.cpu()."
        )
    array = image.detach().numpy() if is_tensor(image) else image
    if not isinstance(array, np.ndarray) or array.dtype != np.uint8:
        raise ArgumentError.make(
            f"apply_operation image of type {getattr(array, 'dtype', type(array).__name__)}",
            why="not uint8",
            remedy="Pass a NumPy array or a torch tensor of 8-bit RGB values.",
        )
    shape = array.shape
    if len(shape) not in (3, 4) or shape[-1] != 3 or not all(1 <= side <= _LARGEST for side in shape[-3:-1]):
        raise ArgumentError.make(
            f"apply_operation image of shape {shape}",
            why=f"not (height, width, 3) or (n, height, width, 3) with sides from 1 to {_LARGEST}",
            remedy="Put the channels last: image.transpose(1, 2, 0) or image.permute(1, 2, 0).",
        )
    return array if len(shape) == 4 else array[None]


__all__ = ["apply_operation"]
