"""Open files that are read again and again, few of them at a time, by many threads."""

import errno
import os
import resource
import stat
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from fieldloom.errors import SourceError, UnsafeError

# Without O_NONBLOCK, opening a FIFO waits for a writer, for ever. It changes nothing for regular files.
OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
#: Most files that stay open; under a low `ulimit -n`, a quarter of it.
MOST_OPEN = 32


class Descriptors:
    """File descriptors by path; the ones used last stay open.

    A descriptor in use is never closed: every thread reads through one, so at most `limit` and one for each
    thread are open. `os.pread` has no position, so threads share a descriptor.

    Args:
        limit: How many stay open when none is in use.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._open: OrderedDict[bytes, _Entry] = OrderedDict()

    @contextmanager
    def borrow(self, path: bytes) -> Iterator[int]:
        """A descriptor of the file, open until the block ends.

        Raises:
            OSError: It cannot be opened.
            UnsafeError: It is not a regular file; nothing is read from it.
        """
        entry = self._take(path)
        try:
            yield entry.fd
        finally:
            self._give(entry)

    def drop(self, path: bytes) -> None:
        """Forget this file: it is closed now, or when nobody reads from it any more."""
        with self._lock:
            entry = self._open.pop(path, None)
            if entry is not None:
                entry.listed = False
                if not entry.users:
                    os.close(entry.fd)

    def __len__(self) -> int:
        """Files that are open and listed."""
        return len(self._open)

    def _take(self, path: bytes) -> "_Entry":
        with self._lock:
            entry = self._open.get(path)
            if entry is not None:
                self._open.move_to_end(path)
                entry.users += 1
                return entry
        # Outside the lock: on a slow disk nobody else shall wait. Two threads may both open it; the second
        # one's descriptor serves once and is closed.
        try:
            fd = os.open(path, OPEN_FLAGS)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self._shrink(0)
            fd = os.open(path, OPEN_FLAGS)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise unsafe(os.fsdecode(path))
        entry = _Entry(path, fd)
        with self._lock:
            if path not in self._open:
                entry.listed = True
                self._open[path] = entry
        self._shrink(self.limit)
        return entry

    def _give(self, entry: "_Entry") -> None:
        with self._lock:
            entry.users -= 1
            # More than the limit are open while more are in use at once.
            if not entry.users and entry.listed and len(self._open) > self.limit:
                del self._open[entry.path]
                entry.listed = False
            if not entry.users and not entry.listed:
                os.close(entry.fd)

    def _shrink(self, limit: int) -> None:
        with self._lock:
            idle = [path for path, entry in self._open.items() if not entry.users]
            for path in idle[: max(0, len(self._open) - limit)]:
                os.close(self._open.pop(path).fd)

    def after_fork(self) -> None:
        """In a child process: the lock may have been held by a thread that is not here."""
        self._lock = threading.Lock()
        for entry in self._open.values():
            entry.users = 0


class _Entry:
    __slots__ = ("fd", "listed", "path", "users")

    def __init__(self, path: bytes, fd: int) -> None:
        self.path, self.fd, self.users, self.listed = path, fd, 1, False


def most_open(limit: int) -> int:
    """How many files may stay open: `limit`, and no more than a quarter of what `ulimit -n` allows."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit if soft == resource.RLIM_INFINITY else max(1, min(limit, soft // 4))


#: One for the process: two loaders shall not need twice as many.
DESCRIPTORS = Descriptors(most_open(MOST_OPEN))
os.register_at_fork(after_in_child=DESCRIPTORS.after_fork)


def out_of_descriptors(path: str, sample: int | None) -> Exception:
    """The error when the process has none left."""
    return SourceError.make(
        "cannot open",
        why="the process has no file descriptor left",
        remedy="Raise the limit (`ulimit -n 4096`), or find what keeps files open.",
        sample=sample,
        file=path,
    )


def unsafe(path: str) -> Exception:
    """The error for what is not a regular file."""
    return UnsafeError.make(
        "refused to read", why="it is not a regular file", remedy="Remove it from the data set.", file=path
    )
