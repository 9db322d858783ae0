"""PASTA as plain data: which samples it acts on, and how much each frequency's amplitude deviates.

The amplitude of a bin at distance d from the constant term (in whole mode numbers, as FFT's frequencies have
them) is multiplied by 1 + s z, z a standard normal of the bin and channel: sign flips are meant. The
published code draws such factors on the whole grid and takes the real part of what comes out, which averages
a bin's factor with its mirror image's. Here one factor stands for both, so s = sigma / sqrt(2), and sigma at
the up to four bins that are their own mirror images, where

    sigma = (alpha d / d_max)^k + beta,  d_max the grid's largest distance.

Source: Chattopadhyay et al., "PASTA: Proportional Amplitude Spectrum Training Augmentation for Syn-to-Real
Domain Generalization" (arXiv 2212.00979). Its code's grid of an even side has the constant term twice and
lacks the last frequency; distances here are exact.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from .fourier import MAX_FACTORS, factors, roots

if TYPE_CHECKING:
    from fieldloom.kernels.keys import Keys

#: Largest side: a CUDA block keeps a line, twice and complex, in 48 KB of shared memory.
MAX_SIDE = 2048
#: Blocks of random numbers of a channel; draw 0 is the gate, channel c has those from (1 + c) times this on.
#: A row of bins takes whole blocks, so the largest side takes 2048 x 257.
CHANNEL_DRAWS = 1 << 20


@dataclass(frozen=True, slots=True)
class Pasta:
    """PASTA in a plan.

    Attributes:
        alpha: Slope of the deviation over frequency.
        beta: Deviation at the constant term.
        k: Exponent.
        p: Probability.
        slot: Random slot: draw 0 is the gate, the others are the factors.
    """

    alpha: float
    beta: float
    k: float
    p: float
    slot: int


def draw_spectra(pasta: Pasta, keys: "Keys", strength: np.ndarray | None = None) -> np.ndarray:
    """Which samples PASTA acts on: int32 (n,), 1 or 0.

    Args:
        pasta: The plan's record.
        keys: Keys of n samples.
        strength: float (n,): p is multiplied by min(1, strength); None is 1.
    """
    p = pasta.p if strength is None else pasta.p * np.minimum(strength, 1)
    return (keys.units(pasta.slot)[:, 0] < p).astype(np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class SpectrumTables:
    """The constant tables of PASTA at one size.

    Attributes:
        height: Pixels.
        width: Pixels.
        slot: Random slot.
        deviation: float32 (height // 2 + 1, bins): deviation s of each bin's factor; a row is ky's and -ky's.
        roots_y: float32 (2, height): `fourier.roots`; `roots_x` (2, width).
        roots_x: See `roots_y`.
        factors_y: int32 (MAX_FACTORS,): `fourier.factors` of the height, then zeros; `factors_x` likewise.
        factors_x: See `factors_y`.
    """

    height: int
    width: int
    slot: int
    deviation: np.ndarray
    roots_y: np.ndarray
    roots_x: np.ndarray
    factors_y: np.ndarray
    factors_x: np.ndarray

    @property
    def bins(self) -> int:
        """Frequencies along x of the half spectrum."""
        return self.width // 2 + 1

    @property
    def row_draws(self) -> int:
        """Blocks of four random numbers that a row of bins takes."""
        return (self.bins + 3) // 4

    def floats(self) -> np.ndarray:
        """All tables behind each other, float32: roots_x, roots_y, deviation; as the CUDA source has them."""
        return np.concatenate([t.ravel() for t in (self.roots_x, self.roots_y, self.deviation)])

    def run(
        self,
        active: np.ndarray,
        samples: np.ndarray,
        working: np.ndarray,
        seed_low: np.uint32,
        seed_high: np.uint32,
        first: int,
        last: int,
    ) -> None:
        """Act on samples first .. last - 1 in place, on the CPU.

        Args:
            active: int32 (n,): `draw_spectra`.
            samples: SAMPLE (n,), for their counter words.
            working: uint8 (n, 3, height, width), C-contiguous.
            seed_low: Lower half of the seed; `seed_high` the upper.
            seed_high: See `seed_low`.
            first: First sample.
            last: Behind the last.
        """
        from .spectrum_pass import run_spectra  # here, because few recipes need it

        if not active[first:last].any():
            return
        run_spectra(
            active, samples, working, self.deviation, self.roots_y, self.roots_x, self.factors_y,
            self.factors_x, seed_low, seed_high, np.uint32(self.slot), first, last,
        )  # fmt: skip


@lru_cache(8)
def spectrum_tables(pasta: Pasta, height: int, width: int) -> SpectrumTables:
    """The tables of PASTA at this size (sides up to MAX_SIDE)."""
    found = SpectrumTables(
        height, width, pasta.slot, deviations(pasta, height, width).astype(np.float32), roots(height),
        roots(width), _padded(factors(height)), _padded(factors(width)),
    )  # fmt: skip
    for table in (found.deviation, found.roots_y, found.roots_x, found.factors_y, found.factors_x):
        table.setflags(write=False)
    return found


def deviations(pasta: Pasta, height: int, width: int) -> np.ndarray:
    """Deviation of each bin's factor, float64 (height // 2 + 1, width // 2 + 1), rows for ky >= 0."""
    y, x = np.arange(height // 2 + 1)[:, None], np.arange(width // 2 + 1)[None]
    distance = np.hypot(y, x) / max(np.hypot(height // 2, width // 2), 1)
    sigma = (pasta.alpha * distance) ** pasta.k + pasta.beta
    own_mirror = (2 * y % height == 0) & (2 * x % width == 0)
    return sigma / np.where(own_mirror, 1, np.sqrt(2))


def _padded(radices: list[int]) -> np.ndarray:
    out = np.zeros(MAX_FACTORS, np.int32)
    out[: len(radices)] = radices
    return out
