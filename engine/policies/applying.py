"""Operations that the caller chose, on a batch of images: what learned policies need."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fieldloom.errors import ArgumentError
from fieldloom.kernels.draws import new_samples
from fieldloom.kernels.keys import Keys
from fieldloom.kernels.philox import slot_of
from fieldloom.kernels.stages.policy_values import Columns, unit, whole_centers
from fieldloom.kernels.stages.program import run_programs
from fieldloom.options import choice, color, whole_number

from .external import check_within, on_host, to_array
from .operations import INTERPOLATIONS, is_tensor
from .spaces import SPACES

_SPACES = ("madaug", "standard", "wide")


def apply_policy(
    images: Any,
    operations: Any,
    magnitudes: Any,
    *,
    probabilities: Any = None,
    space: str = "madaug",
    seed: int = 0,
    epoch: int = 0,
    ids: Any = None,
    interpolation: str = "nearest",
    fill: float | tuple[float, float, float] = 0.0,
) -> Any:
    """Apply chosen operations to a batch, each image its own, one after the other.

    Args:
        images: uint8 (n, height, width, 3) or (n, 3, height, width), NumPy or torch on the CPU; sides 1 to
            8192.
        operations: (n, k): indices into the space's operations (`MADAUG_OPERATIONS` for "madaug", the order
            of torchvision's table for "standard" and "wide"), or their names.
        magnitudes: (n, k) in [0, 1]: where in the operation's range.
        probabilities: (n, k) or a number in [0, 1]: with which each of them happens; None: always.
        space: Whose ranges: "madaug", or "standard" or "wide" of `RandAugment`.
        seed: Of the signs of geometric operations, of cutouts' centers and of `probabilities`.
        epoch: Likewise.
        ids: (n,) sample ids, below 2^32: what is drawn depends on (seed, epoch, id), not on the place in
            the batch; None: 0, 1, ....
        interpolation: "nearest" or "bilinear", of geometric operations.
        fill: RGB 0..255, or one number, of what lies outside the image.

    Returns:
        New images, of the kind, type and layout of `images`.

    Raises:
        ArgumentError: Names the option, and the place of the first bad value.

    Launches: none; this runs on the CPU, inside or outside of a loader.
    Source: MADAug (JackHck/MADAug: operation.py).
    Exactness: equal bit for bit to Pillow's operations in order; bilinear geometry within a level.

    Example:
        >>> import numpy as np
        >>> import fieldloom as fl
        >>> images = np.zeros((2, 4, 4, 3), np.uint8)
        >>> out = fl.apply_policy(images, [["invert"], ["identity"]], [[0], [0]])
        >>> int(out[0].min()), int(out[1].max())
        (255, 0)
    """
    choice("apply_policy", "space", space, _SPACES)
    choice("apply_policy", "interpolation", interpolation, INTERPOLATIONS)
    planes, restore = _planes(images)
    n, _, height, width = planes.shape
    rows = _rows(operations, n, space)
    levels = _table("apply_policy", "magnitudes", magnitudes, rows.shape)
    chances = (
        1.0 if probabilities is None else _table("apply_policy", "probabilities", probabilities, rows.shape)
    )
    keys = Keys(
        whole_number("apply_policy", "seed", seed, 0, 2**64 - 1),
        whole_number("apply_policy", "epoch", epoch, 0, 2**32 - 1),
        _ids("apply_policy", ids, n),
        np.zeros(n, np.int64),
    )
    columns, slot = Columns(SPACES[space].ranges, height, width), slot_of(0, "program")
    words = np.empty((*rows.shape, 4), np.uint32)
    places = np.empty_like(words)
    for step in range(rows.shape[1]):
        words[:, step], places[:, step] = keys.words(slot, 2 * step), keys.words(slot, 2 * step + 1)
    values = columns.values(rows, levels, words[:, :, 0] >> np.uint32(31) == 1)
    drawn = columns.draw(rows, values, unit(words[:, :, 1]) < chances, whole_centers(places, columns))
    rgb = color("apply_policy", "fill", fill)
    steps = columns.steps(
        drawn, fill=rgb, bilinear=interpolation == "bilinear", noise_slot=slot_of(0, "noise")
    )
    samples = new_samples(n)
    samples["sample"], samples["epoch"] = keys.ids, keys.epoch
    low, high = np.uint32(keys.seed & 0xFFFFFFFF), np.uint32(keys.seed >> 32)
    run_programs(steps, samples, planes, low, high, 0, n)
    return restore(planes)


def expand_operations(
    images: Any,
    magnitudes: Any,
    *,
    space: str = "madaug",
    seed: int = 0,
    epoch: int = 0,
    ids: Any = None,
    interpolation: str = "nearest",
    fill: float | tuple[float, float, float] = 0.0,
) -> Any:
    """Each image under each single operation of a space, at its own magnitudes (MADAug's policy step).

    A policy's probabilities get their gradient from the sum of these views, weighted by them.

    Args:
        images: As for `apply_policy`.
        magnitudes: (n, n_operations) in [0, 1]; 17 columns for "madaug".
        space: As for `apply_policy`, like all that follows.
        seed: See `space`.
        epoch: See `space`.
        ids: See `space`; the signs of an image's views are drawn together.
        interpolation: See `space`.
        fill: See `space`.

    Returns:
        Images of the same kind, (n, n_operations, ...).

    Raises:
        ArgumentError: As for `apply_policy`.

    Exactness: view j equals `apply_policy` with operation j alone.
    """
    choice("expand_operations", "space", space, _SPACES)
    n, count = len(images), len(SPACES[space].ranges)
    levels = _table("expand_operations", "magnitudes", magnitudes, (n, count))
    own = np.repeat(_ids("expand_operations", ids, n), count)
    repeated = images.repeat_interleave(count, 0) if is_tensor(images) else np.repeat(images, count, 0)
    views = apply_policy(
        repeated, np.tile(np.arange(count), n)[:, None], levels.reshape(-1, 1),
        space=space, seed=seed, epoch=epoch, ids=own, interpolation=interpolation, fill=fill,
    )  # fmt: skip
    return views.reshape(n, count, *views.shape[1:])


def _planes(images: Any) -> tuple[np.ndarray, Any]:
    """A copy as uint8 (n, 3, height, width), and how to give such planes the form of `images` again."""
    tensor = is_tensor(images)
    if tensor and images.device.type != "cpu":
        raise ArgumentError.make(
            f"apply_policy images on {images.device}", why="it runs on the CPU", remedy="Pass images.cpu()."
        )
    array = images.detach().numpy() if tensor else images
    shape: tuple[int, ...] = tuple(getattr(array, "shape", ()))
    first = len(shape) == 4 and shape[1] == 3 and shape[3] != 3
    if getattr(array, "dtype", None) != np.uint8 or len(shape) != 4 or not (first or shape[3] == 3):
        raise ArgumentError.make(
            f"apply_policy images of shape {shape} and type {getattr(array, 'dtype', None)}",
            why="not uint8 of shape (n, height, width, 3) or (n, 3, height, width)",
            remedy="Pass 8-bit RGB images.",
        )
    planes = np.array(array if first else array.transpose(0, 3, 1, 2), order="C")
    if not all(1 <= side <= 8192 for side in planes.shape[2:]):
        raise ArgumentError.make(
            f"apply_policy images of {planes.shape[2]} x {planes.shape[3]} pixels",
            why="sides go from 1 to 8192",
            remedy="Crop or resize them.",
        )

    def restore(done: np.ndarray) -> Any:
        out = done if first else np.ascontiguousarray(done.transpose(0, 2, 3, 1))
        if not tensor:
            return out
        import torch

        return torch.from_numpy(out)

    return planes, restore


def _rows(operations: Any, n: int, space: str) -> np.ndarray:
    """Indices (n, k) of a space's operations from indices or names."""
    known = [range_.operation for range_ in SPACES[space].ranges]
    try:
        array = on_host(operations)
    except ValueError as error:  # rows of different lengths
        raise ArgumentError.make(
            "apply_policy operations that are no array", why=str(error), remedy="Pass as many for each image."
        ) from None
    if array.dtype.kind == "U":
        unknown = sorted(set(array.ravel().tolist()) - set(known))
        if unknown:
            raise ArgumentError.make(
                f"apply_policy operations with {unknown[0]!r}",
                why=f"the space {space!r} has no such operation",
                remedy=f"Pass some of {', '.join(known)}.",
            )
        array = np.vectorize(known.index, otypes=[np.int64])(array)
    if array.dtype.kind not in "iu" or array.ndim != 2 or len(array) != n or not array.shape[1]:
        raise ArgumentError.make(
            f"apply_policy operations of shape {array.shape} and type {array.dtype}",
            why=f"not indices or names of shape ({n}, k)",
            remedy="Pass one row for each image.",
        )
    check_within("apply_policy", "operations", array, 0, len(known) - 1)
    return array.astype(np.int64)


def _table(owner: str, option: str, values: Any, shape: Sequence[int]) -> np.ndarray:
    array = to_array(owner, option, values)
    if array.shape != tuple(shape) and not (array.ndim == 0 and option == "probabilities"):
        raise ArgumentError.make(
            f"{owner} {option} of shape {array.shape}",
            why=f"not {tuple(shape)}",
            remedy="Pass one number for each operation of each image.",
        )
    check_within(owner, option, array, 0, 1)
    return np.broadcast_to(array, shape)


def _ids(owner: str, ids: Any, n: int) -> np.ndarray:
    if ids is None:
        return np.arange(n)
    array = on_host(ids)
    if array.shape != (n,) or (array.dtype.kind not in "iu" and n):
        raise ArgumentError.make(
            f"{owner} ids of shape {array.shape} and type {array.dtype}",
            why=f"not {n} whole numbers",
            remedy="Pass one id for each image.",
        )
    check_within(owner, "ids", array, 0, 2**32 - 1)
    return array.astype(np.int64)
