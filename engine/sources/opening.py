"""From what a user calls a data set to the source that reads it."""

import os
from collections.abc import Mapping

import numpy as np

from fieldloom.errors import ArgumentError, LabelError
from fieldloom.sources.arrays import ArraySource, as_array
from fieldloom.sources.base import Source, is_source
from fieldloom.sources.encoded import EncodedSource
from fieldloom.sources.folder import FolderSource
from fieldloom.sources.labels import check_labels, check_num_classes
from fieldloom.sources.listing import ListSource
from fieldloom.sources.pairs import split_pairs
from fieldloom.sources.resident import ResidentSource, is_resident

ACCEPTED = (
    "a folder of class folders, tar shards, a packed folder, a CSV, JSONL or Parquet manifest, a list of "
    "(path, label) pairs, a list of (bytes, label) pairs, a pair (images, labels) of uint8 arrays, pairs in "
    "columns, a Hugging Face or map-style torch data set, or a Source"
)

_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
_SHARDS = (".tar",)
_OTHERS = (".tgz", ".gz", ".zip", ".zst", ".h5", ".npz")
#: File that makes a folder a packed data set.
PACKED_MARK = "fieldloom.json"


def open_source(source: object, *, num_classes: int | None = None) -> Source:
    """The source that reads `source`.

    | `source` | becomes |
    |---|---|
    | a `Source`, or an object with its names | itself |
    | a folder, as `str`, `bytes` or path object | `FolderSource` |
    | a .tar, a list of them, a pattern ("train-{000..146}.tar"), or a folder of .tar files | `ShardSource` |
    | a folder that `fieldloom pack` has written | `PackedSource` |
    | a .csv, .tsv, .json, .jsonl or .parquet file | `ManifestSource` |
    | the same with a protocol ("s3://bucket/train") | read through fsspec |
    | `datasets.Dataset` | `HuggingFaceSource` |
    | any other object with `__getitem__` and `__len__` | `MapSource` |
    | tuple (images, labels), where images is an array, a tensor or a list of them | `ArraySource` |
    | the same, where images is a tensor on a GPU | `ResidentSource` |
    | list of dicts such as {"image": ..., "label": ..., "mask": ...} | `MapSource` |
    | list, tuple or (n, 2) array of (path, label), path `str` or path object | `ListSource` |
    | list of (image, label), image a uint8 array | `ArraySource` |
    | the same of (data, label), data `bytes`, `bytearray`, `memoryview` or uint8 array | `EncodedSource` |

    Files and encoded images may come in columns too: ([path, ...], labels). The first entry decides
    between the last three. A label is a class index, or a row of numbers (multi-label), as many for each.
    An empty list is a data set of 0 samples; an empty folder is an error, because nobody means it.

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
    if isinstance(source, (list, tuple)) and len(source) and all(map(_is_shard, source)):
        from fieldloom.sources.shards.source import ShardSource

        return ShardSource(source, num_classes=bound)  # type: ignore[arg-type]
    if isinstance(source, (list, tuple)) or (isinstance(source, np.ndarray) and _holds_pairs(source)):
        return _open_pairs(source, bound)
    if type(source).__module__.partition(".")[0] == "datasets":
        from fieldloom.sources.huggingface import HuggingFaceSource

        return HuggingFaceSource(source, num_classes=bound)
    if _is_map_style(source):
        from fieldloom.sources.mapstyle import MapSource

        return MapSource(source, num_classes=bound)
    raise _not_accepted(source)


def _checked(source: Source, num_classes: int | None) -> Source:
    targets = source.targets
    if getattr(source, "has_masks", False) and not getattr(source, "more", False):
        raise ArgumentError.make(
            f"{type(source).__name__}.has_masks is True, and more is not",
            why="masks come with sample(), which is asked for only then",
            remedy="Set more = True.",
        )
    if targets is None and getattr(source, "more", False):
        return source
    known = isinstance(targets, np.ndarray) and len(targets) == len(source)
    column = targets if isinstance(targets, np.ndarray) else np.zeros(0)
    rows = known and column.ndim == 2 and column.dtype == np.float32
    if not rows and not (known and column.ndim == 1 and column.dtype.kind in "iu"):
        shown = (
            f"{targets.dtype} of shape {targets.shape}"
            if isinstance(targets, np.ndarray)
            else type(targets).__name__
        )
        raise ArgumentError.make(
            f"{type(source).__name__}.targets is {shown}",
            why=f"integers of shape ({len(source)},) or float32 of shape ({len(source)}, k) are needed",
        )
    if rows and num_classes not in (None, column.shape[1]):
        raise ArgumentError.make(
            f"num_classes={num_classes} does not fit",
            why=f"targets are rows of {column.shape[1]} numbers",
            remedy="Correct num_classes, or leave it out.",
        )
    if getattr(source, "labels_checked", False) and (rows or num_classes is None):
        return source
    if not rows:
        check_labels(column, num_classes, source.name)
    elif not np.isfinite(column).all():
        sample = int(np.flatnonzero(~np.isfinite(column).all(axis=1))[0])
        raise LabelError.make(
            f"targets {column[sample].tolist()}", why="they are not finite", sample=sample,
            file=source.name(sample), remedy="Correct them, or leave the sample out.",
        )  # fmt: skip
    return source


def _open_path(path: str | bytes | os.PathLike[str], num_classes: int | None) -> Source:
    """A file or folder, or a pattern of them, by its name and what is there. Imports just what it takes."""
    shown = os.fsdecode(path)
    lowered = shown.lower()
    is_folder = os.path.isdir(path)  # whatever its name ends in
    if lowered.endswith(_TABLES) and not is_folder:
        from fieldloom.sources.manifest.source import ManifestSource

        return ManifestSource(shown, num_classes=num_classes)
    if (lowered.endswith(_SHARDS) and not is_folder) or _holds_shards(shown):
        from fieldloom.sources.shards.source import ShardSource

        return ShardSource(shown, num_classes=num_classes)
    if lowered.endswith(_OTHERS) and os.path.isfile(path):
        raise ArgumentError.make(
            "cannot open",
            why="this kind of archive has no random access",
            remedy=f"Unpack it, or make .tar shards of it. Accepted: {ACCEPTED}.",
            file=shown,
        )
    if os.path.isfile(os.path.join(shown, PACKED_MARK)):
        from fieldloom.sources.packed.source import PackedSource

        return PackedSource(shown, num_classes=num_classes)
    if "://" in shown:
        from fieldloom.sources.remote import open_remote

        return open_remote(shown, num_classes=num_classes)
    source = FolderSource(path)
    if num_classes is not None and len(source.classes or ()) > num_classes:
        raise ArgumentError.make(
            f"num_classes={num_classes} does not fit",
            why=f"there are {len(source.classes or ())} class folders",
            remedy="Correct num_classes, or leave it out.",
            file=shown,
        )
    return source


def _is_shard(path: object) -> bool:
    return isinstance(path, (str, bytes, os.PathLike)) and os.fsdecode(path).lower().endswith(_SHARDS)


def _holds_shards(folder: str) -> bool:
    """Whether a folder has .tar files and no folders; hidden ones do not count."""
    found = False
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    return False
                found = found or entry.name.lower().endswith(_SHARDS)
    except OSError:
        return False
    return found


def _open_pairs(pairs: "list[object] | tuple[object, ...] | np.ndarray", num_classes: int | None) -> Source:
    if len(pairs) and isinstance(pairs[0], Mapping):
        from fieldloom.sources.mapstyle import MapSource

        return MapSource(pairs, num_classes=num_classes)
    first = pairs[0][0] if len(pairs) and _sized(pairs[0]) else None  # type: ignore[index]
    if isinstance(first, np.ndarray) and first.ndim > 1:
        images, labels = split_pairs(pairs)
        return ArraySource(images, labels, num_classes=num_classes)
    encoded = isinstance(first, (bytes, bytearray, memoryview, np.ndarray))
    return (EncodedSource if encoded else ListSource)(pairs, num_classes=num_classes)


def _is_map_style(source: object) -> bool:
    """Whether samples can be asked for by number; a dict's keys are something else."""
    if isinstance(source, (Mapping, np.ndarray)) or as_array(source) is not None:
        return False
    return hasattr(source, "__getitem__") and hasattr(source, "__len__")


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
