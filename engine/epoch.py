"""The plan of an epoch: which sample stands where, a pure function of (seed, epoch, selection)."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fieldloom.errors import ArgumentError
from fieldloom.kernels.philox import PLAN_POSITION, random_words, slot_of

from .ranks import Rank
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
        positions: int64 (m,), places in the plan of all ranks, or None where this is that plan.
        pool: int64, ids of the plan of all ranks, or None likewise: stand-ins for bad samples.
    """

    epoch: int
    ids: np.ndarray
    occurrences: np.ndarray
    weights: np.ndarray | None
    strength: np.ndarray | None = None
    positions: np.ndarray | None = None
    pool: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def slices(self, batch_size: int, *, drop_last: bool) -> Iterator[slice]:
        """Positions of each batch."""
        for first in range(0, len(self), batch_size):
            if drop_last and first + batch_size > len(self):
                return
            yield slice(first, min(first + batch_size, len(self)))

    def of_rank(self, rank: Rank, batch_size: int, *, drop_last: bool, multiple: int = 1) -> "EpochPlan":
        """The samples of one rank, whose batches are slices of it.

        Global batch b is plan[b B W : (b + 1) B W] for W ranks with batches of B, and rank r takes its r-th
        part. What is left at the end is shared out evenly, after samples from the plan's beginning were added
        until every rank gets as many: all ranks make equally many steps of equal sizes.

        Args:
            rank: Which one.
            batch_size: B.
            drop_last: Leave out what does not fill a global batch, instead.
            multiple: The last batches hold a multiple of this many, so that mixing groups stay whole.
        """
        if rank.world == 1:
            return self
        whole, rest = divmod(len(self), batch_size * rank.world)
        parts = [np.arange(batch_size) + (b * rank.world + rank.index) * batch_size for b in range(whole)]
        if rest and not drop_last:
            each = min(-(-rest // (rank.world * multiple)) * multiple, batch_size)
            parts.append(np.arange(each) + whole * batch_size * rank.world + rank.index * each)
        positions = np.concatenate(parts) if parts else np.zeros(0, np.int64)
        at = positions % max(len(self), 1)  # beyond the end it begins anew
        weights, strength = (None if c is None else c[at] for c in (self.weights, self.strength))
        return EpochPlan(
            self.epoch, self.ids[at], self.occurrences[at], weights, strength, positions, self.ids
        )

    def digest(self) -> str:
        """Hash of everything that decides what is delivered."""
        made = hashlib.sha256(str(self.epoch).encode())
        for column in (self.ids, self.occurrences, self.weights, self.strength):
            made.update(b"-" if column is None else np.ascontiguousarray(column).data)
        return made.hexdigest()[:32]


def n_batches(n_samples: int, batch_size: int, *, drop_last: bool, world: int = 1) -> int:
    """Steps of an epoch, the same on every rank."""
    n_samples, each = int(n_samples), batch_size * world
    return n_samples // each if drop_last else -(-n_samples // each)


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
