"""`pack`: what is written is what it says, whole or not at all, and the same every time."""

import errno
import fcntl
import io
import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packed_cases import N, all_bytes, contents, images, pack_and_die, packed
from PIL import Image, ImageOps

import fieldloom as fl
from fieldloom.errors import ArgumentError, DecodeError, LabelError, LimitError, ShardError, SourceError
from fieldloom.sources import PackedSource, Source
from fieldloom.sources.packed.packshrink import shrunk_size
from fieldloom.sources.sample import Sample
from helpers import Recorded, damaged_png, encode, make_folder, pixels, text_file


@pytest.mark.parametrize(
    ("height", "width", "side", "expected"),
    [
        (500, 375, 256, (341, 256)),
        (375, 500, 256, (256, 341)),
        (300, 300, 256, (256, 256)),
        (256, 999, 256, (256, 999)),
        (100, 999, 256, (100, 999)),
        (999, 333, 0, (999, 333)),
        (3, 1000, 1, (1, 333)),
    ],
)
def test_sizes(height: int, width: int, side: int, expected: tuple[int, int]) -> None:
    assert shrunk_size(height, width, side) == expected


@pytest.mark.parametrize("turned", [1, 3, 6])
def test_pixels_are_those_of_pillow(tmp_path: Path, turned: int) -> None:
    data = encode(pixels(40, 60), turned=turned, quality=95)
    (tmp_path / "a.jpg").write_bytes(data)
    source = fl.pack([(data, 0)], tmp_path / "packed", side=16)
    upright = ImageOps.exif_transpose(Image.open(tmp_path / "a.jpg")).convert("RGB")
    size = (16, 24) if upright.height > upright.width else (24, 16)
    assert np.array_equal(source.pixels(0), np.asarray(upright.resize(size, Image.Resampling.BILINEAR)))


def test_jpeg_keeps_bytes_unless_it_shrinks(tmp_path: Path) -> None:
    small, large, png = encode(pixels(20, 30), turned=6), encode(pixels(40, 30)), encode(form="PNG")
    source = fl.pack([(small, 0), (large, 1), (png, 2)], tmp_path / "packed", kind="jpeg", side=20)
    assert bytes(source.read(0)) == small
    assert [source.read(i)[:2].tobytes() for i in range(3)] == [b"\xff\xd8"] * 3
    assert source.sizes(np.arange(3)).tolist() == [[30, 20], [26, 20], [20, 26]]
    better = fl.pack([(large, 1)], tmp_path / "better", kind="jpeg", side=20, quality=99)
    assert len(better.read(0)) > len(source.read(1))


def test_samples_stored_as_pixels_can_be_packed_as_jpeg(tmp_path: Path) -> None:
    image = pixels(64, 96)
    source = fl.pack(([image], [0]), tmp_path / "packed", kind="jpeg", side=0, quality=95)
    decoded = np.asarray(Image.open(io.BytesIO(source.read(0).tobytes())))
    assert np.abs(decoded.astype(int) - image).mean() < 3


@pytest.mark.parametrize("kind", ["raw", "jpeg"])
def test_equal_bytes_whatever_the_threads(tmp_path: Path, kind: str) -> None:
    files = make_folder(tmp_path / "images", 12)
    files[5].write_bytes(text_file())
    options: dict[str, Any] = {"kind": kind, "side": 20, "on_bad_sample": "skip", "file_bytes": 5000}
    one = fl.pack(tmp_path / "images", tmp_path / "one", threads=1, **options)
    fl.pack(tmp_path / "images", tmp_path / "five", threads=5, **options)
    assert contents(tmp_path / "one") == contents(tmp_path / "five")
    assert (one.n_skipped, len(one)) == (1, 11)


def test_data_files_are_bounded(tmp_path: Path) -> None:
    path = packed(tmp_path, n=9, file_bytes=600)
    sizes = [file.stat().st_size for file in sorted(path.glob("data-*.bin"))]
    assert len(sizes) > 3
    assert max(sizes) <= 600
    whole = fl.pack((images(9), [0] * 9), tmp_path / "whole", side=0)
    assert all_bytes(PackedSource(path)) == all_bytes(whole)
    tiny = fl.pack((images(3), [0] * 3), tmp_path / "tiny", side=0, file_bytes=1)
    assert len(list((tmp_path / "tiny").glob("data-*.bin"))) == 3  # one sample each: none is cut
    tiny.verify()


