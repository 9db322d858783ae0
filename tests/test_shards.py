"""`ShardSource`: samples, labels, masks and fields of tar shards; damage, lacks, and any order."""

import contextlib
import io
import os
import pickle
import subprocess
import sys
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shard_files import image, sample, write_shards, write_tar

import fieldloom as fl
from fieldloom import errors
from fieldloom.sources import open_source
from fieldloom.sources.braces import expand_braces
from fieldloom.sources.descriptors import DESCRIPTORS
from fieldloom.sources.membervalues import member_value
from fieldloom.sources.shards import ShardSource
from fieldloom.sources.shardsamples import split_name
from helpers import check_closed, check_ledger, encode, ids_of


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def mask(i: int) -> bytes:
    height, width = 20 + i % 4, 24 - i % 3
    return encode((np.arange(height * width).reshape(height, width) % 7 + i).astype(np.uint8), "PNG")


def npy(array: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, **options)
    return out.getvalue()


def flat(batches: list[list[int]]) -> list[int]:
    return [i for batch in batches for i in batch]


def contents(source: ShardSource) -> list[bytes]:
    return [source.read(i).tobytes() for i in range(len(source))]


# ---------------------------------------------------------------- samples


def test_samples_stand_in_the_order_of_shards_and_members(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, 20)
    source = ShardSource(list(map(str, paths)))
    assert len(source) == 20
    assert source.targets.tolist() == [i % 3 for i in range(20)]
    assert source.targets.dtype == np.uint8
    assert contents(source) == [image(i) for i in range(20)]
    assert not source.more
    assert not source.has_masks
    assert source.names == {"image": "jpg", "target": "cls"}
    assert source.name(9) == f"{paths[1]}:000009"
    backwards = ShardSource(paths[::-1])
    assert contents(backwards)[:4] == [image(i) for i in range(16, 20)]
    again = ShardSource(paths)  # from the indices
    assert contents(again) == contents(source)
    assert contents(pickle.loads(pickle.dumps(again))) == contents(source)
    for i in (-1, 20):
        with pytest.raises(IndexError):
            source.read(i)


def test_ways_to_name_shards(tmp_path: Path) -> None:
    paths = [str(path) for path in write_shards(tmp_path / "x", 20)]
    (tmp_path / "x/.hidden.tar").write_bytes(b"")
    (tmp_path / "x/notes.txt").write_bytes(b"")
    for shards in (tmp_path / "x", str(tmp_path / "x"), f"{tmp_path}/x/train-{{000..002}}.tar", paths):
        assert ShardSource(shards).paths == paths
        assert ShardSource(shards).paths == paths  # with index files beside
    listed = f"{tmp_path}/x/train-{{002,000}}.tar"
    assert ShardSource(listed).paths == [paths[2], paths[0]]
    assert ShardSource(os.fsencode(paths[0])).paths == paths[:1]
    odd = tmp_path / "odd{1..2}.tar"
    odd.write_bytes(Path(paths[0]).read_bytes())
    assert ShardSource(odd).paths == [str(odd)]
    for opened in (
        open_source(paths),
        open_source([Path(paths[1])]),
        open_source(paths[0]),
        open_source(tmp_path / "x"),
        open_source(listed),
    ):
        assert isinstance(opened, ShardSource)
    assert len(ShardSource([])) == 0
    (tmp_path / "x.tar.gz").write_bytes(b"")
    with pytest.raises(errors.ArgumentError, match=r"no random access.*Unpack it"):
        open_source(tmp_path / "x.tar.gz")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.tar", ["a.tar"]),
        ("a-{8..11}", ["a-8", "a-9", "a-10", "a-11"]),
        ("a-{08..11}", ["a-08", "a-09", "a-10", "a-11"]),
        ("{x,y}/{0..1}", ["x/0", "x/1", "y/0", "y/1"]),
        ("{x,}", ["x", ""]),
        ("{3..3}", ["3"]),
    ],
)
def test_braces(pattern: str, names: list[str]) -> None:
    assert expand_braces(pattern) == names


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{a", "do not match"), ("a}", "do not match"), ("{{1..2}}", "inside each other"), ("{}", "neither"),
        ("{a}", "neither"), ("{1..2..3}", "neither"), ("{-1..2}", "neither"), ("{9..1}", "downwards"),
        ("{0..1000000}", "more than 1000000"), ("{0..999}{0..999}{0..9}", "more than"),
        ("{0..99999999999999999}", "more than"),
    ],
)  # fmt: skip
def test_patterns_that_cannot_be_read(pattern: str, message: str) -> None:
    with pytest.raises(errors.ArgumentError, match=message):
        expand_braces(pattern)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (b"000.jpg", (b"000", "jpg")),
        (b"./a/000.seg.PNG", (b"a/000", "seg.png")),
        (b"a.b/c.d.e", (b"a.b/c", "d.e")),
        (b"a/.hidden", None),
        (b"._000.jpg", None),
        (b"README", None),
        (b"000.", None),
        (b"__meta__/x.json", None),
        (b"__meta__", None),
        (b"\xff.jpg", (b"\xff", "jpg")),
    ],
)
def test_names_split_at_the_first_dot_of_the_last_part(name: bytes, parts: Any) -> None:
    assert split_name(name) == parts


