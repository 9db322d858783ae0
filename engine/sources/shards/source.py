"""WebDataset tar shards, read by index."""

from bisect import bisect_right
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import ArgumentError, DecodeError, FieldloomError, LabelError, LimitError, ShardError
from fieldloom.options import flag
from fieldloom.sources.base import Source
from fieldloom.sources.files import MAX_FILE_BYTES
from fieldloom.sources.labels import MAX_CLASSES, check_num_classes
from fieldloom.sources.sample import Sample
from fieldloom.sources.shards.membervalues import member_value
from fieldloom.sources.shards.shardfile import (
    Region,
    Shard,
    key_of,
    make_index,
    open_shard,
    read_region,
    scan,
)
from fieldloom.sources.shards.shardindex import BadIndexError
from fieldloom.sources.shards.shardlist import Shards, list_shards
from fieldloom.sources.shards.shardsamples import Spec, image_field, mask_field, parse_label
from fieldloom.sources.store import SKIP, changed, is_remote, open_store

#: Remote shards whose index is looked for at once.
_AT_ONCE = 16


class ShardSource(Source):
    """Samples in .tar files by the WebDataset convention, in any order.

    The members of a sample stand together and share their name up to the first dot: `000017.jpg`,
    `000017.cls`, `000017.txt`. What follows is the field. One image field and a label make a sample;
    `seg.png` or `mask.png` is its mask; other fields come along in `batch.fields`, see `member_value`.

    Ids follow the shards as given and the members in them. An index of each shard is made at the first
    opening by looking at its headers alone, and stored beside it or in the cache folder; from then on opening
    reads the labels, and reading a sample is one read of the file. Nothing is ever extracted.

    Attributes:
        paths: The shards.
        n_skipped: Samples that `on_missing="skip"` left out.

    Exactness: A sample is read only if its headers are, to the bit, those of the index, and its label is the
    one in the index. A shard that is written to or replaced while it is open is a `ShardError`.

    Example:
        >>> from fieldloom.sources.shards.source import ShardSource
        >>> ShardSource("no/such-{000..002}.tar")
        Traceback (most recent call last):
        ...
        fieldloom.errors.MissingError: cannot open no/such-000.tar: it does not exist. Check the path.
    """

    stored = "encoded"
    labels_checked = True

    def __init__(
        self,
        shards: Shards,
        *,
        target: str | None = "cls",
        image: str | None = None,
        mask: str | None = None,
        fields: bool = True,
        on_missing: str = "raise",
        num_classes: int | None = None,
        max_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        """Find or make the index of each shard, and read all labels.

        Args:
            shards: A .tar, a list of them, a pattern ("train-{000..146}.tar", "{a,b}.tar"), or a folder of
                .tar files (in the order of their names); local or with a protocol ("s3://...").
            target: Where labels are: "cls", a member of digits; "json:<key>", a whole number under this key
                of the .json member, or a list of class indices (multi-label: `targets` are then rows of 0 and
                1, float32, of `num_classes` columns); None: there are none.
            image: Field of the image; None: the one of IMAGE_FIELDS.
            mask: Field of the mask; None: `seg.png` or `mask.png`, if samples have one.
            fields: Whether other fields come along.
            on_missing: What to do about samples without image, label or mask: "raise" or "skip".
            num_classes: If given, labels are below it.
            max_bytes: Largest sample, all members together, that is read.

        Raises:
            ArgumentError: An option is out of its range.
            MissingError: A shard does not exist.
            ShardError: A shard is damaged, cut, compressed, or a sample of it incomplete.
            UnsafeError: A shard is not a regular file; a member is a link or a device, or its name leads out.
            LabelError: A label is not an integer from 0 to num_classes - 1.
        """
        self._spec = Spec(target, image, mask, on_missing)
        bound = check_num_classes(num_classes)
        fields = flag(self, "fields", fields)
        self.paths = list_shards(shards)
        remote = bool(self.paths) and is_remote(self.paths[0])
        if any(is_remote(path) != remote for path in self.paths):
            raise ArgumentError.make("cannot mix local and remote shards", remedy="Open one kind.")
        self._store = open_store(self.paths[0] if remote else "", max_bytes=max_bytes)
        scanning = open_store(self.paths[0] if remote else "")
        self._shards = _opened(self.paths, lambda path: open_shard(path, scanning, self._spec), remote)
        heads = [shard.head for shard in self._shards]
        self._ends = list(accumulate(head.n for head in heads))
        self.n_skipped = sum(head.n_skipped for head in heads)
        self.has_masks = self._check_masks()
        others = any(head.fields for head in heads)
        self.more = self.has_masks or target is None or (fields and others)
        self._with_fields = fields and others
        self.names = self._names()
        self.targets = None if target is None else self._targets(bound)

    def __len__(self) -> int:
        """Number of samples."""
        return self._ends[-1] if self._ends else 0

    def name(self, i: int) -> str:
        """Shard and key of sample `i`, from the shard itself: "train-000.tar:000017"."""
        shard, local = self._locate(i)
        try:
            key = key_of(shard, shard.rows(self._store, self._spec)[local], self._store)
        except FieldloomError:  # this serves other errors, and shall not hide them
            key = ""
        return f"{shard.path}:{key or f'sample {local} of this shard'}"

    def read(self, i: int) -> NDArray[np.uint8]:
        """The image of sample `i`; see `Source.read`. A view of the bytes of all its members."""
        return self._image(self._region(i), i)

    def sample(self, i: int) -> Sample:
        """Sample `i` with its mask and its other fields."""
        region = self._region(i)
        image, mask = image_field(region.group, self._spec), mask_field(region.group, self._spec)
        sample = Sample(self._image(region, i))
        if self.has_masks and mask is not None:
            sample.mask = region.contents(mask)
        if self._with_fields:
            label = "cls" if self._spec.label_field == "cls" else None
            try:
                sample.fields = {
                    name: member_value(name, region.contents(name))
                    for name in region.group.fields
                    if name not in (image, mask, label)
                }
            except DecodeError as error:
                raise error.located(i, self.name(i)) from None
        return sample

    def verify(self) -> None:
        """Look through all shards once more, and compare count and SHA-256 of their headers with the index.

        Raises:
            ShardError: A shard is damaged, or is not the one that its index was made from.
        """
        store = open_store(self.paths[0]) if self.paths else self._store
        for shard in self._shards:
            found = scan(shard.path, store, self._spec, store.stamp(shard.path))
            if (found.n_members, found.digest) != (shard.head.n_members, shard.head.digest):
                raise ShardError.make(
                    "the shard is not the one of its index",
                    why=f"{found.n_members} members were found and {shard.head.n_members} are in the index, "
                    "or their headers differ",
                    remedy="Open the data set again.",
                    file=shard.path,
                )

    def close(self) -> None:
        """Close the shards; reading opens them again."""
        for path in self.paths:
            self._store.close(path)

    def _locate(self, i: int) -> tuple[Shard, int]:
        if not 0 <= i < len(self):
            raise IndexError(f"sample {i} of {len(self)}")
        place = bisect_right(self._ends, i)
        return self._shards[place], i - (self._ends[place - 1] if place else 0)

    def _region(self, i: int) -> Region:
        shard, local = self._locate(i)
        try:
            row = shard.rows(self._store, self._spec)[local]
            region = read_region(shard, row, self._store, i)
        except (DecodeError, LimitError) as error:
            raise error.located(i, self.name(i)) from None
        self._check_label(region, i)
        return region

    def _image(self, region: Region, i: int) -> NDArray[np.uint8]:
        name = image_field(region.group, self._spec)
        data = region.contents(name) if name is not None else np.empty(0, np.uint8)
        if not len(data):
            raise DecodeError.make(
                "cannot read", why="the image is empty", remedy=SKIP, sample=i, file=self.name(i)
            )
        return data

    def _check_label(self, region: Region, i: int) -> None:
        """The label's member may have been written to without a trace in headers, size and time."""
        name = self._spec.label_field
        if self.targets is None or name is None or self._spec.target is None:
            return
        data = region.contents(name).tobytes()
        if self._spec.target == "cls" and data == str(self.targets[i]).encode():
            return  # what `parse_label` finds as well, at a tenth of the cost
        try:
            label = parse_label(data, self._spec.target, region.group.shown)
        except LabelError as error:
            raise error.located(i, self.name(i)) from None
        known = self.targets[i]
        same = label == known if known.ndim == 0 else label == tuple(np.flatnonzero(known).tolist())
        if not same:
            raise LabelError.make(
                f"label {label} is not the one of the index",
                why=f"that is {known}",
                remedy="Remove the index files (*.fieldloom) and open the data set again.",
                sample=i,
                file=self.name(i),
            )

    def _check_masks(self) -> bool:
        filled = [shard for shard in self._shards if shard.head.n]
        bare = [shard.path for shard in filled if not shard.head.mask]
        if bare and len(bare) < len(filled):
            raise ShardError.make(
                "cannot use the shards together",
                why=f"{len(bare)} of {len(filled)} have no masks",
                remedy="Open those with masks alone, or choose their field with mask=.",
                file=bare[0],
            )
        if filled and bare and self._spec.mask is not None:
            raise ShardError.make(
                "cannot use the shards",
                why=f"no sample has the field {self._spec.mask}",
                remedy="Correct mask=, or leave it out.",
                file=bare[0],
            )
        return bool(filled) and not bare

    def _names(self) -> dict[str, str]:
        head = next((shard.head for shard in self._shards if shard.head.n), None)
        if head is None:
            return {}
        found = {"image": head.image, "mask": head.mask, "target": "cls" * (self._spec.target == "cls")}
        return {ours: theirs for ours, theirs in found.items() if theirs}

    def _targets(self, bound: int | None) -> NDArray[Any]:
        """Labels of all shards in the narrowest type, or rows of zeros and ones."""
        filled = [shard for shard in self._shards if shard.head.n]
        listed = [shard.head.listed for shard in filled]
        if any(listed) and not all(listed):
            raise LabelError.make(
                "labels are not usable",
                why="those of some shards are lists, those of others are numbers",
                remedy="Give all samples the same kind.",
                file=filled[listed.index(not listed[0])].path,
            )
        if any(listed):
            return self._label_rows(bound)
        kinds = [np.dtype(shard.head.label_type) for shard in filled]
        targets = np.empty(len(self), np.result_type(np.uint8, *kinds))
        at = 0
        for shard in self._shards:
            labels = self._labels(shard, bound)[0]
            targets[at : at + len(labels)] = labels
            at += len(labels)
            shard.forget()
        return targets

    def _label_rows(self, bound: int | None) -> NDArray[np.float32]:
        if bound is None:
            raise ArgumentError.make(
                "num_classes=None",
                why="labels are lists of classes, and their rows need a length",
                remedy="Pass num_classes.",
            )
        rows = np.zeros((len(self), bound), np.float32)
        at = 0
        for shard in self._shards:
            labels, counts = self._labels(shard, bound)
            if counts is not None:
                rows[at + np.repeat(np.arange(len(counts)), counts), labels] = 1
            at += shard.head.n
            shard.forget()
        return rows

    def _labels(
        self, shard: Shard, bound: int | None
    ) -> tuple[NDArray[np.unsignedinteger], NDArray[np.uint32] | None]:
        try:
            labels, counts = shard.labels()
            n = len(labels) if counts is None else int(counts.sum())
            if n != len(labels) or (counts is None and n != shard.head.n):
                raise BadIndexError("its columns do not fit together")
        except (OSError, BadIndexError):  # it was replaced, or is damaged behind its head
            anew = make_index(shard.path, open_store(shard.path), self._spec)
            if anew.head.digest != shard.head.digest or anew.scanned is None:
                raise changed(shard.path, shard.head.stamp, anew.head.stamp) from None
            labels, counts = anew.scanned.labels, anew.scanned.counts
        limit = bound or MAX_CLASSES
        if len(labels) and int(labels.max()) >= limit:
            place = int((labels >= limit).argmax())
            local = place if counts is None else int(np.searchsorted(np.cumsum(counts), place, "right"))
            key = key_of(shard, shard.rows(self._store, self._spec)[local], self._store)
            value = int(labels[place])
            raise LabelError.make(
                f"label {value} is not usable for",
                why=f"labels are integers from 0 to {limit - 1}",
                remedy=f"Correct it, or pass num_classes={value + 1} or more.",
                sample=sum(other.head.n for other in self._shards[: self._shards.index(shard)]) + local,
                file=f"{shard.path}:{key}",
            )
        return labels, counts


def _opened(paths: list[str], open_one: Callable[[str], Shard], remote: bool) -> list[Shard]:
    if not remote:
        return [open_one(path) for path in paths]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fieldloom-index") as pool:
        return list(pool.map(open_one, paths))
