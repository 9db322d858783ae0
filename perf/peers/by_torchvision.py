"""The jobs by torchvision's v2 transforms on Pillow images, in torch's DataLoader."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .torchvision_import import import_torchvision
from .work import ALPHA, JITTER, MEAN, SIGMA, STD, Epoch, Samples, Work, torch_epochs


@contextmanager
def make(work: Work) -> Iterator[Epoch]:
    """Elastic as it is released: a dense Gaussian."""
    yield torch_epochs(work, Samples(work, load, compose(work, separable=False), wrap))


@contextmanager
def make_separable(work: Work) -> Iterator[Epoch]:
    """Elastic with a separable Gaussian, as its repository proposes (pytorch/vision#9578)."""
    yield torch_epochs(work, Samples(work, load, compose(work, separable=True), wrap))


def load(path: str) -> Any:
    """An RGB Pillow image."""
    from PIL import Image

    with Image.open(path) as image:
        return image.convert("RGB")


def wrap(array: Any) -> Any:
    """An array as a Pillow image."""
    from PIL import Image

    return Image.fromarray(array)


def compose(work: Work, separable: bool) -> Any:
    """Image -> tensor."""
    import torch

    import_torchvision()
    from torchvision.transforms import v2

    warnings.filterwarnings("ignore", module="torchvision")
    steps: list[Any] = []
    if work.small:
        steps += [v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()]
    elif not work.in_memory:
        steps += [v2.RandomResizedCrop(work.size), v2.RandomHorizontalFlip()]
    if work.warps:
        steps.append(_separable(work.size) if separable else v2.ElasticTransform(ALPHA, SIGMA))
    if work.jitters:
        steps.append(v2.ColorJitter(*JITTER))
    steps += [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    if work.small:
        steps.append(v2.RandomErasing(p=1.0, scale=(0.0625, 0.0625), ratio=(1.0, 1.0)))
    return v2.Compose([*steps, v2.Normalize(MEAN, STD)])


def _separable(size: int) -> Any:
    """The same displacement by two one-dimensional convolutions."""
    import torch
    from torch.nn.functional import conv2d, pad
    from torchvision.transforms.v2 import functional

    radius = int(8 * SIGMA + 1) // 2
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / SIGMA) ** 2)
    taps = (taps / taps.sum()).reshape(1, 1, -1)

    def elastic(image: Any) -> Any:
        field = pad(torch.rand(2, 1, size, size) * 2 - 1, [radius] * 4, mode="reflect")
        field = conv2d(conv2d(field, taps[..., None]), taps[:, :, None])
        return functional.elastic(image, (field * (ALPHA / size)).permute(1, 2, 3, 0))

    return elastic
