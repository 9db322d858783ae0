"""Facility location: the time and memory of choosing coresets.

    python -m fieldloom.perf.coreset_bench --json FILE

The vectors are what data-efficient augmentation compares, softmax(logits) − onehot(label), of random logits.
The job is CIFAR's shape: 10 classes of 5000, 10 coordinates, 10 % of each. The rest are slices: one class by
every method, classes of growing size (where "auto" turns stochastic), in blocks, in parts, ImageNet's
shape, and the peers.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from fieldloom.kernels.submodular.distances import LIMIT_BYTES
from fieldloom.kernels.submodular.facility import (
    LAZY_UP_TO,
    facility_location,
    facility_location_classes,
)
from fieldloom.kernels.submodular.partition import partitioned
from fieldloom.perf.coreset_peers import compare, stand_ins
from fieldloom.perf.json_file import STDOUT, write_json
from fieldloom.perf.machine import cores, describe
from fieldloom.perf.options import json_file
from fieldloom.perf.spread import spread
from fieldloom.perf.usage import peak_megabytes, resident_megabytes

#: What the project set itself for the job.
TARGET_WALL_S, TARGET_PEAK_MB = 4.0, 1100.0
_FIRST_CALL = """
import time, numpy as np
from fieldloom.kernels.submodular.facility import facility_location
vectors, start = np.eye(9, dtype=np.float32), time.process_time()
facility_location(vectors, 3)
print(time.process_time() - start)
"""


def residuals(n: int, n_classes: int, d: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors float32 (n, d) and labels (n,): logits of which the label's is 2 higher, normal, times 2."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) * n_classes // n
    logits = 2 * random.standard_normal((n, d), np.float32)
    logits[np.arange(n), labels] += 2
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    shares[np.arange(n), labels] -= 1
    return shares, labels


def timed(call: Callable[[], Any], rounds: int = 1) -> tuple[Any, dict[str, Any]]:
    """What a call gives, and its wall and CPU seconds over rounds."""
    wall, cpu, found = [], [], None
    for _ in range(rounds):
        start = time.perf_counter(), time.process_time()
        found = call()
        wall.append(time.perf_counter() - start[0])
        cpu.append(time.process_time() - start[1])
    return found, {"wall_s": spread(wall), "cpu_s": spread(cpu)}


def run(*, class_size: int = 5000, rounds: int = 5, largest: int = 40_000, slice_: int = 8) -> dict[str, Any]:
    """Measure everything; the job comes first, so that the peak is its own.

    Args:
        class_size: Samples of each of the job's 10 classes.
        rounds: Rounds of the job and of the peers.
        largest: Largest single class.
        slice_: Classes of ImageNet's shape that are measured.

    Returns:
        The report, ready for JSON.
    """
    facility_location(np.eye(9, dtype=np.float32), 3)  # compiles
    threads = cores()
    report: dict[str, Any] = {
        "benchmark": "coreset",
        "machine": describe(),
        "setting": {
            "threads": threads,
            "limit_bytes": LIMIT_BYTES,
            "lazy_up_to": LAZY_UP_TO,
            "load_before": os.getloadavg()[0],
        },
    }
    with ThreadPoolExecutor(threads) as pool:
        report["job"] = _job(class_size, rounds, pool)
        report["imagenet"] = _imagenet(slice_, pool)
    report["methods"] = _methods(max(2, class_size * 2 // 5))
    report["sizes"] = _sizes(largest)
    report["parts"] = _parts(class_size)
    vectors, _ = residuals(max(2, class_size * 2 // 5), 1, 10)
    report["peers"] = {
        "samples": len(vectors), "stand_ins": stand_ins(),
        "rows": compare(vectors, len(vectors) // 10, rounds),
    }  # fmt: skip
    report["first_call"] = {"compile_cpu_s": _compile_seconds()}
    return report


def _job(class_size: int, rounds: int, pool: ThreadPoolExecutor) -> dict[str, Any]:
    vectors, labels = residuals(10 * class_size, 10, 10)
    before = resident_megabytes()
    budgets = [class_size // 10] * 10
    chosen, times = timed(lambda: facility_location_classes(vectors, labels, budgets, executor=pool), rounds)
    peak = peak_megabytes()
    alone = facility_location_classes(vectors, labels, budgets)
    if any(not np.array_equal(a.indices, b.indices) for a, b in zip(chosen, alone, strict=True)):
        raise RuntimeError("the number of threads changed the choice")
    return {
        "classes": 10, "samples_a_class": class_size, "coordinates": 10, "chosen_a_class": budgets[0],
        **times, "peak_mb": round(peak, 1), "resident_before_mb": round(before, 1), "value": sum(c.value for c
        in chosen), "target": {"wall_s": TARGET_WALL_S, "peak_mb": TARGET_PEAK_MB},
        "holds": times["wall_s"]["max"] <= TARGET_WALL_S and peak <= TARGET_PEAK_MB,
    }  # fmt: skip


def _imagenet(n_classes: int, pool: ThreadPoolExecutor) -> dict[str, Any]:
    vectors, labels = residuals(1300 * n_classes, n_classes, 1000)
    _, times = timed(lambda: facility_location_classes(vectors, labels, [130] * n_classes, executor=pool))
    factor = 1000 / n_classes
    return {
        "classes_measured": n_classes, "samples_a_class": 1300, "coordinates": 1000, "chosen_a_class": 130,
        **times, "extrapolated_to_1000_classes": {
            "wall_s": round(factor * times["wall_s"]["median"], 1),
            "cpu_s": round(factor * times["cpu_s"]["median"], 1),
            "note": "an extrapolation: measured classes times 1000 / their number",
        },
    }  # fmt: skip


def naive(vectors: np.ndarray, budget: int) -> list[int]:
    """Plain greedy in NumPy, float64: every step works out the gain of every sample."""
    v = vectors.astype(np.float64)
    distances = np.stack([np.sqrt(((v - row) ** 2).sum(1)) for row in v])
    nearest, free, chosen = np.full(len(v), distances.max()), np.ones(len(v), bool), []
    for _ in range(budget):
        gains = np.array([np.maximum(nearest - row, 0).sum() for row in distances])
        chosen.append(int(np.where(free, gains, -1).argmax()))
        free[chosen[-1]] = False
        nearest = np.minimum(nearest, distances[chosen[-1]])
    return chosen


def _methods(m: int) -> dict[str, Any]:
    vectors, _ = residuals(m, 1, 10)
    budget = max(1, m // 10)
    plain, times = timed(lambda: naive(vectors, budget))
    rows = [{"method": "naive, NumPy", **times}]
    ways: dict[str, dict[str, Any]] = {
        "lazy": {"method": "lazy"},
        "stochastic, epsilon 0.01": {"method": "stochastic"},
        "stochastic, epsilon 0.1": {"method": "stochastic", "epsilon": 0.1},
    }
    for name, options in ways.items():
        found, times = timed(partial(facility_location, vectors, budget, **options), 5)
        rows.append({"method": name, **times, "value": found.value})
        if name == "lazy":
            rows[-1]["picks_that_differ_from_naive"] = sum(
                a != b for a, b in zip(found.indices.tolist(), plain, strict=True)
            )
    return {"samples": m, "chosen": budget, "rows": rows}


def _sizes(largest: int) -> list[dict[str, Any]]:
    rows = []
    for m in (n for n in (5000, 10_000, 20_000, 40_000) if n <= largest):
        vectors, _ = residuals(m, 1, 10)
        best = 0.0
        for method in ("lazy", "stochastic"):
            for limit in (LIMIT_BYTES, 100 * 2**20):
                choose = partial(facility_location, vectors, m // 10, method=method, limit_bytes=limit)
                found, times = timed(choose)
                best = best or found.value
                rows.append(
                    {
                        "samples": m, "chosen": m // 10, "method": method, "limit_mib": limit >> 20,
                        "whole": 4 * m * m <= limit, "cpu_s": times["cpu_s"]["median"],
                        "share_of_lazy": round(found.value / best, 5),
                    }
                )  # fmt: skip
    return rows


def _parts(m: int) -> list[dict[str, Any]]:
    vectors, _ = residuals(m, 1, 10)
    v = vectors.astype(np.float64)
    budget = max(1, m // 10)

    def value(indices: np.ndarray) -> float:
        nearest = np.full(m, np.inf)
        for row in v[indices]:
            nearest = np.minimum(nearest, np.sqrt(((v - row) ** 2).sum(1)))
        return float(nearest.sum())

    whole, rows = value(facility_location(vectors, budget).indices), []
    for n_parts in (2, 4, 8):
        found, times = timed(partial(partitioned, vectors, budget, n_parts))
        distance = value(found.indices)
        rows.append(
            {
                "samples": m, "parts": n_parts, "cpu_s": times["cpu_s"]["median"],
                "sum_of_distances_over_whole": round(distance / whole, 4),
            }
        )  # fmt: skip
    return rows


def _compile_seconds() -> float:
    """CPU seconds of the first call with an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        done = subprocess.run(
            [sys.executable, "-c", _FIRST_CALL], env=environment, capture_output=True, text=True, check=True
        )
    return round(float(done.stdout), 2)


