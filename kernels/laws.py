"""Field laws: which random function of the output position a field is.

Both laws have one computational form, F = B_y (S * Z) B_x^T, with Z independent standard normals:

* **Gaussian**: covariance exp(-d^2 / (2 length^2)); S = 1 and B the closed-form square root of the
  covariance (white noise at fixed points convolved with a Gaussian). Not periodic.
* **Power law**: P(k) ~ |k|^-gamma over integer modes k != 0 of the image side (Random Field
  Augmentations, arXiv 2311.03629); B holds the cosines and sines, S the amplitudes. Periodic over the
  image side; every field is divided by its largest absolute value, so that it is bounded by alpha.
"""

from dataclasses import dataclass

import numpy as np

from fieldloom.errors import ArgumentError

#: Spacing of the Gaussian law's noise points in lengths; L L^T is then within 1.6e-4 of the covariance.
NOISE_SPACING = 0.7
#: How far the noise points reach beyond the image, in lengths (exp(-2.5^2) = 0.002, renormalized).
NOISE_MARGIN = 2.5


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """P(k) ~ |k|^-gamma, bounded to +-alpha; gamma and alpha are drawn for each image.

    Args:
        gamma: Range of the exponent; larger is smoother. Below 3 images are destroyed.
        alpha: Range of the bound, in the unit of the transform (see `RandomField`).
        modes: Highest mode number kept on each axis; None chooses it from the smallest gamma
            (8 from gamma 7 on, where the rest carries less than 0.5 % of the deviation).

    Source: Mansfield et al., arXiv 2311.03629, section 3: gamma ~ U[7, 10], alpha ~ U[0, 1/3].
    The paper leaves open how the bound is enforced; here each field is divided by its maximum.
    """

    gamma: tuple[float, float] = (7.0, 10.0)
    alpha: tuple[float, float] = (0.0, 1.0 / 3.0)
    modes: int | None = None

    def __post_init__(self) -> None:
        _check_range("PowerLaw gamma", self.gamma, 0.0, 40.0)
        _check_range("PowerLaw alpha", self.alpha, 0.0, 4.0)
        if self.modes is not None and not (isinstance(self.modes, int) and 1 <= self.modes <= 16):
            raise ArgumentError.make(
                f"PowerLaw modes={self.modes!r}", why="not an integer from 1 to 16", remedy="Pass 1 to 16."
            )

    def n_modes(self) -> int:
        """Modes kept on each axis."""
        if self.modes is not None:
            return self.modes
        return 8 if self.gamma[0] >= 7 else 12 if self.gamma[0] >= 5 else 16


@dataclass(frozen=True, slots=True)
class Gaussian:
    """Gaussian covariance sigma^2 exp(-d^2 / (2 length^2)), not bounded, not periodic.

    Args:
        length: Correlation length as a fraction of the output's shorter side.
        sigma: Standard deviation, in the unit of the transform (see `RandomField`). None gives the
            calm default: the displacement at half a side from the center deviates by length / 5.
    """

    length: float = 0.25
    sigma: float | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.length) and 0.05 <= self.length <= 4):
            raise ArgumentError.make(
                f"Gaussian length={self.length!r}",
                why="not between 0.05 and 4 sides of the output",
                remedy="Pass a fraction of the shorter side, for instance 0.25.",
            )
        if self.sigma is not None and not (np.isfinite(self.sigma) and 0 <= self.sigma <= 4):
            raise ArgumentError.make(
                f"Gaussian sigma={self.sigma!r}",
                why="not between 0 and 4",
                remedy="Leave it out: length / 5.",
            )


Law = PowerLaw | Gaussian


def _check_range(name: str, value: tuple[float, float], low: float, high: float) -> None:
    try:
        a, b = (float(v) for v in value)
    except (TypeError, ValueError):
        a, b = np.nan, np.nan
    if not (low <= a <= b <= high):
        raise ArgumentError.make(
            f"{name}={value!r}",
            why=f"not a range (low, high) with {low:g} <= low <= high <= {high:g}",
            remedy="Pass a pair of numbers in that order.",
        )


@dataclass(frozen=True, slots=True)
class Basis:
    """The constant matrices of one law at the nodes of one lattice, float32.

    Attributes:
        by: (nodes_y, ky); bx: (nodes_x, kx). F = by (S * Z) bx^T for Z of shape (ky, kx).
        log_k: (ky, kx) log2 of the mode number |k| (power law only).
        bonus: (ky, kx) 0.5 where both mode numbers are positive: such a pair stands for two plane
            waves, k and its mirror image, and carries both their variances (power law only).
    """

    by: np.ndarray
    bx: np.ndarray
    log_k: np.ndarray | None
    bonus: np.ndarray | None


def basis(law: Law, nodes_y: int, nodes_x: int, pitch: int, height: int, width: int) -> Basis:
    """Matrices of `law` at nodes i * pitch (in output pixels, from the image's edge)."""
    y, x = np.arange(nodes_y) * float(pitch), np.arange(nodes_x) * float(pitch)
    if isinstance(law, Gaussian):
        side = min(height, width)
        by = gaussian_root(y / side, law.length, height / side)
        bx = gaussian_root(x / side, law.length, width / side)
        return Basis(by.astype(np.float32), bx.astype(np.float32), None, None)
    # One period on both axes, so that the law is isotropic on images that are not square.
    period, modes = max(height, width), law.n_modes()
    k = (np.arange(2 * modes + 1) + 1) // 2
    square = k[:, None] ** 2 + k[None, :] ** 2
    log_k = 0.5 * np.log2(np.where(square == 0, 1, square))
    bonus = np.where((k[:, None] > 0) & (k[None, :] > 0), 0.5, 0.0)
    bonus[square == 0] = -1000  # no constant term, whatever gamma: exp2 gives 2^-126
    waves = [plane_waves(t / period, modes).astype(np.float32) for t in (y, x)]
    return Basis(waves[0], waves[1], log_k.astype(np.float32), bonus.astype(np.float32))


def gaussian_root(positions: np.ndarray, length: float, extent: float) -> np.ndarray:
    """L with L L^T = exp(-(t_i - t_j)^2 / (2 length^2)) within 1.6e-4, float64 (n, k).

    L[i, a] = exp(-((t_i - u_a) / length)^2) at fixed points u_a, rows scaled to unit norm. Closed form
    on purpose: the covariance matrix is singular to rounding, so Cholesky fails on it and
    eigenvectors differ between libraries; and u_a do not depend on the lattice, so that the same
    noise gives the same function at every pitch and output size. For that their number follows from
    the image's `extent` (in the unit of `positions`), not from the last node, which a coarse pitch puts
    beyond the edge.
    """
    step = NOISE_SPACING * length
    low = np.floor(-NOISE_MARGIN * length / step)
    high = np.ceil((extent + NOISE_MARGIN * length) / step)
    points = np.arange(low, high + 1) * step
    root = np.exp(-(((positions[:, None] - points) / length) ** 2))
    return root / np.sqrt((root**2).sum(1, keepdims=True))


def plane_waves(positions: np.ndarray, modes: int) -> np.ndarray:
    """Columns 1, cos, sin, cos 2, sin 2, ... of 2 pi t at positions t, float64 (n, 2 modes + 1)."""
    k = np.arange(1, modes + 1)
    phase = 2 * np.pi * positions[:, None] * k
    out = np.ones((len(positions), 2 * modes + 1))
    out[:, 1::2], out[:, 2::2] = np.cos(phase), np.sin(phase)
    return out
