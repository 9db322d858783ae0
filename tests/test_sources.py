"""Sources: each row of the reliability matrix on folders, labels and what a data set can be."""

import contextlib
import errno
import os
import pickle
import resource
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from shard_files import write_shards

from fieldloom import errors
from fieldloom.sources import (
    ArraySource,
    EncodedSource,
    FolderSource,
    ListSource,
    Source,
    open_source,
    read_file,
)
from fieldloom.sources.labels import MAX_CLASSES, check_labels
from fieldloom.sources.paths import PathTable


def put(path: Path, data: bytes = b"data") -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes: cat with two images, dog with one in a folder below."""
    root = tmp_path / "data"
    put(root / "dog/more/3.PNG", b"dog three")
    put(root / "cat/2.jpg", b"cat two")
    put(root / "cat/1.JPEG", b"cat one")
    return root


def contents(source: Source) -> list[bytes]:
    return [source.read(i).tobytes() for i in range(len(source))]


# ---------------------------------------------------------------- folders


def test_folder_orders_classes_and_files_by_name(folder: Path) -> None:
    source = FolderSource(folder)
    assert source.classes == ["cat", "dog"]
    assert source.targets.dtype == np.int64
    assert source.targets.tolist() == [0, 0, 1]
    assert source.stored == "encoded"
    assert [source.name(i) for i in range(3)] == [
        str(folder / name) for name in ("cat/1.JPEG", "cat/2.jpg", "dog/more/3.PNG")
    ]
    assert contents(source) == [b"cat one", b"cat two", b"dog three"]
    with pytest.raises(NotImplementedError, match="stores encoded"):
        source.pixels(0)


def test_folder_order_is_that_of_torchvision(folder: Path) -> None:
    """Folders sorted as paths (`a-b` before `a/c`), then files: torchvision sorts `os.walk` so."""
    for name in ("a/c/1.png", "a-b/1.png", "a/2.png", "a/10.png", "Z.jpg", "ä.jpg"):
        put(folder / "cat" / name)
    expected = [
        os.path.join(root, file)
        for root, _, files in sorted(os.walk(folder / "cat"))
        for file in sorted(files)
    ]
    source = FolderSource(folder)
    assert [source.name(i) for i in range(len(expected))] == expected


@pytest.mark.parametrize("as_type", [str, Path, os.fsencode])
def test_folder_path_types(folder: Path, as_type) -> None:
    assert len(open_source(as_type(folder))) == 3


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(errors.MissingError, match="no such folder") as caught:
        FolderSource(tmp_path / "none")
    assert isinstance(caught.value, FileNotFoundError)
    assert "none" in str(caught.value)


def test_file_instead_of_folder(tmp_path: Path) -> None:
    with pytest.raises(errors.SourceError, match=r"it is a file.*list of \(path, label\)"):
        FolderSource(put(tmp_path / "x.jpg"))


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(errors.SourceError, match="no class folders"):
        FolderSource(tmp_path)


def test_images_without_class_folders(tmp_path: Path) -> None:
    put(tmp_path / "1.jpg")
    with pytest.raises(
        errors.SourceError, match=r"1 images lie directly in it.*list of \(path, label\) pairs"
    ):
        FolderSource(tmp_path)


def test_class_without_images(folder: Path) -> None:
    put(folder / "bird/notes.txt")
    put(folder / "bird/jpg")  # a name that is an extension, but has none
    with pytest.raises(errors.SourceError, match=r"data/bird.*no images.*allow_empty=True"):
        FolderSource(folder)
    source = FolderSource(folder, allow_empty=True)
    assert source.classes == ["bird", "cat", "dog"]
    assert source.targets.tolist() == [1, 1, 2]


def test_hidden_and_other_files_are_left_out(folder: Path) -> None:
    for name in (".hidden/1.jpg", "cat/.1.jpg", "cat/.thumbs/1.jpg", "cat/notes.txt", "beside.jpg"):
        put(folder / name)
    assert len(FolderSource(folder)) == 3


@pytest.mark.parametrize("kind", ["fifo", "socket", "device link"])
def test_image_that_is_not_a_file(folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "cat")  # a socket's whole path has at most some 100 bytes
    with socket.socket(socket.AF_UNIX) as endpoint:
        if kind == "fifo":
            os.mkfifo("3.jpg")
        elif kind == "socket":
            endpoint.bind("3.jpg")
        else:
            os.symlink(os.devnull, "3.jpg")
        with pytest.raises(errors.UnsafeError, match=r"3\.jpg"):
            FolderSource(folder)


def test_link_loops_end(folder: Path) -> None:
    (folder / "cat/up").symlink_to("..")
    (folder / "cat/self").symlink_to(".")
    (folder / "dog/more/out").symlink_to(folder.parent.parent)
    (folder / "dog/loop.jpg").symlink_to("loop.jpg")
    source = FolderSource(folder)
    assert [Path(source.name(i)).name for i in range(len(source))] == ["1.JPEG", "2.jpg", "loop.jpg", "3.PNG"]
    with pytest.raises(errors.DecodeError):
        source.read(2)


def test_folder_linked_twice_counts_once(folder: Path, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere/9.jpg", b"nine")
    (folder / "cat/a").symlink_to(tmp_path / "elsewhere")
    (folder / "cat/b").symlink_to(tmp_path / "elsewhere")
    (folder / "cat/dog").symlink_to(folder / "dog")  # a class: it stays that class's
    assert contents(FolderSource(folder)) == [b"cat one", b"cat two", b"nine", b"dog three"]


@pytest.mark.parametrize("target", ["cat", ".", "..", "/"])
def test_class_that_links_back(folder: Path, target: str) -> None:
    (folder / "zebra").symlink_to(target)
    with pytest.raises(errors.SourceError, match=r"zebra: it is a link"):
        FolderSource(folder)


def test_class_folder_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere/9.jpg")
    (folder / "emu").symlink_to(tmp_path / "elsewhere")
    assert FolderSource(folder).classes == ["cat", "dog", "emu"]


def test_folder_without_permission(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces `scandir`, because the superuser may list everything."""
    scandir = os.scandir

    def refuse(path):
        if os.fsencode(path).endswith(b"more"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(errors.SourceError, match=r"data/dog/more: Permission denied.*chmod"):
        FolderSource(folder)


@pytest.mark.parametrize(
    "name", [b"\xff\xfe.jpg", b"two\nlines.jpg", b"x" * 251 + b".jpg", "größe 象.jpg".encode()]
)
def test_odd_names(folder: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(folder), b"cat", name)
    put(Path(os.fsdecode(path)), b"odd")
    for source in (FolderSource(folder), ListSource([(path, 0)]), ListSource([(os.fsdecode(path), 0)])):
        i = [source.name(i) for i in range(len(source))].index(os.fsdecode(path))
        assert source.read(i).tobytes() == b"odd"
        os.unlink(path)
        with pytest.raises(errors.DecodeError) as caught:
            source.read(i)
        str(caught.value).encode("ascii")  # the report can be printed anywhere, on one line
        assert "\n" not in str(caught.value)
        put(Path(os.fsdecode(path)), b"odd")


def test_twins_are_samples_of_their_own(folder: Path) -> None:
    put(folder / "dog/1.JPEG", b"cat one")
    os.link(folder / "cat/1.JPEG", folder / "cat/1b.jpg")
    assert contents(FolderSource(folder)).count(b"cat one") == 3


def test_deep_folders(folder: Path) -> None:
    """Deeper than Python's recursion limit, which pytest's own removal of the folder would meet."""
    depth = 1200
    top = f"{folder}/cat"
    for level in range(1, depth + 1):
        os.mkdir(top + level * "/d")
    put(Path(top + depth * "/d") / "1.jpg", b"deep")
    try:
        assert b"deep" in contents(FolderSource(folder))
    finally:
        os.unlink(top + depth * "/d" + "/1.jpg")
        for level in range(depth, 0, -1):
            os.rmdir(top + level * "/d")


def test_num_classes_of_a_folder(folder: Path) -> None:
    assert len(open_source(folder, num_classes=2)) == 3
    with pytest.raises(errors.ArgumentError, match=r"num_classes=1 .*2 class folders"):
        open_source(folder, num_classes=1)


# ---------------------------------------------------------------- one file


def check_bad(path: Path, kind: type[Exception], match: str, **options: int) -> None:
    with pytest.raises(kind, match=match) as caught:
        read_file(os.fsencode(path), 7, **options)
    assert isinstance(caught.value, errors.FieldloomError)
    assert (caught.value.sample, caught.value.file) == (7, str(path))
    assert "sample 7" in str(caught.value)
    assert caught.value.remedy


def test_read_gives_the_whole_file(tmp_path: Path) -> None:
    data = np.random.default_rng(0).bytes(300_001)
    read = read_file(os.fsencode(put(tmp_path / "x.jpg", data)), 0)
    assert (read.dtype, read.ndim, read.flags.writeable, read.tobytes()) == (np.uint8, 1, True, data)


def test_read_vanished_file(folder: Path) -> None:
    source = FolderSource(folder)
    (folder / "cat/2.jpg").unlink()
    with pytest.raises(
        errors.DecodeError, match=r"sample 1 \(.*cat/2.jpg\): the file does not exist.*on_bad_sample"
    ):
        source.read(1)


def test_read_empty_file(tmp_path: Path) -> None:
    check_bad(put(tmp_path / "x.jpg", b""), errors.DecodeError, "empty.*on_bad_sample")


def test_read_size_limit(tmp_path: Path) -> None:
    path = put(tmp_path / "x.jpg", b"12345")
    assert len(read_file(os.fsencode(path), 0, max_bytes=5)) == 5
    check_bad(path, errors.LimitError, "5 bytes, the limit is 4", max_bytes=4)


def test_read_huge_sparse_file_takes_no_memory(tmp_path: Path) -> None:
    path = put(tmp_path / "x.jpg")
    os.truncate(path, 1 << 40)
    check_bad(path, errors.LimitError, "limit is 268435456")


def test_read_fifo_does_not_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.jpg")
    check_bad(tmp_path / "x.jpg", errors.UnsafeError, "not a regular file")


def test_read_socket_folder_and_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as endpoint:
        endpoint.bind("x.jpg")
        for path in (Path("x.jpg"), tmp_path, Path(os.devnull)):
            check_bad(path, errors.UnsafeError, "not a regular file")


@pytest.mark.parametrize("call", ["open", "readv"])
@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_read_failure_of_one_file(
    tmp_path: Path, call: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path / "x.jpg")

    def fail(*_args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    check_bad(path, errors.DecodeError, os.strerror(number))


def test_read_in_short_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "x.jpg", bytes(range(100)))
    readv = os.readv
    monkeypatch.setattr(os, "readv", lambda fd, buffers: readv(fd, [buffers[0][:7]]))
    assert read_file(os.fsencode(path), 0).tobytes() == bytes(range(100))


def test_read_file_that_shrinks_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "x.jpg", bytes(range(100)))
    fstat = os.fstat

    def stat_then_cut(fd):
        status = fstat(fd)
        os.truncate(path, 40)
        return status

    monkeypatch.setattr(os, "fstat", stat_then_cut)
    assert read_file(os.fsencode(path), 0).tobytes() == bytes(range(40))


