"""The profiler: measure a loader, take it apart, and say what holds it back."""

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fieldloom.errors import ArgumentError

from .. import machine
from .against import Comparison, compare
from .gpu import watching_gpu
from .limits import memory_gigabytes_per_s
from .ours import OurTarget, StageClock
from .probes import peak_tree_megabytes
from .rounds import WARM_BATCHES, Round, Watch, measure_round, measure_rounds
from .settings import Settings
from .stages import Ablation
from .stream import Stream
from .sweep import Axes, Point, run_sweep
from .target import Target
from .timeline import Timeline, watching
from .training import CACHED_BATCHES, Step, Training, replay_cached, training_of

#: Told (what is being done, part of it that is done 0..1, images/s so far).
Tell = Callable[[str, float, float], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What the profiler does.

    Attributes:
        seconds: How long the loader is measured, all rounds together; not used with `batches`.
        batches: How many batches to measure instead.
        n_rounds: Rounds into which that is cut.
        step: A training step: called with each batch of further rounds, half as long, between the others.
        ideal: Also run the step on cached batches, as behind a perfect loader.
        sweep: Settings to measure besides.
        against: Peers to measure besides, with the same recipe on the same data.
        ablate: Run the loader's parts alone.
    """

    seconds: float = 10.0
    batches: int | None = None
    n_rounds: int = 3
    step: Step | None = None
    ideal: bool = False
    sweep: tuple[Axes, ...] = ()
    against: tuple[str, ...] = ()
    ablate: bool = True


@dataclass(frozen=True, slots=True)
class Profile:
    """A measurement.

    Attributes:
        target: What was measured, ready for JSON: kind, name and settings.
        knob: What its threads or workers are called.
        workers: How many; None where that is not known.
        warm_up_s: Imports, and the compilation of our kernels where it was not cached.
        time_to_first_batch_s: From the constructor (of an object that was made already: from `iter`) to the
            first batch, after `warm_up_s`.
        rounds: The measurement: the consumer takes all that it gets.
        trained: Rounds with a training step.
        training: What they say; None without a step.
        ablation: What parts cost alone.
        timeline: The first batches, and counters.
        points: The sweep.
        comparisons: The peers.
        memory_gb_per_s: Memory bandwidth as measured; None without ablation.
        peak_mb: Largest memory of the process and its children that was seen, 10^6 bytes.
        gpu: Its name, use and memory; empty on a CPU.
        cores: Processors that the process may use.
        capacity: Finished batches that may wait; None where that is not known.
    """

    target: dict[str, Any]
    knob: str
    workers: int | None
    warm_up_s: float
    time_to_first_batch_s: float
    rounds: tuple[Round, ...]
    trained: tuple[Round, ...]
    training: Training | None
    ablation: Ablation
    timeline: Timeline
    points: tuple[Point, ...]
    comparisons: tuple[Comparison, ...]
    memory_gb_per_s: float | None
    peak_mb: float
    gpu: dict[str, Any]
    cores: int
    capacity: int | None

    @property
    def rates(self) -> list[float]:
        """Images/s of each round."""
        return [r.rate for r in self.rounds]

    @property
    def images_per_s(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.rates)

    @property
    def n_images(self) -> int:
        """Images of all rounds."""
        return sum(r.images for r in self.rounds)

    @property
    def wall_s(self) -> float:
        """Seconds of all rounds."""
        return sum(r.wall_s for r in self.rounds)

    @property
    def cpu_ms_per_image(self) -> float:
        """Processor milliseconds an image, over all rounds."""
        return 1e3 * sum(r.cpu_s for r in self.rounds) / self.n_images

    @property
    def stages(self) -> dict[str, float]:
        """Seconds of each stage of our loader's producing thread, over all rounds; empty for others."""
        return {name: sum(r.stages[name] for r in self.rounds) for name in self.rounds[0].stages}


def warm_up(settings: Settings) -> float:
    """Import and compile what the recipe needs (cached on disk afterwards); the seconds that it took."""
    start = time.perf_counter()
    import nvidia.dali  # noqa: F401 - its import is no part of a first batch
    import torch  # noqa: F401

    import fieldloom as fl

    fl.augment(np.zeros((8, 8, 3), np.uint8), augment=settings.recipe, size=settings.size)
    return time.perf_counter() - start


def profile(target: Target, plan: Plan, tell: Tell = lambda text, part, rate: None) -> Profile:
    """Measure a loader; epochs follow each other for as long as it takes.

    Args:
        target: What to measure (`fieldloom.perf.profiling.loading.open_target`).
        plan: What to do.
        tell: Told how far it is.

    Raises:
        FieldloomError: The loader's own; or a part of the plan that this target cannot do.
    """
    ours = target if isinstance(target, OurTarget) else None
    if plan.against and ours is None:
        raise ArgumentError.make(
            "cannot compare with peers",
            why=f"{target.name} is not a loader of ours, so its recipe is not known",
            remedy="Give a path, or a fieldloom.DataLoader.",
        )
    if plan.ideal and plan.step is None:
        raise ArgumentError.make(
            "an ideal loader needs a training step",
            remedy="Pass --train-step MS or --train-step MODULE:FUNCTION.",
        )
    _check_sweep(target, plan.sweep)  # before minutes are spent on the rest
    tell("getting ready (the first run compiles kernels, some 20 s)", 0.0, 0.0)
    warm_up_s = warm_up(ours.settings) if ours is not None else 0.0
    measured = _measure(target, plan, tell)
    ablation, bandwidth = Ablation(()), None
    if plan.ablate:
        tell("taking it apart", 0.0, 0.0)
        budget = min(plan.seconds, 6.0) if plan.batches is None else 1.0
        bandwidth = memory_gigabytes_per_s(min(machine.cores(), 8), budget / 15)
        consumer_ms = (
            1e3 * sum(r.thread_cpu_s for r in measured.rounds) / sum(r.images for r in measured.rounds)
        )
        ablation = _ablate(target, budget, consumer_ms)
    each_s = max(plan.seconds / 5, 0.4) if plan.batches is None else 0.2
    points = run_sweep(target, plan.sweep, seconds=each_s, tell=tell) if plan.sweep else []
    compared = []
    if plan.against and ours is not None:
        compared = compare(ours, plan.against, seconds=3 * each_s, n_rounds=plan.n_rounds, tell=tell)
    return replace(
        measured, warm_up_s=warm_up_s, ablation=ablation, memory_gb_per_s=bandwidth, points=tuple(points),
        comparisons=tuple(compared), peak_mb=peak_tree_megabytes(measured.peak_mb),
    )  # fmt: skip


def _check_sweep(target: Target, points: tuple[Axes, ...]) -> None:
    """Raise what the first point raises, if none of them can be measured."""
    refused: list[ArgumentError] = []
    for axes in points:
        try:
            target.vary(axes)
        except ArgumentError as error:
            refused.append(error)
        else:
            return
    if refused:
        raise refused[0]


def _ablate(target: Target, seconds: float, consumer_ms: float) -> Ablation:
    from .foreign import TorchTarget

    if isinstance(target, TorchTarget):
        return target.ablate(seconds, consumer_ms)
    return target.ablate(seconds)


def _measure(target: Target, plan: Plan, tell: Tell) -> Profile:
    """Everything for which the loader runs whole."""
    ours = target if isinstance(target, OurTarget) else None
    timeline, clock = Timeline(), StageClock()
    device = "cpu" if ours is None else ours.settings.device
    with ExitStack() as stack:
        reads = stack.enter_context(watching(timeline, ours.source)) if ours is not None else None
        start = time.perf_counter()
        iterable = stack.enter_context(target.open())
        if ours is not None:
            device = ours.settings.device
        gpu = stack.enter_context(watching_gpu(device))

        def see() -> None:
            if ours is not None:
                clock.see(ours.loader.timings)

        stream = Stream(iterable, timeline, see)
        stack.callback(stream.close)
        watch = Watch(clock.seconds if ours is not None else dict, reads or (lambda: (0.0, 0)))
        cached = [stream.next()]
        if cached[0] is None:
            raise ArgumentError.make(f"{target.name} gives no batches", why="its iterator ended at once")
        first_s = time.perf_counter() - start + getattr(target, "made_s", 0.0)
        for _ in range(_warm_batches(iterable)):
            stream.next()

        def told(part: float, rate: float) -> None:
            tell(f"measuring {target.name}", part, rate)

        trained: list[Round] = []

        def train(n_batches: int | None, limit_s: float | None) -> None:
            found = measure_round(
                stream, watch, n_batches=n_batches, limit_s=None if limit_s is None else limit_s / 2,
                step=plan.step, tell=lambda part, rate: tell("with the training step", part, rate),
            )  # fmt: skip
            if found is not None:
                trained.append(found)
            for _ in range(_warm_batches(iterable)):  # the queue filled during the steps
                stream.next()

        rounds = measure_rounds(
            stream, watch, seconds=plan.seconds, batches=plan.batches, n_rounds=plan.n_rounds, tell=told,
            between=None if plan.step is None else train,
        )  # fmt: skip
        if not rounds:
            raise ArgumentError.make(
                f"cannot measure {target.name}",
                why=f"it gave {stream.batches} batches and then ended for good",
                remedy="Name a function that makes the iterable, or make it longer.",
            )
        if not sum(found.images for found in rounds):
            raise ArgumentError.make(
                f"cannot measure {target.name}",
                why=f"its {sum(found.batches for found in rounds)} batches held no images",
                remedy="Let it give arrays with one row an image.",
            )
        ideal_per_s = None
        if plan.ideal and plan.step is not None:
            while len(cached) < CACHED_BATCHES and (batch := stream.next()) is not None:
                cached.append(batch)
            tell("behind a perfect loader", 0.0, 0.0)
            ideal_per_s = replay_cached(cached, plan.step, min(plan.seconds / 5, 3.0))
        described, workers = target.describe(), target.workers
        capacity = ours.settings.prefetch if ours is not None else None
    return Profile(
        described, target.knob, workers, 0.0, first_s, tuple(rounds), tuple(trained),
        training_of(trained, ideal_per_s), Ablation(()), timeline.shifted(), (), (), None, watch.peak_mb, gpu,
        machine.cores(), capacity,
    )  # fmt: skip


def _warm_batches(iterable: Any) -> int:
    try:
        return min(WARM_BATCHES, len(iterable))
    except TypeError:
        return WARM_BATCHES
