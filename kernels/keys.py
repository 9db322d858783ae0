"""What all random draws of a batch depend on."""

from dataclasses import dataclass

import numpy as np

from .philox import random_units, random_words


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of a batch of n samples; nothing else enters a draw.

    Attributes:
        seed: 64 bits.
        epoch: 32 bits.
        ids: Sample ids, (n,) below 2**32.
        occurrences: Which repeat of each id within the epoch, (n,) below 256.
        strength: How strongly each sample is augmented, float32 (n,) >= 0; None is 1 for all. No draw
            depends on it: it scales what was drawn.
    """

    seed: int
    epoch: int
    ids: np.ndarray
    occurrences: np.ndarray
    strength: np.ndarray | None = None

    def units(self, slot: int, draw: int = 0, view: int = 0) -> np.ndarray:
        """float32 in [0, 1), (n, 4)."""
        return random_units(
            self.seed, self.ids, self.epoch, occurrences=self.occurrences, view=view, slot=slot, draw=draw
        )

    def words(self, slot: int, draw: int = 0, view: int = 0) -> np.ndarray:
        """uint32, (n, 4)."""
        return random_words(
            self.seed, self.ids, self.epoch, occurrences=self.occurrences, view=view, slot=slot, draw=draw
        )

    def __len__(self) -> int:
        return len(self.ids)
