"""The members of a tar archive, by looking at its headers only."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fieldloom.errors import ShardError
from fieldloom.sources.shards.tarheader import (
    BLOCK,
    EXTENSIONS,
    MAX_EXTENSION_BYTES,
    Extension,
    Header,
    apply_extension,
    check_member,
    damaged,
    is_folder,
    padded,
    parse_header,
    refuse_compressed,
)

_ZERO = bytes(BLOCK)
#: More zeros than this behind the end are not the padding of any writer.
_MOST_PADDING = 64 << 20

#: Bytes that the headers of one member may take, extensions and all.
_MOST_HEADERS = 4 << 20

#: Reads n bytes from an offset.
ReadAt = Callable[[int, int], bytes]


@dataclass(slots=True)
class Member:
    """One member of an archive: a regular file, or a folder.

    Attributes:
        name: Its name, safe: relative, never upwards.
        start: Byte at which its headers begin (extensions first).
        data: Byte at which its contents begin.
        size: Bytes of its contents.
        headers: All its header blocks and their extensions, as they stand.
        folder: Whether it is a folder.
    """

    name: bytes
    start: int
    data: int
    size: int
    headers: bytes
    folder: bool

    @property
    def end(self) -> int:
        """Byte behind its last block."""
        return self.data + padded(self.size)


class Window:
    """Small reads out of larger ones, forwards.

    Args:
        read: Reads (offset, n).
        size: Bytes there are.
        ahead: Bytes of one read. Small where data lie between headers on a near disk; large where every
            request takes long.
    """

    def __init__(self, read: ReadAt, size: int, ahead: int) -> None:
        self.size, self._read, self._ahead = size, read, ahead
        self._start, self._data = 0, b""

    def at(self, offset: int, n: int) -> bytes:
        """These bytes; fewer at the end."""
        first = offset - self._start
        if first < 0 or first + n > len(self._data):
            self._start, first = offset, 0
            self._data = self._read(offset, max(0, min(max(n, self._ahead), self.size - offset)))
        return self._data[first : first + n]


def members(window: Window) -> Iterator[Member]:
    """Every regular file of an archive, in order. Folders are passed over.

    The archive must be whole: every header right, every size inside the file, two zero blocks at the end and
    nothing but zeros behind them.

    Raises:
        ShardError: It is not a tar archive, is compressed, damaged, or cut.
        UnsafeError: A member is a link or a device, or its name leads out of the archive.
    """
    at = 0
    while (member := member_at(window, at)) is not None:
        if not member.folder:
            yield member
        at = member.end
    _check_end(window, at)


def member_at(window: Window, start: int, *, check: bool = True) -> Member | None:
    """The member whose headers begin here, or None where the archive ends (a block of zeros).

    Without `check` the headers' own checksums are not compared: for who has a better one of all of them.

    Raises as `members` does.
    """
    at, found, headers = start, Extension(), bytearray()
    while True:
        block = window.at(at, BLOCK)
        if len(block) < BLOCK:
            if not at:
                refuse_compressed(block)
            raise _cut(window.size, len(block))
        if block == _ZERO:
            if headers:
                raise damaged(at, "the archive ends behind a header that announces a member")
            return None
        header = parse_header(block, at, check=check)
        headers += block
        if header.kind not in EXTENSIONS:
            break
        payload = _extension(window, header, at)
        apply_extension(header.kind, payload, found, at)
        headers += payload
        if len(headers) > _MOST_HEADERS:
            raise damaged(start, f"the headers of one member take more than {_MOST_HEADERS} bytes")
        at += BLOCK + padded(header.size)
    name, size = check_member(header, found, at)
    folder = is_folder(header, name)
    size, data = 0 if folder else size, at + BLOCK
    # The padding must be there as well: behind it come two blocks of zeros.
    if data + padded(size) > window.size:
        raise ShardError.make(
            "cannot use the shard",
            why=f"it is cut: a member needs {size} bytes from byte {data}, and the file has {window.size}",
            remedy="Copy or make it anew.",
        )
    return Member(name, start, data, size, bytes(headers), folder)


def _extension(window: Window, header: Header, at: int) -> bytes:
    if header.size > MAX_EXTENSION_BYTES:
        raise damaged(at, f"a name or PAX header of {header.size} bytes, the limit is {MAX_EXTENSION_BYTES}")
    payload = window.at(at + BLOCK, header.size)
    if len(payload) < header.size:
        raise _cut(window.size, len(payload))
    return payload


def _check_end(window: Window, at: int) -> None:
    """Behind a zero block: a second one, and then zeros only. Anything else means that members are lost."""
    second = window.at(at + BLOCK, BLOCK)
    if len(second) < BLOCK:
        raise _cut(window.size, len(second))
    if window.size - at > _MOST_PADDING:
        raise damaged(at, f"{window.size - at} bytes follow the end of the archive")
    step = 1 << 20
    for first in range(at + BLOCK, window.size, step):
        part = window.at(first, min(step, window.size - first))
        if part.strip(b"\0"):
            raise damaged(
                at, "a header is zero, or the archive ends here, and other data follow: members would be lost"
            )


def _cut(size: int, n: int) -> ShardError:
    why = f"it is cut: it ends after {size} bytes, in the middle of a block"
    if not n:
        why = (
            f"it is cut: it ends after {size} bytes without the two zero blocks of an archive's end, "
            "so members may be missing"
        )
    return ShardError.make("cannot use the shard", why=why, remedy="Copy or make it anew.")
