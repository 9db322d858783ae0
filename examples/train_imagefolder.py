"""Train a small CNN on a folder of class folders, with torch's loader or fieldloom's behind one flag.

    python examples/train_imagefolder.py --data photos/train --loader fieldloom
    python examples/train_imagefolder.py --data photos/train --loader torch fieldloom --seed 0 1 2
    torchrun --nproc-per-node 2 examples/train_imagefolder.py --data photos/train
    python examples/train_imagefolder.py --data photos/train --checkpoint run.pt --resume

Both loaders do the same work: RandomResizedCrop, a flip, Normalize. Without --data, pictures are drawn here.
Without --test, every fifth image of each class is held out. Under torchrun each rank trains on its part of
each global batch; after each epoch the ranks compare what they have seen, and the program ends if any two
have met the same sample or made different numbers of steps. A checkpoint is written every --save-every steps
and --resume goes on with the next one: exactly with fieldloom, whose state is in the checkpoint; with torch's
loader by loading what was seen once more, with other augmentations than before.
"""

import argparse
import itertools
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image, ImageOps
from torch import nn
from torch.utils.data import DataLoader, Dataset, DistributedSampler

import fieldloom as fl
from fieldloom.perf.machine import describe
from fieldloom.perf.photos import write_photo_folder

Files = list[tuple[Path, int]]
SCALE = (0.35, 1.0)
EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp"}


# ---------------------------------------------------------------- fieldloom's loader


def fieldloom_loader(files: Files, options: argparse.Namespace, seed: int, *, train: bool) -> fl.DataLoader:
    """Ranks are found by the loader itself; for testing, each rank takes all images."""
    common = {"size": options.size, "threads": options.workers or 1, "device": "cpu", "seed": seed}
    if train:
        recipe = [fl.RandomResizedCrop(scale=SCALE), fl.HorizontalFlip(), fl.Normalize()]
        size = options.batch_size // world_size()
        return fl.DataLoader(files, size, augment=recipe, shuffle=True, drop_last=True, **common)
    recipe = [fl.Resize(options.size), fl.CenterCrop(), fl.Normalize()]
    return fl.DataLoader(files, 64, augment=recipe, rank=0, world_size=1, **common)


# ---------------------------------------------------------------- torch's loader


class Folder(Dataset):
    """(image, label, id) of each file."""

    def __init__(self, files: Files, transform: Any) -> None:
        self.files, self.transform = files, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int, int]:
        path, label = self.files[i]
        with Image.open(path) as image:
            return self.transform(ImageOps.exif_transpose(image).convert("RGB")), label, i


def torch_loader(files: Files, options: argparse.Namespace, seed: int, *, train: bool) -> DataLoader:
    """The same work through torch.utils.data, with torchvision's transforms or, without it, Pillow's."""
    try:
        from torchvision import transforms
    except (ImportError, RuntimeError):  # a build for another torch raises the latter
        transform: Any = PillowTransform(options.size, train=train)
    else:
        mean, std = fl.Normalize().mean, fl.Normalize().std
        first = (
            [transforms.RandomResizedCrop(options.size, scale=SCALE), transforms.RandomHorizontalFlip()]
            if train
            else [transforms.Resize(options.size), transforms.CenterCrop(options.size)]
        )
        last = [transforms.ToTensor(), transforms.Normalize(mean, std)]
        transform = transforms.Compose([*first, *last])
    data = Folder(files, transform)
    if not train:
        return DataLoader(data, 64, num_workers=options.workers)
    sampler = DistributedSampler(data, world_size(), rank(), shuffle=True, seed=seed, drop_last=True)
    size = options.batch_size // world_size()
    return DataLoader(data, size, sampler=sampler, drop_last=True, num_workers=options.workers)


