"""What the small members beside an image hold: text, JSON, arrays; never a pickle."""

import io
import json
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from fieldloom.errors import DecodeError

_TEXTS = ("txt", "text", "transcript")
#: A number of more digits is no class: its bytes are left as they are.
_MOST_DIGITS = 18
_REMEDY = 'Repair it, or pass on_bad_sample="skip" or "substitute".'


def member_value(field: str, data: NDArray[np.uint8]) -> Any:
    """The value of a field, by the last part of its name.

    `txt`, `text` and `transcript` are UTF-8 text, `cls` is a number where it is digits, `json` is what it
    says, `npy` is an array (not of objects: those are pickles). Anything else is its bytes.

    Args:
        field: Its name ("txt", "caption.txt").
        data: The member's contents, uint8 (n_bytes,).

    Raises:
        DecodeError: It is not what its name says.
    """
    kind = field.rpartition(".")[2]
    plain = data.tobytes()
    if kind == "npy":
        return _array(field, plain)
    if kind == "cls" and plain.strip().isdigit() and len(plain.strip()) <= _MOST_DIGITS:
        return int(plain)
    if kind in _TEXTS or kind == "json":
        try:
            return json.loads(plain) if kind == "json" else plain.decode("utf-8")
        except (ValueError, RecursionError) as error:
            raise _bad(field, str(error)) from None
    return plain


def _array(field: str, data: bytes) -> NDArray[Any]:
    """A .npy file; NumPy's own reader takes memory for whatever shape the header claims."""
    file = io.BytesIO(data)
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, by_columns, dtype = read(file)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, OverflowError, Warning) as error:
        raise _bad(field, str(error)) from None
    rest = len(data) - file.tell()
    n_items = 1
    for length in shape:
        n_items *= int(length)  # True passes for a length, too
    if dtype.hasobject or dtype.itemsize == 0 or min(shape, default=0) < 0:
        raise _bad(field, f"it is an array of {dtype}, and only plain numbers and text are read")
    needed = n_items * dtype.itemsize
    if needed != rest:
        raise _bad(field, f"shape {shape} of {dtype} takes {needed} bytes, and {rest} follow")
    flat = np.frombuffer(data, dtype, n_items, file.tell()).copy()
    return flat.reshape([int(length) for length in shape], order="F" if by_columns else "C")


def _bad(field: str, why: str) -> DecodeError:
    return DecodeError.make(f"cannot read the field {field}", why=why, remedy=_REMEDY)
