"""Writing a packed data set beside its place, and moving it there when it is whole."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from typing import Any

from fieldloom.errors import ArgumentError, SourceError
from fieldloom.sources.packed.packedformat import INDEX, META, TARGETS, Meta, Record, data_name
from fieldloom.sources.packed.packshrink import Packed

_LOCK, _NEW, _OLD = "lock", "new", "old"
_PARTS = {_LOCK, _NEW, _OLD}
#: What is in the folder of a packed data set; hidden files are of the system.
_OURS = re.compile(
    rf"\..*|{re.escape(META)}|{re.escape(INDEX)}|{re.escape(TARGETS)}|data-\d+\.bin", re.DOTALL
)


class PackWriter:
    """Writes samples in order; nothing can be opened before `finish`.

    Args:
        folder: Where to write: an empty folder.
        file_bytes: A data file is closed before it would grow larger.
    """

    def __init__(self, folder: str, file_bytes: int) -> None:
        self._folder, self._file_bytes = folder, file_bytes
        self._index = _HashedFile(os.path.join(folder, INDEX))
        self._data: _HashedFile | None = None
        self._closed: list[tuple[int, str]] = []
        self._end, self.n = 0, 0

    def add(self, sample: Packed) -> None:
        """Append one sample."""
        if self._data is not None and self._data.n_bytes + len(sample.data) > self._file_bytes:
            self._next_file()
        if self._data is None:
            self._data = _HashedFile(os.path.join(self._folder, data_name(len(self._closed))))
        self._data.write(sample.data.data)
        record = Record(self._end, len(sample.data), sample.height, sample.width, sample.total)
        self._index.write(record.encoded(self.n))
        self._end += len(sample.data)
        self.n += 1

    def _next_file(self) -> None:
        if self._data is not None:
            self._closed.append(self._data.finish())
            self._data = None

    def finish(self, targets: Any, facts: dict[str, Any]) -> Meta:
        """Write the targets, an array in the machine's byte order, and last of all fieldloom.json."""
        self._next_file()
        column = _HashedFile(os.path.join(self._folder, TARGETS))
        column.write(targets.astype(targets.dtype.newbyteorder("<"), copy=False).tobytes())
        files = {INDEX: self._index.finish(), TARGETS: column.finish()}
        columns = targets.shape[1] if targets.ndim == 2 else None
        meta = Meta(
            n=self.n, target_type=targets.dtype.name, target_columns=columns, files=files, data=self._closed,
            **facts,
        )  # fmt: skip
        last = _HashedFile(os.path.join(self._folder, META))
        last.write(meta.encoded())
        last.finish()
        return meta

    def close(self) -> None:
        """Close what is open, after an error."""
        for file in (self._index, self._data):
            if file is not None:
                file.close()


class _HashedFile:
    def __init__(self, path: str) -> None:
        self._path = path
        with _writing(path):
            self._file = open(path, "xb")  # noqa: SIM115 - closed by finish or close
        self._digest = hashlib.sha256()
        self.n_bytes = 0

    def write(self, data: bytes | memoryview) -> None:
        with _writing(self._path):
            self._file.write(data)
        self._digest.update(data)
        self.n_bytes += len(data)

    def finish(self) -> tuple[int, str]:
        """Bring it to the disk; its size and digest."""
        with _writing(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        return self.n_bytes, self._digest.hexdigest()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()


@contextlib.contextmanager
def _writing(path: str) -> Iterator[None]:
    """Turns the system's errors into ours."""
    try:
        yield
    except OSError as error:
        raise SourceError.make(
            "cannot write the packed data set",
            why=error.strerror or str(error),
            remedy="Make room or get the right to write there, then pack again.",
            file=path,
        ) from error


@contextlib.contextmanager
def in_place(path: str, *, overwrite: bool) -> Iterator[str]:
    """A folder to write into, which takes the place of `path` when the block ends well; else it is removed.

    A process that is killed leaves `<path>.packing`, which nothing opens and the next call removes.

    Raises:
        ArgumentError: There is something at `path`, or somebody else is packing there.
        SourceError: The disk is full, or cannot be written.
    """
    path = os.path.abspath(path)
    _check_free(path, overwrite=overwrite)
    parts = f"{path}.packing"
    _check_own(parts)
    with _writing(parts):
        os.makedirs(parts, exist_ok=True)
        lock = os.open(os.path.join(parts, _LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        _take(lock, path)
        try:
            folder = os.path.join(parts, _NEW)
            with _writing(folder):
                _restore(path, parts)
                _check_free(path, overwrite=overwrite)
                shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
                os.mkdir(folder)
            yield folder
            _check_free(path, overwrite=overwrite)
            with _writing(path):
                _put(folder, path, parts)
        finally:
            shutil.rmtree(parts, ignore_errors=True)
    finally:
        os.close(lock)


def _check_own(parts: str) -> None:
    """What is there is removed in the end: it must be a folder of ours and of nobody else."""
    if os.path.lexists(parts) and (
        os.path.islink(parts) or not os.path.isdir(parts) or not _PARTS.issuperset(os.listdir(parts))
    ):
        raise ArgumentError.make(
            "cannot pack there",
            why="the data set is made in this place first, and something else is there",
            remedy="Move it away, or take another folder.",
            file=parts,
        )


def _put(folder: str, path: str, parts: str) -> None:
    """Two renames where there is a data set already: a moment without one, but never half of one."""
    old = os.path.join(parts, _OLD)
    if os.path.lexists(path):
        os.rename(path, old)
    try:
        os.rename(folder, path)
    except OSError:
        _restore(path, parts)
        raise
    parent = os.open(os.path.dirname(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _restore(path: str, parts: str) -> None:
    """Put back what was moved away to be replaced, and was not (a kill between the two renames)."""
    old = os.path.join(parts, _OLD)
    if os.path.lexists(old) and not os.path.lexists(path):
        os.rename(old, path)


def _take(lock: int, path: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ArgumentError.make(
            "cannot pack there", why="somebody else is packing there", remedy="Wait, or take another folder.",
            file=path,
        ) from error  # fmt: skip


def _check_free(path: str, *, overwrite: bool) -> None:
    if not os.path.lexists(path):
        if not os.path.isdir(os.path.dirname(path)):
            raise ArgumentError.make(
                "cannot pack there", why="the folder above does not exist", remedy="Create it.", file=path
            )
        return
    packed = os.path.isdir(path) and os.path.isfile(os.path.join(path, META)) and not os.path.islink(path)
    strangers = [name for name in os.listdir(path) if not _OURS.fullmatch(name)] if packed else []
    if packed and overwrite and not strangers:
        return
    if packed and overwrite:
        raise ArgumentError.make(
            "cannot replace the packed data set",
            why=f"its folder holds other files, which would be lost: {', '.join(sorted(strangers)[:3])}",
            remedy="Move them away, or take another folder.",
            file=path,
        )
    empty = os.path.isdir(path) and not os.path.islink(path) and not os.listdir(path)
    if empty:
        return
    why = "a packed data set is there already" if packed else "something else is there"
    remedy = "Pass overwrite=True (--overwrite), or another folder." if packed else "Take another folder."
    raise ArgumentError.make("cannot pack there", why=why, remedy=remedy, file=path)
