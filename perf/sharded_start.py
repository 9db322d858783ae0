"""How long a loader takes to start on many tar shards, in what memory; and what reading a sample costs.

`python -m fieldloom.perf.sharded_start FILE` writes the report. The shards are sparse: their indices are
whole, and only the samples that the first batches ask for have bytes.
"""

import json
import mmap
import os
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from fieldloom.perf.packed_start import BATCH, SIDE, first_ids

#: Samples of a shard, and classes.
EACH, CLASSES = 10_000, 1000
#: Reads of the comparison: samples of this many bytes.
SAMPLES, SAMPLE_BYTES, ROUNDS = 2000, 110_000, 9


def write_sparse(folder: str, n: int, filled: np.ndarray) -> None:
    """Write shards of n samples, and their indices; only the samples in `filled` have bytes."""
    from fieldloom.sources.shards.shardindex import save_index
    from fieldloom.sources.shards.shardsamples import Spec
    from fieldloom.sources.shards.shardscan import ROW, Scanned
    from fieldloom.sources.store import LocalStore

    root = Path(folder)
    root.mkdir()
    blocks = len(_sample_bytes(0)[0]) // 512
    for k in range(-(-n // EACH)):
        count = min(EACH, n - k * EACH)
        rows = np.zeros(count, ROW)
        rows["start"] = np.arange(count) * blocks
        rows["blocks"] = blocks
        path = root / f"train-{k:05d}.tar"
        with open(path, "wb") as file:
            file.truncate(count * blocks * 512 + 1024)
            for i in filled[filled // EACH == k].tolist():
                data, crc = _sample_bytes(i)
                rows["crc"][i - k * EACH] = crc
                file.seek((i - k * EACH) * blocks * 512)
                file.write(data)
        labels = ((k * EACH + np.arange(count)) % CLASSES).astype(np.uint16)
        stamp = LocalStore().stamp(str(path))
        save_index(str(path), Spec().tag, stamp, Scanned(rows, labels, None, 2 * count, "0" * 64, "jpg"))


def _sample_bytes(i: int) -> tuple[bytes, int]:
    """The members of sample i, and the CRC-32 of their headers."""
    import io
    import tarfile

    from PIL import Image

    out = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)  # all images have one size
    Image.fromarray(noise).save(out, "JPEG")
    data, crc = b"", 0
    for name, content in (("jpg", out.getvalue()), ("cls", str(i % CLASSES).encode())):
        info = tarfile.TarInfo(f"{i:09d}.{name}")
        info.size = len(content)
        header = info.tobuf(tarfile.USTAR_FORMAT)
        data += header + content + bytes(-len(content) % 512)
        crc = zlib.crc32(header, crc)
    return data, crc


def measure_start(n: int) -> dict[str, Any]:
    """Start a loader on n samples in a process of its own.

    Returns:
        n; shards; seconds from the constructor to the first batch, and CPU time of all threads; resident
        memory above that just before, when imports and a tiny loader were done, in MB (10^6 bytes): at its
        peak, and behind the first batch.
    """
    with tempfile.TemporaryDirectory(prefix="fieldloom-sparse-") as folder:
        path = f"{folder}/shards"
        # Batches that wait, are in work or are read ahead when the first one is there.
        write_sparse(path, n, first_ids(n, 16))
        done = subprocess.run(
            [sys.executable, "-m", "fieldloom.perf.sharded_start", "--one", path],
            check=True,
            stdout=subprocess.PIPE,
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def start(path: str) -> dict[str, Any]:
    """Measure in this process."""
    import fieldloom as fl
    from fieldloom.perf.usage import (
        cpu_seconds,
        forget_peak,
        peak_since_megabytes,
        resident_megabytes,
    )

    augment = [fl.RandomResizedCrop(), fl.HorizontalFlip(), fl.Normalize()]
    with tempfile.TemporaryDirectory() as folder:
        write_sparse(f"{folder}/tiny", 2 * BATCH, np.arange(2 * BATCH))
        with fl.DataLoader(f"{folder}/tiny", BATCH, SIDE, device="cpu", augment=augment) as loader:
            for _ in loader:
                pass
    forget_peak()
    before, begin, cpu = resident_megabytes(), time.perf_counter(), cpu_seconds()
    with fl.DataLoader(path, BATCH, SIDE, True, device="cpu", augment=augment) as loader:
        opened = time.perf_counter() - begin
        batch = next(iter(loader))
        seconds = time.perf_counter() - begin
        cpu = cpu_seconds() - cpu
        after, peak = resident_megabytes(), peak_since_megabytes()
        return {
            "n": len(loader.source), "shards": len(list(Path(path).glob("*.tar"))),
            "seconds": round(seconds, 3), "constructor_s": round(opened, 3), "cpu_s": round(cpu, 3),
            "peak_mb_above": round(peak - before, 1), "mb_above": round(after - before, 1),
            "first_batch": list(batch.images.shape),
        }  # fmt: skip


def measure_reads() -> dict[str, Any]:
    """What reading a sample costs in random order, by `pread` into an array and by slices of a memory map.

    Both look at every byte (CRC-32), as a decoder would; the file is in the page cache. "new map" is mapped
    anew each round, as a process's first epoch finds it.

    Returns:
        Microseconds a sample: median, lowest and highest of the rounds, which alternate.
    """
    from fieldloom.perf.spread import spread
    from fieldloom.sources.store import LocalStore

    times: dict[str, list[float]] = {"pread": [], "map": [], "new map": []}
    with tempfile.TemporaryDirectory(prefix="fieldloom-reads-") as folder:
        path = f"{folder}/shard"
        Path(path).write_bytes(np.random.default_rng(0).bytes(SAMPLES * SAMPLE_BYTES))
        store = LocalStore()
        stamp = store.stamp(path)
        order = np.random.default_rng(1).permutation(SAMPLES).tolist()
        fd = os.open(path, os.O_RDONLY)
        kept = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
        try:
            for _ in range(ROUNDS + 1):  # the first warms up
                begin = time.perf_counter()
                for i in order:
                    part = store.read_range(path, i * SAMPLE_BYTES, SAMPLE_BYTES, expected=stamp)
                    zlib.crc32(part.data)
                times["pread"].append(time.perf_counter() - begin)
                for name, mapped in (("map", kept), ("new map", mmap.mmap(fd, 0, prot=mmap.PROT_READ))):
                    begin = time.perf_counter()
                    view = memoryview(mapped)
                    for i in order:
                        zlib.crc32(view[i * SAMPLE_BYTES : (i + 1) * SAMPLE_BYTES])
                    times[name].append(time.perf_counter() - begin)
                    view.release()
                mapped.close()
        finally:
            kept.close()
            os.close(fd)
            store.close(path)
    return {
        "samples": SAMPLES, "bytes": SAMPLE_BYTES,
        "us": {name: spread([1e6 * t / SAMPLES for t in taken[1:]]) for name, taken in times.items()},
    }  # fmt: skip


def measure_index(n: int = 20_000) -> dict[str, Any]:
    """What making the index of a shard of n samples of two members takes, the shard in the page cache."""
    from fieldloom.sources import ShardSource

    with tempfile.TemporaryDirectory(prefix="fieldloom-index-") as folder:
        path = Path(folder) / "a.tar"
        path.write_bytes(b"".join(_sample_bytes(i)[0] for i in range(n)) + bytes(1024))
        begin = time.perf_counter()
        ShardSource(path)
        made = time.perf_counter() - begin
        begin = time.perf_counter()
        ShardSource(path)
        return {
            "samples": n, "make_us_a_sample": round(1e6 * made / n, 1),
            "open_again_ms": round(1e3 * (time.perf_counter() - begin), 2),
        }  # fmt: skip


def report() -> dict[str, Any]:
    """All of it, ready for JSON."""
    from fieldloom.perf.machine import describe

    return {
        "machine": describe(), "load": [round(load, 1) for load in os.getloadavg()],
        "start": [measure_start(n) for n in (1_000_000, 10_000_000, 10_000_000, 10_000_000)],
        "index": measure_index(), "reads": measure_reads(),
    }  # fmt: skip


def main(arguments: list[str]) -> None:
    """Write the report to a file; or start on shards in this process, and print JSON."""
    from fieldloom.perf.json_file import write_json

    if arguments[0] == "--one":
        print(json.dumps(start(arguments[1])))
    else:
        write_json(Path(arguments[0]), report())


if __name__ == "__main__":
    main(sys.argv[1:])
