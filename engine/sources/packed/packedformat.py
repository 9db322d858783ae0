"""What a packed data set's files hold, and how the small ones are read and checked.

| file | holds |
|---|---|
| fieldloom.json | kind, counts, classes, size and SHA-256 of every other file, and of itself |
| index.bin | a record of 32 bytes for each sample (`RECORD`) |
| targets.bin | int16, int32 or float32, one row for each sample |
| data-00000.bin ... | the samples, one behind the other, none across two files |

All numbers are little-endian. Raw samples are rows of RGB pixels, each with its own sum (`rowsums`), so that
part of an image can be read and checked; jpeg samples are JPEG files.
"""

import hashlib
import json
import os
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

from fieldloom.errors import MissingError, ShardError
from fieldloom.sources.regular import OpenFile

FORMAT = "fieldloom packed data set"
VERSION = 1
META, INDEX, TARGETS = "fieldloom.json", "index.bin", "targets.bin"
KINDS = ("raw", "jpeg")
#: Of the data files taken together: where the sample begins. Sum of its contents. Bytes, height, width as
#: displayed. CRC-32 of the record so far, begun with the sample's number.
RECORD = struct.Struct("<QQIIII")
RECORD_BYTES = RECORD.size
#: Larger ones are not read: nothing that `pack` writes comes near it.
MAX_META_BYTES = 64 << 20
#: Skipped samples that are listed one by one.
MAX_LISTED = 10_000
TARGET_TYPES = ("int16", "int32", "float32")
REPACK = "Copy the data set again, or pack it again (fieldloom pack --overwrite)."


def data_name(k: int) -> str:
    """Name of the k-th data file."""
    return f"data-{k:05}.bin"


@dataclass(frozen=True, slots=True)
class Record:
    """Where a sample lies.

    Attributes:
        offset: First byte, counted over all data files.
        n_bytes: Bytes.
        height: Pixels as displayed; `width` likewise.
        width: See `height`.
        total: Sum of its contents.
    """

    offset: int
    n_bytes: int
    height: int
    width: int
    total: int

    def encoded(self, sample: int) -> bytes:
        """Its 32 bytes in the index."""
        body = RECORD.pack(self.offset, self.total, self.n_bytes, self.height, self.width, 0)[:-4]
        return body + zlib.crc32(body, sample & 0xFFFFFFFF).to_bytes(4, "little")


@dataclass(slots=True)
class Meta:
    """Contents of fieldloom.json.

    Attributes:
        kind: "raw" or "jpeg".
        n: Samples.
        n_classes: Labels are below it; None where targets are rows of numbers.
        classes: Name of each class, or None.
        names: What the source called "image" and "target", where that was something else.
        target_type: One of TARGET_TYPES.
        target_columns: Numbers of a target; None for class indices.
        side: Shorter side in pixels that larger images were shrunk to; 0 keeps sizes.
        quality: Of images that were encoded again as JPEG.
        files: (bytes, SHA-256) of the index and the targets, by name.
        data: The same of each data file, in order.
        n_skipped: Samples of the source that could not be packed; `skipped` lists them, 10 000 at most.
        skipped: Their sample, file and error.
        left_out: Fields of the source's samples, which a packed data set does not keep.
    """

    kind: str
    n: int
    n_classes: int | None
    classes: list[str] | None
    names: dict[str, str]
    target_type: str
    target_columns: int | None
    side: int
    quality: int
    files: dict[str, tuple[int, str]]
    data: list[tuple[int, str]]
    n_skipped: int = 0
    skipped: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def encoded(self) -> bytes:
        """The file: JSON with the digest of everything else in it."""
        body = {"format": FORMAT, "version": VERSION} | {name: getattr(self, name) for name in _FIELDS}
        text = json.dumps(body | {"sha256": _digest(body)}, indent=1, sort_keys=True)
        return f"{text}\n".encode("ascii")


_FIELDS = tuple(Meta.__dataclass_fields__)


def _digest(body: dict[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def read_meta(folder: str) -> Meta:
    """Read and check fieldloom.json.

    Raises:
        MissingError: There is none.
        ShardError: It is damaged, or of a newer version.
        UnsafeError: It is not a regular file.
    """
    path = os.path.join(folder, META)
    try:
        file = OpenFile(path)
        if file.n_bytes > MAX_META_BYTES:
            raise damaged(path, f"it has {file.n_bytes} bytes, the limit is {MAX_META_BYTES}")
        return _parsed(path, os.pread(file.fd, MAX_META_BYTES + 1, 0))
    except FileNotFoundError as error:
        raise MissingError.make(
            "cannot open", why=f"there is no {META}", remedy="Check the path.", file=folder
        ) from error
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from error


def _parsed(path: str, data: bytes) -> Meta:
    try:
        body = json.loads(data.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise damaged(path, "it is not JSON") from error
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise damaged(path, f'it does not say "format": "{FORMAT}"')
    version = body.get("version")
    if isinstance(version, int) and version > VERSION:
        raise ShardError.make(
            "cannot open",
            why=f"its format has version {version}, and this fieldloom reads up to {VERSION}",
            remedy="Upgrade fieldloom (pip install -U fieldloom), or pack the data set again.",
            file=path,
        )
    claimed = body.pop("sha256", None)
    if version != VERSION or claimed != _digest(body):
        raise damaged(path, "its contents do not match their own checksum")
    # The digest holds, so `pack` wrote it, or somebody who means harm: types still decide what is read where.
    if set(body) != {*_FIELDS, "format", "version"} or not _plausible(body):
        raise damaged(path, "it lacks what the format asks for")
    body["files"] = {name: tuple(entry) for name, entry in body["files"].items()}
    body["data"] = [tuple(entry) for entry in body["data"]]
    return Meta(**{name: body[name] for name in _FIELDS})


def _plausible(body: dict[str, Any]) -> bool:
    n, columns, classes = body["n"], body["target_columns"], body["classes"]
    files, data = body["files"], body["data"]
    if not (_whole(n) and body["kind"] in KINDS and body["target_type"] in TARGET_TYPES):
        return False
    if not (isinstance(files, dict) and set(files) == {INDEX, TARGETS} and isinstance(data, list)):
        return False
    if not all(_entry(entry) for entry in [*files.values(), *data]):
        return False
    rows = body["target_type"] == "float32"
    if rows != _whole(columns) or rows == _whole(body["n_classes"]):
        return False
    item = 2 if body["target_type"] == "int16" else 4
    if files[INDEX][0] != n * RECORD_BYTES or files[TARGETS][0] != n * item * (columns if rows else 1):
        return False
    named = isinstance(body["names"], dict) and all(isinstance(v, str) for v in body["names"].values())
    listed = isinstance(body["skipped"], list) and isinstance(body["left_out"], list)
    texts = classes is None or (isinstance(classes, list) and all(isinstance(c, str) for c in classes))
    return named and listed and texts and _whole(body["n_skipped"])


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def _entry(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and _whole(value[0]) and isinstance(value[1], str)


def damaged(path: str, why: str, sample: int | None = None) -> ShardError:
    """The error of a packed data set whose files contradict each other."""
    return ShardError.make(
        "cannot read the packed data set", why=why, remedy=REPACK, sample=sample, file=path
    )
