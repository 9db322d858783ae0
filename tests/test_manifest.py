"""Manifests: what each kind of table becomes, and each way in which one can be broken."""

import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fieldloom as fl
from fieldloom import errors
from fieldloom.sources import ManifestSource, open_source
from helpers import check_ledger, encode, make_folder

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

N = 6


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Paths of six images, relative to the manifest's folder."""
    return [str(path.relative_to(tmp_path)) for path in make_folder(tmp_path, N)]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def csv(root: Path, header: str, rows: list[Any], name: str = "list.csv") -> Path:
    return write(root / name, header + "\n" + "".join(f"{row}\n" for row in rows))


FORMS: dict[str, Callable[[Path, list[str]], Path]] = {
    "csv": lambda root, files: csv(root, "image,label", [f"{f},{i % 3}" for i, f in enumerate(files)]),
    "semicolons": lambda root, files: csv(root, "image;label", [f"{f};{i % 3}" for i, f in enumerate(files)]),
    "byte order mark": lambda root, files: csv(
        root, "\ufeffimage,label", [f"{f},{i % 3}" for i, f in enumerate(files)]
    ),
    "quoted": lambda root, files: csv(
        root, '"image","label"', [f'"{f}","{i % 3}"' for i, f in enumerate(files)]
    ),
    "pandas index": lambda root, files: csv(
        root, ",image,label", [f"{i},{f},{i % 3}" for i, f in enumerate(files)]
    ),
    "tsv": lambda root, files: csv(
        root, "image\tlabel", [f"{f}\t{i % 3}" for i, f in enumerate(files)], "list.tsv"
    ),
    "jsonl": lambda root, files: write(
        root / "list.jsonl",
        "".join(json.dumps({"image": f, "label": i % 3}) + "\n" for i, f in enumerate(files)),
    ),
    "json array": lambda root, files: write(
        root / "list.json", json.dumps([{"image": f, "label": i % 3} for i, f in enumerate(files)], indent=1)
    ),
    "parquet": lambda root, files: table(root, image=files, label=[i % 3 for i in range(len(files))]),
}


def table(root: Path, **columns: Any) -> Path:
    parquet.write_table(pa.table(columns), root / "list.parquet")
    return root / "list.parquet"


@pytest.mark.parametrize("form", FORMS)
def test_forms(tmp_path: Path, files: list[str], form: str) -> None:
    source = open_source(FORMS[form](tmp_path, files))
    assert isinstance(source, ManifestSource)
    assert source.targets.dtype == np.int64
    assert source.targets.tolist() == [0, 1, 2, 0, 1, 2]
    assert (source.classes, source.stored, source.more) == (None, "encoded", False)
    for i, file in enumerate(files):
        assert source.read(i).tobytes() == (tmp_path / file).read_bytes()
        assert source.name(i) == str(tmp_path / file)
    assert pickle.loads(pickle.dumps(source)).read(2).tobytes() == source.read(2).tobytes()


def test_labels_as_text_are_sorted_by_name(tmp_path: Path, files: list[str]) -> None:
    names = ["dog", "Cat", "emu", "dog", "10", "9"]
    path = csv(tmp_path, "Path,Class", [f"{f},{c}" for f, c in zip(files, names, strict=True)])
    source = ManifestSource(path)
    assert source.classes == ["10", "9", "Cat", "dog", "emu"]
    assert [source.classes[t] for t in source.targets] == names
    assert source.names == {"image": "Path", "target": "Class"}
    chosen = ManifestSource(path, classes=["dog", "Cat", "emu", "9", "10", "none"])
    assert chosen.targets.tolist() == [0, 1, 2, 0, 4, 3]
    with pytest.raises(errors.LabelError, match=r"label '10' for sample 4 .*row 5"):
        ManifestSource(path, classes=["dog", "Cat", "emu", "9"])
    with pytest.raises(errors.ArgumentError, match=r"num_classes=4 .*5 different names"):
        ManifestSource(path, num_classes=4)


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["true", "false", "true"], ["false", "true"]),
        (["2020-01-02", "2020-01-01", "2020-01-02"], ["2020-01-01", "2020-01-02"]),
        (["NA", "x", "NA"], ["NA", "x"]),
        (["größe", "象", "größe"], ["größe", "象"]),
    ],
)
def test_labels_that_look_like_something_else(tmp_path: Path, values: list[str], classes: list[str]) -> None:
    source = ManifestSource(csv(tmp_path, "image,label", [f"x.jpg,{value}" for value in values]))
    assert source.classes == classes
    assert [source.classes[t] for t in source.targets] == values


