"""Tar shards for tests, written by Python's own tarfile."""

import io
import json
import os
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from helpers import encode, pixels

Member = tuple[str, bytes]


def write_tar(path: Path, members: Iterable[Member], format: int = tarfile.USTAR_FORMAT) -> Path:
    """Members in the order given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=format) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def image(i: int) -> bytes:
    """A JPEG of its own for each i."""
    return encode(pixels(20 + i % 4, 24 - i % 3, i))


def sample(i: int, fields: Mapping[str, Any] | None = None) -> list[Member]:
    """An image, its label i % 3, and whatever else."""
    more = {"jpg": image(i), "cls": str(i % 3)} | dict(fields or {})
    return [
        (f"{i:06d}.{name}", data if isinstance(data, bytes) else _encoded(data))
        for name, data in more.items()
        if data is not None
    ]


def _encoded(data: Any) -> bytes:
    return data.encode() if isinstance(data, str) else json.dumps(data).encode()


def write_shards(root: Path, n: int, each: int = 8) -> list[Path]:
    """n samples in shards of `each`; label i % 3."""
    return [
        write_tar(
            root / f"train-{first // each:03d}.tar",
            [member for i in range(first, min(n, first + each)) for member in sample(i)],
        )
        for first in range(0, n, each)
    ]


def mask(i: int) -> bytes:
    """A PNG of ids, of the size of `image(i)`."""
    height, width = 20 + i % 4, 24 - i % 3
    return encode((np.arange(height * width).reshape(height, width) % 7 + i).astype(np.uint8), "PNG")


def contents(source: Any) -> list[bytes]:
    """All images of a source."""
    return [source.read(i).tobytes() for i in range(len(source))]


def same_time(path: Path, write: Any) -> None:
    """Change a file so that neither size nor time tell."""
    before = path.stat()
    write()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
