"""Map-style data sets: any object with `__getitem__` and `__len__`, such as torch's."""

import contextlib
import errno
import numbers
import operator
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import ArgumentError, DecodeError, LabelError, LimitError, SourceError, TransformError
from fieldloom.sources.base import Source
from fieldloom.sources.labels import check_num_classes
from fieldloom.sources.listing import ListSource
from fieldloom.sources.parts import Parts, take_apart
from fieldloom.sources.rows import check_targets
from fieldloom.sources.sample import Sample
from fieldloom.sources.stored import is_encoded, is_pillow, stored_image, stored_mask
from fieldloom.sources.torchtables import class_names, listed_files, listed_targets

#: Samples that are looked at while those before them cannot be read.
_LOOKS = 10
_SKIP = 'Repair or remove it, or pass on_bad_sample="skip" or "substitute".'


class MapSource(Source):
    """Images that a data set returns one by one: `MapSource(dataset)`.

    `dataset[i]` is (image, target), an image alone, or a dict whose keys keep their names ("image", "label",
    "mask", and fields). An image is encoded bytes, a path, a PIL image, or uint8 pixels, channels last. Its
    first sample is looked at once, when it is opened, to see which; all others have to be of that kind.

    Targets are known beforehand where the data set lists them (`.targets` or `.labels`, through `Subset` and
    `ConcatDataset` too) as it returns them; selectors that ask for classes need that. A folder data set of
    torchvision without transforms is read file by file, without decoding anything in Python.

    One sample is asked for at a time, since torch's data sets are written for that, unless `parallel`.
    """

    def __init__(
        self, dataset: Any, num_classes: int | None = None, *, listed: bool = True, parallel: bool = False
    ) -> None:
        """Look at the first sample.

        Args:
            dataset: An object with `__getitem__` and `__len__`, or a list of dicts.
            num_classes: If given, labels are below it.
            listed: Whether to take the targets that the data set lists, and the files of a folder data set.
            parallel: Whether `__getitem__` may be called from several threads at once.

        Raises:
            ArgumentError: It returns something else; floats are named with their remedy.
            LabelError: A listed label is not usable.
            SourceError: Its first samples cannot be read.
        """
        self._dataset, self._lock = dataset, None if parallel else threading.Lock()
        self._n, bound = len(dataset), check_num_classes(num_classes)
        self._bound = bound
        first, i = self._look()
        self.classes = class_names(dataset)
        self._encoded = is_encoded(first.image)
        self.stored = "encoded" if self._encoded else "pixels"
        self.names, self.has_masks = first.names, first.mask is not None
        self._labeled, self._whole = first.target is not None, _is_whole(first.target)
        self._files = self._find_files(first, i) if listed else None
        if self._files is not None:
            self.stored, self.targets = "encoded", self._files.targets
        else:
            self.targets = self._find_targets(first, i) if listed else None
        self.labels_checked = True
        self.more = self._files is None and (self.targets is None or self.has_masks or bool(first.fields))

    def _look(self) -> tuple[Parts, int]:
        """The first sample that can be read, and which it is."""
        if not self._n:
            return Parts(b"", 0), 0
        for i in range(min(self._n, _LOOKS)):
            with contextlib.suppress(DecodeError, LimitError):
                first = self._parts(i)
                stored_image(first.image, i)  # refuses what no sample can be
                stored_mask(first.mask, i)
                return first, i
        raise SourceError.make(
            f"cannot use a {type(self._dataset).__name__} as a data set",
            why=f"its first {min(self._n, _LOOKS)} samples cannot be read",
            remedy="See what dataset[0] raises.",
        )

    def _find_files(self, first: Parts, i: int) -> ListSource | None:
        """The files behind a folder data set, if they hold what it returns."""
        if not is_pillow(first.image) or first.names:
            return None
        pairs = listed_files(self._dataset)
        if pairs is None or first.target != pairs[i][1]:
            return None
        from fieldloom.pipelines.outside import decode_outside

        files = ListSource(pairs, num_classes=self._bound)
        try:
            same = np.array_equal(decode_outside(files.read(i)), stored_image(first.image, i))
        except (DecodeError, LimitError):
            return None
        return files if same else None

    def _find_targets(self, first: Parts, i: int) -> NDArray[Any] | None:
        """What the data set lists as targets, if the sample that was looked at has the same."""
        if not self._n:
            return np.zeros(0, np.int64)
        if isinstance(self._dataset, (list, tuple)):
            return self._column(first.names.get("target"))
        column = listed_targets(self._dataset)
        if column is None or not _same(first.target, column[i]):
            return None
        if column.ndim == 1 and (column < 0).any():  # torchvision marks what has no label by -1
            return None
        return check_targets(column, self._bound, self.name)

    def _column(self, key: str | None) -> NDArray[Any] | None:
        """Targets of a list of dicts."""
        for i, row in enumerate(self._dataset):
            if not isinstance(row, Mapping) or (key is not None and key not in row):
                shown = "has no " + repr(key) if isinstance(row, Mapping) else f"is a {type(row).__name__}"
                raise ArgumentError.make(
                    f"entry {i} of the list {shown}",
                    why="all entries are dicts with the same keys",
                    remedy="Give each its image and its label.",
                )
        if key is None:
            return None
        rows: Sequence[object] = [row[key] for row in self._dataset]
        return check_targets(rows, self._bound, self.name)

    def __len__(self) -> int:
        """Number of samples."""
        return self._n

    def name(self, i: int) -> str:
        """The path of sample `i` where a list has it, else which sample of which data set it is."""
        if self._files is not None:
            return self._files.name(i)
        if isinstance(self._dataset, (list, tuple)):
            row = self._dataset[i]
            image = row.get(self.names.get("image")) if isinstance(row, Mapping) else None
            return image if isinstance(image, str) else f"entry {i} of the list"
        return f"{type(self._dataset).__name__}[{i}]"

    def read(self, i: int) -> NDArray[np.uint8]:
        """The encoded image of sample `i`; see `Source.read`."""
        return self.sample(i).image

    def pixels(self, i: int) -> NDArray[np.uint8]:
        """The image of sample `i`; see `Source.pixels`."""
        return self.sample(i).image

    def sample(self, i: int) -> Sample:
        """Sample `i` with all that the data set returned.

        Raises:
            DecodeError: It cannot be read: the data set raised an `OSError`, as of a file that is gone.
            LabelError: It has no target, and the first one had.
            TransformError: It is of another kind than the first.
            SourceError: The process has no file descriptor left.
            Exception: Whatever else the data set raises: a bug is never skipped.
        """
        if self._files is not None:
            return Sample(self._files.read(i))
        try:
            parts = self._parts(i)
            image, mask = stored_image(parts.image, i), stored_mask(parts.mask, i)
        except ArgumentError as error:
            raise TransformError.make(
                error.what, why=error.why, remedy=error.remedy, sample=i, file=self.name(i)
            ) from None
        if is_encoded(parts.image) != self._encoded:
            raise self._another("image", parts.image, i)
        if not self.has_masks and mask is not None:
            raise self._another("mask", parts.mask, i)
        if self.targets is not None and parts.target is not None and not _same(parts.target, self.targets[i]):
            raise ArgumentError.make(
                f"target {parts.target!r}",
                why=f"the data set lists {self.targets[i].tolist()}",
                remedy="Pass MapSource(dataset, listed=False).",
                sample=i,
                file=self.name(i),
            )
        if self.targets is None and (parts.target is not None) != self._labeled:
            raise self._lacks_target(i) if self._labeled else self._another("target", parts.target, i)
        target = None
        if self.targets is None and self._labeled:
            target = self._as_first(parts.target, i)
        if target is not None and self._bound is not None:
            _check_bound(target, self._bound, i, self.name(i))
        return Sample(image, target, mask, parts.fields)

    def _as_first(self, target: Any, i: int) -> Any:
        """A target of the first one's type: batches shall not be int64 now and float32 then."""
        whole = None if self._whole is None else _is_whole(target)
        if self._whole and whole is False:
            raise LabelError.make(
                f"target {target!r}",
                why="the first sample, which shows what the data set returns, has a whole number",
                remedy="Return floats for all samples, or correct it.",
                sample=i,
                file=self.name(i),
            )
        return float(target) if whole and self._whole is False else target

    def _lacks_target(self, i: int) -> LabelError:
        return LabelError.make(
            "no target",
            why="the first sample, which is looked at to see what the data set returns, had one",
            remedy='Label it, leave it out, or pass on_bad_sample="skip" or "substitute".',
            sample=i,
            file=self.name(i),
        )

    def _another(self, what: str, value: object, i: int) -> TransformError:
        return TransformError.make(
            f"{what} is a {type(value).__name__}",
            why="the first sample, which is looked at to see what the data set returns, had none such",
            remedy="Return the same kinds for all samples.",
            sample=i,
            file=self.name(i),
        )

    def _parts(self, i: int) -> Parts:
        """What the data set returns for sample `i`, taken apart."""
        try:
            if self._lock is None:
                found = self._dataset[i]
            else:
                with self._lock:
                    found = self._dataset[i]
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise SourceError.make(
                    "cannot open",
                    why="the process has no file descriptor left",
                    remedy="Raise the limit (`ulimit -n 4096`), or find what keeps files open.",
                    sample=i,
                ) from error
            why = f"the data set raised {type(error).__name__}: {error}"
            raise DecodeError.make("cannot read", why=why, remedy=_SKIP, sample=i) from error
        except Exception as error:
            if type(error).__name__ != "DecompressionBombError":  # by name, since it is Pillow's
                raise
            raise LimitError.make("cannot read", why=str(error), remedy=_SKIP, sample=i) from error
        return take_apart(found, i)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": self._lock is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock() if state["_lock"] else None