def test_read_without_descriptors_is_no_bad_sample(tmp_path: Path) -> None:
    path = put(tmp_path / "x.jpg")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = max(int(fd) for fd in os.listdir("/proc/self/fd")) + 8
    held = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open(path, os.O_RDONLY))
        check_bad(path, errors.SourceError, "no file descriptor left.*ulimit -n")
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_read_leaves_no_descriptor_open(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.jpg")
    put(tmp_path / "empty.jpg", b"")
    put(tmp_path / "good.jpg")
    before = set(os.listdir("/proc/self/fd"))
    for name in ("fifo.jpg", "empty.jpg", "good.jpg", "none.jpg"):
        with contextlib.suppress(errors.FieldloomError):
            read_file(os.fsencode(tmp_path / name), 0)
    assert set(os.listdir("/proc/self/fd")) == before


# ---------------------------------------------------------------- path table


@given(
    st.lists(st.tuples(st.sampled_from([b"", b"/a", b"b/c"]), st.binary(min_size=1, max_size=9)), max_size=30)
)
def test_path_table_gives_back_what_it_took(paths: list[tuple[bytes, bytes]]) -> None:
    table = PathTable((folder, [name]) for folder, name in paths)
    assert [table[i] for i in range(len(table))] == [os.path.join(*path) for path in paths]
    assert len(pickle.loads(pickle.dumps(table))) == len(paths)
    for outside in (-1, len(paths)):
        with pytest.raises(IndexError):
            table[outside]


# ---------------------------------------------------------------- labels


def label_name(i: int) -> str:
    return f"file{i}"


BAD_LABELS = [
    -1,
    10,
    10**9,
    2**63,
    2**70,
    -(2**70),
    1.5,
    1.0,
    float("nan"),
    "3",
    "cat",
    b"3",
    None,
    True,
    [1],
    (1, 2),
]


@pytest.mark.parametrize("value", BAD_LABELS, ids=repr)
def test_bad_label_is_named(value: object) -> None:
    with pytest.raises(errors.LabelError) as caught:
        check_labels([0, 9, value], 10, label_name)
    assert (caught.value.sample, caught.value.file) == (2, "file2")
    assert repr(value) in str(caught.value)
    assert "from 0 to 9" in str(caught.value)
    assert isinstance(caught.value, errors.SampleError)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.bool_, np.str_])
