"""Train a small CNN on the CPU through fieldloom's loader, with RandAugment or a mix, in one or two minutes.

    python examples/train_classifier.py                                  # eight kinds of pictures, drawn here
    python examples/train_classifier.py --data cifar10.npz --augment fmix
    python examples/train_classifier.py --data photos/train --augment randaugment

`--data` is a folder with one folder a class, or a CIFAR-like .npz of JPEGs: arrays train_jpeg (bytes one
behind the other), train_offsets, train_labels, and the same with test_. A folder is tested on every fifth
image.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

import fieldloom as fl

SIDE = 32
MIXES = {"fmix": fl.FMix(), "cutmix": fl.CutMix(), "mixup": fl.MixUp(alpha=0.4)}
AUGMENTS = ("plain", "randaugment", *MIXES)


def recipe(name: str, *, crop: fl.RandomCrop | fl.RandomResizedCrop) -> list:
    """Crop and flip, then what was asked for."""
    base = [crop, fl.HorizontalFlip()]
    if name == "randaugment":
        return [*base, fl.RandAugment(n=2, magnitude=9), fl.Normalize()]
    return [*base, fl.Normalize()] + ([MIXES[name]] if name in MIXES else [])


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures that the project draws itself, eight kinds."""
    from fieldloom.perf.photos import draw_photo

    return np.stack([draw_photo(i, SIDE, SIDE, seed) for i in range(n)]), np.arange(n) % 8


def some(n: int, limit: int) -> list[int]:
    """At most `limit` of n images, at random: data sets are often sorted by class."""
    return np.random.default_rng(0).permutation(n)[:limit].tolist()


def read(path: Path, n: int) -> tuple:
    """Training data, test data, as the loader takes them."""
    if path.suffix == ".npz":
        file = np.load(path)
        parts = []
        for part, limit in (("train", n), ("test", max(n // 5, 1))):
            bounds, labels = file[f"{part}_offsets"], file[f"{part}_labels"].astype(int)
            data, chosen = file[f"{part}_jpeg"], some(len(labels), limit)
            parts.append([(data[bounds[i] : bounds[i + 1]].tobytes(), int(labels[i])) for i in chosen])
        return tuple(parts)
    with fl.DataLoader(path, size=SIDE) as loader:
        source = loader.source
        files = [(path / source.name(i), int(source.targets[i])) for i in some(len(source), n)]
    return [f for i, f in enumerate(files) if i % 5], files[::5]


def network(n_classes: int) -> nn.Module:
    """Six convolutions, some 290 000 weights."""

    def block(n_in: int, n_out: int, stride: int) -> list[nn.Module]:
        convolution = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        return [convolution, nn.BatchNorm2d(n_out), nn.ReLU()]

    widths = ((3, 32, 1), (32, 32, 2), (32, 64, 1), (64, 64, 2), (64, 128, 1), (128, 128, 1))
    layers = [layer for width in widths for layer in block(*width)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, n_classes))


@torch.no_grad()
def accuracy(model: nn.Module, loader: fl.DataLoader) -> float:
    """Share of right answers."""
    model.eval()
    right = sum(int((model(images).argmax(1) == targets).sum()) for images, targets in loader)
    model.train()
    return right / len(loader.source)


def train(
    data: Path | None, augment: str, *, epochs: int, images: int, seed: int, threads: int | None
) -> float:
    """Train, print a line an epoch, and return the accuracy on the test images."""
    torch.manual_seed(seed)
    training, testing = (drawn(images, 0), drawn(images // 4, 1)) if data is None else read(data, images)
    folder = data is not None and data.is_dir()
    crop = fl.RandomResizedCrop(scale=(0.35, 1.0)) if folder else fl.RandomCrop(padding=4)
    common = {"size": SIDE, "threads": threads, "batch_size": 64}
    evaluation = [fl.Resize(SIDE), fl.CenterCrop(), fl.Normalize()]
    with (
        fl.DataLoader(
            training,
            augment=recipe(augment, crop=crop),
            shuffle=True,
            drop_last=True,
            seed=seed,
            epochs=epochs,
            **common,
        ) as loader,
        fl.DataLoader(testing, augment=evaluation, **common) as test_loader,
    ):
        model = network(int(loader.source.targets.max()) + 1)
        optimizer = torch.optim.SGD(
            model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=epochs * len(loader))
        for epoch in range(epochs):
            start, losses = time.perf_counter(), []
            for batch in loader:
                logits = model(batch.images)
                if batch.mix is not None:
                    loss = fl.mixed_cross_entropy(logits, batch.mix.classes, batch.mix.weights)
                else:
                    loss = nn.functional.cross_entropy(logits, batch.targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                losses.append(loss.item())
            rate = 64 * len(losses) / (time.perf_counter() - start)
            print(f"epoch {epoch + 1}/{epochs}  loss {np.mean(losses):.3f}  {rate:.0f} images/s", flush=True)
        result = accuracy(model, test_loader)
    print(f"{augment}: {100 * result:.1f} % of the test images are right")
    return result


def main(arguments: list[str] | None = None) -> float:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="a folder or a .npz; drawn pictures if left out")
    parser.add_argument("--augment", choices=AUGMENTS, default="randaugment")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--images", type=int, default=1536, help="how many to train on, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(arguments)
    return train(
        options.data, options.augment, epochs=options.epochs, images=options.images, seed=options.seed,
        threads=options.threads,
    )  # fmt: skip


if __name__ == "__main__":
    main()
