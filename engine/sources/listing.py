"""A list of image files with a label each."""

import os
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import ArgumentError
from fieldloom.sources.base import Source
from fieldloom.sources.files import MAX_FILE_BYTES, read_file
from fieldloom.sources.labels import check_num_classes
from fieldloom.sources.pairs import split_pairs
from fieldloom.sources.paths import PathTable
from fieldloom.sources.rows import check_targets
from fieldloom.sources.store import Store, is_remote, open_store


class ListSource(Source):
    """Image files named one by one: `[("a/x.jpg", 0), ("b/y.png", 1), ...]`.

    The files are looked at when they are read, not here: a list of millions on a network disk opens
    at once, and a missing file is one bad sample.
    """

    stored = "encoded"

    def __init__(
        self,
        pairs: Sequence[object] | NDArray[np.generic],
        *,
        num_classes: int | None = None,
        max_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        """Check and pack the list; it is not kept.

        Args:
            pairs: (path, label) pairs, or an array of shape (n, 2). Paths are `str`, `bytes` or path
                objects, or addresses such as "s3://bucket/a.jpg"; labels are integers from 0 on (in an array
                of text: their digits), or rows of numbers, as many for each.
            num_classes: If given, labels are below it.
            max_bytes: Largest file that `read` reads.

        Raises:
            ArgumentError: An entry is not a pair, or its path is not one.
            LabelError: A label is not an integer from 0 to num_classes - 1.
        """
        paths, labels = split_pairs(pairs)
        self._paths = PathTable(_split_paths(paths))
        self._max_bytes = max_bytes
        self._store: Store = open_store("remote://", max_bytes=max_bytes)  # connects to nothing
        self.targets = check_targets(labels, check_num_classes(num_classes), self.name)

    def name(self, i: int) -> str:
        """The path of sample `i`, as it was given."""
        return os.fsdecode(self._paths[i])

    def read(self, i: int) -> NDArray[np.uint8]:
        """The file of sample `i`, or what a remote store has for its address; see `Source.read`."""
        path = self._paths[i]
        if is_remote(path):
            return self._store.read(os.fsdecode(path), i)
        return read_file(path, i, self._max_bytes)


def _split_paths(paths: Sequence[object]) -> Iterator[tuple[bytes, list[bytes]]]:
    for i, path in enumerate(paths):
        if not isinstance(path, (str, bytes, os.PathLike)):
            raise ArgumentError.make(
                f"entry {i} of the list starts with a {type(path).__name__}",
                why="all entries of a list of files are (path, label) pairs",
                remedy="Do not mix paths and encoded bytes in one list.",
            )
        # An empty path and one with a zero byte cannot name a file, and some calls read them as another.
        encoded = os.fsencode(path)
        if not encoded or b"\0" in encoded:
            raise ArgumentError.make(
                f"entry {i} of the list has the path {path!r}", why="no file can have that name"
            )
        folder, name = os.path.split(encoded)
        if is_remote(encoded):  # "s3://x" must not become "s3:" and "x"
            folder = encoded[: len(encoded) - len(name)]
        yield folder, [name]
