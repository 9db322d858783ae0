"""From what a user calls a data set to the source that reads it."""

import os

import numpy as np

from fieldloom.errors import ArgumentError
from fieldloom.sources.arrays import ArraySource, as_array
from fieldloom.sources.base import Source, is_source
from fieldloom.sources.encoded import EncodedSource
from fieldloom.sources.folder import FolderSource
from fieldloom.sources.labels import check_labels, check_num_classes
from fieldloom.sources.listing import ListSource
from fieldloom.sources.pairs import split_pairs
from fieldloom.sources.resident import ResidentSource, is_resident

ACCEPTED = (
    "a folder of class folders, a list of (path, label) pairs, a list of (bytes, label) pairs, "
    "a pair (images, labels) of uint8 arrays, pairs in columns, or a Source"
)

_ARCHIVES = (
    ".tar",
    ".tgz",
    ".gz",
    ".zip",
    ".zst",
    ".csv",
    ".tsv",
    ".json",
    ".jsonl",
    ".parquet",
    ".h5",
    ".npz",
)


def open_source(source: object, *, num_classes: int | None = None) -> Source:
    """The source that reads `source`.

    | `source` | becomes |
    |---|---|
    | a `Source`, or an object with its names | itself |
    | `str`, `bytes` or path object | `FolderSource` |
    | tuple (images, labels), where images is an array, a tensor or a list of them | `ArraySource` |
    | the same, where images is a tensor on a GPU | `ResidentSource` |
    | list, tuple or (n, 2) array of (path, label), path `str` or path object | `ListSource` |
    | list of (image, label), image a uint8 array | `ArraySource` |
    | the same of (data, label), data `bytes`, `bytearray`, `memoryview` or uint8 array | `EncodedSource` |

    Files and encoded images may come in columns too: ([path, ...], labels). The first entry decides
    between the last three. An empty list is a data set of 0 samples; an empty folder is an error, because
    nobody means it.

    Args:
        source: What to open.
        num_classes: If given, labels are below it.

    Raises:
        ArgumentError: `source` is none of these, or `num_classes` is not an integer from 1 on.
        SourceError: The folder cannot be used.
        LabelError: A label is not an integer from 0 to num_classes - 1.
    """
    bound = check_num_classes(num_classes)
    if is_source(source):
        return _checked(source, bound)  # type: ignore[arg-type]
    if isinstance(source, (str, bytes, os.PathLike)):
        return _open_path(source, bound)
    if isinstance(source, tuple) and len(source) == 2 and is_resident(source[0]):
        return ResidentSource(source[0], source[1], num_classes=bound)
    if isinstance(source, tuple) and len(source) == 2 and _holds_images(*source):
        return ArraySource(source[0], source[1], num_classes=bound)
    if isinstance(source, tuple) and len(source) == 2 and _holds_columns(*source):
        return _open_pairs(list(zip(source[0], source[1], strict=True)), bound)
    if isinstance(source, (list, tuple)) or (isinstance(source, np.ndarray) and _holds_pairs(source)):
        return _open_pairs(source, bound)
    raise _not_accepted(source)


def _checked(source: Source, num_classes: int | None) -> Source:
    targets = source.targets
    if not isinstance(targets, np.ndarray) or targets.dtype != np.int64 or targets.shape != (len(source),):
        shown = (
            f"{targets.dtype} of shape {targets.shape}"
            if isinstance(targets, np.ndarray)
            else type(targets).__name__
        )
        raise ArgumentError.make(
            f"{type(source).__name__}.targets is {shown}",
            why=f"an int64 array of shape ({len(source)},) is needed",
        )
    check_labels(targets, num_classes, source.name)
    return source


def _open_path(path: str | bytes | os.PathLike[str], num_classes: int | None) -> Source:
    shown = os.fsdecode(path)
    if os.path.isfile(path) and shown.lower().endswith(_ARCHIVES):
        raise ArgumentError.make(
            "cannot open",
            why="archives and tables are not supported yet",
            remedy=f"Accepted: {ACCEPTED}.",
            file=shown,
        )
    source = FolderSource(path)
    if num_classes is not None and len(source.classes or ()) > num_classes:
        raise ArgumentError.make(
            f"num_classes={num_classes} does not fit",
            why=f"there are {len(source.classes or ())} class folders",
            remedy="Correct num_classes, or leave it out.",
            file=shown,
        )
    return source


def _open_pairs(pairs: "list[object] | tuple[object, ...] | np.ndarray", num_classes: int | None) -> Source:
    first = pairs[0][0] if len(pairs) and _sized(pairs[0]) else None  # type: ignore[index]
    if isinstance(first, np.ndarray) and first.ndim > 1:
        images, labels = split_pairs(pairs)
        return ArraySource(images, labels, num_classes=num_classes)
    encoded = isinstance(first, (bytes, bytearray, memoryview, np.ndarray))
    return (EncodedSource if encoded else ListSource)(pairs, num_classes=num_classes)


def _holds_images(images: object, labels: object) -> bool:
    """Whether a tuple of two is (images, labels), and not two (item, label) pairs."""
    stack = as_array(images)
    if stack is None and isinstance(images, (list, tuple)):
        if not images:
            return isinstance(labels, (list, tuple, np.ndarray)) and len(labels) == 0
        stack = as_array(images[0])
    return stack is not None and (stack.ndim >= 2 or stack.dtype == object)


def _holds_columns(items: object, labels: object) -> bool:
    """Whether a tuple of two is (paths, labels) or (encoded images, labels), and not two pairs."""
    if not isinstance(items, (list, np.ndarray)) or not hasattr(labels, "__len__") or isinstance(labels, str):
        return False
    single = (str, os.PathLike, bytes, bytearray, memoryview)
    first = items[0] if len(items) else None
    if not isinstance(first, single) and not (isinstance(first, np.ndarray) and first.ndim == 1):
        return False
    if len(items) != len(labels):  # type: ignore[arg-type]
        raise ArgumentError.make(
            "items and labels do not match",
            why=f"there are {len(items)} items and {len(labels)} labels",  # type: ignore[arg-type]
            remedy="Pass one label an item.",
        )
    return True


def _holds_pairs(array: "np.ndarray") -> bool:
    return (array.ndim == 2 and array.shape[1] == 2 and array.dtype.kind in "OUS") or array.size == 0


def _sized(row: object) -> bool:
    return isinstance(row, (list, tuple, np.ndarray)) and len(row) > 0


def _not_accepted(source: object) -> Exception:
    remedy = f"Accepted: {ACCEPTED}."
    if isinstance(source, np.ndarray) or as_array(source) is not None:
        remedy = "For images pass (images, labels). " + remedy
    elif isinstance(getattr(source, "samples", None), list):  # torchvision's ImageFolder and its kin
        remedy = "Pass its `.samples`, a list of (path, label) pairs. " + remedy
    return ArgumentError.make(f"cannot use a {type(source).__name__} as a data set", remedy=remedy)
