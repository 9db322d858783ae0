"""Where the bytes of a path are: this machine's file system, or a remote store with a protocol ("s3://")."""

import errno
import os
import stat
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import DecodeError, LimitError, MissingError, ShardError, SourceError
from fieldloom.sources.descriptors import DESCRIPTORS, out_of_descriptors, unsafe
from fieldloom.sources.files import MAX_FILE_BYTES, read_file

#: What every error about one sample's object ends with.
SKIP = 'Repair or remove it, or pass on_bad_sample="skip" or "substitute".'


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells whether an object is still the one that was looked at.

    Attributes:
        size: Bytes.
        version: Time of its last change in nanoseconds, or what a remote store calls its version (an ETag);
            "" where it says nothing.
    """

    size: int
    version: str


class Store:
    """Reads whole objects and parts of them, from any thread.

    Every method takes the path as the user wrote it. `sample` is the sample id that an error names. With one,
    an object that is gone or damaged is a `DecodeError`, which `on_bad_sample` can skip; without, it is a
    `MissingError` or another `SourceError`.

    Attributes:
        remote: Whether requests take long, so that one large one is better than many small ones.
        max_bytes: Nothing larger is read at once.
    """

    remote = False

    def __init__(self, max_bytes: int = MAX_FILE_BYTES) -> None:
        self.max_bytes = max_bytes

    def read(self, path: str, sample: int | None = None) -> NDArray[np.uint8]:
        """A whole object: uint8, shape (n_bytes,), n_bytes >= 1, possibly read-only.

        Raises:
            DecodeError: (with `sample`) It is gone, unreadable or empty.
            MissingError: (without) It is gone.
            LimitError: It is larger than `max_bytes`.
            UnsafeError: It is not a regular file.
            SourceError: The store cannot be used: credentials, network, file descriptors.
        """
        raise NotImplementedError

    def read_range(
        self, path: str, offset: int, n: int, sample: int | None = None, *, expected: Stamp | None = None
    ) -> NDArray[np.uint8]:
        """Bytes offset .. offset + n of an object, possibly read-only; fewer only at the object's end.

        Raises as `read` does, and:

        Raises:
            ShardError: On this machine, with `expected`: the file is not the one that had this stamp. (A
                remote store is not asked: that would double the requests.)
        """
        raise NotImplementedError

    def stamp(self, path: str, sample: int | None = None) -> Stamp:
        """Size and version of an object. Raises as `read` does."""
        raise NotImplementedError

    def size(self, path: str) -> int:
        """Bytes of an object. Raises as `read` does."""
        return self.stamp(path).size

    def files(self, path: str, *, below: bool = False) -> list[str]:
        """Names of the files in a folder, relative to it, sorted by their bytes.

        Args:
            path: The folder.
            below: With those in folders below it ("a/b.jpg").

        Raises:
            MissingError: There is no such folder.
            SourceError: It cannot be listed.
        """
        raise NotImplementedError

    def close(self, path: str) -> None:
        """Let go of what is held open for this object."""


class LocalStore(Store):
    """Files of this machine: only regular ones are read, and those read last stay open (`DESCRIPTORS`)."""

    def read(self, path: str, sample: int | None = None) -> NDArray[np.uint8]:
        """See `Store.read`."""
        if sample is not None:
            return read_file(os.fsencode(path), sample, self.max_bytes)
        data = self.read_range(path, 0, self.stamp(path).size)
        self.close(path)
        if not len(data):
            raise empty(path, None)
        return data

    def read_range(
        self, path: str, offset: int, n: int, sample: int | None = None, *, expected: Stamp | None = None
    ) -> NDArray[np.uint8]:
        """See `Store.read_range`."""
        self._checked(n, path, sample)
        data = np.empty(n, np.uint8)
        found = Stamp(0, "")
        for _ in range(2):  # again if the file that was open has been replaced by another of its name
            try:
                with DESCRIPTORS.borrow(os.fsencode(path)) as fd:
                    done = pread_into(fd, data, offset)
                    # After reading: a file that was written to meanwhile has another stamp now.
                    status = os.fstat(fd)
            except OSError as error:
                raise local_error(error, path, sample) from error
            found = stamp_of(status)
            if expected is None or found == expected:
                return data[:done]
            self.close(path)
        raise changed(path, expected or found, found)

    def stamp(self, path: str, sample: int | None = None) -> Stamp:
        """See `Store.stamp`."""
        try:
            status = os.stat(os.fsencode(path))
        except OSError as error:
            raise local_error(error, path, sample) from error
        _check_regular(status, path)
        return stamp_of(status)

    def files(self, path: str, *, below: bool = False) -> list[str]:
        """See `Store.files`."""
        root = os.fsencode(path)
        names: list[bytes] = []
        try:
            for folder, folders, files in os.walk(root, onerror=_raise):
                names += [os.path.relpath(os.path.join(folder, name), root) for name in files]
                if not below:
                    folders.clear()
        except OSError as error:
            raise local_error(error, path, None) from error
        return [os.fsdecode(name) for name in sorted(names)]

    def close(self, path: str) -> None:
        """See `Store.close`."""
        DESCRIPTORS.drop(os.fsencode(path))

    def _checked(self, n: int, path: str, sample: int | None = None) -> int:
        if n > self.max_bytes:
            raise too_large(n, self.max_bytes, path, sample)
        return n


def open_store(path: str | bytes | os.PathLike[str], *, max_bytes: int = MAX_FILE_BYTES) -> Store:
    """The store that reads this path: `LocalStore`, or a remote one where it has a protocol ("s3://...").

    Opens no connection. "file:///..." is not a remote path: pass the path itself.

    Example:
        >>> open_store("images/cat.jpg").remote
        False
    """
    if not is_remote(path):
        return LocalStore(max_bytes)
    from fieldloom.sources.remotestore import RemoteStore

    return RemoteStore(max_bytes)


def is_remote(path: str | bytes | os.PathLike[str]) -> bool:
    """Whether a path has a protocol; an absolute path never has."""
    return b"://" in os.fsencode(path) and not os.path.isabs(path)


def stamp_of(status: os.stat_result) -> Stamp:
    """The stamp of a local file."""
    return Stamp(status.st_size, str(status.st_mtime_ns))


def pread_into(fd: int, data: NDArray[np.uint8], offset: int) -> int:
    """Fill `data` from a file; returns how many bytes there were."""
    done = 0
    while done < len(data):  # one turn, but for signals and the file's end
        more = os.preadv(fd, [data[done:].data], offset + done)
        if not more:
            break
        done += more
    return done


def too_large(n: int, limit: int, path: str, sample: int | None) -> Exception:
    """The error for an object that is larger than is read."""
    return LimitError.make(
        "cannot read",
        why=f"it has {n} bytes, the limit is {limit}",
        remedy="Remove it, or raise max_bytes of the source.",
        sample=sample,
        file=path,
    )


def changed(path: str, expected: Stamp, found: Stamp) -> Exception:
    """The error for an object that is not the one it was."""
    why = f"it had {expected.size} bytes when it was opened, and has {found.size}"
    if found.size == expected.size:
        why = "it was written to after it was opened"
    return ShardError.make(
        "cannot read on in",
        why=why,
        remedy="Open the data set again: its index is then made anew.",
        file=path,
    )


def gone(path: str, sample: int | None) -> Exception:
    """The error for an object that does not exist."""
    if sample is None:
        return MissingError.make("cannot open", why="it does not exist", remedy="Check the path.", file=path)
    return DecodeError.make(
        "cannot read", why="it does not exist (any more)", remedy=SKIP, sample=sample, file=path
    )


def empty(path: str, sample: int | None) -> Exception:
    """The error for an object of 0 bytes."""
    if sample is None:
        return SourceError.make("cannot read", why="it is empty", remedy="Check the path.", file=path)
    return DecodeError.make("cannot read", why="the file is empty", remedy=SKIP, sample=sample, file=path)


def local_error(error: OSError, path: str, sample: int | None) -> Exception:
    """The named error for what the operating system said."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return out_of_descriptors(path, sample)
    if error.errno == errno.ENXIO:  # how `open` answers for a socket
        return unsafe(path)
    if error.errno == errno.ENOENT:
        return gone(path, sample)
    why = error.strerror or str(error)
    if sample is None:
        return SourceError.make(
            "cannot open", why=why, remedy="Give this user the right to read it.", file=path
        )
    return DecodeError.make("cannot read", why=why, remedy=SKIP, sample=sample, file=path)


def _check_regular(status: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise unsafe(path)


def _raise(error: OSError) -> None:
    raise error