def test_paths_that_look_like_numbers(tmp_path: Path) -> None:
    for name, data in (("0012", b"twelve"), ("true", b"yes"), ("2020-01-01 00:00:00", b"day")):
        write(tmp_path / name, data)
        for path in (
            csv(tmp_path, "image,label", [f"{name},0"]),
            write(tmp_path / "list.jsonl", json.dumps({"image": name, "label": 0})),
        ):
            assert ManifestSource(path).read(0).tobytes() == data


def test_multi_label(tmp_path: Path, files: list[str]) -> None:
    expected = [[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 1, 1]]
    names = ["a", "b", "c"]
    words = [[n for n, on in zip(names, row, strict=True) if on] for row in expected]
    hot: list[ManifestSource] = [
        ManifestSource(
            csv(tmp_path, "image,tags", [f"{f},{' | '.join(w)}" for f, w in zip(files, words, strict=True)]),
            target="tags", label_separator="|",
        ),
        ManifestSource(table(tmp_path, image=files, label=words)),
        ManifestSource(table(tmp_path, image=files, label=expected)),
        ManifestSource(table(tmp_path, image=files, label=np.array(expected, np.float64).tolist())),
        ManifestSource(
            table(tmp_path, image=files, label=[np.flatnonzero(row).tolist() for row in expected]),
            classes=names,
        ),
        ManifestSource(
            table(tmp_path, image=files, **{n: [row[k] for row in expected] for k, n in enumerate(names)}),
            target=names,
        ),
    ]  # fmt: skip
    for source in hot:
        assert source.targets.dtype == np.float32
        assert source.targets.tolist() == expected
    assert [source.classes for source in hot] == [names, names, None, None, names, names]


def test_lists_of_integers_are_not_guessed_about(tmp_path: Path, files: list[str]) -> None:
    path = table(tmp_path, image=files, label=[[3, 1]] * N)
    with pytest.raises(errors.LabelError, match=r"class indices, or numbers to learn.*num_classes="):
        ManifestSource(path)
    assert ManifestSource(path, num_classes=4).targets.tolist() == [[0, 1, 0, 1]] * N
    with pytest.raises(errors.LabelError, match=r"label 3 for sample 0 .*from 0 to 2"):
        ManifestSource(path, num_classes=3)


def test_fields_and_names(tmp_path: Path, files: list[str]) -> None:
    path = table(
        tmp_path, img=files, y=list(range(N)), caption=[f"c{i}" for i in range(N)],
        box=[[i, 1.5] for i in range(N)], weight=[None, *range(1, N)],
    )  # fmt: skip
    with fl.DataLoader(path, batch_size=N, size=8, threads=1, device="cpu") as loader:
        batch = next(iter(loader))
        assert batch["img"] is batch.images
        assert batch["y"] is batch.targets
        assert batch["caption"] == [f"c{i}" for i in range(N)]
        assert batch["box"].tolist() == [[i, 1.5] for i in range(N)]
        assert batch["weight"] == [None, *range(1, N)]
        assert batch.keys() == ["img", "y", "caption", "box", "weight"]
        with pytest.raises(errors.ArgumentError, match=r"'z'.*There are img, y, caption"):
            batch["z"]
    assert not ManifestSource(path, fields=()).more
    assert list(ManifestSource(path, fields=["box"]).sample(0).fields) == ["box"]


def test_images_in_parquet(tmp_path: Path) -> None:
    data = [encode(i) for i in range(N)]
    write(tmp_path / "x.jpg", data[1])
    for images in (
        data,
        [{"bytes": d, "path": f"x{i}.jpg"} for i, d in enumerate(data)],
        [data[0], *data[1:]],
        [{"bytes": None if i == 1 else d, "path": "x.jpg"} for i, d in enumerate(data)],
    ):
        source = ManifestSource(table(tmp_path, image=images, label=[0] * N))
        assert [source.read(i).tobytes() for i in range(N)] == data
        assert source.name(2) == f"{tmp_path}/list.parquet, row 3"
    source = ManifestSource(table(tmp_path, image=[data[0], None, b""], label=[0] * 3))
    for i in (1, 2):
        with pytest.raises(errors.DecodeError, match=rf"sample {i} .*row {i + 1}.*has no image"):
            source.read(i)
    with pytest.raises(errors.ManifestError, match=r"the limit is 10.*max_table_bytes"):
        ManifestSource(tmp_path / "list.parquet", max_table_bytes=10)


