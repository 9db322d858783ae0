"""`PackedSource`: the samples that were packed, whole, in part, by many threads, and through the loader."""

import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packed_cases import N, all_bytes, flip, images, packed

import fieldloom as fl
from fieldloom.errors import ArgumentError, ShardError
from fieldloom.sources import PackedSource, Source, open_source
from fieldloom.sources.packed import packedfiles as files_module
from fieldloom.sources.packed import rowsums
from helpers import FULL, collect, encoded_list, ids_of, pixels


def test_it_is_opened_by_its_path(tmp_path: Path) -> None:
    source = open_source(packed(tmp_path))
    assert isinstance(source, PackedSource)
    assert (source.stored, source.windowed, len(source)) == ("pixels", True, N)
    assert isinstance(open_source(str(packed(tmp_path, "jpeg"))), PackedSource)
    assert open_source(packed(tmp_path, "jpeg", overwrite=True)).stored == "encoded"


def test_windows_are_parts_of_images(tmp_path: Path) -> None:
    wide = pixels(3, 2800, 1)  # a row of more than two blocks of words
    many = [*images(), wide, pixels(1, 1, 2)]
    source = fl.pack((many, [0] * len(many)), tmp_path / "packed", side=0)
    rng = np.random.default_rng(0)
    assert source.sizes(np.arange(len(many))).tolist() == [list(image.shape[:2]) for image in many]
    for i, image in enumerate(many):
        assert np.array_equal(source.pixels(i), image)
        for _ in range(20):
            y, x = (int(rng.integers(0, side)) for side in image.shape[:2])
            h, w = int(rng.integers(1, image.shape[0] - y + 1)), int(rng.integers(1, image.shape[1] - x + 1))
            part = source.window(i, (y, x, h, w))
            assert np.array_equal(part, image[y : y + h, x : x + w])
            assert part.strides[1:] == (3, 1)
    assert len(source.sizes(np.arange(0))) == 0


@pytest.mark.parametrize("rect", [(0, 0, 7, 1), (-1, 0, 1, 1), (0, 0, 0, 1), (0, 8, 1, 2), (0, -1, 1, 1)])
def test_windows_lie_within(tmp_path: Path, rect: tuple[int, int, int, int]) -> None:
    with pytest.raises(ArgumentError, match="6 x 9"):
        PackedSource(packed(tmp_path)).window(0, rect)


def test_only_the_rows_of_a_window_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, read = PackedSource(packed(tmp_path)), []
    real = os.preadv

    def counted(fd: int, buffers: Any, offset: int) -> int:
        read.append(real(fd, buffers, offset))
        return read[-1]

    monkeypatch.setattr(files_module.os, "preadv", counted)
    source.window(1, (2, 3, 4, 2))
    assert sum(read) == 4 * rowsums.row_bytes(8)
    source.sizes(np.arange(N))
    assert len(read) == 1


