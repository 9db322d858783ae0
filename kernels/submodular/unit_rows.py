"""Vectors scaled to length 1, for cosine similarity."""

import numpy as np

from fieldloom.kernels.intrinsics import entry


@entry
def _scale_rows(vectors, out):  # type: ignore[no-untyped-def]
    for i in range(vectors.shape[0]):
        square = 0.0
        for k in range(vectors.shape[1]):
            square += np.float64(vectors[i, k]) * np.float64(vectors[i, k])
        factor = 1 / np.sqrt(square) if square > 0 else 0.0
        for k in range(vectors.shape[1]):
            out[i, k] = np.float32(vectors[i, k] * factor)


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Each row divided by its length; zero rows stay.

    Args:
        vectors: float32 (m, d).

    Returns:
        float32 (m, d). Lengths are summed in float64 in one order, so that the bits are the same everywhere.
    """
    out = np.empty_like(vectors)
    _scale_rows(vectors, out)
    return out
