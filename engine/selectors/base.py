"""What a selector is. Anything with a `select` method will do; this class spares writing the rest."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from fieldloom.selection import Selection

from .signals import Signals

if TYPE_CHECKING:
    import torch


class Selector:
    """Decides at the start of each epoch which samples it holds.

    A selector of your own overrides `select`, and names in `signals` what it needs to know of the training.
    All randomness must come from the arguments (`Signals.words` draws by seed, epoch and sample), so that
    every rank, and a resumed run, decides alike.

    Attributes:
        signals: Names of what `DataLoader.feedback` must store: any of "loss", "logits", "embeddings",
            "correct".
    """

    signals: tuple[str, ...] = ()

    def select(self, epoch: int, signals: Signals) -> Selection | None:
        """The samples of an epoch.

        Args:
            epoch: Its number.
            signals: What was reported so far, and the data set's labels.

        Returns:
            Ids with repeats, weights and strengths (`fieldloom.Selection`), or None for every sample once.

        Raises:
            StateError: A signal is missing; `Signals` raises it, with the call that would report it.
        """
        raise NotImplementedError

    def needs_scoring(self, epoch: int) -> bool:
        """Whether `select` for this epoch wants signals of every sample, from `DataLoader.scoring_pass`."""
        return False

    def observe(self, ids: "torch.Tensor", values: "Mapping[str, torch.Tensor]", epoch: int) -> None:
        """Called by each `DataLoader.feedback` during training (not in scoring passes), behind the storing.

        Args:
            ids: int64 (b,), on the device of the values.
            values: The declared signals that were reported: (b,) or (b, c).
            epoch: Number of the epoch under way.
        """

    def state(self) -> dict[str, np.ndarray]:
        """Arrays that decide what is selected next, beside the signals; they go into `state_dict`."""
        return {}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Take back what `state` gave."""
