"""The loader table of a GPU: whole loaders from JPEG files, each in its own process, interleaved."""

from typing import Any

from fieldloom.perf.gpu_jobs import JOBS
from fieldloom.perf.jobs import Files
from fieldloom.perf.loader_bench import JobProcess
from fieldloom.perf.spread import spread


def measure(
    files: Files, device: str, *, rounds: int, batch: int = 256, size: int = 224, threads: int = 8
) -> dict[str, Any]:
    """Images/s, host CPU time an image and GPU memory of each job.

    A round runs one epoch of each job in turn, in an order that rotates.
    """
    names = list(JOBS)
    processes = {
        name: JobProcess(name, files, batch, size, threads, "fieldloom.perf.gpu_jobs", device=device)
        for name in names
    }
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    failed: dict[str, str] = {}
    try:
        for round_ in range(rounds):
            for k in range(len(names)):
                name = names[(round_ + k) % len(names)]
                try:
                    if name not in failed:
                        measured[name].append(processes[name].ask("epoch"))
                except (OSError, RuntimeError) as error:  # its process has ended; the others go on
                    failed[name] = str(error)
    finally:
        for process in processes.values():
            process.close()
    jobs = {name: _summary(runs) for name, runs in measured.items() if runs and name not in failed}
    report: dict[str, Any] = {
        "files": len(files), "distinct_files": len(set(files)), "batch": batch, "size": size,
        "threads": threads, "rounds": rounds, "jobs": jobs, "failed": failed,
    }  # fmt: skip
    if {"J3c", "DALI J1"} <= set(jobs):
        speeds = [jobs[name]["images_per_s"]["median"] for name in ("J3c", "DALI J1")]
        report["j3c_over_dali_j1"] = round(speeds[0] / speeds[1], 3)
    return report


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "images_per_s": spread([r["n"] / r["wall_s"] for r in runs], 1),
        "host_cpu_us_per_image": spread([1e6 * r["cpu_s"] / r["n"] for r in runs], 1),
        "gpu_mb": round(max(r["gpu_mb"] for r in runs), 1),
    }