def test_what_belongs_to_no_sample_is_passed_over(tmp_path: Path) -> None:
    one, two = sample(0), sample(1)
    members = [("README", b"x"), one[0], ("._000000.jpg", b"x"), one[1], ("__meta__/a.json", b"{"), *two]
    source = ShardSource(write_tar(tmp_path / "a.tar", members))
    assert contents(source) == [image(0), image(1)]


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    members = [(f"\udcff{name}", data) for name, data in sample(0)]
    source = ShardSource(write_tar(tmp_path / "a.tar", members, tarfile.GNU_FORMAT))
    assert contents(source) == [image(0)]
    assert source.name(0).endswith(":\udcff000000")


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize("text", ["-1", "1.5", "NaN", "cat", "", "1 2", "9" * 30, "²"])
def test_labels_that_are_no_class(text: str, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", sample(0) + sample(1, {"cls": text}))
    with pytest.raises(errors.LabelError, match=r"label .*of 000001.*a\.tar|a\.tar.*label"):
        ShardSource(path)


def test_labels_out_of_range(tmp_path: Path) -> None:
    paths = write_shards(tmp_path, 8, each=4)
    assert ShardSource(paths, num_classes=3).targets.max() == 2
    with pytest.raises(errors.LabelError, match=r"label 2 .*sample 2 .*:000002.*0 to 1.*num_classes=3"):
        ShardSource(paths, num_classes=2)
    path = write_tar(tmp_path / "big.tar", sample(0, {"cls": "1000000000"}))
    with pytest.raises(errors.LabelError, match=r"1000000000.*0 to 99999999"):
        ShardSource([*paths, path])
    with pytest.raises(errors.LabelError, match="sample 8 "):
        ShardSource([*paths, path])


def test_labels_take_the_narrowest_type(tmp_path: Path) -> None:
    narrow = write_tar(tmp_path / "a.tar", sample(0, {"cls": "255\n"}))
    wide = write_tar(tmp_path / "b.tar", sample(1, {"cls": " 70000"}))
    assert ShardSource(narrow).targets.dtype == np.uint8
    both = ShardSource([narrow, wide])
    assert both.targets.dtype == np.uint32
    assert both.targets.tolist() == [255, 70000]


def test_labels_in_json(tmp_path: Path) -> None:
    members = [m for i in range(4) for m in sample(i, {"json": {"label": i + 5, "by": "x"}, "cls": None})]
    source = ShardSource(write_tar(tmp_path / "a.tar", members), target="json:label")
    assert source.targets.tolist() == [5, 6, 7, 8]
    assert source.sample(1).fields == {"json": {"label": 6, "by": "x"}}
    with pytest.raises(errors.ShardError, match=r"000000 lacks a label \(cls\).*jpg, json.*json:key"):
        ShardSource(tmp_path / "a.tar")
    with pytest.raises(errors.ShardError, match=r"lacks a label \(json:nothing\)"):
        ShardSource(tmp_path / "a.tar", target="json:nothing")
    with pytest.raises(errors.LabelError, match="'x'"):
        ShardSource(tmp_path / "a.tar", target="json:by")


@pytest.mark.parametrize("label", [True, 1.0, None, -1, [1, "x"], [[1]], {"a": 1}])
def test_json_labels_that_are_no_class(label: object, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", sample(0, {"json": {"label": label}}))
    with pytest.raises(errors.LabelError, match="whole number"):
        ShardSource(path, target="json:label", num_classes=3)


@pytest.mark.parametrize("data", [b"{", b"\xff", b"[" * 100000])
def test_damaged_json_with_the_label(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(errors.LabelError, match="JSON is damaged"):
        ShardSource(write_tar(tmp_path / "a.tar", sample(0, {"json": data})), target="json:label")


def test_lists_of_labels_become_rows(tmp_path: Path) -> None:
    lists = [[0, 2], [], [1], [3, 3, 0]]
    for place, part in enumerate((lists[:2], lists[2:])):
        members = [m for i, one in enumerate(part) for m in sample(2 * place + i, {"json": {"y": one}})]
        write_tar(tmp_path / f"{place}.tar", members)
    for _ in range(2):
        source = ShardSource(tmp_path, target="json:y", num_classes=4)
        assert source.targets.tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 1]]
        assert source.targets.dtype == np.float32
        assert contents(source) == [image(i) for i in range(4)]
    with pytest.raises(errors.ArgumentError, match="num_classes"):
        ShardSource(tmp_path, target="json:y")
    with pytest.raises(errors.LabelError, match=r"label 3 .*sample 3 .*1\.tar:000003"):
        ShardSource(tmp_path, target="json:y", num_classes=3)
    with fl.DataLoader(source, batch_size=4, size=8, device="cpu") as loader:
        assert next(iter(loader)).targets.tolist() == source.targets.tolist()


def test_lists_and_numbers_do_not_mix(tmp_path: Path) -> None:
    one, two = sample(0, {"json": {"y": [1]}}), sample(1, {"json": {"y": 1}})
    write_tar(tmp_path / "a.tar", one + two)
    with pytest.raises(errors.LabelError, match=r"label 1 of 000001.*others are numbers"):
        ShardSource(tmp_path / "a.tar", target="json:y", num_classes=4)
    (tmp_path / "a.tar").unlink()
    write_tar(tmp_path / "b.tar", one)
    write_tar(tmp_path / "c.tar", two)
    with pytest.raises(errors.LabelError, match=r"those of others are numbers"):
        ShardSource(tmp_path, target="json:y", num_classes=4)


def test_a_large_label_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.LabelError, match="limit is 1048576"):
        ShardSource(write_tar(tmp_path / "a.tar", sample(0, {"cls": b"1" * (1 << 21)})))


