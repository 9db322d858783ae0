"""Data sets in a remote store: lists of addresses, class folders, tar shards; no needless requests."""

import logging
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flaky_store import FlakyFileSystem, flaky_store
from shard_files import image, sample, write_tar

import fieldloom as fl
from fieldloom import errors
from fieldloom.sources import FolderSource, ListSource, RemoteFolderSource, ShardSource, open_source
from helpers import check_ledger, ids_of

N = 10
FOLDER = {
    f"/pets/{name}": data
    for name, data in {
        "cat/2.jpg": image(2), "cat/1.JPEG": image(1), "dog/b/3.png": image(3), "dog/a.jpg": image(4),
        "cat/notes.txt": b"x", ".hidden/5.jpg": b"x", "cat/.6.jpg": b"x", "beside.jpg": b"x",
        "cat-2/7.jpg": image(7), "cat/deep/8.jpg": image(8),
    }.items()
}  # fmt: skip


def shard(root: Path, ids: range, **fields: Any) -> bytes:
    return write_tar(root / "made.tar", [m for i in ids for m in sample(i, fields)]).read_bytes()


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FlakyFileSystem]]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files = FOLDER | {f"/train/{i:03d}.jpg": image(i) for i in range(N)}
    files |= {f"/shards/{k}.tar": shard(tmp_path, range(5 * k, 5 * k + 5)) for k in range(3)}
    with flaky_store(files) as found:
        monkeypatch.setattr("fieldloom.sources.remotestore.time.sleep", found.waits.append)
        yield found


def contents(source: Any) -> list[bytes]:
    return [source.read(i).tobytes() for i in range(len(source))]


# ---------------------------------------------------------------- lists


def test_a_list_of_addresses(fake: type[FlakyFileSystem], tmp_path: Path) -> None:
    (tmp_path / "here.jpg").write_bytes(image(77))
    listed = [(f"flaky://train/{i:03d}.jpg", i % 3) for i in range(N)]
    source = open_source([*listed, (str(tmp_path / "here.jpg"), 0)])
    assert isinstance(source, ListSource)
    assert fake.requests == []
    assert contents(source) == [image(i) for i in range(N)] + [image(77)]
    assert source.name(3) == "flaky://train/003.jpg"
    assert len(fake.requests) == N
    assert contents(pickle.loads(pickle.dumps(source)))[0] == image(0)


def test_addresses_stay_what_they_are() -> None:
    names = ["s3://bucket", "s3://b/x.jpg", "memory://x.jpg", "s3://b//x", "gs://b/a b/c%20d.jpg"]
    source = ListSource([(name, 0) for name in names])
    assert [source.name(i) for i in range(len(names))] == names


def test_a_missing_object_is_one_bad_sample_and_a_store_out_of_reach_is_not(
    fake: type[FlakyFileSystem],
) -> None:
    listed = [(f"flaky://train/{i:03d}.jpg", 0) for i in range(N + 1)]
    options = {"batch_size": 4, "size": 8, "device": "cpu"}
    with fl.DataLoader(listed, on_bad_sample="skip", **options) as loader:
        check_ledger(loader)
        assert [i for batch in ids_of(loader) for i in batch] == list(range(N))
    with (
        fl.DataLoader(listed, **options) as loader,
        pytest.raises(errors.DecodeError, match=r"sample 10 \(flaky://train/010\.jpg\).*does not exist"),
    ):
        ids_of(loader)
    fake.failures[:] = [ConnectionResetError("reset")] * 3 * 20
    with (
        fl.DataLoader(listed, on_bad_sample="skip", **options) as loader,
        pytest.raises(errors.SourceError, match="3 attempts failed"),
    ):
        ids_of(loader)


# ---------------------------------------------------------------- folders


def test_a_folder_has_the_ids_of_its_copy_here(fake: type[FlakyFileSystem], tmp_path: Path) -> None:
    for name, data in FOLDER.items():
        path = tmp_path / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    here, there = FolderSource(tmp_path / "pets"), open_source("flaky://pets/")
    assert isinstance(there, RemoteFolderSource)
    assert there.classes == here.classes == ["cat", "cat-2", "dog"]
    assert there.targets.tolist() == here.targets.tolist()
    local = [here.name(i).removeprefix(f"{tmp_path}/") for i in range(len(here))]
    assert [there.name(i).removeprefix("flaky://") for i in range(len(there))] == local
    assert [request[0] for request in fake.requests] == ["find", "find"]  # for shards, for images
    assert contents(there) == contents(here)


