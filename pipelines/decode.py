"""Decoding windows of images in batches: one long-lived DALI pipeline that survives bad images.

DALI does not skip an image whose data are damaged: the pipeline is dead from there on. `CropDecoder`
drops it, decodes that one batch in isolation, builds a new pipeline and gives it the batches that had
been sent ahead, so that nothing but the bad image is lost and order is kept.
"""

import contextlib
import ctypes
import os
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fieldloom.errors import ArgumentError, DecodeError, DeviceError, SampleError, StateError
from fieldloom.kernels.device import current_stream
from fieldloom.pipelines.crops import Crops
from fieldloom.pipelines.feed import Feed, Pending
from fieldloom.pipelines.graph import build_graph
from fieldloom.pipelines.isolate import IsolatedDecoder
from fieldloom.pipelines.job import DecodeJob
from fieldloom.pipelines.outside import decode_outside

#: Batches in a row that a GPU may fail to decode although every image in them is sound.
_MOST_BLAMELESS = 3

# In a forked child the pipeline's threads do not exist, and its destructor would wait for them for ever.
_PARKED: list[Any] = []
_DECODERS: "weakref.WeakSet[CropDecoder]" = weakref.WeakSet()


def _abandon_in_child() -> None:
    """Leak what lives in threads that a fork did not copy: DALI's own exit hook would crash on it."""
    for decoder in list(_DECODERS):
        for owner, name in ((decoder._pipe, "_pipe"), (decoder._isolated, "_decoder")):
            native = getattr(owner, name, None)
            if native is not None:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(native))
                setattr(owner, name, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_in_child)


@dataclass(slots=True)
class DecodedJob:
    """A job's images.

    Attributes:
        job: The job as it was given.
        crops: Its windows, decoded.
        failures: Index in the job -> why that image could not be decoded.
    """

    job: DecodeJob
    crops: Crops
    failures: dict[int, SampleError] = field(default_factory=dict)


