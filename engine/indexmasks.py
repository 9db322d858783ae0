"""Masks of pixel ids: decoded so that every id stays what it was."""

import io
import warnings

import numpy as np

from fieldloom.errors import ArgumentError, DecodeError, LabelError, LimitError, SampleError

#: Pillow's modes whose values are ids as they stand, and what they become.
_MODES = {"1": np.uint8, "L": np.uint8, "P": np.uint8, "I;16": np.int32, "I;16B": np.int32, "I": np.int32}
_FORMATS = ("PNG", "TIFF", "BMP", "PPM", "GIF", "WEBP")
_REMEDY = 'Repair it, or pass on_bad_sample="skip" or "substitute".'


def decode_mask(stored: object, height: int, width: int, max_pixels: int) -> np.ndarray:
    """A mask as ids.

    Args:
        stored: An encoded file, uint8 (n_bytes,), of one channel: gray of 8 or 16 bits, or a palette, whose
            indices are the ids; or an integer array (height, width).
        height: Height of the sample's image as displayed; `width` its width.
        width: See `height`.
        max_pixels: Limit of width * height, checked before anything is decoded.

    Returns:
        C-contiguous (height, width): uint8, or int32 where the ids are wider.

    Raises:
        DecodeError: It cannot be decoded, or has colors instead of ids.
        LimitError: It is too large.
        LabelError: Its size is not the image's, or an id is out of range.
    """
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
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
                upright = ImageOps.exif_transpose(image)
                array = np.asarray(upright)
    except SampleError:
        raise
    except Exception as error:  # whatever a damaged file makes Pillow raise
        raise DecodeError.make("cannot decode the mask", why=str(error), remedy=_REMEDY) from None
    return array.astype(_MODES[image.mode], copy=False)


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
