"""Check class labels once, when a data set is opened, so that no batch carries a wrong one."""

import operator
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import ArgumentError, LabelError

MAX_CLASSES = 100_000_000
"""Largest number of classes without `num_classes`: an id or a hash taken for a label lies above it."""


def check_num_classes(num_classes: int | None) -> int | None:
    """`num_classes` itself, if it is None or an integer from 1 on.

    Raises:
        ArgumentError: It is anything else (True is not 1 here).
    """
    if num_classes is None:
        return None
    if isinstance(num_classes, (bool, np.bool_)) or not isinstance(num_classes, (int, np.integer)):
        raise ArgumentError.make(
            f"num_classes={num_classes!r}", why="it must be an integer from 1 on, or None"
        )
    if num_classes < 1:
        raise ArgumentError.make(f"num_classes={num_classes}", why="it must be 1 or more, or None")
    return int(num_classes)


def check_labels(
    labels: Sequence[object] | NDArray[Any],
    num_classes: int | None,
    name: Callable[[int], str],
) -> NDArray[np.int64]:
    """Labels as class indices: int64, shape (n,), each from 0 to num_classes - 1.

    Integers of any width pass. Floats (also 1.0), booleans and text do not: each is a column of another
    meaning more often than a class index. In an unsigned column, its largest value is what -1 turned
    into; unless `num_classes` admits it, it passes only next to its lower neighbor.

    Args:
        labels: One label a sample: a sequence, or an array of shape (n,).
        num_classes: The bound, exclusive; None means `MAX_CLASSES`.
        name: Gives the name of sample i for errors.

    Raises:
        LabelError: Names the first sample whose label does not pass, its value and the range.
        ArgumentError: `labels` is an array that does not have exactly one axis.
    """
    if isinstance(labels, np.ndarray):
        if labels.ndim != 1:
            raise ArgumentError.make(
                f"labels of shape {labels.shape}",
                why="one class index a sample is needed, shape (n,)",
                remedy="For one-hot rows pass labels.argmax(axis=1).",
            )
        column = labels
    else:
        column = _column(labels)
    if column.dtype.kind not in "iu":
        column = _integers(column, num_classes, name)
    bound = num_classes or MAX_CLASSES
    wrong = (column < 0) | (column >= bound) | _wrapped(column, num_classes)
    if wrong.any():
        i = int(wrong.argmax())
        _refuse(column[i], i, num_classes, name)
    return column.astype(np.int64)


def _column(labels: Sequence[object]) -> NDArray[Any]:
    # Plain integers, the usual case, convert at once. Anything else keeps its type in an object array:
    # np.array([True, 2]) would turn the boolean into a 1 before it could be refused.
    if set(map(type, labels)) == {int}:
        try:
            return np.array(labels, np.int64)
        except OverflowError:
            pass
    return np.fromiter(labels, object, len(labels))


def _integers(column: NDArray[Any], num_classes: int | None, name: Callable[[int], str]) -> NDArray[np.int64]:
    """An object (or float, bool, text) column as int64; refuses the first value that is no integer."""
    result = np.empty(len(column), np.int64)
    for i, value in enumerate(column):
        if isinstance(value, (bool, np.bool_)):
            _refuse(value, i, num_classes, name)
        try:
            result[i] = operator.index(value)  # integers of Python and NumPy, 0-d integer tensors; no floats
        except (TypeError, OverflowError):
            _refuse(value, i, num_classes, name)
    return result


def _wrapped(column: NDArray[Any], num_classes: int | None) -> NDArray[np.bool_]:
    """Where an unsigned column holds what was -1 before it became unsigned."""
    if column.dtype.kind != "u" or num_classes is not None:
        return np.zeros(len(column), np.bool_)
    top = np.iinfo(column.dtype).max
    return np.asarray((column == top) & ~np.any(column == top - 1))


def _refuse(value: object, i: int, num_classes: int | None, name: Callable[[int], str]) -> NoReturn:
    shown = repr(value.item() if isinstance(value, np.generic) else value)
    why = f"labels are integers from 0 to {(num_classes or MAX_CLASSES) - 1}"
    remedy = "Correct it, or leave the sample out."
    if isinstance(value, (bool, np.bool_)) or (
        isinstance(value, (float, np.floating)) and float(value).is_integer()
    ):
        remedy = "Convert the labels with int(...)."
    elif isinstance(value, np.unsignedinteger) and value == np.iinfo(value.dtype).max:
        remedy = (
            f"As {value.dtype} the label -1 becomes {value}: store labels as int64. "
            f"If {value} is a class, pass num_classes={int(value) + 1}."
        )
    elif num_classes is not None and isinstance(value, (int, np.integer)) and value >= num_classes:
        remedy = f"Correct it, or pass num_classes={int(value) + 1} or more."
    raise LabelError.make(f"label {shown} is not usable for", why=why, remedy=remedy, sample=i, file=name(i))