def test_arrays_that_are_not_integers(dtype: type) -> None:
    with pytest.raises(errors.LabelError):
        check_labels(np.array([1, 0]).astype(dtype), None, label_name)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64, np.int64, object])
def test_good_labels(dtype: type) -> None:
    labels = check_labels(np.array([0, 1, 9], dtype), 10, label_name)
    assert labels.dtype == np.int64
    assert labels.tolist() == [0, 1, 9]


def test_good_labels_of_mixed_integer_types() -> None:
    assert check_labels([0, np.int8(1), np.uint64(2)], None, label_name).tolist() == [0, 1, 2]


def test_label_bound_without_num_classes() -> None:
    assert check_labels([MAX_CLASSES - 1], None, label_name).tolist() == [MAX_CLASSES - 1]
    with pytest.raises(errors.LabelError, match="label 1000000000 "):
        check_labels([10**9], None, label_name)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
def test_minus_one_in_an_unsigned_column(dtype: type) -> None:
    labels = np.array([0, 1, -1]).astype(dtype)
    with pytest.raises(errors.LabelError, match=r"sample 2 .*label -1 becomes"):
        check_labels(labels, None, label_name)
    with pytest.raises(errors.LabelError):
        check_labels(labels, 10, label_name)


def test_255_as_a_class() -> None:
    assert check_labels(np.array([0, 255], np.uint8), 256, label_name).tolist() == [0, 255]
    assert check_labels(np.arange(256).astype(np.uint8), None, label_name)[-1] == 255


