"""Metropolis-Hastings over operations, for learning under invariance constraints."""

from typing import Any

import numpy as np

from fieldloom.errors import ArgumentError
from fieldloom.kernels.keys import Keys
from fieldloom.kernels.philox import slot_of
from fieldloom.kernels.stages.policy_values import index_below, unit
from fieldloom.options import choice, number, whole_number

from .external import to_array
from .spaces import SPACES


class PolicyChain:
    """Proposals and accept/reject steps of one Markov chain a sample, whose law leans to high losses.

    The stationary law of an augmentation is its share of the loss: an augmentation of twice the loss is
    seen twice as often. Proposals are independent and uniform over operations and levels. What is drawn
    depends on (seed, epoch, id, step) alone.

    Args:
        space: "wide" (TrivialAugment's ranges) or "standard" (RandAugment's).
        seed: 0 to 2^64 - 1.
        bins: Levels.

    The published setting ("steps: 2") is an initial state and one accept/reject:

        state = chain.propose(ids, epoch, 0)
        other = chain.propose(ids, epoch, 1)
        how = {"space": chain.space, "seed": chain.seed, "epoch": epoch, "ids": ids}
        loss_now = loss of fl.apply_policy(images, *state, **how), without gradient
        loss_new = loss of fl.apply_policy(images, *other, **how), likewise
        taken = chain.accept(loss_now, loss_new, ids, epoch, 1)
        operations, magnitudes = (np.where(taken[:, None], b, a) for a, b in zip(state, other))

    (Without `epoch` an image's shears and turns would go to the same side all through training.)

    Source: Hounie et al., Automatic data augmentation via invariance-constrained learning
    (arXiv 2209.15031; ihounie/daug). The published wide space has factors of 0.01 to 2, this one 1 +- 0.99.
    """

    def __init__(self, space: str = "wide", seed: int = 0, bins: int = 31) -> None:
        self.space = choice(self, "space", space, ("wide", "standard"))
        self.seed = whole_number(self, "seed", seed, 0, 2**64 - 1)
        self.bins = whole_number(self, "bins", bins, 2, 1024)
        self._slot = slot_of(0, "chain")

    def propose(self, ids: Any, epoch: int, step: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """A new operation for each sample, uniform over the space.

        Args:
            ids: (n,) sample ids below 2^32.
            epoch: 0 to 2^32 - 1; any counter that changes whenever a fresh chain is wanted.
            step: Which proposal of the epoch, below 2^30.

        Returns:
            Operations int64 (n, 1), indices into the space, and magnitudes float64 (n, 1) in [0, 1]: as
            `fl.apply_policy` takes them.

        Raises:
            ArgumentError: An id, the epoch or the step is out of range.
        """
        words = self._words(ids, epoch, step, 0)
        operations = index_below(words[:, :1], len(SPACES[self.space].ranges))
        return operations, index_below(words[:, 1:2], self.bins) / (self.bins - 1)

    def accept(self, loss_now: Any, loss_new: Any, ids: Any, epoch: int, step: int = 0) -> np.ndarray:
        """Which proposals become the chains' states: with probability min(1, loss_new / loss_now).

        Args:
            loss_now: (n,) losses >= 0 of the present states, NumPy or torch (of any device).
            loss_new: (n,) losses of the proposals.
            ids: As for `propose`, like `epoch` and `step` (that of the proposal).
            epoch: See `ids`.
            step: See `ids`.

        Returns:
            bool (n,). A ratio that is NaN rejects.

        Raises:
            ArgumentError: Shapes differ, a loss is negative, or as for `propose`.
        """
        words = self._words(ids, epoch, step, 1)
        now = _losses("loss_now", loss_now, len(words))
        new = _losses("loss_new", loss_new, len(words))
        with np.errstate(divide="ignore", invalid="ignore"):
            return unit(words[:, 0]) < new / now

    def _words(self, ids: Any, epoch: int, step: int, purpose: int) -> np.ndarray:
        array = to_array("PolicyChain", "ids", ids)
        if array.ndim != 1 or not ((array >= 0) & (array < 2**32) & (array % 1 == 0)).all():
            raise ArgumentError.make(
                f"PolicyChain ids of shape {array.shape}",
                why="not a list of whole numbers from 0 to 4294967295",
                remedy="Pass ids as batches report them.",
            )
        whole_number(self, "epoch", epoch, 0, 2**32 - 1)
        draw = 2 * whole_number(self, "step", step, 0, 2**30 - 1) + purpose
        keys = Keys(self.seed, int(epoch), array.astype(np.int64), np.zeros(len(array), np.int64))
        return keys.words(self._slot, draw)


def _losses(option: str, values: Any, n: int) -> np.ndarray:
    array = to_array("PolicyChain", option, values)
    if array.shape != (n,):
        raise ArgumentError.make(
            f"PolicyChain {option} of shape {array.shape}", why=f"there are {n} ids", remedy="Pass one an id."
        )
    if (array < 0).any():
        raise ArgumentError.make(
            f"PolicyChain {option} with {array[array < 0][0]}",
            why="a loss is a weight here, and must not be negative",
            remedy="Pass losses >= 0.",
        )
    return array


class DualVariable:
    """The multiplier of the constraint "the mean loss under augmentation is at most epsilon".

    Args:
        epsilon: The bound.
        rate: Step size.

    Attributes:
        value: The multiplier, from 0 on; the loss is that of clean images plus `value` times that of the
            chains' images.

    Source: ihounie/daug, train_pd_batch.py: value <- max(0, value + rate (mean loss - epsilon)).
    """

    def __init__(self, epsilon: float, rate: float = 1e-4) -> None:
        self.epsilon = number(self, "epsilon", epsilon, 0, 1e6)
        self.rate = number(self, "rate", rate, 0, 1e6)
        self.value = 0.0

    def update(self, losses: Any) -> float:
        """Take one step with the losses of a batch, and return the new value.

        Args:
            losses: (n,) losses of the chains' images, NumPy or torch; n > 0, finite.

        Raises:
            ArgumentError: There is no loss, or one is not finite.
        """
        array = to_array("DualVariable", "losses", losses)
        if not array.size or not np.isfinite(array).all():
            raise ArgumentError.make(
                f"DualVariable losses of shape {array.shape}",
                why="not finite" if array.size else "there is none",
                remedy="Pass the losses of a batch; leave out what is not finite.",
            )
        self.value = max(0.0, self.value + self.rate * (float(array.mean()) - self.epsilon))
        return self.value

    @property
    def clean_only(self) -> float:
        """Probability 1 / (1 + value) of taking a step on clean images alone: the published cheap mode."""
        return 1 / (1 + self.value)