def test_categories_of_pandas(tmp_path: Path, files: list[str]) -> None:
    column = pa.array(["b", "a", "b", "a", "c", "c"]).dictionary_encode()
    source = ManifestSource(table(tmp_path, image=pa.array(files).dictionary_encode(), label=column))
    assert source.classes == ["a", "b", "c"]
    assert source.targets.tolist() == [1, 0, 1, 0, 2, 2]


def test_masks(tmp_path: Path, files: list[str]) -> None:
    for i in range(N):
        write(tmp_path / f"{i}.png", bytes([i + 1]))
    path = csv(tmp_path, "image,Mask", [f"{f},{i}.png" for i, f in enumerate(files)])
    source = ManifestSource(path)
    assert (source.has_masks, source.targets, source.more, len(source)) == (True, None, True, N)
    assert source.sample(4).mask.tolist() == [5]
    assert source.names == {"image": "image", "mask": "Mask"}
    csv(tmp_path, "image,mask", [f"{f},{'' if i == 2 else 'none.png'}" for i, f in enumerate(files)])
    source = ManifestSource(path)
    with pytest.raises(errors.DecodeError, match="has no mask"):
        source.sample(2)
    with pytest.raises(errors.DecodeError, match=r"none\.png.*does not exist"):
        source.sample(3)


def test_without_targets(tmp_path: Path, files: list[str]) -> None:
    path = csv(tmp_path, "image,species", [f"{f},cat" for f in files])
    with pytest.raises(errors.ManifestError, match=r"'image', 'species'.*target="):
        ManifestSource(path)
    with fl.DataLoader(ManifestSource(path, target=()), batch_size=4, size=8, threads=1) as loader:
        batches = check_ledger(loader)
        assert batches[0].targets.tolist() == [-1] * 4
        assert batches[0]["species"] == ["cat"] * 4