def test_one_hot_labels() -> None:
    with pytest.raises(errors.ArgumentError, match="argmax"):
        check_labels(np.eye(3, dtype=np.int64), None, label_name)


@given(st.lists(st.integers(0, 99)))
def test_labels_pass_unchanged(labels: list[int]) -> None:
    assert check_labels(labels, 100, label_name).tolist() == labels


# ---------------------------------------------------------------- lists of files


@pytest.mark.parametrize("as_pairs", [list, tuple, lambda pairs: np.array(pairs, object), np.array])
def test_list_of_paths(folder: Path, as_pairs) -> None:
    pairs = [
        (str(folder / "cat/2.jpg"), 3),
        (str(folder / "dog/more/3.PNG"), 0),
        (str(folder / "cat/2.jpg"), 4),
    ]
    source = open_source(as_pairs(pairs))
    assert isinstance(source, ListSource)
    assert source.targets.tolist() == [3, 0, 4]
    assert source.classes is None
    assert source.name(1) == pairs[1][0]
    assert contents(source) == [b"cat two", b"dog three", b"cat two"]


def test_list_of_path_objects(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert contents(open_source([[Path("cat/2.jpg"), 0], ["dog/more/3.PNG", 1]])) == [
        b"cat two",
        b"dog three",
    ]
    assert contents(ListSource([(b"cat/1.JPEG", 0)])) == [b"cat one"]


def test_list_opens_no_file(tmp_path: Path) -> None:
    source = open_source([(tmp_path / "none.jpg", 0)])
    with pytest.raises(errors.DecodeError, match="does not exist"):
        source.read(0)


@pytest.mark.parametrize(
    ("pairs", "match"),
    [
        (["a.jpg", "b.jpg"], r"entry 0 .*str.*list\(zip"),
        ([("a.jpg", 0), ("b.jpg", 0, 0)], "entry 1 .*tuple of length 3"),
        ([("a.jpg", 0), (b"\xff\xd8", 0), (3, 0)], "entry 2 .*int"),
        ([("a.jpg", 0), (np.zeros(3, np.uint8), 0)], "entry 1 .*ndarray"),
        ([("", 0)], "entry 0 .*no file"),
        ([("a\0b.jpg", 0)], "entry 0 .*no file"),
        ([["a.jpg", "b.jpg", "c.jpg"], [0, 1, 2]], r"entry 0 .*length 3.*list\(zip"),
    ],
)
def test_bad_lists(pairs: object, match: str) -> None:
    with pytest.raises(errors.ArgumentError, match=match):
        open_source(pairs)


@pytest.mark.parametrize("value", BAD_LABELS, ids=repr)
def test_bad_label_in_a_list(value: object) -> None:
    for first in ("a.jpg", b"data"):
        with pytest.raises(errors.LabelError, match="sample 0"):
            open_source([(first, value)], num_classes=10)


def test_array_of_text_with_a_label_of_text() -> None:
    with pytest.raises(errors.LabelError, match="'-1'"):
        open_source(np.array([("a.jpg", -1)]))


# ---------------------------------------------------------------- encoded bytes


@pytest.mark.parametrize(
    "as_data", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)]
)
def test_encoded_bytes(as_data) -> None:
    source = open_source([(as_data(b"one"), 1), (b"two", 0)])
    assert isinstance(source, EncodedSource)
    assert contents(source) == [b"one", b"two"]
    assert source.read(0).dtype == np.uint8
    assert source.targets.tolist() == [1, 0]
    assert "memory" in source.name(0)


