"""Measure a loader on a data set: images/s, time to the first batch, CPU time, stages, memory."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from . import machine
from .usage import cpu_seconds, peak_megabytes
from .verdict import Verdict, judge

#: What is reported of `fieldloom.timings.Timings`.
STAGES = ("read", "decode", "augment", "deliver", "consumer")
#: Batches that pass before the first round: the queue is full then, and the consumer's first wait over.
WARM_BATCHES = 4


@dataclass(frozen=True, slots=True)
class Settings:
    """What is measured; the meanings are those of `fieldloom.DataLoader`."""

    recipe: str = "rfa"
    batch_size: int = 64
    size: int | tuple[int, int] = 224
    seed: int = 0
    threads: int | None = None
    device: str = "auto"


@dataclass(frozen=True, slots=True)
class Round:
    """One stretch of the measurement.

    Attributes:
        images: Images delivered.
        wall_s: Seconds that passed.
        cpu_s: Processor seconds of the process, all threads.
        stages: Seconds of each stage of the producing thread, and "consumer": how long it was waited for.
    """

    images: int
    wall_s: float
    cpu_s: float
    stages: dict[str, float]


@dataclass(frozen=True, slots=True)
class Profile:
    """A measurement, ready to be shown.

    Attributes:
        settings: What was measured, `threads` filled in.
        n_samples: Samples of the data set.
        warm_up_s: Imports, and the compilation of the kernels where it was not cached.
        time_to_first_batch_s: From the constructor to the first batch, after `warm_up_s`.
        rounds: The measurement.
        peak_mb: Largest resident size of the process so far, 10^6 bytes.
        cores: Processors that the process may use.
    """

    settings: Settings
    n_samples: int
    warm_up_s: float
    time_to_first_batch_s: float
    rounds: tuple[Round, ...]
    peak_mb: float
    cores: int

    @property
    def rates(self) -> list[float]:
        """Images/s of each round."""
        return [r.images / r.wall_s for r in self.rounds]

    @property
    def images_per_s(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.rates)

    @property
    def cpu_ms_per_image(self) -> float:
        """Processor milliseconds an image, over all rounds."""
        return 1e3 * sum(r.cpu_s for r in self.rounds) / sum(r.images for r in self.rounds)

    @property
    def stages(self) -> dict[str, float]:
        """Seconds of each stage, over all rounds."""
        return {name: sum(r.stages[name] for r in self.rounds) for name in self.rounds[0].stages}

    @property
    def verdict(self) -> Verdict:
        """What holds the loader back."""
        threads = self.settings.threads or self.cores
        wall_s, cpu_s = sum(r.wall_s for r in self.rounds), sum(r.cpu_s for r in self.rounds)
        return judge(self.stages, wall_s=wall_s, cpu_s=cpu_s, threads=threads, cores=self.cores)

    def report(self) -> dict[str, Any]:
        """Everything as JSON."""
        verdict = self.verdict
        return {
            "images_per_s": self.images_per_s,
            "images_per_s_rounds": self.rates,
            "time_to_first_batch_s": self.time_to_first_batch_s,
            "warm_up_s": self.warm_up_s,
            "cpu_ms_per_image": self.cpu_ms_per_image,
            "stages": self.stages,
            "verdict": verdict.text,
            "bound": verdict.bound,
            "bound_share": verdict.share,
            "peak_memory_mb": self.peak_mb,
            "n_samples": self.n_samples,
            "n_images": sum(r.images for r in self.rounds),
            "wall_s": sum(r.wall_s for r in self.rounds),
            "settings": asdict(self.settings),
            "machine": machine.describe(),
        }


class StageClock:
    """Sums the loader's timings, which start anew with every epoch, while epochs pass by."""

    def __init__(self) -> None:
        self._epochs: list[Any] = []

    def see(self, timings: Any) -> None:
        """Take note of the epoch under way; call it behind each batch."""
        if not self._epochs or self._epochs[-1] is not timings:
            self._epochs.append(timings)

    def seconds(self) -> dict[str, float]:
        """Seconds of each stage so far."""
        return {name: sum(getattr(timings, name) for timings in self._epochs) for name in STAGES}


