"""FFCV's side of the packed benchmark. Runs by its path under a Python that has FFCV, and not fieldloom.

Reads its setting as a line of JSON, then answers each line "epoch" with one epoch's figures.
"""

import json
import os
import resource
import sys
import time
from importlib import metadata
from typing import Any

import numpy as np

MEAN, STD = np.array([0.485, 0.456, 0.406]) * 255, np.array([0.229, 0.224, 0.225]) * 255


class Images:
    """Map-style data set over arrays that were saved one a file."""

    def __init__(self, folder: str) -> None:
        self._files = sorted(os.path.join(folder, name) for name in os.listdir(folder))

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        return np.load(self._files[i], allow_pickle=False), i % 10


def write(folder: str, beton: str) -> None:
    """Write the images as raw pixels."""
    from ffcv.fields import IntField, RGBImageField  # type: ignore[import-not-found]
    from ffcv.writer import DatasetWriter  # type: ignore[import-not-found]

    fields = {"image": RGBImageField(write_mode="raw"), "label": IntField()}
    DatasetWriter(beton, fields, num_workers=1).from_indexed_dataset(Images(folder))


def make_loader(beton: str, setting: dict[str, Any]) -> Any:
    """RandomResizedCrop, flip, normalize: float32, channels first or last in memory."""
    from ffcv.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder  # type: ignore[import-not-found]
    from ffcv.loader import Loader, OrderOption  # type: ignore[import-not-found]
    from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, ToTensor, ToTorchImage  # type: ignore[import-not-found]

    size = setting["size"]
    image = [
        RandomResizedCropRGBImageDecoder((size, size)),
        RandomHorizontalFlip(),
        NormalizeImage(MEAN, STD, np.float32),
        ToTensor(),
        ToTorchImage(channels_last=setting["layout"] == "channels_last", convert_back_int16=False),
    ]
    return Loader(
        beton, batch_size=setting["batch"], num_workers=setting["threads"], order=OrderOption.RANDOM,
        os_cache=True, drop_last=False, indices=np.tile(np.arange(setting["n"]), setting["repeats"]),
        pipelines={"image": image, "label": [IntDecoder(), ToTensor()]},
    )  # fmt: skip


def cpu_seconds() -> float:
    """User and system time of this process and its ended children."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def main() -> None:
    """Read a job, then answer commands until the input ends."""
    setting = json.loads(sys.stdin.readline())
    beton = setting["beton"]
    if not os.path.exists(beton):
        write(setting["folder"], beton)
    loader = make_loader(beton, setting)

    def epoch() -> tuple[int, list[Any]]:
        n, facts = 0, []
        for images, _ in loader:
            facts = [list(images.shape[1:]), str(images.dtype), images.is_contiguous()]
            n += len(images)
        return n, facts

    epoch()  # compiles, and warms it up
    for _ in sys.stdin:
        cpu, wall = cpu_seconds(), time.perf_counter()
        n, facts = epoch()
        wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        versions = {name: metadata.version(name) for name in ("ffcv", "numpy", "numba", "torch")}
        answer = {
            "n": n,
            "cpu_s": cpu,
            "wall_s": wall,
            "peak_mb": peak,
            "output": facts,
            "versions": versions,
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
