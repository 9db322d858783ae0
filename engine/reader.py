"""Reading ahead: bytes and checked headers of coming batches, on a small pool of threads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from fieldloom.errors import ArgumentError, FieldloomError, SampleError, WorkerDied
from fieldloom.pipelines.header import Header, check_header
from fieldloom.pipelines.threads import DaemonPool, Task

from .collate import checked_target
from .handoff import Closed
from .indexmasks import decode_mask
from .progress import Progress
from .sources.base import Source, checked_pixels
from .sources.sample import Extras, Sample


@dataclass(frozen=True, slots=True)
class Encoded:
    """One sample before decoding: its bytes (uint8, 1-D), what its header says, and what belongs to it."""

    data: np.ndarray
    header: Header
    extras: Extras | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """One sample of a source that stores pixels: the image, or the part of it that was asked for."""

    image: np.ndarray
    extras: Extras | None = None


Kind = TypeVar("Kind")
#: A sample, or why there is none.
Result = Encoded | Decoded | Exception
#: A batch under way, in the parts that threads read.
Parts = list[Task]

#: Seconds between looks whether somebody still waits for what is read.
POLL_S = 0.1


class Reader:
    """Reads and checks encoded samples.

    Every header is checked before a decoder sees the bytes: DALI ends the process on some.

    Args:
        source: The data set.
        threads: Threads for reading.
        max_pixels: Limit of width * height.
        progress: Is told which sample each thread has in hand.
    """

    def __init__(self, source: Source, threads: int, max_pixels: int, progress: Progress) -> None:
        self._source, self._threads, self._max_pixels = source, threads, max_pixels
        self._more, self._progress = getattr(source, "more", False), progress
        self._pool, self._turn = DaemonPool(threads, "fieldloom-read"), 0

    def read(self, sample: int) -> Encoded:
        """Read and check one encoded sample.

        Raises:
            SampleError: It is bad, and alone concerned.
            SourceError: The data set as a whole cannot be read.
        """
        return self._in_hand(self._read, sample)

    def pixels(self, sample: int) -> Decoded:
        """One sample of a source that stores pixels. Raises as `read` does."""
        return self._in_hand(self._pixels, sample)

    def window(self, sample: int, rect: tuple[int, int, int, int]) -> Decoded:
        """Part (y, x, height, width) of one image. Raises as `read` does."""
        return self._in_hand(self._window, sample, rect)

    def _in_hand(self, read: Callable[..., Kind], sample: int, *more: Any) -> Kind:
        self._progress.begin(sample)
        try:
            return read(sample, *more)
        finally:
            self._progress.end()

    def _read(self, sample: int) -> Encoded:
        whole = self._whole(sample, self._source.read)
        data = whole.image
        if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 1:
            shown = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
            raise ArgumentError.make(
                f"{type(self._source).__name__}.read returned {shown}",
                why="encoded bytes are a uint8 array of one axis",
                remedy="Return np.frombuffer(data, np.uint8).",
                sample=sample,
            )
        try:
            data = np.ascontiguousarray(data)
            header = check_header(data, max_pixels=self._max_pixels)
            return Encoded(data, header, self._extras(whole, header.height, header.width))
        except SampleError as error:
            raise error.located(sample, self._source.name(sample)) from None

    def _pixels(self, sample: int) -> Decoded:
        whole = self._whole(sample, self._source.pixels)
        image = checked_pixels(whole.image, self._source, sample)
        try:
            return Decoded(image, self._extras(whole, *image.shape[:2]))
        except SampleError as error:
            raise error.located(sample, self._source.name(sample)) from None

    def _window(self, sample: int, rect: tuple[int, int, int, int]) -> Decoded:
        image = checked_pixels(self._source.window(sample, rect), self._source, sample)
        return Decoded(image)

    def _whole(self, sample: int, read: Callable[[int], np.ndarray]) -> Sample:
        if not self._more:
            return Sample(read(sample))
        whole = self._source.sample(sample)
        if not isinstance(whole, Sample) or not isinstance(whole.fields, Mapping):
            shown = f"a {type(whole).__name__}"
            if isinstance(whole, Sample):
                shown = f"fields that are a {type(whole.fields).__name__}"
            raise ArgumentError.make(
                f"{type(self._source).__name__}.sample returned {shown}",
                why="a sample is a fieldloom.sources.Sample, its fields a dict",
                remedy="Return Sample(image, target, mask, {...}).",
                sample=sample,
            )
        return whole

    def _extras(self, whole: Sample, height: int, width: int) -> Extras | None:
        if not self._more:
            return None
        mask = None
        if self._source.has_masks:
            mask = decode_mask(whole.mask, height, width, self._max_pixels)
        return Extras(checked_target(whole.target), mask, whole.fields)

    def submit(self, ids: np.ndarray) -> Parts:
        """Start reading these encoded samples; `gather` waits for them."""
        return self._submit(self.read, ids.tolist())

    def submit_windows(self, ids: np.ndarray, rects: np.ndarray) -> Parts:
        """Start reading these parts (y, x, height, width) of images; `gather` waits for them."""
        return self._submit(self.window, ids.tolist(), [tuple(rect) for rect in rects.tolist()])

    def _submit(self, read: Callable[..., Result], *columns: list[Any]) -> Parts:
        turn = self._progress.turn
        if self._turn != turn:  # an epoch begins: threads that hang in an earlier one shall not be in its way
            self._turn = turn
            if self._pool.busy():
                self._pool.forsake()
        n = len(columns[0])
        size = max(1, -(-n // self._threads))
        return [
            self._pool.submit(
                self._read_all, turn, read, *(column[first : first + size] for column in columns)
            )
            for first in range(0, n, size)
        ]

    def gather(self, parts: Parts) -> list[Result]:
        """What was submitted, in order; a bad sample is its error.

        Raises:
            Closed: Nobody waits for it any more, though a thread may still hang in the user's source.
            WorkerDied: A thread has ended without a result.
        """
        return [result for part in parts for result in self._wait(part)]

    def _wait(self, part: Task) -> list[Result]:
        while True:
            try:
                return part.result(POLL_S)
            except TimeoutError:
                self._progress.check(self._turn)
                if self._pool.lost(part):
                    raise WorkerDied.make(
                        "a reading thread ended without a result",
                        why="something in this process ended it",
                        remedy="Iterate again: the loader starts a new thread.",
                    ) from None

    def _read_all(self, turn: int, read: Callable[..., Result], *columns: list[Any]) -> list[Result]:
        results: list[Result] = []
        for arguments in zip(*columns, strict=True):
            self._progress.check(turn)
            try:
                results.append(read(*arguments))
            except Closed:
                raise
            except FieldloomError as error:
                results.append(error.bare())
            except Exception as error:  # a bug in a user's source: it belongs to this batch
                results.append(error)
        return results

    def close(self) -> None:
        """End the threads; one that hangs in the user's source is left to itself."""
        self._pool.shutdown()
