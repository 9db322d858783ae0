"""Train with Lightning's Trainer on fieldloom's loader, and go on from a checkpoint within an epoch.

    pip install "fieldloom[frameworks]"
    python examples/lightning_fit.py
    python examples/lightning_fit.py --devices 2

Three things to know. The loader is made in `train_dataloader`: the process group exists then, so the loader
finds its rank by itself, and Lightning adds no sampler to it. Lightning moves a `Batch` to the device by its
`to`. And it saves the loader's state in its checkpoints, and loads it where the checkpoint was written within
an epoch: the run gets exactly the next batch. Of a checkpoint between epochs it does not load it, hence the
`set_epoch`.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

import fieldloom as fl
from fieldloom.perf.photos import draw_photo

SIDE = 24


def drawn(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of eight kinds."""
    return np.stack([draw_photo(i, SIDE, SIDE) for i in range(n)]), np.arange(n) % 8


class Photos(lightning.LightningDataModule):
    """The data: this is all of fieldloom in the program."""

    def __init__(self, data: Any, batch_size: int = 16) -> None:
        super().__init__()
        self.data, self.batch_size = data, batch_size

    def train_dataloader(self) -> fl.DataLoader:
        """Called when the process group exists."""
        recipe = [fl.RandomCrop(padding=3), fl.HorizontalFlip(), fl.Normalize()]
        loader = fl.DataLoader(
            self.data, self.batch_size, size=SIDE, augment=recipe, shuffle=True, drop_last=True, threads=1,
            device="cpu",
        )  # fmt: skip
        loader.set_epoch(self.trainer.current_epoch)
        return loader


class Classifier(lightning.LightningModule):
    """A small network; `seen` holds the ids of each epoch."""

    def __init__(self, n_classes: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.Conv2d(16, 32, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(32, n_classes),
        )  # fmt: skip
        self.seen: dict[int, list[int]] = {}

    def training_step(self, batch: fl.Batch, batch_idx: int) -> torch.Tensor:
        """One step; the batch is on the device."""
        images, targets = batch
        self.seen.setdefault(batch.epoch, []).extend(batch.ids.tolist())
        loss = nn.functional.cross_entropy(self.body(images), targets)
        self.log("loss", loss, batch_size=len(batch))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Plain SGD."""
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)

    def on_train_epoch_end(self) -> None:
        """Ranks must have seen different samples, and equally many."""
        epoch = max(self.seen)
        parts: list[Any] = [self.seen[epoch]]
        if torch.distributed.is_initialized():
            parts = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(parts, self.seen[epoch])
        every = [i for part in parts for i in part]
        assert len(set(every)) == len(every), "two ranks have met the same sample"
        assert len({len(part) for part in parts}) == 1, "steps differ"
        if self.trainer.is_global_zero:
            print(f"epoch {epoch}: {len(parts)} rank(s), {len(every)} different samples", flush=True)


def fit(
    data: Any, folder: Path, *, epochs: int = 2, every: int = 4, devices: int = 1, resume: Path | None = None
) -> Classifier:
    """Train, from a checkpoint if one is given; write one to the folder every few steps."""
    lightning.seed_everything(0, verbose=False)
    module = Classifier()
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", devices=devices, strategy="ddp" if devices > 1 else "auto",
        callbacks=[ModelCheckpoint(folder, "{step}", every_n_train_steps=every, save_top_k=-1)],
        logger=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, datamodule=Photos(data), ckpt_path=resume)
    return module


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--devices", type=int, default=1, help="processes")
    parser.add_argument("--images", type=int, default=96)
    options = parser.parse_args(arguments)
    data = drawn(options.images)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        whole = fit(data, folder, devices=options.devices)
        if options.devices > 1:
            return
        resumed = fit(data, folder / "again", resume=folder / "step=4.ckpt")
    assert resumed.seen[0] == whole.seen[0][4 * 16 :], "not the batches that came next"
    assert resumed.seen[1] == whole.seen[1]
    same = all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
    print(f"resumed after 4 steps: the same samples, {'equal' if same else 'other'} weights")


if __name__ == "__main__":
    main()
