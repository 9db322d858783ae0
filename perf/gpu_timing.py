"""Times of work on a GPU, by events on its stream; and what the device can copy, to hold them against."""

import time
from collections.abc import Callable
from typing import Any

from fieldloom.perf.spread import spread

#: Timed rounds of everything; the median is reported with its spread.
ROUNDS = 7


def device_us(work: list[Callable[[], Any]], target_ms: float = 20.0) -> list[float]:
    """Microseconds of device time a call, for each of ROUNDS rounds.

    Args:
        work: The same work on different memory, called in turn: together it should exceed the cache.
        target_ms: Length of a round, so that what the events themselves cost vanishes.
    """
    import torch

    def measure(n: int) -> float:
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for k in range(n):
            work[k % len(work)]()
        stop.record()
        stop.synchronize()
        return 1e3 * start.elapsed_time(stop) / n

    measure(2 * len(work))  # warms caches, allocators and clocks
    once = measure(2 * len(work))
    n = max(len(work), min(2000, int(1e3 * target_ms / max(once, 1e-3))))
    return [measure(n) for _ in range(ROUNDS)]


def host_us(work: Callable[[], Any], n: int = 50) -> list[float]:
    """Microseconds that the host takes to enqueue a call; the device is idle before each round."""
    import torch

    values = []
    for _ in range(ROUNDS):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(n):
            work()
        values.append(1e6 * (time.perf_counter() - start) / n)
    torch.cuda.synchronize()
    return values


def copy_bandwidth(device: Any) -> dict[str, float]:
    """GB/s, read and written bytes together, of torch's copy between buffers far larger than the cache."""
    import torch

    n = 512 * 2**20
    source = torch.zeros(n, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return spread([2e-3 * n / us for us in device_us([lambda: target.copy_(source)])], 1)


def sets_beyond_cache(device: Any, n_bytes: int) -> int:
    """How many sets of buffers of `n_bytes` exceed the level-2 cache four times."""
    import torch

    cache = getattr(torch.cuda.get_device_properties(device), "L2_cache_size", 0) or 64 * 2**20
    return max(2, -(-4 * cache // n_bytes))