def warm_up(settings: Settings) -> float:
    """Import and compile what the recipe needs (cached on disk afterwards); the seconds that it took."""
    start = time.perf_counter()
    import nvidia.dali  # noqa: F401 - its import is no part of a first batch
    import torch  # noqa: F401

    import fieldloom as fl

    fl.augment(np.zeros((8, 8, 3), np.uint8), augment=settings.recipe, size=settings.size)
    return time.perf_counter() - start


def profile(
    source: Any,
    settings: Settings,
    *,
    seconds: float = 10.0,
    batches: int | None = None,
    n_rounds: int = 3,
    step_s: float = 0.0,
    on_progress: Callable[[float, float], None] | None = None,
) -> Profile:
    """Measure a loader; epochs follow each other for as long as it takes.

    Args:
        source: As for `DataLoader`.
        settings: What to measure.
        seconds: How long to measure, all rounds together; not used with `batches`.
        batches: How many batches to measure instead.
        n_rounds: Rounds into which that is cut.
        step_s: Seconds that the consumer takes for each batch, as a training step would.
        on_progress: Called behind each measured batch with the part that is done, 0..1, and the images/s
            of its round so far.

    Raises:
        FieldloomError: The loader's own.
    """
    import fieldloom as fl

    warm_up_s = warm_up(settings)
    start = time.perf_counter()
    with fl.DataLoader(
        source, batch_size=settings.batch_size, size=settings.size, shuffle=True, seed=settings.seed,
        device=settings.device, threads=settings.threads, augment=settings.recipe,
    ) as loader:  # fmt: skip
        clock = StageClock()
        stream = _endless(loader, clock, step_s)
        next(stream)
        first_s = time.perf_counter() - start
        for _ in range(min(WARM_BATCHES, len(loader))):
            next(stream)
        rounds = []
        for index in range(n_rounds):
            share = None if batches is None else batches // n_rounds + (index < batches % n_rounds)
            limit_s = None if batches is not None else seconds / n_rounds
            if share == 0:
                continue

            def tell(part: float, rate: float, before: int = index) -> None:
                if on_progress is not None:
                    on_progress((before + part) / n_rounds, rate)

            rounds.append(_round(stream, clock, share, limit_s, tell))
        return Profile(
            settings=Settings(**{**asdict(settings), "threads": loader.threads}),
            n_samples=len(loader.source), warm_up_s=warm_up_s, time_to_first_batch_s=first_s,
            rounds=tuple(rounds), peak_mb=peak_megabytes(), cores=machine.cores(),
        )  # fmt: skip


def _endless(loader: Any, clock: StageClock, step_s: float) -> Iterator[int]:
    """Sizes of the batches of epoch after epoch; what an epoch's start costs is part of it."""
    while True:
        for batch in loader:
            clock.see(loader.timings)
            yield len(batch.ids)
            if step_s:
                time.sleep(step_s)


def _round(
    stream: Iterator[int],
    clock: StageClock,
    n_batches: int | None,
    limit_s: float | None,
    tell: Callable[[float, float], None],
) -> Round:
    """Measure until `n_batches` or `limit_s` is reached; one of the two is given."""
    before, cpu, start = clock.seconds(), cpu_seconds(), time.perf_counter()
    images = done = 0
    part = wall_s = 0.0
    while part < 1:
        images += next(stream)
        done += 1
        wall_s = time.perf_counter() - start
        part = done / n_batches if n_batches is not None else wall_s / (limit_s or wall_s)
        tell(min(part, 1.0), images / wall_s)
    after = clock.seconds()
    stages = {name: max(after[name] - before[name], 0.0) for name in after}
    return Round(images, wall_s, cpu_seconds() - cpu, stages)
