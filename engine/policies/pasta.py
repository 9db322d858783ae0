"""PASTA: noise on the amplitudes of an image's Fourier transform, strongest at high frequencies."""

from dataclasses import dataclass

from fieldloom.errors import ArgumentError
from fieldloom.kernels.philox import slot_of
from fieldloom.kernels.stages.spectrum import MAX_SIDE, Pasta
from fieldloom.options import number


@dataclass(frozen=True, slots=True)
class PASTA:
    """Multiply the amplitude of every frequency and channel by a normal of mean 1; phases stay.

    Its deviation is sigma(f) = (alpha d / d_max)^k + beta at distance d from the constant term (in mode
    numbers, d_max the largest), and factors below 0 are meant. Pixels are limited to 0..255 afterwards.

    Args:
        alpha: Slope of the deviation over frequency, 0..100.
        beta: Deviation at the constant term, 0..10: how much brightness and color casts vary.
        k: Exponent, 0..10; larger spares the low frequencies.
        p: Probability.

    The defaults are those of the paper's segmentation on GTAV; alpha=10, beta=0.5, k=1 those of VisDA-C.

    The published code draws a factor for each bin of the whole grid and keeps the real part, which averages a
    bin's factor with its mirror image's. Here the half spectrum carries one factor for both, of deviation
    sigma / sqrt(2), and sigma at the up to four bins that are their own mirror images: the same law.

    Order: behind the crop, flips and fields, at the output's size, and before the policies; the paper puts it
    before everything. Both sides of the output may have up to 2048 pixels; sides of large prime factors
    cost time in proportion to them. Per-sample strength multiplies (up to 1) the probability.

    Launches: three.
    Source: Chattopadhyay et al., "PASTA: Proportional Amplitude Spectrum Training Augmentation for
    Syn-to-Real Domain Generalization" (arXiv 2212.00979).
    Exactness: on 8-bit planes, rounded half up; equal bits on both twins, within a level of float64.
    """

    alpha: float = 3.0
    beta: float = 0.25
    k: float = 2.0
    p: float = 1.0

    def __post_init__(self) -> None:
        for name, high in (("alpha", 100), ("beta", 10), ("k", 10), ("p", 1)):
            object.__setattr__(self, name, number(self, name, getattr(self, name), 0, high))


def compile_pasta(item: PASTA, position: int, height: int, width: int) -> Pasta:
    """What the kernels get.

    Args:
        item: PASTA.
        position: Its place in the recipe.
        height: Output height; `width` its width.
        width: See `height`.

    Raises:
        ArgumentError: A side is too large.
    """
    if max(height, width) > MAX_SIDE:
        raise ArgumentError.make(
            f"PASTA on outputs of {height} x {width}",
            why=f"its Fourier transform takes sides up to {MAX_SIDE} pixels",
            remedy="Choose a smaller size, or leave PASTA out.",
        )
    return Pasta(item.alpha, item.beta, item.k, item.p, slot_of(position, "spectrum"))
