"""Batches without end from any iterable: epoch follows epoch, and every wait is timed."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from fieldloom.errors import ArgumentError

from .counting import n_bytes, n_images
from .timeline import CONSUMER, Timeline


class Stream:
    """The consumer of a loader.

    Args:
        iterable: Gives batches; asked for a new iterator whenever one ends. A DALI iterator is reset, one
            that cannot begin again ends the stream.
        timeline: Gets the spans of the consumer.
        on_batch: Called behind each batch, outside all timed spans.

    Attributes:
        images: Images so far.
        batches: Batches so far.
        bytes: Bytes of the batches' arrays so far.
        waited_s: Seconds in `next`, and in `iter` at the beginnings of epochs.
        thread_cpu_s: Processor seconds of the consumer's thread in there.
        stepped_s: Seconds in the training step.
        restarts: How often a new epoch began behind the first.
        restarted_s: Seconds that the first batches of these epochs were waited for, part of `waited_s`.
        queued: How many finished batches waited at each `next`, where the loader tells.
        over: The iterable has ended and cannot begin again.
    """

    def __init__(self, iterable: Any, timeline: Timeline, on_batch: Callable[[], None] | None = None) -> None:
        self._iterable, self._timeline = iterable, timeline
        self._on_batch = on_batch
        self._iterator: Iterator[Any] | None = None
        self._before_epoch = 0
        self.restarts, self.restarted_s = 0, 0.0
        self.images = self.batches = self.bytes = 0
        self.waited_s = self.thread_cpu_s = self.stepped_s = 0.0
        self.queued: list[int] = []
        self.over = False

    def next(self, step: Callable[[Any], None] | None = None) -> Any:
        """Take a batch, then run the step on it.

        Returns:
            The batch, or None at the end of what cannot begin again.

        Raises:
            ArgumentError: The iterable gives nothing at all.
        """
        start, cpu = time.perf_counter(), time.thread_time()
        queued = _queued(self._iterator)
        restarts = self.restarts
        batch = self._take()
        end = time.perf_counter()
        if self.restarts > restarts:
            self.restarted_s += end - start
        self.waited_s += end - start
        self.thread_cpu_s += time.thread_time() - cpu
        if batch is _END:
            self.over = True
            return None
        if queued is not None:
            self.queued.append(queued)
            self._timeline.count("batches waiting", queued)
        self._timeline.add(CONSUMER, "wait", start, end, self.batches)
        self.images += n_images(batch)
        self._timeline.count("images", self.images)
        self.bytes += n_bytes(batch)
        if self._on_batch is not None:
            self._on_batch()
        if step is not None:
            start = time.perf_counter()
            step(batch)
            end = time.perf_counter()
            self.stepped_s += end - start
            self._timeline.add(CONSUMER, "step", start, end, self.batches)
        self.batches += 1
        return batch

    def _take(self) -> Any:
        if self._iterator is None:
            self._iterator = iter(self._iterable)
        try:
            return next(self._iterator)
        except StopIteration:
            pass
        if self.batches == self._before_epoch and self.batches:
            return _END
        if not self.batches:
            raise ArgumentError.make(
                f"the {type(self._iterable).__name__} gives no batches",
                why="its iterator ended at once",
                remedy="Profile an iterable of batches, or a function that makes one.",
            )
        self._before_epoch = self.batches
        self.restarts += 1
        self._iterator = iter(self._iterable)
        batch = next(self._iterator, _END)
        # An iterator that is its own iterable begins again after `reset`, or not at all.
        reset = getattr(self._iterator, "reset", None)
        if batch is _END and callable(reset):
            reset()
            batch = next(self._iterator, _END)
        return batch

    def close(self) -> None:
        """Let go of the iterator, so that an epoch under way ends."""
        self._iterator = None


_END = object()


def _queued(iterator: Any) -> int | None:
    """Finished batches that wait in an iterator of ours, or of torch's with workers; None: nobody tells."""
    queue: Any = getattr(iterator, "queue", None)
    if hasattr(queue, "__len__"):
        return len(queue)
    queue = getattr(iterator, "_data_queue", None)
    if hasattr(queue, "qsize"):
        with contextlib.suppress(NotImplementedError):  # macOS
            return int(queue.qsize())
    return None
