"""Split the pairs that a user lists into their two columns."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import ArgumentError


def split_pairs(pairs: Sequence[object] | NDArray[np.generic]) -> tuple[list[object], list[object]]:
    """The first and the second item of every (item, label) pair.

    An array of text, as `np.array([("a.jpg", 0)])` becomes, gives its labels back as integers where
    they are decimal digits (the rest stays text, and is refused as a label by its value).

    Args:
        pairs: A sequence of tuples or lists of length 2, or an array of shape (n, 2); may be empty.

    Raises:
        ArgumentError: Names the first entry that is not a pair.
    """
    entries: Sequence[Any] = pairs.tolist() if isinstance(pairs, np.ndarray) else pairs
    for i, row in enumerate(entries):
        if not isinstance(row, (tuple, list)) or len(row) != 2:
            raise ArgumentError.make(
                f"entry {i} of the list is {_shown(row)}",
                why="each entry must be a pair of an item and its label",
                remedy="For separate columns pass list(zip(items, labels)).",
            )
    items = [row[0] for row in entries]
    labels = [row[1] for row in entries]
    if isinstance(pairs, np.ndarray) and pairs.dtype.kind in "US":
        labels = [int(label) if label.isdigit() and label.isascii() else label for label in labels]
    return items, labels


def _shown(row: object) -> str:
    size = f" of length {len(row)}" if isinstance(row, (tuple, list)) else ""
    return f"a {type(row).__name__}{size}"
