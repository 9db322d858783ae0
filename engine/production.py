"""From an epoch's plan to its batches: read, check, draw windows, decode, augment.

Runs in the loader's own thread. A batch that cannot be made is delivered as the error that it raises,
in its place; production goes on behind it.
"""

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fieldloom.errors import FieldloomError, SampleError
from fieldloom.kernels.draws import Windows
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.stages.staged import Groups
from fieldloom.pipelines.decode import CropDecoder, DecodedJob

from .backend import Backend, Masks
from .batch import Batch
from .collate import fields_of, mask_windows, targets_of
from .epoch import EpochPlan
from .ledger import BadSamples, Ledger
from .mending import Mending, no_pixels, put, set_extras
from .mix import mix_of
from .places import Places
from .policy import BadSamplePolicy
from .progress import Progress
from .reader import Reader
from .sources.base import Source
from .supply import Epoch, FileSupply, PixelSupply, StackedSupply, Supply, Tools, WindowSupply
from .timings import Timings
from .work import Work

if TYPE_CHECKING:
    import torch

#: What `Backend.deliver` made of a batch, or why there is none.
Outcome = Any
Outcomes = Generator[Outcome, None, None]


class Production:
    """Everything that makes batches; one for each loader.

    Args:
        source: The data set.
        fused_pass: The compiled recipe.
        backend: Where the kernels run.
        seed: 64 bits.
        batch_size: Samples of a batch; none is larger.
        threads: Threads of each stage of the host.
        policy: What to do with bad samples; `log` gets a line for each.
        max_pixels: Limit of width * height.
        log: See `policy`.
        mask_fill: Id where a mask's pixel lies beyond the image (border "constant").

    Attributes:
        ledger: Account of the epoch.
        timings: Where its time went.
        progress: What is in hand.
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
        mask_fill: int = 255,
    ) -> None:
        self._source, self._pass, self._backend = source, fused_pass, backend
        self._batch_size, self._policy, self._log = batch_size, policy, log
        self._mask_fill = mask_fill
        self.progress = Progress()
        self._reader = Reader(source, threads, max_pixels, self.progress)
        self._decoder = CropDecoder(batch_size, threads, backend.decode_ahead, backend.device)
        self._places = Places(fused_pass.plan, batch_size)
        self._supply = self._choose_supply(
            Tools(source, fused_pass, backend, seed, self._places, self._reader, self._decoder, self.progress)
        )
        self._mending = Mending(source, backend, self._supply, policy, seed)
        self.timings = Timings()
        self.ledger = Ledger(0, 0)

    @property
    def source(self) -> Source:
        """The data set."""
        return self._source

    def _choose_supply(self, tools: Tools) -> Supply:
        if self._source.stored == "encoded":
            return FileSupply(tools)
        if getattr(self._source, "more", False):
            return PixelSupply(tools)
        dense = getattr(self._source, "dense", None)
        if dense is not None:
            return StackedSupply(tools, self._backend.adopt(dense), self._batch_size)
        return WindowSupply(tools) if getattr(self._source, "windowed", False) else PixelSupply(tools)

    def epoch(self, plan: EpochPlan, *, drop_last: bool, first: int = 0) -> Outcomes:
        """Batches of an epoch from number `first` on. One epoch at a time; ledger and timings begin anew."""
        slices = plan.slices(self._batch_size, drop_last=drop_last)
        limit = self._policy.limit(slices[-1].stop if slices else 0)
        slices = slices[first:]
        self.ledger = Ledger(plan.epoch, slices[-1].stop - slices[0].start if slices else 0)
        self.timings = Timings()
        epoch = Epoch(plan, slices, first, self.timings)
        return self._outcomes(epoch, BadSamples(limit, self._log))

    def _outcomes(self, epoch: Epoch, bad: BadSamples) -> Outcomes:
        decoded = self._supply.jobs(epoch)
        # Closed by name: the traceback of a delivered error may keep this frame alive for long.
        with self._backend.working(), closing(decoded):
            for job in decoded:
                try:
                    outcome = self._finish(epoch.plan, job, bad)
                except FieldloomError as error:
                    outcome = error.bare()
                except Exception as error:  # a bug, too, ends this batch and no other
                    outcome = error
                del job
                yield outcome
                del outcome

    def _finish(self, plan: EpochPlan, job: DecodedJob, bad: BadSamples) -> Outcome:
        work: Work = job.job.payload
        for i, error in job.failures.items():
            place = int(work.places[i])
            sample = int(work.ids[place])
            work.errors[place] = error.located(sample, self._source.name(sample))
        if work.fatal is not None:
            raise work.fatal
        n = len(work.ids)
        pixels = no_pixels(n, job.crops)
        put(pixels, work.places, job.crops)
        with self.progress.stage("substitute"):
            keep = self._mending.mend(plan, work, pixels, self.ledger, bad)
        if not keep.all():
            work.keep(keep)
            pixels = Sources(
                pixels.pointers[keep], pixels.heights[keep], pixels.widths[keep], pixels.strides[keep],
                pixels.owner,
            )  # fmt: skip
        self.ledger.delivered += n - len(work.errors)
        with self.timings.stage("augment"), self.progress.stage("augment"):
            outcome = self._batch(plan, work, pixels)
        self.timings.images += len(work.ids)
        self.timings.batches += 1
        return outcome

    def _batch(self, plan: EpochPlan, work: Work, pixels: Sources) -> Outcome:
        import torch

        keys, form = self._mending.keys(plan, work), self._pass.plan
        targets, weights, mix = targets_of(self._source, work), work.weights, None
        groups = None
        if form.mixing is not None:
            groups = Groups(work.positions, classes_of(targets), form.mixing.group)
        stages = self._pass.stages(keys, groups)
        if stages is not None and stages.mixture is not None:
            targets, mix = mix_of(stages.mixture, targets, work.ids)
            weights = (stages.mixture.weights * weights[stages.mixture.places]).sum(1)
        masks = None
        if getattr(self._source, "has_masks", False):
            masks = Masks(mask_windows(work, self._mask_fill), self._mask_fill)
        images, ids = self._backend.augment(keys, work.windows, pixels, work.samples, stages, masks)
        batch = Batch(
            images,
            torch.from_numpy(targets),
            torch.from_numpy(work.ids),
            torch.from_numpy(weights),
            plan.epoch,
            work.index,
            mix,
            masks=ids,
            fields=fields_of(work),
            names=getattr(self._source, "names", {}),
        )
        return self._backend.deliver(batch, pixels.owner)

    def receive(self, waiting: Any) -> Batch:
        """What the consumer gets for a delivered outcome; called in its thread."""
        return self._backend.receive(waiting)

    def replay(self, plan: EpochPlan, place: int) -> "tuple[torch.Tensor, torch.Tensor | None]":
        """Image and mask of one sample of a plan by itself, exactly as in its batch.

        Of a recipe that mixes, the others of its group are made too. Those that cannot be made are replaced
        or left out, as the policy for bad samples says.
        """
        where = self._places.group(plan, place)
        work = self._places.work(plan, 0, where)
        keep, images, drawn = np.ones(len(work.ids), bool), [], []
        with self._backend.working():
            for i, (sample, occurrence) in enumerate(zip(work.ids, work.occurrences, strict=True)):
                try:
                    alone = self._supply.alone(plan, int(sample), int(occurrence))
                except SampleError:
                    if where.start + i == place:
                        raise
                    stand_in = self._mending.stand_in(plan, int(sample), int(occurrence))
                    if stand_in is None:
                        keep[i] = False
                        continue
                    work.ids[i], work.occurrences[i], alone = stand_in
                set_extras(work, i, alone.extras)
                images.append(alone.image)
                drawn.append(alone.windows)
            work.keep(keep)
            work.windows = Windows(
                np.concatenate([w.views for w in drawn]), np.concatenate([w.rects for w in drawn])
            )
            outcome = self._batch(plan, work, self._backend.place(images))
        batch, own = self.receive(outcome), int(keep[: place - where.start].sum())
        which = own if self._pass.plan.views == 1 else (slice(None), own)
        return batch.images[which], None if batch.masks is None else batch.masks[which]

    def close(self) -> None:
        """End all threads. Idempotent."""
        self._reader.close()
        self._decoder.close()
        self._backend.close()


def classes_of(targets: np.ndarray) -> np.ndarray:
    """Classes for the choice of mixing partners; targets that are none count as one class."""
    return targets if targets.ndim == 1 and targets.dtype == np.int64 else np.zeros(len(targets), np.int64)