def test_encoded_bytes_are_not_copied() -> None:
    data = bytearray(b"one")
    source = EncodedSource([(data, 0)])
    data[0] = ord("O")
    assert contents(source) == [b"One"]


def test_no_encoded_bytes() -> None:
    source = open_source([(b"", 0)])
    with pytest.raises(errors.DecodeError, match=r"sample 0 .*0 bytes.*on_bad_sample"):
        source.read(0)


@pytest.mark.parametrize(
    "item",
    [
        "a.jpg",
        np.zeros(4),
        np.zeros((4, 4, 3), np.uint8),
        memoryview(b"1234")[::2],
        np.zeros(4, np.uint8)[::2],
    ],
)
def test_entries_that_are_not_encoded_bytes(item: object) -> None:
    with pytest.raises(errors.ArgumentError, match="entry 1"):
        open_source([(b"one", 0), (item, 0)])


# ---------------------------------------------------------------- pixels


def test_stack_of_images() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), np.uint8)
    source = open_source((images, [2, 0, 1]))
    assert isinstance(source, ArraySource)
    assert source.stored == "pixels"
    assert source.targets.tolist() == [2, 0, 1]
    assert np.shares_memory(source.pixels(1), images)
    np.testing.assert_array_equal(source.pixels(1), images[1])
    with pytest.raises(NotImplementedError, match="stores pixels"):
        source.read(0)


def test_list_of_images_of_many_shapes() -> None:
    rng = np.random.default_rng(0)
    shapes = [(4, 5, 3), (4, 5), (7, 2, 1), (1, 1, 3)]
    images = [rng.integers(0, 256, shape, np.uint8) for shape in shapes]
    stack = np.empty(len(images), object)
    stack[:] = images
    for given_images in (images, tuple(images), stack):
        source = open_source((given_images, np.zeros(4, np.int64)))
        for i, image in enumerate(images):
            expected = np.broadcast_to(image.reshape(*image.shape[:2], -1), (*image.shape[:2], 3))
            np.testing.assert_array_equal(source.pixels(i), expected)
            assert source.pixels(i).strides[1:] == (3, 1)


def test_stack_of_gray_images() -> None:
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    for stack in (images, images[..., None]):
        pixels = ArraySource(stack, [0, 0]).pixels(1)
        assert pixels.shape == (3, 4, 3)
        np.testing.assert_array_equal(pixels, images[1][..., None].repeat(3, axis=2))


def test_rows_may_be_apart_but_not_pixels() -> None:
    wide = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), np.uint8)
    rows_apart = ArraySource(wide[:, ::2, 2:6], [0]).pixels(0)
    assert np.shares_memory(rows_apart, wide)
    mirrored = ArraySource(wide[:, :, ::-1, ::-1], [0]).pixels(0)
    assert mirrored.strides[1:] == (3, 1)
    np.testing.assert_array_equal(mirrored, wide[0, :, ::-1, ::-1])


