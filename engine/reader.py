"""Reading ahead: bytes and checked headers of coming batches, on a small pool of threads."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from fieldloom.errors import ArgumentError, FieldloomError, SampleError
from fieldloom.pipelines.header import Header, check_header

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


#: A sample, or why there is none.
Result = Encoded | Decoded | Exception
#: A batch under way, in the parts that threads read.
Parts = list[Future[list[Result]]]


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
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fieldloom-read")

    def read(self, sample: int) -> Encoded:
        """Read and check one encoded sample.

        Raises:
            SampleError: It is bad, and alone concerned.
            SourceError: The data set as a whole cannot be read.
        """
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

    def pixels(self, sample: int) -> Decoded:
        """One sample of a source that stores pixels. Raises as `read` does."""
        whole = self._whole(sample, self._source.pixels)
        image = checked_pixels(whole.image, self._source, sample)
        try:
            return Decoded(image, self._extras(whole, *image.shape[:2]))
        except SampleError as error:
            raise error.located(sample, self._source.name(sample)) from None

    def window(self, sample: int, rect: tuple[int, int, int, int]) -> Decoded:
        """Part (y, x, height, width) of one image. Raises as `read` does."""
        image = checked_pixels(self._source.window(sample, rect), self._source, sample)
        return Decoded(image)

    def _whole(self, sample: int, read: Callable[[int], np.ndarray]) -> Sample:
        return self._source.sample(sample) if self._more else Sample(read(sample))

    def _extras(self, whole: Sample, height: int, width: int) -> Extras | None:
        if not self._more:
            return None
        mask = None
        if self._source.has_masks:
            mask = decode_mask(whole.mask, height, width, self._max_pixels)
        return Extras(whole.target, mask, whole.fields)

    def submit(self, ids: np.ndarray) -> Parts:
        """Start reading these encoded samples; `gather` waits for them."""
        return self._submit(self.read, ids.tolist())

    def submit_windows(self, ids: np.ndarray, rects: np.ndarray) -> Parts:
        """Start reading these parts (y, x, height, width) of images; `gather` waits for them."""
        return self._submit(self.window, ids.tolist(), [tuple(rect) for rect in rects.tolist()])

    def _submit(self, read: Callable[..., Result], *columns: list[Any]) -> Parts:
        n = len(columns[0])
        size = max(1, -(-n // self._threads))
        return [
            self._pool.submit(self._read_all, read, *(column[first : first + size] for column in columns))
            for first in range(0, n, size)
        ]

    def gather(self, parts: Parts) -> list[Result]:
        """What was submitted, in order; a bad sample is its error."""
        return [result for part in parts for result in part.result()]

    def _read_all(self, read: Callable[..., Result], *columns: list[Any]) -> list[Result]:
        results: list[Result] = []
        for arguments in zip(*columns, strict=True):
            self._progress.begin(arguments[0])
            try:
                results.append(read(*arguments))
            except FieldloomError as error:
                results.append(error.bare())
            except (
                Exception
            ) as error:  # a bug in a user's source: it belongs to this batch
                results.append(error)
            finally:
                self._progress.end()
        return results

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)
