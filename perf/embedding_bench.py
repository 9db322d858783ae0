"""Where the fused pass belongs: behind the pipeline's outputs, or inside the graph as an operator.

    python -m fieldloom.perf.embedding_bench PATH --json FILE

The same windows of the same files, decoded by the same DALI operator and augmented by the same kernels,
become torch tensors in several ways, in one process and in rounds that rotate: behind the outputs as the
loader does it, embedded by `fieldloom.pipelines.fn.fused` with one and with two batches ahead, and likewise
with `direct=True`. Decoding alone is the floor. Bytes are in memory, headers are checked beforehand.

Then, without any decoding: what each way of embedding costs besides the kernel (`embedding_ways.py`).
"""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from fieldloom import ColorField, HorizontalFlip, Normalize, RandomField, RandomResizedCrop
from fieldloom.buffers import BufferPool
from fieldloom.kernels.draws import Keys, Windows
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.perf.embedding_ways import SIDE, overheads
from fieldloom.perf.loader_bench import find_files
from fieldloom.perf.machine import describe
from fieldloom.perf.spread import spread
from fieldloom.perf.usage import cpu_seconds
from fieldloom.pipelines.decode import CropDecoder
from fieldloom.pipelines.header import Header, check_header
from fieldloom.pipelines.job import DecodeJob
from fieldloom.recipe import Format, compile_recipe
from fieldloom.tensors import to_tensor

#: Way -> what it is.
WAYS = {
    "decode": "decode the windows alone",
    "outside": "decode, then the pass on the outputs (the loader's way)",
    "embedded": "decode and the pass in one graph, 1 batch ahead",
    "embedded_2": "decode and the pass in one graph, 2 batches ahead",
    "direct": "the same, 1 batch ahead, outputs handed over without a copy",
}

Tensors = Iterator[Any]
#: (CPU, wall) milliseconds an image of each round.
Rounds = list[tuple[float, float]]


@dataclass(slots=True)
class Task:
    """What every way is given.

    Attributes:
        fused_pass: The compiled recipe.
        encoded: Files' bytes; `headers` describes each.
        headers: See `encoded`.
        batch_size: Images of a batch.
        threads: Threads of the decoder, and of the pass.
    """

    fused_pass: FusedPass
    encoded: list[np.ndarray]
    headers: list[Header]
    batch_size: int
    threads: int

    def batches(self, epoch: int) -> Iterator[tuple[Keys, Windows, DecodeJob]]:
        """Keys, windows and encoded bytes of each batch; sample ids are positions."""
        for first in range(0, len(self.encoded), self.batch_size):
            ids = np.arange(first, min(first + self.batch_size, len(self.encoded)))
            keys = Keys(0, epoch, ids, np.zeros_like(ids))
            headers = [self.headers[i] for i in ids]
            windows = self.fused_pass.windows(keys, np.array([(h.height, h.width) for h in headers]))
            job = DecodeJob.from_headers(
                [self.encoded[i] for i in ids], headers, windows.rects, (keys, windows)
            )
            yield keys, windows, job


class Outside:
    """The pass on the decoder's outputs, into buffers that are used again."""

    def __init__(self, task: Task, *, augment: bool) -> None:
        self._task, self._augment = task, augment
        self._decoder = CropDecoder(task.batch_size, task.threads, prefetch=1)
        self._pool = ThreadPoolExecutor(task.threads)
        self._buffers = BufferPool(keep=2)

    def __call__(self, epoch: int) -> Tensors:
        """Tensors of an epoch (the decoded windows where there is no pass)."""
        fused_pass = self._task.fused_pass
        for done in self._decoder.decode(job for _, _, job in self._task.batches(epoch)):
            crops, (keys, windows) = done.crops, done.job.payload
            if not self._augment:
                yield crops
                continue
            sources = Sources(crops.pointers, crops.heights, crops.widths, crops.strides, crops)
            form = fused_pass.empty(0)
            out = self._buffers.take((len(keys), *form.shape[1:]), form.dtype)
            yield to_tensor(fused_pass(keys, windows, sources, out, self._pool), "float32", "NCHW")

    def close(self) -> None:
        """End all threads."""
        self._decoder.close()
        self._pool.shutdown()


