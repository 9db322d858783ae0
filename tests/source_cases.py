"""One small data set of each kind of source; `tests/test_promises.py` holds every promise for each."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image
from shard_files import write_shards

import fieldloom as fl
from helpers import Recorded, encoded_list, make_folder, pixels

#: Samples of each.
N = 23

#: Kind -> builds the data set in an empty folder, and gives what `DataLoader` takes as its source.
CASES: dict[str, Callable[[Path], Any]] = {}


def case(build: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Register a builder under its name."""
    CASES[build.__name__] = build
    return build


@case
def folder(root: Path) -> Any:
    make_folder(root / "images", N)
    return root / "images"


@case
def listing(root: Path) -> Any:
    return [(path, i % 3) for i, path in enumerate(make_folder(root, N))]


@case
def encoded(root: Path) -> Any:
    return encoded_list(N)


@case
def stacked(root: Path) -> Any:
    return np.stack([pixels(20, 24, i) for i in range(N)]), [i % 3 for i in range(N)]


@case
def ragged(root: Path) -> Any:
    return [pixels(20 + i % 4, 24 - i % 3, i) for i in range(N)], [i % 3 for i in range(N)]


@case
def own(root: Path) -> Any:
    return Recorded(N)


@case
def shards(root: Path) -> Any:
    write_shards(root / "shards", N)
    return root / "shards"


@case
def addresses(root: Path) -> Any:
    store = fsspec.filesystem("memory")
    store.pipe({f"{root}/{i}.jpg": data for i, (data, _) in enumerate(encoded_list(N))})
    return [(f"memory://{root}/{i}.jpg", i % 3) for i in range(N)]


@case
def packed_raw(root: Path) -> Any:
    return fl.pack(encoded_list(N), root / "packed", side=20)


@case
def packed_jpeg(root: Path) -> Any:
    fl.pack(encoded_list(N), root / "packed", side=20, kind="jpeg").close()
    return root / "packed"


@case
def manifest(root: Path) -> Any:
    rows = [f"{path},{i % 3},note {i}\n" for i, path in enumerate(make_folder(root, N))]
    (root / "list.csv").write_text("path,label,note\n" + "".join(rows))
    return root / "list.csv"


@case
def parquet(root: Path) -> Any:
    import pyarrow as pa
    from pyarrow import parquet as file

    data, labels = zip(*encoded_list(N), strict=True)
    rows = [[float(label == k) for k in range(3)] for label in labels]
    file.write_table(
        pa.table({"image": data, "label": rows, "box": [[i, i + 1] for i in range(N)]}), root / "x.parquet"
    )
    return root / "x.parquet"


@case
def huggingface(root: Path) -> Any:
    datasets = pytest.importorskip("datasets")
    data, labels = zip(*encoded_list(N), strict=True)
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c"])}
    )
    images = [{"bytes": one, "path": None} for one in data]
    return datasets.Dataset.from_dict({"image": images, "label": list(labels)}, features=features)


@case
def mapstyle(root: Path) -> Any:
    return MapStyle(encoded_list(N))


@case
def dicts_with_masks(root: Path) -> Any:
    return [
        {
            "image": pixels(20 + i % 4, 24, i),
            "label": i % 3,
            "mask": pixels(20 + i % 4, 24, i)[..., 0],
            "row": i,
        }
        for i in range(N)
    ]


class MapStyle:
    """A map-style data set that decodes in Python."""

    def __init__(self, pairs: list[tuple[bytes, int]]) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, i: int) -> tuple[Image.Image, int]:
        data, label = self.pairs[i]
        return Image.open(io.BytesIO(data)), label