def test_paths_and_roots(tmp_path: Path, files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lists").mkdir()
    path = csv(tmp_path / "lists", "image,label", [f"../{files[0]},0", f"{tmp_path / files[1]},1"])
    source = ManifestSource(path)
    for i in range(2):
        assert source.read(i).tobytes() == (tmp_path / files[i]).read_bytes()
    monkeypatch.chdir(tmp_path / "lists")
    assert ManifestSource("list.csv").read(0).tobytes() == (tmp_path / files[0]).read_bytes()
    path = csv(tmp_path / "lists", "image,label", [f"{files[0]},0", f"x/../../{files[0]},0", "/etc/passwd,0"])
    source = ManifestSource(path, root=tmp_path)
    assert source.read(0).tobytes() == (tmp_path / files[0]).read_bytes()
    for i in (1, 2):
        with pytest.raises(errors.UnsafeError, match=rf"sample {i} .*row {i + 1}.*outside root"):
            source.read(i)


def test_a_missing_image_is_one_bad_sample(tmp_path: Path, files: list[str]) -> None:
    path = csv(tmp_path, "image,label", [f"{f},0" for f in [*files, "none.jpg"]])
    with fl.DataLoader(path, batch_size=4, size=8, on_bad_sample="skip", threads=1) as loader:
        check_ledger(loader)
        assert [bad.sample for bad in loader.ledger.bad] == [N]


BROKEN = {
    "empty": (b"", "the file is empty"),
    "no rows": (b"image,label\n", "it has no rows"),
    "ragged": (b"image,label\nx,1\n\ny\n", r"line 4 has 1 fields, the first has 2: 'y'"),
    "ragged behind lines in quotes": (b'image,label\n"x\ny",1\nz,1,2\n', "line 4 has 3 fields"),
    "open quote": (b'image,label\n"x,1\ny,2\n', "fields"),
    "path not UTF-8": (b"image,label\nx\xff,1\n", "Row #2.*UTF8"),
    "label not UTF-8": (b"image,label\nx,a\ny,b\xff\n", "'label' is not UTF-8 in row 2"),
    "header not UTF-8": (b"image,label\xff\nx,1\n", "not UTF-8"),
    "UTF-16": ("image,label\nx,1\n".encode("utf-16"), "it is UTF-16"),
    "one name twice": (b"image,label,image\nx,1,y\n", "two columns are called 'image'"),
    "no header": (b"x.jpg,1\ny.jpg,2\n", "none of its columns.*'x.jpg', '1'.*first line"),
    "no path": (b"image,label\nx,1\n,2\n", "row 2 has no path in column 'image'"),
    "addresses": (b"image,label\ns3://b/x.jpg,1\n", "addresses"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_csv(tmp_path: Path, name: str) -> None:
    content, match = BROKEN[name]
    with pytest.raises(errors.ManifestError, match=match) as caught:
        open_source(write(tmp_path / "list.csv", content))
    assert caught.value.file == str(tmp_path / "list.csv")
    assert caught.value.remedy


LABELS = {
    "-1": "label -1 is not usable",
    "1.5": r"label 1\.5",
    "1e9": r"label 1000000000\.0",
    "1000000000": "label 1000000000 ",
    "99999999999999999999999": r"label 1e\+23",
    "nan": "no label",
    "": "no label",
}


@pytest.mark.parametrize("value", LABELS)
def test_bad_labels(tmp_path: Path, value: str) -> None:
    bad = csv(tmp_path, "image,label", ["x,1", f"y,{value}"])
    with pytest.raises(errors.LabelError, match=LABELS[value]) as caught:
        ManifestSource(bad)
    assert caught.value.sample == 1
    assert caught.value.file == f"{bad}, row 2"


@pytest.mark.parametrize(
    ("column", "match", "sample"),
    [
        ([0.0, float("nan")], "label nan", 1),
        ([1.0, 2.0], r"label 1.0 .*the column is float64.*target=\[\.\.\.\]", 0),
        ([0, None], "no label", 1),
        (["a", ""], "no label", 1),
        (["a", None], "no label", 1),
        ([[1.0, 0.0], [1.0]], "a row of 1 numbers", 1),
        ([[1.0, 0.0], [1.0, float("inf")]], "finite", 1),
        ([["a"], ["a", None]], "a list with a gap", 1),
        ([[0.5], None], "no label", 1),
    ],
)
def test_bad_labels_in_parquet(tmp_path: Path, column: list[Any], match: str, sample: int) -> None:
    with pytest.raises(errors.LabelError, match=match) as caught:
        ManifestSource(table(tmp_path, image=["x", "y"], label=column))
    assert caught.value.sample == sample


def test_bad_numbers_in_columns(tmp_path: Path) -> None:
    with pytest.raises(errors.LabelError, match=r"no number in column 'b' for sample 1"):
        ManifestSource(table(tmp_path, image=["x", "y"], a=[1, 2], b=[1, None]), target=["a", "b"])
    with pytest.raises(errors.ArgumentError, match=r"target column 'b' is string"):
        ManifestSource(table(tmp_path, image=["x", "y"], a=[1, 2], b=["1", "2"]), target=["a", "b"])
    with pytest.raises(errors.ArgumentError, match=r"label_separator='\|'.*int64"):
        ManifestSource(table(tmp_path, image=["x", "y"], label=[1, 2]), label_separator="|")
    with pytest.raises(errors.ArgumentError, match="a target column of type struct"):
        ManifestSource(table(tmp_path, image=["x", "y"], label=[{"a": 1}, {"a": 2}]))
    with pytest.raises(errors.ArgumentError, match="num_classes=1 does not fit"):
        ManifestSource(table(tmp_path, image=["x"], label=["a"]), classes=["a", "b"], num_classes=1)
    wide = ManifestSource(table(tmp_path, image=["x"], label=[["a"]]), num_classes=3)
    assert wide.targets.tolist() == [[1, 0, 0]]
    with pytest.raises(errors.ArgumentError, match="names of classes differ"):
        ManifestSource(table(tmp_path, image=["x"], label=["a"]), classes=["a", "a"])


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"{}", "no rows"),
        (b"[]", "no rows"),
        (b"[1]", "entry 0 is a int"),
        (b"nope", "Expecting value"),
        (b"[" * 100_000, "recursion"),
        (b'{"image": "a", "label": 1}\n{"image": "b", "lab', "in row 1"),
        (b'{"image": "a", "label": 1}\n{"image": "b", "label": "x"}\n', "from number to string in row 1"),
        (b'[{"image": "a", "label": 1}, {"image": "b", "label": "x"}]', "column 'label'"),
        (b'{"image": "a\xff", "label": 1}\n', "UTF8"),
        (b'{"image": "a", "image": "b", "label": 1}\n', "'?/?image.* twice"),
        (b'[{"image": "a", "label": 99999999999999999999999}]', "column 'label'"),
        (b'{"images": [{"file_name": "a"}], "annotations": []}', "'images', 'annotations'"),
        (b'{"image": {"0": "a"}, "label": {"0": 1}}', "neither paths nor encoded images"),
        ('[{"image": "a"}]'.encode("utf-16"), "UTF-16"),
    ],
)
def test_broken_json(tmp_path: Path, content: bytes, match: str) -> None:
    with pytest.raises(errors.ManifestError, match=match):
        ManifestSource(write(tmp_path / "list.json", content))


