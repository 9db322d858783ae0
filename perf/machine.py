"""What a figure was measured on: machine, versions, date."""

import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

#: Packages whose version bears on a figure.
PACKAGES = (
    "fieldloom", "numpy", "numba", "torch", "nvidia-dali-cuda130", "nvidia-dali-cuda120", "pillow",
    "albumentations", "opencv-python-headless", "cupy-cuda13x", "torchvision",
)  # fmt: skip


def describe() -> dict[str, Any]:
    """Processor, cores, memory, versions and time, ready for JSON."""
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": sys.version.split()[0],
        "versions": versions(),
        "date": time.strftime("%Y-%m-%d"),
    }


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Installed versions of PACKAGES."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
