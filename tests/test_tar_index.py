"""Tar archives by their headers: every way to be damaged, cut or unsafe; and the index that is kept."""

import io
import itertools
import json
import logging
import os
import tarfile
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shard_files import image, sample, write_shards, write_tar

from fieldloom import errors
from fieldloom.sources.shardfile import open_shard
from fieldloom.sources.shardindex import BadIndexError, cache_folder, load_columns, load_head
from fieldloom.sources.shards import ShardSource
from fieldloom.sources.shardsamples import Spec
from fieldloom.sources.store import LocalStore
from fieldloom.sources.tarmembers import Member, Window, members

LONG = "folder/" + "name" * 40 + "/" + "x" * 120 + ".jpg"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def window(data: bytes, ahead: int = 1024) -> Window:
    return Window(lambda offset, n: data[offset : offset + n], len(data), ahead)


def listed(data: bytes, ahead: int = 1024) -> list[Member]:
    return list(members(window(data, ahead)))


def archive(*infos: tuple[str, bytes], format: int = tarfile.USTAR_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        for name, data in infos:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def special(kind: bytes, name: str = "000.jpg", **more: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "/etc/passwd"
        for key, value in more.items():
            setattr(info, key, value)
        tar.addfile(info)
    return out.getvalue()


def record(text: bytes) -> bytes:
    """A PAX record, its own length in front."""
    return next(whole for n in range(99) if len(whole := b"%d %s\n" % (n, text)) == n)


def with_checksum(block: bytearray) -> bytearray:
    """A header block whose checksum is right again."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    return block


def patched(data: bytes, at: int, field: bytes) -> bytes:
    """An archive whose first header says something else."""
    block = bytearray(data[:512])
    block[at : at + len(field)] = field
    return bytes(with_checksum(block)) + data[512:]


# ---------------------------------------------------------------- members


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("ahead", [512, 4096, 1 << 20])
def test_members_are_those_of_tarfile(format: int, ahead: int) -> None:
    files = [("a.jpg", b"1"), ("folder/b.cls", b""), ("c.txt", b"x" * 512), ("d.bin", b"y" * 5000)]
    if format != tarfile.USTAR_FORMAT:
        files += [(LONG, b"long"), ("größe.jpg", b"z")]
    else:
        files += [("p" * 90 + "/" + "q" * 90, b"prefix")]
    data = archive(*files, format=format)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        expected = [(info.name.encode(), info.size, info.offset_data) for info in tar]
    found = listed(data, ahead)
    assert [(m.name, m.size, m.data) for m in found] == expected
    assert [data[m.data : m.data + m.size] for m in found] == [content for _, content in files]
    assert found[0].start == 0
    assert all(one.end == other.start for one, other in itertools.pairwise(found))


def test_folders_are_passed_over() -> None:
    assert listed(special(tarfile.DIRTYPE, "folder")) == []
    assert listed(patched(archive(("folder/", b"")), 156, b"\0")) == []


def test_a_size_in_base_256_is_read() -> None:
    data = archive(("a.jpg", b"x" * 700))
    assert listed(patched(data, 124, b"\x80" + (700).to_bytes(11, "big")))[0].size == 700
    huge = patched(data, 124, b"\x80" + (1 << 60).to_bytes(11, "big"))
    with pytest.raises(errors.ShardError, match=f"needs {1 << 60} bytes from byte 512"):
        listed(huge)
    with pytest.raises(errors.ShardError, match="negative size"):
        listed(patched(data, 124, b"\xff" * 12))


def test_a_size_of_another_base_is_refused() -> None:
    with pytest.raises(errors.ShardError, match="not octal"):
        listed(patched(archive(("a.jpg", b"x")), 124, b"00000000009\0"))


def test_a_pax_size_counts_instead_of_the_header() -> None:
    # tarfile writes sizes in PAX only from 8 GiB on.
    pax = bytearray(archive(("pax", record(b"size=700"))))
    pax[156:157] = b"x"
    body = archive(("a.jpg", b"x" * 700))
    data = bytes(with_checksum(pax[:512])) + bytes(pax[512:1024]) + patched(body, 124, b"00000000000\0")
    assert [(m.name, m.size, m.start, m.data) for m in listed(data)] == [(b"a.jpg", 700, 0, 1536)]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (b"xx size=1\n", "without a length"),
        (b"99 size=1\n", "another length"),
        (b"0 size=1\n", "another length"),
        (b"8 sizes\n", "without a value"),
        (record(b"size=-99"), "has the size"),
        (record(b"size=999999999"), "needs 999999999 bytes"),
        (record(b"GNU.sparse.major=1"), "sparse"),
        (record(b"path=../../x"), "leads out"),
        (record(b"path=/etc/passwd"), "absolute"),
        (record(b"path=\0x"), "zero byte"),
        (record(b"path="), "no name"),
    ],
)
def test_damaged_pax_headers_are_refused(records: bytes, message: str) -> None:
    pax = bytearray(archive(("pax", records)))
    pax[156:157] = b"x"
    data = bytes(with_checksum(pax[:512])) + bytes(pax[512:1024]) + archive(("a.jpg", b"x"))
    with pytest.raises(errors.SourceError, match=message):
        listed(data)


def test_a_global_header_may_hold_comments_only() -> None:
    for text, good in [(b"comment=made", True), (b"path=a", False)]:
        pax = bytearray(archive(("pax", record(text))))
        pax[156:157] = b"g"
        data = bytes(with_checksum(pax[:512])) + bytes(pax[512:1024]) + archive(("a.jpg", b"x"))
        if good:
            assert [m.name for m in listed(data)] == [b"a.jpg"]
        else:
            with pytest.raises(errors.ShardError, match="global"):
                listed(data)


def test_large_and_endless_extensions_are_refused() -> None:
    name = bytearray(archive(("long", b"n" * 2000)))
    name[156:157] = b"L"
    name = with_checksum(name[:512]) + name[512 : 512 + 2048]
    with pytest.raises(errors.ShardError, match="limit is 1048576"):
        listed(patched(bytes(name), 124, b"00007777777\0"))
    with pytest.raises(errors.ShardError, match="headers of one member"):
        listed(bytes(name) * 4000)
    with pytest.raises(errors.ShardError, match="announces a member"):
        listed(bytes(name) + bytes(1024))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (special(tarfile.SYMTYPE), "symbolic link"),
        (special(tarfile.LNKTYPE), "hard link"),
        (special(tarfile.CHRTYPE), "character device"),
        (special(tarfile.BLKTYPE), "block device"),
        (special(tarfile.FIFOTYPE), "FIFO"),
        (archive(("/etc/passwd.jpg", b"x")), "absolute"),
        (archive(("../x.jpg", b"x")), "leads out"),
        (archive(("a/../../x.jpg", b"x")), "leads out"),
        (archive(("a/..", b"x")), "leads out"),
    ],
)
def test_unsafe_members_are_refused_by_name(data: bytes, message: str) -> None:
    with pytest.raises(errors.UnsafeError, match=rf"member .+{message}"):
        listed(data)


def test_sparse_and_unknown_members_are_refused() -> None:
    for kind, message in [(b"S", "sparse"), (b"V", "unknown type"), (b"D", "unknown type")]:
        with pytest.raises(errors.ShardError, match=message):
            listed(patched(archive(("a.jpg", b"x")), 156, kind))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x1f\x8b" + bytes(600), "gzip.*gunzip"),
        (b"BZh9" + bytes(600), "bzip2"),
        (b"\xfd7zXZ\0" + bytes(600), "xz"),
        (b"\x28\xb5\x2f\xfd" + bytes(600), "zstd"),
        (b"hello" * 200, "not a tar archive"),
        (b"hello", "middle of a block"),
        (b"", "without the two zero blocks"),
    ],
)
def test_what_is_no_tar_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(errors.ShardError, match=message):
        listed(data)


def test_every_cut_is_noticed() -> None:
    data = archive(("a.jpg", b"x" * 600), ("b.cls", b"1"), (LONG, b"y"), format=tarfile.GNU_FORMAT)
    end = listed(data)[-1].end
    assert len(listed(data[: end + 1024])) == 3
    for n in range(0, end + 1024, 128):
        with pytest.raises(errors.ShardError, match="cut"):
            listed(data[:n])


def test_zeros_in_the_middle_are_noticed() -> None:
    data = archive(("a.jpg", b"x"), ("b.jpg", b"y"), ("c.jpg", b"z"))
    for n_blocks in (1, 2, 3):  # a header; with its data; with the next header
        damaged = data[:1024] + bytes(512 * n_blocks) + data[1024 + 512 * n_blocks :]
        with pytest.raises(errors.ShardError, match=r"at byte 1024 of.*members would be lost"):
            listed(damaged)
    with pytest.raises(errors.ShardError, match="members would be lost"):
        listed(data + data)  # `cat a.tar b.tar`: tarfile reads the first alone, silently
    with pytest.raises(errors.ShardError, match="follow the end"):
        listed(data + bytes(65 << 20))


def test_a_wrong_checksum_is_noticed_at_its_byte() -> None:
    data = bytearray(archive(("a.jpg", b"x"), ("b.jpg", b"y")))
    data[1024 + 3] ^= 1
    with pytest.raises(errors.ShardError, match="byte 1024 of: the checksum"):
        listed(bytes(data))


def test_checksums_of_signed_bytes_are_accepted() -> None:
    data = bytearray(archive(("ä.jpg", b"x")))
    block = bytearray(data[:512])
    block[148:156] = b" " * 8
    signed = sum(value - 256 if value > 127 else value for value in block)
    data[148:156] = b"%06o\0 " % signed
    assert [m.name for m in listed(bytes(data))] == ["ä.jpg".encode()]


@settings(max_examples=300)
@given(st.data())
def test_damage_is_a_named_error_or_harmless(data: st.DataObject) -> None:
    whole = bytearray(archive(("a.jpg", b"x" * 20), ("b.cls", b"1"), (LONG, b"y"), format=tarfile.PAX_FORMAT))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, 5000))] = data.draw(st.integers(0, 255))
    try:
        found = listed(bytes(whole))
    except (errors.ShardError, errors.UnsafeError):
        return
    assert all(0 <= m.data <= m.data + m.size <= len(whole) for m in found)


# ---------------------------------------------------------------- the index


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
    monkeypatch.setattr("fieldloom.sources.shardfile.scan_shard", lambda *a: pytest.fail("scanned again"))
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
    monkeypatch.setattr("fieldloom.sources.shardfile.scan_shard", lambda *a: pytest.fail("scanned again"))
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
