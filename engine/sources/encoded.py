"""Encoded image files that are already in memory."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import ArgumentError, DecodeError
from fieldloom.sources.base import Source
from fieldloom.sources.labels import check_num_classes
from fieldloom.sources.pairs import split_pairs
from fieldloom.sources.rows import check_targets


class EncodedSource(Source):
    """Image files as bytes: `[(jpeg_bytes, 0), (png_bytes, 1), ...]`. The bytes are not copied."""

    stored = "encoded"

    def __init__(
        self, pairs: Sequence[object] | NDArray[np.generic], *, num_classes: int | None = None
    ) -> None:
        """Check the list, and keep a view of each entry's bytes.

        Args:
            pairs: (data, label) pairs; data is `bytes`, `bytearray`, a contiguous `memoryview`, or a
                contiguous uint8 array of shape (n_bytes,). Labels as for `ListSource`.
            num_classes: If given, labels are below it.

        Raises:
            ArgumentError: An entry is not such a pair.
            LabelError: A label is not an integer from 0 to num_classes - 1.
        """
        data, labels = split_pairs(pairs)
        self._data = [_view(item, i) for i, item in enumerate(data)]
        self.targets = check_targets(labels, check_num_classes(num_classes), self.name)

    def name(self, i: int) -> str:
        """Where sample `i` lives (it has no name of its own)."""
        return "encoded bytes in memory"

    def read(self, i: int) -> NDArray[np.uint8]:
        """The bytes of sample `i`: a view, read-only if the user's object is.

        Raises:
            DecodeError: There are none.
        """
        data = self._data[i]
        if not len(data):
            raise DecodeError.make(
                "cannot read",
                why="there are 0 bytes",
                remedy='Leave it out, or pass on_bad_sample="skip" or "substitute".',
                sample=i,
                file=self.name(i),
            )
        return data


def _view(item: object, i: int) -> NDArray[np.uint8]:
    shown = type(item).__name__
    if isinstance(item, np.ndarray):
        if item.dtype == np.uint8 and item.ndim == 1 and item.flags.c_contiguous:
            return item
        shown = f"{item.dtype} array of shape {item.shape}"
    elif isinstance(item, (bytes, bytearray)) or (isinstance(item, memoryview) and item.c_contiguous):
        return np.frombuffer(item, np.uint8)
    raise ArgumentError.make(
        f"entry {i} of the list starts with {shown}",
        why="encoded images are bytes, bytearray, contiguous memoryview, or contiguous 1-D uint8 arrays",
        remedy="For decoded images pass (images, labels).",
    )
