"""Selectors that rank samples by a score, and hold the best of the ranking."""

import numpy as np

from fieldloom.errors import ArgumentError, StateError
from fieldloom.options import choice, flag, number
from fieldloom.selection import Selection

from .classes import smallest_by_class
from .drawing import checked_fraction, random_keys, size_of, smallest
from .periodic import Periodic
from .proxies import Proxies, entropies
from .signals import Signals

KEEP = ("hard", "easy")


class Ranked(Periodic):
    """Holds a fraction of the samples by their scores; a subclass overrides `scores`.

    Samples of equal score come in random order (by seed and epoch), so that classes that come first in the
    data set have no advantage. A score that is no number counts as the hardest.

    Args:
        fraction: Share of the data set, above 0 and at most 1.
        keep: "hard" holds the largest scores, "easy" the smallest.
        class_balanced: Rank within each class, which gives in proportion to its size.
        every: Epochs between choices; None: only one is made.
        warmup: Epochs before the first choice; they hold every sample.
    """

    def __init__(
        self, fraction: float, keep: str, class_balanced: bool, every: int | None, warmup: int
    ) -> None:
        super().__init__(every, warmup)
        self.fraction = checked_fraction(self, fraction)
        self.keep = choice(self, "keep", keep, KEEP)
        self.class_balanced = flag(self, "class_balanced", class_balanced)

    def scores(self, signals: Signals) -> np.ndarray:
        """A score of each sample, (n,): the harder, the larger."""
        raise NotImplementedError

    def choose(self, epoch: int, signals: Signals) -> Selection | None:
        """Score, rank, cut."""
        k = size_of(self.fraction, signals.n_samples)
        if k == signals.n_samples:
            return None
        values = _oriented(self.scores(signals), self.keep)
        ties = random_keys(signals, epoch)
        if self.class_balanced:
            return Selection(smallest_by_class(values, signals.targets, k, ties))
        return Selection(smallest(values, k, ties))


def _oriented(scores: np.ndarray, keep: str) -> np.ndarray:
    """Scores such that those to keep are the smallest."""
    scores = np.where(np.isnan(scores), np.inf, scores)
    return -scores if keep == "hard" else scores


class MaxLoss(Ranked):
    """Hold the samples of largest loss, as last reported.

    Samples without a loss so far come first, whatever `keep` says.

    Args:
        fraction: Share of the data set, above 0 and at most 1.
        keep: "hard" holds the largest losses, "easy" the smallest.
        class_balanced: Rank within each class, which gives in proportion to its size.
        every: Epochs between choices.
        warmup: Epochs before the first choice; they hold every sample.
        scoring: Ask for a scoring pass before each choice. Without, losses are those of the training itself:
            of augmented images, and of samples that were not held, old.

    Needs: loss.
    Memory: the signal's 8 bytes a sample, and 30 while selecting (55 with `class_balanced`).
    Cost: a partial sort; two sorts with `class_balanced`.
    Source: the baseline of Liu and Mirzasoleiman, Data-Efficient Augmentation (NeurIPS 2022), which scores
        every R epochs: `every=R, scoring=True`.
    """

    signals = ("loss",)

    def __init__(
        self,
        fraction: float,
        keep: str = "hard",
        class_balanced: bool = False,
        every: int | None = 1,
        warmup: int = 1,
        scoring: bool = False,
    ) -> None:
        super().__init__(fraction, keep, class_balanced, every, warmup)
        self.scoring = flag(self, "scoring", scoring)

    def scores(self, signals: Signals) -> np.ndarray:
        """The losses."""
        losses = signals.array("loss", complete=self.scoring)
        return np.where(signals.seen("loss"), losses, np.inf if self.keep == "hard" else -np.inf)


class EL2N(Ranked):
    """Hold the samples of largest error ‖softmax(logits) − onehot(label)‖₂, scored in one pass.

    Args:
        fraction: Share of the data set, above 0 and at most 1.
        keep: "hard" holds the largest errors, "easy" the smallest.
        class_balanced: Rank within each class, which gives in proportion to its size.
        every: Epochs between choices; None: only one is made.
        warmup: Epochs before the first choice; they hold every sample.

    Needs: logits of every sample, from `DataLoader.scoring_pass` at epoch `warmup`.
    Memory: the signal's 2 C + 4 bytes a sample, 64 MiB while scoring, and as `MaxLoss` while selecting.
    Cost: the pass; a softmax a sample.
    Source: Paul et al., Deep Learning on a Data Diet (NeurIPS 2021). There scores are the mean over ten
        networks early in their training; here they are those of the one that is trained.
    """

    signals = ("logits",)

    def __init__(
        self,
        fraction: float,
        keep: str = "hard",
        class_balanced: bool = False,
        every: int | None = None,
        warmup: int = 10,
    ) -> None:
        super().__init__(fraction, keep, class_balanced, every, warmup)

    def scores(self, signals: Signals) -> np.ndarray:
        """The errors."""
        proxies = Proxies(signals, self.signals)
        return proxies.scores(lambda ids: proxies.residuals(ids).norm(dim=1))