@click.command()
@click.option("--class-size", default=5000, show_default=True, help="Samples of each class of the job.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--largest", default=40_000, show_default=True, help="Largest single class.")
@click.option("--slice", "slice_", default=8, show_default=True, help="Classes of ImageNet's shape.")
@json_file
def main(class_size: int, rounds: int, largest: int, slice_: int, json_file: Path | None) -> None:
    """Measure the choice of coresets by facility location."""
    report = run(class_size=class_size, rounds=rounds, largest=largest, slice_=slice_)
    job, imagenet = report["job"], report["imagenet"]["extrapolated_to_1000_classes"]
    lines = [
        f"{report['machine']['processor']}, {report['setting']['threads']} threads",
        f"10 x {class_size}: {job['wall_s']['median']:.2f} s wall, {job['cpu_s']['median']:.2f} s CPU,"
        f" peak {job['peak_mb']:.0f} MB ({'holds' if job['holds'] else 'MISSED'})",
        f"ImageNet's shape, extrapolated: {imagenet['wall_s']} s wall, {imagenet['cpu_s']} s CPU",
    ]
    for row in report["peers"]["rows"]:
        if "left_out" in row:
            lines.append(f"{row['name']}: left out, {row['left_out']}")
        else:
            lines.append(f"{row['name']}: {row['wall_s']['median']:.3f} s, value {row['value']}")
    click.echo("\n".join(lines), err=json_file == STDOUT)
    write_json(json_file, report)


if __name__ == "__main__":
    main()
