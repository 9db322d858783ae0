"""Harnesses for the engine's promises, and small images to try them on."""

import contextlib
import gc
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import fieldloom as fl
from fieldloom.sources import Source

#: Everything that draws: a crop, a flip, an affine, a field, colors.
FULL = (
    fl.RandomResizedCrop(scale=(0.3, 1.0)),
    fl.HorizontalFlip(),
    fl.RandomField("translate"),
    fl.ColorField(),
    fl.Normalize(),
)


def pixels(height: int = 24, width: int = 32, seed: int = 0) -> np.ndarray:
    """A smooth random picture, uint8 (height, width, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def encode(image: Any = None, form: str = "JPEG", turned: int | None = None, **options: Any) -> bytes:
    """An image file. `image`: uint8 array, Pillow image, or the seed of `pixels`."""
    if image is None or isinstance(image, int):
        image = pixels(seed=image or 0)
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    if turned is not None:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = turned
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def encoded_list(n: int) -> list[tuple[bytes, int]]:
    """(JPEG, label) pairs of mixed sizes; the label is id % 3."""
    return [(encode(pixels(24 + i % 3 * 8, 32 - i % 5 * 4, i), quality=92), i % 3) for i in range(n)]


def make_folder(root: Path, n: int, n_classes: int = 2) -> list[Path]:
    """A folder of class folders with `n` JPEG files; returns them in the order of their ids."""
    files = []
    for i in range(n):
        path = root / f"class{i * n_classes // n}" / f"{i:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(pixels(24 + i % 3 * 8, 32, i), quality=92))
        files.append(path)
    return files


def text_file() -> bytes:
    """What is often named .jpg by a failed download."""
    return b"<html><body>404 Not Found</body></html>\n"


def huge_header(width: int = 30000, height: int = 30000) -> bytes:
    """A whole JPEG whose header claims a size that it does not have."""
    data = bytearray(encode())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


def damaged_png() -> bytes:
    """A PNG with a whole header and a broken body: only the decoder can tell."""
    data = bytearray(encode(form="PNG"))
    start = data.index(b"IDAT") + 8
    data[start : start + 40] = bytes(40)
    return bytes(data)


class Recorded(Source):
    """A source that counts what is read, and raises where it is told to."""

    stored = "encoded"

    def __init__(self, n: int, errors: dict[int, Exception] | None = None, stored: str = "encoded") -> None:
        self.targets = np.arange(n, dtype=np.int64)
        self.stored = stored  # type: ignore[assignment]
        self.errors = errors or {}
        self.reads: list[int] = []
        self._data = [np.frombuffer(encode(i), np.uint8) for i in range(min(n, 8))]

    def name(self, i: int) -> str:
        return f"record {i}"

    def read(self, i: int) -> np.ndarray:
        self.reads.append(i)
        if i in self.errors:
            raise self.errors[i]
        return self._data[i % 8]

    def pixels(self, i: int) -> np.ndarray:
        self.reads.append(i)
        if i in self.errors:
            raise self.errors[i]
        return pixels(seed=i)


def collect(loader: Any) -> dict[int, list[bytes]]:
    """One epoch: id -> the bytes of each delivery of it, in order."""
    out: dict[int, list[bytes]] = {}
    for batch in loader:
        images = batch.images.contiguous().view(torch.uint8)
        for id, image in zip(batch.ids.tolist(), images, strict=True):
            out.setdefault(id, []).append(image.numpy().tobytes())
    return out


def ids_of(loader: Any) -> list[list[int]]:
    """Ids of each batch of one epoch."""
    return [batch.ids.tolist() for batch in loader]


def check_ledger(loader: Any) -> Any:
    """Run one epoch; every planned (id, occurrence) is delivered, skipped or substituted, once.

    Returns its batches.
    """
    planned = len(loader)
    selection = loader._chooser.selection(loader.epoch)
    wanted = list(range(len(loader.source))) if selection is None else selection.ids.tolist()
    batches = list(loader)
    ledger = loader.ledger
    assert len(batches) == planned, "skips shrink a batch, never the number of steps"
    assert [batch.index for batch in batches] == list(range(planned))
    assert ledger.balanced(), ledger
    delivered = sorted(id for batch in batches for id in batch.ids.tolist())
    assert len(delivered) == ledger.delivered + ledger.substituted
    if not loader.drop_last:
        assert ledger.planned == len(wanted)
        bad = [record.sample for record in ledger.bad]
        assert len(bad) == ledger.skipped + ledger.substituted
        if not ledger.substituted:
            assert sorted(delivered + bad) == sorted(wanted)
    return batches


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def _own_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("fieldloom")}


@contextlib.contextmanager
def check_closed(slack: int = 0) -> Iterator[None]:
    """The block leaves no thread and no file descriptor of ours behind (DALI's own need a moment to end)."""
    gc.collect()
    threads, descriptors = _own_threads(), _descriptors()
    yield
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        gc.collect()
        if _own_threads() <= threads and _descriptors() <= descriptors + slack:
            return
        time.sleep(0.02)
    left = [thread.name for thread in _own_threads() - threads]
    raise AssertionError(f"threads left: {left}; descriptors {descriptors} -> {_descriptors()}")


def run_python(code: str, timeout_s: float = 60, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        **options,
    )


def decide_together(rank: int, world: int, port: int, name: str, results: Any) -> None:
    """One process of a training under torch.distributed: what its loader selects in three epochs."""
    import torch

    import fieldloom as fl
    from fieldloom import selectors

    if world > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world
        )
    n, classes = 90, 5
    chosen = {
        "coreset": lambda: selectors.Coreset(0.3, every=2),
        "max-loss": lambda: selectors.MaxLoss(0.4),
        "forgetting": lambda: selectors.Forgetting(0.5, warmup=1, every=1),
        "infobatch": lambda: selectors.InfoBatch(epochs=8),
        "adaptive": selectors.SampleAdaptive,
    }[name]()
    rng = np.random.default_rng(1)
    images, logits = rng.integers(0, 256, (n, 6, 6, 3), np.uint8), rng.standard_normal((n, classes))
    found = []
    with fl.DataLoader(
        (images, np.arange(n) % classes), batch_size=6, size=6, shuffle=True, threads=1, device="cpu",
        selection=chosen, rank=rank, world_size=world, drop_last=False,
    ) as loader:  # fmt: skip
        for epoch in range(3):
            if loader.needs_scoring:
                for batch in loader.scoring_pass():
                    report(loader, batch, logits, epoch)
            for batch in loader:
                report(loader, batch, logits, epoch)
            selection = loader._chooser.selection(epoch)
            found.append({} if selection is None else selection.columns())
    results.put((rank, found))
    if world > 1:
        torch.distributed.destroy_process_group()


def report(loader: Any, batch: Any, logits: np.ndarray, epoch: int) -> None:
    """Feedback that is a function of the sample and the epoch."""
    import torch

    ids = batch.ids.numpy()
    rows = torch.from_numpy(logits[ids] * (1 + epoch))
    loss = torch.from_numpy((ids * 37 + epoch * 11) % 90 / 10.0)
    loader.feedback(batch, logits=rows, loss=loss, correct=torch.from_numpy((ids + epoch) % 3 > 0))


def load_in_a_process(images: Any, results: Any) -> None:
    """One epoch of a loader made in a process of its own."""
    import fieldloom as fl

    with fl.DataLoader((images, [0] * len(images)), batch_size=4, size=8, threads=1) as loader:
        results.put([batch.images.numpy().tobytes() for batch in loader])
