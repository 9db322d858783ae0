"""From an epoch's plan to its batches: read, check, draw windows, decode, augment.

Runs in the loader's own thread. A batch that cannot be made is delivered as the error that it raises,
in its place; production goes on behind it.
"""

from collections import deque
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fieldloom.errors import FieldloomError, SampleError
from fieldloom.kernels.draws import Windows
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.keys import Keys
from fieldloom.kernels.stages.staged import Groups
from fieldloom.pipelines.decode import CropDecoder, DecodedJob, DecodeJob

from .backend import Backend
from .batch import Batch
from .epoch import EpochPlan
from .ledger import BadSamples, Ledger
from .mix import group_of, mix_of
from .policy import BadSamplePolicy, substitutes
from .reader import Encoded, Parts, Reader
from .sources.base import Source, checked_pixels
from .timings import Timings
from .work import Work

if TYPE_CHECKING:
    import torch

#: Batches whose bytes are read before the decoder asks for them.
READ_AHEAD = 1
#: Samples of stacked images whose random numbers are drawn together: array operations have a cost of their
#: own, which small batches of small images would pay each time.
DRAWN_TOGETHER = 4096

#: What `Backend.deliver` made of a batch, or why there is none.
Outcome = Any
Outcomes = Generator[Outcome, None, None]
Decoded = Generator[DecodedJob, None, None]


