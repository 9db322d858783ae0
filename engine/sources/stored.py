"""Whatever a data set returns for an image or a mask, as an array: encoded bytes, or pixels."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from fieldloom.errors import ArgumentError, DecodeError
from fieldloom.sources.files import MAX_FILE_BYTES, read_file

_IMAGE = (
    "an image is encoded bytes, a path, a PIL image, or uint8 pixels (height, width), (height, width, 1) or "
    "(height, width, 3)"
)
_SKIP = 'Repair or remove it, or pass on_bad_sample="skip" or "substitute".'


def is_pillow(value: object) -> bool:
    """Whether this is a PIL image (without importing Pillow)."""
    return hasattr(value, "getbands") and type(value).__module__.partition(".")[0] == "PIL"


def is_encoded(value: object) -> bool:
    """Whether `stored_image` gives encoded bytes for it: it is bytes, or names a file."""
    if isinstance(value, (bytes, bytearray, memoryview, str, os.PathLike)):
        return True
    return getattr(value, "ndim", 0) == 1


def stored_image(value: Any, sample: int, max_bytes: int = MAX_FILE_BYTES) -> np.ndarray:
    """An image as a source gives it.

    Args:
        value: Encoded bytes (bytes-like, or uint8 of one axis), a path, a PIL image, or an array or tensor of
            uint8 pixels, channels last.
        sample: The sample id that errors name.
        max_bytes: Largest file that is read.

    Returns:
        uint8: (n_bytes,) of what is encoded, else RGB (height, width, 3). Of PIL images the EXIF orientation
        is applied, and alpha is dropped.

    Raises:
        ArgumentError: It is none of these; floats are named with their remedy.
        DecodeError: The file cannot be read, or Pillow cannot load it.
    """
    if isinstance(value, (str, os.PathLike)):
        return read_file(os.fsencode(value), sample, max_bytes)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _bytes(value, sample)
    if is_pillow(value):
        return _pillow(value, sample)
    array = _array(value)
    if array is None:
        raise ArgumentError.make(
            f"an image that is a {type(value).__name__}", why=_IMAGE, remedy="Return one.", sample=sample
        )
    shape = array.shape
    if array.dtype == np.uint8 and array.ndim == 1:
        return _bytes(array, sample)
    if array.dtype == np.uint8 and 0 not in shape:
        if array.ndim == 2:
            return np.repeat(array[:, :, None], 3, axis=2)
        if array.ndim == 3 and shape[2] in (1, 3):
            return np.repeat(array, 3, axis=2) if shape[2] == 1 else np.ascontiguousarray(array)
    raise ArgumentError.make(
        f"an image of type {array.dtype} and shape {shape}", why=_IMAGE, remedy=_remedy(array), sample=sample
    )


def stored_mask(value: Any, sample: int, max_bytes: int = MAX_FILE_BYTES) -> np.ndarray | None:
    """A mask as a source gives it: an encoded file, uint8 (n_bytes,), or integers (height, width).

    Of a PIL image the ids are its pixels: gray, or indices of a palette; colors are refused.

    Args:
        value: As for `stored_image`, ids for pixels; None: the sample has none.
        sample: The sample id that errors name.
        max_bytes: Largest file that is read.

    Raises:
        ArgumentError: It is no mask.
        DecodeError: The file cannot be read.
    """
    if value is None:
        return None
    if isinstance(value, (str, os.PathLike)):
        return read_file(os.fsencode(value), sample, max_bytes)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _bytes(value, sample)
    array = _loaded(value, np.asarray, sample) if is_pillow(value) else _array(value)
    if array is not None and array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array[0] if array.shape[0] == 1 else array[:, :, 0]
    if array is None or array.dtype.kind not in "iub" or array.ndim not in (1, 2):
        shown = type(value).__name__ if array is None else f"{array.dtype} {array.shape}"
        raise ArgumentError.make(
            f"a mask that is {shown}",
            why="a mask is an encoded file, a gray or palette PIL image, or integers (height, width)",
            remedy="Return ids, one for each pixel.",
            sample=sample,
        )
    return array


def _array(value: Any) -> np.ndarray | None:
    if isinstance(value, np.ndarray):
        return value
    return value.detach().cpu().numpy() if hasattr(value, "detach") else None


def _bytes(value: Any, sample: int) -> np.ndarray:
    data = np.frombuffer(value, np.uint8)
    if not len(data):
        raise DecodeError.make("cannot read", why="there are 0 bytes", remedy=_SKIP, sample=sample)
    return data


def _pillow(image: Any, sample: int) -> np.ndarray:
    from PIL import ImageOps

    from fieldloom.pipelines.outside import to_rgb

    return _loaded(image, lambda loaded: to_rgb(ImageOps.exif_transpose(loaded)), sample)


def _loaded(image: Any, convert: Callable[[Any], np.ndarray], sample: int) -> np.ndarray:
    """What `convert` makes of a PIL image; reading its file is often put off until then."""
    try:
        image.load()
        return convert(image)
    except DecodeError as error:
        raise error.located(sample, None) from None
    except Exception as error:  # Pillow's plugins raise anything from struct.error to SyntaxError
        why = f"Pillow cannot read it ({type(error).__name__}: {error})"
        raise DecodeError.make("cannot decode", why=why, remedy=_SKIP, sample=sample) from None


def _remedy(array: np.ndarray) -> str:
    shape = array.shape
    if array.dtype.kind == "f":
        return (
            "Drop the data set's transform (ToTensor, Normalize and the like): fieldloom crops, augments and "
            "normalizes uint8 images itself."
        )
    if array.ndim == 3 and shape[0] in (1, 3):
        return "Channels come first here: return image.permute(1, 2, 0), or transpose(1, 2, 0) of an array."
    if array.ndim == 3 and shape[2] == 4:
        return "For RGBA return image[..., :3], after blending with a background where it matters."
    return "Convert it to uint8 RGB, channels last."
