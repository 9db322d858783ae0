"""The plan of an epoch: which sample stands where, a pure function of (seed, epoch, selection)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fieldloom.errors import ArgumentError
from fieldloom.kernels.philox import PLAN_POSITION, random_words, slot_of

from .selection import Selection

#: Times that an id may stand in one epoch: occurrences have 8 bits, half of them for substitutes.
MAX_OCCURRENCES = 128


@dataclass(frozen=True, slots=True, eq=False)
class EpochPlan:
    """Samples in the order of delivery.

    Attributes:
        epoch: Its number.
        ids: int64 (m,).
        occurrences: uint8 (m,): which repeat of its id each is.
        weights: float32 (m,) with mean 1, or None for all ones.
        strength: float32 (m,) >= 0, how strongly each is augmented, or None for all ones.
    """

    epoch: int
    ids: np.ndarray
    occurrences: np.ndarray
    weights: np.ndarray | None
    strength: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def slices(self, batch_size: int, *, drop_last: bool) -> Iterator[slice]:
        """Positions of each batch."""
        for first in range(0, len(self), batch_size):
            if drop_last and first + batch_size > len(self):
                return
            yield slice(first, min(first + batch_size, len(self)))


def n_batches(n_samples: int, batch_size: int, *, drop_last: bool) -> int:
    """Steps of an epoch."""
    return n_samples // batch_size if drop_last else -(-n_samples // batch_size)


def plan_epoch(
    n_samples: int, selection: Selection | None, *, shuffle: bool, seed: int, epoch: int
) -> EpochPlan:
    """Order the samples of an epoch.

    Shuffling sorts by a 64-bit random key of each (id, occurrence). So two samples stand in the same
    order whatever else is selected, and no generator's state is needed to go on in the middle.

    Args:
        n_samples: Size of the data set.
        selection: Which of them, or None for each once.
        shuffle: False keeps the data set's order, or the selection's.
        seed: 64 bits.
        epoch: 32 bits.
    """
    if selection is None:
        ids, weights, strength = np.arange(n_samples, dtype=np.int64), None, None
        occurrences = np.zeros(n_samples, np.uint8)
    else:
        ids, weights, strength = selection.ids, selection.weights, selection.strength
        occurrences = _occurrences(ids)
    if shuffle and len(ids) > 1:
        words = random_words(seed, ids, epoch, occurrences=occurrences, slot=slot_of(PLAN_POSITION, "order"))
        keys = words[:, 0].astype(np.uint64) << np.uint64(32) | words[:, 1]
        order = np.argsort(keys, kind="stable")
        ids, occurrences = ids[order], occurrences[order]
        weights = None if weights is None else weights[order]
        strength = None if strength is None else strength[order]
    return EpochPlan(epoch, ids, occurrences, weights, strength)


def _occurrences(ids: np.ndarray) -> np.ndarray:
    """0 for the first time an id appears, 1 for the second, ..."""
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    first = np.ones(len(ids), bool)
    first[1:] = ordered[1:] != ordered[:-1]
    starts = np.maximum.accumulate(np.where(first, np.arange(len(ids)), 0))
    counts = np.empty(len(ids), np.int64)
    counts[order] = np.arange(len(ids)) - starts
    if counts.max(initial=0) >= MAX_OCCURRENCES:
        worst = int(ids[counts.argmax()])
        raise ArgumentError.make(
            f"select with id {worst} {int(counts.max()) + 1} times",
            why=f"an epoch holds an id at most {MAX_OCCURRENCES} times",
            remedy="Use weights, or spread the repeats over epochs.",
        )
    return counts.astype(np.uint8)