class CropDecoder:
    """Decodes windows of images; RGB, uint8, EXIF orientation applied.

    Nothing is imported from DALI and no thread is started before the first use. Not to be used from
    several threads at once.

    What no decoder notices is not noticed here either: a JPEG whose compressed bytes were changed, or
    replaced up to a valid end marker, gives wrong pixels without an error.

    Args:
        batch_size: Largest number of images in a job.
        threads: Decoder threads.
        prefetch: Jobs that DALI works on ahead of the one that is delivered.
        device: "cpu", or "cuda:N". On a GPU crops come in the order of torch's current stream of that
            device, and must live until the stream has passed what reads them. Formats and images that only
            the CPU decodes are decoded there and uploaded.

    Attributes:
        n_rebuilt: How many pipelines were lost to damaged images so far.

    Raises:
        ArgumentError: An argument is out of its range.
    """

    def __init__(self, batch_size: int, threads: int, prefetch: int = 2, device: str = "cpu") -> None:
        for name, value in (("batch_size", batch_size), ("threads", threads), ("prefetch", prefetch)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ArgumentError.make(f"{name}={value!r}", why="it must be an integer >= 1")
        self._device = _parse_device(device)
        self._batch_size, self._threads, self._prefetch = batch_size, threads, prefetch
        self._feed = Feed(batch_size, threads)
        self._isolated = IsolatedDecoder(threads)
        self._pipe: Any = None
        self._pid = os.getpid()
        self._closed = False
        self.n_rebuilt = 0
        self._turn = 0
        self._busy = False
        self._failure = ""
        self._n_blameless = 0
        _DECODERS.add(self)

    def decode(self, jobs: Iterable[DecodeJob]) -> Iterator[DecodedJob]:
        """Decode jobs in order.

        `jobs` is advanced in the calling thread, up to `prefetch` jobs ahead of the one delivered. What
        it raises comes out unchanged after the jobs before it (an interrupt at once), and the decoder
        stays usable. Starting again abandons the jobs of an earlier iterator that was not exhausted.

        Args:
            jobs: The jobs; read lazily.

        Yields:
            Each job with its crops and failures.

        Raises:
            StateError: Closed; used in another process; or a later `decode` has taken over.
            ArgumentError: A job's arrays do not fit together.
        """
        self._check()
        self._turn += 1
        if self._busy:
            self._drop()
        return self._deliver(iter(jobs), self._turn)

    def decode_one(
        self, encoded: np.ndarray, window: np.ndarray | None = None, route: str = "dali"
    ) -> np.ndarray:
        """Decode one image by itself: the same pixels, bit for bit, as in a job.

        Args:
            encoded: uint8, 1-D; `check_header` accepted it.
            window: int32 (4,) = (y, x, height, width) in pixels, display orientation; the whole image
                without it.
            route: `Header.route`.

        Returns:
            uint8 (height, width, 3), RGB, C-contiguous.

        Raises:
            DecodeError: Its pixel data are damaged.
            StateError: Closed, or used in another process.
        """
        self._check()
        if route != "dali":
            return decode_outside(encoded, window)
        windows = None if window is None else np.asarray(window, np.int32).reshape(1, 4)
        (result,) = self._isolated.decode([encoded], windows)
        if isinstance(result, DecodeError):
            raise result
        return result

    def close(self) -> None:
        """End the pipeline and its threads; crops already delivered stay valid. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        if os.getpid() != self._pid:
            _PARKED.append((self._pipe, self._isolated, self._feed))
            return
        self._drop()
        self._feed.close()
        self._isolated.close()

    def __enter__(self) -> "CropDecoder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self, suppress: type = contextlib.suppress) -> None:
        # At exit this module's names may be gone. `_closed` is missing when the constructor refused its
        # arguments.
        if not getattr(self, "_closed", True):
            with suppress(Exception):
                self.close()

    def _deliver(self, jobs: Iterator[DecodeJob], turn: int) -> Iterator[DecodedJob]:
        self._check(turn)
        self._feed.start(jobs)
        self._busy = True
        try:
            while (step := self._step()) is not None:
                yield self._collect(*step)
                self._check(turn)
            self._busy = False
            if self._feed.error is not None:
                raise self._feed.take_error()
        finally:
            # Left early: DALI holds batches of this iterator, which must not reach the next one. A new
            # pipeline costs 3-24 ms; draining would decode up to `prefetch` batches for nothing.
            if self._busy and turn == self._turn and os.getpid() == self._pid:
                self._drop()

    def _step(self) -> tuple[Pending, Any] | None:
        """The next job and DALI's tensors for it (None where it must be isolated); None at the end."""
        try:
            if self._pipe is None:
                self._pipe = self._build()
            (tensors,) = self._run()
        except StopIteration:
            self._pipe.reset()
            return None
        except DeviceError:
            raise
        except Exception as error:
            # DALI's, of any kind: the feed keeps what the jobs raise to itself. They come at the iteration
            # that failed, hence for the oldest pending job. Should DALI ever raise sooner, that job comes
            # out of isolation unharmed and the bad one is met again: each failure delivers a job, so this
            # ends. No index is read from the message: isolation finds every bad image of a job at once.
            if not self._feed.pending:
                raise
            self._pipe = None
            self._failure = " ".join(str(error).split())[:300]  # its traceback would hold the pipeline
            self.n_rebuilt += 1
            failed = self._feed.pending.popleft()
            self._feed.replay()
            return failed, None
        return self._feed.pending.popleft(), tensors

    def _collect(self, pending: Pending, tensors: Any) -> DecodedJob:
        job, places = pending.job, pending.places
        done = DecodedJob(job, Crops(len(job.encoded)))
        decoded: dict[int, np.ndarray] = {}  # in host memory
        if tensors is not None and places:
            done.crops.set_tensors(places, tensors, job.windows[places, 2:])
        elif places:
            results = self._isolated.decode([job.encoded[i] for i in places], job.windows[places])
            for i, result in zip(places, results, strict=True):
                if isinstance(result, DecodeError):
                    done.failures[i] = result
                else:
                    decoded[i] = result
        if places:
            self._blame(tensors is None and not done.failures)
        for i, future in pending.outside.items():
            try:
                decoded[i] = future.result()
            except SampleError as error:
                done.failures[i] = error
        if self._device is not None and decoded:
            done.crops.upload(decoded, self._device)
        else:
            for i, pixels in decoded.items():
                done.crops.set_array(i, pixels)
        return done

    def _blame(self, blameless: bool) -> None:
        """Notice a GPU that fails for every batch: going on image by image would hide it."""
        self._n_blameless = self._n_blameless + 1 if blameless else 0
        if self._device is not None and self._n_blameless >= _MOST_BLAMELESS:
            self._n_blameless = 0
            raise DeviceError.make(
                f"DALI failed on {self._device} for {_MOST_BLAMELESS} batches of sound images in a row",
                why=self._failure,
                remedy='Lower batch_size if memory is short, or pass device="cpu".',
            )

    def _run(self) -> Any:
        # With a stream, the outputs are ordered by it and the host does not wait for the GPU.
        return self._pipe.run() if self._device is None else self._pipe.run(current_stream(self._device))

    def _build(self) -> Any:
        # No reference to this object goes in: a cycle would leave threads running until collected.
        index = None if self._device is None else self._device.index
        return build_graph(self._feed.next_batch, self._batch_size, self._threads, self._prefetch, index)

    def _drop(self) -> None:
        """Forget every job under way."""
        self._pipe = None
        self._feed.drop()
        self._busy = False

    def _check(self, turn: int | None = None) -> None:
        if os.getpid() != self._pid:
            why = f"process {os.getpid()} inherited it from {self._pid}, and threads do not survive a fork"
            raise StateError.make("cannot decode here", why=why, remedy="Build one in each process.")
        if self._closed:
            raise StateError.make(
                "cannot decode", why="this CropDecoder is closed", remedy="Build a new one."
            )
        if turn is not None and turn != self._turn:
            why = "a later decode() has taken over this CropDecoder"
            raise StateError.make("cannot go on decoding", why=why, remedy="Exhaust one before the next.")


def _parse_device(device: str) -> Any:
    """A torch device, or None for the CPU."""
    if device == "cpu":
        return None
    kind, _, index = str(device).partition(":")
    if kind != "cuda" or not index.isdecimal():
        raise ArgumentError.make(f"device={device!r}", why='it must be "cpu" or "cuda:N"')
    import torch

    return torch.device("cuda", int(index))
