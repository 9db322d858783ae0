"""EXIF orientation of encoded images, read from their headers without decoding.

Orientation is the number 1..8 of the EXIF standard: 1 is upright, 5..8 exchange width and height.
Windows are chosen in display orientation *before* the decoder sees the bytes, so this reader and the
decoder must agree on every file. They read malformed EXIF differently, hence `JpegScan.plain`.
"""

import struct
from dataclasses import dataclass
from io import BytesIO

import numpy as np

Buffer = bytes | bytearray | memoryview | np.ndarray

_SOI, _EOI, _SOS, _APP1, _TEM = 0xD8, 0xD9, 0xDA, 0xE1, 0x01
_ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4

# Tags of IFD0 whose values nvImageCodec reads although only the orientation is wanted: one that lies
# outside the block makes it drop the orientation. 0 = `count` bytes (a text), else bytes at the offset.
_READ_BY_DECODER = {
    0x010E: 0, 0x010F: 0, 0x0110: 0, 0x0131: 0, 0x0132: 0, 0x8298: 0,
    0x011A: 8, 0x011B: 8, 0x013E: 16, 0x013F: 48, 0x0211: 24, 0x0214: 48,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class JpegScan:
    """What a JPEG's header markers say.

    Attributes:
        orientation: EXIF orientation, 1..8; 1 when absent or malformed.
        plain: nvImageCodec, and so DALI, reads the same orientation.
        body: Offset of the start-of-scan marker in bytes; -1 when the header ends or breaks before it.
    """

    orientation: int
    plain: bool
    body: int


def as_view(data: Buffer) -> memoryview:
    """The bytes of a 1-D uint8 buffer, not copied."""
    return memoryview(data)  # type: ignore[arg-type]  # arrays have the buffer protocol, their stubs do not


def scan_jpeg(data: Buffer) -> JpegScan:
    """Walk the header markers of a JPEG up to its first scan. Never raises for any bytes.

    Args:
        data: Encoded bytes: any 1-D buffer of uint8.

    Returns:
        Orientation, whether its EXIF is plain, and where the scan begins.
    """
    view = as_view(data)
    size = len(view)
    found: list[int] = []
    plain = True
    at = 2
    if size < 4 or view[0] != 0xFF or view[1] != _SOI:
        return JpegScan(1, False, -1)
    # Each turn moves on by at least two bytes, so that the walk is bounded by the header's length.
    while at + 4 <= size and view[at] == 0xFF:
        marker = view[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == _SOS:
            first = found[0] if found else 1
            # With several blocks nvImageCodec may take a later one.
            return JpegScan(first, plain and found.count(first) == len(found), at)
        length = view[at + 2] << 8 | view[at + 3]
        # Markers without a length (RSTn, SOI, EOI, TEM) have no place in a header.
        if length < 2 or marker in (0, _TEM) or 0xD0 <= marker <= _EOI:
            break
        end = at + 2 + length
        if marker == _APP1 and bytes(view[at + 4 : at + 10]) == b"Exif\0\0":
            if length < 8 or end > size:
                break
            value, same = _read_ifd0(view[at + 10 : end])
            found.append(value)
            plain = plain and same
        at = end
    return JpegScan(found[0] if found else 1, False, -1)


def jpeg_orientation(data: Buffer) -> int:
    """EXIF orientation of a JPEG, 1..8; 1 when absent or malformed. Never raises for any bytes."""
    return scan_jpeg(data).orientation


def orientation(data: Buffer, codec: str) -> int:
    """EXIF orientation of an encoded image, 1..8; 1 when absent or malformed. Never raises for any bytes.

    A PNG has one only in an `eXIf` chunk and a WebP only under its EXIF flag: orientations in XMP or in
    text chunks are ignored, as DALI ignores them.

    Args:
        data: Encoded bytes: any 1-D buffer of uint8.
        codec: Lower-case name of the format, as in `Header.codec`.
    """
    if codec == "jpeg":
        return jpeg_orientation(data)
    raw = bytes(data)
    if (codec == "png" and not png_has_exif(raw)) or (codec == "webp" and not webp_flags(raw) & WEBP_EXIF):
        return 1
    from PIL import Image

    try:
        with Image.open(BytesIO(raw)) as image:
            return valid_orientation(image.getexif().get(_ORIENTATION))
    except Exception:  # Pillow raises what it likes on damaged metadata; the pixels may still be good
        return 1


def valid_orientation(value: object) -> int:
    """The value itself where it is an orientation 1..8, else 1."""
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


WEBP_ANIMATION, WEBP_EXIF = 0x02, 0x08


def webp_flags(data: Buffer) -> int:
    """Feature flags of an extended WebP (`VP8X`), 0 for a simple one."""
    view = as_view(data)
    return view[20] if len(view) > 20 and bytes(view[12:16]) == b"VP8X" else 0


def webp_size(data: Buffer) -> tuple[int, int]:
    """Stored width and height of an extended WebP (`VP8X`) in pixels; (0, 0) for a simple or cut one."""
    view = as_view(data)
    if len(view) < 30 or bytes(view[12:16]) != b"VP8X":
        return 0, 0
    return int.from_bytes(view[24:27], "little") + 1, int.from_bytes(view[27:30], "little") + 1


def png_has_exif(data: Buffer) -> bool:
    """Whether a PNG may have an `eXIf` chunk (never false when it has one)."""
    # The name may also occur in compressed data by chance, once in 4 GB: only a slower route is taken then.
    return bytes(data).find(b"eXIf") >= 0


def png_is_animated(data: Buffer) -> bool:
    """Whether a PNG may have an `acTL` chunk (never false when it has one)."""
    return bytes(data).find(b"acTL") >= 0


def _read_ifd0(tiff: memoryview) -> tuple[int, bool]:
    """Orientation in a TIFF block's first directory, and whether nvImageCodec reads the same there."""
    order = {b"II": "<", b"MM": ">"}.get(bytes(tiff[:2]))
    if order is None:
        return 1, False
    if len(tiff) < 10:
        return 1, True
    magic, start = struct.unpack_from(order + "HI", tiff, 2)
    if magic != 42 or start + 2 > len(tiff):
        return 1, True
    (n_entries,) = struct.unpack_from(order + "H", tiff, start)
    entries = tiff[start + 2 : start + 2 + 12 * n_entries]
    broken = len(entries) < 12 * n_entries
    ours = theirs = 0
    for tag, kind, count, field in struct.iter_unpack(order + "HHI4s", entries[: len(entries) // 12 * 12]):
        if tag == _ORIENTATION and not theirs:
            # nvImageCodec takes the first two bytes whatever the type.
            (theirs,) = struct.unpack_from(order + "H", field)
            if kind in (_SHORT, _LONG):
                (ours,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), field)
        elif tag in _READ_BY_DECODER:
            n_bytes = _READ_BY_DECODER[tag] or count
            (offset,) = struct.unpack(order + "I", field)
            broken = broken or (n_bytes > 4 and offset + n_bytes > len(tiff))
    ours = valid_orientation(ours)
    return ours, ours == (1 if broken else valid_orientation(theirs))
