"""Make the index of a shard: one pass over its headers and its labels."""

import hashlib
from array import array
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import LabelError, ShardError
from fieldloom.sources.shards.shardsamples import (
    MAX_LABEL_BYTES,
    Group,
    Label,
    Spec,
    image_field,
    mask_field,
    parse_label,
    split_name,
)
from fieldloom.sources.shards.tarheader import BLOCK, printable
from fieldloom.sources.shards.tarmembers import Member, Window, member_at, members

#: Where each sample stands: block at which its headers begin, blocks until its end, CRC-32 of its headers.
ROW = np.dtype([("start", "<u4"), ("blocks", "<u4"), ("crc", "<u4")])
#: A shard's positions are block numbers of 32 bits.
MAX_SHARD_BYTES = BLOCK << 32
#: Names of other fields are noted up to this many.
_MOST_FIELDS = 256


@dataclass(slots=True)
class Scanned:
    """What a scan found.

    Attributes:
        rows: One ROW a sample.
        labels: Labels one after the other, unsigned, as narrow as they can be; a sample has one, or `counts`.
        counts: Labels of each sample, where they are lists (multi-label); else None.
        n_members: Regular files in the shard.
        digest: SHA-256 of all headers.
        image: Field of the first sample's image ("" without samples).
        mask: Field of the masks, or "".
        fields: Other fields.
        n_skipped: Samples that lack something and were left out.
    """

    rows: NDArray[np.void]
    labels: NDArray[np.unsignedinteger]
    counts: NDArray[np.uint32] | None
    n_members: int
    digest: str
    image: str = ""
    mask: str = ""
    fields: list[str] = field(default_factory=list)
    n_skipped: int = 0


def scan_shard(window: Window, spec: Spec) -> Scanned:
    """Look at every header of a shard, and read its labels.

    Raises:
        ShardError: The archive is damaged, two samples have one name, or a sample lacks its image, its label
            or its mask (`spec.on_missing` can skip those).
        UnsafeError: A member is a link or a device, or its name leads out of the archive.
        LabelError: A label is no class index.
    """
    return _Scan(window, spec).run()


