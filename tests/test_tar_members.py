"""Tar archives by their headers: every way to be damaged, cut or unsafe."""

import io
import itertools
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldloom import errors
from fieldloom.sources.shards.tarmembers import Member, Window, members

LONG = "folder/" + "name" * 40 + "/" + "x" * 120 + ".jpg"


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
