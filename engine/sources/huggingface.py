"""Hugging Face data sets with a column of images."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import ArgumentError, SourceError
from fieldloom.sources.base import Source
from fieldloom.sources.files import MAX_FILE_BYTES, read_file
from fieldloom.sources.labels import check_num_classes
from fieldloom.sources.manifest.cells import image_in, is_address, missing, storage_of, value_in
from fieldloom.sources.manifest.columns import Labeling, targets_of_column
from fieldloom.sources.roles import IMAGE_NAMES, MASK_NAMES, TARGET_NAMES, find_column
from fieldloom.sources.sample import Sample

_NO_LABEL = -1


class HuggingFaceSource(Source):
    """A `datasets.Dataset` whose images stay encoded: `HuggingFaceSource(load_dataset("beans")["train"])`.

    Bytes are slices of the data set's memory map; images that are files are read from disk; nothing is
    fetched from a network. Sample i is `dataset[i]`: `select`, `shuffle`, `filter` and `sort` hold. Columns
    that `set_format` or `with_format` leaves out are left out here too; other formatting changes nothing.
    """

    stored = "encoded"

    def __init__(
        self,
        dataset: Any,
        image: str | None = None,
        target: str | tuple[()] | None = None,
        mask: str | None = None,
        num_classes: int | None = None,
        max_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        """Find the columns and read the targets; no image is read.

        Args:
            dataset: A `datasets.Dataset`.
            image: Column of the images; None takes the one of customary name (image, img, ...), else the only
                one of type `Image`.
            target: Column of the targets (`ClassLabel`, integers, text, or lists of them); () is none. None
                takes the one of customary name (label, target, ...), else the only `ClassLabel`. A
                `Sequence(ClassLabel)` gives rows of 0 and 1. Where all labels are -1, there are none.
            mask: Column of index masks; None takes an `Image` called mask, annotation or segmentation.
            num_classes: If given, labels are below it.
            max_bytes: Largest image file that is read.

        Raises:
            ArgumentError: It is a `DatasetDict` or an iterable one, has a transform, or the columns cannot be
                found.
            LabelError: A row has no usable target.
        """
        _refuse(dataset)
        self._columns = list(dataset.format["columns"])
        self._features = dataset.features
        self.names = self._choose(image, target, mask)
        self._fields = [name for name in self._columns if name not in self.names.values()]
        self._max_bytes = max_bytes
        needed = [*self._fields, *(self.names[role] for role in ("image", "mask") if role in self.names)]
        # In format "arrow" a row is a table of slices: nothing is decoded, and no other format is left.
        self._rows = dataset.select_columns(needed).with_format("arrow")
        self._storage: dict[str, str] = {
            role: self._storage_of(self.names[role]) for role in ("image", "mask") if role in self.names
        }
        self.has_masks = "mask" in self.names
        self.targets, self.classes = self._read_targets(dataset, check_num_classes(num_classes))
        self.labels_checked = True
        self.more = self.has_masks or bool(self._fields) or self.targets is None

    def _choose(self, image: str | None, target: str | tuple[()] | None, mask: str | None) -> dict[str, str]:
        pictures = [name for name in self._columns if _is(self._features[name], "Image")]
        labels = [name for name in self._columns if _is(self._features[name], "ClassLabel")]
        if mask is None:
            mask = find_column([name for name in pictures if name != image], MASK_NAMES)
        rest = [name for name in pictures if name != mask]
        image = image or find_column(rest, IMAGE_NAMES) or _only(rest)
        image = image or (find_column(self._columns, IMAGE_NAMES) if not pictures else None)
        if target is None:
            target = find_column(self._columns, TARGET_NAMES) or _only(labels)
            if target is None and mask is None:
                raise self._lacks("target", "target=..., or target=() for none")
        if image is None:
            raise self._lacks("image", "image=...")
        chosen = {
            "image": image,
            **({"target": target} if target else {}),
            **({"mask": mask} if mask else {}),
        }
        for name in chosen.values():
            if name not in self._columns:
                raise self._error(f"it has no column {name!r}", f"It has {self._shown()}.")
        return chosen  # type: ignore[return-value]

    def _shown(self) -> str:
        return ", ".join(f"{name!r} ({type(self._features[name]).__name__})" for name in self._columns[:20])

    def _lacks(self, what: str, option: str) -> ArgumentError:
        return self._error(
            f"it is not plain which column is the {what}: there are {self._shown()}",
            f"Pass HuggingFaceSource(dataset, {option}).",
        )

    def _error(self, why: str, remedy: str) -> ArgumentError:
        return ArgumentError.make("cannot use the Hugging Face data set", why=why, remedy=remedy)

    def _storage_of(self, name: str) -> str:
        kind = self._rows.data.column(name).type
        storage = storage_of(kind)
        if storage is None:
            raise self._error(
                f"column {name!r} is {kind}, which is neither paths nor encoded images",
                "Name another with image= or mask=, or cast_column it to datasets.Image().",
            )
        return storage

    def _read_targets(
        self, dataset: Any, num_classes: int | None
    ) -> tuple[NDArray[Any] | None, list[str] | None]:
        name = self.names.get("target")
        if name is None:
            return None, None
        feature = self._features[name]
        inner = getattr(feature, "feature", None)  # of a Sequence or List
        names = getattr(feature if _is(feature, "ClassLabel") else inner, "names", None)
        classes = None if names is None else list(names)
        column = dataset.select_columns([name]).with_format("arrow")[:].column(name)
        labels = Labeling(self._row, classes, num_classes, indices=_is(inner, "ClassLabel"))
        if _is(feature, "ClassLabel"):
            import pyarrow.compute as pc

            if len(column) and pc.all(pc.equal(pc.fill_null(column, _NO_LABEL), _NO_LABEL)).as_py():
                return None, classes  # how a test split without labels is stored
        if num_classes is not None and classes is not None and len(classes) > num_classes:
            raise ArgumentError.make(
                f"num_classes={num_classes} does not fit",
                why=f"column {name!r} has {len(classes)} classes",
                remedy="Correct num_classes, or leave it out.",
            )
        return targets_of_column(column, labels)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._rows)

    def _row(self, i: int) -> str:
        return f"row {i}"

    def name(self, i: int) -> str:
        """The path of sample `i`, where its row has one, and the row."""
        cell = self._rows[i].column(self.names["image"])[0].as_py()
        path = cell.get("path") if isinstance(cell, dict) else cell
        return path if isinstance(path, str) and os.path.isabs(path) else self._row(i)

    def read(self, i: int) -> NDArray[np.uint8]:
        """The encoded image of sample `i`; see `Source.read`.

        Raises:
            DecodeError, LimitError: As `read_file`, or there are no bytes.
            SourceError: It lies on a network.
        """
        return self._read(self._rows[i], "image", i)

    def sample(self, i: int) -> Sample:
        """Sample `i` with its mask and fields."""
        row = self._rows[i]
        fields = {name: value_in(row.column(name)[0]) for name in self._fields}
        mask = self._read(row, "mask", i) if self.has_masks else None
        return Sample(self._read(row, "image", i), mask=mask, fields=fields)

    def _read(self, row: Any, role: str, i: int) -> NDArray[np.uint8]:
        found = image_in(row.column(self.names[role])[0], self._storage[role])
        if isinstance(found, str) and found:
            if is_address(found):
                raise SourceError.make(
                    "cannot read",
                    why=f"it lies on a network ({found})",
                    remedy="Save the data set with its images embedded (save_to_disk), and load that.",
                    sample=i,
                    file=self._row(i),
                )
            return read_file(os.fsencode(found), i, self._max_bytes)
        if found is None or not len(found):
            raise missing(role, i, self._row(i))
        return found  # type: ignore[return-value]


def _refuse(dataset: Any) -> None:
    """Answer what is not a `datasets.Dataset` in one line."""
    kind = type(dataset).__name__
    if hasattr(dataset, "keys") and hasattr(dataset, "values"):
        splits = ", ".join(map(repr, dataset))
        first = next(iter(dataset), "train")
        why, remedy = f"it holds splits: {splits}", f"Pass one of them: dataset[{first!r}]."
    elif not hasattr(dataset, "format") or not hasattr(dataset, "__len__"):
        why, remedy = "it has no random access", "Load it without streaming=True, or take a list of its rows."
    elif dataset.format["type"] == "custom":
        why = "its transform would not be applied: images stay encoded until they are cropped"
        remedy = "Pass dataset.with_format(None) and augment=, or MapSource(dataset) to keep the transform."
    else:
        return
    raise ArgumentError.make(f"cannot use this {kind}", why=why, remedy=remedy)


def _is(feature: Any, name: str) -> bool:
    return type(feature).__name__ == name and type(feature).__module__.partition(".")[0] == "datasets"


def _only(names: Sequence[str]) -> str | None:
    return names[0] if len(names) == 1 else None
