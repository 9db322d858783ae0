"""`augment`: what the loader does to one sample, without a loader."""

import numbers
from typing import Any

import numpy as np

from fieldloom.errors import ArgumentError
from fieldloom.kernels.draws import Keys
from fieldloom.kernels.fusedpass import FusedPass, Sources

from .options import number
from .recipe import Format, compile_recipe
from .selection import MAX_STRENGTH
from .tensors import dtype_name, to_tensor


def augment(
    image: np.ndarray,
    *,
    augment: Any = (),
    id: int = 0,
    epoch: int = 0,
    seed: int = 0,
    occurrence: int = 0,
    size: int | tuple[int, int] = 224,
    dtype: Any = "float32",
    layout: str = "NCHW",
    border: str = "reflect",
    fill: float | tuple[float, float, float] = 0.0,
    strength: float = 1.0,
) -> Any:
    """Replay exactly what a loader with the same options does to one sample.

    Args:
        image: The decoded image as displayed (EXIF applied): RGB, uint8, (height, width, 3).
        augment: The recipe.
        id: The sample's id in the loader.
        epoch: The epoch.
        seed: The loader's seed.
        occurrence: Which repeat of the sample in that epoch.
        size: Output size, as for the loader; `dtype`, `layout`, `border`, `fill` likewise.
        dtype: See `size`.
        layout: See `size`.
        border: See `size`.
        fill: See `size`.
        strength: The sample's strength of augmentation, as `DataLoader.select` takes it.

    Returns:
        Tensor (3, height, width), or (height, width, 3) in layout "NHWC"; of a recipe with several views
        (views, ...).

    Raises:
        ArgumentError: The image is not uint8 RGB, an option is out of range, or the recipe mixes samples
            (`DataLoader.replay` makes mixed ones).

    Exactness: equal to the loader bit for bit where the decoded pixels are equal.

    Example:
        >>> import numpy as np
        >>> import fieldloom as fl
        >>> image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
        >>> same = fl.augment(image, size=4, dtype="uint8", layout="NHWC")
        >>> bool((same.numpy() == image).all())
        True
    """
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ArgumentError.make(
            f"image of shape {array.shape} and type {array.dtype}",
            why="not uint8 of shape (height, width, 3)",
            remedy="Decode to RGB; multiply floats in 0..1 by 255 and round.",
        )
    words = (("id", id, 32), ("epoch", epoch, 32), ("seed", seed, 64), ("occurrence", occurrence, 8))
    for option, value, bits in words:
        high = 2**bits
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or not 0 <= value < high:
            raise ArgumentError.make(
                f"{option}={value!r}", why=f"not a whole number from 0 to {high - 1}", remedy="Pass one."
            )
    if array.strides[1:] != (3, 1) or array.strides[0] < 0:
        array = np.ascontiguousarray(array)
    fused = FusedPass(compile_recipe(augment, Format(size, dtype_name(dtype), layout, border, fill)))
    each = np.array([number("", "strength", strength, 0, MAX_STRENGTH)], np.float32)
    drawn = None if each[0] == 1 else each
    keys = Keys(int(seed), int(epoch), np.array([int(id)]), np.array([int(occurrence)]), drawn)
    windows = fused.windows(keys, np.array([array.shape[:2]]))
    y, x, height, width = windows.rects[0]
    out = fused(keys, windows, Sources.of_arrays([array[y : y + height, x : x + width]]))
    tensor = to_tensor(out, fused.plan.dtype, layout)
    return tensor[0] if fused.plan.views == 1 else tensor
