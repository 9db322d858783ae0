"""What the selection kernels are compared with: plain greedy and exhaustive search, from the definitions."""

from itertools import combinations

import numpy as np
from hypothesis import strategies as st


def distances(vectors: np.ndarray) -> np.ndarray:
    """Euclidean distances in float64."""
    v = vectors.astype(np.float64)
    return np.sqrt(((v[:, None] - v[None]) ** 2).sum(2))


def facility_value(d: np.ndarray, chosen, counts=None) -> float:
    counts = np.ones(len(d)) if counts is None else counts
    return float((counts * (d.max() - d[:, list(chosen)].min(1))).sum())


def facility_gains(d: np.ndarray, chosen, counts=None) -> np.ndarray:
    """What every sample would gain now; minus infinity for the chosen."""
    counts = np.ones(len(d)) if counts is None else counts
    nearest = d[:, list(chosen)].min(1) if len(chosen) else np.full(len(d), d.max())
    gains = (np.maximum(nearest[:, None] - d, 0) * counts[:, None]).sum(0)
    gains[list(chosen)] = -np.inf
    return gains


def naive_facility(d: np.ndarray, budget: int, counts=None) -> list[int]:
    chosen: list[int] = []
    for _ in range(budget):
        chosen.append(int(facility_gains(d, chosen, counts).argmax()))
    return chosen


def cluster_sizes(d: np.ndarray, chosen, counts=None) -> np.ndarray:
    by_index = np.sort(chosen)
    owner = by_index[d[:, by_index].argmin(1)]
    counts = np.ones(len(d)) if counts is None else counts
    return np.array([max(1, counts[owner == j].sum()) for j in chosen])


def best_facility(d: np.ndarray, budget: int) -> float:
    return max(facility_value(d, chosen) for chosen in combinations(range(len(d)), budget))


@st.composite
def lines(draw, largest=40):
    """Whole numbers on a line (all distances are exact, many are equal), and a budget."""
    values = draw(st.lists(st.integers(-9, 9), min_size=1, max_size=largest))
    return np.array(values, np.float32)[:, None], draw(st.integers(1, len(values)))


@st.composite
def clouds(draw, largest=40):
    """Random vectors, some of them repeated, and a budget."""
    m, d = draw(st.integers(1, largest)), draw(st.integers(1, 11))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    vectors = random.normal(size=(m, d)).astype(np.float32)
    if draw(st.booleans()):
        vectors = vectors[random.integers(0, m, m)]
    return vectors, draw(st.integers(1, m))
