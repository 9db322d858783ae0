"""The stages of our loader, each run alone on the same samples."""

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from fieldloom.errors import SampleError

from .limits import copy_to_device_ms, handoff_ms
from .probes import Meter
from .settings import Settings
from .stages import Ablation, Stage

#: Bytes of decoded images that the fused pass is measured on.
_MOST_BYTES = 160 * 10**6
_MOST_SAMPLES = 256


@dataclass(frozen=True, slots=True)
class _Cost:
    """Milliseconds an image, and how many were run."""

    wall_ms: float
    cpu_ms: float


def _repeat(run: Callable[[], int], seconds: float) -> _Cost:
    """Call `run`, which tells how many images it did, until `seconds` have passed; at least once."""
    meter, images, start = Meter(), 0, time.perf_counter()
    while not images or time.perf_counter() - start < seconds:
        images += run()
    usage = meter.usage()
    return _Cost(1e3 * usage.wall_s / images, 1e3 * usage.cpu_s / images)


def ablate_source(source: Any, settings: Settings, seconds: float) -> Ablation:
    """Measure read, header check, decode and the fused pass on up to 256 samples of a source.

    Args:
        source: An open source.
        settings: How it is loaded; `threads` is given.
        seconds: How long that may take, roughly; every stage runs at least once.

    Exactness: parts run alone have caches and cores to themselves, so their sum need not be the whole.
    """
    ids = np.random.default_rng(0).permutation(len(source))[:_MOST_SAMPLES].tolist()
    if not ids:
        return Ablation((), notes=("the data set is empty",))
    threads = settings.threads or 1
    if source.stored == "pixels":
        return _ablate_pixels(source, ids, settings, threads, seconds)
    return _ablate_encoded(source, ids, settings, threads, seconds)


def _ablate_encoded(
    source: Any, ids: list[int], settings: Settings, threads: int, seconds: float
) -> Ablation:
    from fieldloom.pipelines.header import check_header

    data, read = _read_all(_reading(source), ids, threads, seconds / 5)
    headers, good = [], []
    for item in data:
        try:
            headers.append(check_header(item, max_pixels=2**27))
            good.append(item)
        except SampleError:
            continue
    if not good:
        return Ablation((Stage("read", read.wall_ms, read.cpu_ms, "alone"),), notes=("no image is sound",))

    def check() -> int:
        for item in good:
            check_header(item, max_pixels=2**27)
        return len(good)

    header = _repeat(check, seconds / 20)
    decode, crop_bytes = _decode_alone(good, headers, settings, threads, seconds / 3)
    images = _decoded(good, headers)
    augment = _pass_alone(images, settings, seconds / 3)
    encoded = float(np.mean([len(item) for item in good]))
    stages = (
        Stage("read", read.wall_ms, read.cpu_ms, f"alone, {threads} threads"),
        Stage("header", header.wall_ms / threads, header.cpu_ms, "alone"),
        Stage("decode", decode.wall_ms, decode.cpu_ms, f"the same windows alone, {threads} threads"),
        Stage("augment", augment.wall_ms, augment.cpu_ms, "the loader on decoded images"),
        *_ends(settings),
    )
    notes = (
        () if len(good) == len(data) else (f"{len(data) - len(good)} of {len(data)} images are not sound",)
    )
    return Ablation(
        stages, floor_images_per_s=1e3 / decode.wall_ms, floor_cpu_ms=decode.cpu_ms,
        encoded_bytes=encoded, crop_bytes=crop_bytes, notes=notes,
    )  # fmt: skip


def _ablate_pixels(source: Any, ids: list[int], settings: Settings, threads: int, seconds: float) -> Ablation:
    pixels, read = _read_all(_reading(source), ids, threads, seconds / 4)
    kept = list(itertools.islice(_within_memory(iter(pixels)), len(pixels)))
    images = [image if isinstance(image, np.ndarray) else image.cpu().numpy() for image in kept]
    augment = _pass_alone(images, settings, seconds / 2)
    size = float(np.mean([image.nbytes for image in images]))
    stages = (
        Stage("read", read.wall_ms, read.cpu_ms, f"alone, {threads} threads"),
        Stage("augment", augment.wall_ms, augment.cpu_ms, "the loader on a copy of the images"),
        *_ends(settings),
    )
    return Ablation(stages, encoded_bytes=size, crop_bytes=size)


