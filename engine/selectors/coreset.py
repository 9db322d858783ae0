"""Coresets for (augmented) training: the samples whose gradients stand for those of all."""

import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fieldloom.kernels.philox import stream_word
from fieldloom.options import choice, flag, whole_number
from fieldloom.selection import Selection

from .classes import compact, members
from .drawing import SLOT, checked_fraction, size_of, smallest
from .periodic import Periodic
from .proxies import Gradients
from .sharing import Arrays, over_classes
from .signals import Signals

MODES = ("subset", "augment")
METHODS = ("auto", "lazy", "stochastic")
FEATURES = ("logits", "outer")
#: Bytes of vectors that are on the host at once, if no single class needs more.
VECTOR_BYTES = 1 << 28


class Coreset(Periodic):
    """Hold the samples of each class that best represent its gradients (data-efficient augmentation, CRAIG).

    Every R epochs, a scoring pass gives p = softmax(logits) − onehot(label), the factor of the last layer's
    gradient that differs from sample to sample. In each class, greedy facility location picks samples such
    that every sample is near a picked one. A picked sample weighs as many as are nearest to it.

    Args:
        fraction: Share of the data set, above 0 and at most 1.
        every: R: epochs between choices; None: only one is made.
        method: "lazy" (exact greedy), "stochastic" (for large classes: 1 − 1/e − 0.01 of the best in
            expectation), or "auto": lazy up to 50 000 samples a class.
        equal: Every class gives the same number (a smaller class all it has), or in proportion to its size.
        mode: "subset": epochs hold the picked samples, with weights. "augment": epochs hold every sample, and
            only the picked ones are augmented (strength 1, the others 0).
        features: "logits": p. "outer": the outer product of p and the embedding, with the bias.
        projection: Largest length of an outer product; a longer one is projected to it at random (relative
            deviation of squared distances at most sqrt(8 / projection)).
        warmup: Epochs before the first choice; they hold every sample.
        threads: Threads that work on classes side by side; None takes the processors available, at most 8.
            The choice does not depend on it.

    Needs: logits ("outer": and embeddings) of every sample, from `DataLoader.scoring_pass` every R epochs.
    Memory: the signal's 2 C + 4 bytes a sample (embeddings: 2 D + 4 more); while choosing, vectors of 256 MiB
        or of one class, and 512 MiB of distances.
    Cost: the pass; distances of all pairs within a class, n_c² C / 2 multiply-adds.
    Source: Liu and Mirzasoleiman, Data-Efficient Augmentation for Training Neural Networks (NeurIPS 2022);
        Mirzasoleiman et al., CRAIG (ICML 2020). Published settings: Caltech-256 fraction .3, every=5;
        ImageNet .5, 15. Where we differ: "augment" replaces "whole set and augmented copies of the subset"
        and reads each sample once; classes' budgets are rounded without chance. As there, a class whose
        proxies are not finite falls back to random samples, with a warning.
    """

    def __init__(
        self,
        fraction: float,
        every: int | None = 5,
        method: str = "auto",
        equal: bool = True,
        mode: str = "subset",
        features: str = "logits",
        projection: int = 512,
        warmup: int = 0,
        threads: int | None = None,
    ) -> None:
        super().__init__(every, warmup)
        self.fraction = checked_fraction(self, fraction)
        self.method = choice(self, "method", method, METHODS)
        self.equal = flag(self, "equal", equal)
        self.mode = choice(self, "mode", mode, MODES)
        self.features = choice(self, "features", features, FEATURES)
        self.projection = whole_number(self, "projection", projection, 16, 1 << 16)
        self.threads = None if threads is None else whole_number(self, "threads", threads, 1, 256)
        self.signals = ("logits", "embeddings") if features == "outer" else ("logits",)
        self._warned = False

    def choose(self, epoch: int, signals: Signals) -> Selection | None:
        """Pick in all classes, each on one rank."""
        from fieldloom.kernels.submodular.budgets import class_budgets

        n = signals.n_samples
        budget = size_of(self.fraction, n)
        if budget == n:
            return None
        numbers, counts = compact(signals.targets)
        budgets = class_budgets(counts, budget, equal=self.equal)
        gradients = Gradients(signals, self.features, self.projection)
        of_class = members(numbers, counts)

        def work(classes: list[int]) -> Arrays:
            parts = [_NOTHING]
            with ThreadPoolExecutor(self.threads or default_threads()) as pool:
                for group in _groups(classes, counts, 4 * gradients.length):
                    parts.append(self._pick(group, of_class, budgets, gradients, signals, epoch, pool))
            return {name: np.concatenate([part[name] for part in parts]) for name in _NOTHING}

        found = over_classes(self.sharing, counts**2, work)
        if self.mode == "augment":
            strength = np.zeros(n, np.float32)
            strength[found["ids"]] = 1
            return Selection(np.arange(n), strength=strength)
        order = np.argsort(found["ids"])
        weights = found["weights"][order].astype(np.float64)
        return Selection(found["ids"][order], (weights / weights.mean()).astype(np.float32))

    def _pick(
        self,
        classes: list[int],
        of_class: list[np.ndarray],
        budgets: np.ndarray,
        gradients: Gradients,
        signals: Signals,
        epoch: int,
        pool: ThreadPoolExecutor,
    ) -> Arrays:
        """Ids and weights of the picked samples of some classes."""
        from fieldloom.kernels.submodular.facility import facility_location_classes

        rows = np.concatenate([of_class[number] for number in classes])
        labels = np.repeat(classes, [len(of_class[number]) for number in classes])
        vectors = gradients(rows)
        sound = np.ones(len(budgets), bool)
        sound[labels[~np.isfinite(vectors).all(1)]] = False
        # Classes keep their numbers, also on other ranks: they key the candidates of stochastic greedy.
        here = np.zeros(len(budgets), bool)
        here[classes] = True
        chosen = facility_location_classes(
            vectors, labels, np.where(here & sound, budgets, 0), executor=pool, method=self.method,
            rng_words=[0, epoch, stream_word(0, 0, SLOT), signals.seed & 0xFFFFFFFF, signals.seed >> 32],
        )  # fmt: skip
        ids, weights = [rows[part.indices] for part in chosen], [part.weights for part in chosen]
        broken = [number for number in classes if not sound[number] and budgets[number]]
        for number in broken:
            of, k = of_class[number], int(budgets[number])
            ids.append(of[smallest(signals.uniforms(of, epoch, SLOT), k)])
            weights.append(np.full(k, len(of) / k, np.float32))
        if broken and not self._warned:
            self._warned = True
            warnings.warn(
                f"Coreset picks random samples in {len(broken)} of {len(classes)} classes at epoch {epoch}: "
                "their logits or embeddings are not finite in half precision (this warning comes once)",
                UserWarning,
                stacklevel=2,
            )
        return {"ids": np.concatenate(ids), "weights": np.concatenate(weights)}


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


def default_threads() -> int:
    """Processors available, at most 8."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(available or 1, 8))
