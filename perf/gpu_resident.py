"""Small images that live on the GPU: our loader beside the flip-and-crop of speed runs, in torch alone."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fieldloom.perf.spread import spread


def measure(device: str, *, rounds: int = 5, n: int = 50_000, side: int = 32) -> list[dict[str, Any]]:
    """Images/s of an epoch at batch 512 and 1024, interleaved."""
    import torch

    import fieldloom as fl

    images = np.random.default_rng(0).integers(0, 256, (n, side, side, 3), np.uint8)
    labels = np.arange(n) % 10
    plain: list[Any] = [fl.RandomCrop(padding=4), fl.HorizontalFlip()]
    augment = [*plain, fl.RandomField("translate", p=1.0), fl.Normalize()]
    rows = []
    for batch in (512, 1024):
        options: dict[str, Any] = {"size": side, "shuffle": True, "device": device, "dtype": "float16"}
        with (
            fl.DataLoader((images, labels), batch, augment=augment, **options) as full,
            fl.DataLoader((images, labels), batch, augment=[*plain, fl.Normalize()], **options) as light,
        ):
            jobs: dict[str, Callable[[], Iterator[Any]]] = {
                "field + crop + flip": lambda full=full: iter(full),  # type: ignore[misc]
                "crop + flip": lambda light=light: iter(light),  # type: ignore[misc]
                "torch, crop + flip of a batch": lambda batch=batch: speed_run(  # type: ignore[misc]
                    torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device), batch
                ),
            }
            measured: dict[str, list[float]] = {name: [] for name in jobs}
            for _ in range(rounds + 1):
                for name, make in jobs.items():
                    measured[name].append(_images_per_s(make, device))
        rows += [
            {"batch": batch, "job": name, "images_per_s": spread(speeds[1:], 0)}  # the first round warms
            for name, speeds in measured.items()
        ]
    return rows


def _images_per_s(make: Callable[[], Iterator[Any]], device: str) -> float:
    import torch

    torch.cuda.synchronize(device)
    start = time.perf_counter()
    n = sum(len(images) for images, _ in make())
    torch.cuda.synchronize(device)
    return n / (time.perf_counter() - start)


def speed_run(images: Any, labels: Any, batch: int, pad: int = 4) -> Iterator[Any]:
    """What CIFAR speed runs do: normalize and pad once, flip an epoch at once, crop by index."""
    import torch

    n, side = images.shape[:2]
    normal = (images.permute(0, 3, 1, 2).half() / 255 - 0.47) / 0.25
    padded = torch.nn.functional.pad(normal, (pad,) * 4, "reflect")
    mirror = torch.rand(n, device=images.device) < 0.5
    padded = torch.where(mirror[:, None, None, None], padded.flip(-1), padded)
    order = torch.randperm(n, device=images.device)
    reach = torch.arange(side, device=images.device)
    for first in range(0, n, batch):
        ids = order[first : first + batch]
        shift = torch.randint(0, 2 * pad + 1, (2, len(ids), 1), device=images.device)
        y, x = shift[0] + reach, shift[1] + reach
        yield padded[ids[:, None, None], :, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2), labels[ids]
