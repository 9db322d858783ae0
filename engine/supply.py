"""How the pixels of coming batches are had: one way for each kind of source.

Every supply turns slices of an epoch's plan into decoded jobs, in order, each with the `Work` it belongs to:
keys are drawn, windows are chosen, bytes are read ahead, and what cannot be had is noted in the work.
"""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from fieldloom.errors import SampleError
from fieldloom.kernels.draws import Windows
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.keys import Keys
from fieldloom.pipelines.decode import CropDecoder, DecodedJob, DecodeJob

from .backend import Backend
from .epoch import EpochPlan
from .places import Places
from .progress import Progress
from .reader import Decoded, Encoded, Parts, Reader, Result
from .sources.base import Source
from .sources.dense import DensePixels
from .sources.sample import Extras
from .timings import Timings
from .work import Work

#: Batches whose bytes are read before they are asked for.
READ_AHEAD = 1
#: Samples of stacked images whose random numbers are drawn together: array operations have a cost of their
#: own, which small batches of small images would pay each time.
DRAWN_TOGETHER = 4096

Jobs = Generator[DecodedJob, None, None]
Kind = TypeVar("Kind", Encoded, Decoded)


@dataclass(slots=True)
class Alone:
    """One sample, bit for bit as in a batch: its window, the pixels in it, and what belongs to it."""

    windows: Windows
    image: np.ndarray
    extras: Extras | None


@dataclass(slots=True)
class Epoch:
    """What a supply needs to know of the epoch under way.

    Attributes:
        plan: Its plan.
        slices: Places of the batches to make, in order.
        first: Number of the first of them.
        timings: Where the time goes.
    """

    plan: EpochPlan
    slices: Sequence[slice]
    first: int
    timings: Timings

    def numbered(self) -> Iterator[tuple[int, slice]]:
        """Number and places of each batch."""
        return enumerate(self.slices, self.first)


class Supply(Protocol):
    """A way to have pixels."""

    def jobs(self, epoch: Epoch) -> Jobs:
        """The windows of each batch; `job.payload` is its `Work`."""
        ...

    def alone(self, plan: EpochPlan, sample: int, occurrence: int) -> Alone:
        """One sample. Raises `SampleError` if it is bad."""
        ...


@dataclass(slots=True)
class Tools:
    """What all supplies work with.

    Attributes:
        source: The data set.
        fused_pass: The compiled recipe.
        backend: Where the kernels run.
        seed: 64 bits.
        places: Which places of the plan a batch's samples have.
        reader: Reads ahead.
        decoder: Decodes windows.
        progress: What is in hand.
    """

    source: Source
    fused_pass: FusedPass
    backend: Backend
    seed: int
    places: Places
    reader: Reader
    decoder: CropDecoder
    progress: Progress

    def keys(
        self, plan: EpochPlan, ids: np.ndarray, occurrences: np.ndarray, strength: np.ndarray | None = None
    ) -> Keys:
        """Keys of some samples of an epoch."""
        return Keys(self.seed, plan.epoch, ids, occurrences, strength)

    def draw_windows(self, plan: EpochPlan, work: Work, places: list[int], sizes: np.ndarray) -> None:
        """Choose the windows of the samples at these places of a batch, given their images' sizes (n, 2)."""
        work.places = np.array(places, np.int64)
        if not places:
            return
        keys = self.keys(plan, work.ids[work.places], work.occurrences[work.places])
        drawn = self.fused_pass.windows(keys, sizes)
        work.windows.views[work.places] = drawn.views
        work.windows.rects[work.places] = drawn.rects

    def one_window(
        self, plan: EpochPlan, sample: int, occurrence: int, size: tuple[int, ...]
    ) -> tuple[Windows, tuple[int, int, int, int]]:
        """The window of one sample, and its (y, x, height, width)."""
        keys = self.keys(plan, np.array([sample]), np.array([occurrence]))
        windows = self.fused_pass.windows(keys, np.array([size], np.int64))
        y, x, height, width = windows.rects[0].tolist()
        return windows, (y, x, height, width)