class Embedded:
    """The pass within the graph that decodes."""

    def __init__(self, task: Task, *, prefetch: int, direct: bool = False) -> None:
        from nvidia.dali import fn, types
        from nvidia.dali.pipeline import Pipeline

        from fieldloom.pipelines.fn import fused

        self._task = task
        self._batches: Iterator[tuple[Keys, Windows, DecodeJob]] = iter(())
        pipe = Pipeline(task.batch_size, task.threads, None, prefetch_queue_depth=prefetch)
        with pipe:
            encoded, start, shape, sizes, ids, epoch = fn.external_source(
                source=self._next, num_outputs=6, batch=True
            )
            crops = fn.decoders.image_slice(
                encoded, start=start, shape=shape, axes=(0, 1), output_type=types.RGB  # type: ignore[attr-defined]
            )  # fmt: skip
            pipe.set_outputs(
                fused(crops, task.fused_pass, ids=ids, epoch=epoch, seed=0, sizes=sizes, direct=direct)
            )
        pipe.build()
        self._pipe: Any = pipe

    def _next(self) -> tuple[Any, ...]:
        keys, windows, job = next(self._batches)
        start, shape = np.ascontiguousarray(windows.rects[:, :2]), np.ascontiguousarray(windows.rects[:, 2:])
        return job.encoded, start, shape, job.sizes, keys.ids[:, None], np.full((len(keys), 1), keys.epoch)

    def __call__(self, epoch: int) -> Tensors:
        """Tensors of an epoch."""
        import torch

        self._batches = self._task.batches(epoch)
        while True:
            try:
                (images,) = self._pipe.run()
            except StopIteration:
                self._pipe.reset()
                return
            yield torch.from_dlpack(images.as_tensor())

    def close(self) -> None:
        """End all threads."""
        self._pipe = None


def run(
    path: str,
    *,
    rounds: int = 9,
    batch_size: int = 64,
    size: int = 224,
    threads: int = 2,
    n_images: int = 1000,
    overhead: bool = True,
) -> dict[str, Any]:
    """Measure every way.

    Args:
        path: An ImageFolder of JPEGs.
        rounds: Interleaved rounds, one epoch of each way.
        batch_size: Images of a batch.
        size: Output side in pixels.
        threads: Threads of the decoder, and of the pass.
        n_images: Files of an epoch at least; the folder is repeated.
        overhead: Measure what each way costs besides the kernel as well.

    Returns:
        The report, ready for JSON: CPU time and wall time an image by way, their ratios to "outside" taken
        round by round, whether outside and embedded gave equal bits, and what `overheads` found.
    """
    files = find_files(path, n_images)
    bytes_of = {name: np.fromfile(name, np.uint8) for name, _ in dict.fromkeys(files)}
    headers = {name: check_header(data, max_pixels=10**8) for name, data in bytes_of.items()}
    recipe = [
        RandomResizedCrop(),
        HorizontalFlip(),
        RandomField("translate", p=1.0),
        ColorField(p=1.0),
        Normalize(),
    ]
    fused_pass = FusedPass(compile_recipe(recipe, Format(size)))
    inner = FusedPass(compile_recipe(recipe[1:], Format(size)))  # without a crop: the same work every time
    task = Task(
        fused_pass, [bytes_of[n] for n, _ in files], [headers[n] for n, _ in files], batch_size, threads
    )
    ways: dict[str, Any] = {
        "decode": Outside(task, augment=False),
        "outside": Outside(task, augment=True),
        "embedded": Embedded(task, prefetch=1),
        "embedded_2": Embedded(task, prefetch=2),
        "direct": Embedded(task, prefetch=1, direct=True),
    }
    try:
        equal = all(_equal(ways["outside"](0), ways[name](0)) for name in ("embedded", "direct"))
        measured = _rounds(ways, rounds, len(files))
    finally:
        for way in ways.values():
            way.close()
    costs = {}
    if overhead:
        costs = overheads(recipe[1:], inner, batch_size=batch_size, threads=threads, rounds=rounds)
    return {
        "benchmark": "embedding",
        "machine": describe(),
        "setting": {
            "files": len(files), "distinct_files": len(bytes_of), "batch_size": batch_size, "size": size,
            "threads": threads, "rounds": rounds, "source": Path(path).name,
            "recipe": [repr(item) for item in recipe],
        },
        "ways": {
            name: {"what": WAYS[name], **_summary(rows, measured["outside"])}
            for name, rows in measured.items()
        },
        "equal_bits": equal,
        "overhead": costs,
    }  # fmt: skip


