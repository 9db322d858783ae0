"""Stores: local files and a remote fake, by the same calls and with the same errors."""

import errno
import os
import pickle
import resource
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flaky_store import FlakyFileSystem, flaky_store

from fieldloom import errors
from fieldloom.sources import descriptors, remotestore
from fieldloom.sources.descriptors import Descriptors
from fieldloom.sources.store import LocalStore, Store, is_remote, open_store

FILES = {"/bucket/a.bin": b"0123456789", "/bucket/below/b.bin": b"b", "/bucket/empty": b""}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FlakyFileSystem]]:
    with flaky_store(FILES) as found:
        monkeypatch.setattr("fieldloom.sources.remotestore.time.sleep", found.waits.append)
        yield found


@pytest.fixture(params=["local", "remote"])
def place(request: pytest.FixtureRequest, tmp_path: Path, fake: type[FlakyFileSystem]) -> str:
    """A folder with the same files, here or there."""
    if request.param == "remote":
        return "flaky://bucket"
    for name, data in FILES.items():
        path = tmp_path / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return str(tmp_path / "bucket")


@pytest.fixture
def store(place: str) -> Store:
    return open_store(place)


# ---------------------------------------------------------------- both


def test_whole_objects_and_parts(store: Store, place: str) -> None:
    path = f"{place}/a.bin"
    assert store.read(path).tobytes() == store.read(path, 3).tobytes() == b"0123456789"
    assert store.read_range(path, 2, 3).tobytes() == b"234"
    assert store.read_range(path, 8, 9).tobytes() == b"89"
    assert store.read_range(path, 4, 0).tobytes() == b""
    assert store.size(path) == 10
    assert store.stamp(path) == store.stamp(path)


def test_files_are_listed(store: Store, place: str) -> None:
    assert store.files(place) == ["a.bin", "empty"]
    assert store.files(place, below=True) == ["a.bin", "below/b.bin", "empty"]
    with pytest.raises(errors.MissingError):
        store.files(f"{place}/nowhere")


def test_what_is_gone_is_missing_or_one_bad_sample(store: Store, place: str) -> None:
    path = f"{place}/nothing"
    for call in (lambda s: store.read(path, s), lambda s: store.read_range(path, 0, 1, s)):
        with pytest.raises(errors.MissingError, match="does not exist"):
            call(None)
        with pytest.raises(
            errors.DecodeError, match=r"sample 7 .*nothing.*not exist \(any more\).*on_bad"
        ) as e:
            call(7)
        assert e.value.sample == 7
    with pytest.raises(errors.MissingError):
        store.stamp(path)


def test_an_empty_object_is_refused(store: Store, place: str) -> None:
    with pytest.raises(errors.SourceError, match="empty"):
        store.read(f"{place}/empty")
    with pytest.raises(errors.DecodeError, match="empty"):
        store.read(f"{place}/empty", 1)


def test_nothing_larger_than_max_bytes_is_read(place: str) -> None:
    store = open_store(place, max_bytes=9)
    for call in (
        lambda: store.read(f"{place}/a.bin"),
        lambda: store.read(f"{place}/a.bin", 1),
        lambda: store.read_range(f"{place}/a.bin", 0, 10),
    ):
        with pytest.raises(errors.LimitError, match=r"has 10 bytes, the limit is 9.*max_bytes"):
            call()
    assert open_store(place, max_bytes=10).read(f"{place}/a.bin").size == 10


def test_a_folder_is_no_object(store: Store, place: str) -> None:
    with pytest.raises(errors.SourceError):
        store.read(f"{place}/below")
    with pytest.raises(errors.FieldloomError):
        store.read(f"{place}/below", 1)


def test_stores_pickle(store: Store, place: str) -> None:
    store.read(f"{place}/a.bin")
    assert pickle.loads(pickle.dumps(store)).read(f"{place}/a.bin").tobytes() == b"0123456789"


# ---------------------------------------------------------------- here


