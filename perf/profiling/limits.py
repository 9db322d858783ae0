"""What the machine allows: memory bandwidth, the queue's own cost, the copy to a GPU."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

#: Larger than last-level caches, so that memory is measured.
_BYTES = 96 * 2**20


def memory_gigabytes_per_s(threads: int, seconds: float = 0.4) -> float:
    """Bytes read and written by copying arrays that no cache holds, 10^9/s, with `threads` threads.

    The best of the repetitions: this is a limit.
    """
    parts = [np.zeros(_BYTES // threads, np.uint8) for _ in range(2 * threads)]
    pairs = list(zip(parts[::2], parts[1::2], strict=True))
    best = float("inf")
    start = time.perf_counter()

    def copy(pair: tuple[np.ndarray, np.ndarray]) -> None:
        np.copyto(*pair)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(copy, pairs))  # pages are there from now on
        for done in itertools.count():
            begin = time.perf_counter()
            if done >= 3 and begin - start > seconds:
                break
            list(pool.map(copy, pairs))
            best = min(best, time.perf_counter() - begin)
    return 2 * sum(target.nbytes for target, _ in pairs) / best / 1e9


def handoff_ms(n: int = 200) -> float:
    """Milliseconds that handing one batch through the loader's queue costs, without any waiting."""
    from fieldloom.handoff import Handoff

    queue: Handoff[int] = Handoff(1)
    start = time.perf_counter()
    for item in range(n):
        queue.put(item)
        queue.get()
    return 1e3 * (time.perf_counter() - start) / n


def copy_to_device_ms(device: str, n_bytes: int, n_images: int = 64) -> float:
    """Milliseconds an image of `n_bytes` takes from pinned memory to a GPU, in batches of `n_images`."""
    import torch

    host = torch.empty(n_bytes * n_images, dtype=torch.uint8, pin_memory=True)
    there = torch.empty_like(host, device=device)
    times = []
    for _ in range(12):
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        there.copy_(host, non_blocking=True)
        torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return 1e3 * min(times) / n_images
