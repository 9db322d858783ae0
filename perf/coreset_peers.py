"""Facility location by apricot-select and submodlib, where they are installed, on a case given to all.

They get the similarities ready made (float32 for submodlib, which takes no other; float64 for apricot), so
their times leave out the distances, which ours include. Neither is in an extra of this package:
apricot-select 0.6.1 and submodlib-py 0.0.3 are old, and need tqdm and scikit-learn beside them. Only their
imports need these on a dense case, so that empty modules of these names will do; the report says so.
"""

import importlib
import importlib.util
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np

from fieldloom.kernels.submodular.facility import facility_location
from fieldloom.perf.spread import spread

#: Distribution -> module.
_NEEDED = {"tqdm": "tqdm", "scikit-learn": "sklearn"}


def apricot(similarity: np.ndarray, budget: int) -> Callable[[], list[int]]:
    """Lazy greedy of apricot-select."""
    facility = importlib.import_module("apricot").FacilityLocationSelection

    def choose() -> list[int]:
        selector = facility(budget, metric="precomputed", optimizer="lazy")
        return [int(i) for i in selector.fit(similarity).ranking]

    return choose


def submodlib(similarity: np.ndarray, budget: int) -> Callable[[], list[int]]:
    """Lazy greedy of submodlib (C++)."""
    facility = importlib.import_module("submodlib").FacilityLocationFunction
    kernel = similarity.astype(np.float32)

    def choose() -> list[int]:
        function = facility(n=len(kernel), mode="dense", sijs=kernel, separate_rep=False)
        found = function.maximize(budget=budget, optimizer="LazyGreedy", show_progress=False)
        return [int(i) for i, _ in found]

    return choose


#: Distribution -> (module, how it chooses).
PEERS = {"apricot-select": ("apricot", apricot), "submodlib-py": ("submodlib", submodlib)}


def compare(vectors: np.ndarray, budget: int, rounds: int) -> list[dict[str, Any]]:
    """Time and value of everyone on one class.

    Args:
        vectors: float32 (m, d).
        budget: Samples to choose.
        rounds: Rounds, interleaved; one more warms up.

    Returns:
        A row each: seconds (wall, CPU), value in float64, picks that differ from ours; or why it was left
        out.
    """
    v = vectors.astype(np.float64)
    squares = (v**2).sum(1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * v @ v.T, 0))
    similarity = distances.max() - distances

    def ours() -> list[int]:
        return facility_location(vectors, budget).indices.tolist()

    ways: dict[str, Callable[[], list[int]]] = {"fieldloom": ours}
    rows: list[dict[str, Any]] = []
    for name, (module, make) in PEERS.items():
        if importlib.util.find_spec(module) is None:
            rows.append({"name": name, "left_out": "not installed"})
            continue
        try:
            ways[name] = make(similarity, budget)
            ways[name]()
        except Exception as error:  # an old package may fail in any way; the report says which
            ways.pop(name, None)
            rows.append({"name": name, "left_out": f"{type(error).__name__}: {error}"})
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    chosen: dict[str, list[int]] = {}
    for _ in range(rounds):
        for name, way in ways.items():
            wall, cpu = time.perf_counter(), time.process_time()
            chosen[name] = way()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    for name, picks in chosen.items():
        rows.append(
            {
                "name": name,
                "version": metadata.version(name),
                "wall_s": spread([wall for wall, _ in times[name]]),
                "cpu_s": spread([cpu for _, cpu in times[name]]),
                "value": round(float(similarity[:, picks].max(1).sum()), 6),
                "picks_that_differ": sum(a != b for a, b in zip(picks, chosen["fieldloom"], strict=True)),
            }
        )
    return rows


def stand_ins() -> list[str]:
    """Packages the peers need of which only an empty module is there."""
    found = []
    for name, module in _NEEDED.items():
        if importlib.util.find_spec(module) is None:
            continue
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            found.append(name)
    return found
