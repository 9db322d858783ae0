"""Many epochs in one process: do memory, threads and file descriptors stay as they are?"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from .machine import describe
from .usage import resident_megabytes

#: Part of the epochs after which counting begins: until then pools fill and malloc finds its size.
WARM_UP = 0.15


def threads() -> int:
    """Threads of this process, DALI's and torch's included."""
    return len(os.listdir("/proc/self/task"))


def descriptors() -> int:
    """Open file descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


def watch(epoch: Callable[[], int], n: int) -> dict[str, Any]:
    """Run `n` epochs and look at the process after each.

    Args:
        epoch: Runs one, gives the number of images that it delivered.
        n: How many.

    Returns:
        Memory in MB, threads and descriptors: after the warm-up, at the end, the largest behind the
        warm-up; images and seconds.
    """
    seen, images, start = [], 0, time.perf_counter()
    for _ in range(n):
        images += epoch()
        seen.append((resident_megabytes(), threads(), descriptors()))
    warm = max(1, int(n * WARM_UP))
    tail = max(1, n // 20)
    memory = np.array([row[0] for row in seen])
    return {
        "epochs": n,
        "images": images,
        "seconds": round(time.perf_counter() - start, 1),
        "warm_up": warm,
        "memory_mb": {
            "first": round(memory[0], 1),
            "warm": round(float(np.median(memory[warm : warm + tail])), 1),
            "end": round(float(np.median(memory[-tail:])), 1),
            "largest": round(float(memory[warm:].max()), 1),
        },
        "threads": {"warm": seen[warm][1], "end": seen[-1][1], "largest": max(row[1] for row in seen[warm:])},
        "descriptors": {
            "warm": seen[warm][2], "end": seen[-1][2], "largest": max(row[2] for row in seen[warm:]),
        },
    }  # fmt: skip


def files(folder: Path, n_epochs: int, n_images: int = 120) -> dict[str, Any]:
    """Epochs over JPEG files of many sizes, every twelfth of which is damaged, with a full recipe."""
    import fieldloom as fl

    from .photos import write_photo_folder

    write_photo_folder(folder, n_images)
    for path in sorted(folder.rglob("*.jpg"))[::12]:
        path.write_bytes(path.read_bytes()[:-400])
    augment = [
        fl.RandomResizedCrop(), fl.HorizontalFlip(), fl.RandomField("translate"), fl.ColorField(),
        fl.Normalize(),
    ]  # fmt: skip
    with fl.DataLoader(
        folder, batch_size=16, size=96, shuffle=True, threads=2, augment=augment, on_bad_sample="skip",
        device="cpu",
    ) as loader:  # fmt: skip
        return watch(lambda: sum(len(batch) for batch in loader), n_epochs)


def left_early(folder: Path, n_epochs: int) -> dict[str, Any]:
    """Epochs over the same files that are left after the second batch."""
    import fieldloom as fl

    def epoch() -> int:
        n = 0
        for batch in loader:
            n += len(batch)
            if batch.index == 1:
                break
        return n

    with fl.DataLoader(
        folder, batch_size=16, size=96, shuffle=True, threads=2, on_bad_sample="substitute", device="cpu"
    ) as loader:
        return watch(epoch, n_epochs)


def arrays(n_epochs: int, n_images: int = 2000, side: int = 64) -> dict[str, Any]:
    """Epochs over a stack of images in memory, with policies and mixing."""
    import fieldloom as fl

    images = np.random.default_rng(0).integers(0, 256, (n_images, side, side, 3), np.uint8)
    augment = [fl.RandomCrop(padding=4), fl.RandAugment(), fl.Normalize(), fl.MixUp()]
    with fl.DataLoader(
        (images, np.arange(n_images) % 10), batch_size=64, size=side, shuffle=True, threads=2,
        augment=augment, device="cpu",
    ) as loader:  # fmt: skip
        return watch(lambda: sum(len(batch) for batch in loader), n_epochs)


def short(n_epochs: int) -> dict[str, Any]:
    """Epochs of 100 small images in memory."""
    import fieldloom as fl

    images = np.random.default_rng(0).integers(0, 256, (100, 16, 16, 3), np.uint8)
    with fl.DataLoader(
        (images, np.arange(100) % 10), batch_size=25, size=16, shuffle=True, threads=2, device="cpu"
    ) as loader:
        return watch(lambda: sum(len(batch) for batch in loader), n_epochs)


def run(n_epochs: int) -> dict[str, Any]:
    """All soaks, one after another in this process.

    Args:
        n_epochs: Epochs of each; five times as many of the short ones.
    """
    with tempfile.TemporaryDirectory() as folder:
        kinds = {
            "files": files(Path(folder), n_epochs),
            "files, left early": left_early(Path(folder), n_epochs),
        }
    kinds["arrays"] = arrays(n_epochs)
    kinds["short epochs"] = short(5 * n_epochs)
    return {"kinds": kinds, "machine": describe()}


def report(result: dict[str, Any]) -> None:
    """Print a table."""
    table = Table("epochs of", "n", "MB warm", "MB end", "MB largest", "threads", "descriptors", "s")
    for kind, row in result["kinds"].items():
        memory, lives, files_ = row["memory_mb"], row["threads"], row["descriptors"]
        table.add_row(
            kind, str(row["epochs"]), str(memory["warm"]), str(memory["end"]), str(memory["largest"]),
            f"{lives['warm']} -> {lives['end']}", f"{files_['warm']} -> {files_['end']}", str(row["seconds"]),
        )  # fmt: skip
    Console().print(table)
