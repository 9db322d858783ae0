"""All jobs by all peers that are installed: `python -m fieldloom.perf peers PATH`, or `make bench`.

For each job every peer gets a process of its own; rounds are interleaved in rotating order, so that a slow
minute of the machine meets all of them. A round takes each peer about the same time: the number of images is
chosen by its first measured speed. Figures are CPU time of the whole process tree an image, and images/s.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from fieldloom.perf.machine import describe
from fieldloom.perf.spread import spread

from .table import JOBS, PEERS
from .targets import targets
from .work import Work

#: Distributions whose versions a report names besides those of `machine.describe`.
DISTRIBUTIONS = ("albumentations", "torchvision", "kornia", "timm", "spdl", "spdl_core", "ffcv")
#: Images that are kept in memory for J5 and J6.
IN_MEMORY, SMALL_IN_MEMORY = 512, 8192
#: Batches by which a peer's speed is first seen, and the fewest of a round.
FEWEST = 4

Tell = Callable[[str], None]


class PeerProcess:
    """A peer at work in its own process."""

    def __init__(self, peer: str, work: Work, python: str = sys.executable) -> None:
        self._process = subprocess.Popen(
            [python, "-m", "fieldloom.perf.peers.process"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._send(json.dumps(asdict(work) | {"peer": peer}))

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # what went wrong is in its answer, or in its status
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def run(self, n: int) -> dict[str, Any]:
        """Run about n images; the answer of `process`, or why there is none."""
        assert self._process.stdout is not None
        self._send(f"run {n}")
        for line in self._process.stdout:
            if line.startswith("@"):
                answer: dict[str, Any] = json.loads(line[1:])
                return answer
        return {"error": f"its process ended with status {self._process.wait()}"}

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def run(
    path: Path,
    *,
    jobs: Sequence[str] = tuple(JOBS),
    peers: Sequence[str] = tuple(PEERS),
    rounds: int = 3,
    seconds: float = 6.0,
    n_files: int = 1000,
    threads: int = 2,
    pythons: Mapping[str, str] | None = None,
    tell: Tell = lambda line: None,
) -> dict[str, Any]:
    """Measure.

    Args:
        path: An ImageFolder of JPEGs.
        jobs: Which jobs; `peers` which peers.
        peers: See `jobs`.
        rounds: Interleaved rounds.
        seconds: What a round of one peer takes, about.
        n_files: Files of an epoch at least; the folder is repeated.
        threads: Threads or worker processes of each.
        pythons: Peer -> interpreter of another environment, where the peer cannot live in this one; fieldloom
            must be importable there.
        tell: Hears what is going on.
    """
    from fieldloom.perf.loader_bench import find_files

    files, pythons = find_files(str(path), n_files), pythons or {}
    missing = {p: PEERS[p].missing() for p in peers if p not in pythons}
    left_out = {p: f"not installed: {', '.join(names)}" for p, names in missing.items() if names}
    report: dict[str, Any] = {
        "benchmark": "peers", "machine": _machine(), "left_out": left_out,
        "setting": {
            "files": len(files), "distinct_files": len(set(files)), "threads": threads, "rounds": rounds,
            "seconds_a_round": seconds, "source": path.name,
        },
        "jobs": {},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for job in jobs:
            able = [p for p in peers if p not in left_out and job in PEERS[p].jobs]
            work = _work(job, files, Path(folder), threads)
            report["jobs"][job] = {"what": JOBS[job], "batch": work.batch, "peers": {}}
            for peer, row in _job(work, able, rounds, seconds, pythons, tell).items():
                report["jobs"][job]["peers"][peer] = row
    report["targets"] = targets(report)
    return report


def _work(job: str, files: list[tuple[str, int]], folder: Path, threads: int) -> Work:
    work = Work(job, files, "", 64, 224, threads)
    if not work.in_memory:
        return work
    side, n, batch = (32, SMALL_IN_MEMORY, 512) if work.small else (224, IN_MEMORY, 64)
    path = folder / f"{side}.npy"
    if not path.exists():
        np.save(path, _stack(files, side, n))
    return Work(job, [], str(path), batch, side, threads)


def _stack(files: list[tuple[str, int]], side: int, n: int) -> np.ndarray:
    from PIL import Image

    distinct = sorted({path for path, _ in files})[:n]
    images = []
    for path in distinct:
        with Image.open(path) as image:
            images.append(np.asarray(image.convert("RGB").resize((side, side))))
    return np.stack([images[i % len(images)] for i in range(n)])


def _job(
    work: Work, peers: list[str], rounds: int, seconds: float, pythons: Mapping[str, str], tell: Tell
) -> dict[str, Any]:
    processes = {peer: PeerProcess(peer, work, pythons.get(peer, sys.executable)) for peer in peers}
    rows: dict[str, Any] = {}
    measured: dict[str, list[dict[str, Any]]] = {peer: [] for peer in peers}
    counts: dict[str, int] = {}
    try:
        for peer in peers:
            first = processes[peer].run(1)
            seen = first if "error" in first else processes[peer].run(FEWEST * work.batch)
            if "error" in seen:
                rows[peer] = {"error": seen["error"]}
                tell(f"{work.job} {peer}: {seen['error']}")
                continue
            rows[peer] = {"first_s": round(first["first_s"], 2)}
            counts[peer] = max(FEWEST * work.batch, int(seen["n"] / seen["wall_s"] * seconds))
        for round_ in range(rounds):
            for k in range(len(counts)):
                peer = list(counts)[(round_ + k) % len(counts)]
                measured[peer].append(processes[peer].run(counts[peer]))
    finally:
        for process in processes.values():
            process.close()
    for peer in counts:
        rows[peer] |= _summary(measured[peer])
        if "cpu_ms_per_image" in rows[peer]:
            tell(
                f"{work.job} {peer}: {rows[peer]['cpu_ms_per_image']['median']} CPU ms, "
                f"{rows[peer]['images_per_s']['median']:.0f} images/s"
            )
    return rows


def _summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    errors = [r["error"] for r in rounds if "error" in r]
    if errors:
        return {"error": errors[0]}
    return {
        "cpu_ms_per_image": spread([1e3 * r["cpu_s"] / r["n"] for r in rounds]),
        "images_per_s": spread([r["n"] / r["wall_s"] for r in rounds], 1),
        "images": sum(r["n"] for r in rounds),
        "peak_mb": round(max(r["peak_mb"] for r in rounds), 1),
    }


def _machine() -> dict[str, Any]:
    machine = describe()
    for name in DISTRIBUTIONS:
        try:
            machine["versions"][name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return machine
