"""Shards that change or are damaged under the reader: never another sample's bytes."""

import contextlib
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shard_files import contents, image, same_time, sample, write_shards, write_tar

from fieldloom import errors
from fieldloom.sources.shards.source import ShardSource


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_shard_that_was_written_to_is_an_error_of_the_data_set(tmp_path: Path) -> None:
    (path,) = write_shards(tmp_path, 4)
    source = ShardSource(path)
    data = path.read_bytes()
    path.write_bytes(data[:-512])
    with pytest.raises(
        errors.ShardError, match=rf"had {len(data)} bytes when it was opened, and has {len(data) - 512}"
    ):
        source.read(0)
    path.write_bytes(data)
    os.utime(path, ns=(7, 7))
    with pytest.raises(errors.ShardError, match="was written to"):
        source.read(0)
    path.unlink()
    source.close()
    with pytest.raises(errors.DecodeError, match="any more"):
        source.read(0)
    path.write_bytes(data)
    with pytest.raises(errors.ShardError, match="was written to"):
        source.read(0)


def test_another_samples_bytes_are_never_given(tmp_path: Path) -> None:
    (path,) = write_shards(tmp_path, 4)
    source = ShardSource(path)
    before = contents(source)
    data = path.read_bytes()
    rows = source._shards[0].rows(source._store, source._spec)
    at = int(rows["start"][1]) * 512

    def renamed() -> None:  # a valid header of another sample, at the same place and of the same size
        block = bytearray(data[at : at + 512])
        block[:6] = b"000077"
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        path.write_bytes(data[:at] + bytes(block) + data[at + 512 :])

    same_time(path, renamed)
    with pytest.raises(errors.DecodeError, match=rf"sample 1 .*headers at byte {at} are not those") as e:
        source.read(1)
    assert e.value.remedy
    assert [source.read(i).tobytes() for i in (0, 2, 3)] == [before[i] for i in (0, 2, 3)]
    for damage in (bytes(512), b"\xff" * 512, b"x" * 512, data[at + 512 : at + 1024]):
        same_time(path, lambda damage=damage: path.write_bytes(data[:at] + damage + data[at + 512 :]))
        with pytest.raises(errors.DecodeError, match="are not those"):
            source.read(1)
        assert source.name(1).startswith(str(path))
    same_time(path, lambda: path.write_bytes(data))
    assert contents(source) == before
    source.verify()


def test_a_label_that_was_written_to_is_noticed(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", sample(0) + sample(1))
    source = ShardSource(path)
    data = path.read_bytes()
    at = data.rindex(b"000001.cls") + 512
    same_time(path, lambda: path.write_bytes(data[:at] + b"2" + data[at + 1 :]))
    with pytest.raises(errors.LabelError, match=r"label 2 .*sample 1 .*that is 1.*\.fieldloom"):
        source.read(1)
    same_time(path, lambda: path.write_bytes(data[:at] + b"x" + data[at + 1 :]))
    with pytest.raises(errors.LabelError, match=r"label 'x'.*sample 1 "):
        source.read(1)


def test_verify_looks_at_every_header(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, 20)
    source = ShardSource(paths)
    source.verify()
    data = paths[2].read_bytes()
    at = data.index(b"000017.jpg")
    block = bytearray(data[at : at + 512])
    block[100:107] = b"0000600"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    same_time(paths[2], lambda: paths[2].write_bytes(data[:at] + bytes(block) + data[at + 512 :]))
    with pytest.raises(errors.ShardError, match=r"train-002\.tar.*headers differ"):
        source.verify()


def test_samples_larger_than_max_bytes_are_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [*sample(0), *sample(1, {"bin": bytes(9000)})])
    source = ShardSource(path, max_bytes=5000)
    assert source.read(0).tobytes() == image(0)
    with pytest.raises(errors.LimitError, match=r"sample 1 .*:000001.*limit is 5000.*max_bytes"):
        source.read(1)


def test_an_empty_image_is_one_bad_sample(tmp_path: Path) -> None:
    source = ShardSource(write_tar(tmp_path / "a.tar", sample(0, {"jpg": b""})))
    with pytest.raises(errors.DecodeError, match=r"sample 0 .*image is empty"):
        source.read(0)


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_samples_behind_eight_gibibytes(format: int, tmp_path: Path) -> None:
    path, size = tmp_path / "a.tar", 9 << 30
    huge = tarfile.TarInfo("README")
    huge.size = size
    header = huge.tobuf(format)
    tail = write_tar(tmp_path / "tail", sample(7)).read_bytes()
    with open(path, "wb") as file:
        file.write(header)
        file.seek(size, os.SEEK_CUR)  # a hole
        file.write(tail)
    source = ShardSource(path)
    assert contents(source) == [image(7)]
    assert int(source._shards[0].rows(source._store, source._spec)["start"][0]) * 512 > size


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    members = [m for i in range(4) for m in sample(i, {"jpg": bytes([65 + i]) * 700, "txt": f"text {i}"})]
    path = write_tar(root / "a.tar", members, tarfile.PAX_FORMAT)
    ShardSource(path)
    return path


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 12 * 1024), st.integers(0, 255)), min_size=1, max_size=4))
def test_damage_is_a_named_error_or_stays_where_it_is(whole: Path, changes: list[tuple[int, int]]) -> None:
    path, before = whole, whole.read_bytes()
    data = bytearray(before)
    for at, value in changes:
        data[at] = value

    # Under the reader, without a trace in size and time: what is read differs only where the file does.
    source = ShardSource(path)
    same_time(path, lambda: path.write_bytes(data))
    try:
        for i in range(4):
            with contextlib.suppress(errors.SampleError):
                found = source.sample(i)
                start = before.index(bytes([65 + i]) * 700)
                assert found.image.tobytes() == bytes(data[start : start + 700])
                assert i % 3 == source.targets[i]
    finally:
        same_time(path, lambda: path.write_bytes(before))

    # Before it was opened for the first time.
    damaged = path.with_name("damaged.tar")
    damaged.write_bytes(data)
    with contextlib.suppress(errors.FieldloomError):
        fresh = ShardSource(damaged)
        for i in range(len(fresh)):
            with contextlib.suppress(errors.SampleError):
                fresh.sample(i)
    for file in path.parent.glob("damaged*"):
        file.unlink()
