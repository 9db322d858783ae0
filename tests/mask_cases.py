"""Masks that the tests of FMix share."""

import numpy as np

from fieldloom.kernels.records import SAMPLE
from fieldloom.kernels.stages.masks import mask_tables, run_masks
from fieldloom.kernels.stages.records import MASK

SEED = 0x1234_5678_9ABC
SLOT = 0x20D
#: Heights and widths at which index arithmetic breaks first, and the usual ones.
SIZES = (
    (1, 1), (1, 9), (9, 1), (2, 2), (3, 2), (33, 57), (32, 32), (96, 100), (300, 20), (17, 400), (224, 224),
)  # fmt: skip


def records(n: int, *, first: int = 0) -> np.ndarray:
    """SAMPLE records of samples first, first + 1, ...: their counter words alone."""
    samples = np.zeros(n, SAMPLE)
    samples["sample"], samples["epoch"] = np.arange(first, first + n), 3
    samples["stream"] = (np.arange(n) % 3) << 24
    return samples


def place(counts: np.ndarray, soft: np.ndarray | int, out: np.ndarray) -> np.ndarray:
    """MASK records that write to `out` (n, h, w), one a sample."""
    masks = np.zeros(len(counts), MASK)
    masks["sample"], masks["count"] = np.arange(len(counts)), counts
    masks["soft"], masks["slot"] = soft, SLOT
    masks["out"] = out.ctypes.data + np.arange(len(counts)) * out[0].size
    return masks


def make(
    height: int,
    width: int,
    counts: np.ndarray,
    soft: np.ndarray | int = 0,
    *,
    decay: float = 3.0,
    first: int = 0,
    seed: int = SEED,
) -> np.ndarray:
    """Masks from the CPU twin, uint8 (n, h, w)."""
    out = np.full((len(counts), height, width), 7, np.uint8)
    tables = mask_tables(height, width, decay)
    run_masks(
        place(counts, soft, out), records(len(counts), first=first), tables.floats, tables.waves,
        tables.pitch, np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32), height, width, 0, len(counts),
    )  # fmt: skip
    return out
