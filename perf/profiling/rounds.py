"""Rounds: stretches of a measurement, long enough for a figure, several for a spread."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .probes import Meter, tree_megabytes
from .stream import Stream

#: Batches that pass before the first round: the queue is full then, and the consumer's first wait over.
WARM_BATCHES = 4

Tell = Callable[[float, float], None]


@dataclass(frozen=True, slots=True)
class Round:
    """One stretch of the measurement.

    Attributes:
        images: Images delivered.
        batches: Batches delivered.
        wall_s: Seconds that passed.
        cpu_s: Processor seconds of the process, all its threads and children.
        waited_s: Seconds for which the consumer waited for batches.
        thread_cpu_s: Processor seconds of the consumer's own thread while it took batches.
        stepped_s: Seconds of training steps.
        bytes: Bytes of the delivered arrays.
        read_bytes: Bytes that system calls read.
        disk_bytes: Bytes that came from a disk.
        others_cores: Processors that others kept busy; None where it is not known.
        stages: Seconds of each stage of the producing thread, of our loader.
        read_busy_s: Seconds that threads spent reading, of our loader.
        source_bytes: Bytes that they read.
        restarts: New epochs that began.
        restarted_s: Seconds for which their first batches were waited for; part of `waited_s`.
        queued: Mean of the finished batches that waited at each `next`; None where nobody tells.
    """

    images: int
    batches: int
    wall_s: float
    cpu_s: float
    waited_s: float
    thread_cpu_s: float
    stepped_s: float
    bytes: int
    read_bytes: int
    disk_bytes: int
    others_cores: float | None
    stages: dict[str, float] = field(default_factory=dict)
    read_busy_s: float = 0.0
    source_bytes: int = 0
    queued: float | None = None
    restarts: int = 0
    restarted_s: float = 0.0

    @property
    def rate(self) -> float:
        """Images/s."""
        return self.images / self.wall_s


@dataclass(slots=True)
class Watch:
    """What is looked at beside the stream: of our loader its stages and reads; and memory.

    Attributes:
        stages: Gives seconds of each stage so far.
        reads: Gives (seconds in `read`, bytes read) so far.
        peak_mb: Largest memory of the process tree that was seen at the end of a round.
    """

    stages: Callable[[], dict[str, float]] = dict
    reads: Callable[[], tuple[float, int]] = lambda: (0.0, 0)
    peak_mb: float = 0.0


def measure_round(
    stream: Stream,
    watch: Watch,
    *,
    n_batches: int | None,
    limit_s: float | None,
    step: Callable[[Any], None] | None = None,
    tell: Tell = lambda part, rate: None,
) -> Round | None:
    """Measure until `n_batches` or `limit_s` is reached; one of the two is given.

    Returns:
        The round; None if the stream ended before its first batch.
    """
    stages, reads, queued = watch.stages(), watch.reads(), len(stream.queued)
    images, batches, size = stream.images, stream.batches, stream.bytes
    restarts, restarted = stream.restarts, stream.restarted_s
    waited, thread, stepped = stream.waited_s, stream.thread_cpu_s, stream.stepped_s
    meter, start = Meter(), time.perf_counter()
    part = 0.0
    while part < 1 and stream.next(step) is not None:
        wall_s = time.perf_counter() - start
        done = stream.batches - batches
        part = done / n_batches if n_batches is not None else wall_s / (limit_s or wall_s)
        tell(min(part, 1.0), (stream.images - images) / wall_s)
    usage = meter.usage()
    watch.peak_mb = max(watch.peak_mb, tree_megabytes())
    if stream.batches == batches:
        return None
    after, (busy, read) = watch.stages(), watch.reads()
    waiting = stream.queued[queued:]
    return Round(
        stream.images - images, stream.batches - batches, usage.wall_s, usage.cpu_s,
        stream.waited_s - waited, stream.thread_cpu_s - thread, stream.stepped_s - stepped,
        stream.bytes - size, usage.read_bytes, usage.disk_bytes, usage.others_cores,
        {name: max(after[name] - stages[name], 0.0) for name in after},
        busy - reads[0], read - reads[1],
        sum(waiting) / len(waiting) if waiting else None,
        stream.restarts - restarts, stream.restarted_s - restarted,
    )  # fmt: skip


def measure_rounds(
    stream: Stream,
    watch: Watch,
    *,
    seconds: float,
    batches: int | None,
    n_rounds: int,
    step: Callable[[Any], None] | None = None,
    tell: Tell = lambda part, rate: None,
    between: Callable[[int | None, float | None], None] | None = None,
) -> list[Round]:
    """Measure `seconds` or `batches` in `n_rounds` rounds; fewer where the stream ends.

    `between` is called behind each round with its batches or its seconds, whichever was given: what is to
    be compared with the rounds is measured in the same minutes.
    """
    rounds: list[Round] = []
    for index in range(n_rounds):
        share = None if batches is None else batches // n_rounds + (index < batches % n_rounds)
        if share == 0:
            continue

        def told(part: float, rate: float, before: int = index) -> None:
            tell((before + part) / n_rounds, rate)

        limit_s = None if batches is not None else seconds / n_rounds
        found = measure_round(stream, watch, n_batches=share, limit_s=limit_s, step=step, tell=told)
        if found is None:
            break
        rounds.append(found)
        if between is not None:
            between(share, limit_s)
    return rounds
