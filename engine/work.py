"""One batch on its way through production."""

from dataclasses import dataclass, field

import numpy as np

from fieldloom.errors import SampleError
from fieldloom.kernels.draws import Windows

from .sources.sample import Extras


@dataclass(slots=True)
class Work:
    """One batch on its way.

    Attributes:
        index: Number of the batch.
        ids: Samples, (n,); `occurrences`, `weights`, `strength` (or None) and `positions` (places in the
            plan, or such that no group of partners reaches beyond the batch) likewise.
        occurrences: See `ids`.
        weights: See `ids`; float32.
        strength: See `ids`; float32.
        positions: See `ids`.
        windows: Crop of each sample that is not in `errors`.
        errors: Position in the batch -> why that sample is bad.
        places: Position in the batch of each image that goes to the decoder.
        fatal: What makes the whole batch impossible: a data set that is gone, a bug in a user's source.
        samples: Records of the fused pass, where they are drawn before the batch is made.
        extras: What belongs to each sample beside its image, (n,); None: nothing does, or it is not read yet.
    """

    index: int
    ids: np.ndarray
    occurrences: np.ndarray
    weights: np.ndarray
    strength: np.ndarray | None
    positions: np.ndarray
    windows: Windows
    errors: dict[int, SampleError] = field(default_factory=dict)
    places: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    fatal: Exception | None = None
    samples: np.ndarray | None = None
    extras: list[Extras | None] | None = None

    def keep(self, which: np.ndarray) -> None:
        """Drop the samples that are not flagged."""
        self.ids, self.occurrences, self.weights = (
            self.ids[which],
            self.occurrences[which],
            self.weights[which],
        )
        self.strength = None if self.strength is None else self.strength[which]
        self.positions = self.positions[which]
        self.windows = Windows(self.windows.views[which], self.windows.rects[which])
        if self.extras is not None:
            self.extras = [extra for extra, kept in zip(self.extras, which, strict=True) if kept]
