"""The index of a shard: where it is kept, when it is made anew, and by how many at once."""

import json
import logging
import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from shard_files import image, sample, write_shards, write_tar

from fieldloom.sources.shards.shardfile import open_shard
from fieldloom.sources.shards.shardindex import BadIndexError, cache_folder, load_columns, load_head
from fieldloom.sources.shards.shardsamples import Spec
from fieldloom.sources.shards.source import ShardSource
from fieldloom.sources.store import LocalStore

SHARDFILE = "fieldloom.sources.shards.shardfile"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def opened(path: Path, spec: Spec | None = None):
    return open_shard(str(path), LocalStore(), spec or Spec())


def index_of(path: Path) -> Path:
    (found,) = path.parent.glob(f"{path.name}.*.fieldloom")
    return found


def test_the_index_is_stored_beside_the_shard_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = write_shards(tmp_path, 5)
    made = opened(path)
    index = index_of(path)
    assert index.stat().st_mode & 0o777 == 0o644
    monkeypatch.setattr(f"{SHARDFILE}.scan_shard", lambda *a: pytest.fail("scanned again"))
    again = opened(path)
    assert again.head == made.head
    assert again.head.n == 5
    assert again.head.n_members == 10
    assert again.labels()[0].tolist() == [0, 1, 2, 0, 1]
    assert again.labels()[0].dtype.itemsize == 1
    rows = again.rows(LocalStore(), Spec())
    assert rows.tolist() == made.rows(LocalStore(), Spec()).tolist()
    assert rows["start"][0] == 0
    assert not list(tmp_path.glob(".fieldloom-*"))


def test_a_folder_that_cannot_be_written_puts_the_index_into_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = write_shards(tmp_path / "data", 4)
    real = os.replace

    def refuse(source: str, target: str | Path) -> None:
        if Path(target).parent == path.parent:
            raise PermissionError(13, "read-only file system")
        real(source, target)

    monkeypatch.setattr("os.replace", refuse)
    opened(path)
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name]
    (stored,) = (tmp_path / "cache/fieldloom/shards").iterdir()
    monkeypatch.setattr(f"{SHARDFILE}.scan_shard", lambda *a: pytest.fail("scanned again"))
    assert opened(path).index == stored


def test_an_index_that_cannot_be_stored_at_all_is_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (path,) = write_shards(tmp_path, 4)

    def refuse(*args: object) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr("os.replace", refuse)
    with caplog.at_level(logging.WARNING, "fieldloom"):
        source = ShardSource(path)
    assert "cannot be stored" in caplog.text
    assert [source.read(i).tobytes() for i in range(4)] == [image(i) for i in range(4)]


def test_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/fieldloom"


def test_a_changed_shard_makes_the_index_anew_with_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (path,) = write_shards(tmp_path, 4)
    opened(path)
    write_shards(tmp_path, 6)
    with caplog.at_level(logging.WARNING, "fieldloom"):
        assert opened(path).head.n == 6
    assert [record.message for record in caplog.records] == [
        f"making the index of {path} anew: the shard has changed"
    ]
    caplog.clear()
    os.utime(path, ns=(1, 1))  # the same contents at another time
    assert opened(path).head.n == 6
    assert len(caplog.records) == 1


def damages() -> dict[str, Callable[[bytes], bytes]]:
    def head(data: bytes, change: Callable[[dict], dict]) -> bytes:
        n = int.from_bytes(data[8:12], "little")
        text = json.dumps(change(json.loads(data[16 : 16 + n]))).encode()
        crc = zlib.crc32(text).to_bytes(4, "little")
        return data[:8] + len(text).to_bytes(4, "little") + crc + text + data[16 + n :]

    return {
        "empty": lambda data: b"",
        "cut in front": lambda data: data[:10],
        "cut": lambda data: data[:-1],
        "longer": lambda data: data + b"\0",
        "magic": lambda data: b"X" + data[1:],
        "version": lambda data: data[:7] + b"\x02" + data[8:],
        "bit of the head": lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
        "huge head": lambda data: data[:8] + b"\xff\xff\xff\x7f" + data[12:],
        "no JSON": lambda data: data[:8] + b"\x01\0\0\0" + zlib.crc32(b"x").to_bytes(4, "little") + b"x",
        "negative": lambda data: head(data, lambda h: h | {"n": -1}),
        "many": lambda data: head(data, lambda h: h | {"n": 2**40, "n_labels": 2**40}),
        "type": lambda data: head(data, lambda h: h | {"label_type": "O"}),
        "list": lambda data: head(data, lambda h: [h]),
        "fields": lambda data: head(data, lambda h: h | {"fields": [1]}),
        "labels": lambda data: head(data, lambda h: h | {"n_labels": 3}),
        "missing": lambda data: head(data, lambda h: {"n": 1}),
    }


@pytest.mark.parametrize("name", list(damages()))
def test_a_damaged_index_is_made_anew(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (path,) = write_shards(tmp_path, 4)
    expected = opened(path).head
    index = index_of(path)
    whole = index.read_bytes()
    index.write_bytes(damages()[name](whole))
    with pytest.raises(BadIndexError):
        load_head(index)
    with caplog.at_level(logging.WARNING, "fieldloom"):
        assert opened(path).head == expected
    assert len(caplog.records) == 1
    assert index.read_bytes() == whole


def test_damaged_columns_are_noticed_and_made_anew(tmp_path: Path) -> None:
    (path,) = write_shards(tmp_path, 4)
    head = opened(path).head
    index = index_of(path)
    whole = index.read_bytes()
    n_head = int.from_bytes(whole[8:12], "little") + 16
    for at in (n_head, len(whole) - 1):  # a label; a row
        index.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(BadIndexError, match="checksum"):
            load_columns(index, head, slice(0, 3))
        source = ShardSource(path)
        assert source.targets.tolist() == [0, 1, 2, 0]
        assert [source.read(i).tobytes() for i in range(4)] == [image(i) for i in range(4)]


def test_an_index_that_vanishes_is_made_anew(tmp_path: Path) -> None:
    (path,) = write_shards(tmp_path, 4)
    ShardSource(path)
    source = ShardSource(path)
    index_of(path).unlink()
    assert source.read(3).tobytes() == image(3)


def test_an_index_that_is_no_file_is_passed_over(tmp_path: Path) -> None:
    (path,) = write_shards(tmp_path, 4)
    opened(path)
    index = index_of(path)
    index.unlink()
    os.mkfifo(index)
    assert opened(path).head.n == 4


def test_a_choice_of_fields_has_an_index_of_its_own(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", sample(0, {"json": {"label": 7}}))
    assert opened(path).labels()[0].tolist() == [0]
    assert opened(path, Spec(target="json:label")).labels()[0].tolist() == [7]
    assert opened(path).labels()[0].tolist() == [0]
    assert len(list(tmp_path.glob("*.fieldloom"))) == 2


def test_many_at_once_make_one_index(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, 24)
    with ThreadPoolExecutor(8) as pool:
        heads = list(pool.map(lambda i: opened(paths[i % 3]).head, range(24)))
    assert all(heads[i] == heads[i % 3] for i in range(24))
    assert len(list(tmp_path.iterdir())) == 6