@pytest.mark.parametrize(
    "options",
    [
        {"target": "label"}, {"target": "json:"}, {"target": 3}, {"image": "JPG"}, {"mask": ""}, {"image": 1},
        {"on_missing": "ignore"}, {"fields": 1}, {"num_classes": 0}, {"shards": 3}, {"shards": [1]},
        {"shards": "{a.tar"}, {"shards": ["a.tar", "a.tar"]}, {"shards": ["a.tar", "s3://b/a.tar"]},
    ],
)  # fmt: skip
def test_wrong_options(options: dict[str, Any]) -> None:
    with pytest.raises(errors.ArgumentError):
        ShardSource(**{"shards": []} | options)


# ---------------------------------------------------------------- masks and fields


def test_masks_and_fields_come_along(tmp_path: Path) -> None:
    def fields(i: int) -> dict[str, Any]:
        return {
            "seg.png": mask(i), "txt": f"größe {i}", "json": {"i": i}, "v.npy": npy(np.arange(i + 1)),
            "bin": b"\0\1", "thumb.jpg": image(9),
        }  # fmt: skip

    source = ShardSource(write_tar(tmp_path / "a.tar", [m for i in range(5) for m in sample(i, fields(i))]))
    assert source.has_masks
    assert source.more
    assert source.names == {"image": "jpg", "target": "cls", "mask": "seg.png"}
    found = source.sample(3)
    assert found.image.tobytes() == source.read(3).tobytes() == image(3)
    assert found.mask.tobytes() == mask(3)
    assert found.fields.pop("v.npy").tolist() == [0, 1, 2, 3]
    assert found.fields == {"txt": "größe 3", "json": {"i": 3}, "bin": b"\0\1", "thumb.jpg": image(9)}
    with fl.DataLoader(source, batch_size=2, size=8, device="cpu") as loader:
        batch = next(iter(loader))
        assert batch["cls"].tolist() == [0, 1]
        assert batch["txt"] == ["größe 0", "größe 1"]
        assert batch["seg.png"] is batch.masks
        assert set(batch.masks[1].unique().tolist()) <= set(range(1, 8))
    bare = ShardSource(tmp_path / "a.tar", fields=False)
    assert bare.sample(3).fields == {}
    assert bare.sample(3).mask.tobytes() == mask(3)


