"""Dataset quantization: bins from representative to rare, and a share of each."""

import numpy as np

from fieldloom.options import number, whole_number

from .diversity import EachClass
from .drawing import SLOT
from .picking import Group

#: Draw of the offsets; that of the order is 0.
_OFFSET = 2


class DatasetQuantization(EachClass):
    """Part each class into bins by graph cut, and hold the same share of each bin, drawn uniformly.

    Bin after bin, greedy graph cut (see `GraphCut`) picks a `bins`-th of the class from what no bin has yet;
    the last one takes the rest. So early bins are representative, later ones rare, and a uniform share of all
    has some of everything.

    Args:
        fraction: Share of the data set, above 0 and at most 1.
        bins: Number of bins.
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
    Memory: as `GraphCut`.
    Cost: the pass; about n_c² D / 2 multiply-adds a class.
    Source: Zhou et al., Dataset Quantization (ICCV 2023). There features are a trained network's gradients,
        computed before the training; dropping patches of images is left out. Where a bin's share is no whole
        number, chance decides which bins give one more.
    """

    def __init__(
        self,
        fraction: float,
        bins: int = 10,
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
        self.bins = whole_number(self, "bins", bins, 1, 1000)
        self.lam = number(self, "lam", lam, 0.0, 1e6)

    def pick_class(self, group: Group, rows: np.ndarray, budget: int) -> np.ndarray:
        """Bins, and a systematic sample of them all, each shuffled."""
        m, ids = len(rows), group.ids[rows]
        keys = group.signals.uniforms(ids, group.epoch, SLOT)
        bins = graph_cut_bins(group.vectors[rows], self.bins, self.lam)
        order = np.concatenate([b[np.argsort(keys[b], kind="stable")] for b in bins])
        offset = group.signals.uniforms(ids[:1], group.epoch, SLOT, _OFFSET)[0]
        # Steps of m / budget >= 1 take no place twice, and of each stretch its share, up to one.
        places = ((np.arange(budget) + offset) * (m / budget)).astype(np.int64)
        return order[np.minimum(places, m - 1)]


def graph_cut_bins(vectors: np.ndarray, n_bins: int, lam: float = 1.0) -> list[np.ndarray]:
    """Part samples into bins, each the greedy graph cut of what is left.

    Args:
        vectors: float32 (m, d), finite.
        n_bins: Number of bins, which may exceed m: then some are empty.
        lam: Weight of the similarity to all that is left.

    Returns:
        n_bins arrays of indices in the order of picking, of the last bin in ascending order.
    """
    from fieldloom.kernels.submodular.graphcut import graph_cut

    m = len(vectors)
    left, bins = np.arange(m), []
    for place in range(n_bins - 1):
        size = (place + 1) * m // n_bins - place * m // n_bins
        picked = graph_cut(vectors, size, lam=lam, pool=left) if size else left[:0]
        left = np.setdiff1d(left, picked, assume_unique=True)
        bins.append(picked)
    return [*bins, left]
