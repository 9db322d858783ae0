"""Tar shards at work: threads, loaders, processes, limits."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from shard_files import image, sample, write_shards, write_tar

import fieldloom as fl
from fieldloom import errors
from fieldloom.sources.descriptors import DESCRIPTORS
from fieldloom.sources.shards.source import ShardSource
from helpers import check_closed, check_ledger, ids_of


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def flat(batches: list[list[int]]) -> list[int]:
    return [i for batch in batches for i in batch]


def test_any_order_from_any_thread(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, 60, each=2)
    source = ShardSource(paths)
    expected = [image(i) for i in range(60)]
    order = np.random.default_rng(0).integers(0, 60, 600).tolist()
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda i: source.read(i).tobytes() == expected[i], order))
    assert len(DESCRIPTORS) <= DESCRIPTORS.limit
    source.close()
    assert not any(os.fsencode(path) in DESCRIPTORS._open for path in paths)


def test_an_epoch_holds_each_sample_once(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, 20)
    with check_closed(slack=len(paths)):
        with fl.DataLoader(paths[0].parent, batch_size=6, size=8, shuffle=True, device="cpu") as loader:
            check_ledger(loader)
            order = ids_of(loader)
            assert sorted(flat(order)) == list(range(20))
            assert flat(order) != list(range(20))
            loader.select([3, 19, 3])
            assert sorted(flat(ids_of(loader))) == [3, 3, 19]
        loader.source.close()


def test_a_damaged_member_is_skipped_and_counted(tmp_path: Path) -> None:
    members = [m for i in range(8) for m in sample(i, {"jpg": b"no image"} if i == 5 else None)]
    path = write_tar(tmp_path / "a.tar", members)
    with fl.DataLoader(path, batch_size=4, size=8, on_bad_sample="skip", device="cpu") as loader:
        assert flat(ids_of(loader)) == [0, 1, 2, 3, 4, 6, 7]
    with (
        fl.DataLoader(path, batch_size=4, size=8, device="cpu") as loader,
        pytest.raises(errors.DecodeError, match=r"sample 5 .*a\.tar:000005"),
    ):
        ids_of(loader)


@pytest.mark.fault
@pytest.mark.slow
def test_a_shard_cut_during_the_epoch_is_an_error_and_no_crash(tmp_path: Path) -> None:
    code = f"""
import os, sys
import fieldloom as fl
from fieldloom import errors
loader = fl.DataLoader({str(tmp_path)!r}, batch_size=2, size=8, threads=2, device="cpu")
try:
    for i, batch in enumerate(loader):
        if i == 1:
            for name in os.listdir({str(tmp_path)!r}):
                if name.endswith(".tar"):
                    os.truncate(os.path.join({str(tmp_path)!r}, name), 1000)
except errors.ShardError as error:
    print("ShardError", "Open the data set again" in str(error))
"""
    write_shards(tmp_path, 60, each=20)
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False
    )
    assert out.returncode == 0, out.stderr
    assert out.stdout.strip() == "ShardError True"


@pytest.mark.fault
@pytest.mark.slow
def test_forty_shards_under_a_limit_of_64_descriptors(tmp_path: Path) -> None:
    write_shards(tmp_path, 80, each=2)
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
import fieldloom as fl
train = fl.DataLoader({str(tmp_path)!r}, batch_size=8, size=8, threads=4, shuffle=True, device="cpu")
val = fl.DataLoader({str(tmp_path)!r}, batch_size=8, size=8, threads=4, device="cpu")
for a, b in zip(train, val):
    pass
print(train.epoch)
"""
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False
    )
    assert out.stdout.strip() == "1", out.stderr


@pytest.mark.fault
@pytest.mark.slow
def test_processes_that_index_at_once_do_not_hurt_each_other(tmp_path: Path) -> None:
    write_shards(tmp_path, 60, each=6)
    code = f"""
from fieldloom.sources.shards.source import ShardSource
source = ShardSource({str(tmp_path)!r})
print(len(source), sum(map(int, source.targets)), sum(len(source.read(i)) for i in range(60)))
"""
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    said = [process.communicate(timeout=100)[0] for process in running]
    assert said == [f"60 60 {sum(len(image(i)) for i in range(60))}\n"] * 4
    assert len(list(tmp_path.iterdir())) == 20  # shards and indices, no temporary file


def test_threads_may_load_a_table_at_once(tmp_path: Path) -> None:
    write_shards(tmp_path, 8)
    ShardSource(tmp_path)
    source, barrier, wrong = ShardSource(tmp_path), threading.Barrier(4), []

    def read() -> None:
        barrier.wait()
        wrong.extend(i for i in range(8) if source.read(i).tobytes() != image(i))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_pixels_are_those_of_the_files(tmp_path: Path) -> None:
    write_shards(tmp_path / "shards", 6)
    listed = []
    for i in range(6):
        (tmp_path / f"{i}.jpg").write_bytes(image(i))
        listed.append((tmp_path / f"{i}.jpg", i % 3))
    recipe = [fl.RandomResizedCrop(), fl.HorizontalFlip()]
    options = {"augment": recipe, "batch_size": 3, "size": 16, "seed": 5, "device": "cpu"}
    with (
        fl.DataLoader(tmp_path / "shards", **options) as one,
        fl.DataLoader(listed, **options) as other,
    ):
        for a, b in zip(one, other, strict=True):
            assert a.images.equal(b.images)
            assert a.targets.equal(b.targets)
