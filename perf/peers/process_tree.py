"""CPU time and memory of a process's living descendants, from /proc."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Children:
    """What they have used.

    Attributes:
        cpu_s: User and system seconds, those of their own ended children included.
        resident_mb: Proportional resident size, 10^6 bytes: pages that several share count once.
    """

    cpu_s: float
    resident_mb: float


def living_children(root: int | None = None) -> Children:
    """Sum over all living descendants of a process (this one)."""
    tick = os.sysconf("SC_CLK_TCK")
    cpu, memory = 0.0, 0.0
    for pid in _descendants(os.getpid() if root is None else root):
        try:
            values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            cpu += sum(map(int, values[11:15])) / tick
            memory += _proportional_kb(pid) * 1024 / 1e6
        except (OSError, IndexError):  # it has just ended
            continue
    return Children(cpu, memory)


def _descendants(root: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            parents.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        for child in parents.get(waiting.pop(), []):
            found.append(child)
            waiting.append(child)
    return found


def _proportional_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0
