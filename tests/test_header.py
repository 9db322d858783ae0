"""Header checks: what each kind of file leads to, before any decoder sees it."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from fieldloom.errors import DecodeError, LimitError
from fieldloom.pipelines.header import Header, check_header, looks_like
from fieldloom.pipelines.outside import decode_outside

LIMIT = 10_000_000


def picture(width=40, height=24, mode="RGB"):
    ramp = np.arange(height * width * 3, dtype=np.uint32).reshape(height, width, 3) * 7 % 256
    return Image.fromarray(ramp.astype(np.uint8)).convert(mode)


def encode(form="JPEG", image=None, turned=None, **options):
    if turned is not None:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = turned
    out = io.BytesIO()
    (image or picture()).save(out, form, **options)
    return out.getvalue()


def png_header(width, height):
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = b"\0\0\0\0IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    return b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + ihdr + struct.pack(">I", zlib.crc32(ihdr)) + end


def jpeg_sized(width, height):
    data = bytearray(encode())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


FORMATS = [
    ("JPEG", "RGB", {}, "jpeg", "dali"),
    ("JPEG", "L", {}, "jpeg", "dali"),
    ("JPEG", "CMYK", {}, "jpeg", "dali"),
    ("JPEG", "RGB", {"progressive": True}, "jpeg", "dali"),
    ("PNG", "RGB", {}, "png", "dali"),
    ("PNG", "L", {}, "png", "dali"),
    ("PNG", "LA", {}, "png", "dali"),
    ("PNG", "P", {}, "png", "dali"),
    ("PNG", "1", {}, "png", "dali"),
    ("PNG", "RGBA", {}, "png", "dali"),
    ("PNG", "I;16", {}, "png", "pillow"),
    ("WEBP", "RGB", {}, "webp", "dali"),
    ("WEBP", "RGBA", {"lossless": True}, "webp", "dali"),
    ("TIFF", "RGB", {}, "tiff", "pillow"),
    ("BMP", "RGB", {}, "bmp", "pillow"),
    ("PPM", "RGB", {}, "pnm", "pillow"),
    ("JPEG2000", "RGB", {}, "jpeg2k", "pillow"),
    ("GIF", "P", {}, "gif", "pillow"),
]


@pytest.mark.parametrize(("form", "mode", "options", "codec", "route"), FORMATS)
def test_formats(form, mode, options, codec, route):
    image = Image.fromarray(np.full((24, 40), 999, np.uint16)) if mode == "I;16" else picture(mode=mode)
    data = encode(form, image, **options)
    assert check_header(data, max_pixels=LIMIT) == Header(40, 24, codec, 1, route)
    assert check_header(np.frombuffer(data, np.uint8), max_pixels=LIMIT).route == route
    assert check_header(memoryview(data), max_pixels=LIMIT).codec == codec


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize(
    ("form", "route"), [("JPEG", "dali"), ("PNG", "pillow"), ("WEBP", "pillow"), ("TIFF", "pillow")]
)
def test_sizes_are_in_display_orientation(form, route, turned):
    header = check_header(encode(form, turned=turned), max_pixels=LIMIT)
    size = (24, 40) if turned >= 5 else (40, 24)
    assert (header.width, header.height, header.orientation, header.route) == (*size, turned, route)


@pytest.mark.parametrize("form", ["WEBP", "GIF", "PNG"])
def test_animations(form):
    data = encode(form, save_all=True, append_images=[picture().rotate(180)], duration=50)
    header = check_header(data, max_pixels=LIMIT)
    assert (header.width, header.height) == (40, 24)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (8192, 1), (1, 8192)])
def test_extreme_sizes(width, height):
    header = check_header(encode(image=Image.new("RGB", (width, height))), max_pixels=LIMIT)
    assert (header.width, header.height) == (width, height)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"x", "looks like text"),
        (b"caption: a tench\n" * 9, "looks like text"),
        ("Käfer\n".encode() * 60, "looks like text"),
        (b"<!DOCTYPE html><html>404</html>", "an HTML page"),
        (b"\0" * 500, "zero bytes only"),
        (b"%PDF-1.7 ....", "a PDF document"),
        (b"PK\x03\x04....", "a ZIP archive"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 40, "heic"),
        (b"\xff\xd8", "JPEG header is cut"),
        (b"\xff\xd8\xff\xe0\x00", "JPEG header is cut"),
        (b"\x89PNG\r\n\x1a\n", "PNG header is cut"),
        (b"GIF89a", "looks like a GIF"),
        (bytes(range(128, 256)), "unknown binary data"),
    ],
)
def test_what_is_not_an_image(data, words):
    with pytest.raises(DecodeError, match=words) as caught:
        check_header(data, max_pixels=LIMIT)
    located = caught.value.located(4711, "train/x.JPEG")
    assert "sample 4711 (train/x.JPEG)" in str(located)
    assert 'on_bad_sample="skip"' in str(located)


@pytest.mark.parametrize("percent", [1, 20, 50, 99])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_cut_files_are_refused_here(form, percent):
    data = encode(form, picture(200, 150))
    with pytest.raises(DecodeError, match=r"cut or damaged|without an end marker|no decoder takes"):
        check_header(data[: len(data) * percent // 100], max_pixels=LIMIT)


@pytest.mark.parametrize("tail", [b"\0", b"\0" * 9000, b"a video " * 9000])
def test_bytes_after_the_end_marker_are_harmless(tail):
    assert check_header(encode() + tail, max_pixels=LIMIT).route == "dali"


def test_an_end_marker_in_the_header_does_not_count():
    data = encode(comment=b"\xff\xd9")
    with pytest.raises(DecodeError, match="without an end marker"):
        check_header(data[:-30], max_pixels=LIMIT)


def test_no_pixels():
    with pytest.raises(DecodeError, match=r"0 x 24 pixels|cut or damaged"):
        check_header(jpeg_sized(0, 24), max_pixels=LIMIT)


@pytest.mark.parametrize("data", [jpeg_sized(30000, 30000), png_header(30000, 30000)])
def test_bombs(data):
    with pytest.raises(LimitError, match="30000 x 30000 = 900000000 pixels, max_pixels is 10000000"):
        check_header(data, max_pixels=LIMIT)


def test_bomb_in_a_format_outside_dali():
    bmp = bytearray(encode("BMP"))
    bmp[18:26] = struct.pack("<ii", 30000, 30000)
    with pytest.raises(LimitError):
        check_header(bytes(bmp), max_pixels=LIMIT)
    webp = bytearray(encode("WEBP", turned=6))
    webp[24:30] = b"\xff" * 6
    with pytest.raises(LimitError, match="16777216 x 16777216"):
        check_header(bytes(webp), max_pixels=LIMIT)


def test_the_limit_itself_is_let_through():
    assert check_header(encode(), max_pixels=40 * 24).width == 40
    with pytest.raises(LimitError):
        check_header(encode(), max_pixels=40 * 24 - 1)


def test_wrong_extension_does_not_matter():
    assert looks_like(encode("PNG")) == "a PNG"


def test_import_starts_nothing():
    code = "import sys, fieldloom.pipelines.decode as d; print('nvidia.dali' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def animated_png():
    return encode("PNG", save_all=True, append_images=[picture().rotate(180)], duration=50)


def test_animated_png_goes_to_pillow():
    """DALI 2.4 delivers uninitialized memory for the missing rows of a damaged one, without an error."""
    assert check_header(animated_png(), max_pixels=LIMIT).route == "pillow"
    still = encode("PNG")
    assert check_header(still, max_pixels=LIMIT).route == "dali"


@pytest.mark.parametrize("percent", [30, 60, 90])
def test_a_damaged_animated_png_is_an_error(percent):
    whole = animated_png()
    start = whole.index(b"IDAT") + 4
    size = int.from_bytes(whole[start - 8 : start - 4], "big")
    cut = whole[start : start + size * percent // 100]
    data = whole[: start - 8] + struct.pack(">I", len(cut)) + b"IDAT" + cut
    data += struct.pack(">I", zlib.crc32(b"IDAT" + cut)) + whole[start + size + 4 :]
    header = check_header(data, max_pixels=LIMIT)
    with pytest.raises(DecodeError, match="Pillow cannot read it"):
        decode_outside(np.frombuffer(data, np.uint8), (0, 0, header.height, header.width))