def test_samples_without_labels(tmp_path: Path) -> None:
    members = [m for i in range(5) for m in sample(i, {"cls": None, "mask.png": mask(i)})]
    source = ShardSource(write_tar(tmp_path / "a.tar", members), target=None)
    assert source.targets is None
    assert len(source) == 5
    assert source.more
    assert source.sample(2).mask.tobytes() == mask(2)
    with fl.DataLoader(source, batch_size=5, size=8, device="cpu") as loader:
        assert next(iter(loader)).masks.shape == (5, 8, 8)


def test_fields_can_be_named(tmp_path: Path) -> None:
    members = [m for i in range(3) for m in sample(i, {"png": mask(i)})]
    path = write_tar(tmp_path / "a.tar", members)
    with pytest.raises(errors.ShardError, match=r'images jpg and png.*image="jpg".*mask="png"'):
        ShardSource(path)
    source = ShardSource(path, mask="png")
    assert source.sample(1).image.tobytes() == image(1)
    assert source.sample(1).mask.tobytes() == mask(1)
    other = ShardSource(path, image="png")
    assert other.read(1).tobytes() == mask(1)
    assert other.sample(1).fields["jpg"] == image(1)
    with pytest.raises(errors.ShardError, match="no sample has the field nothing"):
        ShardSource(path, image="jpg", mask="nothing")
    with pytest.raises(errors.ShardError, match="lacks an image"):
        ShardSource(path, image="webp")


def test_an_image_of_two_parts_of_a_name(tmp_path: Path) -> None:
    members = sample(0, {"jpg": None, "rgb.png": mask(0)})
    assert contents(ShardSource(write_tar(tmp_path / "a.tar", members))) == [mask(0)]


@pytest.mark.parametrize(
    ("field", "data", "message"),
    [
        ("txt", b"\xff", "utf-8"),
        ("json", b"{", "JSON|Expecting"),
        ("json", b"[" * 100000, "recursion"),
        ("npy", b"", "magic|EOF|header"),
        ("npy", npy(np.array([{}, 1], object), allow_pickle=True), "object"),
        ("npy", npy(np.zeros(3))[:-1], "takes 24 bytes, and 23 follow"),
        ("npy", npy(np.zeros(3)) + b"x", "takes 24 bytes, and 25 follow"),
        ("npy", npy(np.zeros(3)).replace(b"(3,)", b"(9999999999999,)"), "takes|header"),
        ("npy", npy(np.zeros(3)).replace(b"(3,)", b"(-3,)"), "plain numbers"),
        ("npy", npy(np.zeros(3)).replace(b"'<f8'", b"'|V0'"), "plain numbers"),
    ],
)
def test_damaged_fields(field: str, data: bytes, message: str, tmp_path: Path) -> None:
    source = ShardSource(write_tar(tmp_path / "a.tar", sample(0, {field: data})))
    with pytest.raises(errors.DecodeError, match=rf"(?i)field {field} sample 0 .*a\.tar:000000.*({message})"):
        source.sample(0)
    assert source.read(0).tobytes() == image(0)


