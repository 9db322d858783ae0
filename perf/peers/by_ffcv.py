"""The jobs that FFCV has (no warp), from a file of JPEGs that is written beforehand."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .work import MEAN, STD, Epoch, Work, through


@contextmanager
def make(work: Work) -> Iterator[Epoch]:
    """Its customary ImageNet pipeline, on the CPU."""
    import torch
    from ffcv.fields import IntField, RGBImageField
    from ffcv.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import (
        NormalizeImage,
        RandomBrightness,
        RandomContrast,
        RandomHorizontalFlip,
        RandomSaturation,
        ToTensor,
        ToTorchImage,
    )
    from ffcv.writer import DatasetWriter

    jitter: list[Any] = [RandomBrightness(0.4), RandomContrast(0.4), RandomSaturation(0.4)]
    mean, std = (255 * np.array(v, np.float32) for v in (MEAN, STD))
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "images.beton")
        fields = {"image": RGBImageField(write_mode="jpg"), "label": IntField()}
        DatasetWriter(path, fields, num_workers=1).from_indexed_dataset(_Files(work))
        loader = Loader(
            path, batch_size=work.batch, num_workers=work.threads, order=OrderOption.RANDOM,
            os_cache=True,
            pipelines={
                "image": [
                    RandomResizedCropRGBImageDecoder((work.size, work.size)), RandomHorizontalFlip(),
                    *(jitter if work.jitters else []), NormalizeImage(mean, std, np.float32), ToTensor(),
                    ToTorchImage(channels_last=False, convert_back_int16=False),
                ],
                "label": [IntDecoder(), ToTensor()],
            },
        )  # fmt: skip
        with torch.no_grad():
            yield through(loader, lambda batch: len(batch[0]))


class _Files:
    def __init__(self, work: Work) -> None:
        self._files = sorted(set(work.files))

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        from PIL import Image

        path, label = self._files[i]
        with Image.open(path) as image:
            return image.convert("RGB"), label
