"""Decoding with Pillow gives what DALI's decoder would: RGB, uint8, upright, alpha dropped, first frame."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFile

from fieldloom.errors import DecodeError, LimitError
from fieldloom.pipelines.outside import decode_outside, read_size

PIXELS = (np.arange(24 * 40 * 3, dtype=np.uint32).reshape(24, 40, 3) * 7 % 256).astype(np.uint8)

# What orientation o does to the stored pixels, in array terms.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}


def encode(form, image=None, **options):
    out = io.BytesIO()
    (Image.fromarray(PIXELS) if image is None else image).save(out, form, **options)
    return out.getvalue()


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})])
def test_orientation(form, options, turned):
    exif = Image.Exif()
    exif[0x0112] = turned
    data = encode(form, exif=exif, **options)
    expected = UPRIGHT[turned](PIXELS)
    np.testing.assert_array_equal(decode_outside(data), expected)
    np.testing.assert_array_equal(decode_outside(data, (3, 5, 11, 7)), expected[3:14, 5:12])
    assert read_size(data)[:2] == (expected.shape[1], expected.shape[0])


@pytest.mark.parametrize("form", ["PNG", "TIFF", "BMP", "PPM", "WEBP", "JPEG2000"])
def test_lossless_formats(form):
    data = encode(form, **({"lossless": True} if form == "WEBP" else {}))
    pixels = decode_outside(np.frombuffer(data, np.uint8))
    np.testing.assert_array_equal(pixels, PIXELS)
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1"])
def test_modes(mode):
    image = Image.fromarray(PIXELS).convert(mode)
    np.testing.assert_array_equal(decode_outside(encode("PNG", image)), np.asarray(image.convert("RGB")))


def test_alpha_is_dropped_not_blended():
    image = Image.fromarray(np.dstack([PIXELS, np.zeros((24, 40), np.uint8)]))
    np.testing.assert_array_equal(decode_outside(encode("PNG", image)), PIXELS)


def test_palette_with_transparency_gives_no_warning():
    image = Image.fromarray(PIXELS).convert("P")
    data = encode("PNG", image, transparency=bytes(range(100)))
    np.testing.assert_array_equal(decode_outside(data), np.asarray(image.convert("RGB")))


def test_16_bits_are_scaled():
    wide = np.array([[0, 127, 128, 129, 257, 65535]], np.uint16)
    assert decode_outside(encode("PNG", Image.fromarray(wide)))[0, :, 0].tolist() == [0, 0, 0, 1, 1, 255]


def test_floats_are_taken_as_0_to_1():
    image = Image.fromarray(np.array([[-1, 0, 0.5, 1, 2, np.nan]], np.float32))
    assert decode_outside(encode("TIFF", image))[0, :, 1].tolist() == [0, 0, 128, 255, 255, 0]


def test_32_bit_integers_are_refused():
    with pytest.raises(DecodeError, match="32-bit integers"):
        decode_outside(encode("TIFF", Image.fromarray(np.zeros((4, 4), np.int32))))


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame(form):
    first, second = Image.new("RGB", (40, 24), (255, 0, 0)), Image.new("RGB", (40, 24), (0, 0, 255))
    lossless = {"lossless": True} if form == "WEBP" else {}
    data = encode(form, first, save_all=True, append_images=[second], **lossless)
    assert decode_outside(data)[5, 5].tolist() == [255, 0, 0]


def test_cmyk_jpeg():
    image = Image.fromarray(PIXELS).convert("CMYK")
    assert decode_outside(encode("JPEG", image)).shape == (24, 40, 3)


@pytest.mark.parametrize("window", [(-1, 0, 4, 4), (0, 0, 0, 4), (20, 0, 5, 4), (0, 38, 4, 3)])
def test_windows_outside_the_image(window):
    with pytest.raises(DecodeError, match="24 x 40 pixels"):
        decode_outside(encode("PNG"), window)


@pytest.mark.parametrize("percent", [20, 50, 95])
@pytest.mark.parametrize("form", ["TIFF", "BMP", "PPM", "GIF", "PNG", "WEBP", "JPEG"])
def test_cut_files(form, percent):
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8))
    data = encode(form, noise)
    with pytest.raises(DecodeError) as caught:
        decode_outside(data[: len(data) * percent // 100])
    assert "0x" not in str(caught.value)  # no address: equal failures give equal messages


def test_formats_that_start_programs_are_not_opened():
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n"
    with pytest.raises(DecodeError):
        decode_outside(eps)


def test_beyond_pillows_own_limit(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(LimitError, match="MAX_IMAGE_PIXELS"):
        decode_outside(encode("PNG"))
