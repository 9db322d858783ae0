"""Small packed data sets, and ways to break them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fieldloom as fl
from fieldloom.sources import PackedSource
from helpers import pixels

N = 5


def images(n: int = N) -> list[np.ndarray]:
    """Pictures of mixed sizes."""
    return [pixels(6 + i % 3, 9 - i % 2, i) for i in range(n)]


def packed(root: Path, kind: str = "raw", n: int = N, **options: Any) -> Path:
    """A packed data set of `images`; the label is id % 3."""
    path = root / kind
    options = {"side": 0, "kind": kind, "threads": 1} | options
    fl.pack((images(n), [i % 3 for i in range(n)]), path, **options).close()
    return path


def flip(path: Path, at: int, bit: int = 0) -> None:
    """Flip one bit of a file, in place."""
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


def all_bytes(source: PackedSource) -> list[bytes]:
    """What each sample holds, read as a loader reads it."""
    get: Callable[[int], np.ndarray] = source.pixels if source.kind == "raw" else source.read
    return [get(i).tobytes() for i in range(len(source))]


def contents(path: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {name: (path / name).read_bytes() for name in sorted(os.listdir(path))}


def pack_and_die(path: str) -> None:
    """Run in a process of its own: is killed in the middle of packing."""

    def die(done: int, _total: int) -> None:
        if done == 3:
            os.kill(os.getpid(), 9)

    fl.pack((images(), [0] * N), path, side=0, on_progress=die)
