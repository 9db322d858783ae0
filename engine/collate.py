"""From the samples of a batch to its columns: targets, masks, other fields."""

import numbers
from typing import TYPE_CHECKING, Any

import numpy as np

from fieldloom.errors import LabelError

from .sources.base import Source
from .work import Work

if TYPE_CHECKING:
    import torch


def targets_of(source: Source, work: Work) -> np.ndarray:
    """Targets of a batch: int64 (n,), or numbers (n,) or (n, k).

    Raises:
        LabelError: Targets that come with the samples are no numbers, or differ in shape.
    """
    if source.targets is not None:
        column = source.targets[work.ids]
        return column.astype(np.int64) if column.dtype.kind in "iu" else column
    extras = work.extras or []
    rows = [np.asarray(-1 if extra is None or extra.target is None else extra.target) for extra in extras]
    if not rows:
        return np.zeros(0, np.int64)
    for row, sample in zip(rows, work.ids, strict=True):
        if row.shape != rows[0].shape:
            raise LabelError.make(
                f"target of shape {row.shape}",
                why=f"that of sample {work.ids[0]} has shape {rows[0].shape}",
                remedy="Give all targets one shape, or return them as a field of a dict.",
                sample=int(sample),
            )
    column = np.stack(rows)
    return column.astype(np.int64 if column.dtype.kind in "iub" and column.ndim == 1 else np.float32)


def checked_target(target: Any) -> np.ndarray | None:
    """A target that comes with its sample, as numbers of no axis or one; None: it has none.

    Raises:
        LabelError: It is something else, or not finite.
    """
    if target is None:
        return None
    if hasattr(target, "detach"):
        target = target.detach().cpu().numpy()
    try:
        row = np.asarray(target)
    except (TypeError, ValueError):  # ragged
        row = np.asarray(None)
    if row.dtype.kind not in "iubf" or row.ndim > 1:
        raise LabelError.make(
            f"target {_shown(target)}",
            why="a target is a number, or numbers of one axis",
            remedy="Return class indices; other things are fields of a dict.",
        )
    with np.errstate(over="ignore"):
        finite = row.dtype.kind != "f" or np.isfinite(row.astype(np.float32)).all()
    if not finite:
        raise LabelError.make(
            f"target {_shown(target)}",
            why="it is not finite in float32",
            remedy="Correct it, or leave the sample out.",
        )
    if row.dtype.kind == "u" and not row.ndim and (row > np.iinfo(np.int64).max).any():
        raise LabelError.make(
            f"target {_shown(target)}",
            why="whole numbers are delivered as int64",
            remedy="Correct it, or leave the sample out.",
        )
    return row


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def fields_of(work: Work) -> dict[str, Any]:
    """Other fields by name: a tensor where all values are numbers of one shape, else a list."""
    if not work.extras:
        return {}
    names = dict.fromkeys(name for extra in work.extras if extra is not None for name in extra.fields)
    return {
        name: column([None if extra is None else extra.fields.get(name) for extra in work.extras])
        for name in names
    }


def column(values: list[Any]) -> "torch.Tensor | list[Any]":
    """Values of one field as a tensor, where they are numbers of one shape; else as they are."""
    import torch

    if all(isinstance(value, (numbers.Number, np.generic)) for value in values):
        array = np.asarray(values)
        return torch.from_numpy(array) if _fits(array.dtype) and not _loses(values, array) else values
    if all(isinstance(value, torch.Tensor) for value in values):
        same = len({(value.shape, value.dtype) for value in values}) == 1
        return torch.stack(values) if same else values
    if all(isinstance(value, np.ndarray) and _fits(value.dtype) for value in values):
        same = len({(value.shape, value.dtype) for value in values}) == 1
        return torch.from_numpy(np.stack(values)) if same else values
    return values


def _fits(dtype: np.dtype[Any]) -> bool:
    """Whether torch has such numbers: it has no long double."""
    return (
        dtype.kind in "iub"
        or (dtype.kind == "f" and dtype.itemsize <= 8)
        or dtype in (np.complex64, np.complex128)
    )


def _loses(values: list[Any], array: np.ndarray) -> bool:
    """Whether whole numbers have become floats that cannot hold them: an id beyond 2^53 next to 0.5."""
    if array.dtype.kind not in "fc":
        return False
    return any(isinstance(value, (int, np.integer)) and abs(int(value)) > 2**53 for value in values)


def mask_windows(work: Work, fill: int = 0) -> list[np.ndarray]:
    """The windows of a batch's masks, all uint8, or all int32 where ids or `fill` need it."""
    masks = [extra.mask for extra in work.extras or [] if extra is not None and extra.mask is not None]
    rects = work.windows.rects.tolist()
    cut = [mask[y : y + h, x : x + w] for mask, (y, x, h, w) in zip(masks, rects, strict=True)]
    wide = fill > 255 or any(mask.dtype != np.uint8 for mask in masks)
    return [part.astype(np.int32) for part in cut] if wide else cut
