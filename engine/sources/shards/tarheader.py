"""One 512-byte header block of a tar archive: its checksum, type, size and name, each checked.

Knows v7, ustar, GNU (long names, sizes in base 256) and PAX. Nothing is extracted, so owners, modes and times
are never looked at.
"""

from dataclasses import dataclass

from fieldloom.errors import FieldloomError, ShardError, UnsafeError

BLOCK = 512
#: A name or a PAX record list longer than this is refused before it is read.
MAX_EXTENSION_BYTES = 1 << 20

REGULAR = b"0\0\x007"  # "7" is a contiguous file, which nobody stores otherwise
FOLDER = b"5"
PAX, PAX_GLOBAL, LONG_NAME, LONG_LINK = b"x", b"g", b"L", b"K"
EXTENSIONS = (PAX, PAX_GLOBAL, LONG_NAME, LONG_LINK)
_REFUSED = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a FIFO",
}
_SPARSE = b"S"
_UNPACK = "Make the shard anew, from plain files."
_COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
}


@dataclass(slots=True)
class Header:
    """What one header block says.

    Attributes:
        kind: Its type, one byte.
        size: Bytes of the data behind it.
        name: Name in the archive; that of an extension means nothing.
    """

    kind: bytes
    size: int
    name: bytes


@dataclass(slots=True)
class Extension:
    """What extension members said about the member behind them (name and size), so far."""

    name: bytes | None = None
    size: int | None = None
    sparse: bool = False

    @property
    def empty(self) -> bool:
        """Whether none came."""
        return self.name is None and self.size is None and not self.sparse


def padded(size: int) -> int:
    """Bytes that data of this size takes in an archive: whole blocks."""
    return -(-size // BLOCK) * BLOCK


def parse_header(block: bytes, offset: int, *, check: bool = True) -> Header:
    """Check and read a header block.

    Args:
        block: 512 bytes, not all zero.
        offset: Where they stand, for errors.
        check: Whether to compare the checksum.

    Raises:
        ShardError: Its checksum or its size is wrong, or it is no tar header at all.
    """
    if check:
        _check_sum(block, offset)
    name = block[:100].partition(b"\0")[0]
    # GNU has times where ustar has the front part of the name.
    if block[257:263] == b"ustar\0" and block[345] and block[156:157] not in EXTENSIONS:
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    return Header(block[156:157], _size(block[124:136], offset), name)


def apply_extension(kind: bytes, payload: bytes, found: Extension, offset: int) -> None:
    """Note what an extension member says about the next member.

    Raises:
        ShardError: Its records are damaged, or a global one names or sizes all members.
    """
    if kind == LONG_NAME:
        found.name = payload.partition(b"\0")[0]
    elif kind in (PAX, PAX_GLOBAL):
        for key, value in _records(payload, offset):
            if key in (b"path", b"size") and kind == PAX_GLOBAL:
                raise damaged(offset, "a global PAX header gives all members one name or size")
            if key == b"path":
                found.name = value
            elif key == b"size":
                if not value.isdigit() or len(value) > 20:
                    raise damaged(offset, f"a PAX header has the size {value[:30]!r}")
                found.size = int(value)
            elif key.startswith(b"GNU.sparse."):
                found.sparse = True


def check_member(header: Header, found: Extension, offset: int) -> tuple[bytes, int]:
    """Name and size of a member, its extensions applied.

    Raises:
        UnsafeError: It is a link or a device, or its name is absolute, leads upwards or holds a zero byte.
        ShardError: It is sparse, has no name, or is of an unknown type.
    """
    name = header.name if found.name is None else found.name
    if header.kind in _REFUSED:
        raise _unsafe(name, f"it is {_REFUSED[header.kind]}")
    if header.kind == _SPARSE or found.sparse:
        raise ShardError.make(
            f"refused member {_shown(name)} of",
            why="it is a sparse file",
            remedy=f"{_UNPACK} (no --sparse)",
        )
    if header.kind not in REGULAR and header.kind != FOLDER:
        raise damaged(offset, f"member {_shown(name)} has the unknown type {header.kind!r}")
    if name.startswith(b"/"):
        raise _unsafe(name, "its name is absolute")
    if b".." in name.split(b"/"):
        raise _unsafe(name, "its name leads out of the archive")
    if b"\0" in name:
        raise _unsafe(name, "its name holds a zero byte")
    if not name:
        raise damaged(offset, "a member has no name")
    return name, header.size if found.size is None else found.size


def is_folder(header: Header, name: bytes) -> bool:
    """Whether a member is a folder (v7 marks it by the name alone)."""
    return header.kind == FOLDER or name.endswith(b"/")


def damaged(offset: int, why: str) -> ShardError:
    """The error for an archive that is damaged at this offset; the caller adds the file."""
    return ShardError.make(f"damage at byte {offset} of", why=why, remedy="Copy or make the shard anew.")


def printable(name: str) -> str:
    """A member's name as errors show it."""
    return name.encode("unicode_escape", "surrogateescape").decode("ascii", "replace")


def _shown(name: bytes) -> str:
    return printable(name.decode("utf-8", "surrogateescape"))


def _unsafe(name: bytes, why: str) -> FieldloomError:
    return UnsafeError.make(f"refused member {_shown(name)} of", why=why, remedy=_UNPACK)


def _check_sum(block: bytes, offset: int) -> None:
    try:
        stated = int(block[148:156].strip(b" \0") or b"0", 8)
    except ValueError:
        stated = -1
    if stated != sum(block) - sum(block[148:156]) + 8 * 32 and stated != _signed_sum(block):
        raise _not_a_header(block, offset)


def _signed_sum(block: bytes) -> int:
    """The checksum as some old writers made it, of signed characters."""
    return sum(value - 256 if value > 127 else value for value in block[:148] + block[156:]) + 8 * 32


def _size(field: bytes, offset: int) -> int:
    if field[0] & 0x80:
        if field[0] != 0x80:
            raise damaged(offset, "a member has a negative size")
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip(b" ")
    if digits.strip(b"01234567"):
        raise damaged(offset, f"a member has the size {digits!r}, which is not octal")
    return int(digits or b"0", 8)


def _records(payload: bytes, offset: int) -> list[tuple[bytes, bytes]]:
    """The records of a PAX header: "<length> <key>=<value>" and a line feed each."""
    records, at = [], 0
    while at < len(payload) and payload[at]:
        digits, space, _ = payload[at : at + 12].partition(b" ")
        if not space or not digits.isdigit():
            raise damaged(offset, "a PAX header has a record without a length")
        record = payload[at : at + int(digits)]
        if len(record) != int(digits) or not record.endswith(b"\n"):
            raise damaged(offset, "a PAX header has a record of another length than it says")
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if not equals:
            raise damaged(offset, "a PAX header has a record without a value")
        records.append((key, value))
        at += int(digits)
    return records


def _not_a_header(block: bytes, offset: int) -> ShardError:
    if offset == 0:
        refuse_compressed(block)
    if offset == 0 and block[257:262] != b"ustar":
        return ShardError.make("cannot use", why="it is not a tar archive", remedy="Check the path.")
    return damaged(offset, "the checksum of a header is wrong")


def refuse_compressed(start: bytes) -> None:
    """Refuse a file that begins like a compressed one.

    Raises:
        ShardError: It does.
    """
    for magic, (name, command) in _COMPRESSED.items():
        if start.startswith(magic):
            raise ShardError.make(
                "cannot use",
                why=f"it is compressed with {name}, and a compressed shard has no random access",
                remedy=f"Unpack it with `{command}` (images are compressed already).",
            )