class GraNd(Ranked):
    """Hold the samples of largest gradient norm in the last layer, scored in one pass.

    The gradient of the last layer's weights is the outer product of softmax(logits) − onehot(label) and its
    input, the embedding h: its norm is the product of theirs. With the bias it is ‖p − y‖ sqrt(‖h‖² + 1).

    Args:
        fraction: Share of the data set, above 0 and at most 1.
        keep: "hard" holds the largest norms, "easy" the smallest.
        class_balanced: Rank within each class, which gives in proportion to its size.
        bias: Count the bias's gradient too.
        every: Epochs between choices; None: only one is made.
        warmup: Epochs before the first choice; they hold every sample.

    Needs: logits and embeddings of every sample, from `DataLoader.scoring_pass` at epoch `warmup`.
    Memory: the signals' 2 C + 2 D + 8 bytes a sample, 128 MiB while scoring, and as `MaxLoss` while
        selecting.
    Cost: the pass; a softmax and a norm a sample.
    Source: Paul et al., Deep Learning on a Data Diet (NeurIPS 2021). There the norm is that of all
        parameters' gradient, averaged over networks at their start; the last layer's is the usual stand-in.
    """

    signals = ("logits", "embeddings")

    def __init__(
        self,
        fraction: float,
        keep: str = "hard",
        class_balanced: bool = False,
        bias: bool = True,
        every: int | None = None,
        warmup: int = 10,
    ) -> None:
        super().__init__(fraction, keep, class_balanced, every, warmup)
        self.bias = flag(self, "bias", bias)

    def scores(self, signals: Signals) -> np.ndarray:
        """The norms."""
        proxies = Proxies(signals, self.signals)

        def norms(ids: np.ndarray):  # type: ignore[no-untyped-def]
            of_p = proxies.residuals(ids).norm(dim=1)
            return of_p * proxies.embeddings(ids, bias=self.bias).norm(dim=1).to(of_p.device)

        return proxies.scores(norms)


class EntropyFilter(Ranked):
    """Hold the samples of which the model is least sure: by entropy of softmax(logits), in nats.

    Args:
        threshold: Hold all samples of a larger entropy; from 0 to log C.
        fraction: Or a share of the data set, those of largest entropy. One of the two must be given.
        keep: "hard" as said; "easy" the others: entropy up to the threshold, or the smallest.
        class_balanced: With a fraction: rank within each class, which gives in proportion to its size.
        every: Epochs between choices; None: only one is made.
        warmup: Epochs before the first choice; they hold every sample.

    Needs: logits of every sample, from `DataLoader.scoring_pass` at each choice.
    Memory: the signal's 2 C + 4 bytes a sample, 64 MiB while scoring, and as `MaxLoss` while selecting.
    Cost: the pass; a softmax a sample.
    Source: the usual uncertainty score, as in Guo et al., DeepCore, arXiv 2204.08499.

    Raises:
        ArgumentError: An option is out of range, or not one of threshold and fraction is given.
    """

    signals = ("logits",)

    def __init__(
        self,
        threshold: float | None = None,
        fraction: float | None = None,
        keep: str = "hard",
        class_balanced: bool = False,
        every: int | None = 1,
        warmup: int = 1,
    ) -> None:
        if (threshold is None) == (fraction is None):
            raise ArgumentError.make(
                f"EntropyFilter threshold={threshold!r} and fraction={fraction!r}",
                why="one of them decides",
                remedy="Pass one, and leave the other None.",
            )
        super().__init__(1.0 if fraction is None else fraction, keep, class_balanced, every, warmup)
        self.threshold = None if threshold is None else number(self, "threshold", threshold, 0.0, 20.0)

    def scores(self, signals: Signals) -> np.ndarray:
        """The entropies."""
        proxies = Proxies(signals, self.signals)
        return proxies.scores(lambda ids: entropies(proxies.rows("logits", ids)))

    def choose(self, epoch: int, signals: Signals) -> Selection | None:
        """Score, and cut at the threshold or by rank.

        Raises:
            StateError: No sample passes the threshold.
        """
        if self.threshold is None:
            return super().choose(epoch, signals)
        scores = _oriented(self.scores(signals), "easy")
        held = scores > self.threshold if self.keep == "hard" else scores <= self.threshold
        if not held.any():
            raise StateError.make(
                f"EntropyFilter with threshold={self.threshold:g} and keep={self.keep!r} holds no sample",
                why=f"entropies go from {scores.min():.3g} to {scores.max():.3g}",
                remedy="Choose a threshold within, or a fraction.",
            )
        return None if held.all() else Selection(np.flatnonzero(held))
