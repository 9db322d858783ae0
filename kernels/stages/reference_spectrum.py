"""PASTA in plain NumPy float64, from the definition: a factor for each bin of the whole grid."""

import numpy as np

from fieldloom.kernels.reference_lattice import normals

from .spectrum import CHANNEL_DRAWS, Pasta


def sigma(pasta: Pasta, height: int, width: int) -> np.ndarray:
    """Deviation of the published factors at each bin of the whole grid, float64 (h, w)."""
    y, x = np.fft.fftfreq(height, 1 / height), np.fft.fftfreq(width, 1 / width)
    distance = np.sqrt(y[:, None] ** 2 + x[None] ** 2)
    return (pasta.alpha * distance / max(distance.max(), 1)) ** pasta.k + pasta.beta


def factors(
    pasta: Pasta, height: int, width: int, *, channel: int, sample: int, epoch: int, stream: int, seed: int
) -> np.ndarray:
    """What each bin of the whole grid is multiplied by, float64 (h, w); `stream` includes the slot."""
    blocks = (width // 2 + 1 + 3) // 4
    first = (1 + channel) * CHANNEL_DRAWS
    z = normals(4 * blocks * height, sample=sample, epoch=epoch, stream=stream, seed=seed, first_draw=first)
    z = z.reshape(height, 4 * blocks)
    deviation, out = sigma(pasta, height, width), np.empty((height, width))
    for y in range(height):
        for x in range(width):
            mirror_y, mirror_x = -y % height, -x % width
            # Of two mirror images the one with the smaller kx stands for both, then the one with smaller ky.
            (at_x, at_y) = min((x, y), (mirror_x, mirror_y))
            alone = (y, x) == (mirror_y, mirror_x)
            out[y, x] = 1 + deviation[y, x] * z[at_y, at_x] / (1 if alone else np.sqrt(2))
    return out


def apply(image: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Multiply bins of uint8 (3, h, w) by scale (3, h, w): float64 levels, neither limited nor rounded."""
    out = np.fft.ifft2(np.fft.fft2(image.astype(np.float64)) * scale)
    if abs(out.imag).max() > 1e-6 * max(1.0, abs(out.real).max()):
        raise AssertionError("the factors are not those of a real image")
    return out.real