def test_folders_that_cannot_be_used(fake: type[FlakyFileSystem]) -> None:
    with pytest.raises(errors.MissingError, match="flaky://nothing"):
        open_source("flaky://nothing")
    with pytest.raises(errors.SourceError, match=r"10 images lie directly in it.*list of"):
        open_source("flaky://train")
    with pytest.raises(errors.ArgumentError, match="3 class folders"):
        open_source("flaky://pets", num_classes=2)
    assert len(open_source("flaky://pets", num_classes=3).classes or ()) == 3
    fake.failures[:] = [PermissionError(13, "Access Denied")]
    with pytest.raises(errors.SourceError, match=r"Access Denied.*credentials"):
        open_source("flaky://pets")


# ---------------------------------------------------------------- shards


def test_shards_are_read_by_ranges(fake: type[FlakyFileSystem], tmp_path: Path) -> None:
    source = open_source("flaky://shards/{0..2}.tar")
    assert isinstance(source, ShardSource)
    assert source.targets.tolist() == [i % 3 for i in range(15)]
    assert contents(source) == [image(i) for i in range(15)]
    assert source.name(7) == "flaky://shards/1.tar:000007"
    assert sorted(p.suffix for p in (tmp_path / "cache/fieldloom/shards").iterdir()) == [".fieldloom"] * 3

    assert open_source("flaky://shards").paths == source.paths
    assert open_source(source.paths).paths == source.paths
    fake.requests.clear()
    again = pickle.loads(pickle.dumps(ShardSource("flaky://shards/")))
    asked = sorted(fake.requests)
    assert [request[0] for request in asked] == ["find", "info", "info", "info"]  # the index is here
    fake.requests.clear()
    assert again.read(7).tobytes() == image(7)
    ((kind, path, start, end),) = fake.requests
    row = again._shards[1].rows(again._store, again._spec)[2]
    assert (kind, path, start, end - start) == (
        "cat",
        "/shards/1.tar",
        row["start"] * 512,
        row["blocks"] * 512,
    )
    again.verify()
    again.close()


def test_an_index_takes_few_requests(fake: type[FlakyFileSystem]) -> None:
    ShardSource("flaky://shards/0.tar")
    assert [request[0] for request in fake.requests] == ["info", "info", "cat", "info"]


def test_selected_samples_are_all_that_is_asked_for(fake: type[FlakyFileSystem]) -> None:
    with fl.DataLoader("flaky://shards", batch_size=2, size=8, device="cpu") as loader:
        fake.requests.clear()
        loader.select([2, 9])
        assert ids_of(loader) == [[2, 9]]
        assert [(kind, path) for kind, path, *_ in fake.requests] == [
            ("cat", "/shards/0.tar"),
            ("cat", "/shards/1.tar"),
        ]


def test_a_shard_that_changed_there(
    fake: type[FlakyFileSystem], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = ShardSource("flaky://shards/0.tar")
    system = fake()
    system.pipe_file("/shards/0.tar", shard(tmp_path, range(20, 25)))
    with pytest.raises(errors.ShardError, match=r"0\.tar.*Open the data set again"):
        source.read(0)
    with caplog.at_level(logging.WARNING, "fieldloom"):
        assert contents(ShardSource("flaky://shards/0.tar")) == [image(i) for i in range(20, 25)]
    assert "the shard has changed" in caplog.text


def test_a_damaged_or_cut_member_there_is_one_bad_sample(
    fake: type[FlakyFileSystem], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ShardSource("flaky://shards/0.tar")
    whole = source._store.read("flaky://shards/0.tar").tobytes()
    stamp = source._shards[0].head.stamp
    monkeypatch.setattr(fake, "info", lambda self, path: {"size": stamp.size, "ETag": stamp.version})
    row = source._shards[0].rows(source._store, source._spec)[1]
    at = int(row["start"]) * 512
    for damaged in (whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], whole[: at + 600]):
        monkeypatch.setattr(fake, "cat_file", lambda self, path, start, end, d=damaged: d[start:end])
        with pytest.raises(errors.DecodeError, match=r"sample 1 .*are not those"):
            source.read(1)
        assert source.read(0).tobytes() == image(0)


def test_a_shard_that_vanishes_there_is_one_bad_sample_each(fake: type[FlakyFileSystem]) -> None:
    source = ShardSource("flaky://shards/0.tar")
    fake().rm("/shards/0.tar")
    with pytest.raises(errors.DecodeError, match=r"sample 1 .*does not exist"):
        source.read(1)
    with pytest.raises(errors.MissingError, match=r"0\.tar"):
        ShardSource("flaky://shards/0.tar")


def test_pixels_are_those_of_a_local_copy(fake: type[FlakyFileSystem]) -> None:
    options: dict[str, Any] = {"batch_size": 4, "size": 16, "augment": [fl.HorizontalFlip()], "device": "cpu"}
    with (
        fl.DataLoader("flaky://shards", **options) as there,
        fl.DataLoader([(image(i), i % 3) for i in range(15)], **options) as here,
    ):
        for a, b in zip(there, here, strict=True):
            assert a.images.equal(b.images)
            np.testing.assert_array_equal(a.targets, b.targets)
