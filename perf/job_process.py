"""One job in a process of its own: `python -m fieldloom.perf.job_process`, driven line by line.

A process for each job keeps memory figures apart; driving them by commands interleaves their rounds,
so that a slow minute of the machine meets all of them.
"""

import json
import sys
import time
from contextlib import ExitStack
from typing import Any

from fieldloom.perf.jobs import JOBS
from fieldloom.perf.usage import cpu_seconds, tree_peak_megabytes


def main() -> None:
    """Read a job, then answer "epoch" commands and a last "first" until the input ends."""
    setting = json.loads(sys.stdin.readline())
    make, _ = JOBS[setting["job"]]
    files = [(path, label) for path, label in setting["files"]]

    with ExitStack() as stack:
        epoch = None
        for line in sys.stdin:
            match line.strip():
                case "epoch":
                    if epoch is None:  # one loader for all rounds, as in a training
                        epoch = stack.enter_context(
                            make(files, setting["batch"], setting["size"], setting["threads"])
                        )
                        epoch()  # warms it up
                    cpu, wall = cpu_seconds(), time.perf_counter()
                    n = epoch()
                    wall = time.perf_counter() - wall
                    # Worker processes count once they have ended: at the end of their epoch.
                    cpu = cpu_seconds() - cpu
                    _answer({"n": n, "cpu_s": cpu, "wall_s": wall, "peak_mb": tree_peak_megabytes()})
                case "first":
                    stack.close()
                    _answer({"first_batch_s": _first_batch(setting["job"], files, setting)})


def _first_batch(job: str, files: list[tuple[str, int]], setting: dict[str, Any]) -> float | None:
    """Seconds from the constructor's start to the first batch, imports done and caches warm."""
    if job not in ("J1", "J3c"):
        return None
    import fieldloom as fl

    def once() -> float:
        start = time.perf_counter()
        augment = list(fl.preset("rfa" if job == "J3c" else "imagenet"))
        with fl.DataLoader(
            files, batch_size=setting["batch"], size=setting["size"], shuffle=True,
            threads=setting["threads"], augment=augment, device="cpu",
        ) as loader:  # fmt: skip
            next(iter(loader))
            return time.perf_counter() - start

    once()
    return once()


def _answer(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