def _is_whole(target: Any) -> bool | None:
    """Whether a target is a whole number (True) or another one (False); None: it is no single number."""
    if getattr(target, "ndim", 0):
        return None
    try:
        operator.index(target)
    except TypeError:
        pass
    else:
        return True
    return False if isinstance(target, numbers.Real) or hasattr(target, "dtype") else None


def _check_bound(target: Any, bound: int, i: int, name: str) -> None:
    """A class that comes with its sample is below `num_classes`, and a row has that many numbers."""
    if isinstance(target, (list, tuple)) or getattr(target, "ndim", 0) == 1:
        if len(target) == bound:
            return
        raise LabelError.make(
            f"target of {len(target)} numbers is not usable for",
            why=f"num_classes={bound}, and rows have as many",
            remedy="Correct it, or num_classes.",
            sample=i,
            file=name,
        )
    try:
        label = operator.index(target)
    except TypeError:
        return
    if not 0 <= label < bound:
        raise LabelError.make(
            f"label {label} is not usable for",
            why=f"labels are integers from 0 to {bound - 1}",
            remedy="Correct it, or num_classes.",
            sample=i,
            file=name,
        )


def _same(target: Any, listed: NDArray[Any]) -> bool:
    """Whether a sample's own target is what the data set lists for it."""
    if target is None:
        return False
    if isinstance(target, int):  # the usual case, before arrays are made of it
        return np.ndim(listed) == 0 and target == listed
    if hasattr(target, "detach"):
        target = target.detach().cpu().numpy()
    try:
        own = np.asarray(target)
        return own.dtype.kind in "iubf" and own.shape == np.shape(listed) and bool(np.allclose(own, listed))
    except (TypeError, ValueError):
        return False
