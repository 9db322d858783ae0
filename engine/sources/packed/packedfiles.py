"""Reading the files of a packed data set: exact stretches, by several threads, few files open at a time.

Pixels and records are read with `os.pread`, not through a memory map: a file that is cut while it is mapped
ends the process (SIGBUS), and a read that comes back short is an error with a name. Measured per window of
170 kB in the page cache, checksums included, in one core: map 9 µs, `preadv` into the same buffer 18 µs, into
a fresh array 34 µs (16 µs of which are page faults). A map's pages also count as resident memory, as much as
was ever read.
"""

import bisect
import hashlib
import os
import threading
import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import ShardError
from fieldloom.sources.descriptors import most_open
from fieldloom.sources.packed.packedformat import (
    INDEX,
    RECORD,
    RECORD_BYTES,
    Meta,
    Record,
    damaged,
    data_name,
)
from fieldloom.sources.regular import OpenFile

#: Data files that stay open; under a low `ulimit -n`, a quarter of it.
MOST_OPEN = 64
#: Bytes that are read at once where a whole file is hashed.
STEP = 4 << 20


class PackedFiles:
    """The index and the data files of one packed data set; its methods may be called from any thread.

    Args:
        folder: The data set.
        meta: Its fieldloom.json.

    Raises:
        ShardError: A file is missing, unreadable, or of another size.
    """

    def __init__(self, folder: str, meta: Meta) -> None:
        self._folder, self._data = folder, [entry[0] for entry in meta.data]
        self._starts = [0, *np.cumsum(self._data, dtype=np.int64).tolist()]
        self._n = meta.n
        self._open: dict[int, OpenFile] = {}
        self._lock, self._most_open = threading.Lock(), most_open(MOST_OPEN)
        self.index_path = os.path.join(folder, INDEX)
        self._index = self.opened(INDEX, meta.files[INDEX][0])
        self._found: list[tuple[int, int]] = []
        for k, n_bytes in enumerate(self._data):
            path = self.data_path(k)
            try:
                status = os.stat(path)
            except OSError as error:
                raise damaged(path, error.strerror or str(error)) from error
            _check_size(path, status.st_size, n_bytes)
            self._found.append((status.st_ino, status.st_mtime_ns))

    def data_path(self, k: int) -> str:
        """Path of the k-th data file."""
        return os.path.join(self._folder, data_name(k))

    def opened(self, name: str, n_bytes: int) -> OpenFile:
        """One of the files, which shall have so many bytes."""
        path = os.path.join(self._folder, name)
        try:
            file = OpenFile(path)
        except OSError as error:
            raise damaged(path, error.strerror or str(error)) from error
        _check_size(path, file.n_bytes, n_bytes)
        return file

    def record(self, sample: int) -> Record:
        """Where a sample lies; the record's own checksum is checked.

        Raises:
            ShardError: The index is damaged or cut.
        """
        if not 0 <= sample < self._n:
            raise IndexError(f"sample {sample} of {self._n}")
        index = self._index
        if index is None:
            raise self.closed()
        try:
            data = os.pread(index.fd, RECORD_BYTES, sample * RECORD_BYTES)
        except OSError as error:
            raise damaged(self.index_path, error.strerror or str(error), sample) from error
        if len(data) < RECORD_BYTES:
            raise self._short(self.index_path, sample, sample * RECORD_BYTES + len(data), "the record")
        offset, total, n_bytes, height, width, check = RECORD.unpack(data)
        if zlib.crc32(data[:-4], sample & 0xFFFFFFFF) != check:
            raise damaged(self.index_path, "the record does not match its checksum", sample)
        return Record(offset, n_bytes, height, width, total)

    def place(self, offset: int) -> tuple[int, int]:
        """Data file and place in it of a byte, counted over all data files."""
        k = bisect.bisect_right(self._starts, offset) - 1
        return k, offset - self._starts[k]

    def read_into(self, sample: int, offset: int, out: NDArray[np.uint8]) -> None:
        """Fill `out` with the bytes that begin at `offset`, counted over all data files.

        Raises:
            ShardError: The file ends before, or cannot be read.
        """
        k, first = self.place(offset)
        left, n_bytes = out.reshape(-1).data, out.nbytes
        if k >= len(self._data) or first + n_bytes > self._data[k]:
            raise damaged(self.index_path, "the record points beyond the data", sample)
        file = self._open.get(k) or self._opened_data(k)
        done = 0
        try:
            while done < n_bytes:
                more = os.preadv(file.fd, [left[done:]], first + done)
                if not more:
                    raise self._short(self.data_path(k), sample, first + done, "the sample")
                done += more
        except OSError as error:
            raise damaged(self.data_path(k), error.strerror or str(error), sample) from error

    def _opened_data(self, k: int) -> OpenFile:
        with self._lock:
            if self._index is None:
                raise self.closed()
            if k not in self._open:
                file = self.opened(data_name(k), self._data[k])
                self._check_same(k, os.fstat(file.fd))
                # Readers hold a reference of their own: dropping it here closes it under nobody.
                while len(self._open) >= self._most_open:
                    del self._open[next(iter(self._open))]
                self._open[k] = file
            return self._open[k]

    def _check_same(self, k: int, status: os.stat_result) -> None:
        """Whether the file is still the one that was there: of another, every sample would be a bad one.

        Both its number and its time must differ: some network file systems number files anew now and then.
        """
        if all(
            now != then for now, then in zip((status.st_ino, status.st_mtime_ns), self._found[k], strict=True)
        ):
            raise ShardError.make(
                "cannot read on in the packed data set",
                why="it was replaced after it was opened",
                remedy="Open it again.",
                file=self.data_path(k),
            )

    def _short(self, path: str, sample: int, end: int, what: str) -> ShardError:
        return damaged(path, f"the file ends at byte {end}, within {what}", sample)

    def closed(self) -> ShardError:
        """The error of reading from a closed data set."""
        return ShardError.make(
            "cannot read the packed data set", why="it is closed", remedy="Open it again.", file=self._folder
        )

    def close(self) -> None:
        """Let go of all files; threads that read at this moment finish."""
        with self._lock:
            self._open.clear()
            self._index = None  # type: ignore[assignment]


def hashed(
    file: OpenFile, path: str, expected: tuple[int, str], take: Callable[[memoryview], None] | None = None
) -> None:
    """Read a whole file once, in pieces, and compare its SHA-256.

    Args:
        file: The file.
        path: Its name for errors.
        expected: Bytes and SHA-256.
        take: Gets each piece, which is valid until it returns.

    Raises:
        ShardError: It is cut or damaged.
    """
    n_bytes, digest = expected
    piece = memoryview(bytearray(min(STEP, max(n_bytes, 1))))
    found, done = hashlib.sha256(), 0
    while done < n_bytes:
        try:
            more = os.preadv(file.fd, [piece[: n_bytes - done]], done)
        except OSError as error:
            raise damaged(path, error.strerror or str(error)) from error
        if not more:
            raise damaged(path, f"it ends at byte {done} of {n_bytes}")
        found.update(piece[:more])
        if take is not None:
            take(piece[:more])
        done += more
    if found.hexdigest() != digest:
        raise damaged(
            path, f"its SHA-256 is {found.hexdigest()[:16]}..., fieldloom.json says {digest[:16]}..."
        )


def _check_size(path: str, found: int, n_bytes: int) -> None:
    if found != n_bytes:
        raise damaged(path, f"it has {found} bytes, and fieldloom.json says {n_bytes}")
