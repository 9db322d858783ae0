"""Decoding outside DALI, with Pillow: formats that DALI lacks, or that it reads differently.

The result is what DALI's decoder would give: display orientation, RGB, uint8, alpha dropped, the first
frame of an animation. 16-bit gray and float images are scaled to 0..255 (Pillow alone would clip them).
"""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from fieldloom.errors import DecodeError, LimitError
from fieldloom.pipelines.exif import Buffer, orientation

# Only these plugins ever see the bytes: some others start programs (EPS) or read other files. Importing
# registers them; a plugin that is named but not registered would make `Image.open` fail for every file.
_PLUGINS = (
    JpegImagePlugin.JpegImageFile,
    PngImagePlugin.PngImageFile,
    WebPImagePlugin.WebPImageFile,
    TiffImagePlugin.TiffImageFile,
    BmpImagePlugin.BmpImageFile,
    PpmImagePlugin.PpmImageFile,
    Jpeg2KImagePlugin.Jpeg2KImageFile,
    GifImagePlugin.GifImageFile,
    AvifImagePlugin.AvifImageFile,
)
_FORMATS = [plugin.format for plugin in _PLUGINS]
# Pillow opens a JPEG of several pictures as MPO. Some names are nvImageCodec's.
_CODECS = {"MPO": "jpeg", "PPM": "pnm", "JPEG2000": "jpeg2k"}

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_REMEDY = 'Repair or remove the file, or pass on_bad_sample="skip" or "substitute".'


def read_size(data: Buffer) -> tuple[int, int, str, int]:
    """Size and kind of an encoded image from its header; no pixel is decoded.

    Args:
        data: Encoded bytes: any 1-D buffer of uint8.

    Returns:
        Width and height in pixels in display orientation, codec, EXIF orientation.

    Raises:
        DecodeError: No supported format, or its header is damaged.
        LimitError: The header asks for more pixels than Pillow's own limit (178 956 970 by default).
    """
    raw = bytes(data)
    with _open(raw) as image:
        codec = _codec(image)
        turned = orientation(raw, codec)
        width, height = image.size
    # Pillow turns a TIFF by itself, while loading, and its size is already the turned one.
    if turned >= 5 and codec != "tiff":
        width, height = height, width
    return width, height, codec, turned


def decode_outside(data: Buffer, window: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
    """Decode one image with Pillow and cut out a window.

    Args:
        data: Encoded bytes: any 1-D buffer of uint8, its header already checked against `max_pixels`.
        window: (y, x, height, width) in pixels, display orientation; the whole image without it.

    Returns:
        uint8 (height, width, 3), RGB, C-contiguous.

    Raises:
        DecodeError: The bytes are not a decodable image, or the window does not lie within it.
        LimitError: The header asks for more pixels than Pillow's own limit.
    """
    raw = bytes(data)
    with _open(raw) as image:
        codec = _codec(image)
        turned = 1 if codec == "tiff" else orientation(raw, codec)
        try:
            image.load()
            upright = image.transpose(_TRANSPOSE[turned]) if turned in _TRANSPOSE else image
            if window is None:
                y, x, height, width = 0, 0, upright.height, upright.width
            else:
                y, x, height, width = (int(v) for v in window)
            inside = 0 <= y < y + height <= upright.height and 0 <= x < x + width <= upright.width
            if not inside:
                size = f"{upright.height} x {upright.width} pixels"
                why = f"the window {y, x, height, width} does not lie in {size}"
                raise DecodeError.make("cannot decode", why=why, remedy=_REMEDY)
            return to_rgb(upright.crop((x, y, x + width, y + height)))
        except DecodeError:
            raise
        except Exception as error:  # Pillow's plugins raise anything from struct.error to SyntaxError
            raise _decode_error(error) from error


def _open(raw: bytes) -> Image.Image:
    try:
        return Image.open(BytesIO(raw), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise LimitError.make(
            "cannot decode",
            why=f"Pillow refuses its size ({error})",
            remedy="Remove the file, or raise PIL.Image.MAX_IMAGE_PIXELS.",
        ) from error
    except Exception as error:
        raise _decode_error(error) from error


def _codec(image: Image.Image) -> str:
    name = image.format or ""
    return _CODECS.get(name, name.lower())


def _decode_error(error: Exception) -> DecodeError:
    # Pillow names the in-memory file by its address, which would make equal failures differ.
    text = str(error).split("<_io.BytesIO", maxsplit=1)[0].strip() or "no text"
    why = f"Pillow cannot read it ({type(error).__name__}: {text})"
    return DecodeError.make("cannot decode", why=why, remedy=_REMEDY)


def to_rgb(image: Image.Image) -> np.ndarray:
    """Pixels of a loaded image as uint8 (height, width, 3)."""
    if image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.uint32)
        gray = ((wide * 255 + 32767) // 65535).astype(np.uint8)
    elif image.mode == "F":  # 0..1, as DALI takes it; NaN gives 0
        gray = np.rint(np.clip(np.nan_to_num(np.asarray(image), nan=0.0), 0, 1) * 255).astype(np.uint8)
    elif image.mode == "I":
        why = "its pixels are 32-bit integers, whose range is not defined"
        raise DecodeError.make("cannot decode", why=why, remedy="Convert it to 8 or 16 bits.")
    else:
        image.info.pop("transparency", None)  # alpha is dropped; a palette's would only cause a warning
        return np.array(image.convert("RGB"), order="C")
    return np.ascontiguousarray(np.repeat(gray[:, :, None], 3, axis=2))