def test_targets(tmp_path: Path) -> None:
    def targets(labels: Any, **options: Any) -> PackedSource:
        options = {"side": 0, "overwrite": True} | options
        return fl.pack((images(3), labels), tmp_path / "packed", **options)

    narrow = targets([0, 2, 1])
    assert (narrow.targets.dtype, narrow.targets.tolist()) == (np.int16, [0, 2, 1])
    assert targets([0, 40000, 1]).targets.dtype == np.int32
    assert targets([0, 2, 1], num_classes=9).targets.tolist() == [0, 2, 1]
    with pytest.raises(LabelError, match="label 2"):
        targets([0, 2, 1], num_classes=2)
    rows = Recorded(3)
    rows.targets = np.array([[0, 1.5], [2, 3], [4, 5]], np.float32)  # type: ignore[assignment]
    several = fl.pack(rows, tmp_path / "rows", side=0)
    assert np.array_equal(several.targets, rows.targets)
    assert several.targets.dtype == np.float32


class Described(Source):
    """Targets and a caption come with the samples."""

    stored = "encoded"
    more = True
    targets = None

    def __init__(self, values: list[Any]) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def name(self, i: int) -> str:
        return f"described {i}"

    def sample(self, i: int) -> Sample:
        return Sample(np.frombuffer(encode(i), np.uint8), self._values[i], None, {"caption": "text"})

    read = None  # type: ignore[assignment]


def test_targets_that_come_with_the_samples(tmp_path: Path) -> None:
    source = fl.pack(Described([2, 0, 1]), tmp_path / "a")
    assert source.targets.tolist() == [2, 0, 1]
    assert source.left_out == ["caption"]
    assert fl.pack(Described([[0.5, 1], [2, 3]]), tmp_path / "b").targets.tolist() == [[0.5, 1], [2, 3]]
    with pytest.raises(ArgumentError, match="differ in shape"):
        fl.pack(Described([1, [2, 3]]), tmp_path / "c")
    with pytest.raises(LabelError, match=r"sample 0.*a target is a number"):
        fl.pack(Described(["cat"]), tmp_path / "c")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize("bad", [float("nan"), [float("inf"), 1], 1e39, -1, True, np.uint64(2**63)])
def test_targets_that_the_loader_would_refuse_are_not_packed(tmp_path: Path, bad: Any) -> None:
    good: Any = [1, 2] if isinstance(bad, list) else 3
    with pytest.raises(LabelError, match="sample 1"):
        fl.pack(Described([good, bad]), tmp_path / "a")
    packed = fl.pack(Described([good, bad, good]), tmp_path / "a", on_bad_sample="skip")
    assert packed.targets.tolist() == [good, good]
    assert [row["sample"] for row in packed.skipped] == [1]


def test_num_classes_holds_for_targets_that_come_with_the_samples(tmp_path: Path) -> None:
    for target in (5, [1, 0, 1]):
        with pytest.raises(LabelError, match=r"sample 0.*from 0 to 4"):
            fl.pack(Described([target]), tmp_path / "a", num_classes=5)


def test_samples_without_targets_are_refused_at_once(tmp_path: Path) -> None:
    source = Described([None] * 100)
    source.pixels = None  # type: ignore[assignment]
    asked, sample = [], source.sample
    source.sample = lambda i: asked.append(i) or sample(i)  # type: ignore[func-returns-value,method-assign]
    with pytest.raises(ArgumentError, match="sample 0 has no target"):
        fl.pack(source, tmp_path / "a", threads=1)
    assert len(asked) < 10


def test_rows_of_which_none_is_left(tmp_path: Path) -> None:
    class Damaged(Recorded):
        def read(self, i: int) -> np.ndarray:
            return np.zeros(10, np.uint8)

    source = Damaged(3)
    source.targets = np.eye(3, dtype=np.float32)
    assert fl.pack(source, tmp_path / "a", on_bad_sample="skip").targets.shape == (0, 3)


