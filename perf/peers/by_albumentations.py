"""The jobs by Albumentations in torch's DataLoader, a worker process each thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .work import ALPHA, JITTER, MEAN, SIGMA, STD, Epoch, Samples, Work, torch_epochs


@contextmanager
def make(work: Work) -> Iterator[Epoch]:
    """Elastic as it comes."""
    yield torch_epochs(work, Samples(work, load, compose(work, approximate=False)))


@contextmanager
def make_approximate(work: Work) -> Iterator[Epoch]:
    """Elastic with its approximate blur."""
    yield torch_epochs(work, Samples(work, load, compose(work, approximate=True)))


def load(path: str) -> Any:
    """An image as its documentation loads it."""
    import cv2

    cv2.setNumThreads(1)
    return cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)  # type: ignore[arg-type]


def compose(work: Work, approximate: bool) -> Any:
    """Image -> tensor."""
    import albumentations as a

    steps: list[Any] = []
    if work.small:
        steps += [a.PadIfNeeded(40, 40), a.RandomCrop(32, 32), a.HorizontalFlip()]
    elif not work.in_memory:
        steps += [a.RandomResizedCrop(size=(work.size, work.size), scale=(0.08, 1.0)), a.HorizontalFlip()]
    if work.warps:
        steps.append(a.ElasticTransform(alpha=ALPHA, sigma=SIGMA, p=1.0, approximate=approximate))
    if work.jitters:
        steps.append(a.ColorJitter(*JITTER, p=1.0))
    if work.small:
        steps.append(
            a.CoarseDropout(num_holes_range=(1, 1), hole_height_range=(8, 8), hole_width_range=(8, 8), p=1.0)
        )
    composed = a.Compose([*steps, a.Normalize(MEAN, STD), a.ToTensorV2()])
    return lambda image: composed(image=image)["image"]
