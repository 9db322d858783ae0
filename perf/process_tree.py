"""CPU time and memory of a process's living descendants, from /proc."""

import os
from pathlib import Path

_PROC = Path("/proc")


def clock_tick() -> int:
    """Units of the system's CPU times in a second."""
    return os.sysconf("SC_CLK_TCK")


def children() -> list[int]:
    """Process ids of all living descendants of this process; empty where the system does not say."""
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        for task in _PROC.glob(f"{waiting.pop()}/task/*/children"):
            try:
                own = [int(pid) for pid in task.read_text().split()]
            except (OSError, ValueError):
                continue
            found += own
            waiting += own
    return found


def children_cpu_seconds(pids: list[int]) -> float:
    """Seconds of living processes and of their children that ended; one that has just ended counts as 0."""
    ticks = 0
    for pid in pids:
        try:
            fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(int(value) for value in fields[11:15])
    return ticks / clock_tick()


def shared_megabytes(pids: list[int]) -> float:
    """Memory of processes, 10^6 bytes; pages that they share count once."""
    total = 0
    for pid in pids:
        try:
            text = (_PROC / str(pid) / "smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total * 1024 / 1e6