class PillowTransform:
    """RandomResizedCrop and a flip, or Resize and CenterCrop; then Normalize."""

    def __init__(self, size: int, *, train: bool) -> None:
        self.size, self.train = size, train
        self.mean, self.std = (np.float32(values) for values in (fl.Normalize().mean, fl.Normalize().std))

    def __call__(self, image: Image.Image) -> torch.Tensor:
        """Float32 (3, size, size)."""
        box = self.random_box(*image.size) if self.train else self.central_box(*image.size)
        image = image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box)
        if self.train and torch.rand(()) < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = (np.asarray(image, np.float32) / 255 - self.mean) / self.std
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))

    def random_box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """The rules of torchvision's RandomResizedCrop."""
        for _ in range(10):
            area = width * height * float(torch.empty(()).uniform_(*SCALE))
            aspect = math.exp(float(torch.empty(()).uniform_(math.log(3 / 4), math.log(4 / 3))))
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                x, y = (int(torch.randint(0, n + 1, ())) for n in (width - w, height - h))
                return x, y, x + w, y + h
        return self.central_box(width, height)

    def central_box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """The largest central square."""
        side = min(width, height)
        x, y = (width - side) // 2, (height - side) // 2
        return x, y, x + side, y + side


LOADERS = {"torch": torch_loader, "fieldloom": fieldloom_loader}


# ---------------------------------------------------------------- ranks


def rank() -> int:
    """This process; 0 where there is but one."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def say(text: str) -> None:
    """Print, once among all ranks."""
    if rank() == 0:
        print(text, flush=True)


def compare_ranks(ids: list[int], steps: int) -> str:
    """What the ranks saw in an epoch: different samples, in equally many steps; or the program ends."""
    seen: list[Any] = [(ids, steps)]
    if dist.is_initialized():
        seen = [None] * world_size()
        dist.all_gather_object(seen, (ids, steps))
    every = [i for part, _ in seen for i in part]
    assert len({n for _, n in seen}) == 1, f"steps differ: {[n for _, n in seen]}"
    assert len(set(every)) == len(every), "two ranks have met the same sample"
    return f"{len(seen)} rank(s), {steps} steps each, {len(every)} different samples"


# ---------------------------------------------------------------- data


def files_of(folder: Path) -> Files:
    """(path, label) of every image, by class folder in order of names."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    return [
        (path, label)
        for label, part in enumerate(classes)
        for path in sorted(part.iterdir())
        if path.suffix.lower() in EXTENSIONS
    ]


def split(options: argparse.Namespace) -> tuple[Files, Files]:
    """Files to train on, and to test on."""
    files = files_of(options.data)
    if options.test is not None:
        return files, files_of(options.test)
    place: dict[int, int] = {}
    held = []
    for _, label in files:  # every fifth of its class
        place[label] = place.get(label, 0) + 1
        held.append(place[label] % 5 == 0)
    training, testing = ([f for f, h in zip(files, held, strict=True) if h is want] for want in (False, True))
    return training, testing


# ---------------------------------------------------------------- training


def network(n_classes: int) -> nn.Module:
    """Six convolutions, some 300 000 weights."""

    def block(n_in: int, n_out: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]

    widths = ((3, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1))
    layers = [layer for width in widths for layer in block(*width)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, n_classes))


def unpacked(loader: Any, skip: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, list[int]]]:
    """Images, targets and ids of each batch of either loader."""
    for batch in itertools.islice(loader, skip, None):
        if isinstance(batch, fl.Batch):
            yield batch.images, batch.targets, batch.ids.tolist()
        else:
            images, targets, ids = batch
            yield images, targets, ids.tolist()


@torch.no_grad()
def accuracy(model: nn.Module, loader: Any) -> float:
    """Share of right answers."""
    model.eval()
    right = n = 0
    for images, targets, _ in unpacked(loader, 0):
        right += int((model(images).argmax(1) == targets).sum())
        n += len(targets)
    model.train()
    return right / n


