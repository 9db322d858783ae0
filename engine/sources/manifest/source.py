"""Manifests: tables that name image files and their labels (CSV, TSV, JSON, Parquet)."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import ArgumentError, ManifestError, UnsafeError
from fieldloom.sources.base import Source
from fieldloom.sources.files import MAX_FILE_BYTES, read_file
from fieldloom.sources.labels import check_num_classes
from fieldloom.sources.manifest.cells import PATHS, image_in, is_address, missing, storage_of, value_in
from fieldloom.sources.manifest.columns import Labeling, targets_of_column, targets_of_columns
from fieldloom.sources.manifest.tables import MAX_TABLE_BYTES, read_table
from fieldloom.sources.roles import IMAGE_NAMES, MASK_NAMES, TARGET_NAMES, find_column
from fieldloom.sources.sample import Sample

if TYPE_CHECKING:
    import pyarrow as pa


class ManifestSource(Source):
    """The images that a table names: `ManifestSource("train.csv")`.

    Sample i is row i, in the file's order. Columns stay pyarrow's: no Python object for a row. Needs
    pyarrow (`pip install "fieldloom[tables]"`).
    """

    stored = "encoded"

    def __init__(
        self,
        path: str | os.PathLike[str],
        image: str | None = None,
        target: str | Sequence[str] | None = None,
        mask: str | None = None,
        root: str | os.PathLike[str] | None = None,
        fields: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        label_separator: str | None = None,
        num_classes: int | None = None,
        max_bytes: int = MAX_FILE_BYTES,
        max_table_bytes: int = MAX_TABLE_BYTES,
    ) -> None:
        """Read the table; no image is opened.

        Args:
            path: A .csv, .tsv, .json, .jsonl (an object a line, or an array of objects) or .parquet file.
            image: Column of the images: paths; or, in Parquet, encoded bytes or {bytes, path}. None takes the
                first of image, img, path, file, filename, filepath and the like, whatever its case.
            target: Column of the targets, see `targets_of_column`; several columns of numbers give rows; ()
                is none. None takes the first of label, target, class, category, y and the like.
            mask: Column of index masks, as `image`; None takes mask, segmentation or seg, if there is one.
            root: Folder that paths are relative to, and may not leave; None: the manifest's, and they may.
            fields: Other columns that batches bring along as `batch.fields`; None takes all, () none.
            classes: Names of the classes in order; None: the names that occur, sorted.
            label_separator: What stands between the labels of one cell ("cat|dog"): targets are rows then.
            num_classes: If given, labels are below it.
            max_bytes: Largest image file that is read.
            max_table_bytes: Largest Parquet file, uncompressed: it is held in memory.

        Raises:
            MissingError: There is no such file; UnsafeError: it is not a regular one.
            ManifestError: The table cannot be read, lacks a column, or a row names no image.
            LabelError: A row has no usable target.
            ArgumentError: Options do not fit each other.
        """
        self._path = os.fsdecode(path)
        folder = os.path.dirname(self._path) if root is None else os.fspath(root)
        self._root, self._confined = os.fsencode(folder), root is not None
        self._max_bytes = max_bytes
        texts = [*IMAGE_NAMES, *MASK_NAMES, *(name.lower() for name in (image, mask) if name)]
        table = read_table(self._path, texts, max_table_bytes)
        self._choose(table, image, target, mask, fields)
        images = self._column(table, self.names["image"])
        self._images, self._image_storage = images, self._storage(images, self.names["image"])
        self._check_paths(images)
        self._masks: pa.ChunkedArray | None = None
        if self.has_masks:
            self._masks = self._column(table, self.names["mask"])
            self._mask_storage = self._storage(self._masks, self.names["mask"])
        self._fields = {name: table.column(name) for name in self._field_names}
        self._label(table, classes, label_separator, check_num_classes(num_classes))
        self.more = self.has_masks or bool(self._fields) or self.targets is None

    def _choose(
        self,
        table: "pa.Table",
        image: str | None,
        target: str | Sequence[str] | None,
        mask: str | None,
        fields: Sequence[str] | None,
    ) -> None:
        """Which column is what."""
        columns = table.column_names
        image = image or find_column(columns, IMAGE_NAMES)
        mask = mask or find_column(columns, MASK_NAMES[:3])
        if target is None:
            target = find_column(columns, TARGET_NAMES)
            if target is None and mask is None:
                raise self._lacks("target", columns, "label", "target=..., or target=() for none")
        if image is None:
            raise self._lacks("image", columns, "image", "image=...")
        self._targets = [target] if isinstance(target, str) else list(target or ())
        roles = [image, *self._targets, *([mask] if mask else [])]
        for name in (*roles, *(fields or ())):
            if name not in columns:
                raise self._error(
                    f"it has no column {name!r}", f"Its columns are {', '.join(map(repr, columns))}."
                )
        self.has_masks = mask is not None
        self.names = {"image": image}
        if isinstance(target, str):
            self.names["target"] = target
        if mask:
            self.names["mask"] = mask
        self._single = isinstance(target, str)
        self._field_names = (
            [name for name in columns if name not in roles] if fields is None else list(fields)
        )

    def _lacks(self, what: str, columns: list[str], example: str, option: str) -> ManifestError:
        shown = ", ".join(map(repr, columns[:20]))
        return self._error(
            f"none of its columns has a customary name for the {what}: they are {shown}",
            f"Pass {option}, or call the column {example!r}; a manifest's first line names its columns.",
        )

    def _error(self, why: str, remedy: str) -> ManifestError:
        return ManifestError.make("cannot use the manifest", why=why, remedy=remedy, file=self._path)

    def _column(self, table: "pa.Table", name: str) -> "pa.ChunkedArray":
        import pyarrow as pa

        column = table.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        return column

    def _storage(self, column: "pa.ChunkedArray", name: str) -> str:
        storage = storage_of(column.type)
        if storage is None:
            raise self._error(
                f"column {name!r} is {column.type}, which is neither paths nor encoded images",
                "Name another column with image=, or mask=.",
            )
        return storage

    def _check_paths(self, images: "pa.ChunkedArray") -> None:
        """Each row names an image; of masks and of bytes a lack is one bad sample."""
        import pyarrow.compute as pc

        if self._image_storage != PATHS:
            return
        empty = pc.index(pc.fill_null(pc.equal(images, ""), True), True).as_py()
        if empty >= 0:
            raise self._error(f"row {empty + 1} has no path in column {self.names['image']!r}", "Remove it.")
        first = images[0].as_py()
        if is_address(first):
            raise self._error(
                f"its paths are addresses ({first})", "Copy the files here, or make shards of them."
            )

    def _label(
        self,
        table: "pa.Table",
        classes: Sequence[str] | None,
        separator: str | None,
        num_classes: int | None,
    ) -> None:
        names = None if classes is None else [str(name) for name in classes]
        if names is not None and (not names or len(set(names)) < len(names)):
            raise ArgumentError.make(
                f"classes={names!r}", why="names of classes differ, and there is at least one"
            )
        if names is not None and num_classes is not None and len(names) > num_classes:
            raise ArgumentError.make(
                f"num_classes={num_classes} does not fit",
                why=f"classes has {len(names)} names",
                remedy="Correct num_classes, or leave it out.",
            )
        if separator == "":
            raise ArgumentError.make("label_separator=''", why="it is empty", remedy='Pass, say, "|".')
        labels = Labeling(self._row, names, num_classes, separator)
        if self._single:
            column = table.column(self._targets[0])
            self.targets, self.classes = targets_of_column(column, labels)
        elif self._targets:
            self.targets, self.classes = targets_of_columns(table, self._targets, labels), self._targets
        else:
            self.targets = None
        self.labels_checked = True

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._images)

    def _row(self, i: int) -> str:
        return f"{self._path}, row {i + 1}"

    def name(self, i: int) -> str:
        """The path of sample `i`; of bytes the manifest, and which of its rows."""
        path = self._images[i].as_py() if self._image_storage == PATHS else None
        return self._row(i) if path is None else os.fsdecode(self._full(path))

    def read(self, i: int) -> NDArray[np.uint8]:
        """The encoded image of sample `i`; see `Source.read`.

        Raises:
            DecodeError, LimitError: As `read_file`.
            UnsafeError: The path leaves `root`.
        """
        return self._read(self._images, self._image_storage, i, "image")

    def sample(self, i: int) -> Sample:
        """Sample `i` with its mask and fields."""
        mask = None
        if self._masks is not None:
            mask = self._read(self._masks, self._mask_storage, i, "mask")
        fields = {name: value_in(column[i]) for name, column in self._fields.items()}
        return Sample(self.read(i), mask=mask, fields=fields)

    def _read(self, column: "pa.ChunkedArray", storage: str, i: int, what: str) -> NDArray[np.uint8]:
        found: Any = image_in(column[i], storage)
        if isinstance(found, str) and found:
            return read_file(self._checked(found, i), i, self._max_bytes)
        if found is None or not len(found):
            raise missing(what, i, self._row(i))
        return found

    def _checked(self, path: str, i: int) -> bytes:
        parts = path.replace("\\", "/").split("/")
        if self._confined and (os.path.isabs(path) or ".." in parts):
            raise UnsafeError.make(
                "refused to read",
                why=f"{path!r} may lie outside root={os.fsdecode(self._root)!r}",
                remedy="Make the path relative, or leave root out.",
                sample=i,
                file=self._row(i),
            )
        if "\0" in path:
            raise missing("usable path: there is a zero byte in it", i, self._row(i))
        return self._full(path)

    def _full(self, path: str) -> bytes:
        return os.path.join(self._root, os.fsencode(path))
