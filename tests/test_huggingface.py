"""Hugging Face data sets: which column is what, selections, formats, and what is refused."""

import os
import pickle
import threading
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # read when `datasets` is imported: nothing here may ask a network

import numpy as np
import pytest

import fieldloom as fl
from fieldloom import errors
from fieldloom.sources import HuggingFaceSource, open_source
from helpers import check_ledger, encode, text_file

pytest.importorskip("datasets")
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Sequence, Value

N = 12
CLASSES = ClassLabel(names=["cat", "dog", "emu"])


def pictures(n: int = N) -> list[dict[str, Any]]:
    return [{"bytes": encode(i), "path": None} for i in range(n)]


def masks(n: int = N) -> list[dict[str, Any]]:
    return [{"bytes": encode(np.full((24, 32), i, np.uint8), "PNG"), "path": None} for i in range(n)]


def build(**columns: tuple[Any, Any]) -> Dataset:
    """A data set of (feature, values) columns."""
    features = Features({name: feature for name, (feature, _) in columns.items()})
    return Dataset.from_dict({name: values for name, (_, values) in columns.items()}, features=features)


@pytest.fixture
def dataset() -> Dataset:
    return build(
        image=(Image(), pictures()),
        label=(CLASSES, [i % 3 for i in range(N)]),
        caption=(Value("string"), [f"c{i}" for i in range(N)]),
    )


def test_columns(dataset: Dataset) -> None:
    source = open_source(dataset)
    assert isinstance(source, HuggingFaceSource)
    assert source.targets.tolist() == [i % 3 for i in range(N)]
    assert source.classes == ["cat", "dog", "emu"]
    assert source.names == {"image": "image", "target": "label"}
    for i in range(N):
        sample = source.sample(i)
        assert sample.image.tobytes() == encode(i)
        assert sample.fields == {"caption": f"c{i}"}
    assert pickle.loads(pickle.dumps(source)).read(3).tobytes() == encode(3)


def test_loader(dataset: Dataset) -> None:
    with fl.DataLoader(dataset, batch_size=5, size=8, shuffle=True, threads=2) as loader:
        for batch in check_ledger(loader):
            assert batch["label"] is batch.targets
            assert batch.targets.tolist() == [i % 3 for i in batch.ids.tolist()]
            assert batch["caption"] == [f"c{i}" for i in batch.ids.tolist()]


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.select([7, 3, 3]),
        lambda d: d.shuffle(seed=3),
        lambda d: d.shuffle(seed=3).select(range(2, 6)),
        lambda d: d.filter(lambda row: row["label"] == 1),
        lambda d: d.sort("label"),
        lambda d: d.with_format("torch"),
        lambda d: d.with_format("numpy", columns=["image", "label"]),
        lambda d: d.flatten_indices(),
        lambda d: d.select([]),
    ],
)
@pytest.mark.filterwarnings("ignore:Specifying null_placement")  # in how `datasets` calls pyarrow to sort
def test_views_of_a_data_set(dataset: Dataset, change: Any) -> None:
    plain = change(dataset).with_format(None).cast_column("image", Image(decode=False))
    source = HuggingFaceSource(change(dataset))
    assert len(source) == len(plain)
    for i, row in enumerate(plain):
        assert source.read(i).tobytes() == row["image"]["bytes"]
        assert source.targets[i] == row["label"]


def test_columns_left_out_by_a_format(dataset: Dataset) -> None:
    source = HuggingFaceSource(dataset.with_format("torch", columns=["image", "label"]))
    assert not source.more
    with pytest.raises(errors.ArgumentError, match=r"which column is the image.*'label' \(ClassLabel\)"):
        HuggingFaceSource(dataset.with_format("torch", columns=["label"]))


def test_saved_to_disk(dataset: Dataset, tmp_path: Path) -> None:
    dataset.shuffle(seed=1).save_to_disk(tmp_path / "saved")
    again = Dataset.load_from_disk(tmp_path / "saved")
    source = HuggingFaceSource(again)
    assert source.targets.tolist() == again["label"][:]
    assert source.read(0).tobytes() == encode(int(again["caption"][0][1:]))


def test_images_that_are_files(tmp_path: Path) -> None:
    paths = []
    for i in range(3):
        paths.append(str(tmp_path / f"{i}.jpg"))
        Path(paths[-1]).write_bytes(encode(i))
    data = build(image=(Image(), paths), label=(CLASSES, [0, 1, 2]))
    source = HuggingFaceSource(data)
    assert [source.read(i).tobytes() for i in range(3)] == [encode(i) for i in range(3)]
    assert source.name(1) == paths[1]
    os.unlink(paths[1])
    with pytest.raises(errors.DecodeError, match=r"sample 1 .*1\.jpg.*does not exist"):
        source.read(1)


def test_nothing_is_fetched() -> None:
    data = build(image=(Image(), ["https://localhost:9/x.jpg"]), label=(CLASSES, [0]))
    with pytest.raises(errors.SourceError, match=r"network \(https://localhost:9/x.jpg\)"):
        HuggingFaceSource(data).read(0)


