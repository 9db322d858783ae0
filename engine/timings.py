"""Where the producing thread's time goes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

#: Told (stage, start, end) of each stage that ends, in seconds of `time.perf_counter`, from the thread in
#: which it ran. The profiler sets it while it draws a timeline; it costs one look a stage and batch.
observer: Callable[[str, float, float], None] | None = None


@dataclass(slots=True)
class Timings:
    """Seconds of the producing thread, by stage, and what they produced.

    Attributes:
        read: Waiting for bytes and header checks.
        decode: Waiting for the decoder.
        augment: In the fused pass.
        deliver: Waiting for room in the queue (the consumer is slower).
        consumer: Waiting of the consumer for a batch (the loader is slower).
        images: Samples delivered.
        batches: Batches delivered.
    """

    read: float = 0.0
    decode: float = 0.0
    augment: float = 0.0
    deliver: float = 0.0
    consumer: float = 0.0
    images: int = 0
    batches: int = 0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of a block to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            end = time.perf_counter()
            setattr(self, name, getattr(self, name) + end - start)
            if observer is not None:
                observer(name, start, end)
