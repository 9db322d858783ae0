"""Others' loaders as targets: torch's DataLoader and DALI's iterators and pipelines."""

import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from fieldloom.errors import ArgumentError

from .stages import Ablation
from .target import IterableTarget, Target


class TorchTarget(IterableTarget):
    """A `torch.utils.data.DataLoader`, or a function that makes one."""

    kind, knob = "torch", "num_workers"

    @property
    def workers(self) -> int | None:
        """Worker processes; 0 is the consumer's own thread."""
        return int(self.iterable.num_workers)

    @property
    def batch_size(self) -> int | None:
        """Samples of a batch."""
        size = self.iterable.batch_size or getattr(self.iterable.batch_sampler, "batch_size", None)
        return None if size is None else int(size)

    def describe(self) -> dict[str, Any]:
        """See `Target.describe`; "restarts_workers" says whether they end with their epoch."""
        restarts = self.iterable.num_workers > 0 and not self.iterable.persistent_workers
        return {**super().describe(), "restarts_workers": restarts}

    def vary(self, axes: Mapping[str, int]) -> Target:
        """The same data set in another DataLoader."""
        if self.is_factory:
            return super().vary(axes)
        from torch.utils.data import DataLoader, IterableDataset

        old = self.iterable
        if old.batch_size is None:
            raise ArgumentError.make(
                f"cannot vary {', '.join(axes)} of {self.name}",
                why="it has a batch sampler of its own",
                remedy="Name a function that takes threads and batch and returns the DataLoader.",
            )
        workers = axes.get("threads", old.num_workers)
        if "prefetch" in axes and not workers:
            raise ArgumentError.make(
                f"cannot vary prefetch of {self.name}",
                why="its num_workers is 0, so nothing is made ahead",
                remedy="Give it workers, or sweep threads too: --sweep threads=1,2 prefetch=2,4.",
            )
        options: dict[str, Any] = {
            "batch_size": axes.get("batch", old.batch_size), "num_workers": workers,
            "collate_fn": old.collate_fn, "pin_memory": old.pin_memory, "drop_last": old.drop_last,
            "timeout": old.timeout, "worker_init_fn": old.worker_init_fn,
        }  # fmt: skip
        if not isinstance(old.dataset, IterableDataset):
            options["sampler"] = old.sampler
        if workers:
            options["prefetch_factor"] = axes.get("prefetch", old.prefetch_factor)
            options["persistent_workers"] = old.persistent_workers
            options["multiprocessing_context"] = old.multiprocessing_context
        return TorchTarget(DataLoader(old.dataset, **options), self.name)

    def ablate(self, seconds: float, consumer_ms: float | None = None) -> Ablation:
        """By running its data set alone."""
        from .foreign_ablation import ablate_torch

        return ablate_torch(self.iterable, seconds, consumer_ms)


class RunPipeline:
    """A DALI pipeline as an iterable of its outputs; ends where its reader's epoch or source does."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline

    def __iter__(self) -> Iterator[Any]:
        while True:
            try:
                outputs = self.pipeline.run()
            except StopIteration:
                self.pipeline.reset()
                return
            yield outputs


class DaliTarget(IterableTarget):
    """An iterator or pipeline of DALI, or a function that makes one."""

    kind = "dali"

    @property
    def iterable(self) -> Any:
        """The iterator; a bare pipeline becomes one."""
        found = super().iterable
        return RunPipeline(found) if _is_pipeline(found) else found

    def check(self, found: Any) -> None:
        """A pipeline is no iterable, but becomes one."""
        if not _is_pipeline(found):
            super().check(found)

    def pipelines(self) -> list[Any]:
        """The pipelines behind it."""
        found = super().iterable
        return [found] if _is_pipeline(found) else list(getattr(found, "_pipes", ()))

    @property
    def workers(self) -> int | None:
        """Threads of all its pipelines."""
        return sum(int(pipe.num_threads) for pipe in self.pipelines()) or None

    @property
    def batch_size(self) -> int | None:
        """Samples of a batch, of all its pipelines."""
        return sum(int(pipe.max_batch_size) for pipe in self.pipelines()) or None

    def ablate(self, seconds: float) -> Ablation:
        """By running its graph up to the readers, up to the decoders, and whole."""
        from .dali_ablation import ablate_pipeline

        pipes = self.pipelines()
        if not pipes:
            return Ablation((), notes=("this DALI iterator does not show its pipelines",))
        return ablate_pipeline(pipes[0], seconds, len(pipes))


def target_of(made: Any, name: str) -> IterableTarget:
    """The target for an object, or for what a function makes; the function is called once for that.

    Raises:
        ArgumentError: It is no iterable, and gives none.
    """
    target = IterableTarget(made, name)
    start = time.perf_counter()
    found = target.make() if target.is_factory else made
    made_s = time.perf_counter() - start
    kind: type[IterableTarget] = IterableTarget
    if _is_torch(found):
        kind = TorchTarget
    elif _is_pipeline(found) or hasattr(found, "_pipes"):
        kind = DaliTarget
    target = kind(made, name)
    target.made_s = made_s
    target.adopt(found)
    return target


def _is_torch(made: Any) -> bool:
    data = sys.modules.get("torch.utils.data")
    return data is not None and isinstance(made, data.DataLoader)


def _is_pipeline(made: Any) -> bool:
    module = sys.modules.get("nvidia.dali.pipeline")
    return module is not None and isinstance(made, module.Pipeline)
