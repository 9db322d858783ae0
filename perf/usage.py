"""CPU time and memory of this process and its children."""

import resource
from pathlib import Path


def cpu_seconds() -> float:
    """User and system time of this process, all its threads, and its ended children."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    return total


def peak_megabytes() -> float:
    """Largest resident size of this process so far, in MB (10^6 bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def tree_peak_megabytes() -> float:
    """Largest resident size of this process, plus that of its largest ended child."""
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    return peak_megabytes() + child


def resident_megabytes() -> float:
    """Resident size now, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def forget_peak() -> None:
    """Let `peak_since_megabytes` begin anew (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_since_megabytes() -> float:
    """Largest resident size since `forget_peak`, in MB.

    Raises:
        OSError: The system does not say.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError("no VmHWM in /proc/self/status")
