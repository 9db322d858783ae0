"""Read one file of a data set whose contents are not trusted: bounded in size, and never blocking."""

import errno
import os
import stat

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import DecodeError, LimitError, SourceError, UnsafeError

MAX_FILE_BYTES = 256 << 20
"""Largest encoded file that is read, in bytes (256 MiB), unless the source is given another limit."""

# Without O_NONBLOCK, opening a FIFO waits for a writer, for ever. It changes nothing for regular files.
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
_SKIP = 'Repair or remove the file, or pass on_bad_sample="skip" or "substitute".'


def read_file(path: bytes, sample: int, max_bytes: int = MAX_FILE_BYTES) -> NDArray[np.uint8]:
    """The contents of a regular file.

    Args:
        path: The file, as the operating system's bytes.
        sample: The sample id that errors name.
        max_bytes: Larger files are refused before memory is taken for them.

    Returns:
        uint8, shape (n_bytes,), n_bytes >= 1, writable and owned by the caller.

    Raises:
        DecodeError: The file is gone, unreadable or empty.
        LimitError: It is larger than `max_bytes`.
        UnsafeError: It is not a regular file (a FIFO, a socket, a device, a folder).
        SourceError: The process has no file descriptor left; the next file would fail as well.
    """
    try:
        fd = os.open(path, _FLAGS)
    except OSError as error:
        raise _open_error(error, path, sample) from error
    try:
        # The check comes after `open`, on the descriptor: a path that was checked first can be swapped.
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise _unsafe(path, sample)
        n_bytes = status.st_size
        if n_bytes > max_bytes:
            raise LimitError.make(
                "cannot read",
                why=f"the file has {n_bytes} bytes, the limit is {max_bytes}",
                remedy="Remove the file, or raise max_bytes of the source.",
                sample=sample,
                file=os.fsdecode(path),
            )
        data = np.empty(n_bytes, np.uint8)
        done = os.readv(fd, [data.data]) if n_bytes else 0
        while 0 < done < n_bytes:  # a read of regular files is short only at a signal, or at the file's end
            more = os.readv(fd, [data[done:].data])
            if not more:
                break
            done += more
    except OSError as error:
        raise _unreadable(error.strerror or str(error), path, sample) from error
    finally:
        os.close(fd)
    if not done:
        raise _unreadable("the file is empty", path, sample)
    return data[:done]  # shorter only if the file shrank meanwhile: the decoder's checks then say so


def _open_error(error: OSError, path: bytes, sample: int) -> Exception:
    if error.errno in _OUT_OF_DESCRIPTORS:
        return SourceError.make(
            "cannot open",
            why="the process has no file descriptor left",
            remedy="Raise the limit (`ulimit -n 4096`), or find what keeps files open.",
            sample=sample,
            file=os.fsdecode(path),
        )
    if error.errno == errno.ENXIO:  # how `open` answers for a socket
        return _unsafe(path, sample)
    if error.errno == errno.ENOENT:
        return _unreadable("the file does not exist (any more)", path, sample)
    return _unreadable(error.strerror or str(error), path, sample)


def _unreadable(why: str, path: bytes, sample: int) -> Exception:
    return DecodeError.make("cannot read", why=why, remedy=_SKIP, sample=sample, file=os.fsdecode(path))


def _unsafe(path: bytes, sample: int) -> Exception:
    return UnsafeError.make(
        "refused to read",
        why="it is not a regular file",
        remedy="Remove it from the data set.",
        sample=sample,
        file=os.fsdecode(path),
    )