def _ends(settings: Settings) -> list[Stage]:
    """What comes behind the pass."""
    handed = handoff_ms() / settings.batch_size
    ends = [Stage("handoff", handed, handed, "an empty queue of the same kind")]
    if settings.device.startswith("cuda"):
        size = (settings.size, settings.size) if isinstance(settings.size, int) else settings.size
        copied = copy_to_device_ms(settings.device, 3 * size[0] * size[1])
        ends.append(Stage("copy", copied, None, "8-bit pixels of the output's size from pinned memory"))
    return ends


def _reading(source: Any) -> Callable[[int], Any]:
    """What gets the image of a sample, alone or with what belongs to it."""
    sample = getattr(source, "sample", None)
    if sample is not None:
        return lambda i: sample(i).image
    return source.read if source.stored == "encoded" else source.pixels


def _read_all(read: Callable[[int], Any], ids: list[int], threads: int, seconds: float) -> tuple[list, _Cost]:
    """Read what can be read within the time, a thread's share at a time, and what it cost."""
    found: list[Any] = []
    meter, start = Meter(), time.perf_counter()

    def one(i: int) -> Any:
        try:
            return read(i)
        except SampleError:
            return None

    with ThreadPoolExecutor(threads) as pool:
        done = 0
        while done < len(ids) and (not done or time.perf_counter() - start < seconds):
            chunk = ids[done : done + 8 * threads]
            found += [item for item in pool.map(one, chunk) if item is not None]
            done += len(chunk)
    usage = meter.usage()
    return found, _Cost(1e3 * usage.wall_s / done, 1e3 * usage.cpu_s / done)


def _decode_alone(
    data: list[np.ndarray], headers: list[Any], settings: Settings, threads: int, seconds: float
) -> tuple[_Cost, float]:
    """The decode-only floor: the windows that the recipe draws, by the loader's decoder."""
    import fieldloom as fl
    from fieldloom.kernels.fusedpass import FusedPass
    from fieldloom.kernels.keys import Keys
    from fieldloom.pipelines.decode import CropDecoder
    from fieldloom.pipelines.job import DecodeJob

    empty = (np.zeros((1, 8, 8, 3), np.uint8), [0])
    with fl.DataLoader(empty, size=settings.size, augment=settings.recipe, device="cpu") as loader:
        drawn = FusedPass(loader.plan)
    batch = min(settings.batch_size, len(data))
    sizes = np.array([(h.height, h.width) for h in headers], np.int64)
    epochs = itertools.count()

    def jobs() -> Iterator[DecodeJob]:
        ids = np.arange(len(data))
        rects = drawn.windows(Keys(0, next(epochs), ids, np.zeros(len(ids), np.uint8)), sizes).rects
        for first in range(0, len(data), batch):
            part = slice(first, first + batch)
            yield DecodeJob.from_headers(data[part], headers[part], np.asarray(rects[part], np.int32))

    areas: list[int] = []
    with CropDecoder(batch, threads, 1, settings.device if settings.device != "auto" else "cpu") as decoder:

        def run() -> int:
            done = 0
            for result in decoder.decode(jobs()):
                done += len(result.job.encoded)
                if len(areas) < len(data):
                    areas.extend((3 * result.job.windows[:, 2] * result.job.windows[:, 3]).tolist())
            return done

        run()  # starts the pipeline
        cost = _repeat(run, seconds)
    return cost, float(np.mean(areas))


def _decoded(data: list[np.ndarray], headers: list[Any]) -> list[np.ndarray]:
    from fieldloom.pipelines.decode import CropDecoder

    with CropDecoder(1, 1, 1) as decoder:

        def images() -> Iterator[np.ndarray]:
            for item, header in zip(data, headers, strict=True):
                try:
                    yield decoder.decode_one(item, route=header.route)
                except SampleError:
                    continue

        return list(_within_memory(images()))


def _within_memory(images: Iterator[Any]) -> Iterator[Any]:
    """The first images that fit into _MOST_BYTES together; at least one."""
    total = 0
    for image in images:
        yield image
        total += image.nbytes
        if total > _MOST_BYTES:
            return


def _pass_alone(images: list[np.ndarray], settings: Settings, seconds: float) -> _Cost:
    """The loader on images in memory: windows, the fused pass, tensors, the queue; no files, no decoder."""
    import fieldloom as fl

    repeats = -(-settings.batch_size // len(images))
    held = images * repeats  # the same arrays again, so that batches are full
    with fl.DataLoader(
        (held, [0] * len(held)), batch_size=settings.batch_size, size=settings.size, seed=settings.seed,
        device=settings.device, threads=settings.threads, augment=settings.recipe, dtype=settings.dtype,
        layout=settings.layout,
    ) as loader:  # fmt: skip

        def run() -> int:
            return sum(len(batch.ids) for batch in loader)

        run()
        return _repeat(run, seconds)
