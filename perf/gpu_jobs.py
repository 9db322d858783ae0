"""The jobs of the GPU's loader table, and one of them in a process of its own.

`python -m fieldloom.perf.gpu_jobs` is driven line by line, as `job_process` is for the CPU.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from fieldloom.perf.jobs import MEAN, STD, Epoch, Files, j1, j3c
from fieldloom.perf.usage import cpu_seconds


@contextmanager
def dali_j1(files: Files, batch: int, size: int, threads: int, device: str = "cuda:0") -> Iterator[Epoch]:
    """DALI's own J1 on a GPU: mixed image_random_crop, resize, crop_mirror_normalize -> float32 NCHW."""
    import torch
    from nvidia.dali import fn, types
    from nvidia.dali.pipeline import Pipeline

    index = torch.device(device).index or 0
    pipe = Pipeline(batch, threads, index, seed=1)
    constants: Any = types  # their names are made at import, unseen by type checkers
    with pipe:
        encoded, targets = fn.readers.file(
            files=[f for f, _ in files], labels=[label for _, label in files], random_shuffle=True,
            initial_fill=1024, name="reader",
        )  # fmt: skip
        images: Any = fn.decoders.image_random_crop(
            encoded, device="mixed", random_area=[0.08, 1.0], output_type=constants.RGB
        )
        images = fn.resize(images, resize_x=size, resize_y=size)
        images = fn.crop_mirror_normalize(
            images, dtype=constants.FLOAT, output_layout="CHW", mirror=fn.random.coin_flip(),
            mean=[255 * m for m in MEAN], std=[255 * s for s in STD],
        )  # fmt: skip
        pipe.set_outputs(images, targets)
    pipe.build()

    def epoch() -> int:
        done = 0
        while done < len(files):
            images, targets = pipe.run(torch.cuda.current_stream(index))
            torch.from_dlpack(images.as_tensor())
            done += len(targets)
        return done

    yield epoch


#: Name -> job; each takes files, batch, size, threads and device.
JOBS: dict[str, Callable[..., Any]] = {"J1": j1, "J3c": j3c, "DALI J1": dali_j1}


def main() -> None:
    """Read a job, then answer "epoch" commands until the input ends."""
    import torch

    setting = json.loads(sys.stdin.readline())
    files = [(path, label) for path, label in setting["files"]]
    device = setting["device"]
    torch.zeros(1, device=device)  # the context's own memory is nobody's
    make = partial(JOBS[setting["job"]], files, setting["batch"], setting["size"], setting["threads"], device)
    for _ in sys.stdin:
        free_before = torch.cuda.mem_get_info(device)[0]  # the other jobs' processes are idle
        with make() as epoch:
            epoch()
            torch.cuda.synchronize(device)
            cpu, wall = cpu_seconds(), time.perf_counter()
            n = epoch()
            torch.cuda.synchronize(device)
            wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
            used = free_before - torch.cuda.mem_get_info(device)[0]
        torch.cuda.empty_cache()
        print(json.dumps({"n": n, "cpu_s": cpu, "wall_s": wall, "gpu_mb": used / 1e6}), flush=True)


if __name__ == "__main__":
    main()
