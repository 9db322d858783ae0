"""The plan of an epoch: which sample stands where, a pure function of (seed, epoch, selection)."""

import hashlib
from dataclasses import dataclass

import numpy as np

from fieldloom.errors import ArgumentError
from fieldloom.kernels.philox import PLAN_POSITION, random_words, slot_of

from .ranks import Rank
from .selection import Selection
from .slices import Slices

#: Times that an id may stand in one epoch: occurrences have 8 bits, half of them for substitutes.
MAX_OCCURRENCES = 128
#: Epochs are one 32-bit word of the random numbers' counter.
MAX_EPOCH = 2**32 - 1
#: Samples whose keys are drawn together: what that takes must not grow with the data set.
CHUNK = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class EpochPlan:
    """Samples in the order of delivery. Ids are kept as narrow as they are: see `whole_ids`.

    Attributes:
        epoch: Its number.
        ids: Integers (m,), uint32 or int64.
        occurrences: uint8 (m,): which repeat of its id each is; None: each id stands there once.
        weights: float32 (m,) with mean 1, or None for all ones.
        strength: float32 (m,) >= 0, how strongly each is augmented, or None for all ones.
        positions: int64 (m,), places in the plan of all ranks, or None where this is that plan.
        pool: Ids of the plan of all ranks, or None likewise: stand-ins for bad samples.
        bounds: int64 (batches + 1,), where each batch begins and the last one ends; None: batches are of one
            size.
    """

    epoch: int
    ids: np.ndarray
    occurrences: np.ndarray | None
    weights: np.ndarray | None
    strength: np.ndarray | None = None
    positions: np.ndarray | None = None
    pool: np.ndarray | None = None
    bounds: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def repeats(self, where: slice) -> np.ndarray:
        """Occurrences of a stretch, uint8; a copy."""
        if self.occurrences is None:
            return np.zeros(len(self.ids[where]), np.uint8)
        return self.occurrences[where].copy()

    def slices(self, batch_size: int, *, drop_last: bool) -> Slices:
        """Positions of each batch."""
        return Slices(len(self), batch_size, drop_last=drop_last, bounds=self.bounds)

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
        if self.bounds is not None:
            return self._batches_of_rank(rank)
        whole, rest = divmod(len(self), batch_size * rank.world)
        each = 0
        if rest and not drop_last:
            each = min(-(-rest // (rank.world * multiple)) * multiple, batch_size)
        positions = np.empty(whole * batch_size + each, np.int64)
        firsts = (np.arange(whole) * rank.world + rank.index) * batch_size
        full = positions[: whole * batch_size].reshape(whole, batch_size)
        np.add(firsts[:, None], np.arange(batch_size), out=full)
        last = whole * rank.world * batch_size + rank.index * each
        positions[whole * batch_size :] = np.arange(last, last + each)
        return self._at(positions)

    def _batches_of_rank(self, rank: Rank) -> "EpochPlan":
        """Every world-th batch of a plan whose batches differ in size; the last round is filled up."""
        assert self.bounds is not None
        n = len(self.bounds) - 1
        steps = -(-n // rank.world)
        own = (np.arange(steps) * rank.world + rank.index) % max(n, 1)
        parts = [np.arange(self.bounds[b], self.bounds[b + 1]) for b in own]
        positions = np.concatenate(parts) if parts else np.zeros(0, np.int64)
        bounds = np.cumsum([0, *map(len, parts)])
        return self._at(positions, bounds)

    def _at(self, positions: np.ndarray, bounds: np.ndarray | None = None) -> "EpochPlan":
        at = positions % max(len(self), 1)  # beyond the end it begins anew
        occurrences, weights, strength = (
            None if column is None else column[at]
            for column in (self.occurrences, self.weights, self.strength)
        )
        return EpochPlan(
            self.epoch, self.ids[at], occurrences, weights, strength, positions, self.ids, bounds
        )

    def digest(self) -> str:
        """Hash of everything that decides what is delivered."""
        made = hashlib.sha256(str(self.epoch).encode())
        for first in range(0, len(self), CHUNK):
            made.update(np.ascontiguousarray(self.ids[first : first + CHUNK], np.int64).data)
        for first in range(0, len(self), CHUNK):
            made.update(self.repeats(slice(first, first + CHUNK)).data)
        for column in (self.weights, self.strength):
            made.update(b"-" if column is None else np.ascontiguousarray(column).data)
        if self.bounds is not None:
            made.update(np.ascontiguousarray(self.bounds, np.int64).data)
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

    Memory: 12 bytes a sample while it is made and 4 then, where each sample stands there once.
    """
    if selection is None:
        shuffled = shuffle and n_samples > 1
        ids = _shuffled(n_samples, seed, epoch) if shuffled else np.arange(n_samples, dtype=np.uint32)
        return EpochPlan(epoch, ids, None, None)
    ids, weights, strength = selection.ids, selection.weights, selection.strength
    occurrences = _occurrences(ids)
    if shuffle and len(ids) > 1:
        order = np.argsort(_order_keys(seed, ids, epoch, occurrences), kind="stable")
        ids, occurrences = ids[order], occurrences[order]
        weights = None if weights is None else weights[order]
        strength = None if strength is None else strength[order]
    bounds = None if shuffle else selection.bounds
    return EpochPlan(epoch, ids, occurrences, weights, strength, bounds=bounds)


def _order_keys(seed: int, ids: np.ndarray, epoch: int, occurrences: np.ndarray | int) -> np.ndarray:
    """uint64 (n,), by which an epoch is sorted."""
    words = random_words(seed, ids, epoch, occurrences=occurrences, slot=slot_of(PLAN_POSITION, "order"))
    return words[:, 0].astype(np.uint64) << np.uint64(32) | words[:, 1]


def _shuffled(n: int, seed: int, epoch: int) -> np.ndarray:
    """Ids 0 .. n - 1 in the order of their keys, uint32.

    The same as `argsort(keys, kind="stable")`, with 12 instead of 24 bytes a sample and without its
    indirection: the id replaces the key's low bits, and the few runs whose high bits agree (some 45 pairs
    among 10^7 samples) are put right by their whole keys.
    """
    bits = np.uint64(max(n - 1, 1).bit_length())
    low = (np.uint64(1) << bits) - np.uint64(1)
    packed = np.empty(n, np.uint64)
    for first in range(0, n, CHUNK):
        ids = np.arange(first, min(first + CHUNK, n), dtype=np.int64)
        packed[first : first + CHUNK] = _order_keys(seed, ids, epoch, 0) & ~low | ids.astype(np.uint64)
    packed.sort()
    order = np.empty(n, np.uint32)
    ties: list[np.ndarray] = []
    for first in range(0, n, CHUNK):
        part = packed[first : first + CHUNK + 1]
        order[first : first + CHUNK] = part[:CHUNK] & low
        same = (part[1:] ^ part[:-1]) <= low
        ties.append(np.flatnonzero(same) + first)
    _settle(order, np.concatenate(ties), seed, epoch)
    return order


def _settle(order: np.ndarray, ties: np.ndarray, seed: int, epoch: int) -> None:
    """Sort runs of equal high bits by whole keys; places i of `ties` are those tied with i + 1."""
    for run in np.split(ties, np.flatnonzero(np.diff(ties) > 1) + 1) if len(ties) else ():
        where = slice(int(run[0]), int(run[-1]) + 2)
        ids = order[where].astype(np.int64)
        order[where] = ids[np.argsort(_order_keys(seed, ids, epoch, 0), kind="stable")]


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
