"""How much of a training step the GPU waits for the loader: bfloat16 ResNet-18, or a small network."""

import time
from collections.abc import Callable, Generator
from typing import Any

from fieldloom.perf.jobs import Files
from fieldloom.perf.spread import spread


def network() -> tuple[str, Any]:
    """ResNet-18 if torchvision is there, else convolutions of a similar shape."""
    try:
        from torchvision.models import resnet18

        return "torchvision resnet18", resnet18(num_classes=1000)
    except Exception:  # ImportError, and what a torchvision built for another torch raises
        return "small convolutional network", _small()


def _small() -> Any:
    from torch import nn

    layers: list[Any] = []
    channels = 3
    for width in (64, 128, 256, 512):
        layers += [nn.Conv2d(channels, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width), nn.ReLU()]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


def measure(
    files: Files, device: str, *, steps: int = 100, rounds: int = 5, batch: int = 256
) -> dict[str, Any]:
    """Seconds a step on one batch again and again, and behind the loader (J3c); interleaved."""
    import torch

    import fieldloom as fl

    name, model = network()
    model = model.to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    augment = [fl.RandomResizedCrop(), fl.HorizontalFlip(), fl.RandomField("translate", p=1.0)]
    loader = fl.DataLoader(
        files, batch, shuffle=True, drop_last=True, device=device, dtype="bfloat16", layout="channels_last",
        augment=[*augment, fl.ColorField(p=1.0), fl.Normalize()],
    )  # fmt: skip

    def step(images: Any, targets: Any) -> None:
        with torch.autocast("cuda", torch.bfloat16):
            loss = torch.nn.functional.cross_entropy(model(images), targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def endless() -> Generator[Any, None, None]:
        while True:
            yield from loader

    def seconds(take: Callable[[], Any]) -> float:
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        for _ in range(steps):
            images, targets = take()
            step(images, targets)
        torch.cuda.synchronize(device)
        return (time.perf_counter() - start) / steps

    with loader:
        batches = endless()
        fixed = next(batches)
        for _ in range(10):
            step(*fixed)
        alone, behind = [], []
        for _ in range(rounds):
            alone.append(seconds(lambda: fixed))
            behind.append(seconds(lambda: next(batches)))
        batches.close()
    shares = [100 * max(0.0, 1 - a / b) for a, b in zip(alone, behind, strict=True)]
    return {
        "network": name, "batch": batch, "steps": steps,
        "step_ms_one_batch": spread([1e3 * s for s in alone], 3),
        "step_ms_loader": spread([1e3 * s for s in behind], 3),
        "percent_waiting": spread(shares, 2),
    }  # fmt: skip