@pytest.mark.parametrize(
    ("images", "match"),
    [
        (np.zeros((2, 4, 4, 3), np.float32), r"float32.*\* 255"),
        (np.full((2, 4, 4, 3), np.nan), r"float64.*\* 255"),
        (np.zeros((2, 4, 4, 3), np.int64), "int64.*Convert to uint8"),
        (np.zeros((2, 3, 4, 4), np.uint8), r"transpose\(0, 2, 3, 1\)"),
        (np.zeros((2, 1, 4, 4), np.uint8), r"transpose\(0, 2, 3, 1\)"),
        (np.zeros((2, 4, 4, 4), np.uint8), "RGBA"),
        (np.zeros((2, 4, 4, 2), np.uint8), "channels last"),
        (np.zeros((2, 0, 4, 3), np.uint8), "at least one pixel"),
        (np.zeros((2, 1, 4, 4, 3), np.uint8), "channels last"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((3, 4, 4), np.uint8)], r"image 1 .*transpose\(1, 2, 0\)"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3))], r"image 1 .*\* 255"),
        ([np.zeros((4, 4, 3), np.uint8), "x.jpg"], "image 1 is a str"),
        ([np.zeros((4, 4, 3), np.uint8), np.zeros(4, np.uint8)], "image 1 .*channels last"),
    ],
)
def test_bad_images(images: object, match: str) -> None:
    with pytest.raises(errors.ArgumentError, match=match):
        open_source((images, [0, 1]))


def test_lengths_differ() -> None:
    with pytest.raises(errors.ArgumentError, match="2 images and 3 labels"):
        open_source((np.zeros((2, 4, 4, 3), np.uint8), [0, 1, 2]))


@pytest.mark.parametrize("value", BAD_LABELS, ids=repr)
def test_bad_label_of_an_image(value: object) -> None:
    with pytest.raises(errors.LabelError, match="sample 1"):
        open_source((np.zeros((2, 4, 4, 3), np.uint8), [0, value]), num_classes=10)


def test_labels_that_are_no_column() -> None:
    with pytest.raises(errors.ArgumentError, match="labels is a dict"):
        open_source((np.zeros((2, 4, 4, 3), np.uint8), {}))


def test_tensors() -> None:
    torch = pytest.importorskip("torch")
    images = torch.arange(2 * 4 * 5 * 3, dtype=torch.uint8).reshape(2, 4, 5, 3)
    source = open_source((images, torch.tensor([1, 0])))
    assert np.shares_memory(source.pixels(0), images.numpy())
    assert source.targets.tolist() == [1, 0]
    mixed = open_source(([images[0], images[1, ..., 0]], [torch.tensor(1), 0]))
    assert [mixed.pixels(i).shape for i in range(2)] == [(4, 5, 3)] * 2
    with pytest.raises(errors.ArgumentError, match="permute"):
        open_source((images.permute(0, 3, 1, 2), [0, 0]))
    with pytest.raises(errors.ArgumentError, match=r"tensor on meta.*cpu\(\)"):
        open_source((images.to("meta"), [0, 0]))


# ---------------------------------------------------------------- open_source


class Squares(Source):
    """A user's own source: three images made on the spot."""

    stored = "pixels"

    def __init__(self) -> None:
        self.targets = np.array([0, 1, 2])

    def name(self, i: int) -> str:
        return f"square {i}"

    def pixels(self, i: int) -> np.ndarray:
        return np.full((4, 4, 3), i, np.uint8)


def test_own_source_passes_through() -> None:
    source = Squares()
    assert open_source(source) is source
    assert len(source) == 3
    with pytest.raises(errors.LabelError, match=r"square 2"):
        open_source(source, num_classes=2)
    source.targets = np.array([0.0, 1.0])
    with pytest.raises(errors.ArgumentError, match=r"Squares.targets is float64"):
        open_source(source)


def test_source_by_its_names_alone() -> None:
    class Duck:
        targets = np.array([0])
        classes = None
        stored = "encoded"

        def __len__(self) -> int:
            return 1

        def name(self, i: int) -> str:
            return "duck"

        def read(self, i: int) -> np.ndarray:
            return np.ones(3, np.uint8)

    duck = Duck()
    assert open_source(duck) is duck


