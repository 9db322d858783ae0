"""Subsets that cover a class evenly: graph cuts and centers of its samples' vectors."""

from concurrent.futures import Executor

import numpy as np

from fieldloom.options import number

from .picking import Group, Picking


class EachClass(Picking):
    """Picks from each class by a function of its vectors alone; a subclass overrides `pick_class`."""

    def pick(self, group: Group, executor: Executor) -> list[tuple[np.ndarray, np.ndarray]]:
        """Hand the classes to threads."""

        def pick(label: int) -> tuple[np.ndarray, np.ndarray]:
            rows = np.flatnonzero(group.labels == label)
            picked = self.pick_class(group, rows, int(group.budgets[label]))
            return rows[picked], np.ones(len(picked), np.float32)

        return list(executor.map(pick, np.flatnonzero(group.budgets).tolist()))

    def pick_class(self, group: Group, rows: np.ndarray, budget: int) -> np.ndarray:
        """Pick from one class.

        Args:
            group: With its vectors.
            rows: int64 (m,), the class's rows in the group.
            budget: How many, from 1 to m.

        Returns:
            int64 (budget,), from 0 to m - 1.
        """
        raise NotImplementedError


class GraphCut(EachClass):
    """Hold samples that are similar to all of their class, but not to each other, picked greedily.

    Each pick has the largest gain lam Σ_i sim(p, i) − 2 Σ_(q picked) sim(p, q), with cosine similarity.

    Args:
        fraction: Share of the data set, above 0 and at most 1.
        lam: Weight of the similarity to all.
        features: "embeddings", "logits" (softmax − onehot) or "outer" (the last layer's gradient), see
            `fieldloom.selectors.Vectors`.
        class_balanced: Pick from each class by itself; False takes all samples for one class.
        equal: Classes give the same number (a smaller class all it has), or in proportion to their sizes.
        every: Epochs between choices; None: only one is made.
        warmup: Epochs before the first choice; they hold every sample.
        projection: Largest length of "outer" vectors; longer ones are projected to it at random.
        threads: Threads that work on classes side by side; None takes the processors available, at most 8.

    Needs: the features' signals of every sample, from `DataLoader.scoring_pass` at each choice.
    Memory: the signal's 2 D + 4 bytes a sample; while choosing, four times the vectors of as many classes as
        there are threads, or of 256 MiB.
    Cost: the pass; n_c k_c D multiply-adds a class.
    Source: Iyer et al., Submodular Combinatorial Information Measures (ALT 2021); Guo et al., DeepCore, arXiv
        2204.08499, which takes gradients for features.
    """

    def __init__(
        self,
        fraction: float,
        lam: float = 1.0,
        features: str = "embeddings",
        class_balanced: bool = True,
        equal: bool = False,
        every: int | None = None,
        warmup: int = 10,
        projection: int = 512,
        threads: int | None = None,
    ) -> None:
        super().__init__(fraction, features, projection, class_balanced, equal, every, warmup, threads)
        self.lam = number(self, "lam", lam, 0.0, 1e6)

    def pick_class(self, group: Group, rows: np.ndarray, budget: int) -> np.ndarray:
        """Greedy graph cut."""
        from fieldloom.kernels.submodular.graphcut import graph_cut

        return graph_cut(group.vectors[rows], budget, lam=self.lam)


class KCenter(EachClass):
    """Hold samples such that the farthest of its class is near one of them: farthest-first traversal.

    The first pick is nearest to the class's mean, each further one farthest from all picked so far. The
    largest distance that is left is at most twice the least possible.

    Args:
        fraction: Share of the data set, above 0 and at most 1.
        features: "embeddings", "logits" (softmax − onehot) or "outer" (the last layer's gradient), see
            `fieldloom.selectors.Vectors`.
        class_balanced: Pick from each class by itself; False takes all samples for one class.
        equal: Classes give the same number (a smaller class all it has), or in proportion to their sizes.
        every: Epochs between choices; None: only one is made.
        warmup: Epochs before the first choice; they hold every sample.
        projection: Largest length of "outer" vectors; longer ones are projected to it at random.
        threads: Threads that work on classes side by side; None takes the processors available, at most 8.

    Needs: the features' signals of every sample, from `DataLoader.scoring_pass` at each choice.
    Memory: as `GraphCut`.
    Cost: the pass; n_c k_c D multiply-adds a class.
    Source: Sener and Savarese, Active Learning for Convolutional Neural Networks: A Core-Set Approach (ICLR
        2018); Gonzalez, Clustering to Minimize the Maximum Intercluster Distance (1985). Without
        class_balanced as there.
    """

    def __init__(
        self,
        fraction: float,
        features: str = "embeddings",
        class_balanced: bool = True,
        equal: bool = False,
        every: int | None = None,
        warmup: int = 10,
        projection: int = 512,
        threads: int | None = None,
    ) -> None:
        super().__init__(fraction, features, projection, class_balanced, equal, every, warmup, threads)

    def pick_class(self, group: Group, rows: np.ndarray, budget: int) -> np.ndarray:
        """Farthest first."""
        from fieldloom.kernels.submodular.kcenter import k_center

        return k_center(group.vectors[rows], budget)
