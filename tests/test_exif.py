"""EXIF orientation from headers: right where it is well-formed, 1 where it is not, and never an error."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fieldloom.pipelines.exif import jpeg_orientation, orientation, scan_jpeg


def encode(form="JPEG", turned=None, **options):
    image = Image.fromarray(np.arange(24 * 40 * 3, dtype=np.uint8).reshape(24, 40, 3))
    if turned is not None:
        exif = Image.Exif()
        exif[0x0112] = turned
        exif[0x010F] = "a maker's name"
        options["exif"] = exif
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def with_exif(tiff):
    """A JPEG whose first segment is an EXIF block with this TIFF content."""
    block = b"Exif\0\0" + tiff
    return b"\xff\xd8\xff\xe1" + struct.pack(">H", len(block) + 2) + block + encode()[2:]


def ifd(entries, order="<"):
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + struct.pack(order + "H", len(entries)) + b"".join(entries) + b"\0\0\0\0"


def entry(tag, kind, count, value, order="<"):
    field = struct.pack(order + ("HH" if kind == 3 else "I"), *((value, 0) if kind == 3 else (value,)))
    return struct.pack(order + "HHI", tag, kind, count) + field


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_each_orientation(form, turned):
    data = encode(form, turned)
    assert orientation(data, form.lower()) == turned
    assert orientation(np.frombuffer(data, np.uint8), form.lower()) == turned


@pytest.mark.parametrize("order", ["<", ">"])
def test_both_byte_orders_are_plain(order):
    scan = scan_jpeg(with_exif(ifd([entry(0x0112, 3, 1, 6, order)], order)))
    assert (scan.orientation, scan.plain) == (6, True)
    assert scan.body > 0


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_absent_is_upright(form):
    assert orientation(encode(form), form.lower()) == 1


@pytest.mark.parametrize(
    ("tiff", "expected", "plain"),
    [
        (b"", 1, False),
        (b"II*\0", 1, True),
        (b"XX*\0" + ifd([entry(0x0112, 3, 1, 6)])[4:], 1, False),
        (ifd([entry(0x0112, 3, 1, 0)]), 1, True),
        (ifd([entry(0x0112, 3, 1, 9)]), 1, True),
        (ifd([entry(0x0112, 4, 1, 6)]), 6, True),
        (ifd([entry(0x0112, 4, 1, 6, ">")], ">"), 6, False),
        (ifd([entry(0x0112, 2, 1, 6)]), 1, False),
        (ifd([entry(0x0112, 3, 1, 6), entry(0x0112, 3, 1, 3)]), 6, True),
        (ifd([entry(0x0112, 3, 1, 6), entry(0x010F, 2, 4000, 26)]), 6, False),
        (ifd([entry(0x0112, 3, 1, 6), entry(0x011A, 5, 1, 4000)]), 6, False),
        (ifd([entry(0x0112, 3, 1, 6)])[:-8], 1, True),
    ],
)
def test_malformed_blocks(tiff, expected, plain):
    scan = scan_jpeg(with_exif(tiff))
    assert (scan.orientation, scan.plain) == (expected, plain)


def test_two_blocks_that_disagree_are_not_plain():
    first = with_exif(ifd([entry(0x0112, 3, 1, 6)]))
    both = with_exif(ifd([entry(0x0112, 3, 1, 3)]))[: -len(encode()) + 2] + first[2:]
    scan = scan_jpeg(both)
    assert (scan.orientation, scan.plain) == (3, False)


def test_never_scans_past_the_header():
    block = with_exif(ifd([entry(0x0112, 3, 1, 6)]))
    assert jpeg_orientation(encode() + block) == 1


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff\xe1\xff\xff", b"\xff\xd8\xff\xe1\0\0"]
)
def test_cut_headers(data):
    scan = scan_jpeg(data)
    assert (scan.orientation, scan.body) == (1, -1)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["jpeg", "png", "webp", "tiff", "gif"]))
def test_never_raises_for_noise(noise, codec):
    for head in (b"", b"\xff\xd8", b"\xff\xd8\xff\xe1\0\xc0Exif\0\0II*\0", b"\x89PNG\r\n\x1a\neXIf"):
        assert 1 <= orientation(head + noise, codec) <= 8


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 250), st.integers(0, 255), st.integers(1, 8))
def test_never_raises_for_a_damaged_header(at, byte, turned):
    data = bytearray(encode("JPEG", turned))
    data[at] = byte
    assert 1 <= jpeg_orientation(bytes(data)) <= 8
