"""How many images and bytes a batch holds, whichever loader made it."""

import math
from collections.abc import Mapping
from typing import Any


def n_images(batch: Any) -> int:
    """Images of a batch.

    A batch of ours knows its length. Else the first array in it decides, whatever names or numbers stand
    before it: its leading axis; the number of them, if it is a list of single images (height, width,
    channels), or a tuple of such within a batch, as detection has them; the sum, if it is a list of dicts,
    one a pipeline, as DALI's iterators give. What holds no array counts as one image.

    Example:
        >>> import numpy as np
        >>> n_images((np.zeros((4, 3, 8, 8)), np.zeros(4)))
        4
        >>> n_images({"path": ["a.jpg", "b.jpg"], "image": np.zeros((2, 8, 8, 3))})
        2
    """
    return _n_images(batch, within=False)


def _n_images(batch: Any, *, within: bool) -> int:
    if hasattr(batch, "ids"):
        return len(batch.ids)
    if isinstance(batch, (list, tuple)) and batch:
        if all(isinstance(item, Mapping) for item in batch):
            return sum(_n_images(item, within=False) for item in batch)
        listed = within or isinstance(batch, list)
        if listed and all(len(_shape(item)) == 3 for item in batch):
            return len(batch)
        return _n_images(next(filter(_holds_array, batch), batch[0]), within=True)
    if isinstance(batch, Mapping):
        values = list(batch.values())
        return _n_images(next(filter(_holds_array, values), values[0]), within=True) if values else 0
    shape = getattr(batch, "shape", None)
    if callable(shape):  # a list of tensors of DALI
        return len(shape())
    if shape is not None and len(shape):
        return int(shape[0])
    return len(batch) if hasattr(batch, "__len__") and not isinstance(batch, (str, bytes)) else 1


def _shape(item: Any) -> tuple[int, ...]:
    shape = getattr(item, "shape", ())
    return () if callable(shape) else tuple(shape)


def _holds_array(item: Any) -> bool:
    if isinstance(item, Mapping):
        return any(map(_holds_array, item.values()))
    if isinstance(item, (list, tuple)):
        return any(map(_holds_array, item))
    return hasattr(item, "ids") or callable(getattr(item, "shape", None)) or bool(_shape(item))


def n_bytes(batch: Any) -> int:
    """Bytes of all arrays in a batch; what is no array counts nothing."""
    if hasattr(batch, "ids") and hasattr(batch, "images"):
        return n_bytes((batch.images, batch.targets, batch.ids, batch.weights))
    if isinstance(batch, (list, tuple)):
        return sum(n_bytes(item) for item in batch)
    if isinstance(batch, Mapping):
        return n_bytes(list(batch.values()))
    size = getattr(batch, "nbytes", None)
    if isinstance(size, int):
        return size
    shape = getattr(batch, "shape", None)
    if shape is None or callable(shape):
        return 0
    return math.prod(shape) * int(getattr(batch, "itemsize", 0) or 0)
