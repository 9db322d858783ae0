"""What torch's data sets know of their samples beforehand: targets, and the files behind them."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray


def listed_targets(dataset: Any) -> NDArray[Any] | None:
    """`.targets` or `.labels` of a data set, as torchvision's have them.

    Of a `Subset` or `ConcatDataset` it is what its data sets have.

    Returns:
        Integers (n,), or numbers (n, k); None: there are none.
    """
    inner = _subset(dataset)
    if inner is not None:
        whole = listed_targets(inner)
        return None if whole is None else whole[np.asarray(dataset.indices, np.int64)]
    if isinstance(getattr(dataset, "cumulative_sizes", None), list) and hasattr(dataset, "datasets"):
        found = [listed_targets(part) for part in dataset.datasets]
        parts = [part for part in found if part is not None]
        if len(parts) < len(found) or len({part.shape[1:] for part in parts}) != 1:
            return None
        return np.concatenate(parts)
    for name in ("targets", "labels"):
        column = _numbers(getattr(dataset, name, None))
        if column is not None and len(column) == len(dataset):
            return column
    return None


def listed_files(dataset: Any) -> list[tuple[str, int]] | None:
    """(path, class) of each sample, where a data set is `.samples` and nothing is done to them; else None.

    Whether its `__getitem__` returns what these files hold is left to be tried.
    """
    inner = _subset(dataset)
    if inner is not None:
        whole = listed_files(inner)
        return None if whole is None else [whole[i] for i in np.asarray(dataset.indices).tolist()]
    samples = getattr(dataset, "samples", None)
    for name in ("transform", "target_transform", "transforms"):
        if getattr(dataset, name, None) is not None:
            return None
    if not isinstance(samples, list) or len(samples) != len(dataset):
        return None
    for entry in samples:
        if not isinstance(entry, tuple) or len(entry) != 2 or not isinstance(entry[0], (str, os.PathLike)):
            return None
        if not isinstance(entry[1], (int, np.integer)) or isinstance(entry[1], bool):
            return None
    return samples


def class_names(dataset: Any) -> list[str] | None:
    """`.classes`, where it is a list of names."""
    inner = _subset(dataset)
    if inner is not None:
        return class_names(inner)
    names = getattr(dataset, "classes", None)
    if isinstance(names, (list, tuple)) and names and all(isinstance(name, str) for name in names):
        return list(names)
    return None


def _subset(dataset: Any) -> Any | None:
    """What a `Subset` is a part of. By its attributes: importing torch is not needed to know."""
    if any(kind.__name__ == "Subset" for kind in type(dataset).__mro__) and hasattr(dataset, "indices"):
        return getattr(dataset, "dataset", None)
    return None


def _numbers(column: Any) -> NDArray[Any] | None:
    if hasattr(column, "detach"):
        column = column.detach().cpu().numpy()
    if not isinstance(column, (list, tuple, np.ndarray)):
        return None
    try:
        array = np.asarray(column)
    except ValueError:  # ragged
        return None
    if array.dtype.kind in "iu" and array.ndim == 1:
        return array
    return array if array.dtype.kind in "iubf" and array.ndim == 2 else None