class Production:
    """Everything that makes batches; one for each loader.

    Args:
        source: The data set.
        fused_pass: The compiled recipe.
        backend: Where the kernels run.
        seed: 64 bits.
        batch_size: Samples of a batch.
        threads: Threads of each stage of the host.
        policy: What to do with bad samples; `log` gets a line for each.
        max_pixels: Limit of width * height.
        log: See `policy`.
    """

    def __init__(
        self,
        source: Source,
        fused_pass: FusedPass,
        *,
        backend: Backend,
        seed: int,
        batch_size: int,
        threads: int,
        policy: BadSamplePolicy,
        max_pixels: int,
        log: str | Path | None,
    ) -> None:
        self._source, self._pass, self._backend = source, fused_pass, backend
        self._seed, self._batch_size = seed, batch_size
        self._policy, self._log = policy, log
        self._reader = Reader(source, threads, max_pixels)
        self._decoder = CropDecoder(batch_size, threads, backend.decode_ahead, backend.device)
        dense = getattr(source, "dense", None) if source.stored == "pixels" else None
        self._dense = None if dense is None else backend.adopt(dense)
        self.timings = Timings()
        self.ledger = Ledger(0, 0)

    def epoch(self, plan: EpochPlan, *, drop_last: bool, first: int = 0) -> Outcomes:
        """Batches of an epoch from number `first` on. One epoch at a time; ledger and timings begin anew."""
        slices = list(plan.slices(self._batch_size, drop_last=drop_last))
        limit = self._policy.limit(slices[-1].stop if slices else 0)
        slices = slices[first:]
        self.ledger = Ledger(plan.epoch, slices[-1].stop - slices[0].start if slices else 0)
        self.timings = Timings()
        return self._outcomes(plan, slices, first, BadSamples(limit, self._log))

    def _outcomes(self, plan: EpochPlan, slices: list[slice], first: int, bad: BadSamples) -> Outcomes:
        make = self._files if self._source.stored != "pixels" else self._pixels
        decoded = (make if self._dense is None else self._stacked)(plan, slices, first)
        # Closed by name: the traceback of a delivered error may keep this frame alive for long.
        with self._backend.working(), closing(decoded):
            for job in decoded:
                try:
                    outcome = self._finish(plan, job, bad)
                except FieldloomError as error:
                    outcome = error.bare()
                except Exception as error:  # a bug, too, ends this batch and no other
                    outcome = error
                del job
                yield outcome
                del outcome

    def _work(self, plan: EpochPlan, index: int, where: slice) -> Work:
        ids = plan.ids[where]
        # Copies, all of them: a batch belongs to the user, who may write into it.
        weights = np.ones(len(ids), np.float32) if plan.weights is None else plan.weights[where].copy()
        none = Windows(np.zeros((len(ids), 4)), np.zeros((len(ids), 4), np.int32))
        strength = None if plan.strength is None else plan.strength[where].copy()
        if self._groups_are_local():
            positions = self._apart(plan, where)
        elif plan.positions is not None:
            positions = plan.positions[where]
        else:
            positions = np.arange(where.start, where.stop)
        return Work(index, ids.copy(), plan.occurrences[where].copy(), weights, strength, positions, none)

    def _apart(self, plan: EpochPlan, where: slice) -> np.ndarray:
        """Positions for which no group reaches beyond its batch: each batch begins with a group of its own.

        The groups' numbers go on from batch to batch, since choices may take turns by them.
        """
        mixing = self._pass.plan.mixing
        assert mixing is not None
        first = where.start if plan.positions is None else int(plan.positions[where.start])
        room = -(-self._batch_size // mixing.group) * mixing.group
        places = np.arange(where.start, where.stop) % self._batch_size
        return first // self._batch_size * room + places

    def _groups_are_local(self) -> bool:
        """Whether batches cut the plan's groups apart, so that partners come from within the batch alone."""
        mixing = self._pass.plan.mixing
        return mixing is not None and self._batch_size % mixing.group != 0

    def _keys(
        self, plan: EpochPlan, ids: np.ndarray, occurrences: np.ndarray, strength: np.ndarray | None = None
    ) -> Keys:
        return Keys(self._seed, plan.epoch, ids, occurrences, strength)

    # Encoded sources: read ahead, decode windows.

    def _files(self, plan: EpochPlan, slices: list[slice], first: int) -> Decoded:
        jobs = self._decoder.decode(self._jobs(plan, slices, first))
        while True:
            waited = self.timings.read
            with self.timings.stage("decode"):
                job = next(jobs, None)
            self.timings.decode -= self.timings.read - waited  # jobs are read inside the decoder's step
            if job is None:
                return
            yield job

    def _jobs(self, plan: EpochPlan, slices: list[slice], first: int) -> Generator[DecodeJob, None, None]:
        ahead: deque[tuple[Work, Parts]] = deque()
        for index, where in enumerate(slices, first):
            work = self._work(plan, index, where)
            ahead.append((work, self._reader.submit(work.ids)))
            if len(ahead) > READ_AHEAD:
                yield self._job(plan, *ahead.popleft())
        while ahead:
            yield self._job(plan, *ahead.popleft())

    def _job(self, plan: EpochPlan, work: Work, parts: Parts) -> DecodeJob:
        with self.timings.stage("read"):
            results = self._reader.gather(parts)
        good: list[Encoded] = []
        places: list[int] = []
        for place, result in enumerate(results):
            if isinstance(result, Encoded):
                good.append(result)
                places.append(place)
            elif isinstance(result, SampleError):
                work.errors[place] = result
            else:
                work.fatal = work.fatal or result
        self._draw_windows(plan, work, places, [(e.header.height, e.header.width) for e in good])
        return DecodeJob.from_headers(
            [e.data for e in good], [e.header for e in good], work.windows.rects[work.places], work
        )

    def _draw_windows(
        self, plan: EpochPlan, work: Work, places: list[int], sizes: list[tuple[int, ...]]
    ) -> None:
        work.places = np.array(places, np.int64)
        if not places:
            return
        keys = self._keys(plan, work.ids[work.places], work.occurrences[work.places])
        drawn = self._pass.windows(keys, np.array(sizes, np.int64))
        work.windows.views[work.places] = drawn.views
        work.windows.rects[work.places] = drawn.rects

    # Sources of decoded images: windows are views.

    def _pixels(self, plan: EpochPlan, slices: list[slice], first: int) -> Decoded:
        for index, where in enumerate(slices, first):
            work = self._work(plan, index, where)
            with self.timings.stage("read"):
                crops = self._single(plan, work)
            yield DecodedJob(DecodeJob([], work.windows.rects, [], work), crops)  # type: ignore[arg-type]

    def _stacked(self, plan: EpochPlan, slices: list[slice], first: int) -> Decoded:
        """Images that lie evenly in memory: no image is touched here, and none can be bad."""
        assert self._dense is not None
        each = max(1, DRAWN_TOGETHER // self._batch_size)
        for start in range(0, len(slices), each):
            group = slices[start : start + each]
            with self.timings.stage("read"):
                whole = slice(group[0].start, group[-1].stop)
                strength = None if plan.strength is None else plan.strength[whole]
                keys = self._keys(plan, plan.ids[whole], plan.occurrences[whole], strength)
                windows = self._pass.windows(keys, self._dense.sizes(len(keys)))
                sources = self._dense.sources(keys.ids, windows.rects)
                samples = self._pass.records(keys, windows, sources)
            for index, where in enumerate(group, first + start):
                own = slice(where.start - whole.start, where.stop - whole.start)
                work = self._work(plan, index, where)
                work.windows = Windows(windows.views[own], windows.rects[own])
                work.places, work.samples = np.arange(len(work.ids)), samples[own]
                yield DecodedJob(DecodeJob([], work.windows.rects, [], work), sources.cut(own))  # type: ignore[arg-type]

    def _single(self, plan: EpochPlan, work: Work) -> Sources:
        """Windows of images that the source gives one by one."""
        images: list[np.ndarray] = []
        places: list[int] = []
        for place, sample in enumerate(work.ids.tolist()):
            try:
                images.append(checked_pixels(self._source, sample))
                places.append(place)
            except SampleError as error:
                work.errors[place] = error.bare()
            except Exception as error:  # a bug in a user's source: it belongs to this batch
                work.fatal = work.fatal or error
        self._draw_windows(plan, work, places, [image.shape[:2] for image in images])
        rects = work.windows.rects[work.places]
        return self._backend.place(
            [image[y : y + h, x : x + w] for image, (y, x, h, w) in zip(images, rects.tolist(), strict=True)]
        )

    # Both.

    def _finish(self, plan: EpochPlan, job: DecodedJob, bad: BadSamples) -> Outcome:
        work: Work = job.job.payload
        for i, error in job.failures.items():
            place = int(work.places[i])
            sample = int(work.ids[place])
            work.errors[place] = error.located(sample, self._source.name(sample))
        if work.fatal is not None:
            raise work.fatal
        n = len(work.ids)
        pixels = Sources(
            np.zeros(n, np.uint64),
            np.zeros(n, np.int32),
            np.zeros(n, np.int32),
            np.zeros(n, np.int64),
            [job.crops],
        )
        for name in ("pointers", "heights", "widths", "strides"):
            getattr(pixels, name)[work.places] = getattr(job.crops, name)
        keep = np.ones(n, bool)
        for place in sorted(work.errors):
            keep[place] = self._mend(plan, work, place, pixels, bad)
        if not keep.all():
            work.keep(keep)
            for name in ("pointers", "heights", "widths", "strides"):
                setattr(pixels, name, getattr(pixels, name)[keep])
        self.ledger.delivered += n - len(work.errors)
        return self._augment(plan, work, pixels)

    def _mend(self, plan: EpochPlan, work: Work, place: int, pixels: Sources, bad: BadSamples) -> bool:
        """Apply the policy to one bad sample; whether its place is filled now."""
        error = work.errors[place]
        if self._policy.action == "raise":
            raise error
        sample = int(work.ids[place])
        bad.add(self.ledger, error, sample, self._source.name(sample), self._policy.action)
        if self._policy.action == "skip":
            self.ledger.skipped += 1
            return False
        stand_in = self._stand_in(plan, sample, int(work.occurrences[place]))
        if stand_in is None:
            raise error
        work.ids[place], work.occurrences[place], drawn, image = stand_in  # the place keeps its weight
        work.windows.views[place], work.windows.rects[place] = drawn.views[0], drawn.rects[0]
        placed = self._backend.place([image])
        for name in ("pointers", "heights", "widths", "strides"):
            getattr(pixels, name)[place] = getattr(placed, name)[0]
        pixels.owner.append(placed.owner)
        self.ledger.substituted += 1
        return True

    def _stand_in(
        self, plan: EpochPlan, sample: int, occurrence: int
    ) -> tuple[int, int, Windows, np.ndarray] | None:
        """Id, occurrence, window and pixels of what takes a bad sample's place; None: nothing does."""
        if self._policy.action != "substitute":
            return None
        for candidate, repeat in substitutes(plan, self._seed, sample, occurrence):
            try:
                return candidate, repeat, *self._alone(plan, candidate, repeat)
            except SampleError:
                continue
        return None

    def _augment(self, plan: EpochPlan, work: Work, pixels: Sources) -> Outcome:
        with self.timings.stage("augment"):
            outcome = self._batch(plan, work, pixels)
        self.timings.images += len(work.ids)
        self.timings.batches += 1
        return outcome

    def _batch(self, plan: EpochPlan, work: Work, pixels: Sources) -> Outcome:
        import torch

        keys, form = self._keys(plan, work.ids, work.occurrences, work.strength), self._pass.plan
        targets, weights, mix = self._source.targets[work.ids], work.weights, None
        groups = None
        if form.mixing is not None:
            groups = Groups(work.positions, targets, form.mixing.group)
        stages = self._pass.stages(keys, groups)
        if stages is not None and stages.mixture is not None:
            mix = mix_of(stages.mixture, targets, work.ids)
            weights = (stages.mixture.weights * weights[stages.mixture.places]).sum(1)
        batch = Batch(
            self._backend.augment(keys, work.windows, pixels, work.samples, stages),
            torch.from_numpy(targets),
            torch.from_numpy(work.ids),
            torch.from_numpy(weights),
            plan.epoch,
            work.index,
            mix,
        )
        return self._backend.deliver(batch, pixels.owner)

    def receive(self, waiting: Any) -> Batch:
        """What the consumer gets for a delivered outcome; called in its thread."""
        return self._backend.receive(waiting)

    def replay(self, plan: EpochPlan, place: int) -> "torch.Tensor":
        """One sample of a plan by itself, exactly as in its batch.

        Of a recipe that mixes, the others of its group are made too. Those that cannot be made are replaced
        or left out, as the policy for bad samples says.
        """
        mixing = self._pass.plan.mixing
        where = slice(place, place + 1)
        if mixing is not None:
            local = self._batch_size if self._groups_are_local() else None
            where = group_of(place, len(plan), mixing.group, local)
        work = self._work(plan, 0, where)
        keep, images, drawn = np.ones(len(work.ids), bool), [], []
        with self._backend.working():
            for i, (sample, occurrence) in enumerate(zip(work.ids, work.occurrences, strict=True)):
                try:
                    windows, image = self._alone(plan, int(sample), int(occurrence))
                except SampleError:
                    if where.start + i == place:
                        raise
                    stand_in = self._stand_in(plan, int(sample), int(occurrence))
                    if stand_in is None:
                        keep[i] = False
                        continue
                    work.ids[i], work.occurrences[i], windows, image = stand_in
                images.append(image)
                drawn.append(windows)
            work.keep(keep)
            work.windows = Windows(
                np.concatenate([w.views for w in drawn]), np.concatenate([w.rects for w in drawn])
            )
            outcome = self._batch(plan, work, self._backend.place(images))
        made, own = self.receive(outcome).images, int(keep[: place - where.start].sum())
        return made[own] if self._pass.plan.views == 1 else made[:, own]

    def _alone(self, plan: EpochPlan, sample: int, occurrence: int) -> tuple[Windows, np.ndarray]:
        """The window of one sample and the pixels in it, bit for bit as in a batch."""
        keys = self._keys(plan, np.array([sample]), np.array([occurrence]))
        if self._source.stored == "pixels":
            image = checked_pixels(self._source, sample)
            windows = self._pass.windows(keys, np.array([image.shape[:2]]))
            y, x, height, width = windows.rects[0]
            return windows, image[y : y + height, x : x + width]
        encoded = self._reader.read(sample)
        windows = self._pass.windows(keys, np.array([(encoded.header.height, encoded.header.width)]))
        try:
            crop = self._decoder.decode_one(encoded.data, windows.rects[0], encoded.header.route)
        except SampleError as error:
            raise error.located(sample, self._source.name(sample)) from None
        return windows, crop

    def close(self) -> None:
        """End all threads. Idempotent."""
        self._reader.close()
        self._decoder.close()
        self._backend.close()
