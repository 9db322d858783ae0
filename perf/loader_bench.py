"""The loader benchmark: our jobs and others' on the same files, interleaved in one run.

`python -m fieldloom.perf loader PATH --json FILE`. Every job runs in a process of its own; a round runs
one epoch of each job in turn, in an order that rotates. CPU time is user + system time of the job's
whole process tree an image; it is robust on a shared machine, where images/s is not.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from fieldloom.perf.jobs import JOBS, Files
from fieldloom.perf.machine import describe
from fieldloom.perf.pass_bench import measure_pass
from fieldloom.perf.spread import spread

#: What the project set itself: (figure, limit, what it is compared to).
TARGETS: tuple[tuple[str, str, float], ...] = (
    ("J1", "CPU time over DALI's J1", 0.75),
    ("J3c", "CPU time over DALI's J1", 0.85),
)

#: CPU time of J4 over that of J3c: what mixing may cost.
MIXING_LIMIT = 1.15


class JobProcess:
    """A job in its own process, driven by commands."""

    def __init__(
        self,
        job: str,
        files: Files,
        batch_size: int,
        size: int,
        threads: int,
        module: str = "fieldloom.perf.job_process",
        **setting: str,
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        base = {"job": job, "files": files, "batch": batch_size, "size": size, "threads": threads}
        self._send(base | setting)

    def _send(self, line: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write((line if isinstance(line, str) else json.dumps(line)) + "\n")
        self._process.stdin.flush()

    def ask(self, command: str) -> dict[str, Any]:
        """Run one command of `job_process` and return its answer."""
        assert self._process.stdout is not None
        self._send(command)
        for line in self._process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"the job's process ended with {self._process.wait()} at {command!r}")

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)


def find_files(path: str, n_images: int) -> Files:
    """(path, label) of an ImageFolder, repeated until there are at least `n_images`."""
    from fieldloom.sources import FolderSource

    source = FolderSource(path)
    files = [(source.name(i), int(label)) for i, label in enumerate(np.asarray(source.targets))]
    return files * -(-n_images // len(files))


def run(path: str, *, rounds: int, batch_size: int, size: int, threads: int, n_images: int) -> dict[str, Any]:
    """Measure every job that can run here.

    Args:
        path: An ImageFolder of JPEGs.
        rounds: Interleaved rounds.
        batch_size: Images of a batch.
        size: Output side in pixels.
        threads: Threads (or worker processes) of each job.
        n_images: Files of an epoch at least; the folder is repeated.

    Returns:
        The report, ready for JSON.
    """
    files = find_files(path, n_images)
    names = [name for name, (_, needs) in JOBS.items() if needs is None or importlib.util.find_spec(needs)]
    processes = {name: JobProcess(name, files, batch_size, size, threads) for name in names}
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    try:
        for round_ in range(rounds):
            for k in range(len(names)):
                name = names[(round_ + k) % len(names)]
                measured[name].append(processes[name].ask("epoch"))
        first = {name: processes[name].ask("first")["first_batch_s"] for name in names}
    finally:
        for process in processes.values():
            process.close()
    jobs = {name: _summary(measured[name], first[name]) for name in names}
    report: dict[str, Any] = {
        "benchmark": "loader",
        "machine": describe(),
        "setting": {
            "files": len(files), "distinct_files": len(set(files)), "batch_size": batch_size, "size": size,
            "threads": threads, "rounds": rounds, "source": Path(path).name,
        },
        "jobs": jobs,
        "fused_pass": measure_pass(size),
        "left_out": [name for name in JOBS if name not in names],
    }  # fmt: skip
    report["targets"] = _targets(report)
    return report


def _summary(rounds: list[dict[str, Any]], first_batch_s: float | None) -> dict[str, Any]:
    cpu = [1e3 * r["cpu_s"] / r["n"] for r in rounds]
    speed = [r["n"] / r["wall_s"] for r in rounds]
    summary = {
        "cpu_ms_per_image": spread(cpu),
        "images_per_s": spread(speed),
        "peak_mb": round(max(r["peak_mb"] for r in rounds), 1),
    }
    if first_batch_s is not None:
        summary["first_batch_s"] = round(first_batch_s, 3)
    return summary


def _targets(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Each target, the figure and whether it holds."""
    jobs, rows = report["jobs"], []

    def row(what: str, figure: float, limit: float) -> None:
        rows.append({"what": what, "figure": round(figure, 3), "limit": limit, "holds": figure <= limit})

    base = _median(jobs["DALI J1"])
    for name, what, limit in TARGETS:
        row(f"{name}: {what}", _median(jobs[name]) / base, limit)
        row(f"{name}: peak memory, MB", jobs[name]["peak_mb"], 700)
        row(f"{name}: first batch, s", jobs[name]["first_batch_s"], 1.5)
    row("J4: CPU time over J3c", _median(jobs["J4"]) / _median(jobs["J3c"]), MIXING_LIMIT)
    row(
        "fused pass with fields, ms an image and core",
        report["fused_pass"]["cpu_ms_per_image"]["median"],
        0.6,
    )
    return rows


def _median(job: dict[str, Any]) -> float:
    median: float = job["cpu_ms_per_image"]["median"]
    return median


def report(result: dict[str, Any]) -> None:
    """Print a report as tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=f"loader, {result['setting']['size']} px, batch {result['setting']['batch_size']}")
    for column in ("job", "CPU ms/image", "spread", "images/s", "peak MB", "first batch s"):
        table.add_column(column, justify="left" if column == "job" else "right")
    for name, job in result["jobs"].items():
        cpu = job["cpu_ms_per_image"]
        table.add_row(
            name, f"{cpu['median']:.3f}", f"{cpu['min']:.3f}-{cpu['max']:.3f}",
            f"{job['images_per_s']['median']:.0f}", f"{job['peak_mb']:.0f}",
            f"{job.get('first_batch_s', '-')}",
        )  # fmt: skip
    console.print(table)
    for row in result["targets"]:
        mark = "holds" if row["holds"] else "MISSED"
        console.print(f"{row['what']}: {row['figure']} (limit {row['limit']}) {mark}", highlight=False)
    for name in result["left_out"]:
        console.print(f"left out, not installed: {name}")