class _Scan:
    def __init__(self, window: Window, spec: Spec) -> None:
        self._window, self._spec = window, spec
        self._rows, self._labels, self._counts = array("I"), array("Q"), array("I")
        self._keys = array("Q")
        self._listed: bool | None = None
        self._unmasked = array("I")
        self._unmasked_name = ""
        self._fields: dict[str, None] = {}
        self._image = self._mask = ""
        self._n_members = self._n_skipped = 0
        self._digest = hashlib.sha256()

    def run(self) -> Scanned:
        if self._window.size > MAX_SHARD_BYTES:
            raise ShardError.make(
                "cannot use",
                why=f"it has {self._window.size} bytes, the limit is {MAX_SHARD_BYTES}",
                remedy="Make smaller shards.",
            )
        group: Group | None = None
        for member in members(self._window):
            self._digest.update(member.headers)
            self._n_members += 1
            parts = split_name(member.name)
            if parts is None:
                continue
            if group is None or parts[0] != group.key:
                self._finish(group)
                group = Group(parts[0])
            group.add(parts[1], member)
            if parts[1] == self._spec.label_field:
                group.label = self._label(group, member)
        self._finish(group)
        return self._result()

    def _label(self, group: Group, member: Member) -> Label:
        if member.size > MAX_LABEL_BYTES:
            raise LabelError.make(
                f"label of {group.shown} is not usable in",
                why=f"its file has {member.size} bytes, the limit is {MAX_LABEL_BYTES}",
                remedy="Correct it, or leave the sample out.",
            )
        data = self._window.at(member.data, member.size)
        return parse_label(data, self._spec.target or "cls", group.shown)

    def _finish(self, group: Group | None) -> None:
        """Take in a sample that is complete."""
        if group is None:
            return
        image = image_field(group, self._spec)
        if image is None:
            return self._lack(group, "an image")
        if self._spec.target is not None:
            if group.label is None:
                return self._lack(group, f"a label ({self._spec.target})")
            self._note_label(group, group.label)
        mask = mask_field(group, self._spec)
        self._image = self._image or image
        self._mask = self._mask or mask or ""
        if mask is None:
            self._unmasked_name = self._unmasked_name or group.shown
            self._unmasked.append(len(self._keys))
        for name in group.fields:
            if name not in (image, mask, self._spec.label_field) and len(self._fields) < _MOST_FIELDS:
                self._fields[name] = None
            elif name == self._spec.label_field != "cls":
                self._fields[name] = None  # JSON is a field, also where it holds the label
        self._rows.extend((group.start // BLOCK, (group.end - group.start) // BLOCK, group.crc))
        digest = hashlib.blake2b(group.key, digest_size=8).digest()
        self._keys.append(int.from_bytes(digest, "little"))

    def _note_label(self, group: Group, label: int | tuple[int, ...]) -> None:
        listed = isinstance(label, tuple)
        if self._listed is not None and listed != self._listed:
            raise LabelError.make(
                f"label {label!r} of {group.shown} is not usable in",
                why="some labels of the shard are lists, others are numbers",
                remedy="Give all samples the same kind.",
            )
        self._listed = listed
        values = label if isinstance(label, tuple) else (label,)
        self._labels.extend(values)
        if listed:
            self._counts.append(len(values))

    def _lack(self, group: Group, what: str) -> None:
        if self._spec.on_missing == "raise":
            remedy = 'Make the shard anew, or pass on_missing="skip".'
            if what.startswith("a label"):
                remedy += (
                    ' Without any labels pass ShardSource(..., target=None); from JSON: target="json:key".'
                )
            raise ShardError.make(
                f"sample {group.shown} lacks {what} in",
                why=f"it has {', '.join(map(printable, group.fields))}",
                remedy=remedy,
            )
        self._n_skipped += 1

    def _result(self) -> Scanned:
        rows = np.frombuffer(self._rows, "<u4").view(ROW) if len(self._rows) else np.empty(0, ROW)
        labels = np.frombuffer(self._labels, np.uint64) if len(self._labels) else np.empty(0, np.uint64)
        counts = np.array(self._counts, np.uint32) if self._listed else None
        self._check_names(rows)
        if self._mask and self._unmasked:
            rows, labels, counts = self._without_unmasked(rows, labels, counts)
        high = int(labels.max()) if len(labels) else 0
        return Scanned(
            rows, labels.astype(np.min_scalar_type(high)), counts, self._n_members, self._digest.hexdigest(),
            self._image, self._mask, list(self._fields), self._n_skipped,
        )  # fmt: skip

    def _without_unmasked(
        self, rows: NDArray[np.void], labels: NDArray[np.uint64], counts: NDArray[np.uint32] | None
    ) -> tuple[NDArray[np.void], NDArray[np.uint64], NDArray[np.uint32] | None]:
        if self._spec.on_missing == "raise":
            raise ShardError.make(
                f"sample {self._unmasked_name} lacks a mask in",
                why=f"others have one ({self._mask})",
                remedy='Make the shard anew, or pass on_missing="skip".',
            )
        kept = np.ones(len(rows), bool)
        kept[np.array(self._unmasked)] = False
        self._n_skipped += len(self._unmasked)
        if counts is not None:
            return rows[kept], labels[np.repeat(kept, counts)], counts[kept]
        return rows[kept], labels[kept] if len(labels) else labels, None

    def _check_names(self, rows: NDArray[np.void]) -> None:
        """Refuse two samples of one name: the parts of a sample must stand together."""
        keys = np.frombuffer(self._keys, np.uint64) if len(self._keys) else np.empty(0, np.uint64)
        order = np.argsort(keys, kind="stable")
        twins = np.flatnonzero(keys[order][1:] == keys[order][:-1])
        for place in twins.tolist():
            first, second = (self._key(rows, int(order[place + i])) for i in (0, 1))
            if first == second:  # and not two names of one hash
                raise ShardError.make(
                    f"two samples are called {printable(first.decode('utf-8', 'surrogateescape'))} in",
                    why="a name stands for one sample, whose members stand together",
                    remedy="Make the shard anew, sorted by name and without duplicates.",
                )

    def _key(self, rows: NDArray[np.void], i: int) -> bytes:
        member = member_at(self._window, int(rows["start"][i]) * BLOCK)
        parts = None if member is None else split_name(member.name)
        return b"" if parts is None else parts[0]
