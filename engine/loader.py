"""`DataLoader`: the public loop over augmented batches."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fieldloom.errors import StateError
from fieldloom.kernels.fusedpass import FusedPass
from fieldloom.kernels.philox import RECIPE_VERSION

from .backend import Backend
from .batch import Batch
from .choosing import Chooser
from .device import choose_device
from .dropin import of_torch, refuse_positional_shuffle
from .epoch import MAX_EPOCH, EpochPlan, n_batches, plan_epoch
from .fitting import recipe_digest, refuse_masks, warn_of_cut_groups
from .host import HostBackend
from .iteration import LoaderIterator, Taken
from .ledger import Ledger
from .options import flag, log_file, number, thread_count, whole_number
from .pinning import PinnedBackend, can_pin
from .policy import BadSamplePolicy
from .producer import Producer
from .production import Production
from .ranks import Rank
from .recipe import Format, compile_recipe
from .replaying import Replayed
from .resuming import Resumable
from .samplers import sampler_selector
from .sources import open_source
from .state import FORMAT
from .steering import Steered
from .tensors import dtype_name
from .timings import Timings
from .torchnames import TorchNames

#: Batch size if none is given. A batch_sampler takes none beside it but this, and torch's default, 1.
DEFAULT_BATCH_SIZE = 64


class DataLoader(Steered, Resumable, Replayed, TorchNames):
    """Iterates over augmented batches of a data set.

    Order and augmentations are pure functions of (seed, epoch, sample id): they do not depend on
    `batch_size`, `threads` or what happened before. Only what the crop needs is decoded, and unselected
    samples are never read.

    Args:
        source: A folder with one sub-folder a class; a list of (path, label) or (encoded bytes, label);
            or (images, labels) with uint8 images (n, height, width, 3) or a list of such. With a GPU, one
            array of images (or a tensor that is there already) is kept in its memory.
        batch_size: Samples of a batch.
        size: Output size in pixels: one number, or (height, width).
        shuffle: Another order each epoch, or the data set's.
        drop_last: Leave out the last, incomplete batch.
        seed: 0 <= seed < 2**64.
        device: "auto" (the current GPU if it can be used, else the CPU), "cpu", "cuda" or "cuda:N". On a GPU
            images, targets and weights come as tensors there, ready for the current stream; ids stay on
            the host.
        threads: Threads of each stage; None takes the processors available, at most 8.
        augment: A list of augmentations and preset names, or a preset's name; () only resizes.
        dtype: torch.float32, float16, bfloat16 or uint8 (without `Normalize`, floats are 0..1).
        layout: "NCHW", "NHWC", or "channels_last" (NCHW tensors over NHWC memory).
        border: What lies beyond a crop's edge: "reflect", "edge" or "constant" (`fill`).
        fill: RGB 0..255, or one number.
        on_bad_sample: "raise" (at the batch concerned; `next` then goes on with the following one),
            "skip" (the batch shrinks) or "substitute" (another sample of the epoch). Labels are checked
            by the constructor, whatever this says.
        max_bad: Bad samples allowed in an epoch: a count (1 is one sample), or a fraction below 1; None is
            no limit.
        bad_sample_log: File that gets one JSON line for each skipped or substituted sample.
        max_pixels: Largest image, width * height, that is decoded.
        prefetch: Finished batches that may wait for the consumer.
        num_classes: Check labels against this number of classes.
        mask_fill: Id of a mask's pixels that lie beyond the image, where `border` is "constant".
        timeout_s: Seconds after which waiting for a batch ends in `WorkerStalled`, which names the stage and
            the sample in hand; None waits for ever.
        epochs: Planned length of training, for mixes that stop after a fraction of it (`stop_at`).
        mix_group: Consecutive places of an epoch's plan among which mixing partners are found. Where the
            batch size is a multiple of it, mixed images do not depend on the batch size.
        selection: A selector (`fieldloom.selectors`): decides at the start of each epoch which samples it
            holds, from what `feedback` reported. `select` overrides it.
        rank: This process among `world_size` that train together; if left out, both are torch.distributed's
            where it is initialized, else those of torchrun's environment. Each delivers its part of every
            global batch, in equally many steps.
        world_size: See `rank`.
        sampler: Ids of an epoch, as for torch's loader; asked when the epoch begins (`set_epoch` is called).
            One that shares out by rank (`num_replicas`) is not shared out again.
        batch_sampler: Lists of ids, each a batch; ranks take every world-th of them. Excludes batch_size,
            shuffle, sampler and drop_last; `batch_size` then is that of the largest batch so far.
        pin_memory: With device="cpu" and a GPU in the machine: tensors in pinned memory.
        **torchs: torch's names for options above (`num_workers`, `generator`, ...), see `fieldloom.dropin`.

    Images arrive as RGB: alpha is dropped (colors hidden under it show), gray is repeated, EXIF
    orientation is applied, of animations the first frame is taken.

    Memory: at most `prefetch` + 2 output batches, 3 batches of decoded crops and the encoded bytes of 4
    batches, whatever the speed of the consumer (and the batches that the consumer keeps).

    Raises:
        ArgumentError: An option is out of range.
        SourceError: The data set cannot be opened.
        DeviceError: The device cannot be used.

    Example:
        >>> import numpy as np
        >>> import fieldloom as fl
        >>> images = np.zeros((5, 8, 8, 3), np.uint8)
        >>> with fl.DataLoader((images, [0, 1, 0, 1, 0]), batch_size=2, size=8) as loader:
        ...     [tuple(batch.images.shape) for batch in loader]
        [(2, 3, 8, 8), (2, 3, 8, 8), (1, 3, 8, 8)]
    """

    def __init__(
        self,
        source: Any = None,
        batch_size: int = DEFAULT_BATCH_SIZE,
        size: int | tuple[int, int] = 224,
        shuffle: bool | None = False,
        drop_last: bool = False,
        seed: int = 0,
        device: str = "auto",
        threads: int | None = None,
        augment: Any = (),
        dtype: Any = "float32",
        layout: str = "NCHW",
        border: str = "reflect",
        fill: float | tuple[float, float, float] = 0.0,
        on_bad_sample: str = "raise",
        max_bad: float | None = None,
        bad_sample_log: str | Path | None = None,
        max_pixels: int = 2**27,
        prefetch: int = 2,
        num_classes: int | None = None,
        mask_fill: int = 255,
        timeout_s: float | None = None,
        epochs: int | None = None,
        mix_group: int = 8,
        selection: Any = None,
        rank: int | None = None,
        world_size: int | None = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        pin_memory: bool = False,
        **torchs: Any,
    ) -> None:
        refuse_positional_shuffle(size)
        own = of_torch(
            torchs, DataLoader.__init__, source=source, threads=threads, seed=seed, prefetch=prefetch,
            timeout_s=timeout_s,
        )  # fmt: skip
        self.batch_size = whole_number("", "batch_size", batch_size, 1, 65536)
        self.shuffle = flag("", "shuffle", shuffle is not None and shuffle)
        self.drop_last = flag("", "drop_last", drop_last)
        self.seed = whole_number("", "seed", own["seed"], 0, 2**64 - 1)
        self.threads = thread_count(own["threads"])
        self._prefetch = whole_number("", "prefetch", own["prefetch"], 1, 64)
        self._timeout_s = (
            None if own["timeout_s"] is None else number("", "timeout_s", own["timeout_s"], 1e-3, 1e6)
        )
        self.pin_memory = flag("", "pin_memory", pin_memory)
        self.rank = Rank.of(rank, world_size)
        self.sampler, self.batch_sampler = sampler, batch_sampler
        self._sampled = sampler_selector(
            sampler, batch_sampler, rank=self.rank, shuffle=self.shuffle, drop_last=self.drop_last,
            batch_size_given=batch_size not in (1, DEFAULT_BATCH_SIZE), selection=selection,
        )  # fmt: skip
        self._share = Rank() if self._sampled is not None and self._sampled.shared else self.rank
        if self._sampled is not None and self._sampled.batches:
            self.batch_size = self._sampled.largest
        policy = BadSamplePolicy(on_bad_sample, max_bad)
        form = Format(
            size, dtype_name(dtype), layout, border, fill,
            None if epochs is None else whole_number("", "epochs", epochs, 1, MAX_EPOCH),
            whole_number("", "mix_group", mix_group, 2, 65536),
        )  # fmt: skip
        self.plan, self._augment = compile_recipe(augment, form), augment
        if batch_sampler is None:
            warn_of_cut_groups(self.plan, self.batch_size)
        self.source, self._given = open_source(own["source"], num_classes=num_classes), own["source"]
        refuse_masks(self.source, self.plan)
        self.device = choose_device(
            device, decodes=self.source.stored == "encoded", resident=getattr(self.source, "device", None)
        )
        options: dict[str, Any] = {
            "seed": self.seed, "threads": self.threads, "policy": policy,
            "max_pixels": whole_number("", "max_pixels", max_pixels, 1, 2**40),
            "mask_fill": whole_number("", "mask_fill", mask_fill, 0, 2**31 - 1),
            "log": log_file(bad_sample_log),
        }  # fmt: skip
        self._fused_pass, self._layout = FusedPass(self.plan), layout
        self._produce = functools.partial(Production, self.source, self._fused_pass, **options)
        self._production = self._produce(backend=self._backend(), batch_size=self.batch_size)
        self._common = {
            "size": size, "device": self.device, "threads": self.threads, "dtype": dtype, "layout": layout,
            "border": border, "fill": fill, "mask_fill": mask_fill, "timeout_s": self._timeout_s,
            "on_bad_sample": on_bad_sample, "max_bad": max_bad,
            "bad_sample_log": bad_sample_log, "max_pixels": max_pixels, "prefetch": self._prefetch,
            "rank": self.rank.index, "world_size": self.rank.world,
        }  # fmt: skip
        targets = self.source.targets
        if targets is None:  # known when a sample is read: as many as there are, and no memory
            targets = np.broadcast_to(np.int64(-1), (len(self.source),))
        self._chooser = Chooser(targets, self._sampled or selection, self.seed, self.rank)
        self._epoch = 0
        self._resume_at, self._first, self._drawn = 0, 0, False
        self._whole: EpochPlan | None = None
        self._digest: tuple[EpochPlan, str] | None = None
        self._taken: Taken | None = None
        self._under_way: Producer | None = None
        self._closed = False
        self._pid = os.getpid()

    def __iter__(self) -> Iterator[Batch]:
        """Start the next epoch; an iterator that is still open ends.

        One from which nothing was taken leaves its epoch to the next: frameworks make some only to see that
        they can.
        """
        self._check("iterate")
        again = self._unread()
        if again:
            self._epoch, self._resume_at = self._epoch - 1, self._first
        if self._epoch > MAX_EPOCH:
            raise StateError.make(
                f"cannot iterate epoch {self._epoch}",
                why=f"the last one is {MAX_EPOCH}",
                remedy="Call set_epoch, or take another seed.",
            )
        # A sampler draws once an epoch: its generator has moved on.
        self._drawn = (again or self._drawn) and self._sampled is not None
        self._stop()
        self._chooser.begin(self._epoch, resumed=self._drawn or self._resume_at > 0)
        self._whole = self._plan(self._epoch)
        own = self._part(self._whole, self._share)
        self._make_room(own)
        self._first, self._resume_at, self._drawn = self._resume_at, 0, False
        self._epoch += 1
        iterator = LoaderIterator(
            self._production,
            own,
            drop_last=self.drop_last,
            prefetch=self._prefetch,
            first=self._first,
            timeout_s=self._timeout_s,
        )
        self._under_way = iterator.producer
        self._taken = iterator.taken
        return iterator

    def _make_room(self, plan: EpochPlan) -> None:
        """Decode and deliver batches as large as a batch sampler's largest."""
        largest = 0 if plan.bounds is None else int(np.diff(plan.bounds).max(initial=0))
        if largest > self.batch_size:
            self._production.close()
            self.batch_size = largest
            self._production = self._produce(backend=self._backend(), batch_size=largest)

    def _plan(self, epoch: int) -> EpochPlan:
        selection = self._chooser.selection(epoch)
        return plan_epoch(len(self.source), selection, shuffle=self.shuffle, seed=self.seed, epoch=epoch)

    def _plan_digest(self, epoch: int) -> str:
        """Digest of an epoch's plan; of the one under way it is made once."""
        plan = self._whole if self._whole is not None and self._whole.epoch == epoch else self._plan(epoch)
        if self._digest is None or self._digest[0] is not plan:
            self._digest = plan, plan.digest()
        return self._digest[1]

    def _part(self, whole: EpochPlan, rank: Rank) -> EpochPlan:
        """What a rank delivers of an epoch."""
        multiple = 1 if self.plan.mixing is None else self.plan.mixing.group
        return whole.of_rank(rank, self.batch_size, drop_last=self.drop_last, multiple=multiple)

    def __len__(self) -> int:
        """Batches of the epoch under way, else of the next one, on every rank. May ask the selector."""
        taken = self._taken
        under_way = taken is not None and not taken.over and taken.epoch + 1 == self._epoch
        return self._steps(self._epoch - under_way)

    @property
    def epoch(self) -> int:
        """Number of the epoch that the next iterator delivers."""
        return self._epoch - self._unread()

    def set_epoch(self, epoch: int) -> None:
        """Choose the next epoch; it advances by itself with each iterator.

        Where that is the next epoch anyway nothing changes: what a loaded state goes on with keeps its place.
        """
        self._check("set_epoch of")
        epoch = whole_number("", "epoch", epoch, 0, MAX_EPOCH)
        if epoch != self.epoch:
            self._epoch, self._resume_at, self._first, self._drawn = epoch, 0, -1, False

    def _steps(self, epoch: int) -> int:
        n, batches = len(self.source), False
        if self._sampled is not None and not self._chooser.decided(epoch):
            n, batches = self._sampled.length(), self._sampled.batches  # asked for that it draws nothing
        elif (selection := self._chooser.selection(epoch)) is not None:
            n = len(selection.ids)
            if selection.bounds is not None and not self.shuffle:
                n, batches = len(selection.bounds) - 1, True
        if batches:
            return -(-n // self._share.world)
        return n_batches(n, self.batch_size, drop_last=self.drop_last, world=self._share.world)

    def _identity(self) -> dict[str, Any]:
        """What must be the same where a state is loaded."""
        return {
            "format": FORMAT,
            "recipe_version": RECIPE_VERSION,
            "seed": self.seed,
            "n_samples": len(self.source),
            "global_batch": (
                self.batch_size * self.rank.world
                if self.batch_sampler is None
                else f"batch_sampler, {self.rank.world} ranks"
            ),
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
            "recipe": recipe_digest(self.plan),
        }

    def _sibling(self, augment: Any, batch_size: int) -> "DataLoader":
        return DataLoader(self.source, augment=augment, batch_size=batch_size, **self._common)

    @property
    def ledger(self) -> Ledger:
        """Account of the current (or last) epoch."""
        return self._production.ledger

    @property
    def timings(self) -> Timings:
        """Where the current (or last) epoch's time went."""
        return self._production.timings

    def close(self) -> None:
        """End all threads; batches already delivered stay valid. Idempotent."""
        if self._closed or os.getpid() != self._pid:
            return
        self._closed = True
        under_way, self._under_way = self._under_way, None
        if under_way is None:
            self._production.close()
        else:
            under_way.close()

    def _backend(self) -> Backend:
        if self.device == "cpu":
            kind = PinnedBackend if self.pin_memory and can_pin() else HostBackend
            return kind(self._fused_pass, self._layout, self.threads, self._prefetch)
        from fieldloom.kernels.device import DevicePass

        from .gpu import GpuBackend

        return GpuBackend(DevicePass(self._fused_pass, self.device), self._layout)

    def _stop(self) -> None:
        """End the epoch under way. Waits for its thread: two in one production would share its decoder."""
        if self._under_way is not None:
            self._under_way.finish(self._timeout_s)
            self._under_way = None

    def _check(self, what: str) -> None:
        if os.getpid() != self._pid:
            raise StateError.make(
                f"cannot {what} a loader of another process",
                why="its threads do not exist in a forked child",
                remedy="Create the loader in the process that uses it.",
            )
        if self._closed:
            raise StateError.make(
                f"cannot {what} a closed loader", why="close() was called", remedy="Create a new one."
            )

    def __enter__(self) -> "DataLoader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise StateError.make(
            "cannot pickle a DataLoader",
            why="it owns threads and decoders",
            remedy="Pickle its arguments and create it where it is used.",
        )

    def __repr__(self) -> str:
        return (
            f"DataLoader({len(self.source)} samples, batch_size={self.batch_size}, "
            f"size={self.plan.height}x{self.plan.width}, {self.plan.dtype}, epoch {self._epoch})"
        )
