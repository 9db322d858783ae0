"""Coresets for (augmented) training: the samples whose gradients stand for those of all."""

from concurrent.futures import Executor

import numpy as np

from fieldloom.kernels.philox import stream_word
from fieldloom.options import choice, whole_number
from fieldloom.selection import Selection

from .drawing import SLOT, size_of
from .picking import Group, Picking
from .signals import Signals

MODES = ("subset", "augment")
METHODS = ("auto", "lazy", "stochastic", "tensors")


class Coreset(Picking):
    """Hold the samples of each class that best represent its gradients (data-efficient augmentation, CRAIG).

    Every R epochs, a scoring pass gives p = softmax(logits) − onehot(label), the factor of the last layer's
    gradient that differs from sample to sample. In each class, greedy facility location picks samples such
    that every sample is near a picked one. A picked sample weighs as many as are nearest to it.

    Args:
        fraction: Share of the data set, above 0 and at most 1.
        every: R: epochs between choices; None: only one is made.
        method: "lazy" (exact greedy), "stochastic" (for large classes: 1 − 1/e − 0.01 of the best in
            expectation), "auto" (lazy up to 50 000 samples a class), or "tensors": the choices of "lazy" by
            torch operations where the signals are, for GPUs; up to 32 000 samples a class.
        equal: Every class gives the same number (a smaller class all it has), or in proportion to its size.
        mode: "subset": epochs hold the picked samples, with weights. "augment": epochs hold every sample, and
            only the picked ones are augmented (strength 1, the others 0).
        features: "logits": p. "outer": the last layer's whole gradient, the outer product of p and the
            embedding. See `fieldloom.selectors.Vectors`.
        warmup: Epochs before the first choice; they hold every sample.
        projection: Largest length of an outer product; a longer one is projected to it at random (relative
            deviation of squared distances at most sqrt(8 / projection)).
        threads: Threads that work on classes side by side; None takes the processors available, at most 8.
            The choice does not depend on it.
        part_size: Classes of more samples than this are dealt at random into parts no larger: greedy picks in
            each part, then among all that was picked (GreeDi, two rounds). For classes whose distances, the
            square of their size, take too long; None: never.

    Needs: logits ("outer": and embeddings) of every sample, from `DataLoader.scoring_pass` every R epochs.
    Memory: the signal's 2 C + 4 bytes a sample (embeddings: 2 D + 4 more); while choosing, vectors of 256 MiB
        or of one class, and 512 MiB of distances.
    Cost: the pass; distances of all pairs within a class, n_c² C / 2 multiply-adds.
    Source: Liu and Mirzasoleiman, Data-Efficient Augmentation for Training Neural Networks (NeurIPS 2022);
        Mirzasoleiman et al., CRAIG (ICML 2020). Published settings: Caltech-256 fraction .3, every=5;
        ImageNet .5, 15. Where we differ: "augment" takes the place of "the whole set, and augmented copies of
        the subset", and reads each sample once; classes' budgets are rounded without chance. As there, a
        class whose vectors are not finite falls back to random samples; here with a warning.
    """

    def __init__(
        self,
        fraction: float,
        every: int | None = 5,
        method: str = "auto",
        equal: bool = True,
        mode: str = "subset",
        features: str = "logits",
        warmup: int = 0,
        projection: int = 512,
        threads: int | None = None,
        part_size: int | None = None,
    ) -> None:
        super().__init__(fraction, features, projection, True, equal, every, warmup, threads)
        self.part_size = None if part_size is None else whole_number(self, "part_size", part_size, 2, 2**32)
        self.method = choice(self, "method", method, METHODS)
        self.mode = choice(self, "mode", mode, MODES)
        choice(self, "features", features, ("logits", "outer"))

    def choose(self, epoch: int, signals: Signals) -> Selection | None:
        """Pick in all classes; weigh, or set strengths."""
        n = signals.n_samples
        if size_of(self.fraction, n) == n:
            return None
        found = self._found(epoch, signals)
        if self.mode == "augment":
            strength = np.zeros(n, np.float32)
            strength[found["ids"]] = 1
            return Selection(np.arange(n), strength=strength)
        order = np.argsort(found["ids"])
        weights = found["weights"][order].astype(np.float64)
        return Selection(found["ids"][order], (weights / weights.mean()).astype(np.float32))

    def pick(self, group: Group, executor: Executor) -> list[tuple[np.ndarray, np.ndarray]]:
        """Facility location in each class."""
        if self.method == "tensors":
            return _pick_by_tensors(group, self.signals[0])
        from fieldloom.kernels.submodular.facility import facility_location_classes
        from fieldloom.kernels.submodular.partition import partitioned

        # Classes keep their numbers, also on other ranks: they key the candidates of stochastic greedy.
        seed = group.signals.seed
        words = [0, group.epoch, stream_word(0, 0, SLOT), seed & 0xFFFFFFFF, seed >> 32]
        counts = np.bincount(group.labels, minlength=len(group.budgets))
        large = (counts > (self.part_size or counts.max(initial=0))) & (group.budgets > 0)
        chosen = facility_location_classes(
            group.vectors, group.labels, np.where(large, 0, group.budgets), executor=executor,
            method=self.method, rng_words=words,
        )  # fmt: skip
        found = [(part.indices, part.weights) for part in chosen]
        for c in np.flatnonzero(large).tolist():
            assert self.part_size is not None
            rows = np.flatnonzero(group.labels == c)
            part = partitioned(
                group.vectors[rows], int(group.budgets[c]), -(-len(rows) // self.part_size),
                method=self.method, rng_words=[c, *words[1:]], executor=executor,
            )  # fmt: skip
            found[c] = rows[part.indices], part.weights
        return found


def _pick_by_tensors(group: Group, signal: str) -> list[tuple[np.ndarray, np.ndarray]]:
    import torch

    from fieldloom.kernels.submodular.facility_torch import facility_location_classes_torch

    device = group.signals.tensor(signal).device
    vectors, labels = torch.from_numpy(group.vectors).to(device), torch.from_numpy(group.labels).to(device)
    chosen = facility_location_classes_torch(vectors, labels, group.budgets)
    return [(part.indices, part.weights) for part in chosen]