def test_broken_parquet(tmp_path: Path) -> None:
    whole = table(tmp_path, image=["x", "y"] * 100, label=["a", "b"] * 100).read_bytes()
    for n_bytes in (1, 4, 12, len(whole) // 2, len(whole) - 1):
        with pytest.raises(errors.ManifestError, match=r"[Pp]arquet"):
            ManifestSource(write(tmp_path / "cut.parquet", whole[:n_bytes]))
    rng = np.random.default_rng(0)
    for _ in range(100):  # a value or a named error, whatever the damage
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole), 8):
            damaged[place] = rng.integers(256)
        try:
            assert len(ManifestSource(write(tmp_path / "cut.parquet", bytes(damaged)))) >= 1
        except errors.FieldloomError:
            continue
    twice = pa.table([pa.array(["x"]), pa.array(["y"])], names=["image", "image"])
    parquet.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(errors.ManifestError, match="two columns are called 'image'"):
        ManifestSource(tmp_path / "twice.parquet")


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(errors.MissingError, match="no such file"):
        ManifestSource(tmp_path / "none.csv")
    os.mkfifo(tmp_path / "fifo.csv")
    with pytest.raises(errors.UnsafeError, match="not a regular file"):
        ManifestSource(tmp_path / "fifo.csv")
    with pytest.raises(errors.ManifestError, match="not a file of this machine"):
        open_source("s3://bucket/train.csv")


def test_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = csv(tmp_path, "image,label", ["x,1"])
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # what makes an import fail
    with pytest.raises(errors.ManifestError, match=r'pip install "fieldloom\[tables\]"'):
        ManifestSource(path)


def test_opening_makes_no_objects_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = csv(tmp_path, "image,label", [f"folder/{i}.jpg,c{i % 5}" for i in range(1000)])
    made = 0

    def count(*_args: Any) -> str:
        nonlocal made
        made += 1
        return "row"

    monkeypatch.setattr(ManifestSource, "_row", count)
    source = ManifestSource(path)
    assert made == 0
    assert source._images.nbytes < 1000 * 30


def test_types_that_only_the_end_of_a_file_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text among numbers, far behind what types are guessed from."""
    monkeypatch.setattr("fieldloom.sources.manifest.tables.MAX_LINE_BYTES", 256)
    rows = [f"{i}.jpg,{i % 2}" for i in range(100)]
    assert ManifestSource(csv(tmp_path, "image,label", rows)).targets.tolist() == [i % 2 for i in range(100)]
    source = ManifestSource(csv(tmp_path, "image,label", [*rows, "x.jpg,ten"]))
    assert source.classes == ["0", "1", "ten"]
    assert len(source) == 101
    with pytest.raises(errors.ManifestError, match="line 102 has 3 fields"):
        ManifestSource(csv(tmp_path, "image,label", [*rows, "x.jpg,1,2"]))


@pytest.mark.parametrize("ends", ["\r", "\n", "\r\n"])
def test_ends_of_lines(tmp_path: Path, ends: str) -> None:
    (tmp_path / "a.csv").write_bytes(ends.join(["path,label", "a,1", "b,0", ""]).encode())
    assert ManifestSource(tmp_path / "a.csv").targets.tolist() == [1, 0]


def test_a_name_of_a_column_that_is_too_long(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('"' + "x" * 200_000 + '",path,label\n1,a,0\n')
    with pytest.raises(errors.ManifestError, match="field limit"):
        ManifestSource(tmp_path / "a.csv")
