"""Damaged packed data sets: every flipped bit, cut file and mixed-up part ends in an error with a name."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packed_cases import N, all_bytes, flip, images, packed

import fieldloom as fl
from fieldloom.errors import DecodeError, MissingError, ShardError, UnsafeError
from fieldloom.sources import PackedSource
from fieldloom.sources.packed import rowsums
from fieldloom.sources.packed.packedformat import MAX_META_BYTES, RECORD_BYTES, Record, read_meta
from helpers import check_ledger, ids_of

KINDS = pytest.mark.parametrize("kind", ["raw", "jpeg"])


def reading(source: PackedSource, i: int) -> np.ndarray:
    return source.pixels(i) if source.kind == "raw" else source.read(i)


def test_every_byte_of_fieldloom_json(tmp_path: Path) -> None:
    path = packed(tmp_path)
    before = read_meta(str(path))
    for at in range((path / "fieldloom.json").stat().st_size):
        flip(path / "fieldloom.json", at, at % 8)
        with contextlib.suppress(ShardError):
            assert read_meta(str(path)) == before, f"byte {at}"  # white space for white space
        flip(path / "fieldloom.json", at, at % 8)


@pytest.mark.parametrize("name", ["index.bin", "targets.bin"])
def test_every_byte_of_index_and_targets(tmp_path: Path, name: str) -> None:
    path = packed(tmp_path)
    for at in range((path / name).stat().st_size):
        flip(path / name, at, at % 8)
        with pytest.raises(ShardError, match=name):
            PackedSource(path)
        flip(path / name, at, at % 8)
    PackedSource(path).verify()


@KINDS
def test_every_byte_of_the_data(tmp_path: Path, kind: str) -> None:
    path = packed(tmp_path, kind, n=3)
    data, source = path / "data-00000.bin", PackedSource(path)
    expected = all_bytes(source)
    records = [source._files.record(i) for i in range(3)]
    for at in range(0, data.stat().st_size, 1 if kind == "raw" else 7):
        flip(data, at, at % 8)
        for i, record in enumerate(records):
            if record.offset <= at < record.offset + record.n_bytes:
                with pytest.raises(DecodeError, match=f"sample {i}") as caught:
                    reading(source, i)
                assert "data-00000.bin" in str(caught.value)
            else:
                assert reading(source, i).tobytes() == expected[i]
        flip(data, at, at % 8)
    source.verify()


def test_windows_see_damage_in_their_rows_only(tmp_path: Path) -> None:
    path = packed(tmp_path)
    source, stride = PackedSource(path), rowsums.row_bytes(9)
    flip(path / "data-00000.bin", 3 * stride + 4)
    with pytest.raises(DecodeError, match="row 3 of 6"):
        source.window(0, (1, 5, 4, 2))  # the byte lies beside the window, but what is read is checked
    assert source.window(0, (4, 0, 2, 9)).shape == (2, 9, 3)


def test_a_changed_record_is_seen_whenever_it_is_read(tmp_path: Path) -> None:
    path = packed(tmp_path)
    source = PackedSource(path)
    for at in range(2 * RECORD_BYTES, 3 * RECORD_BYTES):
        flip(path / "index.bin", at, at % 8)
        for read in (lambda: source.pixels(2), lambda: source.sizes(np.arange(N)), source.verify):
            with pytest.raises(ShardError, match=r"index\.bin"):
                read()
        assert source.pixels(1).shape
        flip(path / "index.bin", at, at % 8)
    index = (path / "index.bin").read_bytes()  # whole records in each other's place
    (path / "index.bin").write_bytes(index[32:64] + index[:32] + index[64:])
    with pytest.raises(ShardError, match="sample 0"):
        source.pixels(0)


@KINDS
def test_verify_names_the_damaged_samples(tmp_path: Path, kind: str) -> None:
    path = packed(tmp_path, kind, n=30)
    source, told = PackedSource(path), []
    source.verify(lambda done, total: told.append((done, total)))
    assert told == [(i + 1, 30) for i in range(30)]
    bad = [2, 7, 29]
    for i in bad:
        flip(path / "data-00000.bin", source._files.record(i).offset + 1)
    with pytest.raises(ShardError, match="3 of 30 samples") as caught:
        source.verify()
    assert all(f"{i} (" in str(caught.value) for i in bad)
    for i in set(range(15)) - set(bad):
        flip(path / "data-00000.bin", source._files.record(i).offset + 1)
    with pytest.raises(ShardError, match="and 6 more"):
        source.verify()


def test_rows_and_samples_in_the_wrong_place(tmp_path: Path) -> None:
    """Whole rows with sums that are right for another place."""
    path = packed(tmp_path, n=7)
    source, data = PackedSource(path), path / "data-00000.bin"
    good, stride = data.read_bytes(), rowsums.row_bytes(9)
    data.write_bytes(good[stride : 2 * stride] + good[:stride] + good[2 * stride :])
    with pytest.raises(DecodeError, match="row 0"):
        source.pixels(0)
    first, last = source._files.record(0), source._files.record(6)
    assert (first.height, first.width) == (last.height, last.width)
    piece = good[last.offset : last.offset + first.n_bytes]
    data.write_bytes(piece + good[first.n_bytes :])
    with pytest.raises(DecodeError, match="row 0"):
        source.pixels(0)
    data.write_bytes(bytes(len(good)))  # a hole, as a copy that was cut off leaves it
    with pytest.raises(DecodeError):
        source.pixels(0)


@KINDS
def test_a_data_file_of_another_pack(tmp_path: Path, kind: str) -> None:
    """Of equal size, and whole in itself."""
    here, there = packed(tmp_path, kind), tmp_path / "there"
    other = [255 - image for image in images()]
    fl.pack((other, [0] * N), there, side=0, kind=kind)
    source = PackedSource(here)
    data = (there / "data-00000.bin").read_bytes()
    size = (here / "data-00000.bin").stat().st_size
    (here / "data-00000.bin").write_bytes((data + bytes(size))[:size])
    for i in range(N):
        with pytest.raises((DecodeError, ShardError)):
            reading(source, i)


@pytest.mark.parametrize("name", ["fieldloom.json", "index.bin", "targets.bin", "data-00000.bin"])
@pytest.mark.parametrize("change", ["cut", "longer", "empty", "gone", "folder", "fifo"])
def test_files_that_are_not_what_they_were(tmp_path: Path, name: str, change: str) -> None:
    path = packed(tmp_path)
    file = path / name
    data = file.read_bytes()
    file.unlink()
    if change == "cut":
        file.write_bytes(data[:-1])
    elif change == "longer":
        file.write_bytes(data + b"0")
    elif change == "empty":
        file.write_bytes(b"")
    elif change == "folder":
        file.mkdir()
    elif change == "fifo":
        os.mkfifo(file)
    if (name, change) == ("fieldloom.json", "cut"):  # of its last line break
        assert len(PackedSource(path)) == N
        return
    expected = MissingError if (name, change) == ("fieldloom.json", "gone") else (ShardError, UnsafeError)
    with pytest.raises(expected, match=r"fieldloom\.json" if expected is MissingError else name):
        PackedSource(path)


@KINDS
def test_files_cut_while_they_are_open(tmp_path: Path, kind: str) -> None:
    """A memory map would end the process here."""
    path = packed(tmp_path, kind)
    source = PackedSource(path)
    all_bytes(source)
    data = path / "data-00000.bin"
    os.truncate(data, source._files.record(3).offset + 5)
    assert reading(source, 2).size
    for i in (3, 4):
        with pytest.raises(ShardError, match=f"sample {i} .*the file ends at byte"):
            reading(source, i)
    with pytest.raises(ShardError):
        source.verify()
    os.truncate(path / "index.bin", 40)
    with pytest.raises(ShardError, match=r"index\.bin.*the file ends at byte 40"):
        source.sizes(np.arange(N))
    with pytest.raises(ShardError):
        source.verify()


@KINDS
def test_a_file_cut_during_the_epoch(tmp_path: Path, kind: str) -> None:
    path = packed(tmp_path, kind, n=64)
    with fl.DataLoader(path, batch_size=2, size=4, device="cpu", prefetch=1, on_bad_sample="skip") as loader:
        iterator = iter(loader)
        next(iterator)
        os.truncate(path / "data-00000.bin", 10)
        with pytest.raises(ShardError, match="the file ends at byte"):
            list(iterator)


@KINDS
def test_a_damaged_sample_can_be_skipped(tmp_path: Path, kind: str) -> None:
    path = packed(tmp_path, kind, n=12)
    flip(path / "data-00000.bin", PackedSource(path)._files.record(7).offset + 20, 3)
    options: dict[str, Any] = {"batch_size": 4, "size": 4, "device": "cpu"}
    with fl.DataLoader(path, on_bad_sample="skip", **options) as loader:
        assert ids_of(loader) == [[0, 1, 2, 3], [4, 5, 6], [8, 9, 10, 11]]
        check_ledger(loader)
    with fl.DataLoader(path, **options) as loader, pytest.raises(DecodeError, match="sample 7"):
        list(loader)


def rewritten(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """fieldloom.json changed by somebody who knows how to compute its digest."""
    body = json.loads((path / "fieldloom.json").read_text())
    del body["sha256"]
    change(body)
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    body["sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (path / "fieldloom.json").write_text(json.dumps(body))


def test_a_newer_version(tmp_path: Path) -> None:
    path = packed(tmp_path)
    rewritten(path, lambda body: body.update(version=2))
    with pytest.raises(ShardError, match=r"version 2.*reads up to 1.*pip install"):
        PackedSource(path)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 0}, {"version": "1"}, {"format": "other"}, {"kind": "png"}, {"n": -1}, {"n": True},
        {"n": 6},
        {"n_classes": None}, {"n_classes": -3}, {"target_type": "object"}, {"target_type": "float32"},
        {"target_columns": 1}, {"classes": [1]}, {"names": []}, {"files": {}}, {"data": [["1", 2]]},
        {"data": [[-5, ""]]}, {"skipped": None}, {"extra": 1}, {"files": {"../x": [1, ""]}}, {"n": 10**30},
    ],
    ids=str,
)  # fmt: skip
def test_facts_of_another_type(tmp_path: Path, change: dict[str, Any]) -> None:
    path = packed(tmp_path)
    rewritten(path, lambda body: body.update(change))
    with pytest.raises(ShardError, match=r"fieldloom\.json"):
        PackedSource(path)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 10**5, "\xff", '{"format": 1}'])
def test_what_is_no_fieldloom_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "fieldloom.json").write_text(text, encoding="latin-1")
    with pytest.raises(ShardError):
        PackedSource(tmp_path)


def test_a_huge_fieldloom_json_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "fieldloom.json", "wb") as file:
        file.truncate(MAX_META_BYTES + 1)
    with pytest.raises(ShardError, match="the limit is"):
        PackedSource(tmp_path)


def forged(path: Path, sample: int, **change: int) -> None:
    """A record of lies, with the checksums of all who vouch for it."""
    record = PackedSource(path)._files.record(sample)
    facts = {name: getattr(record, name) for name in ("offset", "n_bytes", "height", "width", "total")}
    with open(path / "index.bin", "r+b") as file:
        file.seek(sample * RECORD_BYTES)
        file.write(Record(**(facts | change)).encoded(sample))
    digest = hashlib.sha256((path / "index.bin").read_bytes()).hexdigest()
    rewritten(path, lambda body: body["files"]["index.bin"].__setitem__(1, digest))


@KINDS
@pytest.mark.parametrize(
    "change",
    [{"offset": 2**63}, {"offset": 10**6}, {"n_bytes": 2**32 - 1}, {"n_bytes": 0}, {"height": 10**6}],
    ids=str,
)
def test_records_of_lies(tmp_path: Path, kind: str, change: dict[str, int]) -> None:
    path = packed(tmp_path, kind)
    forged(path, 1, **change)
    source = PackedSource(path)
    if (kind, "height" in change) != ("jpeg", True):  # a JPEG's own header says how large it is
        with pytest.raises((ShardError, DecodeError)):
            reading(source, 1)
        with pytest.raises(ShardError):
            source.verify()
    assert reading(source, 2).size


def test_verify_leaves_no_byte_unchecked(tmp_path: Path) -> None:
    """Two records of one sample: each reads well, but bytes between others belong to none."""
    path = packed(tmp_path, n=7)
    there = PackedSource(path)._files.record(6)
    forged(path, 0, offset=there.offset, total=there.total)
    source = PackedSource(path)
    assert np.array_equal(source.pixels(0), source.pixels(6))
    with pytest.raises(ShardError, match=r"sample 0 .*begins at"):
        source.verify()


def test_a_label_beyond_the_classes(tmp_path: Path) -> None:
    path = packed(tmp_path)
    rewritten(path, lambda body: body.update(n_classes=2))
    with pytest.raises(ShardError, match="a label is not from 0 to 1"):
        PackedSource(path)


def test_names_do_not_fail(tmp_path: Path) -> None:
    path = packed(tmp_path)
    source = PackedSource(path)
    assert source.name(1).endswith(f"data-00000.bin at byte {source._files.record(1).offset}")
    flip(path / "index.bin", 40)
    assert source.name(1) == str(path)


def test_no_such_data_set(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        PackedSource(tmp_path / "absent")
    shutil.copytree(packed(tmp_path), tmp_path / "copy")
    PackedSource(tmp_path / "copy").verify()


def test_a_data_set_replaced_while_it_is_open_is_no_heap_of_bad_samples(tmp_path: Path) -> None:
    path = packed(tmp_path, file_bytes=1)
    source = PackedSource(path)
    first = source.pixels(0)
    fl.pack((images(N)[::-1], [0] * N), path, side=0, file_bytes=1, overwrite=True).close()
    np.testing.assert_array_equal(source.pixels(0), first)  # its file is still open
    with pytest.raises(ShardError, match=r"data-00002.bin: it was replaced.*Open it again"):
        source.pixels(2)
