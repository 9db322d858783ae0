"""Loaders with one planted bottleneck, by three makers over the same folder.

`FIELDLOOM_PLANTED` names the folder: class folders of JPEG files. "slow_read" waits 15 ms for each file, as a
disk or a network would; what makes decoding slow is the folder's large images.
"""

import glob
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import fieldloom as fl
from fieldloom.sources import FolderSource
from helpers import encode

BATCH, SIZE, WAIT_S = 4, 16, 0.015


def make_images(root: Path, height: int, width: int, n: int) -> Path:
    """A folder of one class with `n` JPEG files of noise, which is as hard to decode as can be."""
    folder = root / f"{height}x{width}"
    (folder / "class0").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    data = encode(noise, quality=90)
    for i in range(n):
        (folder / "class0" / f"{i:03}.jpg").write_bytes(data)
    return folder


def files() -> list[str]:
    return sorted(glob.glob(os.path.join(os.environ["FIELDLOOM_PLANTED"], "*", "*.jpg")))


def fetch(file: str, wait_s: float) -> bytes:
    """A file's bytes from a disk that takes its time."""
    time.sleep(wait_s)
    return Path(file).read_bytes()


class SlowFolder(FolderSource):
    """Files that come late."""

    def read(self, i: int) -> np.ndarray:
        return np.frombuffer(fetch(self.name(i), WAIT_S), np.uint8)


def ours(slow_read: bool) -> Any:
    folder = os.environ["FIELDLOOM_PLANTED"]
    source = SlowFolder(folder) if slow_read else folder
    return fl.DataLoader(
        source, batch_size=BATCH, size=SIZE, threads=2, device="cpu",
        augment=[fl.RandomResizedCrop(scale=(0.9, 1.0)), fl.Normalize()],
    )  # fmt: skip


class Images:
    """A map-style data set as users write it."""

    def __init__(self, wait_s: float) -> None:
        self.files, self.wait_s = files(), wait_s

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        data = fetch(self.files[i], self.wait_s)
        with Image.open(io.BytesIO(data)) as image:
            pixels = np.asarray(image.convert("RGB").crop((0, 0, SIZE, SIZE)))
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255, 0


def torchs(slow_read: bool, num_workers: int) -> Any:
    data: Any = Images(WAIT_S if slow_read else 0.0)
    return torch.utils.data.DataLoader(data, BATCH, num_workers=num_workers)


class Source:
    """What DALI asks for one sample at a time."""

    def __init__(self) -> None:
        self.files = files()

    def __call__(self, info: Any) -> np.ndarray:
        return np.frombuffer(fetch(self.files[info.idx_in_epoch % len(self.files)], WAIT_S), np.uint8)


def dalis(slow_read: bool) -> Any:
    from nvidia.dali import fn, types
    from nvidia.dali.pipeline import Pipeline
    from nvidia.dali.plugin.pytorch import DALIGenericIterator, LastBatchPolicy

    pipe = Pipeline(BATCH, 2, None, seed=1)
    with pipe:
        if slow_read:
            encoded = fn.external_source(Source(), batch=False)
        else:
            encoded, _ = fn.readers.file(files=files(), name="reader")
        images = fn.decoders.image(encoded, output_type=types.RGB)
        images = fn.crop_mirror_normalize(images, crop=(SIZE, SIZE), dtype=types.FLOAT, output_layout="CHW")
        pipe.set_outputs(images)
    if slow_read:
        return DALIGenericIterator([pipe], ["images"], auto_reset=True)
    return DALIGenericIterator(
        [pipe], ["images"], reader_name="reader", auto_reset=True, last_batch_policy=LastBatchPolicy.PARTIAL
    )


def ours_slow_read() -> Any:
    return ours(True)


def ours_plain() -> Any:
    return ours(False)


def torch_slow_read() -> Any:
    return torchs(True, 2)


def torch_plain() -> Any:
    return torchs(False, 2)


def torch_alone() -> Any:
    """Without workers: everything happens in the consumer's thread."""
    return torchs(False, 0)


def dali_slow_read() -> Any:
    return dalis(True)


def dali_plain() -> Any:
    return dalis(False)


def generator_plain() -> Iterator[torch.Tensor]:
    """An iterable of nobody's make."""
    data = Images(0.0)
    while True:
        yield torch.stack([data[i % len(data)][0] for i in range(BATCH)])


def generator_slow_read() -> Iterator[torch.Tensor]:
    data = Images(WAIT_S)
    while True:
        yield torch.stack([data[i % len(data)][0] for i in range(BATCH)])


def step(batch: Any) -> None:
    """A training step of 60 ms."""
    time.sleep(0.06)