def test_what_is_remote() -> None:
    assert [is_remote(path) for path in ("s3://b/x", b"s3://b/x", "/a://b", "a/b", "C:")] == [1, 1, 0, 0, 0]


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.getcwd()
        os.chdir(tmp_path)  # a socket's address is short
        server.bind("socket")
        os.chdir(here)
    for name in ("fifo", "socket"):
        path = str(tmp_path / name)
        for call in (LocalStore().read, lambda p: LocalStore().read(p, 1), LocalStore().stamp):
            with pytest.raises(errors.UnsafeError):
                call(path)
        with pytest.raises(errors.UnsafeError):
            LocalStore().read_range(path, 0, 1)


def test_a_file_that_was_replaced_or_written_to_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"first")
    store = LocalStore()
    stamp = store.stamp(str(path))
    assert store.read_range(str(path), 0, 5, expected=stamp).tobytes() == b"first"
    (tmp_path / "b").write_bytes(b"other")
    os.utime(tmp_path / "b", ns=(5, 5))
    os.replace(tmp_path / "b", path)  # the open descriptor still has the first file: nothing is wrong yet
    assert store.read_range(str(path), 0, 5, expected=stamp).tobytes() == b"first"
    now = store.stamp(str(path))
    assert store.read_range(str(path), 0, 5, expected=now).tobytes() == b"other"
    with pytest.raises(errors.ShardError, match=r"was written to.*Open the data set again"):
        store.read_range(str(path), 0, 5, expected=stamp)
    path.write_bytes(b"longer than before")
    with pytest.raises(errors.ShardError, match="had 5 bytes when it was opened, and has 18"):
        store.read_range(str(path), 0, 5, expected=now)


def test_descriptors_stay_few_and_are_used_again(tmp_path: Path) -> None:
    some = Descriptors(3)
    paths = [tmp_path / str(i) for i in range(8)]
    for path in paths:
        path.write_bytes(path.name.encode())

    def read(path: Path) -> bytes:
        with some.borrow(bytes(path)) as fd:
            return os.pread(fd, 10, 0)

    for _ in range(2):
        assert [read(path) for path in paths] == [path.name.encode() for path in paths]
        assert len(some) == 3
    with some.borrow(bytes(paths[7])) as fd:
        first = fd
    with some.borrow(bytes(paths[7])) as fd:
        assert fd == first
        some.drop(bytes(paths[7]))
        assert os.pread(fd, 1, 0) == b"7"  # open for who has it
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(first)
    some.drop(bytes(paths[7]))
    for path in paths:
        some.drop(bytes(path))
    assert len(some) == 0


