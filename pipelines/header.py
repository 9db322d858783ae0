"""Checking an encoded image before any decoder sees it.

DALI 2.4 ends the whole process when a header cannot be parsed: its parser throws in one thread while
others still work on the batch. nvImageCodec's `CodeStream` is the very parser that DALI uses, and raises
for exactly those files. Nothing that it has not accepted may be given to DALI.
"""

import codecs
from dataclasses import dataclass
from typing import Literal

from fieldloom.errors import DecodeError, LimitError
from fieldloom.pipelines.exif import (
    WEBP_ANIMATION,
    WEBP_EXIF,
    Buffer,
    as_view,
    png_has_exif,
    png_is_animated,
    scan_jpeg,
    webp_flags,
    webp_size,
)
from fieldloom.pipelines.outside import read_size

Route = Literal["dali", "pillow"]

_WEBP_OUTSIDE = WEBP_ANIMATION | WEBP_EXIF

_REMEDY = 'Repair or remove the file, or pass on_bad_sample="skip" or "substitute".'

# First bytes of what is commonly found in a data set by mistake; named in the message only.
_LOOKS = (
    (b"<!doctype html", "an HTML page"), (b"<html", "an HTML page"), (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML text"), (b"%pdf", "a PDF document"), (b"%!ps", "a PostScript document"),
    (b"pk\x03\x04", "a ZIP archive"), (b"\x1f\x8b", "a gzip archive"), (b"8bps", "a Photoshop file"),
    (b"\x93numpy", "a NumPy array"), (b"\x89hdf", "an HDF5 file"), (b"\0\0\x01\0", "an icon file"),
    (b"\xff\xd8", "a JPEG"), (b"\x89png", "a PNG"), (b"gif8", "a GIF"), (b"bm", "a BMP"),
    (b"ii*\0", "a TIFF"), (b"mm\0*", "a TIFF"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of an image before it is decoded.

    Attributes:
        width: Width in pixels, in display orientation (EXIF applied).
        height: Height in pixels, in display orientation.
        codec: "jpeg", "png", "webp", "tiff", "bmp", "pnm", "jpeg2k", "gif" or "avif".
        orientation: EXIF orientation of the stored pixels, 1..8.
        route: Which decoder it goes to: "dali", or "pillow" (formats and variants that DALI lacks,
            damages beyond repair, or would turn differently).
    """

    width: int
    height: int
    codec: str
    orientation: int
    route: Route


def check_header(data: Buffer, *, max_pixels: int) -> Header:
    """Check an encoded image's header and choose its decoder; no pixel is decoded.

    DALI decodes 8-bit JPEG, PNG and WebP. Pillow decodes 16-bit PNG, animated or EXIF-bearing WebP and PNG,
    JPEG with irregular EXIF, TIFF, BMP, PNM, JPEG 2000, GIF and AVIF (first frames). Of a damaged animated
    PNG, DALI 2.4's decoder calls the decoding a success and leaves rows of the output as the memory was.

    Args:
        data: Encoded bytes: any 1-D buffer of uint8.
        max_pixels: Largest width * height that is let through.

    Raises:
        DecodeError: Empty; not a supported image; its header is cut or damaged; no pixels; a JPEG
            without an end marker. It names no sample: add that with `.located(sample, file)`.
        LimitError: More than `max_pixels` pixels.
    """
    view = as_view(data)
    if len(view) == 0:
        raise _error("the file is empty (0 bytes)")
    magic = bytes(view[:16])
    if magic[:2] == b"\xff\xd8":
        header = _check_jpeg(data, view)
    elif magic[:8] == b"\x89PNG\r\n\x1a\n" and not png_has_exif(data) and not png_is_animated(data):
        header = _check_stream(data, "png", 1, plain=True)
    elif magic[:4] == b"RIFF" and magic[8:12] == b"WEBP" and not webp_flags(data) & _WEBP_OUTSIDE:
        header = _check_stream(data, "webp", 1, plain=True)
    else:
        # Pillow makes room for an extended WebP as soon as it opens it.
        _check_pixels(*webp_size(data), max_pixels)
        header = _check_outside(data)
    if header.width < 1 or header.height < 1:
        raise _error(f"its header says {header.width} x {header.height} pixels")
    _check_pixels(header.width, header.height, max_pixels)
    return header


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise LimitError.make(
            "cannot decode",
            why=f"its header says {width} x {height} = {width * height} pixels, max_pixels is {max_pixels}",
            remedy="Remove or shrink the file, or raise max_pixels.",
        )


def _check_jpeg(data: Buffer, view: memoryview) -> Header:
    scan = scan_jpeg(view)
    if scan.body < 0:
        raise _error(f"its JPEG header is cut or damaged ({len(view)} bytes)")
    # Without this test a cut file would fail only in the epochs whose window reaches the missing rows.
    # Bytes after the end marker (padding, a video) are common and harmless.
    if bytes(view[-2:]) != b"\xff\xd9" and bytes(view[scan.body :]).rfind(b"\xff\xd9") < 0:
        raise _error(f"its JPEG data end after {len(view)} bytes without an end marker")
    return _check_stream(data, "jpeg", scan.orientation, plain=scan.plain)


def _check_stream(data: Buffer, codec: str, orientation: int, *, plain: bool) -> Header:
    """Let DALI's own parser judge; `plain` = both sides agree on the orientation."""
    from nvidia import nvimgcodec  # type: ignore[attr-defined]

    try:
        stream = nvimgcodec.CodeStream(data)
        width, height, name, dtype = stream.width, stream.height, stream.codec_name, stream.dtype
    except Exception as error:
        # Parsing is lazy and its exceptions are of several C++ kinds; the message is always the same.
        why = f"its {codec.upper()} header is cut or damaged ({len(as_view(data))} bytes)"
        raise _error(why) from error
    if name != codec or dtype != "uint8" or not plain:
        return _check_outside(data)
    if orientation >= 5:
        width, height = height, width
    return Header(int(width), int(height), codec, orientation, "dali")


def _check_outside(data: Buffer) -> Header:
    try:
        width, height, codec, orientation = read_size(data)
    except DecodeError as error:
        why = f"no decoder takes its {len(as_view(data))} bytes; it looks like {looks_like(data)}"
        raise _error(why) from error
    return Header(width, height, codec, orientation, "pillow")


def looks_like(data: Buffer) -> str:
    """A few words on what bytes seem to be, for messages ("an HTML page", "text", "unknown binary data")."""
    head = bytes(as_view(data)[:256])
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for magic, name in _LOOKS:
        if start.startswith(magic):
            return name
    if head[4:8] == b"ftyp":
        return f"an ISO media file ({head[8:12].decode('ascii', 'replace').strip()})"
    if head[:4] == b"RIFF":
        return "a RIFF file"
    if not head.strip(b"\0"):
        return "zero bytes only"
    if all(byte in b"\t\n\r\f\x1b" or byte >= 0x20 for byte in head):
        try:
            # Incremental, since the 256th byte may cut a character.
            codecs.getincrementaldecoder("utf-8")().decode(head)
        except UnicodeDecodeError:
            return "unknown binary data"
        return "text"
    return "unknown binary data"


def _error(why: str) -> DecodeError:
    return DecodeError.make("cannot decode", why=why, remedy=_REMEDY)