def train(options: argparse.Namespace, name: str, seed: int) -> dict[str, Any]:
    """Train with one loader; returns what was measured."""
    torch.manual_seed(seed)
    training, testing = split(options)
    loader = LOADERS[name](training, options, seed, train=True)
    test_loader = LOADERS[name](testing, options, seed, train=False)
    network_ = network(max(label for _, label in training) + 1)
    model = nn.parallel.DistributedDataParallel(network_) if dist.is_initialized() else network_
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    total = options.epochs * len(loader)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.lr, total_steps=total)
    parts = {"model": network_, "optimizer": optimizer, "schedule": schedule}
    epoch, step = restore(options, parts, loader) if options.resume else (0, 0)
    torch.manual_seed(1000 * seed + rank())  # torch's augmentations; ranks must not draw alike
    n_steps, n_images, start = 0, 0, time.perf_counter()
    while epoch < options.epochs:
        if name == "torch":
            loader.sampler.set_epoch(epoch)
        skip, first, seen, losses = step if name == "torch" else 0, step, [], []
        for images, targets, ids in unpacked(loader, skip):
            loss = nn.functional.cross_entropy(model(images), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            seen += ids
            losses.append(loss.item())
            step, n_steps, n_images = step + 1, n_steps + 1, n_images + len(ids)
            if options.checkpoint is not None and n_steps % options.save_every == 0:
                save(options, parts, loader, epoch, step)
            if n_steps == options.stop_after:
                say(f"stopped at epoch {epoch}, step {step}")
                return {"loader": name, "seed": seed, "stopped": [epoch, step]}
        say(f"{name} epoch {epoch + 1}/{options.epochs}: loss {np.mean(losses):.4f}; "
            f"{compare_ranks(seen, step - first)}")  # fmt: skip
        epoch, step = epoch + 1, 0
    rate = n_images * world_size() / (time.perf_counter() - start)
    result = {"loader": name, "seed": seed, "accuracy": accuracy(network_, test_loader), "images_per_s": rate}
    say(f"{name}, seed {seed}: {100 * result['accuracy']:.1f} % of {len(testing)} test images are right")
    if isinstance(loader, fl.DataLoader):
        loader.close()
        test_loader.close()
    return result


def save(options: argparse.Namespace, parts: dict[str, Any], loader: Any, epoch: int, step: int) -> None:
    """Write all that training goes on from; the loader's state is the same on all ranks."""
    if rank() == 0:
        state = {name: part.state_dict() for name, part in parts.items()}
        state |= {"loader": loader.state_dict()} if isinstance(loader, fl.DataLoader) else {}
        beside = options.checkpoint.with_suffix(".new")
        torch.save(state | {"epoch": epoch, "step": step}, beside)
        beside.replace(options.checkpoint)


def restore(options: argparse.Namespace, parts: dict[str, Any], loader: Any) -> tuple[int, int]:
    """Read what `save` wrote; returns the epoch and the steps made in it."""
    state = torch.load(options.checkpoint, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    if isinstance(loader, fl.DataLoader):
        loader.load_state_dict(state["loader"])
    epoch, step = state["epoch"], state["step"]
    if step == len(loader):
        epoch, step = epoch + 1, 0
    say(f"resumed at epoch {epoch}, step {step}")
    return epoch, step


def report(options: argparse.Namespace, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """All runs, and mean and standard deviation of each loader's accuracies."""
    columns = {name: [run["accuracy"] for run in runs if run["loader"] == name] for name in options.loader}
    summary = {
        name: {
            "n": len(column), "mean": statistics.mean(column),
            "sd": statistics.stdev(column) if len(column) > 1 else None,
        }
        for name, column in columns.items()
    }  # fmt: skip
    kept = ("epochs", "batch_size", "size", "workers", "lr")
    training, testing = split(options)
    return {
        "machine": describe(), "world_size": world_size(), "images": [len(training), len(testing)],
        "options": {name: getattr(options, name) for name in kept}, "accuracy": summary, "runs": runs,
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    """The command line; returns what was measured of each run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="a folder of class folders; drawn pictures if left out")
    parser.add_argument("--test", type=Path, help="another to test on; every fifth image if left out")
    parser.add_argument("--loader", choices=list(LOADERS), nargs="+", default=["fieldloom"])
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=64, help="of all ranks together")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--workers", type=int, default=0, help="processes of torch's loader, threads of ours")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--save-every", type=int, default=10, help="steps between checkpoints")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--stop-after", type=int, help="end after so many steps, as if interrupted")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    options = parser.parse_args(arguments)
    if options.resume and options.checkpoint is None:
        parser.error("--resume needs --checkpoint")
    if "RANK" in os.environ and not dist.is_initialized():
        dist.init_process_group("gloo")
    with tempfile.TemporaryDirectory() as scratch:
        if options.data is None:
            options.data = Path(scratch) / "photos"
            write_photo_folder(options.data, 400)
        runs = [train(options, name, seed) for name in options.loader for seed in options.seed]
    if options.json is not None and rank() == 0:
        options.json.write_text(json.dumps(report(options, runs), indent=1) + "\n")
    if dist.is_initialized():
        dist.destroy_process_group()
    return runs


if __name__ == "__main__":
    main()
