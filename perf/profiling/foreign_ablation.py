"""Taking others' loaders apart: any iterable, torch's DataLoader."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from .counting import n_images
from .hot import find_hot
from .probes import Meter
from .stages import Ablation, Stage

_END = object()


def ablate_iterable(iterable: Any, seconds: float) -> Ablation:
    """What the consumer's thread does inside `next` of any iterable.

    If that thread works, its own code says on what. If it waits while other threads or processes work, the
    loader computes somewhere that cannot be seen into; if nothing works, it waits for storage.
    """
    iterator = iter(iterable)
    images = 0
    batch: Any = None

    def take() -> bool:
        nonlocal batch, iterator
        batch = next(iterator, _END)
        if batch is _END:  # an epoch may be shorter than the measurement
            iterator = iter(iterable)
            batch = next(iterator, _END)
        return batch is not _END

    def count() -> None:
        nonlocal images
        images += 0 if batch is _END else n_images(batch)

    if not take():
        return Ablation((), notes=("the iterable had nothing left to take apart",))
    meter = Meter()
    hot = find_hot(take, seconds, between=count)
    usage = meter.usage()
    if not images or hot.wall_s <= 0:
        return Ablation((), notes=("the iterable had nothing left to take apart",))
    wall_ms = 1e3 * usage.wall_s / images
    named = hot.shares["read"] + hot.shares["decode"]
    if hot.waits < 0.5 and (hot.ran_s >= 0.3 * hot.wall_s or named > 0.5):
        parts = {name: share * wall_ms for name, share in hot.shares.items()}
        stages = tuple(
            Stage(name, ms, None, "functions of the consumer's thread") for name, ms in parts.items()
        )
        return Ablation(stages, parts, hot=hot.functions)
    cores = max(usage.cpu_s - usage.thread_cpu_s, 0.0) / usage.wall_s
    working = min(cores, 1.0)
    parts = {"compute": working * wall_ms, "read": (1 - working) * wall_ms}
    note = "it works in other threads or processes; which stage of theirs cannot be seen from outside"
    return Ablation((), parts, hot=hot.functions, notes=(note,))


def ablate_torch(loader: Any, seconds: float, consumer_ms: float | None = None) -> Ablation:
    """Run a torch DataLoader's data set and collate function alone, in this process.

    Args:
        loader: A `torch.utils.data.DataLoader`.
        seconds: How long that may take, roughly.
        consumer_ms: Milliseconds an image that the consumer's thread worked in `next` of the real loader.

    Returns:
        Its stages; `parts` is the path that limits it: what one worker needs for an image, divided by the
        workers, and what the consumer's thread needs by itself.
    """
    samples: list[Any] = []
    take = _samples(loader, samples)
    with _like_a_worker(loader.num_workers):
        hot = find_hot(take, 0.8 * seconds, most=4096)
        collated, size = _collate_ms(loader, samples)
    if not hot.calls:
        return Ablation((), notes=("the data set gave no sample",))
    each = 1e3 / hot.calls
    wall_ms, cpu_ms = hot.wall_s * each, hot.cpu_s * each
    workers = max(loader.num_workers, 1)
    stages, parts = [], {}
    for name, share in hot.shares.items():
        cpu = cpu_ms * share
        if name == "read":  # what waits is reading, as far as there is reading
            waited = max(hot.wall_s - hot.ran_s, 0.0) * each
            cpu = cpu_ms * max(wall_ms * share - waited, 0.0) / max(wall_ms - waited, 1e-9)
        stages.append(Stage(name, wall_ms * share, cpu, "dataset[i] alone, one process"))
        parts[name] = wall_ms * share / workers
    if collated is not None:
        how = f"collate_fn alone, {size} samples"
        stages.append(Stage("handoff", collated, collated, how))
        parts["handoff"] = collated / workers
    if loader.num_workers and consumer_ms is not None:
        # The workers go on while the consumer unpacks: whichever is slower limits.
        if consumer_ms > sum(parts.values()):
            parts = {"handoff": consumer_ms}
        stages.append(
            Stage("other", consumer_ms, consumer_ms, "the consumer's thread in next: unpacking, pinning")
        )
    return Ablation(tuple(stages), parts, hot=hot.functions)


@contextlib.contextmanager
def _like_a_worker(num_workers: int) -> Iterator[None]:
    """One thread for torch's own operations, as its workers have."""
    import torch

    before = torch.get_num_threads()
    if num_workers:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _samples(loader: Any, kept: list[Any]) -> Any:
    """A function that makes the next sample, and keeps a batch of them."""
    from torch.utils.data import IterableDataset

    dataset = loader.dataset
    room = loader.batch_size or 32
    items: Iterator[Any] = iter(dataset) if isinstance(dataset, IterableDataset) else _by_index(loader)

    def take() -> bool:
        try:
            sample = next(items)
        except StopIteration:
            return False
        if len(kept) < room:
            kept.append(sample)
        return True

    return take


def _by_index(loader: Any) -> Iterator[Any]:
    while True:
        indices = iter(loader.sampler) if loader.batch_sampler is None else _flat(loader.batch_sampler)
        before = True
        for index in indices:
            before = False
            yield loader.dataset[index]
        if before:
            return


def _flat(batches: Any) -> Iterator[Any]:
    for batch in batches:
        yield from batch


def _collate_ms(loader: Any, samples: list[Any]) -> tuple[float | None, int]:
    """Milliseconds an image of the collate function, and how many it was given."""
    if loader.collate_fn is None or not samples or loader.batch_size is None:
        return None, 0
    with contextlib.suppress(Exception):  # whatever it is, the measurement of the rest stands
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            loader.collate_fn(list(samples))
            best = min(best, time.perf_counter() - start)
        return 1e3 * best / len(samples), len(samples)
    return None, 0
