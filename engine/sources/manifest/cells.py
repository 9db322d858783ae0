"""One cell of a table (pyarrow) as what it stores: an image's bytes or path, or a value."""

import os
from typing import Any

import numpy as np

from fieldloom.errors import DecodeError

#: Type of a column -> what its cells are.
PATHS, BYTES, STRUCTS = "paths", "bytes", "structs"


def storage_of(kind: Any) -> str | None:
    """How a column of this type stores images: as paths, bytes, or {bytes, path}; None: it cannot."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return PATHS
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return BYTES
    if pa.types.is_struct(kind) and any(field.name in ("bytes", "path") for field in kind):
        return STRUCTS
    return None


def image_in(cell: Any, storage: str) -> np.ndarray | str | None:
    """An image of a cell: its bytes, uint8 (n_bytes,), without a copy; or its path; None: neither.

    Args:
        cell: A pyarrow scalar.
        storage: What `storage_of` says of its column.
    """
    if storage == STRUCTS:
        names = {field.name for field in cell.type} if cell.is_valid else set()
        found = _bytes(cell["bytes"]) if "bytes" in names else None
        if found is None and "path" in names:
            return cell["path"].as_py()
        return found
    return _bytes(cell) if storage == BYTES else cell.as_py()


def _bytes(cell: Any) -> np.ndarray | None:
    buffer = cell.as_buffer() if cell.is_valid else None
    return None if buffer is None else np.frombuffer(buffer, np.uint8)


def value_in(cell: Any) -> Any:
    """A field's value: a number, text, bytes, or an array of numbers."""
    value = cell.as_py()
    if isinstance(value, list) and value and all(isinstance(item, (int, float)) for item in value):
        return np.asarray(value)
    return value


def missing(what: str, sample: int, name: str) -> DecodeError:
    """The error for a sample without bytes."""
    return DecodeError.make(
        "cannot read",
        why=f"it has no {what}",
        remedy='Leave it out, or pass on_bad_sample="skip" or "substitute".',
        sample=sample,
        file=name,
    )


def is_address(path: str) -> bool:
    """Whether a path is of another protocol than that of files ("s3://bucket/x.jpg")."""
    return "://" in path and not os.path.isabs(path)
