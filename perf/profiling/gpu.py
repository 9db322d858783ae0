"""A GPU's memory and use while a loader runs."""

import shutil
import statistics
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

#: Seconds between two looks.
_PERIOD_S = 0.5


@contextmanager
def watching_gpu(device: str) -> Iterator[dict[str, Any]]:
    """Look at a GPU now and then while the block runs; the figures are there behind it.

    Yields:
        An empty dict for a CPU; else, behind the block: "name", "use_percent" (median of the looks),
        "memory_mb" (most that the whole GPU had in use) and "torch_peak_mb" (most that torch held).
    """
    found: dict[str, Any] = {}
    if not device.startswith("cuda"):
        yield found
        return
    import torch

    index = torch.device(device).index or 0
    torch.cuda.reset_peak_memory_stats(index)
    used: list[float] = []
    memory: list[float] = []
    end = threading.Event()

    def look() -> None:
        while True:
            free, total = torch.cuda.mem_get_info(index)
            memory.append((total - free) / 1e6)
            use = _use_percent(str(torch.cuda.get_device_properties(index).uuid))
            if use is not None:
                used.append(use)
            if end.wait(_PERIOD_S):
                return

    thread = threading.Thread(target=look, name="fieldloom-look-at-gpu", daemon=True)
    thread.start()
    try:
        yield found
    finally:
        end.set()
        thread.join()
        found.update(
            name=torch.cuda.get_device_name(index),
            use_percent=statistics.median(used) if used else None,
            memory_mb=max(memory, default=None),
            torch_peak_mb=torch.cuda.max_memory_allocated(index) / 1e6,
        )


def _use_percent(uuid: str) -> float | None:
    """How much of the last moment a GPU was busy, as its driver's own tool says; None without it."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    name = uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"
    command = [tool, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-i", name]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout
        return float(answer.strip())
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
