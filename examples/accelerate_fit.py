"""Train with Accelerate on fieldloom's loader.

    pip install "fieldloom[frameworks]"
    python examples/accelerate_fit.py
    accelerate launch --cpu --num_processes 2 examples/accelerate_fit.py

Make the loader after the `Accelerator`: the process group exists then, so the loader finds its rank by
itself. Leave it out of `prepare` (which would hand it back as it is): it shares samples out between ranks,
delivers on its device and saves its state without. `register_for_checkpointing` puts that into `save_state`.
"""

import argparse
import tempfile
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

import fieldloom as fl
from fieldloom.perf.photos import draw_photo

SIDE = 24


def drawn(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of eight kinds."""
    return np.stack([draw_photo(i, SIDE, SIDE) for i in range(n)]), np.arange(n) % 8


def loader_of(data: Any, accelerator: Accelerator, batch_size: int = 16) -> fl.DataLoader:
    """`batch_size` is that of one rank, as with torch's loader."""
    recipe = [fl.RandomCrop(padding=3), fl.HorizontalFlip(), fl.Normalize()]
    loader = fl.DataLoader(
        data, batch_size, size=SIDE, augment=recipe, shuffle=True, drop_last=True, threads=1, device="cpu"
    )
    assert (loader.rank.index, loader.rank.world) == (accelerator.process_index, accelerator.num_processes)
    return loader


def fit(data: Any, folder: str, *, epochs: int = 2, save_at: int | None = None) -> list[list[int]]:
    """Train, and save to the folder after so many steps, or go on from there; ids of each step."""
    accelerator = Accelerator(cpu=True)
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 8)
    )
    model, optimizer = accelerator.prepare(network, torch.optim.SGD(network.parameters(), lr=0.05))
    steps: list[list[int]] = []
    with loader_of(data, accelerator) as loader:
        accelerator.register_for_checkpointing(loader)
        if save_at is None:
            accelerator.load_state(folder)
        while loader.epoch < epochs:
            for images, targets, ids in ((b.images, b.targets, b.ids.tolist()) for b in loader):
                loss = nn.functional.cross_entropy(model(images), targets)
                optimizer.zero_grad()
                accelerator.backward(loss)
                optimizer.step()
                steps.append(ids)
                if len(steps) == save_at:
                    accelerator.save_state(folder)
        compare_ranks(accelerator, steps[-len(loader) :])
    return steps


def compare_ranks(accelerator: Accelerator, steps: list[list[int]]) -> None:
    """Ranks must have seen different samples in an epoch, in equal steps."""
    mine = torch.tensor([i for ids in steps for i in ids])
    every = accelerator.gather(mine).tolist()
    assert len(every) == len(mine) * accelerator.num_processes, "steps differ"
    assert len(set(every)) == len(every), "two ranks have met the same sample"
    accelerator.print(f"{accelerator.num_processes} rank(s), {len(every)} different samples an epoch")


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=96)
    options = parser.parse_args(arguments)
    data = drawn(options.images)
    with tempfile.TemporaryDirectory() as folder:
        whole = fit(data, folder, save_at=2)
        if Accelerator().num_processes == 1:
            assert fit(data, folder) == whole[2:], "not the batches that came next"
            print("resumed after 2 steps: exactly the batches that came next")


if __name__ == "__main__":
    main()
