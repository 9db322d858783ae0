"""Millions of file paths in a few flat buffers instead of one Python object each."""

import os
from array import array
from collections.abc import Iterable

import numpy as np


class PathTable:
    """Paths by index, packed: each folder once, the file names end to end.

    Memory is the bytes of the file names plus 12 bytes a path; a list of `str` takes some 130 more.
    Paths are the operating system's bytes throughout, so any file name that exists can be kept.
    """

    def __init__(self, groups: Iterable[tuple[bytes, list[bytes]]]) -> None:
        """Pack paths in the order given.

        Args:
            groups: (folder, names of files in it) pairs; a folder may come up again.
        """
        index_of: dict[bytes, int] = {}
        names = bytearray()
        ends = array("q", [0])
        folder_of = array("i")
        for folder, files in groups:
            index = index_of.setdefault(folder, len(index_of))
            for file in files:
                names += file
                ends.append(len(names))
                folder_of.append(index)
        self._folders = list(index_of)
        self._names = bytes(names)
        self._ends = np.array(ends, np.int64)  # name i is names[ends[i]:ends[i + 1]]
        self._folder_of = np.array(folder_of, np.int32)

    def __len__(self) -> int:
        """Number of paths."""
        return len(self._folder_of)

    def __getitem__(self, i: int) -> bytes:
        """Path `i`, 0 <= i < n."""
        if not 0 <= i < len(self._folder_of):
            raise IndexError(f"sample {i} of {len(self)}")
        name = self._names[self._ends[i] : self._ends[i + 1]]
        return os.path.join(self._folders[self._folder_of[i]], name)
