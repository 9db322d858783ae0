"""Train a small CNN on parts of CIFAR-10 that selectors choose, and say what that costs and gives.

    python examples/cifar_coreset.py --data cifar10.npz --images 5000 --epochs 10 --json coreset.json

`--data` is an .npz of JPEGs: train_jpeg (bytes one behind the other), train_offsets, train_labels, and the
same with test_. Every method trains the same network for the same number of epochs with the same
augmentation; wall time includes scoring passes and selection, and "samples read" counts what was decoded for
training and scoring. Without --data, pictures are drawn here, which shows that it runs and says nothing of
the methods.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import fieldloom as fl
from fieldloom.perf.machine import describe

SIDE = 32
Data = list[tuple[bytes, int]]

#: Method -> what gives the loader's selector, from the number of epochs; "random" chooses once by hand.
METHODS: dict[str, Callable[[int], Any]] = {
    "full": lambda _: None,
    "coreset 30 %": lambda _: fl.Coreset(0.3, every=5),
    "coreset 10 %": lambda _: fl.Coreset(0.1, every=5),
    "RS2 30 %": lambda _: fl.RS2(0.3),
    "InfoBatch": lambda epochs: fl.InfoBatch(epochs=epochs),
    "max-loss 30 %": lambda _: fl.MaxLoss(0.3),
    "random 30 %": lambda _: None,
}


def read(path: Path | None, part: str, limit: int) -> tuple[Any, int]:
    """Some images of a part, drawn with a fixed seed (data sets are often sorted); the number of classes."""
    if path is None:
        from fieldloom.perf.photos import draw_photo

        limit = min(limit, 256)
        pictures = np.stack([draw_photo(i, SIDE, SIDE, int(part == "test")) for i in range(limit)])
        return (pictures, np.arange(limit) % 8), 8
    with np.load(path) as file:
        labels, bounds, data = (file[f"{part}_{name}"] for name in ("labels", "offsets", "jpeg"))
    chosen = np.sort(np.random.default_rng(0).permutation(len(labels))[:limit])
    pairs: Data = [(data[bounds[i] : bounds[i + 1]].tobytes(), int(labels[i])) for i in chosen.tolist()]
    return pairs, int(labels.max()) + 1


def network(n_classes: int, width: int = 32) -> nn.Module:
    """Six convolutions."""
    sizes = ((3, 1, 1), (1, 1, 2), (1, 2, 1), (2, 2, 2), (2, 4, 1), (4, 4, 1))
    layers: list[nn.Module] = []
    for k, (n_in, n_out, stride) in enumerate(sizes):
        channels = n_in * width if k else 3
        layers += [nn.Conv2d(channels, n_out * width, 3, stride, 1, bias=False)]
        layers += [nn.BatchNorm2d(n_out * width), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * width, n_classes))


@torch.no_grad()
def score(model: nn.Module, loader: fl.DataLoader) -> int:
    """A scoring pass, reported to the selector; how many samples it read."""
    model.eval()
    n = 0
    for batch in loader.scoring_pass(batch_size=256):
        logits = model(batch.images)
        loss = nn.functional.cross_entropy(logits, batch.targets, reduction="none")
        loader.feedback(batch, logits=logits, loss=loss)
        n += len(batch)
    model.train()
    return n


@torch.no_grad()
def accuracy(model: nn.Module, loader: fl.DataLoader) -> float:
    """Share of right answers."""
    model.eval()
    right = sum(int((model(images).argmax(1) == targets).sum()) for images, targets in loader)
    model.train()
    return right / len(loader.source)


def train(
    method: str, training: Any, testing: Any, n_classes: int, options: Any, seed: int
) -> dict[str, Any]:
    """Train by one method; accuracy, times and counts."""
    torch.manual_seed(seed)
    base = [fl.RandomCrop(padding=4), fl.HorizontalFlip(), fl.RandAugment(n=1, magnitude=5)]
    common = {"size": SIDE, "threads": options.threads, "batch_size": options.batch_size}
    selector = METHODS[method](options.epochs)
    start, scoring, selecting, n_read = time.perf_counter(), 0.0, 0.0, 0
    with fl.DataLoader(
        training, augment=[*base, fl.Normalize()], shuffle=True, seed=seed, selection=selector, **common
    ) as loader:
        if method.startswith("random"):
            chosen = np.random.default_rng(seed).permutation(len(loader.source))
            loader.select(chosen[: round(0.3 * len(chosen))])
        model = network(n_classes, options.width)
        optimizer = torch.optim.SGD(
            model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True
        )
        for epoch in range(options.epochs):
            rate = 0.05 * (1 + np.cos(np.pi * epoch / options.epochs))
            for group in optimizer.param_groups:
                group["lr"] = rate
            if loader.needs_scoring:
                before = time.perf_counter()
                n_read += score(model, loader)
                scoring += time.perf_counter() - before
            before = time.perf_counter()
            batches = iter(loader)
            selecting += time.perf_counter() - before
            for batch in batches:
                logits = model(batch.images)
                losses = nn.functional.cross_entropy(logits, batch.targets, reduction="none")
                optimizer.zero_grad()
                (losses * batch.weights).mean().backward()
                optimizer.step()
                if selector is not None:
                    before = time.perf_counter()
                    loader.feedback(batch, loss=losses, logits=logits)
                    selecting += time.perf_counter() - before
                n_read += len(batch)
    wall = time.perf_counter() - start
    with fl.DataLoader(
        testing, augment=[fl.Resize(SIDE), fl.CenterCrop(), fl.Normalize()], **common
    ) as loader:
        result = accuracy(model, loader)
    return {
        "method": method, "seed": seed, "accuracy": round(result, 4), "wall_s": round(wall, 3),
        "scoring_s": round(scoring, 4), "selection_and_feedback_s": round(selecting, 4),
        "samples_read": n_read,
    }  # fmt: skip


def summary(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over seeds, and the speedup over full training."""
    rows = []
    full = [run for run in runs if run["method"] == "full"]
    for method in dict.fromkeys(run["method"] for run in runs):
        own = [run for run in runs if run["method"] == method]
        row: dict[str, Any] = {"method": method, "seeds": len(own)}
        for key in ("accuracy", "wall_s", "scoring_s", "selection_and_feedback_s", "samples_read"):
            row[key] = round(float(np.mean([run[key] for run in own])), 4)
        row["accuracy_std"] = round(float(np.std([run["accuracy"] for run in own])), 4)
        if full:
            row["speedup"] = round(float(np.mean([r["wall_s"] for r in full]) / row["wall_s"]), 2)
        rows.append(row)
    return rows


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="an .npz of JPEGs; drawn pictures if left out")
    parser.add_argument("--images", type=int, default=5000, help="train on so many")
    parser.add_argument("--test-images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--width", type=int, default=32, help="channels of the first layer")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--methods", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args(arguments)
    training, n_classes = read(options.data, "train", options.images)
    testing, _ = read(options.data, "test", options.test_images)
    runs = []
    for seed in range(options.seeds):
        for method in options.methods:
            runs.append(train(method, training, testing, n_classes, options, seed))
            print(json.dumps(runs[-1]), flush=True)
    setting = {k: v for k, v in vars(options).items() if k not in ("json", "data", "methods")}
    report = {
        "benchmark": "cifar-coreset",
        "machine": describe(),
        "setting": {**setting, "data": None if options.data is None else options.data.name},
        "rows": summary(runs),
        "runs": runs,
    }
    for row in report["rows"]:
        figures = f"{100 * row['accuracy']:.1f} %  {row['wall_s']:.1f} s  {row['samples_read']:.0f} read"
        print(f"{row['method']:14} {figures}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return report


if __name__ == "__main__":
    main()
