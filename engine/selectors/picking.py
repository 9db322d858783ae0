"""Picking a share of each class by its samples' vectors."""

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from fieldloom.options import choice, flag, whole_number
from fieldloom.selection import Selection

from .classes import compact, members
from .drawing import SLOT, checked_fraction, size_of, smallest
from .periodic import Periodic
from .proxies import FEATURES, Vectors
from .sharing import Arrays, over_classes
from .signals import Signals

#: Bytes of vectors that are on the host at once, if no single class needs more.
VECTOR_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class Group:
    """Some classes, ready to be picked from.

    Attributes:
        ids: int64 (m,), samples, class after class.
        labels: int64 (m,), the number of each one's class.
        vectors: float32 (m, d).
        budgets: int64 (C,), samples to pick of each class of the data set; 0 for those that are not here.
        epoch: At which the choice is due.
        signals: Keys of random draws.
    """

    ids: np.ndarray
    labels: np.ndarray
    vectors: np.ndarray
    budgets: np.ndarray
    epoch: int
    signals: Signals


class Picking(Periodic):
    """Picks from each class by vectors of its samples; a subclass overrides `pick`.

    Classes are spread over ranks and threads, which changes nothing. Where a class's vectors are not all
    finite, its share is picked at random, with a warning.

    Args:
        fraction: Share of the data set, above 0 and at most 1.
        features: What the vectors are: "logits", "outer" or "embeddings", see `fieldloom.selectors.Vectors`.
        projection: Largest length of "outer" vectors.
        class_balanced: Pick from each class by itself; False takes all samples for one class.
        equal: Classes give the same number (a smaller class all it has), or in proportion to their sizes.
        every: Epochs between choices; None: only one is made.
        warmup: Epochs before the first choice; they hold every sample.
        threads: Threads that work on classes side by side; None takes the processors available, at most 8.
    """

    def __init__(
        self,
        fraction: float,
        features: str,
        projection: int,
        class_balanced: bool,
        equal: bool,
        every: int | None,
        warmup: int,
        threads: int | None,
    ) -> None:
        super().__init__(every, warmup)
        self.fraction = checked_fraction(self, fraction)
        self.features = choice(self, "features", features, tuple(FEATURES))
        self.projection = whole_number(self, "projection", projection, 16, 1 << 16)
        self.class_balanced = flag(self, "class_balanced", class_balanced)
        self.equal = flag(self, "equal", equal)
        self.threads = None if threads is None else whole_number(self, "threads", threads, 1, 256)
        self.signals = FEATURES[self.features]
        self._warned = False

    def pick(self, group: Group, executor: Executor) -> list[tuple[np.ndarray, np.ndarray]]:
        """Pick from some classes.

        Args:
            group: The classes. Vectors are finite.
            executor: Threads to work with.

        Returns:
            Pairs of rows of the group, int64 (k,), and their weights, float32 (k,).
        """
        raise NotImplementedError

    def choose(self, epoch: int, signals: Signals) -> Selection | None:
        """Pick in all classes, each on one rank."""
        n = signals.n_samples
        if size_of(self.fraction, n) == n:
            return None
        found = self._found(epoch, signals)
        return Selection(np.sort(found["ids"]))

    def _found(self, epoch: int, signals: Signals) -> Arrays:
        """Picked ids and their weights, in no particular order."""
        from fieldloom.kernels.submodular.budgets import class_budgets

        n = signals.n_samples
        labels = signals.targets if self.class_balanced else np.zeros(n, np.int64)
        numbers, counts = compact(labels)
        budgets = class_budgets(counts, size_of(self.fraction, n), equal=self.equal)
        vectors = Vectors(signals, self.features, self.projection)
        of_class = members(numbers, counts)

        def work(classes: list[int]) -> Arrays:
            parts = [_NOTHING]
            with ThreadPoolExecutor(self.threads or _default_threads()) as executor:
                for some in _groups(classes, counts, 4 * vectors.length):
                    ids = np.concatenate([of_class[number] for number in some])
                    here = np.zeros_like(budgets)
                    here[some] = budgets[some]
                    group = Group(ids, numbers[ids], vectors(ids), here, epoch, signals)
                    parts += self._picked(group, executor)
            return {name: np.concatenate([part[name] for part in parts]) for name in _NOTHING}

        return over_classes(self.sharing, counts**2, work)

    def _picked(self, group: Group, executor: Executor) -> list[Arrays]:
        broken = np.unique(group.labels[~np.isfinite(group.vectors).all(1)])
        if len(broken):
            group.vectors[np.isin(group.labels, broken)] = 0
        shares = group.budgets[broken]
        group.budgets[broken] = 0
        parts = [{"ids": group.ids[rows], "weights": weights} for rows, weights in self.pick(group, executor)]
        for number, k in zip(broken, shares, strict=True):
            of = group.ids[group.labels == number]
            ids = of[smallest(group.signals.uniforms(of, group.epoch, SLOT), int(k))]
            parts.append({"ids": ids, "weights": np.full(len(ids), len(of) / max(1, k), np.float32)})
        if len(broken) and not self._warned:
            self._warned = True
            warnings.warn(
                f"{type(self).__name__} picks at random in {len(broken)} classes at epoch {group.epoch}: "
                f"{' or '.join(self.signals)} are not finite in half precision (this warning comes once)",
                UserWarning,
                stacklevel=2,
            )
        return parts


_NOTHING: Arrays = {"ids": np.zeros(0, np.int64), "weights": np.zeros(0, np.float32)}


def _groups(classes: list[int], counts: np.ndarray, row_bytes: int) -> Iterator[list[int]]:
    """Classes in order, in groups whose vectors fit `VECTOR_BYTES`, or of one class."""
    group: list[int] = []
    size = 0
    for number in classes:
        more = int(counts[number]) * row_bytes
        if group and size + more > VECTOR_BYTES:
            yield group
            group, size = [], 0
        group.append(number)
        size += more
    if group:
        yield group


def _default_threads() -> int:
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(available or 1, 8))
