"""Otsu's threshold of real numbers, exact: no histogram."""

import numpy as np


def otsu_threshold(values: np.ndarray) -> float | None:
    """The threshold between two groups of numbers that leaves the least variance within them.

    Every split of the sorted values is tried: the one of largest variance between its two sides,
    n_1 n_2 (mean_1 - mean_2)^2, has its threshold halfway between its neighbors. Of equal splits the lowest
    counts.

    Args:
        values: (n,), finite.

    Returns:
        The threshold, float64; None where fewer than two different values exist.

    Source: Otsu, A Threshold Selection Method from Gray-Level Histograms (1979).
    """
    x = np.sort(values.astype(np.float64))
    if len(x) < 2 or x[0] == x[-1]:
        return None
    # Shifted and scaled, so that neither large losses nor tiny differences lose digits.
    z = (x - x[0]) / (x[-1] - x[0])
    below = np.cumsum(z)[:-1]
    n = np.arange(1, len(x))
    between = n * (len(x) - n) * (below / n - (z.sum() - below) / (len(x) - n)) ** 2
    between[x[1:] == x[:-1]] = -1  # no threshold parts equal values
    best = int(between.argmax())
    middle = x[best] + (x[best + 1] - x[best]) / 2
    return float(middle) if middle > x[best] else float(x[best + 1])