def test_reads_that_come_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal, or some file systems, may cut a read anywhere."""
    real = os.preadv
    for kind in ("raw", "jpeg"):
        path = packed(tmp_path, kind)
        expected = all_bytes(PackedSource(path))
        with monkeypatch.context() as patch:
            patch.setattr(files_module.os, "preadv", lambda fd, b, at: real(fd, [memoryview(b[0])[:5]], at))
            assert all_bytes(PackedSource(path)) == expected


@given(st.binary(min_size=1, max_size=9000), st.data())
def test_a_changed_byte_changes_the_sum(data: bytes, draw: st.DataObject) -> None:
    def total(content: bytes) -> int:
        padded = content + bytes(-len(content) % 4)
        return rowsums.bytes_sum(np.frombuffer(padded, np.uint32), len(content))

    i = draw.draw(st.integers(0, len(data) - 1))
    other = draw.draw(st.integers(0, 255).filter(lambda value: value != data[i]))
    assert total(data) != total(data[:i] + bytes([other]) + data[i + 1 :])
    assert total(data) != total(data + b"\0")


def test_sums_are_the_published_ones() -> None:
    """The format: sums of words times weights, by plain integers."""
    words = (np.arange(1, 2051) * 2654435761 % 2**32).astype(np.uint32)
    h = 8200
    for first in range(0, 2050, 1024):
        block = words[first : first + 1024].tolist()
        added = sum(w * k for w, k in zip(block, rowsums.WEIGHTS.tolist(), strict=False))
        h = (h * 0xD1342543DE82EF95 + added) % 2**64
    assert rowsums.bytes_sum(words, 8200) == h
    assert rowsums.WEIGHTS[:3].tolist() == [
        0xE220A839 | 1,
        0x6E789E6A | 1,
        0x06C45D18 | 1,
    ]  # SplitMix64 from 0
    assert len(set(rowsums.WEIGHTS.tolist())) == 1024


def test_threads_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "MOST_OPEN", 2)
    path = packed(tmp_path, n=12, file_bytes=1)
    source = PackedSource(path)
    expected = all_bytes(source)
    before = len(os.listdir("/proc/self/fd"))
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            assert [a.tobytes() for a in pool.map(source.pixels, range(12))] == expected
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_files_are_let_go_of(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    source = PackedSource(packed(tmp_path))
    all_bytes(source)
    source.close()
    source.close()
    assert len(os.listdir("/proc/self/fd")) == before
    for read in (lambda: source.pixels(0), lambda: source.sizes(np.arange(1))):
        with pytest.raises(ShardError, match="closed"):
            read()


def test_it_pickles_as_its_path(tmp_path: Path) -> None:
    source = PackedSource(packed(tmp_path))
    again = pickle.loads(pickle.dumps(source))
    assert all_bytes(again) == all_bytes(source)


def test_the_wrong_getter(tmp_path: Path) -> None:
    raw, jpeg = PackedSource(packed(tmp_path)), PackedSource(packed(tmp_path, "jpeg"))
    for call in (lambda: raw.read(0), lambda: jpeg.pixels(0), lambda: jpeg.window(0, (0, 0, 1, 1))):
        with pytest.raises(NotImplementedError):
            call()
    with pytest.raises(IndexError):
        raw.pixels(N)


def test_num_classes(tmp_path: Path) -> None:
    path = packed(tmp_path)
    assert len(PackedSource(path, num_classes=3)) == N
    with pytest.raises(ArgumentError, match="3 classes"):
        PackedSource(path, num_classes=2)
    with pytest.raises(ArgumentError):
        fl.DataLoader(path, num_classes=2, device="cpu")


def test_num_classes_of_rows(tmp_path: Path) -> None:
    source = fl.pack((images(2), [[0, 1, 1], [1, 0, 0]]), tmp_path / "a")
    assert PackedSource(tmp_path / "a", num_classes=3).targets.shape == (2, 3)
    with pytest.raises(ArgumentError, match="rows of 3 numbers"):
        PackedSource(tmp_path / "a", num_classes=4)
    with pytest.raises(ArgumentError, match="rows of 3 numbers"):
        open_source(source, num_classes=4)


@pytest.mark.fault
def test_few_data_files_stay_open_under_a_low_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path, n=24, file_bytes=1)
    monkeypatch.setattr("resource.getrlimit", lambda _: (24, 24))
    before, source = len(os.listdir("/proc/self/fd")), PackedSource(path)
    assert len(all_bytes(source)) == 24
    assert len(os.listdir("/proc/self/fd")) - before <= 6 + 1  # a quarter, and the index


@pytest.mark.parametrize("kind", ["raw", "jpeg"])
def test_batches_are_those_of_what_was_packed(tmp_path: Path, kind: str) -> None:
    plain: Any = (images(23), [i % 3 for i in range(23)]) if kind == "raw" else encoded_list(23)
    fl.pack(plain, tmp_path / "packed", side=0, kind=kind)
    options: dict[str, Any] = {
        "batch_size": 5, "size": 8, "shuffle": True, "augment": FULL, "device": "cpu", "threads": 3,
    }  # fmt: skip
    with fl.DataLoader(plain, **options) as a, fl.DataLoader(tmp_path / "packed", **options) as b:
        for _ in range(2):
            assert collect(a) == collect(b)
        assert [batch.targets.tolist() for batch in a] == [batch.targets.tolist() for batch in b]


@pytest.mark.parametrize("kind", ["raw", "jpeg"])
def test_what_is_not_selected_is_not_read(tmp_path: Path, kind: str) -> None:
    path = packed(tmp_path, kind, n=12)
    source = PackedSource(path)
    selected = [1, 4, 11]
    for i in set(range(12)) - set(selected):
        record = source._files.record(i)
        for at in range(record.offset, record.offset + record.n_bytes):
            flip(path / "data-00000.bin", at, at % 8)
        with pytest.raises(fl.DecodeError):
            source.pixels(i) if kind == "raw" else source.read(i)
    with fl.DataLoader(path, batch_size=2, size=6, device="cpu", threads=2) as loader:
        loader.select(selected)
        assert ids_of(loader) == [[1, 4], [11]]


def test_ranks_share_an_epoch(tmp_path: Path) -> None:
    path, seen = packed(tmp_path, n=13), []
    for rank in range(3):
        with fl.DataLoader(
            path, batch_size=2, size=4, shuffle=True, rank=rank, world_size=3, device="cpu"
        ) as loader:
            seen.append([i for ids in ids_of(loader) for i in ids])
    assert set().union(*map(set, seen)) == set(range(13))
    assert len({len(ids) for ids in seen}) == 1


def test_a_loader_keeps_the_targets_once(tmp_path: Path) -> None:
    source = PackedSource(packed(tmp_path))
    with fl.DataLoader(source, device="cpu", size=4) as loader:
        assert loader.source.targets is source.targets
        assert loader._chooser.signals._targets is source.targets
        assert source.targets.dtype.itemsize == 2


def test_the_base_class_is_the_contract() -> None:
    assert issubclass(PackedSource, Source)
    assert PackedSource.labels_checked
