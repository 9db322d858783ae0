"""A folder of class folders of image files (the ImageFolder layout)."""

import os
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import MissingError, SourceError, UnsafeError
from fieldloom.sources.base import Source
from fieldloom.sources.files import MAX_FILE_BYTES, read_file
from fieldloom.sources.paths import PathTable

IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "ppm", "pgm", "jp2", "gif")
"""File name extensions that make a file a sample, in upper or lower case."""

_EXTENSIONS = frozenset(extension.encode() for extension in IMAGE_EXTENSIONS)
_FolderId = tuple[int, int]  # (st_dev, st_ino): the same however a link spells the path


class FolderSource(Source):
    """Image files in one folder a class: `path/<class>/.../<image>`.

    Classes are numbered in the order of their folders' names, and files are sorted by folder, then by
    name: for valid UTF-8 names the ids are those of torchvision's `ImageFolder`. Names are compared as
    bytes, so no locale changes the order. Files and folders whose names start with a dot are left out, as are
    files without an image extension and files beside the class folders.

    Links to files and folders are followed. A folder that is reached twice counts once, so loops end. A
    dangling link is a sample that cannot be read: it fails (or is skipped) when its turn comes.

    Example:
        >>> from fieldloom.sources import FolderSource
        >>> FolderSource("no/such/folder")
        Traceback (most recent call last):
        ...
        fieldloom.errors.MissingError: cannot open no/such/folder: there is no such folder. Check the path.
    """

    stored = "encoded"

    def __init__(
        self,
        path: str | bytes | os.PathLike[str],
        *,
        allow_empty: bool = False,
        max_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        """List the folder.

        Args:
            path: The folder that holds the class folders.
            allow_empty: Keep classes without images (they take a class index) instead of refusing them.
            max_bytes: Largest file that `read` reads.

        Raises:
            MissingError: There is nothing at `path`.
            SourceError: `path` is a file, holds no class folders, a class folder has no images, a folder
                cannot be listed, or two class folders are the same folder.
            UnsafeError: Something with an image's name is a FIFO, a socket or a device.
        """
        root = os.fsencode(path)
        _check_root(root)
        names = sorted(entry.name for entry in _scan(root) if not _hidden(entry) and _is_dir(entry))
        if not names:
            raise _no_classes(root)
        seen = _folders_above(root)
        for name in names:
            _claim_class(os.path.join(root, name), seen)
        groups: list[tuple[bytes, list[bytes]]] = []
        counts: list[int] = []
        for name in names:
            below = sorted(_walk(os.path.join(root, name), seen))
            counts.append(sum(len(files) for _, files in below))
            if not counts[-1] and not allow_empty:
                raise _empty_class(os.path.join(root, name))
            groups += below
        self.classes = [os.fsdecode(name) for name in names]
        self.targets = np.repeat(np.arange(len(names), dtype=np.int64), counts)
        self._paths = PathTable(groups)
        self._max_bytes = max_bytes

    def name(self, i: int) -> str:
        """The path of sample `i`, below the folder as it was given."""
        return os.fsdecode(self._paths[i])

    def read(self, i: int) -> NDArray[np.uint8]:
        """The file of sample `i`; see `Source.read` and `read_file`."""
        return read_file(self._paths[i], i, self._max_bytes)


def _check_root(root: bytes) -> None:
    if os.path.isdir(root):
        return
    file = os.fsdecode(root)
    if not os.path.lexists(root):
        raise MissingError.make(
            "cannot open", why="there is no such folder", remedy="Check the path.", file=file
        )
    raise SourceError.make(
        "cannot open",
        why="it is a file, and a folder with one folder a class was expected",
        remedy="Pass the folder, or a list of (path, label) pairs.",
        file=file,
    )


def _scan(folder: bytes) -> list[os.DirEntry[bytes]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise SourceError.make(
            "cannot list the folder",
            why=error.strerror or str(error),
            remedy="Give this user the right to read it (chmod u+rx), or remove it.",
            file=os.fsdecode(folder),
        ) from error


def _walk(top: bytes, seen: set[_FolderId]) -> Iterator[tuple[bytes, list[bytes]]]:
    """(folder, sorted names of its images) for `top` and each folder below that is not in `seen` yet."""
    waiting = [top]  # a stack of our own: a deep tree must not meet Python's recursion limit
    while waiting:
        folder = waiting.pop()
        images = []
        below = []
        for entry in _scan(folder):
            if _hidden(entry):
                continue
            if _is_dir(entry):
                below.append(entry)
            elif _is_image(entry.name):
                _check_regular(entry)
                images.append(entry.name)
        yield folder, sorted(images)
        # Real folders before links, each by name: which path a folder is listed under is then the same on
        # every machine, whatever order the file system gives.
        for entry in sorted(below, key=lambda entry: (entry.is_symlink(), entry.name)):
            status = entry.stat()
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                waiting.append(entry.path)


def _check_regular(entry: os.DirEntry[bytes]) -> None:
    # Neither call costs a system call for plain files. A dangling link is left for `read` to report.
    if entry.is_file(follow_symlinks=False) or (entry.is_symlink() and not _is_special(entry.path)):
        return
    raise UnsafeError.make(
        "refused to list",
        why="it has an image's name but is a FIFO, a socket or a device",
        remedy="Remove it from the data set.",
        file=os.fsdecode(entry.path),
    )


def _is_special(path: bytes) -> bool:
    return os.path.exists(path) and not os.path.isfile(path)


def _is_dir(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself, or to where this user may not look
        return False


def _is_image(name: bytes) -> bool:
    _, dot, extension = name.rpartition(b".")
    return bool(dot) and extension.lower() in _EXTENSIONS


def _hidden(entry: os.DirEntry[bytes]) -> bool:
    return entry.name.startswith(b".")


def _folders_above(root: bytes) -> set[_FolderId]:
    """The data set's folder and all that hold it: a link to one of them would lead back in here."""
    seen: set[_FolderId] = set()
    folder = os.path.realpath(root)
    while True:
        status = os.stat(folder)
        seen.add((status.st_dev, status.st_ino))
        parent = os.path.dirname(folder)
        if parent == folder:
            return seen
        folder = parent


def _claim_class(folder: bytes, seen: set[_FolderId]) -> None:
    status = os.stat(folder)
    if (status.st_dev, status.st_ino) in seen:
        raise SourceError.make(
            "cannot use the class folder",
            why="it is a link to another class folder, or to a folder that holds the data set",
            remedy="Remove the link.",
            file=os.fsdecode(folder),
        )
    seen.add((status.st_dev, status.st_ino))


def _no_classes(root: bytes) -> Exception:
    n_images = sum(_is_image(entry.name) for entry in _scan(root) if not _hidden(entry))
    if not n_images:
        why, remedy = "it holds no class folders", "Put the images of each class into a folder of its own."
    else:
        why = f"it holds no class folders; {n_images} images lie directly in it"
        remedy = "Move them into one folder a class, or pass a list of (path, label) pairs."
    return SourceError.make("cannot use the folder", why=why, remedy=remedy, file=os.fsdecode(root))


def _empty_class(folder: bytes) -> Exception:
    return SourceError.make(
        "cannot use the class folder",
        why=f"it holds no images ({', '.join('.' + extension for extension in IMAGE_EXTENSIONS)})",
        remedy="Remove the folder, or pass fieldloom.sources.FolderSource(path, allow_empty=True).",
        file=os.fsdecode(folder),
    )
