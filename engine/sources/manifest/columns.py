"""Targets from a column of a table (pyarrow), without a Python object a row."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import ArgumentError, LabelError
from fieldloom.sources.labels import MAX_CLASSES, check_labels
from fieldloom.sources.rows import check_targets

if TYPE_CHECKING:
    import pyarrow as pa

_LEAVE = "Correct it, or leave the row out."


@dataclass(frozen=True, slots=True)
class Labeling:
    """How a column is to be read as targets.

    Attributes:
        name: Gives the name of sample i for errors.
        classes: Names of the classes in order; None: those that occur, sorted.
        num_classes: Bound of class indices, numbers of a row; None: unknown.
        separator: What stands between the labels of one cell of text; None: a cell is one label.
        indices: Whether lists of integers are class indices, without more ado.
    """

    name: Callable[[int], str]
    classes: list[str] | None = None
    num_classes: int | None = None
    separator: str | None = None
    indices: bool = False

    @property
    def bound(self) -> int | None:
        """Number of classes, if it is known."""
        return self.num_classes if self.classes is None else len(self.classes)


Targets = NDArray[np.int64] | NDArray[np.float32]


def targets_of_column(column: "pa.ChunkedArray", labels: Labeling) -> tuple[Targets, list[str] | None]:
    """Targets, and the names of their classes where there are such.

    | column | targets |
    |---|---|
    | integers | class indices, int64 (n,) |
    | text, booleans, dates | indices into the sorted names, int64 (n,) |
    | text with a separator, lists of text | 1 for each label that a row has, float32 (n, k) |
    | lists of floats or booleans, all of one length | the numbers, float32 (n, k) |
    | lists of integers, all 0 or 1 and of one length | the numbers, float32 (n, k) |
    | lists of integers, the number of classes being known | 1 for each index that a row has, float32 (n, k) |

    Raises:
        LabelError: Names the first row without a usable target.
        ArgumentError: The column is of another type, or a separator is given for what is not text.
    """
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if column.null_count:
        _refuse("no label", _first_null(column), labels, "the cell is empty, or no number")
    if _is_text(kind) and labels.separator is not None:
        return _separated(column, labels)
    if labels.separator is not None:
        raise ArgumentError.make(
            f"label_separator={labels.separator!r}",
            why=f"the target column is {kind}, not text",
            remedy="Leave it out.",
        )
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _lists(column, labels)
    if _is_text(kind) or pa.types.is_boolean(kind) or pa.types.is_temporal(kind):
        return _text(column.cast(pa.string()), labels)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        numbers = column.to_numpy()
        if numbers.dtype.kind == "f" and len(numbers):
            _refuse_floats(numbers, labels)
        return check_labels(numbers, labels.bound, labels.name), labels.classes
    raise ArgumentError.make(
        f"a target column of type {kind}",
        why="targets are integers, text, or lists of either, or several columns of numbers",
        remedy="Name another column with target=, or convert it.",
    )


def targets_of_columns(table: "pa.Table", names: Sequence[str], labels: Labeling) -> NDArray[np.float32]:
    """Several columns of numbers as float32 (n, k).

    Raises:
        LabelError: Names the first row without a number.
        ArgumentError: A column has no numbers.
    """
    import pyarrow as pa

    rows = np.empty((table.num_rows, len(names)), np.float32)
    for k, name in enumerate(names):
        column = table.column(name)
        if not (pa.types.is_integer(column.type) or _is_flag_or_float(column.type)):
            raise ArgumentError.make(
                f"target column {name!r} is {column.type}", why="several target columns are numbers"
            )
        if column.null_count:
            _refuse(f"no number in column {name!r}", _first_null(column), labels, "the cell is empty")
        rows[:, k] = column.to_numpy()
    return check_targets(rows, labels.num_classes, labels.name)  # type: ignore[return-value]


def _text(column: "pa.ChunkedArray", labels: Labeling) -> tuple[Targets, list[str]]:
    classes, codes = _codes(column, labels, parents=None)
    return codes.astype(np.int64), classes


def _separated(column: "pa.ChunkedArray", labels: Labeling) -> tuple[Targets, list[str]]:
    import pyarrow.compute as pc

    lists = pc.split_pattern(column, labels.separator)
    flat = pc.utf8_trim_whitespace(pc.list_flatten(lists))
    parents = np.repeat(np.arange(len(column)), pc.list_value_length(lists).to_numpy())
    there = pc.not_equal(flat, "")  # an empty cell has no labels, and neither has what ends in a separator
    return _hot(flat.filter(there), parents[there.to_numpy(zero_copy_only=False)], len(column), labels)


def _lists(column: "pa.ChunkedArray", labels: Labeling) -> tuple[Targets, list[str] | None]:
    import pyarrow as pa
    import pyarrow.compute as pc

    flat = pc.list_flatten(column)
    lengths = pc.list_value_length(column).to_numpy()
    parents = np.repeat(np.arange(len(column)), lengths)
    if flat.null_count:
        _refuse("a list with a gap", int(parents[_first_null(flat)]), labels, "each of its items is needed")
    if pa.types.is_dictionary(flat.type):
        flat = flat.cast(flat.type.value_type)
    if _is_text(flat.type):
        return _hot(flat.cast(pa.string()), parents, len(column), labels)
    if not (pa.types.is_integer(flat.type) or _is_flag_or_float(flat.type)):
        raise ArgumentError.make(
            f"a target column of {column.type}", why="lists of targets hold numbers or text"
        )
    numbers = flat.to_numpy(zero_copy_only=False) if isinstance(flat, pa.Array) else flat.to_numpy()
    even = bool(len(lengths)) and bool((lengths == lengths[0]).all()) and bool(lengths[0])
    flags = numbers.dtype.kind == "b" or bool(((numbers == 0) | (numbers == 1)).all())
    if numbers.dtype.kind in "iu" and not labels.indices:
        as_rows = even and flags and labels.bound in (None, int(lengths[0]))
    else:
        as_rows = not labels.indices
    if as_rows:
        if len(lengths) and not even:
            odd = int((lengths != lengths[0]).argmax()) if lengths[0] else 0
            why = f"sample 0 has {lengths[0]}, and all need as many"
            _refuse(f"a row of {lengths[odd]} numbers", odd, labels, why)
        width = int(lengths[0]) if len(lengths) else 0
        rows = numbers.reshape(len(column), width)
        return check_targets(rows, labels.bound, labels.name), labels.classes
    if labels.bound is None:
        raise LabelError.make(
            "lists of integers as targets",
            why="they may be class indices, or numbers to learn, and the number of classes is not known",
            remedy="For class indices pass classes=[...] or num_classes=...; store numbers as floats.",
            file=labels.name(0) if len(column) else None,
        )
    return _rows_of_ones(numbers, parents, len(column), labels.bound, labels), labels.classes


def _hot(flat: "pa.ChunkedArray", parents: np.ndarray, n: int, labels: Labeling) -> tuple[Targets, list[str]]:
    classes, codes = _codes(flat, labels, parents)
    return _rows_of_ones(codes, parents, n, labels.num_classes or len(classes), labels), classes


def _rows_of_ones(
    codes: np.ndarray, parents: np.ndarray, n: int, width: int, labels: Labeling
) -> NDArray[np.float32]:
    wrong = (codes < 0) | (codes >= width)
    if wrong.any():
        first = int(wrong.argmax())
        _refuse(f"label {codes[first]}", int(parents[first]), labels, f"labels are from 0 to {width - 1}")
    rows = np.zeros((n, width), np.float32)
    rows[parents, codes.astype(np.int64)] = 1
    return rows


def _codes(
    column: "pa.ChunkedArray", labels: Labeling, parents: np.ndarray | None
) -> tuple[list[str], np.ndarray]:
    """Names of the classes, and the index of each value among them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    found = pc.unique(column)
    classes = labels.classes
    if classes is None:
        classes = sorted(found.to_pylist())
        if "" in classes:
            first = pc.index(column, "").as_py()
            row = first if parents is None else int(parents[first])
            _refuse("no label", row, labels, "the cell is empty")
        if labels.num_classes is not None and len(classes) > labels.num_classes:
            raise ArgumentError.make(
                f"num_classes={labels.num_classes} does not fit",
                why=f"the target column has {len(classes)} different names",
                remedy="Correct num_classes, or leave it out.",
            )
    codes = pc.index_in(column, value_set=pa.array(classes, column.type))
    if codes.null_count:
        first = _first_null(codes)
        row = first if parents is None else int(parents[first])
        shown = column[first].as_py()
        _refuse(f"label {shown!r}", row, labels, f"the classes are {', '.join(map(repr, classes[:10]))}")
    array = codes.to_numpy(zero_copy_only=False) if isinstance(codes, pa.Array) else codes.to_numpy()
    return classes, array


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_flag_or_float(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_floating(kind) or pa.types.is_boolean(kind)


def _refuse_floats(numbers: np.ndarray, labels: Labeling) -> NoReturn:
    """Name the number that made a column one of floats, if there is such a one: a file's writer may have."""
    with np.errstate(invalid="ignore"):
        odd = ~((numbers % 1 == 0) & (numbers >= 0) & (numbers < MAX_CLASSES))  # NaN is neither
    row = int(odd.argmax()) if odd.any() else 0
    what = f"label {numbers[row]}"
    if odd.any():
        _refuse(what, row, labels, f"labels are integers from 0 to {(labels.bound or MAX_CLASSES) - 1}")
    raise LabelError.make(
        f"{what} for",
        why=f"the column is {numbers.dtype}, and labels are integers",
        remedy="Store them as integers; for numbers to learn pass target=[...], a list of columns.",
        sample=row,
        file=labels.name(row),
    )


def _first_null(column: "pa.ChunkedArray") -> int:
    import pyarrow.compute as pc

    return pc.index(pc.is_null(column), True).as_py()


def _refuse(what: str, row: int, labels: Labeling, why: str) -> NoReturn:
    raise LabelError.make(f"{what} for", why=why, remedy=_LEAVE, sample=row, file=labels.name(row))
