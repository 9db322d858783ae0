"""The same loader at several settings: `--sweep threads=1,2,4 batch=32,64`."""

import itertools
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fieldloom.errors import ArgumentError, FieldloomError

from .rounds import Watch, measure_rounds
from .stream import Stream
from .target import AXES, Target
from .timeline import Timeline

#: Settings of a sweep at most: it is meant to take a minute, not an hour.
MOST_POINTS = 64

Axes = dict[str, int]
_AXIS = re.compile(r"([a-z_]+)=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Point:
    """One setting of a sweep.

    Attributes:
        axes: What was set.
        images_per_s: Median of its rounds; None if it failed.
        rates: Images/s of each round.
        cpu_ms: Processor milliseconds an image.
        error: Why it failed, else "".
    """

    axes: Axes
    images_per_s: float | None
    rates: tuple[float, ...]
    cpu_ms: float | None
    error: str = ""

    def label(self) -> str:
        """Its settings as they are written on the command line."""
        return " ".join(f"{name}={value}" for name, value in self.axes.items())


def is_axis(text: str) -> bool:
    """Whether an argument is `name=values` of a sweep and not a path."""
    match = _AXIS.fullmatch(text)
    return match is not None and match[1] in AXES


def parse_sweep(texts: Sequence[str]) -> tuple[Axes, ...]:
    """All combinations of `threads=1,2,4`, `batch=32,64` ...

    Raises:
        ArgumentError: An axis is not known, named twice or without numbers, or there are too many points.

    Example:
        >>> parse_sweep(["threads=1,2", "batch=8"])
        ({'threads': 1, 'batch': 8}, {'threads': 2, 'batch': 8})
    """
    axes: dict[str, list[int]] = {}
    for text in texts:
        match = _AXIS.fullmatch(text)
        if match is None or match[1] not in AXES:
            raise ArgumentError.make(
                f"--sweep {text!r}", why="it is none of " + ", ".join(f"{name}=1,2" for name in AXES)
            )
        parts = match[2].split(",")
        if match[1] in axes or not all(part.isdecimal() for part in parts):
            raise ArgumentError.make(
                f"--sweep {text!r}", why="each axis stands once, with whole numbers between commas"
            )
        axes[match[1]] = [int(part) for part in dict.fromkeys(parts)]
    points = tuple(dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values()))
    if len(points) > MOST_POINTS:
        raise ArgumentError.make(
            "this sweep is too large",
            why=f"it has {len(points)} points, at most {MOST_POINTS} are run",
            remedy="Leave out values.",
        )
    return points if axes else ()


def run_sweep(
    target: Target,
    points: Sequence[Axes],
    *,
    seconds: float,
    tell: Callable[[str, float, float], None] = lambda text, part, rate: None,
) -> list[Point]:
    """Measure each point twice, there and back, so that a machine that slows down meets all of them.

    A point that fails (too many threads, no memory) keeps its reason and stops nothing.

    Args:
        target: What is varied.
        points: The settings.
        seconds: How long each point is measured, both rounds together.
        tell: Told (point, part done, images/s).
    """
    rates: list[list[float]] = [[] for _ in points]
    costs: list[list[float]] = [[] for _ in points]
    errors = ["" for _ in points]
    order = [*range(len(points)), *reversed(range(len(points)))]
    for done, k in enumerate(order):
        if errors[k]:
            continue
        label = Point(points[k], None, (), None).label()
        tell(f"sweep: {label}", done / len(order), rates[k][-1] if rates[k] else 0.0)
        try:
            rate, cost = _measure(target.vary(points[k]), seconds / 2)
        except FieldloomError as error:
            errors[k] = str(error)
            continue
        rates[k].append(rate)
        costs[k].append(cost)
    return [
        Point(
            dict(axes), statistics.median(rates[k]) if rates[k] else None, tuple(rates[k]),
            statistics.median(costs[k]) if costs[k] else None, errors[k],
        )
        for k, axes in enumerate(points)
    ]  # fmt: skip


def _measure(target: Target, seconds: float) -> tuple[float, float]:
    with target.open() as iterable:
        stream = Stream(iterable, Timeline(limit=0))
        warm_up(stream, iterable)
        rounds = measure_rounds(stream, Watch(), seconds=seconds, batches=None, n_rounds=1)
        stream.close()
    if not rounds or not rounds[0].images:
        raise ArgumentError.make(f"{target.name} ended before it was measured", remedy="Name a function.")
    return rounds[0].rate, 1e3 * rounds[0].cpu_s / rounds[0].images


def warm_up(stream: Stream, iterable: Any) -> None:
    """Take the first batches, at most an epoch of them, so that queues are full and workers there."""
    from .rounds import WARM_BATCHES

    try:
        length = len(iterable)
    except TypeError:
        length = WARM_BATCHES
    for _ in range(1 + min(WARM_BATCHES, length)):
        if stream.over:
            return
        stream.next()
