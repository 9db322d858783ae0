"""The jobs by this project."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .work import JITTER, Epoch, Work, images, through


@contextmanager
def make(work: Work) -> Iterator[Epoch]:
    """With the colors of ColorJitter, one draw an image, as all peers have."""
    import fieldloom as fl

    with _loader(work, fl.ColorJitter(*JITTER)) as epoch:
        yield epoch


@contextmanager
def make_fields(work: Work) -> Iterator[Epoch]:
    """With color fields, per pixel, instead of the jitter: more work than any peer does."""
    import fieldloom as fl

    with _loader(work, fl.ColorField(p=1.0)) as epoch:
        yield epoch


@contextmanager
def _loader(work: Work, colors: Any) -> Iterator[Epoch]:
    import fieldloom as fl

    augment: list[Any] = []
    if work.small:
        augment += [fl.RandomCrop(padding=4), fl.HorizontalFlip()]
    elif not work.in_memory:
        augment += [fl.RandomResizedCrop(), fl.HorizontalFlip()]
    if work.warps:
        augment.append(fl.RandomField("translate", p=1.0))
    if work.jitters:
        augment.append(colors)
    if work.small:
        augment.append(fl.Cutout(8))
    augment.append(fl.Normalize())
    if work.mixes:
        augment.append(fl.MixUp())
    source: Any = work.files
    if work.in_memory:
        stack = images(work.array)
        source = stack, [0] * len(stack)
    with fl.DataLoader(
        source, batch_size=work.batch, size=work.size, shuffle=True, threads=work.threads, augment=augment,
        device="cpu",
    ) as loader:  # fmt: skip
        yield through(loader, len)
