"""The packed benchmark: our packed data sets, FFCV's, and DALI from files, interleaved in one run.

`python -m fieldloom.perf packed PATH --ffcv PYTHON --json FILE`. Every job runs in a process of its own; a
round runs one epoch of each in turn, in an order that rotates. FFCV gets the pixels of the raw data set.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from fieldloom.perf.loader_bench import JobProcess
from fieldloom.perf.machine import describe
from fieldloom.perf.packed_start import measure_start
from fieldloom.perf.spread import spread

RAW, JPEG, FFCV = "raw J1", "jpeg J1", "FFCV raw J1"
FFCV_LAST = f"{FFCV}, channels last"
#: What the project set itself.
OVER_FFCV, OVER_PASS_MS, START_S, START_MB = 1.2, 0.15, 5.0, 200.0


class _Process(JobProcess):
    """A job under any Python, driven as the loader benchmark's are."""

    def __init__(self, command: list[str], setting: dict[str, Any]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._send(setting)

    def close(self) -> None:
        """End the process."""
        super().close()
        if self._process.stdout is not None:
            self._process.stdout.close()


def run(
    path: str,
    *,
    rounds: int,
    batch_size: int,
    size: int,
    threads: int,
    n_images: int,
    ffcv: str | None,
    n_start: int,
) -> dict[str, Any]:
    """Measure every job that can run here.

    Args:
        path: An ImageFolder of JPEGs.
        rounds: Interleaved rounds.
        batch_size: Images of a batch.
        size: Output side in pixels.
        threads: Threads of each job.
        n_images: Images of an epoch at least; the data set is repeated.
        ffcv: A Python that has FFCV; None leaves it out.
        n_start: Samples of the data set whose start is measured; 0 leaves that out.

    Returns:
        The report, ready for JSON.
    """
    with tempfile.TemporaryDirectory(prefix="fieldloom-packed-") as folder:
        measured, facts = _measure(path, folder, rounds, batch_size, size, threads, n_images, ffcv)
    jobs = {name: _summary(rows) for name, rows in measured.items()}
    report: dict[str, Any] = {
        "benchmark": "packed",
        "machine": describe(),
        "setting": {
            "batch_size": batch_size, "size": size, "threads": threads, "rounds": rounds,
            "source": Path(path).name, **facts,
        },
        "jobs": jobs,
        "ratios": _ratios(measured),
        "start": measure_start(n_start) if n_start else None,
        "left_out": [] if ffcv else [FFCV],
    }  # fmt: skip
    report["targets"] = _targets(report)
    return report


def _measure(
    path: str, folder: str, rounds: int, batch: int, size: int, threads: int, n_images: int, ffcv: str | None
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any]]:
    from fieldloom.sources import pack

    raw = pack(path, f"{folder}/raw", threads=threads)
    jpeg = pack(path, f"{folder}/jpeg", kind="jpeg", threads=threads)
    n, repeats = len(raw), -(-n_images // len(raw))
    base = {"batch": batch, "size": size, "threads": threads, "repeats": repeats, "layout": "NCHW"}
    ours = [sys.executable, "-m", "fieldloom.perf.packed_job"]
    raws, last = base | {"job": "loader", "path": f"{folder}/raw"}, {"layout": "channels_last"}
    made: dict[str, tuple[list[str], dict[str, Any]]] = {
        RAW: (ours, raws | {"recipe": "J1"}),
        f"{RAW}, channels last": (ours, raws | last | {"recipe": "J1"}),
        "raw J3c": (ours, raws | {"recipe": "J3c"}),
        JPEG: (ours, base | {"job": "loader", "path": f"{folder}/jpeg", "recipe": "J1"}),
        "pass J1": (ours, raws | {"job": "pass", "recipe": "J1"}),
        "pass J3c": (ours, raws | {"job": "pass", "recipe": "J3c"}),
        "DALI J1 from files": (ours, base | {"job": "dali", "path": path}),
    }
    if ffcv is not None:
        Path(f"{folder}/arrays").mkdir()
        for i in range(n):
            np.save(f"{folder}/arrays/{i:08}.npy", np.ascontiguousarray(raw.pixels(i)))
        script = [ffcv, str(Path(__file__).with_name("packed_ffcv.py"))]
        theirs = base | {"folder": f"{folder}/arrays", "beton": f"{folder}/images.beton", "n": n}
        made[FFCV] = (script, theirs)
        made[FFCV_LAST] = (script, theirs | last)
    facts: dict[str, Any] = {
        "distinct_images": n, "images": n * repeats, "raw_mb": round(raw.n_bytes / 1e6, 1),
        "jpeg_mb": round(jpeg.n_bytes / 1e6, 1),
    }  # fmt: skip
    processes: dict[str, _Process] = {}
    measured: dict[str, list[dict[str, Any]]] = {name: [] for name in made}
    try:
        for name, (command, setting) in made.items():
            processes[name] = _Process(command, setting)
            processes[name].ask("epoch")  # one after the other: nothing compiles while others are measured
        names = list(made)
        for number in range(rounds):
            for k in range(len(names)):
                name = names[(number + k) % len(names)]
                measured[name].append(processes[name].ask("epoch"))
    finally:
        for process in processes.values():
            process.close()
    if ffcv is not None:
        facts["ffcv"] = {key: measured[FFCV][0][key] for key in ("versions", "output")}
    return measured, facts


def _cpu_ms(row: dict[str, Any]) -> float:
    return 1e3 * float(row["cpu_s"]) / float(row["n"])


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "cpu_ms_per_image": spread([_cpu_ms(row) for row in rows]),
        "images_per_s": spread([row["n"] / row["wall_s"] for row in rows], 1),
        "peak_mb": round(max(row["peak_mb"] for row in rows), 1),
    }


