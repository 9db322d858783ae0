"""FMix masks in plain NumPy float64, from the definitions: the field at every pixel, sorted."""

import numpy as np

from fieldloom.kernels.records import FIELD_DRAWS
from fieldloom.kernels.reference_lattice import normals


def noise(modes: int, *, sample: int, epoch: int, stream: int, seed: int) -> np.ndarray:
    """The normals of a mask's waves, float64 (2 modes + 1, 2 modes + 1); `stream` includes the slot."""
    n = (2 * modes + 1) ** 2
    z = normals(n, sample=sample, epoch=epoch, stream=stream, seed=seed, first_draw=FIELD_DRAWS)
    return z.reshape(2 * modes + 1, 2 * modes + 1)


def field(z: np.ndarray, height: int, width: int, decay: float) -> np.ndarray:
    """The field at every pixel, float64 (h, w), without its constant term.

    Rows of z stand for 1, cos 1, sin 1, cos 2, ... along y, columns for the same along x; mode k has k
    periods in max(h, w) pixels.
    """
    side, modes = max(height, width), len(z) // 2
    y, x = 2 * np.pi * np.arange(height) / side, 2 * np.pi * np.arange(width) / side
    along_y, along_x = (
        np.stack([np.ones_like(t)] + [f(k * t) for k in range(1, modes + 1) for f in (np.cos, np.sin)])
        for t in (y, x)
    )
    number = np.array([0] + [k for k in range(1, modes + 1) for _ in "cs"])
    f = np.hypot(number[:, None], number) / side
    amplitude = np.maximum(f, 1 / side) ** -decay
    amplitude[1:, 1:] *= np.sqrt(2)
    amplitude[0, 0] = 0
    return along_y.T @ (amplitude * z) @ along_x


def mask(values: np.ndarray, count: int, soft: int = 0) -> np.ndarray:
    """255 times the partner's weight, float64 (h, w), by the rank of each value, the largest first.

    Ranks below count - soft have weight 0, those from count + soft on 1; between them it is linear.
    """
    ranks = np.empty(values.size, np.int64)
    ranks[np.argsort(-values.ravel(), kind="stable")] = np.arange(values.size)
    if not soft:
        return np.where(ranks < count, 0.0, 255.0).reshape(values.shape)
    weight = (ranks + 0.5 - (count - soft)) / (2 * soft)
    return 255 * np.clip(weight, 0, 1).reshape(values.shape)
