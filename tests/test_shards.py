"""`ShardSource`: which shards, which samples, which labels."""

import os
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shard_files import contents, image, sample, write_shards, write_tar

import fieldloom as fl
from fieldloom import errors
from fieldloom.sources import open_source
from fieldloom.sources.shards.braces import expand_braces
from fieldloom.sources.shards.shardsamples import split_name
from fieldloom.sources.shards.source import ShardSource


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


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


def test_num_classes_holds_for_a_source_that_was_opened_before(tmp_path: Path) -> None:
    source = ShardSource(write_shards(tmp_path, 20))
    assert open_source(source, num_classes=3) is source
    with pytest.raises(errors.LabelError, match="label 2"):
        open_source(source, num_classes=2)
