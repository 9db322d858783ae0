"""Masks of pixel ids: decoded so that every id stays what it was."""

import io
from typing import Any

import numpy as np

from fieldloom.errors import ArgumentError, DecodeError, LabelError, LimitError, SampleError

#: Pillow's modes whose values are ids as they stand, and what they become.
_MODES = {"1": np.uint8, "L": np.uint8, "P": np.uint8, "I;16": np.int32, "I;16B": np.int32, "I": np.int32}
#: Formats that keep ids: no JPEG, no WebP, and no PGM, which Pillow scales by the file's largest value.
_FORMATS = ("PNG", "TIFF", "BMP", "GIF")
#: Pillow spreads gray of 2 and 4 bits over 0..255; by these factors, which are taken out again.
_SPREAD = {2: 85, 4: 17}
_TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_DARK_IS_ZERO = 258, 262, 1
_REMEDY = 'Repair it, or pass on_bad_sample="skip" or "substitute".'


def decode_mask(stored: object, height: int, width: int, max_pixels: int) -> np.ndarray:
    """A mask as ids.

    Args:
        stored: An encoded file, uint8 (n_bytes,), of one channel: gray of 8 or 16 bits, or a palette, whose
            indices are the ids (PNG, TIFF, BMP, GIF); or integers (height, width); None: there is none.
        height: Height of the sample's image as displayed; `width` its width.
        width: See `height`.
        max_pixels: Limit of width * height, checked before anything is decoded.

    Returns:
        C-contiguous (height, width): uint8, or int32 where the ids are wider.

    Raises:
        DecodeError: It cannot be decoded, or has colors instead of ids.
        LimitError: It is too large.
        LabelError: There is none, its size is not the image's, or an id is out of range.
        ArgumentError: It is something else.
    """
    if stored is None:
        raise LabelError.make("no mask", why="the others of the data set have one", remedy=_REMEDY)
    if isinstance(stored, np.ndarray) and stored.dtype == np.uint8 and stored.ndim == 1:
        mask = _decode(stored, max_pixels)
    else:
        mask = _checked(stored)
    if mask.shape != (height, width):
        raise LabelError.make(
            f"mask of {mask.shape[0]} x {mask.shape[1]} pixels",
            why=f"the image has {height} x {width} as displayed",
            remedy=_REMEDY,
        )
    return np.ascontiguousarray(mask)


def _decode(data: np.ndarray, max_pixels: int) -> np.ndarray:
    from PIL import Image, ImageOps

    try:
        # Warnings stay on: their filters are the process's, and threads that swap them leave them swapped.
        with Image.open(io.BytesIO(data.data), formats=_FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise LimitError.make(
                    "cannot decode the mask",
                    why=f"it has {image.width} x {image.height} pixels, the limit is {max_pixels}",
                    remedy="Raise max_pixels, or leave the sample out.",
                )
            if image.mode not in _MODES:
                raise DecodeError.make(
                    "cannot use the mask",
                    why=f"its pixels are {image.mode}, and ids are gray or a palette's indices",
                    remedy="Store ids as a gray or palette PNG.",
                )
            image.load()
            spread = _spread(image, data)
            array = np.asarray(ImageOps.exif_transpose(image))
    except SampleError:
        raise
    except Image.DecompressionBombError as error:
        raise LimitError.make(
            "cannot decode the mask",
            why=f"Pillow refuses its size ({error})",
            remedy="Leave the sample out, or raise PIL.Image.MAX_IMAGE_PIXELS.",
        ) from None
    except Exception as error:  # whatever a damaged file makes Pillow raise
        # Pillow names the file in memory by its address, which would make equal failures differ.
        text = str(error).split("<_io.BytesIO", maxsplit=1)[0].strip() or type(error).__name__
        raise DecodeError.make("cannot decode the mask", why=f"Pillow: {text}", remedy=_REMEDY) from None
    ids = array.astype(_MODES[image.mode], copy=False)
    return ids if spread == 1 else ids // np.uint8(spread)


def _spread(image: Any, data: np.ndarray) -> int:
    """By how much Pillow has multiplied the file's gray values."""
    if image.format == "TIFF" and image.mode in ("1", "L"):
        bits = image.tag_v2.get(_TIFF_BITS, (1,))[0]
        if image.tag_v2.get(_TIFF_PHOTOMETRIC, _TIFF_DARK_IS_ZERO) != _TIFF_DARK_IS_ZERO:
            raise DecodeError.make(
                "cannot use the mask",
                why="it is a TIFF whose zero is white, so that its values are no ids",
                remedy="Store ids as a gray or palette PNG.",
            )
        return _SPREAD.get(bits, 1) if image.mode == "L" else 1
    if image.format == "PNG" and image.mode == "L":
        return _SPREAD.get(int(data[24]), 1)  # the header's bit depth, always in this place
    return 1


def _checked(stored: object) -> np.ndarray:
    array = np.asarray(stored)
    if array.ndim != 2 or array.dtype.kind not in "iub":
        raise ArgumentError.make(
            f"a mask of shape {array.shape} and type {array.dtype}",
            why="a mask is integers of shape (height, width), or an encoded file",
            remedy="Return ids, one for each pixel.",
        )
    if array.dtype in (np.uint8, np.bool_, np.int32):
        return array.astype(np.uint8 if array.dtype != np.int32 else np.int32, copy=False)
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    if low < -(2**31) or high >= 2**31:
        raise LabelError.make(
            f"mask with ids from {low} to {high}", why="ids are 32-bit integers", remedy=_REMEDY
        )
    return array.astype(np.int32)
