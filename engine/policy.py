"""What to do with bad samples: raise, skip, or put another sample in their place."""

import numbers
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fieldloom.errors import ArgumentError
from fieldloom.kernels.philox import PLAN_POSITION, random_words, slot_of

from .epoch import MAX_OCCURRENCES, EpochPlan

ACTIONS = ("raise", "skip", "substitute")
#: Candidates tried for one substitute.
CANDIDATES = 32


@dataclass(frozen=True, slots=True)
class BadSamplePolicy:
    """Policy and budget.

    Attributes:
        action: "raise", "skip" or "substitute".
        max_bad: Largest number of bad samples in an epoch; a float below 1 is a fraction of the epoch;
            None is no limit.
    """

    action: str = "raise"
    max_bad: float | None = None

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ArgumentError.make(
                f"on_bad_sample={self.action!r}", why="not known", remedy=f"Pass one of {', '.join(ACTIONS)}."
            )
        number = isinstance(self.max_bad, numbers.Real) and not isinstance(self.max_bad, bool)
        if self.max_bad is not None and not (number and 0 <= self.max_bad <= float("inf")):
            raise ArgumentError.make(
                f"max_bad={self.max_bad!r}",
                why="not a number >= 0",
                remedy="Pass a count, or a fraction < 1.",
            )

    def limit(self, planned: int) -> float:
        """Bad samples allowed in an epoch of `planned` samples."""
        if self.max_bad is None:
            return float("inf")
        return self.max_bad * planned if 0 < self.max_bad < 1 else self.max_bad


def substitutes(plan: EpochPlan, seed: int, sample: int, occurrence: int) -> Iterator[tuple[int, int]]:
    """Candidates (id, occurrence) to stand in for a bad sample, from the same epoch.

    Drawn by (seed, epoch, sample, occurrence), so that every rank and every resumed run finds the same.
    Occurrences of substitutes lie above all planned ones and are drawn too, from 128: they get
    augmentations of their own, also (but for one time in 128) when two bad samples share a stand-in.
    """
    slot, pool = slot_of(PLAN_POSITION, "substitute"), plan.ids if plan.pool is None else plan.pool
    for draw in range(CANDIDATES // 4):
        words = random_words(
            seed, np.array([sample]), plan.epoch, occurrences=occurrence, slot=slot, draw=draw
        )
        for word in words[0]:
            candidate = int(pool[int(word) * len(pool) >> 32])
            if candidate != sample:
                yield (
                    candidate,
                    MAX_OCCURRENCES + int(word) % MAX_OCCURRENCES,
                )  # low bits; the high ones chose