class FileSupply:
    """Encoded files: read ahead, check headers, decode windows."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def jobs(self, epoch: Epoch) -> Jobs:
        """See `Supply`."""
        timings, progress = epoch.timings, self._tools.progress
        jobs = self._tools.decoder.decode(self._read(epoch))
        while True:
            waited = timings.read
            with timings.stage("decode"), progress.stage("decode"):
                job = next(jobs, None)
            timings.decode -= timings.read - waited  # jobs are read inside the decoder's step
            if job is None:
                return
            yield job

    def _read(self, epoch: Epoch) -> Generator[DecodeJob, None, None]:
        ahead: deque[tuple[Work, Parts]] = deque()
        for index, where in epoch.numbered():
            work = self._tools.places.work(epoch.plan, index, where)
            ahead.append((work, self._tools.reader.submit(work.ids)))
            if len(ahead) > READ_AHEAD:
                yield self._job(epoch, *ahead.popleft())
        while ahead:
            yield self._job(epoch, *ahead.popleft())

    def _job(self, epoch: Epoch, work: Work, parts: Parts) -> DecodeJob:
        with epoch.timings.stage("read"), self._tools.progress.stage("read"):
            results = self._tools.reader.gather(parts)
        good: list[Encoded] = []
        places = sort_results(work, results, good, Encoded)
        sizes = np.array([(e.header.height, e.header.width) for e in good], np.int64).reshape(-1, 2)
        self._tools.draw_windows(epoch.plan, work, places, sizes)
        return DecodeJob.from_headers(
            [e.data for e in good], [e.header for e in good], work.windows.rects[work.places], work
        )

    def alone(self, plan: EpochPlan, sample: int, occurrence: int) -> Alone:
        """See `Supply`."""
        encoded = self._tools.reader.read(sample)
        size = (encoded.header.height, encoded.header.width)
        windows, _ = self._tools.one_window(plan, sample, occurrence, size)
        try:
            crop = self._tools.decoder.decode_one(encoded.data, windows.rects[0], encoded.header.route)
        except SampleError as error:
            raise error.located(sample, self._tools.source.name(sample)) from None
        return Alone(windows, crop, encoded.extras)


class PixelSupply:
    """Images that the source gives one by one: windows are views of them."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def jobs(self, epoch: Epoch) -> Jobs:
        """See `Supply`."""
        for index, where in epoch.numbered():
            work = self._tools.places.work(epoch.plan, index, where)
            with epoch.timings.stage("read"), self._tools.progress.stage("read"):
                crops = self._read(epoch.plan, work)
            yield decoded_job(work, crops)

    def _read(self, plan: EpochPlan, work: Work) -> Sources:
        results: list[Result] = []
        for sample in work.ids.tolist():
            try:
                results.append(self._tools.reader.pixels(sample))
            except SampleError as error:
                results.append(error.bare())
            except Exception as error:  # a bug in a user's source: it belongs to this batch
                results.append(error)
        good: list[Decoded] = []
        places = sort_results(work, results, good, Decoded)
        sizes = np.array([d.image.shape[:2] for d in good], np.int64).reshape(-1, 2)
        self._tools.draw_windows(plan, work, places, sizes)
        rects = work.windows.rects[work.places].tolist()
        return self._tools.backend.place(
            [d.image[y : y + h, x : x + w] for d, (y, x, h, w) in zip(good, rects, strict=True)]
        )

    def alone(self, plan: EpochPlan, sample: int, occurrence: int) -> Alone:
        """See `Supply`."""
        decoded = self._tools.reader.pixels(sample)
        windows, (y, x, h, w) = self._tools.one_window(plan, sample, occurrence, decoded.image.shape[:2])
        return Alone(windows, decoded.image[y : y + h, x : x + w], decoded.extras)