@pytest.mark.parametrize(
    "empty", [[], (), np.empty((0, 2), object), ([], []), (np.empty((0, 4, 4, 3), np.uint8), [])], ids=repr
)
def test_empty_lists_are_data_sets_of_no_samples(empty: object) -> None:
    source = open_source(empty)
    assert len(source) == 0
    assert source.targets.dtype == np.int64


@pytest.mark.parametrize("value", [None, 3, {}, {"a.jpg": 0}, object(), iter([("a.jpg", 0)]), np.zeros(3)])
def test_what_is_not_a_data_set(value: object) -> None:
    with pytest.raises(
        errors.ArgumentError, match=r"cannot use a .*Accepted: a folder of class folders.*Source\."
    ):
        open_source(value)


def test_images_without_labels() -> None:
    with pytest.raises(errors.ArgumentError, match=r"pass \(images, labels\)"):
        open_source(np.zeros((2, 4, 4, 3), np.uint8))


def test_torchvision_folder_object() -> None:
    with pytest.raises(errors.ArgumentError, match=r"\.samples"):
        open_source(SimpleNamespace(samples=[("a.jpg", 0)]))


@pytest.mark.parametrize("name", ["train.ZIP", "shard.tar.gz"])
def test_archives_without_random_access(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.ArgumentError, match=r"no random access.*Accepted"):
        open_source(put(tmp_path / name))


@pytest.mark.parametrize("value", [0, -1, 1.5, "10", True, np.True_])
def test_bad_num_classes(value: object, folder: Path) -> None:
    with pytest.raises(errors.ArgumentError, match="num_classes="):
        open_source(folder, num_classes=value)


def test_sources_pickle(folder: Path) -> None:
    for source in (
        FolderSource(folder),
        ListSource([(folder / "cat/2.jpg", 0)]),
        EncodedSource([(b"one", 0)]),
    ):
        assert contents(pickle.loads(pickle.dumps(source))) == contents(source)


def test_import_brings_neither_torch_nor_dali() -> None:
    code = "import sys, fieldloom.sources; print({'torch', 'nvidia.dali', 'PIL'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_columns_and_image_pairs_are_accepted(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (4, 3)).save(path)
    data = path.read_bytes()
    assert isinstance(open_source(([str(path), str(path)], [0, 1])), ListSource)
    assert isinstance(open_source(([data, data], [0, 1])), EncodedSource)
    pairs = open_source([(np.zeros((3, 4, 3), np.uint8), 2), (np.zeros((5, 4, 3), np.uint8), 1)])
    assert isinstance(pairs, ArraySource)
    assert pairs.targets.tolist() == [2, 1]
    with pytest.raises(errors.ArgumentError, match="2 items and 1 labels"):
        open_source(([data, data], [0]))


# ---------------------------------------------------------------- what a folder is


@pytest.mark.parametrize("name", ["set.tar", "set.csv", "set.parquet"])
def test_folders_are_folders_whatever_their_name_ends_in(folder: Path, name: str) -> None:
    assert len(open_source(folder.rename(folder.with_name(name)))) == 3


def test_hidden_folders_beside_shards(tmp_path: Path) -> None:
    write_shards(tmp_path / "a", 3)
    (tmp_path / "a/.cache").mkdir()
    assert len(open_source(tmp_path / "a")) == 3
    put(tmp_path / "a/cat/1.jpg")
    assert open_source(tmp_path / "a").classes == ["cat"]


def test_shards_in_a_folder_that_is_called_as_one(tmp_path: Path) -> None:
    write_shards(tmp_path / "set.tar", 3)
    assert len(open_source(tmp_path / "set.tar")) == 3


def test_width_of_rows_that_were_checked_before() -> None:
    class Rows(Source):
        targets, labels_checked = np.zeros((2, 3), np.float32), True
        read = name = Source.read

    assert open_source(Rows(), num_classes=3).targets is Rows.targets
    with pytest.raises(errors.ArgumentError, match="rows of 3 numbers"):
        open_source(Rows(), num_classes=2)


def test_masks_come_with_samples() -> None:
    class Masks(Source):
        targets, has_masks = np.zeros(2, np.int64), True
        read = name = Source.read

    with pytest.raises(errors.ArgumentError, match="more = True"):
        open_source(Masks())
