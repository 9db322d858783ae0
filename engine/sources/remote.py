"""A folder of class folders in a remote store ("s3://bucket/train")."""

import os
from collections.abc import Iterator
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import ArgumentError, SourceError
from fieldloom.sources.base import Source
from fieldloom.sources.files import MAX_FILE_BYTES
from fieldloom.sources.folder import IMAGE_EXTENSIONS
from fieldloom.sources.labels import check_num_classes
from fieldloom.sources.paths import PathTable
from fieldloom.sources.store import open_store

_EXTENSIONS = frozenset(IMAGE_EXTENSIONS)


class RemoteFolderSource(Source):
    """Image files in one folder a class, in a store: `s3://bucket/train/<class>/<image>`.

    As `FolderSource`: classes in the order of their names, files by folder, then by name, hidden ones left
    out, so that a folder and its copy in a store have the same ids. The store is listed once, at opening;
    objects are read when their turn comes, one request each.

    Example:
        >>> import fsspec
        >>> fsspec.filesystem("memory").pipe({"/pets/cat/1.jpg": b"one", "/pets/dog/2.jpg": b"two"})
        >>> source = RemoteFolderSource("memory://pets")
        >>> source.classes, source.targets.tolist(), source.read(1).tobytes()
        (['cat', 'dog'], [0, 1], b'two')
    """

    stored = "encoded"
    labels_checked = True

    def __init__(
        self,
        path: str | bytes | os.PathLike[str],
        *,
        num_classes: int | None = None,
        max_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        """List the folder.

        Args:
            path: The folder that holds the class folders, with its protocol.
            num_classes: If given, there are no more class folders than this.
            max_bytes: Largest object that `read` reads.

        Raises:
            MissingError: There is nothing at `path`.
            SourceError: It holds no class folders with images, or the store cannot be reached.
            ArgumentError: There are more class folders than `num_classes`.
        """
        bound = check_num_classes(num_classes)
        root = os.fsdecode(path).rstrip("/")
        self._store = open_store(root, max_bytes=max_bytes)
        names = [name for name in self._store.files(root, below=True) if _is_sample(name)]
        inside = sorted((os.path.split(os.fsencode(name)) for name in names if "/" in name), key=_place)
        if not inside:
            why = "it holds no class folders with images"
            remedy = "Put the images of each class into a folder of its own."
            if names:
                why += f"; {len(names)} images lie directly in it"
                remedy = "Move them into one folder a class, or pass a list of (url, label) pairs."
            raise SourceError.make("cannot use the folder", why=why, remedy=remedy, file=root)
        tops = [folder.partition(b"/")[0] for folder, _ in inside]
        self.classes = [os.fsdecode(name) for name in sorted(set(tops))]
        if bound is not None and len(self.classes) > bound:
            raise ArgumentError.make(
                f"num_classes={bound} does not fit",
                why=f"there are {len(self.classes)} class folders",
                remedy="Correct num_classes, or leave it out.",
                file=root,
            )
        self.targets = np.unique(np.array(tops, object), return_inverse=True)[1].astype(np.int64)
        self._paths = PathTable(_grouped(os.fsencode(root), inside))

    def name(self, i: int) -> str:
        """The address of sample `i`."""
        return os.fsdecode(self._paths[i])

    def read(self, i: int) -> NDArray[np.uint8]:
        """The object of sample `i`; see `Source.read`."""
        return self._store.read(self.name(i), i)


def open_remote(path: str, *, num_classes: int | None = None) -> Source:
    """The source that reads a remote folder: `ShardSource` if it holds .tar files, else `RemoteFolderSource`.

    Raises as they do.
    """
    if any(name.lower().endswith(".tar") for name in open_store(path).files(path)):
        from fieldloom.sources.shards.source import ShardSource

        return ShardSource(path, num_classes=num_classes)
    return RemoteFolderSource(path, num_classes=num_classes)


def _is_sample(name: str) -> bool:
    parts = name.split("/")
    _, dot, extension = parts[-1].rpartition(".")
    return bool(dot) and extension.lower() in _EXTENSIONS and not any(part.startswith(".") for part in parts)


def _place(entry: tuple[bytes, bytes]) -> tuple[bytes, bytes, bytes]:
    """By class, then by folder, then by name, as `FolderSource` does."""
    folder, name = entry
    return folder.partition(b"/")[0], folder, name


def _grouped(root: bytes, entries: list[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, list[bytes]]]:
    for folder, group in groupby(entries, key=lambda entry: entry[0]):
        yield root + b"/" + folder, [name for _, name in group]