class WindowSupply:
    """Images of which just the window is read, ahead of time and on several threads."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def jobs(self, epoch: Epoch) -> Jobs:
        """See `Supply`."""
        ahead: deque[tuple[Work, Parts]] = deque()
        for index, where in epoch.numbered():
            work = self._tools.places.work(epoch.plan, index, where)
            sizes = self._tools.source.sizes(work.ids)
            self._tools.draw_windows(epoch.plan, work, list(range(len(work.ids))), sizes)
            ahead.append((work, self._tools.reader.submit_windows(work.ids, work.windows.rects)))
            if len(ahead) > READ_AHEAD:
                yield self._job(epoch, *ahead.popleft())
        while ahead:
            yield self._job(epoch, *ahead.popleft())

    def _job(self, epoch: Epoch, work: Work, parts: Parts) -> DecodedJob:
        with epoch.timings.stage("read"), self._tools.progress.stage("read"):
            results = self._tools.reader.gather(parts)
        good: list[Decoded] = []
        work.places = np.array(sort_results(work, results, good, Decoded), np.int64)
        return decoded_job(work, self._tools.backend.place([d.image for d in good]))

    def alone(self, plan: EpochPlan, sample: int, occurrence: int) -> Alone:
        """See `Supply`."""
        size = tuple(self._tools.source.sizes(np.array([sample]))[0].tolist())
        windows, rect = self._tools.one_window(plan, sample, occurrence, size)
        return Alone(windows, self._tools.reader.window(sample, rect).image, None)


class StackedSupply(PixelSupply):
    """Images that lie evenly in memory: no image is touched here, and none can be bad.

    Args:
        tools: As for all.
        dense: Where they lie.
        batch_size: Samples of a batch.
    """

    def __init__(self, tools: Tools, dense: DensePixels, batch_size: int) -> None:
        super().__init__(tools)
        self._dense, self._each = dense, max(1, DRAWN_TOGETHER // batch_size)

    def jobs(self, epoch: Epoch) -> Jobs:
        """See `Supply`."""
        plan, slices, tools = epoch.plan, epoch.slices, self._tools
        for start in range(0, len(slices), self._each):
            group = slices[start : start + self._each]
            with epoch.timings.stage("read"):
                whole = slice(group[0].start, group[-1].stop)
                strength = None if plan.strength is None else plan.strength[whole]
                keys = tools.keys(plan, plan.ids[whole].astype(np.int64), plan.repeats(whole), strength)
                windows = tools.fused_pass.windows(keys, self._dense.sizes(len(keys)))
                sources = self._dense.sources(keys.ids, windows.rects)
                samples = tools.fused_pass.records(keys, windows, sources)
            for index, where in enumerate(group, epoch.first + start):
                own = slice(where.start - whole.start, where.stop - whole.start)
                work = tools.places.work(plan, index, where)
                work.windows = Windows(windows.views[own], windows.rects[own])
                work.places, work.samples = np.arange(len(work.ids)), samples[own]
                yield decoded_job(work, sources.cut(own))


def sort_results(work: Work, results: list[Result], good: list[Kind], kind: type[Kind]) -> list[int]:
    """Put what was read into `good`, and what was not into the work; the places of the good ones."""
    places: list[int] = []
    for place, result in enumerate(results):
        if isinstance(result, kind):
            good.append(result)
            places.append(place)
        elif isinstance(result, SampleError):
            work.errors[place] = result
        elif isinstance(result, Exception):
            work.fatal = work.fatal or result
    if any(found.extras is not None for found in good):
        work.extras = [None] * len(results)
        for place, found in zip(places, good, strict=True):
            work.extras[place] = found.extras
    return places


def decoded_job(work: Work, crops: Sources) -> DecodedJob:
    """A job that needed no decoder."""
    return DecodedJob(DecodeJob([], work.windows.rects, [], work), crops)  # type: ignore[arg-type]
