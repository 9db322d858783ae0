"""One shard: its index found or made, and the bytes of one sample out of it."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import DecodeError, FieldloomError, LimitError, ShardError
from fieldloom.sources.shards.shardindex import (
    BadIndexError,
    Head,
    load_columns,
    load_head,
    places_of,
    save_index,
)
from fieldloom.sources.shards.shardsamples import Group, Spec, split_name
from fieldloom.sources.shards.shardscan import Scanned, scan_shard
from fieldloom.sources.shards.tarheader import BLOCK
from fieldloom.sources.shards.tarmembers import Window, member_at
from fieldloom.sources.store import SKIP, Stamp, Store, changed

#: Bytes read at once when an index is made. Near: a header, a small label behind it and the next header; what
#: lies between is not read. Remote: a request takes as long as these many bytes.
_AHEAD, _AHEAD_REMOTE = 8 << 10, 4 << 20
_log = logging.getLogger("fieldloom")


@dataclass(slots=True)
class Shard:
    """One shard with its index.

    Attributes:
        path: As the user wrote it.
        head: What the index says of it.
        index: The index file; None if it could not be stored.
        scanned: The index itself, where it was just made.
    """

    path: str
    head: Head
    index: Path | None
    scanned: Scanned | None = None
    _rows: NDArray[np.void] | None = field(default=None, repr=False)

    def labels(self) -> tuple[NDArray[np.unsignedinteger], NDArray[np.uint32] | None]:
        """All labels, one after the other, and how many each sample has where they are lists.

        Raises:
            BadIndexError: The index file is damaged.
        """
        if self.scanned is not None:
            return self.scanned.labels, self.scanned.counts
        labels, counts = self._load(slice(0, 2))
        return labels, counts if self.head.listed else None

    def rows(self, store: Store, spec: Spec) -> NDArray[np.void]:
        """Where the samples stand, from the index; kept from the first call on.

        Raises:
            ShardError: The index is gone or damaged, and the shard is not the one it was.
        """
        if self._rows is None:
            try:
                rows = self._load(slice(2, 3))[0] if self.scanned is None else self.scanned.rows
            except (OSError, BadIndexError):  # somebody emptied the cache: the same once more
                anew = make_index(self.path, store, spec)
                if anew.head.digest != self.head.digest or anew.scanned is None:
                    raise changed(self.path, self.head.stamp, anew.head.stamp) from None
                rows = anew.scanned.rows
            self._rows = rows
        return self._rows

    def forget(self) -> None:
        """Let go of what the index file holds as well."""
        if self.index is not None:
            self.scanned = None

    def _load(self, which: slice) -> list[NDArray[Any]]:
        if self.index is None:
            raise BadIndexError("it was not stored")
        return load_columns(self.index, self.head, which)


def open_shard(path: str, store: Store, spec: Spec) -> Shard:
    """A shard with its index: read if there is one that fits, else made and stored.

    Raises:
        MissingError: There is no such shard.
        ShardError: It is damaged; see `scan_shard`.
        UnsafeError: It, or a member, is not a regular file.
        LabelError: A label is no class index.
    """
    stamp = store.stamp(path)
    stale = ""
    for place in places_of(path, spec.tag):
        try:
            head = load_head(place)
        except FileNotFoundError:
            continue
        except (OSError, BadIndexError) as error:
            stale = f"{place} cannot be used ({error})"
            continue
        if head.stamp == stamp:
            return Shard(path, head, place)
        stale = "the shard has changed"
    if stale:
        _log.warning("making the index of %s anew: %s", path, stale)
    return make_index(path, store, spec)


def make_index(path: str, store: Store, spec: Spec) -> Shard:
    """Look through a shard and store its index. Raises as `open_shard` does."""
    _log.info("making the index of %s", path)
    stamp = store.stamp(path)
    scanned = scan(path, store, spec, stamp)
    head, place = save_index(path, spec.tag, stamp, scanned)
    return Shard(path, head, place, scanned)


def scan(path: str, store: Store, spec: Spec, stamp: Stamp) -> Scanned:
    """Look through a shard that had this stamp. Raises as `open_shard` does."""
    if not stamp.size:
        raise ShardError.make("cannot use", why="it is empty", remedy="Copy or make it anew.", file=path)

    def read(offset: int, n: int) -> bytes:
        return store.read_range(path, offset, n, expected=stamp).tobytes()

    window = Window(read, stamp.size, min(store.max_bytes, _AHEAD_REMOTE if store.remote else _AHEAD))
    try:
        scanned = scan_shard(window, spec)
    except FieldloomError as error:
        raise error if error.file else error.located(error.sample, path) from None
    if store.remote and (now := store.stamp(path)) != stamp:
        raise changed(path, stamp, now)
    return scanned


@dataclass(frozen=True, slots=True)
class Region:
    """The bytes of one sample.

    Attributes:
        group: Its members; their positions count from the region's begin.
        data: The bytes, uint8.
    """

    group: Group
    data: NDArray[np.uint8]

    def contents(self, name: str) -> NDArray[np.uint8]:
        """Contents of a field, a view."""
        member = self.group.fields[name]
        return self.data[member.data : member.data + member.size]


def read_region(shard: Shard, row: np.void, store: Store, sample: int) -> Region:
    """One sample out of a shard, in one read.

    Its headers must be, to the bit, those that the index was made from: a shard that was damaged, or replaced
    by one of the same size and time, never gives another sample's bytes. Errors do not name the sample yet.

    Raises:
        DecodeError: Its headers are damaged.
        LimitError: It is larger than is read at once.
        ShardError: The shard was written to or replaced after it was opened.
    """
    start, blocks, crc = row.item()
    n = blocks * BLOCK
    if n > store.max_bytes:
        raise LimitError.make(
            "cannot read",
            why=f"its members take {n} bytes, the limit is {store.max_bytes}",
            remedy="Raise max_bytes of the source.",
        )
    data = store.read_range(shard.path, start * BLOCK, n, sample, expected=shard.head.stamp)
    try:
        group = _group_of(data, n)
    except FieldloomError:
        group = None
    if group is None or group.crc != crc:
        if store.remote and (now := store.stamp(shard.path, sample)) != shard.head.stamp:
            raise changed(shard.path, shard.head.stamp, now)
        raise DecodeError.make(
            "cannot read",
            why=f"its headers at byte {start * BLOCK} are not those that the shard's index was made from",
            remedy=SKIP,
        )
    return Region(group, data)


def _group_of(data: NDArray[np.uint8], n: int) -> Group | None:
    """The members in the bytes of one sample; None if they are cut or of several."""
    window = Window(lambda offset, n: data[offset : offset + n].tobytes(), len(data), BLOCK)
    group, at = None, 0
    while at < n:
        member = member_at(window, at, check=False)  # the CRC-32 of all headers is compared instead
        if member is None:
            return None
        at = member.end
        parts = None if member.folder else split_name(member.name)
        if parts is None:
            continue
        group = group or Group(parts[0])
        if parts[0] != group.key:
            return None
        group.add(parts[1], member)
    return group


def key_of(shard: Shard, row: np.void, store: Store) -> str:
    """The name of one sample, from its header."""
    start = int(row["start"]) * BLOCK
    window = Window(
        lambda offset, n: store.read_range(shard.path, offset, n).tobytes(), shard.head.size, 4 * BLOCK
    )
    member = member_at(window, start)
    parts = None if member is None else split_name(member.name)
    return "" if parts is None else parts[0].decode("utf-8", "surrogateescape")
