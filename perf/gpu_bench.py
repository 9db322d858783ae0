"""The GPU benchmark: kernels, stages, peers, loaders, training and resident images, in one run on one card.

`python -m fieldloom.perf gpu --json perf/results/gpu-NAME.json`. Without a usable GPU it says in one line
what is missing. A part that fails is recorded with its reason, and the others go on.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fieldloom.perf import gpu_kernels, gpu_loaders, gpu_peers, gpu_resident, gpu_stages, gpu_training
from fieldloom.perf.loader_bench import find_files
from fieldloom.perf.machine import describe

#: Files of an epoch of the loaders, at least.
N_FILES = 8192
_FEW_ROWS = (("float16", "reflect", 1.0, 0.0), ("float32", "reflect", 1.3, 15.0))


def run(data: Path | None, *, device: str, rounds: int, quick: bool) -> dict[str, Any]:
    """Measure everything.

    Args:
        data: An ImageFolder of JPEGs; None draws photographs.
        device: "cuda" or "cuda:N".
        rounds: Interleaved rounds of loaders.
        quick: A few rows of each table.

    Raises:
        DeviceError: What is missing for a GPU, and the remedy.
    """
    from fieldloom.device import choose_device

    name = choose_device(device, decodes=True)
    if name == "cpu":
        name = choose_device("cuda", decodes=True)  # raises, and says why "auto" gave the CPU
    import torch

    at = torch.device(name)
    torch.cuda.set_device(at)
    rows = _FEW_ROWS if quick else None
    n_files, rounds = (512, 1) if quick else (N_FILES, rounds)
    threads = max(1, min(16, len(os.sched_getaffinity(0))))
    with tempfile.TemporaryDirectory() as drawn:
        files = find_files(str(_folder(data, drawn)), n_files)
        parts: dict[str, Callable[[], Any]] = {
            "kernels": lambda: gpu_kernels.measure(at, rows=rows),
            "stages": lambda: gpu_stages.measure(at, names=gpu_stages.FEW if quick else None),
            "peers": lambda: gpu_peers.measure(at),
            "resident": lambda: gpu_resident.measure(name, rounds=rounds),
            "loaders": lambda: gpu_loaders.measure(files, name, rounds=rounds, threads=threads),
            "training": lambda: gpu_training.measure(files, name, rounds=rounds, steps=20 if quick else 100),
        }
        result: dict[str, Any] = {"benchmark": "gpu", "quick": quick, "machine": describe(), "gpu": _gpu(at)}
        for part, measure in parts.items():
            result[part] = _tried(measure)
            torch.cuda.empty_cache()
    result["targets"] = targets(result)
    return result


def _tried(measure: Callable[[], Any]) -> Any:
    try:
        return measure()
    except Exception as error:  # the other tables are worth having
        return {"failed": " ".join(f"{type(error).__name__}: {error}".split())[:500]}


def _folder(data: Path | None, drawn: str) -> Path:
    if data is not None:
        return data
    from fieldloom.perf.photos import write_photo_folder

    folder = Path(drawn) / "photos"
    write_photo_folder(folder)
    return folder


def _gpu(device: Any) -> dict[str, Any]:
    import torch

    found = torch.cuda.get_device_properties(device)
    return {
        "name": found.name, "capability": f"{found.major}.{found.minor}",
        "memory_gib": round(found.total_memory / 2**30, 1), "processors": found.multi_processor_count,
        "cuda_of_torch": torch.version.cuda,
    }  # fmt: skip


def targets(result: dict[str, Any]) -> list[dict[str, Any]]:
    """What the project set itself for an H200: each figure, its limit, and whether it holds."""
    found: list[dict[str, Any]] = []

    def row(what: str, figure: float, limit: float, *, least: bool) -> None:
        holds = figure >= limit if least else figure <= limit
        sign = ">=" if least else "<="
        found.append({"what": what, "figure": round(figure, 3), "limit": f"{sign} {limit}", "holds": holds})

    kernels = result["kernels"].get("rows", [])
    chosen = [r for r in kernels if r["border"] == "reflect" and r["shrink"] < 1.5]
    for dtype, percent in (("float16", 50), ("float32", 80)):
        for r in (r for r in chosen if r["dtype"] == dtype):
            label = f"fused, {dtype}, shrink {r['shrink']}, {r['degrees']:.0f} degrees"
            row(f"{label}: percent of copy bandwidth", r["percent_of_copy"], percent, least=True)
            if dtype == "float16":
                us = sum(r["us"][kernel]["median"] for kernel in ("lattice", "fused"))
                row(f"{label}: lattice + fused, us", us, 100, least=False)
    compared = kernels + result["stages"].get("rows", [])
    row(
        "rows whose bits differ from the CPU's",
        sum(not r["bits_equal_cpu"] for r in compared),
        0,
        least=False,
    )
    same_work = [r for r in chosen if (r["dtype"], r["shrink"], r["degrees"]) == ("float32", 1.0, 0.0)]
    for peer in result["peers"] if isinstance(result["peers"], list) else []:
        if same_work and "us_batch" in peer and "elastic" in peer["peer"]:
            ratio = peer["us_batch"]["median"] / same_work[0]["us"]["batch"]["median"]
            row(f"times as fast as {peer['peer']}", ratio, 20, least=True)
    if "j3c_over_dali_j1" in result["loaders"]:
        row("J3c over DALI-only J1, images/s", result["loaders"]["j3c_over_dali_j1"], 0.95, least=True)
    for job in result["resident"] if isinstance(result["resident"], list) else []:
        if job["job"] == "field + crop + flip":
            speed = job["images_per_s"]["median"]
            row(f"resident 32 x 32, batch {job['batch']}: images/s", speed, 2e6, least=True)
    return found


def report(result: dict[str, Any]) -> None:
    """Print the targets, what failed, and what was left out."""
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"{result['gpu']['name']}, torch for CUDA {result['gpu']['cuda_of_torch']}")
    for row in result["targets"]:
        mark = "holds" if row["holds"] else "MISSED"
        console.print(f"{row['what']}: {row['figure']} (limit {row['limit']}) {mark}")
    for name, part in result.items():
        if isinstance(part, dict) and "failed" in part and part["failed"]:
            console.print(f"{name} failed: {part['failed']}", markup=False)
    for peer in result["peers"] if isinstance(result["peers"], list) else []:
        if "left_out" in peer:
            console.print(f"left out: {peer['peer']}: {peer['left_out']}", markup=False)