def test_what_stands_where_a_data_set_is_made_is_left_alone(tmp_path: Path) -> None:
    own = tmp_path / "a.packing" / "notes.txt"
    own.parent.mkdir()
    own.write_text("mine")
    pairs = images(2), [0, 1]
    with pytest.raises(ArgumentError, match="something else is there"):
        fl.pack(pairs, tmp_path / "a")
    assert own.read_text() == "mine"
    own.unlink()
    fl.pack(pairs, tmp_path / "a")
    assert os.listdir(tmp_path) == ["a"]


def test_nothing_is_packed_into_its_own_source(tmp_path: Path) -> None:
    make_folder(tmp_path / "photos", 4)
    with pytest.raises(ArgumentError, match="lies within the source"):
        fl.pack(tmp_path / "photos", tmp_path / "photos" / "packed")
    assert len(fl.pack(tmp_path / "photos", tmp_path / "photos packed")) == 4


def test_paths_of_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(fl.pack((images(2), [0, 1]), os.fsencode(tmp_path / "a"))) == 2
    assert os.listdir(tmp_path) == ["a"]


def test_masks_are_refused(tmp_path: Path) -> None:
    source = Described([1])
    source.has_masks = True
    with pytest.raises(ArgumentError, match="masks"):
        fl.pack(source, tmp_path / "packed")


def test_classes_are_kept(tmp_path: Path) -> None:
    make_folder(tmp_path / "images", 6, n_classes=3)
    source = fl.pack(tmp_path / "images", tmp_path / "packed", side=8)
    assert source.classes == ["class0", "class1", "class2"]
    assert source.targets.tolist() == [0, 0, 1, 1, 2, 2]


def test_bad_samples(tmp_path: Path) -> None:
    pairs = [(encode(0), 0), (text_file(), 1), (encode(2), 2), (encode(pixels(200, 200)), 3)]
    with pytest.raises(DecodeError, match="sample 1"):
        fl.pack(pairs, tmp_path / "packed")
    assert os.listdir(tmp_path) == []
    source = fl.pack(pairs, tmp_path / "packed", on_bad_sample="skip", max_pixels=10000)
    assert source.targets.tolist() == [0, 2]
    assert [(row["sample"], row["error"]) for row in source.skipped] == [
        (1, "DecodeError"),
        (3, "LimitError"),
    ]
    with pytest.raises(LimitError, match="max_pixels is 50"):
        fl.pack((images(), [0] * N), tmp_path / "other", max_pixels=50)


