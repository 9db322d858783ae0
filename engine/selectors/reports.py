"""Which reports of the training are new since a selector last looked."""

from collections.abc import Mapping

import numpy as np

from fieldloom.errors import StateError

from .signals import Signals


class Reports:
    """Hands out each sample's report of each epoch once.

    Selectors that keep a history update it at the start of an epoch, from the last report of each sample
    since then, rather than at each `DataLoader.feedback`: that costs nothing in the training loop, is one
    array operation, and is the same on every rank once signals were gathered. A sample that an epoch holds
    several times counts once.

    Attributes:
        through: The last epoch that was handed out; -1 for none.
        began: The first epoch that was asked for; -1 before that.
    """

    def __init__(self) -> None:
        self.through = self.began = -1

    def fresh(self, signals: Signals, name: str, epoch: int) -> np.ndarray:
        """bool (n,): samples whose last report came after `through`, and before `epoch`.

        Asking again at the same epoch gives none, also when reports of that very epoch have come in.
        """
        self.began = epoch if self.began < 0 else min(self.began, epoch)
        stamps = signals.epochs(name)
        new = (stamps > self.through) & (stamps < epoch)
        self.through = epoch - 1
        return new

    def state(self) -> dict[str, np.ndarray]:
        """For `Selector.state`."""
        return {"through": np.array([self.through, self.began])}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Take back what `state` gave."""
        self.through, self.began = (int(x) for x in state.get("through", (-1, -1)))


def history_of(values: np.ndarray | None, n: int, dtype: type) -> np.ndarray:
    """A history of n samples: a new one, all 0, where there is none yet."""
    if values is None:
        return np.zeros(n, dtype)
    if len(values) != n:
        raise StateError.make(
            f"a selector's history of {len(values)} samples",
            why=f"the data set has {n}",
            remedy="Load a state of this data set.",
        )
    return values
