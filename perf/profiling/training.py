"""Does the loader hide behind the model? A step on each batch, and the same step behind a perfect loader."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fieldloom.errors import ArgumentError

from .counting import n_images
from .loading import load_object
from .rounds import Round

#: Batches that an ideal loader replays.
CACHED_BATCHES = 8

Step = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Training:
    """Training behind the loader.

    Attributes:
        step_ms: Milliseconds of a step, as measured.
        needed_per_s: Images/s that the step would take of a perfect loader.
        images_per_s: Images/s of loader and step together.
        waited_share: Part of the time for which the step waited for the loader, 0..1.
        ideal_per_s: Images/s of the step on cached batches; None if that was not asked for.
    """

    step_ms: float
    needed_per_s: float
    images_per_s: float
    waited_share: float
    ideal_per_s: float | None = None

    @property
    def hides(self) -> bool:
        """Whether the loader costs training less than 5 % of its time."""
        return self.waited_share < 0.05


def parse_step(text: str) -> Step:
    """A training step: a number of milliseconds to sleep, or `module:function` that is called with a batch.

    Sleeping leaves the processor to the loader, as a step on a GPU does.

    Raises:
        ArgumentError: Neither of the two.
    """
    try:
        step_s = float(text) / 1e3
    except ValueError:
        step = load_object(text)
        if not callable(step):
            raise ArgumentError.make(
                f"training step {text!r}",
                why=f"it is a {type(step).__name__}",
                remedy="Name a function that takes a batch, or give milliseconds.",
            ) from None
        return step
    if not math.isfinite(step_s) or step_s < 0:
        raise ArgumentError.make(
            f"training step {text!r}", why="it is no time", remedy="Give milliseconds from 0 on."
        )

    def sleep(batch: Any) -> None:
        time.sleep(step_s)

    return sleep


def training_of(rounds: list[Round], ideal_per_s: float | None) -> Training | None:
    """From rounds with a step; None where nothing was measured."""
    batches, images = sum(r.batches for r in rounds), sum(r.images for r in rounds)
    wall, stepped = sum(r.wall_s for r in rounds), sum(r.stepped_s for r in rounds)
    if not batches or wall <= 0:
        return None
    return Training(
        1e3 * stepped / batches,
        images / stepped if stepped > 0 else math.inf,
        images / wall,
        min(sum(r.waited_s for r in rounds) / wall, 1.0),
        ideal_per_s,
    )


def replay_cached(batches: list[Any], step: Step, seconds: float) -> float:
    """Images/s of a step on batches that are there already: training behind a perfect loader."""
    images, start = 0, time.perf_counter()
    while not images or time.perf_counter() - start < seconds:
        for batch in batches:
            step(batch)
            images += n_images(batch)
    return images / (time.perf_counter() - start)
