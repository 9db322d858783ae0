"""What goes into the decoding pipeline: jobs, in order, each exactly one iteration of DALI."""

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from fieldloom.pipelines.job import DecodeJob
from fieldloom.pipelines.outside import decode_outside
from fieldloom.pipelines.threads import DaemonPool, Task


@dataclass(slots=True)
class Pending:
    """A job under way."""

    job: DecodeJob
    places: list[int]  # which of its images DALI decodes
    outside: dict[int, Task] = field(default_factory=dict)


# Stands for a job without an image for DALI, so that jobs and iterations stay one to one; a 1 x 1 PPM.
_PLACEHOLDER = np.frombuffer(b"P6 1 1 255\n\0\0\0", np.uint8)


class Feed:
    """Takes jobs from an iterator when DALI asks, and remembers what it gave.

    Args:
        batch_size: Largest number of images in a job.
        threads: Threads for images that DALI does not decode; started with the first of these.
    """

    def __init__(self, batch_size: int, threads: int) -> None:
        self.pending: deque[Pending] = deque()
        self.error: Exception | None = None
        self._replay: deque[Pending] = deque()
        self._jobs: Iterator[DecodeJob] | None = None
        self._batch_size = batch_size
        self._threads = threads
        self._pool: DaemonPool | None = None
        self._pool_lock = threading.Lock()

    def start(self, jobs: Iterator[DecodeJob]) -> None:
        """Begin with a new iterator; what is left of an earlier one is dropped."""
        self.drop()
        self._jobs = jobs

    def next_batch(self) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
        """DALI's source: encoded images, starts (n, 2) and shapes (n, 2), int32.

        Raises:
            StopIteration: No more jobs, or the iterator failed: `error` keeps what it raised, so that
                the jobs before it are still delivered.
        """
        if self._replay:
            pending = self._replay.popleft()
        else:
            if self._jobs is None:
                raise StopIteration
            try:
                pending = self._admit(next(self._jobs))
            except StopIteration:
                self._jobs = None
                raise
            except Exception as error:
                # Kept from DALI, which would end the pipeline for it. Interrupts do pass through.
                self._jobs, self.error = None, error
                raise StopIteration from None
        self.pending.append(pending)
        if not pending.places:
            return [_PLACEHOLDER], np.zeros((1, 2), np.int32), np.ones((1, 2), np.int32)
        encoded = pending.job.encoded
        windows = pending.job.windows[pending.places]
        starts, shapes = np.ascontiguousarray(windows[:, :2]), np.ascontiguousarray(windows[:, 2:])
        return [encoded[i] for i in pending.places], starts, shapes

    def take_error(self) -> Exception:
        """What the jobs raised; forgotten here, since its frames refer to this object in turn."""
        try:
            return self.error or RuntimeError("the jobs raised nothing")
        finally:
            self.error = None

    def replay(self) -> None:
        """Give every pending job again, in order, before new ones."""
        self._replay.extendleft(reversed(self.pending))
        self.pending.clear()

    def drop(self) -> None:
        """Forget every job."""
        for pending in (*self.pending, *self._replay):
            for future in pending.outside.values():
                future.cancel()
        self.pending.clear()
        self._replay.clear()
        self._jobs, self.error = None, None

    def close(self) -> None:
        """Forget every job and end the threads."""
        self.drop()
        with self._pool_lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()

    def _admit(self, job: DecodeJob) -> Pending:
        job.check(self._batch_size)
        pending = Pending(job, [i for i, route in enumerate(job.routes) if route == "dali"])
        for i, route in enumerate(job.routes):
            if route != "dali":
                pending.outside[i] = self._submit(job.encoded[i], job.windows[i])
        return pending

    def _submit(self, data: np.ndarray, window: np.ndarray) -> Task:
        with self._pool_lock:
            if self._pool is None:
                self._pool = DaemonPool(self._threads, "fieldloom-outside")
            return self._pool.submit(decode_outside, data, window)
