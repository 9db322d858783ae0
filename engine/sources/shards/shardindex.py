"""The file that keeps a shard's index, so that a shard is looked through once.

It stands beside its shard as "<shard>.<tag>.fieldloom", or in the user's cache folder where that cannot be
written or the shard is remote. Its bytes: magic, length and CRC-32 of a JSON head, the head, then columns
of numbers, little-endian, each with a CRC-32 in the head. It is not trusted: if anything does not fit, it
is made anew.
"""

import contextlib
import hashlib
import json
import logging
import os
import stat
import struct
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldloom.sources.descriptors import OPEN_FLAGS
from fieldloom.sources.shards.shardscan import ROW, Scanned
from fieldloom.sources.store import Stamp, is_remote

MAGIC = b"FLSHARD\x01"
_FRONT = struct.Struct("<8sII")
_MAX_HEAD_BYTES = 1 << 20
_LABELS = ("u1", "u2", "u4", "u8")
_log = logging.getLogger("fieldloom")


@dataclass(frozen=True, slots=True)
class Head:
    """What an index says of its shard before any column is read.

    Attributes:
        size: Bytes of the shard, and `version` its state then (`Stamp`).
        version: See `size`.
        n: Samples.
        n_members: Files in the shard.
        n_labels: Labels in all.
        label_type: Their type ("u1" ... "u8").
        listed: Whether a sample has a list of them.
        n_skipped: Samples that were left out.
        image: Field of the images.
        mask: Field of the masks, or "".
        fields: Other fields.
        digest: SHA-256 of the shard's headers.
        crcs: CRC-32 of each column.
    """

    size: int
    version: str
    n: int
    n_members: int
    n_labels: int
    label_type: str
    listed: bool
    n_skipped: int
    image: str
    mask: str
    fields: tuple[str, ...]
    digest: str
    crcs: tuple[int, ...]

    @property
    def stamp(self) -> Stamp:
        """The shard's state when the index was made."""
        return Stamp(self.size, self.version)

    @property
    def columns(self) -> tuple[tuple[np.dtype[Any], int], ...]:
        """Type and length of each column: labels, counts, rows."""
        n_counts = self.n if self.listed else 0
        return (np.dtype(f"<{self.label_type}"), self.n_labels), (np.dtype("<u4"), n_counts), (ROW, self.n)


class BadIndexError(Exception):
    """An index file that does not hold what it must; never leaves this package."""


def places_of(shard: str, tag: str) -> Iterator[Path]:
    """Where the index of a shard may be, in the order of search."""
    if not is_remote(shard):
        yield Path(f"{shard}.{tag}.fieldloom")
        shard = os.path.realpath(shard)
    name = hashlib.sha256(os.fsencode(shard)).hexdigest()[:32]
    yield cache_folder() / "shards" / f"{name}.{tag}.fieldloom"


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/fieldloom, or ~/.cache/fieldloom."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fieldloom"


def save_index(shard: str, tag: str, stamp: Stamp, scanned: Scanned) -> tuple[Head, Path | None]:
    """Write an index where it can be written; the path is None where it cannot.

    Several processes may do so at once: each writes a file of its own and renames it, and all write the same.
    """
    columns = _columns_of(scanned)
    head = Head(
        size=stamp.size, version=stamp.version, n=len(scanned.rows), n_members=scanned.n_members,
        n_labels=len(scanned.labels), label_type=f"u{scanned.labels.dtype.itemsize}",
        listed=scanned.counts is not None, n_skipped=scanned.n_skipped, image=scanned.image,
        mask=scanned.mask, fields=tuple(scanned.fields), digest=scanned.digest,
        crcs=tuple(zlib.crc32(column) for column in columns),
    )  # fmt: skip
    text = json.dumps(asdict(head)).encode("ascii")
    front = _FRONT.pack(MAGIC, len(text), zlib.crc32(text))
    for path in places_of(shard, tag):
        try:
            _write(path, [front, text, *columns])
        except OSError:
            continue
        return head, path
    _log.warning("the index of %s cannot be stored, and is made anew in every process", shard)
    return head, None


def load_head(path: Path) -> Head:
    """The head of an index file.

    Raises:
        OSError: It cannot be read.
        BadIndexError: It is damaged, or of another version.
    """
    with _opened(path) as fd:
        front = os.pread(fd, _FRONT.size, 0)
        if len(front) < _FRONT.size:
            raise BadIndexError("it is cut")
        magic, n_head, crc = _FRONT.unpack(front)
        if magic != MAGIC or n_head > _MAX_HEAD_BYTES:
            raise BadIndexError("it is of another version, or no index")
        text = os.pread(fd, n_head, _FRONT.size)
        if zlib.crc32(text) != crc:
            raise BadIndexError("its checksum is wrong")
        head = _parse_head(text)
        expected = _FRONT.size + n_head + sum(kind.itemsize * n for kind, n in head.columns)
        if os.fstat(fd).st_size != expected:
            raise BadIndexError("it is cut")
    return head


def load_columns(path: Path, head: Head, which: slice) -> list[NDArray[Any]]:
    """Columns of an index file whose head is known: labels, counts, rows.

    Raises:
        OSError: It cannot be read.
        BadIndexError: It is damaged, or not the one whose head is known any more.
    """
    columns = []
    with _opened(path) as fd:
        front = os.pread(fd, _FRONT.size, 0)
        if len(front) < _FRONT.size:
            raise BadIndexError("it is cut")
        at = _FRONT.size + _FRONT.unpack(front)[1]
        for i, (kind, n) in enumerate(head.columns):
            n_bytes = kind.itemsize * n
            if i in range(*which.indices(3)):
                data = os.pread(fd, n_bytes, at) if n else b""
                if len(data) != n_bytes or zlib.crc32(data) != head.crcs[i]:
                    raise BadIndexError("its checksum is wrong")
                columns.append(np.frombuffer(data, kind))
            at += n_bytes
    return columns


def _columns_of(scanned: Scanned) -> list[bytes]:
    counts = b"" if scanned.counts is None else scanned.counts.astype("<u4").tobytes()
    labels = scanned.labels.astype(scanned.labels.dtype.newbyteorder("<"))
    return [labels.tobytes(), counts, np.ascontiguousarray(scanned.rows).tobytes()]


def _parse_head(text: bytes) -> Head:
    try:
        found = json.loads(text)
        known = {name: found[name] for name in Head.__dataclass_fields__}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadIndexError("its head is damaged") from None
    counts = [known[name] for name in ("size", "n", "n_members", "n_labels", "n_skipped")]
    texts = [known[name] for name in ("version", "image", "mask", "digest")]
    good = (
        all(type(value) is int and 0 <= value < 2**50 for value in counts)
        and all(isinstance(value, str) for value in texts)
        and known["label_type"] in _LABELS
        and isinstance(known["listed"], bool)
        and isinstance(known["fields"], list)
        and all(isinstance(value, str) for value in known["fields"])
        and isinstance(known["crcs"], list)
        and len(known["crcs"]) == 3
        and (known["listed"] or known["n_labels"] in (0, known["n"]))
    )
    if not good:
        raise BadIndexError("its head is damaged")
    return Head(**known | {"fields": tuple(known["fields"]), "crcs": tuple(known["crcs"])})


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, OPEN_FLAGS)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise BadIndexError("it is not a regular file")
        yield fd
    finally:
        os.close(fd)


def _write(path: Path, parts: list[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(prefix=".fieldloom-", dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            for part in parts:
                file.write(part)
            os.fchmod(file.fileno(), 0o644)  # others who read the shard shall read its index
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
