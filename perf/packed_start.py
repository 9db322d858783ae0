"""How long a loader takes to start on a large packed data set, in what memory: measured on a sparse one."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from fieldloom.perf.spread import spread

#: Samples of a batch of the loader that is started.
BATCH = 64
#: Side of the images: small, so that ten million of them fit the file system's largest sparse file.
SIDE = 32


def write_sparse(folder: str, n: int, filled: np.ndarray) -> None:
    """Write a raw packed data set of n samples of 32 x 32 pixels; only those in `filled` have pixels.

    The index and the targets are whole; the data files are holes but for the samples asked for, and their
    SHA-256, which nothing looks at but `verify`, are made up.
    """
    from fieldloom.sources.packed.packedformat import (
        INDEX,
        META,
        RECORD_BYTES,
        TARGETS,
        Meta,
        Record,
        data_name,
    )
    from fieldloom.sources.packed.rowsums import image_sum, row_bytes, seal_rows

    rng = np.random.default_rng(0)
    rows = np.zeros((SIDE, row_bytes(SIDE)), np.uint8)
    rows[:, : 3 * SIDE] = rng.integers(0, 256, (SIDE, 3 * SIDE), np.uint8)
    total, each = image_sum(rows, SIDE), rows.nbytes
    seal_rows(rows, total)
    per_file = (1 << 30) // each
    root = Path(folder)
    root.mkdir()
    with open(root / INDEX, "wb", buffering=1 << 20) as index:
        for i in range(n):
            index.write(Record(i * each, each, SIDE, SIDE, total).encoded(i))
    targets = (np.arange(n) % 1000).astype("<i2")
    targets.tofile(root / TARGETS)
    data = []
    for k in range(-(-n // per_file)):
        count = min(per_file, n - k * per_file)
        with open(root / data_name(k), "wb") as file:
            file.truncate(count * each)
            for i in filled[filled // per_file == k].tolist():
                file.seek((i - k * per_file) * each)
                file.write(rows.tobytes())
        data.append((count * each, "0" * 64))
    files = {
        INDEX: (n * RECORD_BYTES, _sha256(root / INDEX)),
        TARGETS: (2 * n, _sha256(root / TARGETS)),
    }
    meta = Meta("raw", n, 1000, None, {}, "int16", None, SIDE, 90, files, data)
    (root / META).write_bytes(meta.encoded())


def _sha256(path: Path) -> str:
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def first_ids(n: int, batches: int) -> np.ndarray:
    """Ids of the first batches of a shuffled epoch 0, seed 0."""
    from fieldloom.epoch import plan_epoch

    return plan_epoch(n, None, shuffle=True, seed=0, epoch=0).ids[: batches * BATCH].astype(np.int64)


def measure_start(n: int, rounds: int = 3) -> dict[str, Any]:
    """Start a loader on n samples, each time in a process of its own.

    Returns:
        n; seconds from the constructor to the first batch, on the wall and of CPU time, with their spread;
        resident memory above that just before, when imports and a tiny loader were done, in MB (10^6 bytes),
        the most of all rounds: at its peak, and behind the first batch; the machine's load average.
    """
    with tempfile.TemporaryDirectory(prefix="fieldloom-sparse-") as folder:
        path = f"{folder}/packed"
        # Batches that wait, are in work or are read ahead when the first one is there.
        write_sparse(path, n, first_ids(n, 16))
        command = [sys.executable, "-m", "fieldloom.perf.packed_start", path]
        found: list[dict[str, Any]] = []
        for _ in range(rounds):
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    timed = ("seconds", "cpu_s", "constructor_s")
    most = ("peak_mb_above", "mb_above")
    return (
        {"n": found[0]["n"], "first_batch": found[0]["first_batch"]}
        | {name: spread([row[name] for row in found], 3) for name in timed}
        | {name: max(row[name] for row in found) for name in most}
        | {"load_average": round(os.getloadavg()[0], 1)}
    )


def main(path: str) -> None:
    """Measure in this process, and print JSON."""
    import fieldloom as fl
    from fieldloom.perf.usage import (
        cpu_seconds,
        forget_peak,
        peak_since_megabytes,
        resident_megabytes,
    )

    augment = [fl.RandomResizedCrop(), fl.HorizontalFlip(), fl.Normalize()]
    with tempfile.TemporaryDirectory() as folder:
        images = np.zeros((2 * BATCH, SIDE, SIDE, 3), np.uint8)
        fl.pack((images, np.arange(2 * BATCH)), f"{folder}/tiny", side=0)
        with fl.DataLoader(f"{folder}/tiny", BATCH, SIDE, device="cpu", augment=augment) as loader:
            for _ in loader:
                pass
    forget_peak()
    before = resident_megabytes()
    start, cpu = time.perf_counter(), cpu_seconds()
    with fl.DataLoader(path, BATCH, SIDE, True, device="cpu", augment=augment) as loader:
        opened = time.perf_counter() - start
        batch = next(iter(loader))
        seconds, cpu = time.perf_counter() - start, cpu_seconds() - cpu
        after, peak = resident_megabytes(), peak_since_megabytes()
        found = {
            "n": len(loader.source), "seconds": round(seconds, 3), "cpu_s": round(cpu, 3),
            "constructor_s": round(opened, 3),
            "peak_mb_above": round(peak - before, 1), "mb_above": round(after - before, 1),
            "first_batch": list(batch.images.shape),
        }  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
