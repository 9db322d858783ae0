"""Data sets that `fieldloom pack` wrote: read by offset, in part where pixels are stored, always checked."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import ArgumentError, DecodeError
from fieldloom.sources.base import Source
from fieldloom.sources.labels import check_num_classes
from fieldloom.sources.packed.packedfiles import PackedFiles, hashed
from fieldloom.sources.packed.packedformat import INDEX, TARGETS, Record, damaged, read_meta

_SKIP = 'Copy or pack the data set again, or pass on_bad_sample="skip" or "substitute".'


class PackedSource(Source):
    """A folder that `fieldloom pack` wrote.

    Opening reads the index and the targets once and compares their SHA-256; of the index nothing stays in
    memory. Every read checks what it has read: records by CRC-32, rows of pixels and JPEG files by 64-bit
    sums. A damaged sample is a `DecodeError`, which `on_bad_sample` can skip; a file that is cut, missing or
    of another data set is a `ShardError`.

    Attributes:
        kind: "raw" (pixels, of which windows are read) or "jpeg" (files).
        side: Shorter side that larger images were shrunk to when it was packed; 0 is none.
        n_bytes: Bytes of all its files but fieldloom.json.
        n_skipped: Samples of the source that could not be packed; `skipped` lists them (sample, file, error,
            message), 10 000 at most.
        skipped: See `n_skipped`.
        left_out: Names of the source's fields that were not packed.

    Example:
        >>> import tempfile, numpy as np
        >>> from fieldloom.sources import PackedSource, pack
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     images = np.zeros((2, 8, 12, 3), np.uint8)
        ...     _ = pack((images, [0, 1]), folder + "/packed", side=0)
        ...     source = PackedSource(folder + "/packed")
        ...     source.pixels(1).shape, source.window(1, (2, 3, 4, 5)).shape
        ((8, 12, 3), (4, 5, 3))
    """

    #: Labels were checked when they were packed, and their file is compared with its SHA-256.
    labels_checked = True

    def __init__(self, path: str | bytes | os.PathLike[str], *, num_classes: int | None = None) -> None:
        """Open it.

        Args:
            path: The folder.
            num_classes: If given, labels are below it.

        Raises:
            MissingError: There is no such data set.
            ShardError: It is damaged, incomplete, or of a newer version.
            ArgumentError: `num_classes` is too small for its labels, or is not the length of its rows.
        """
        from fieldloom.sources.packed import rowsums  # compiled code: only who opens one pays for it

        self._sums = rowsums
        self._folder = os.fsdecode(path)
        self._num_classes = check_num_classes(num_classes)
        self._meta = meta = read_meta(self._folder)
        self.kind, self.side = meta.kind, meta.side
        self.n_skipped, self.skipped, self.left_out = meta.n_skipped, meta.skipped, meta.left_out
        self.stored = "pixels" if meta.kind == "raw" else "encoded"
        self.windowed = meta.kind == "raw"
        self.classes, self.names = meta.classes, meta.names
        self.n_bytes = sum(n for n, _ in [*meta.files.values(), *meta.data])
        self._files = PackedFiles(self._folder, meta)
        if num_classes is not None and meta.n_classes is not None and meta.n_classes > num_classes:
            raise ArgumentError.make(
                f"num_classes={num_classes} does not fit",
                why=f"there are {meta.n_classes} classes",
                remedy="Correct num_classes, or leave it out.",
                file=self._folder,
            )
        if num_classes is not None and meta.target_columns not in (None, num_classes):
            raise ArgumentError.make(
                f"num_classes={num_classes} does not fit",
                why=f"targets are rows of {meta.target_columns} numbers",
                remedy="Correct num_classes, or leave it out.",
                file=self._folder,
            )
        hashed(self._files.opened(INDEX, meta.files[INDEX][0]), self._files.index_path, meta.files[INDEX])
        self.targets = self._read_targets()

    def _read_targets(self) -> NDArray[Any]:
        meta, path = self._meta, os.path.join(self._folder, TARGETS)
        out = bytearray(meta.files[TARGETS][0])
        done = 0

        def take(piece: memoryview) -> None:
            nonlocal done
            out[done : done + len(piece)] = piece
            done += len(piece)

        hashed(self._files.opened(TARGETS, len(out)), path, meta.files[TARGETS], take)
        column = np.frombuffer(out, np.dtype(meta.target_type).newbyteorder("<"))
        column = column.astype(column.dtype.newbyteorder("="), copy=False)
        if meta.target_columns is not None:
            if not np.isfinite(column).all():
                raise damaged(path, "a target is not finite")
            return column.reshape(meta.n, meta.target_columns)
        # A guard against other writers of the format; one pass over 2 bytes a sample.
        if meta.n and (column.min() < 0 or column.max() >= (meta.n_classes or 0)):
            raise damaged(path, f"a label is not from 0 to {(meta.n_classes or 0) - 1}")
        return column

    def name(self, i: int) -> str:
        """The data file of sample `i`, and where in it the sample begins."""
        try:
            k, first = self._files.place(self._files.record(i).offset)
        except Exception:  # errors ask for names: a damaged index is the error at hand, and not a second one
            return self._folder
        return f"{self._files.data_path(k)} at byte {first}"

    def read(self, i: int) -> NDArray[np.uint8]:
        """The JPEG file of sample `i`, checked; see `Source.read`.

        Raises:
            DecodeError: Its bytes do not match their checksum.
            ShardError: The index or the data file is damaged or cut.
        """
        if self.kind != "jpeg":
            return super().read(i)
        return self._read_encoded(i, self._files.record(i))

    def _read_encoded(self, i: int, record: Record) -> NDArray[np.uint8]:
        if not record.n_bytes:
            raise damaged(self._files.index_path, "the record has no bytes", i)
        words = np.empty(-(-record.n_bytes // 4), np.uint32)
        words[-1] = 0
        data = words.view(np.uint8)[: record.n_bytes]
        self._files.read_into(i, record.offset, data)
        if self._sums.bytes_sum(words, record.n_bytes) != record.total:
            raise self._changed(i, f"{record.n_bytes} bytes do not match their checksum")
        return data

    def sizes(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Height and width of these images from the index; see `Source.sizes`."""
        records = map(self._files.record, ids.tolist())
        return np.array([(r.height, r.width) for r in records], np.int64).reshape(-1, 2)

    def pixels(self, i: int) -> NDArray[np.uint8]:
        """The image of sample `i`, checked; see `Source.pixels`. Raises as `window` does."""
        if self.kind != "raw":
            return super().pixels(i)
        record = self._files.record(i)
        return _view(self._rows(i, record, 0, record.height), 0, record.width)

    def window(self, i: int, rect: tuple[int, int, int, int]) -> NDArray[np.uint8]:
        """Part (y, x, height, width) of sample `i`: only its rows are read, and all that is read is checked.

        Raises:
            DecodeError: A row does not match its checksum.
            ShardError: The index or the data file is damaged or cut.
            ArgumentError: The window does not lie within the image.
        """
        if self.kind != "raw":
            return super().window(i, rect)
        record = self._files.record(i)
        y, x, height, width = rect
        if not (0 <= y < y + height <= record.height and 0 <= x < x + width <= record.width):
            raise ArgumentError.make(
                f"window {rect}", why=f"the image has {record.height} x {record.width} pixels", sample=i
            )
        return _view(self._rows(i, record, y, height), x, width)

    def _rows(self, i: int, record: Record, first: int, n: int) -> NDArray[np.uint8]:
        """Rows of an image as they are stored, uint8 (n, row_bytes)."""
        stride = self._sums.row_bytes(record.width)
        if record.n_bytes != record.height * stride or not record.n_bytes:
            raise damaged(self._files.index_path, "the record's sizes contradict each other", i)
        rows = np.empty((n, stride), np.uint8)
        self._files.read_into(i, record.offset + first * stride, rows)
        wrong = self._sums.wrong_row(rows, record.total, first)
        if wrong >= 0:
            raise self._changed(i, f"row {first + wrong} of {record.height} does not match its checksum")
        return rows

    def _changed(self, i: int, why: str) -> DecodeError:
        return DecodeError.make(
            "cannot use the packed sample", why=why, remedy=_SKIP, sample=i, file=self.name(i)
        )

    def verify(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Check every byte of every file.

        Args:
            on_progress: Is told how many samples are checked, and how many there are.

        Raises:
            ShardError: Names the file, and the first damaged samples.
        """
        from fieldloom.sources.packed.checking import verify

        verify(self._folder, self._meta, self._files, self._check, on_progress)

    def _check(self, i: int, record: Record) -> None:
        """Read all of one sample."""
        if self.kind == "jpeg":
            self._read_encoded(i, record)
            return
        rows = self._rows(i, record, 0, record.height)
        if self._sums.image_sum(rows, record.width) != record.total:
            raise self._changed(i, "the image does not match its checksum")

    def close(self) -> None:
        """Let go of open files. Idempotent."""
        self._files.close()

    def __reduce__(self) -> Any:
        return _reopened, (self._folder, self._num_classes)


def _view(rows: NDArray[np.uint8], x: int, width: int) -> NDArray[np.uint8]:
    """Columns x .. x + width - 1 of stored rows, as pixels."""
    return np.ndarray((len(rows), width, 3), np.uint8, rows, 3 * x, (rows.strides[0], 3, 1))


def _reopened(folder: str, num_classes: int | None) -> PackedSource:
    return PackedSource(folder, num_classes=num_classes)