@pytest.mark.parametrize("data", [encode()[:-20], damaged_png()], ids=["cut JPEG", "PNG with a broken body"])
def test_what_cannot_be_decoded_is_not_packed(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(DecodeError, match="sample 0"):
        fl.pack([(data, 0)], tmp_path / "packed", kind="jpeg", side=0)


def test_empty(tmp_path: Path) -> None:
    source = fl.pack([], tmp_path / "packed")
    source.verify()
    with fl.DataLoader(tmp_path / "packed", device="cpu") as loader:
        assert list(loader) == []


def test_interrupted_packing_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, _total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fl.pack((images(), [0] * N), tmp_path / "packed", side=0, on_progress=stop)
    assert os.listdir(tmp_path) == []


@pytest.mark.fault
@pytest.mark.slow
def test_killed_packing_leaves_nothing_that_opens(tmp_path: Path) -> None:
    path = tmp_path / "packed"
    process = multiprocessing.get_context("spawn").Process(target=pack_and_die, args=(str(path),))
    process.start()
    process.join(60)
    assert process.exitcode == -9
    assert not path.exists()
    for folder in (tmp_path / "packed.packing", tmp_path / "packed.packing" / "new"):
        assert folder.is_dir()
        with pytest.raises(SourceError):
            PackedSource(folder)
    packed_again = fl.pack((images(), [0] * N), path, side=0)
    packed_again.verify()
    assert os.listdir(tmp_path) == ["packed"]


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("fieldloom.sources.packed.packwriter.os.fsync", full)
    with pytest.raises(SourceError, match="No space left"):
        packed(tmp_path)
    assert os.listdir(tmp_path) == []


def test_what_is_there_is_kept_unless_overwrite(tmp_path: Path) -> None:
    path = packed(tmp_path)
    before = contents(path)
    with pytest.raises(ArgumentError, match="overwrite"):
        packed(tmp_path, n=3)
    with pytest.raises(DecodeError):  # an overwrite that fails
        fl.pack([(text_file(), 0)], path, overwrite=True)
    assert contents(path) == before
    assert len(fl.pack((images(3), [0] * 3), path, side=0, overwrite=True)) == 3
    assert os.listdir(tmp_path) == ["raw"]


def test_a_replaced_data_set_survives_a_kill_between_the_renames(tmp_path: Path) -> None:
    path = packed(tmp_path)
    before = contents(path)
    (tmp_path / "raw.packing").mkdir()
    path.rename(tmp_path / "raw.packing" / "old")
    with pytest.raises(ArgumentError, match="overwrite"):
        packed(tmp_path)
    assert contents(path) == before
    assert os.listdir(tmp_path) == ["raw"]


def test_a_replaced_data_set_survives_a_failed_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = packed(tmp_path), os.rename
    before = contents(path)

    def refuse(a: str, b: str) -> None:
        if a.endswith("new"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        real(a, b)

    monkeypatch.setattr("fieldloom.sources.packed.packwriter.os.rename", refuse)
    with pytest.raises(SourceError, match="Permission denied"):
        packed(tmp_path, n=3, overwrite=True)
    assert contents(path) == before


def test_other_folders_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    assert packed(tmp_path)  # an empty folder may be
    (tmp_path / "jpeg").mkdir()
    (tmp_path / "jpeg" / "thesis.txt").write_text("years of work")
    with pytest.raises(ArgumentError, match="something else"):
        packed(tmp_path, "jpeg", overwrite=True)
    assert os.listdir(tmp_path / "jpeg") == ["thesis.txt"]
    with pytest.raises(ArgumentError, match="folder above"):
        packed(tmp_path / "absent")


def test_a_data_set_can_be_packed_in_its_own_place(tmp_path: Path) -> None:
    path = packed(tmp_path)
    fl.pack(path, path, kind="jpeg", side=0, overwrite=True).verify()
    assert PackedSource(path).kind == "jpeg"


def test_two_at_once(tmp_path: Path) -> None:
    (tmp_path / "raw.packing").mkdir()
    lock = os.open(tmp_path / "raw.packing" / "lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ArgumentError, match="somebody else"):
            packed(tmp_path)
        assert (tmp_path / "raw.packing").is_dir()
    finally:
        os.close(lock)
    packed(tmp_path)


@pytest.mark.parametrize(
    "option",
    [
        {"kind": "png"}, {"side": -1}, {"side": 1.5}, {"quality": 0}, {"quality": 101}, {"threads": 0},
        {"overwrite": 1}, {"on_bad_sample": "substitute"}, {"max_pixels": 0}, {"file_bytes": 0},
        {"num_classes": 0},
    ],
    ids=str,
)  # fmt: skip
def test_arguments(tmp_path: Path, option: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(option))):
        fl.pack((images(), [0] * N), tmp_path / "packed", **option)
    assert os.listdir(tmp_path) == []


def test_the_written_facts(tmp_path: Path) -> None:
    meta = json.loads((packed(tmp_path) / "fieldloom.json").read_text())
    assert {key: meta[key] for key in ("version", "kind", "n", "n_classes", "side")} == {
        "version": 1, "kind": "raw", "n": N, "n_classes": 3, "side": 0,
    }  # fmt: skip


def test_a_bad_source_is_no_bad_sample(tmp_path: Path) -> None:
    broken = Recorded(3, errors={1: ShardError("the disk is gone")})
    with pytest.raises(ShardError):
        fl.pack(broken, tmp_path / "packed", on_bad_sample="skip")
    assert os.listdir(tmp_path) == []


def test_files_beside_a_packed_data_set_are_not_lost(tmp_path: Path) -> None:
    path = packed(tmp_path)
    (path / "notes.txt").write_text("mine")
    with pytest.raises(ArgumentError, match=r"other files.*: notes.txt"):
        packed(tmp_path, overwrite=True)
    assert (path / "notes.txt").read_text() == "mine"
    (path / "notes.txt").rename(path / ".notes")
    assert packed(tmp_path, n=3, overwrite=True) == path
    assert len(PackedSource(path)) == 3
