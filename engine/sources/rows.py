"""Several numbers for each sample: multi-label rows of 0 and 1, soft labels, values to regress on."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import LabelError
from fieldloom.sources.labels import check_labels

_WHY_FLAT = "each sample has as many numbers, on one axis"
_REMEDY = "Correct it, or leave the sample out."


def check_targets(
    targets: Sequence[object] | NDArray[Any], num_classes: int | None, name: Callable[[int], str]
) -> NDArray[np.int64] | NDArray[np.float32]:
    """Targets as a source holds them: class indices, or rows of numbers. The first one decides which.

    Args:
        targets: One a sample: a class index, or several numbers (a list, a tuple, a 1-D array or tensor); or
            an array of shape (n,) or (n, k). One-hot rows stay rows: for classes pass their argmax.
        num_classes: If given, class indices are below it, and rows have that many numbers.
        name: Gives the name of sample i for errors.

    Returns:
        int64 (n,), or float32 (n, k).

    Raises:
        LabelError: Names the first sample whose target does not pass.
        ArgumentError: `targets` is an array of more than two axes, or of none.

    Example:
        >>> check_targets([[1, 0, 1], [0, 0, 1]], 3, str)
        array([[1., 0., 1.],
               [0., 0., 1.]], dtype=float32)
    """
    if isinstance(targets, np.ndarray) and targets.ndim == 2 and targets.dtype != object:
        return _finite(targets, num_classes, name)
    if len(targets) and _is_row(targets[0]):
        return _stack(targets, num_classes, name)
    return check_labels(targets, num_classes, name)


def _is_row(value: object) -> bool:
    return isinstance(value, (list, tuple)) or (getattr(value, "ndim", 0) == 1)


def _stack(
    targets: Sequence[object] | NDArray[Any], num_classes: int | None, name: Callable[[int], str]
) -> NDArray[np.float32]:
    rows: list[NDArray[Any]] = []
    for i, target in enumerate(targets):
        row = _numbers(target)
        if row is None or row.ndim != 1 or (rows and len(row) != len(rows[0])):
            shown = repr(target)
            raise LabelError.make(
                f"target {shown if len(shown) <= 60 else shown[:57] + '...'} is not usable for",
                why=_WHY_FLAT + (f": {len(rows[0])}, as sample 0 has" if rows else ""),
                remedy=_REMEDY,
                sample=i,
                file=name(i),
            )
        rows.append(row)
    return _finite(np.stack(rows), num_classes, name)


def _numbers(target: Any) -> NDArray[Any] | None:
    if hasattr(target, "detach"):
        target = target.detach().cpu()
    try:
        row = np.asarray(target)
    except (TypeError, ValueError):  # ragged
        return None
    return row if row.dtype.kind in "iubf" else None


def _finite(rows: NDArray[Any], num_classes: int | None, name: Callable[[int], str]) -> NDArray[np.float32]:
    if rows.dtype.kind not in "iubf":
        raise LabelError.make(
            f"targets of type {rows.dtype}", why="they are numbers, float32 (n, k)", remedy="Convert them."
        )
    if len(rows) and (rows.shape[1] == 0 or num_classes not in (None, rows.shape[1])):
        raise LabelError.make(
            f"target {rows[0].tolist()[:8]} is not usable for",
            why=f"it has {rows.shape[1]} numbers"
            + ("" if num_classes is None else f", and labels are integers from 0 to {num_classes - 1}, or")
            + ("" if num_classes is None else f" rows of {num_classes} numbers"),
            remedy="Correct num_classes, or the rows.",
            sample=0,
            file=name(0),
        )
    with np.errstate(over="ignore"):
        made = rows.astype(np.float32)
    wrong = ~np.isfinite(made).all(1)
    if wrong.any():
        i = int(wrong.argmax())
        raise LabelError.make(
            f"target {rows[i].tolist()[:8]} is not usable for",
            why="its numbers must be finite in float32",
            remedy=_REMEDY,
            sample=i,
            file=name(i),
        )
    return made
