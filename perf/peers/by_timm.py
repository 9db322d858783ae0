"""The jobs that timm has (no warp), by its own transforms in torch's DataLoader."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .by_torchvision import load
from .torchvision_import import import_torchvision
from .work import MEAN, STD, Epoch, Samples, Work, torch_epochs


@contextmanager
def make(work: Work) -> Iterator[Epoch]:
    """`create_transform` with and without its color jitter."""
    import_torchvision()
    from timm.data import create_transform

    transform: Any = create_transform(
        work.size, is_training=True, color_jitter=0.4 if work.jitters else None, interpolation="bilinear",
        mean=MEAN, std=STD,
    )  # fmt: skip
    yield torch_epochs(work, Samples(work, load, transform))