def test_masks(dataset: Dataset) -> None:
    for name in ("mask", "annotation", "segmentation"):
        data = build(picture=(Image(), pictures()), **{name: (Image(), masks())})
        source = HuggingFaceSource(data)
        assert source.names == {"image": "picture", "mask": name}
        assert (source.has_masks, source.targets) == (True, None)
    with fl.DataLoader(data, batch_size=5, size=(24, 32), threads=2) as loader:
        for batch in loader:
            assert batch["segmentation"].dtype.is_signed
            expected = batch.ids[:, None, None].expand(-1, 24, 32)
            assert (batch.masks == expected).all()


def test_multi_label() -> None:
    data = build(image=(Image(), pictures(3)), tags=(Sequence(CLASSES), [[0, 2], [], [1]]))
    source = HuggingFaceSource(data, target="tags")
    assert source.targets.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert source.classes == ["cat", "dog", "emu"]
    two = Sequence(ClassLabel(names=["a", "b"]))  # indices that look like rows
    pairs = build(image=(Image(), pictures(2)), tags=(two, [[0, 1], [0, 0]]))
    assert HuggingFaceSource(pairs, target="tags").targets.tolist() == [[1, 1], [1, 0]]


def test_other_targets() -> None:
    text = build(image=(Image(), pictures(3)), label=(Value("string"), ["b", "a", "b"]))
    assert HuggingFaceSource(text).targets.tolist() == [1, 0, 1]
    whole = build(image=(Image(), pictures(3)), y=(Value("int32"), [5, 0, 2]))
    assert HuggingFaceSource(whole).targets.tolist() == [5, 0, 2]
    only = build(image=(Image(), pictures(3)), species=(CLASSES, [2, 0, 1]))
    assert HuggingFaceSource(only).names["target"] == "species"
    two = build(image=(Image(), pictures(1)), fine=(CLASSES, [2]), coarse=(CLASSES, [0]))
    with pytest.raises(errors.ArgumentError, match=r"which column is the target.*'fine'.*target="):
        HuggingFaceSource(two)
    assert HuggingFaceSource(two, target="fine").targets.tolist() == [2]
    assert HuggingFaceSource(two, target=()).sample(0).fields == {"fine": 2, "coarse": 0}


def test_bytes_without_an_image_feature() -> None:
    data = build(jpg=(Value("binary"), [encode(i) for i in range(3)]), cls=(Value("int64"), [0, 1, 2]))
    assert HuggingFaceSource(data).read(2).tobytes() == encode(2)


def test_splits_without_labels() -> None:
    data = build(image=(Image(), pictures(3)), label=(CLASSES, [-1, -1, -1]))
    with fl.DataLoader(data, batch_size=3, size=8, threads=1) as loader:
        assert next(iter(loader)).targets.tolist() == [-1] * 3
    for value in (-1, None):
        some = build(image=(Image(), pictures(3)), label=(CLASSES, [0, value, 0]))
        with pytest.raises(errors.LabelError, match="sample 1 "):
            HuggingFaceSource(some)


def test_bad_samples_are_named() -> None:
    bad = [*pictures(4), {"bytes": text_file(), "path": "x.jpg"}, None]
    data = build(image=(Image(), bad), label=(CLASSES, [0] * 6))
    with fl.DataLoader(data, batch_size=3, size=8, on_bad_sample="skip", threads=1) as loader:
        check_ledger(loader)
        assert [record.sample for record in loader.ledger.bad] == [4, 5]


def test_what_is_refused(dataset: Dataset) -> None:
    with pytest.raises(
        errors.ArgumentError, match=r"DatasetDict: it holds splits: 'train'.*dataset\['train'\]"
    ):
        open_source(DatasetDict({"train": dataset}))
    with pytest.raises(errors.ArgumentError, match=r"IterableDataset: it has no random access.*streaming"):
        open_source(dataset.to_iterable_dataset())
    with pytest.raises(errors.ArgumentError, match=r"transform would not be applied.*MapSource"):
        open_source(dataset.with_transform(lambda rows: rows))
    with pytest.raises(errors.ArgumentError, match=r"no column 'x'"):
        HuggingFaceSource(dataset, image="x")
    with pytest.raises(errors.ArgumentError, match=r"neither paths nor encoded images"):
        HuggingFaceSource(dataset, image="label", target=())
    with pytest.raises(errors.ArgumentError, match=r"num_classes=2 does not fit.*3 classes"):
        open_source(dataset, num_classes=2)


def test_threads_read_what_one_reads(dataset: Dataset) -> None:
    source = HuggingFaceSource(dataset.shuffle(seed=2))
    expected = [source.read(i).tobytes() for i in range(N)]
    wrong: list[int] = []

    def read() -> None:
        wrong.extend(i for i in range(20 * N) if source.read(i % N).tobytes() != expected[i % N])

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
