"""Reading ahead: bytes and checked headers of coming batches, on a small pool of threads."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from fieldloom.errors import ArgumentError, FieldloomError, SampleError
from fieldloom.pipelines.header import Header, check_header

from .sources.base import Source


@dataclass(frozen=True, slots=True)
class Encoded:
    """One sample before decoding: its bytes (uint8, 1-D) and what its header says."""

    data: np.ndarray
    header: Header


#: A sample, or why there is none.
Result = Encoded | Exception
#: A batch under way, in the parts that threads read.
Parts = list[Future[list[Result]]]


class Reader:
    """Reads and checks encoded samples.

    Every header is checked before a decoder sees the bytes: DALI ends the process on some.

    Args:
        source: The data set.
        threads: Threads for reading.
        max_pixels: Limit of width * height.
    """

    def __init__(self, source: Source, threads: int, max_pixels: int) -> None:
        self._source, self._threads, self._max_pixels = source, threads, max_pixels
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fieldloom-read")

    def read(self, sample: int) -> Encoded:
        """Read and check one sample.

        Raises:
            SampleError: It is bad, and alone concerned.
            SourceError: The data set as a whole cannot be read.
        """
        data = self._source.read(sample)
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
            return Encoded(data, check_header(data, max_pixels=self._max_pixels))
        except SampleError as error:
            raise error.located(sample, self._source.name(sample)) from None

    def submit(self, ids: np.ndarray) -> Parts:
        """Start reading these samples; `gather` waits for them."""
        size = max(1, -(-len(ids) // self._threads))
        return [
            self._pool.submit(self._read_all, ids[first : first + size]) for first in range(0, len(ids), size)
        ]

    def gather(self, parts: Parts) -> list[Result]:
        """What `submit` read, in order; a bad sample is its error."""
        return [result for part in parts for result in part.result()]

    def _read_all(self, ids: np.ndarray) -> list[Result]:
        results: list[Result] = []
        for sample in ids.tolist():
            try:
                results.append(self.read(sample))
            except FieldloomError as error:
                results.append(error.bare())
            except (
                Exception
            ) as error:  # a bug in a user's source: it belongs to this batch, traceback and all
                results.append(error)
        return results

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)
