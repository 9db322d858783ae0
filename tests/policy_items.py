"""Items that the tests of drawn programs share, and their statistics.

Seeds are fixed. Limits are those that a right law exceeds once in 10 000 draws of the seed.
"""

import math

import numpy as np

from fieldloom.kernels.philox import slot_of
from fieldloom.kernels.stages.operations import operation_index
from fieldloom.kernels.stages.policies import Chains, Entry, Pairs, PerSample, Pick, Range

N = 40_000
SLOT = slot_of(2, "program")
KS_LIMIT = 2.23  # exceeded once in 10 000
Z = 3.9  # standard deviations, both sides: likewise
RANGES = (
    Range("identity"),
    Range("shear_x", 0, 0.3, signed=True),
    Range("translate_y", 0, 0.4, signed=True, rounding="trunc", of_side=True),
    Range("rotate", 0, 30, signed=True),
    Range("color", 0, 0.9, signed=True),
    Range("posterize", 8, 4, rounding="nearest"),
    Range("solarize", 255, 0),
    Range("equalize"),
)
EVERYTHING = (
    *RANGES,
    Range("solarize_add", 0, 110, rounding="trunc"),
    Range("cutout", 0, 0.5, of_side=True, fill=(125, 123, 114)),
    Range("gaussian_blur", 0.1, 2),
    Range("gaussian_noise", 0, 20),
    Range("grayscale"),
    Range("invert"),
    Range("autocontrast"),
    Range("horizontal_flip"),
    Range("vertical_flip"),
)
IDENTITY_INDEX = operation_index("identity")
PAIRS = Pairs(
    tuple((Entry(a, 0.5, 0.6), Entry(b, 0.8, 0.9)) for a, b in zip(RANGES[1:], RANGES[:-1], strict=True)),
    slot=SLOT,
)
TABLE = np.random.default_rng(0).random((3, 200, len(EVERYTHING))).astype(np.float32)
ITEMS = {
    "fixed": Pick(RANGES, 2, (0.3, 0.3), slot=SLOT),
    "bins": Pick(RANGES, 3, (0.0, 1.0), 31, p=0.7, slot=SLOT),
    "continuous": Pick(EVERYTHING, 2, (0.1, 1.0), 0, slot=SLOT, fill=(1, 2, 3)),
    "noisy": Pick(RANGES, 2, (0.9, 0.9), noise=0.2, p=0.5, bilinear=True, slot=SLOT),
    "pairs": PAIRS,
    "chains": Chains(EVERYTHING, (0.01, 0.3), slot=SLOT),
    "chains_alpha": Chains(RANGES, (0.01, 0.3), width=2, depth=4, alpha=0.4, slot=SLOT),
    "per_sample": PerSample(EVERYTHING, TABLE[0], TABLE[1], 3, 0.3, slot=SLOT),
}


def z_score(hits: float, n: int, p: float) -> float:
    return abs(hits - n * p) / math.sqrt(n * p * (1 - p))


def check_uniform(values: np.ndarray, count: int) -> None:
    """Chi-square at 1e-4, by Wilson and Hilferty."""
    counts = np.bincount(values, minlength=count)
    assert len(counts) == count
    expected = len(values) / count
    df, z = count - 1, 3.72
    limit = df * (1 - 2 / (9 * df) + z * math.sqrt(2 / (9 * df))) ** 3
    assert ((counts - expected) ** 2 / expected).sum() < limit
