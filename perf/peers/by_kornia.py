"""The jobs by Kornia: single images in torch's workers from files, whole batches from memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .by_torchvision import load
from .work import ALPHA, JITTER, MEAN, SIGMA, STD, Epoch, Samples, Work, endless, images, torch_epochs


@contextmanager
def make(work: Work) -> Iterator[Epoch]:
    """As its documentation teaches."""
    import torch

    steps = _steps(work)
    if work.in_memory:
        torch.set_num_threads(work.threads)
        yield _batches(work, steps)
        return

    def transform(image: Any) -> Any:
        return steps(_tensor(image))[0]

    yield torch_epochs(work, Samples(work, load, transform))


def _tensor(image: Any) -> Any:
    import numpy as np
    import torch

    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float().div_(255)


def _steps(work: Work) -> Any:
    import torch
    from kornia import augmentation as k

    steps: list[Any] = []
    if work.small:
        steps += [k.RandomCrop((32, 32), padding=4), k.RandomHorizontalFlip()]
    elif not work.in_memory:
        steps += [k.RandomResizedCrop((work.size, work.size), scale=(0.08, 1.0)), k.RandomHorizontalFlip()]
    if work.warps:
        # Its displacement is in units of half the image, and its default blur has 63 taps.
        amplitude = 2 * ALPHA / work.size
        steps.append(k.RandomElasticTransform(sigma=(SIGMA, SIGMA), alpha=(amplitude, amplitude), p=1.0))
    if work.jitters:
        steps.append(k.ColorJitter(*JITTER, p=1.0))
    if work.small:
        steps.append(k.RandomErasing(scale=(0.0625, 0.0625), ratio=(1.0, 1.0), p=1.0))
    return torch.nn.Sequential(*steps, k.Normalize(torch.tensor(MEAN), torch.tensor(STD)))


def _batches(work: Work, steps: Any) -> Epoch:
    import torch

    stack = images(work.array)
    order = endless(len(stack))

    def epoch(n: int) -> int:
        done = 0
        while done < n:
            batch = torch.from_numpy(stack[[next(order) for _ in range(work.batch)]])
            steps(batch.permute(0, 3, 1, 2).float().div_(255))
            done += work.batch
        return done

    return epoch