def _rounds(ways: dict[str, Callable[[int], Tensors]], rounds: int, n: int) -> dict[str, Rounds]:
    """Times of each way after one epoch that warms each up."""
    measured: dict[str, Rounds] = {name: [] for name in ways}
    names = list(ways)
    for name in names:
        sum(1 for _ in ways[name](0))
    for round_ in range(rounds):
        for k in range(len(names)):
            name = names[(round_ + k) % len(names)]
            cpu, wall = cpu_seconds(), time.perf_counter()
            for _ in ways[name](1 + round_):
                pass
            cpu, wall = cpu_seconds() - cpu, time.perf_counter() - wall
            measured[name].append((1e3 * cpu / n, 1e3 * wall / n))
    return measured


def _equal(one: Tensors, other: Tensors) -> bool:
    return all(bool((a == b).all()) for a, b in zip(one, other, strict=True))


def _summary(rows: Rounds, base: Rounds) -> dict[str, Any]:
    """Times of one way, and their ratios to another's of the same round."""
    report = {}
    for k, kind in enumerate(("cpu", "wall")):
        report[f"{kind}_ms_per_image"] = spread([row[k] for row in rows])
        report[f"{kind}_over_outside"] = spread([a[k] / b[k] for a, b in zip(rows, base, strict=True)])
    return report


@click.command()
@click.argument("path")
@click.option("--json", "file", help="Where to write the report.")
@click.option("--rounds", default=9, show_default=True)
@click.option("--batch-size", default=64, show_default=True)
@click.option("--size", default=224, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--overhead/--no-overhead", default=True, show_default=True, help="Measure single batches too.")
@click.option("--images", default=1000, show_default=True, help="Files of an epoch at least.")
def main(
    path: str,
    file: str | None,
    rounds: int,
    batch_size: int,
    size: int,
    threads: int,
    images: int,
    overhead: bool,
) -> None:
    """Compare the fused pass behind a pipeline with the one inside it, on the JPEGs below PATH."""
    report = run(
        path,
        rounds=rounds,
        batch_size=batch_size,
        size=size,
        threads=threads,
        n_images=images,
        overhead=overhead,
    )
    for way in report["ways"].values():
        cpu, wall, ratio = (way[key] for key in ("cpu_ms_per_image", "wall_ms_per_image", "cpu_over_outside"))
        click.echo(
            f"{way['what']:58s} CPU {cpu['median']:.3f} ms ({cpu['min']:.3f}-{cpu['max']:.3f}), "
            f"wall {wall['median']:.3f} ms an image, CPU x {ratio['median']:.3f}"
        )
    click.echo(f"equal bits: {report['equal_bits']}")
    for kernel, ways in report["overhead"].items():
        click.echo(f"\n{kernel}, {batch_size} images of {SIDE} x {SIDE} in memory, against the bare kernel:")
        for way in ways.values():
            cpu, wall, ratio, slower = (
                way[key]["median"]
                for key in ("cpu_ms_per_batch", "wall_ms_per_batch", "cpu_over_bare", "wall_over_bare")
            )
            click.echo(
                f"{way['what']:58s} CPU {cpu:7.2f} ms, wall {wall:7.2f} ms a batch, "
                f"CPU x {ratio:.2f}, wall x {slower:.2f}"
            )
    if file is not None:
        Path(file).write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
