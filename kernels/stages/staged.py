"""What the stages behind the fused pass need to know about a batch."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Groups:
    """Among which samples of a batch partners are found.

    Attributes:
        positions: int64 (n,): place of each sample in the epoch's plan; samples whose positions fall into
            the same aligned run of `size` form a group.
        classes: int64 (n,): their classes, for rules that ask for the same or for another one.
        size: Positions of a group.
    """

    positions: np.ndarray
    classes: np.ndarray
    size: int = 8


@dataclass(frozen=True, slots=True)
class Mixture:
    """What each output is made of, for targets and weights; the sample itself stands first.

    Attributes:
        places: int64 (n, ways): positions in the batch; those without weight repeat the sample's own.
        weights: float32 (n, ways): label weights, rows sum to 1.
        pixels: float32 (n, ways): shares of the pixels, rows sum to 1.
        kinds: uint8 (n,): number of the mix within the recipe's choice, from 1; 0: not mixed.
    """

    places: np.ndarray
    weights: np.ndarray
    pixels: np.ndarray
    kinds: np.ndarray


@dataclass(slots=True)
class StageRecords:
    """What the stages need to know about a batch of n samples.

    Attributes:
        program: STEP (n, steps).
        spectra: int32 (n,): 1 where PASTA acts; empty without it.
        masks: MASK (k,); `out` counts from 1 within one buffer of k masks until it is placed.
        finish: FINISH (n,); a mask's address likewise, 0 for none.
        mixture: What the outputs are made of; None in a recipe without mixing.
    """

    program: np.ndarray
    spectra: np.ndarray
    masks: np.ndarray
    finish: np.ndarray
    mixture: Mixture | None = None
