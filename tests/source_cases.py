"""One small data set of each kind of source; `tests/test_promises.py` holds every promise for each."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
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
def packed_raw(root: Path) -> Any:
    return fl.pack(encoded_list(N), root / "packed", side=20)


@case
def packed_jpeg(root: Path) -> Any:
    fl.pack(encoded_list(N), root / "packed", side=20, kind="jpeg").close()
    return root / "packed"