def test_values_of_fields() -> None:
    def value(name: str, data: bytes) -> Any:
        return member_value(name, np.frombuffer(data, np.uint8))

    assert value("cls", b"12\n") == 12
    assert value("cls", b"cat") == b"cat"
    assert value("caption.txt", b"x") == "x"
    columns = np.asfortranarray(np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(value("npy", npy(columns)), columns)
    assert value("npy", npy(np.float32(3))).shape == ()
    assert value("xyz", b"") == b""


# ---------------------------------------------------------------- incomplete samples, damaged shards


def test_what_lacks_something_is_named_or_left_out(tmp_path: Path) -> None:
    members = [
        *sample(0), *sample(1, {"cls": None}), *sample(2, {"jpg": None, "txt": "x"}), *sample(3),
        *sample(4, {"jpg": None, "cls": None, "txt": "alone"}),
    ]  # fmt: skip
    path = write_tar(tmp_path / "a.tar", members)
    with pytest.raises(
        errors.ShardError, match=r'000001 lacks a label.* in .*a\.tar: it has jpg.*on_missing="skip"'
    ) as e:
        ShardSource(path)
    assert e.value.file == str(path)
    for _ in range(2):
        source = ShardSource(path, on_missing="skip")
        assert contents(source) == [image(0), image(3)]
        assert source.targets.tolist() == [0, 0]
        assert source.n_skipped == 3
    path = write_tar(tmp_path / "b.tar", sample(2, {"jpg": None}))
    with pytest.raises(errors.ShardError, match=r"000002 lacks an image.*it has cls"):
        ShardSource(path)


def test_samples_without_a_mask_are_named_or_left_out(tmp_path: Path) -> None:
    members = [*sample(0), *sample(1, {"seg.png": mask(1)}), *sample(2), *sample(3, {"seg.png": mask(3)})]
    path = write_tar(tmp_path / "a.tar", members)
    with pytest.raises(errors.ShardError, match=r"000000 lacks a mask"):
        ShardSource(path)
    source = ShardSource(path, on_missing="skip")
    assert contents(source) == [image(1), image(3)]
    assert source.targets.tolist() == [1, 0]
    assert source.n_skipped == 2
    write_tar(tmp_path / "b.tar", sample(5))
    with pytest.raises(errors.ShardError, match=r"b\.tar.*1 of 2 have no masks"):
        ShardSource([path, tmp_path / "b.tar"], on_missing="skip")
    listed = [*sample(0, {"json": {"y": [1, 2]}}), *sample(1, {"seg.png": mask(1), "json": {"y": [2, 3]}})]
    rows = ShardSource(
        write_tar(tmp_path / "c.tar", listed), on_missing="skip", target="json:y", num_classes=4
    ).targets
    assert rows.tolist() == [[0, 0, 1, 1]]


def test_duplicates_are_refused(tmp_path: Path) -> None:
    twice = [*sample(0), sample(0)[0]]
    with pytest.raises(errors.ShardError, match=r"sample 000000 has the field jpg twice"):
        ShardSource(write_tar(tmp_path / "a.tar", twice))
    with pytest.raises(errors.ShardError, match=r"two samples are called 000000"):
        ShardSource(write_tar(tmp_path / "b.tar", [*sample(0), *sample(1), *sample(0)]))
    torn = [sample(0)[0], sample(1)[0], sample(0)[1], sample(1)[1]]  # all images, then all labels
    with pytest.raises(errors.ShardError, match=r"000000 lacks a label"):
        ShardSource(write_tar(tmp_path / "c.tar", torn))
    same = [write_tar(tmp_path / name, sample(0)) for name in ("d.tar", "e.tar")]
    assert len(ShardSource(same)) == 2  # shards may count alike


@pytest.mark.parametrize("name", ["folder", "gz", "empty", "missing", "fifo", "cut", "unsafe"])
def test_shards_that_cannot_be_used(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    good = write_tar(tmp_path / "good.tar", sample(0)).read_bytes()
    expected, message = {
        "folder": (errors.SourceError, "none of them is a .tar"),
        "gz": (errors.ShardError, "gunzip"),
        "empty": (errors.ShardError, "it is empty"),
        "missing": (errors.MissingError, "does not exist"),
        "fifo": (errors.UnsafeError, "not a regular file"),
        "cut": (errors.ShardError, "cut"),
        "unsafe": (errors.UnsafeError, "leads out"),
    }[name]
    if name == "folder":
        path.mkdir()
    elif name == "fifo":
        os.mkfifo(path)
    elif name == "gz":
        with tarfile.open(path, "w:gz") as tar:
            tar.addfile(tarfile.TarInfo("x"))
    elif name == "unsafe":
        write_tar(path, [("../x.jpg", b"x")])
    elif name != "missing":
        path.write_bytes({"empty": b"", "cut": good[:-9728]}[name])
    with pytest.raises(expected, match=rf"a\.tar.*{message}|{message}.*a\.tar") as e:
        ShardSource(path)
    assert e.value.remedy
    assert e.value.file == str(path)
    assert not list(tmp_path.glob("*.fieldloom"))


# ---------------------------------------------------------------- changes under the reader


def same_time(path: Path, write: Any) -> None:
    """Change a file so that neither size nor time tell."""
    before = path.stat()
    write()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


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


# ---------------------------------------------------------------- at work


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
from fieldloom.sources.shards import ShardSource
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
