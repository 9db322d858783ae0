"""Open a file for reading only if it is a regular one, and read exact stretches of it."""

import errno
import os
import stat

from fieldloom.errors import SourceError, UnsafeError

# Without O_NONBLOCK, opening a FIFO waits for a writer, for ever. It changes nothing for regular files.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class OpenFile:
    """A descriptor that is closed when nobody refers to it any more.

    So a thread that reads through it may lose it to no other: its own reference keeps it open.

    Args:
        path: The file.

    Attributes:
        fd: The descriptor, for `os.pread`.
        n_bytes: Size when it was opened.

    Raises:
        OSError: It cannot be opened.
        SourceError: The process has no file descriptor left.
        UnsafeError: It is not a regular file.
    """

    __slots__ = ("fd", "n_bytes")

    def __init__(self, path: str) -> None:
        self.fd = -1
        try:
            self.fd = os.open(path, _FLAGS)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise SourceError.make(
                    "cannot open",
                    why="the process has no file descriptor left",
                    remedy="Raise the limit (`ulimit -n 4096`), or find what keeps files open.",
                    file=path,
                ) from error
            if error.errno == errno.ENXIO:  # how `open` answers for a socket
                raise _unsafe(path) from error
            raise
        # The check comes after `open`, on the descriptor: a path that was checked first can be swapped.
        status = os.fstat(self.fd)
        if not stat.S_ISREG(status.st_mode):
            raise _unsafe(path)
        self.n_bytes = status.st_size

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


def _unsafe(path: str) -> UnsafeError:
    return UnsafeError.make(
        "refused to read",
        why="it is not a regular file",
        remedy="Remove it from the data set.",
        file=path,
    )
