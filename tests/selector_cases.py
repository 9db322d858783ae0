"""Signals for selectors, and statistics of what they choose."""

import math
from typing import Any

import numpy as np
import torch

from fieldloom.selection import Selection
from fieldloom.selectors import Selector, Signals


def signals_of(
    targets: Any, names: tuple[str, ...] = (), seed: int = 7, epoch: int = 0, **values: Any
) -> Signals:
    """Signals of all samples, reported in one epoch."""
    signals = Signals(np.asarray(targets, np.int64), names or tuple(values), seed)
    report(signals, epoch, **values)
    return signals


def report(signals: Signals, epoch: int, ids: Any = None, **values: Any) -> None:
    """What `DataLoader.feedback` would store."""
    where = torch.arange(signals.n_samples) if ids is None else torch.as_tensor(ids)
    signals.store(where, epoch, {name: torch.as_tensor(value) for name, value in values.items()})


def ids_of(selection: Selection | None, n: int) -> np.ndarray:
    """Ids of an epoch, also where it holds every sample."""
    return np.arange(n) if selection is None else selection.ids


def same(a: Selection | None, b: Selection | None) -> bool:
    """Whether two selections are equal in every bit."""
    if a is None or b is None:
        return a is b
    return all(
        (x is None and y is None)
        or (x is not None and y is not None and x.dtype == y.dtype and np.array_equal(x, y))
        for x, y in ((a.ids, b.ids), (a.weights, b.weights), (a.strength, b.strength))
    )


def chi_square_limit(freedom: int) -> float:
    """What chi square passes with probability 1e-6 (Wilson and Hilferty)."""
    z = 4.7534
    return freedom * (1 - 2 / (9 * freedom) + z * math.sqrt(2 / (9 * freedom))) ** 3


def chi_square(observed: np.ndarray, expected: np.ndarray) -> float:
    return float(((observed - expected) ** 2 / expected).sum())


def clone(selector: Selector, fresh: Selector) -> Selector:
    """A fresh selector with another one's state, as it comes back from a file."""
    fresh.load({name: np.array(value) for name, value in selector.state().items()})
    return fresh
