"""Loaders with every stage, and how two of them are held against each other."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

import fieldloom as fl
from helpers import pixels

N = 44  # five whole groups and a half
STACK = np.stack([pixels(30, 26, i) for i in range(N)])
LABELS = [i % 5 for i in range(N)]
#: In memory, so that both devices get the same pixels: resident, and uploaded batch by batch.
SOURCES = {"stack": (STACK, LABELS), "list": ([pixels(20 + i, 60 - i, i) for i in range(N)], LABELS)}
_CUT = [fl.RandomResizedCrop(), fl.HorizontalFlip()]
RECIPES: dict[str, list[Any]] = {
    "everything": [
        *_CUT, fl.RandomField("translate"), fl.ColorField(), fl.PASTA(p=0.5), fl.RandAugment(),
        fl.GaussianBlur(), fl.GaussianNoise(), fl.Normalize(), fl.RandomErasing(p=0.5, fill="noise"),
        fl.OneOf([fl.MixUp(), fl.CutMix(), fl.FMix(max_soft=0.2), fl.ResizeMix()]),
    ],
    "views": [*_CUT, fl.PASTA(), fl.AugMix(views=3), fl.Normalize(), fl.RandomErasing(), fl.FMix()],
    "policies": [*_CUT, fl.AutoAugment("imagenet"), fl.Cutout(8), fl.Normalize()],
}  # fmt: skip
OPTIONS: dict[str, Any] = {"batch_size": 16, "size": 24, "shuffle": True, "seed": 5}


def bits(tensor: torch.Tensor) -> bytes:
    """Its values, wherever it lies."""
    return tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()


def assert_equal(ours: Iterable[fl.Batch], theirs: Iterable[fl.Batch]) -> None:
    """Equal bits of all that batches hold."""
    n = 0
    for one, other in zip(ours, theirs, strict=True):
        assert (one.epoch, one.index, one.images.stride()) == (
            other.epoch,
            other.index,
            other.images.stride(),
        )
        for name in ("images", "targets", "ids", "weights"):
            assert bits(getattr(one, name)) == bits(getattr(other, name)), name
        assert (one.mix is None) == (other.mix is None)
        if one.mix is not None:
            for name in ("classes", "weights", "pixels", "ids", "kinds"):
                assert bits(getattr(one.mix, name)) == bits(getattr(other.mix, name)), name
        n += len(one)
    assert n
