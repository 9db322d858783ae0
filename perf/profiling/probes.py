"""What a process and its children use, seen from outside: CPU, bytes read, memory, and others' load."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from ..machine import cores
from ..process_tree import children, children_cpu_seconds, clock_tick, shared_megabytes
from ..usage import cpu_seconds, peak_megabytes

_PROC = Path("/proc")


def _read_of(pid: int) -> tuple[int, int]:
    """(bytes that system calls read, bytes that came from a disk) of a process."""
    try:
        lines = (_PROC / str(pid) / "io").read_text().split("\n")
    except OSError:
        return 0, 0
    counts = dict(line.split(": ") for line in lines if line)
    return int(counts.get("rchar", 0)), int(counts.get("read_bytes", 0))


def thread_seconds() -> float:
    """Seconds for which the calling thread has run, or could have run but found every processor taken.

    Its processor time alone where the system does not tell (then what others take looks like waiting).
    """
    try:
        ran, queued = (_PROC / "thread-self/schedstat").read_text().split()[:2]
        return (int(ran) + int(queued)) / 1e9
    except (OSError, ValueError):
        return time.thread_time()


def _machine_busy() -> float | None:
    """Processor seconds that the whole machine has spent on anything, or None where it does not say.

    Nor where this process may use a part of the machine only: what others do elsewhere is no matter then.
    """
    if cores() != os.cpu_count():
        return None
    try:
        fields = (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _, _, irq, soft = (int(value) for value in fields[:7])
    return (user + nice + system + irq + soft) / clock_tick()


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used between two moments.

    Attributes:
        wall_s: Seconds that passed.
        cpu_s: Processor seconds of this process, its threads and its children.
        thread_cpu_s: Processor seconds of the calling thread.
        read_bytes: Bytes that system calls read, caches of the system included; mapped files are not seen.
        disk_bytes: Bytes that came from a disk.
        others_cores: Processors that everything else on the machine kept busy; None where it is not known.
    """

    wall_s: float
    cpu_s: float
    thread_cpu_s: float
    read_bytes: int
    disk_bytes: int
    others_cores: float | None


class Meter:
    """Measures from its construction on.

    Children count with 10 ms resolution, as the system keeps it. Those that ended are in the figures
    of whoever waited for them, so nothing is lost when a loader's workers end with their epoch.
    """

    def __init__(self) -> None:
        self._start = self._now()

    def _now(self) -> tuple[float, float, float, int, int, float | None]:
        pids = children()
        cpu = cpu_seconds() + children_cpu_seconds(pids)
        reads = [_read_of(pid) for pid in [os.getpid(), *pids]]
        return (
            time.perf_counter(), cpu, time.thread_time(),
            sum(r for r, _ in reads), sum(d for _, d in reads), _machine_busy(),
        )  # fmt: skip

    def usage(self) -> Usage:
        """What was used so far."""
        then, now = self._start, self._now()
        wall, cpu = now[0] - then[0], max(now[1] - then[1], 0.0)
        others = None
        if then[5] is not None and now[5] is not None and wall > 0:
            others = max(now[5] - then[5] - cpu, 0.0) / wall
        read, disk = max(now[3] - then[3], 0), max(now[4] - then[4], 0)
        return Usage(wall, cpu, now[2] - then[2], read, disk, others)


def tree_megabytes() -> float:
    """Memory of this process and its children now, 10^6 bytes; pages that they share count once."""
    return shared_megabytes([os.getpid(), *children()])


def peak_tree_megabytes(seen: float) -> float:
    """The largest of what was `seen` of the tree, of the tree now, and of this process ever."""
    return max(seen, tree_megabytes(), peak_megabytes())