def _ratios(measured: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Figures of pairs of jobs, round by round: a slow minute of the machine meets both."""
    cpu = {name: [_cpu_ms(row) for row in rows] for name, rows in measured.items()}
    ratios: dict[str, Any] = {}
    for name in (FFCV, FFCV_LAST):
        if name in cpu:
            ratios[f"{RAW} over {name}"] = spread([a / b for a, b in zip(cpu[RAW], cpu[name], strict=True)])
    for job in ("J1", "J3c"):
        pairs = zip(cpu[f"raw {job}"], cpu[f"pass {job}"], strict=True)
        ratios[f"raw {job} minus pass {job}, ms"] = spread([a - b for a, b in pairs])
    return ratios


def _targets(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Each target, the figure and whether it holds."""
    rows = []

    def row(what: str, figure: float, limit: float) -> None:
        rows.append({"what": what, "figure": round(figure, 3), "limit": limit, "holds": figure <= limit})

    for name, ratio in report["ratios"].items():
        if " over " in name:
            row(f"CPU time, {name}", ratio["median"], OVER_FFCV)
        elif "J3c" in name:
            row(f"CPU time, {name}", ratio["median"], OVER_PASS_MS)
    start = report["start"]
    if start is not None:
        # The quickest of its rounds: what others do on the machine only adds to the time on the wall.
        row(f"first batch of {start['n']} samples, s", start["seconds"]["min"], START_S)
        row(f"memory of {start['n']} samples, MB", start["peak_mb_above"], START_MB)
    return rows


def report(result: dict[str, Any]) -> None:
    """Print a report as tables."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    setting = result["setting"]
    table = Table(title=f"packed, {setting['size']} px, batch {setting['batch_size']}")
    for column in ("job", "CPU ms/image", "spread", "images/s", "peak MB"):
        table.add_column(column, justify="left" if column == "job" else "right")
    for name, job in result["jobs"].items():
        cpu = job["cpu_ms_per_image"]
        table.add_row(
            name, f"{cpu['median']:.3f}", f"{cpu['min']:.3f}-{cpu['max']:.3f}",
            f"{job['images_per_s']['median']:.0f}", f"{job['peak_mb']:.0f}",
        )  # fmt: skip
    console.print(table)
    if result["start"] is not None:
        console.print(json.dumps(result["start"]), highlight=False)
    for row in result["targets"]:
        mark = "holds" if row["holds"] else "MISSED"
        console.print(f"{row['what']}: {row['figure']} (limit {row['limit']}) {mark}", highlight=False)
    for name in result["left_out"]:
        console.print(f"left out, no Python that has it was given: {name}")