def test_descriptors_in_use_are_never_closed(tmp_path: Path) -> None:
    some = Descriptors(2)
    paths = [tmp_path / str(i) for i in range(9)]
    for path in paths:
        path.write_bytes(path.name.encode() * 1000)
    before = len(os.listdir("/proc/self/fd"))

    def read(i: int) -> bool:
        with some.borrow(bytes(paths[i % 9])) as fd:
            return os.pread(fd, 1000, 0) == paths[i % 9].name.encode() * 1000

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(4000)))
    assert len(some) <= 2
    for path in paths:
        some.drop(bytes(path))
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_process_without_descriptors_closes_idle_ones_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = Descriptors(8)
    for name in "abc":
        (tmp_path / name).write_bytes(b"x")
    with some.borrow(bytes(tmp_path / "a")), some.borrow(bytes(tmp_path / "b")):
        pass
    real, refusals = os.open, [OSError(errno.EMFILE, "too many"), None]

    def limited(*args: object, **options: object) -> int:
        error = refusals.pop(0)
        if error is not None:
            raise error
        assert len(some) == 0
        return real(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(descriptors.os, "open", limited)
    with some.borrow(bytes(tmp_path / "c")) as fd:
        assert os.pread(fd, 1, 0) == b"x"
    monkeypatch.undo()

    def refuse(*args: object) -> int:
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(descriptors.os, "open", refuse)
    with pytest.raises(errors.SourceError, match="ulimit -n"):
        LocalStore().read_range(str(tmp_path / "c"), 0, 1)


def test_the_limit_follows_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, expected in [(64, 16), (1024, 32), (resource.RLIM_INFINITY, 32), (3, 1)]:
        monkeypatch.setattr(descriptors.resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert descriptors.most_open(descriptors.MOST_OPEN) == expected


def test_a_child_process_is_not_locked_out(tmp_path: Path) -> None:
    some = Descriptors(2)
    (tmp_path / "a").write_bytes(b"x")
    with some.borrow(bytes(tmp_path / "a")):
        some._lock.acquire()  # as a fork finds it whose parent is busy in another thread
        some.after_fork()
        assert not some._lock.locked()
        done = threading.Thread(target=some.drop, args=(bytes(tmp_path / "a"),))
        done.start()
        done.join(10)
        assert not done.is_alive()
        assert len(some) == 0
        (tmp_path / "a").unlink()
    # The block's end gives back what `drop` has closed already: nothing happens.


# ---------------------------------------------------------------- there


def test_one_object_is_one_request(fake: type[FlakyFileSystem]) -> None:
    store = open_store("flaky://bucket", max_bytes=100)
    store.read("flaky://bucket/a.bin", 1)
    assert fake.requests == [("cat", "/bucket/a.bin", 0, 101)]
    fake.requests.clear()
    store.read_range("flaky://bucket/a.bin", 3, 4)
    assert fake.requests == [("cat", "/bucket/a.bin", 3, 7)]


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError("slow"),
        ConnectionResetError("reset"),
        OSError(5, "io"),
        type("ClientConnectError", (Exception,), {})(),
    ],
)
def test_what_may_pass_is_tried_three_times(error: Exception, fake: type[FlakyFileSystem]) -> None:
    store = open_store("flaky://bucket")
    fake.failures[:] = [error, error]
    assert store.read("flaky://bucket/a.bin", 1).tobytes() == b"0123456789"
    assert len(fake.requests) == 3
    assert fake.waits == [remotestore.FIRST_WAIT_S, 2 * remotestore.FIRST_WAIT_S]
    fake.failures[:] = [error] * 3
    with pytest.raises(
        errors.SourceError, match=rf"3 attempts failed, the last with {type(error).__name__}.*network"
    ):
        store.read("flaky://bucket/a.bin", 1)
    assert len(fake.requests) == 6


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "Access Denied"), "Access Denied.*credentials"),
        (
            type("NoCredentialsError", (Exception,), {})("Unable to locate credentials"),
            "locate cred.*credentials",
        ),
        (FileNotFoundError("x"), "does not exist"),
    ],
)
def test_what_lasts_is_not_tried_again(error: Exception, message: str, fake: type[FlakyFileSystem]) -> None:
    fake.failures[:] = [error]
    with pytest.raises(errors.SourceError, match=message):
        open_store("flaky://bucket").read("flaky://bucket/a.bin")
    assert len(fake.requests) == 1
    assert fake.waits == []


def test_stamps_of_another_version_differ(
    fake: type[FlakyFileSystem], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store("flaky://bucket")
    first = store.stamp("flaky://bucket/a.bin")
    assert first.version
    for key in ("ETag", "LastModified"):
        monkeypatch.setattr(fake, "info", lambda self, path, key=key: {"size": 10, key: "v2"})
        assert store.stamp("flaky://bucket/a.bin").version == "v2" != first.version
    for info, message in [
        ({"size": None}, "does not say its size"),
        ({"size": 0, "type": "directory"}, "folder"),
    ]:
        monkeypatch.setattr(fake, "info", lambda self, path, info=info: info)
        with pytest.raises(errors.SourceError, match=message):
            store.stamp("flaky://bucket/a.bin")


def test_a_store_without_ranges_is_refused(
    fake: type[FlakyFileSystem], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "cat_file", lambda self, path, start=None, end=None: b"0123456789")
    with pytest.raises(errors.SourceError, match=r"4 bytes were asked for and 10 came.*range requests"):
        open_store("flaky://bucket").read_range("flaky://bucket/a.bin", 3, 4)


def test_an_unknown_protocol_and_a_missing_package_name_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.SourceError, match=r"nosuch.*Check the protocol"):
        open_store("nosuch://x").read("nosuch://x/y")

    def absent(*args: object) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", absent)
    with pytest.raises(errors.SourceError, match=r"Install s3fs.*pip install s3fs"):
        open_store("s3://x").read("s3://x/y", 1)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(errors.SourceError, match=r"need fsspec.*pip install fieldloom\[remote\]"):
        open_store("s3://x").read("s3://x/y")
