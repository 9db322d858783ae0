"""One job of the packed benchmark in a process of its own: `python -m fieldloom.perf.packed_job`.

Reads its setting as a line of JSON, then answers each line "epoch" with one epoch's figures.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from fieldloom.perf.usage import cpu_seconds, tree_peak_megabytes

Epoch = Callable[[], int]


def recipe(name: str) -> list[Any]:
    """J1, or J3c: J1 with a translate field and four color fields on every image."""
    import fieldloom as fl

    fields = [fl.RandomField("translate", p=1.0), fl.ColorField(p=1.0)] if name == "J3c" else []
    return [fl.RandomResizedCrop(), fl.HorizontalFlip(), *fields, fl.Normalize()]


@contextmanager
def _loader(setting: dict[str, Any]) -> Iterator[Epoch]:
    """`DataLoader` on a packed data set."""
    import fieldloom as fl

    with fl.DataLoader(
        setting["path"], batch_size=setting["batch"], size=setting["size"], shuffle=True, device="cpu",
        threads=setting["threads"], augment=recipe(setting["recipe"]), layout=setting["layout"],
    ) as loader:  # fmt: skip
        n = len(loader.source)
        loader.select(np.arange(n), repeats=np.full(n, setting["repeats"]))
        yield lambda: sum(len(batch) for batch in loader)


@contextmanager
def _pass(setting: dict[str, Any]) -> Iterator[Epoch]:
    """The fused pass alone, in one thread: the same images in memory, windows as the loader draws them."""
    from fieldloom.kernels.draws import Keys
    from fieldloom.kernels.fusedpass import FusedPass, Sources
    from fieldloom.recipe import Format, compile_recipe
    from fieldloom.sources import PackedSource

    packed = PackedSource(setting["path"])
    images = [np.ascontiguousarray(packed.pixels(i)) for i in range(len(packed))]
    fused = FusedPass(compile_recipe(recipe(setting["recipe"]), Format(setting["size"])))
    batch, epoch_number = setting["batch"], iter(range(10**6))
    out = fused.empty(batch)

    def epoch() -> int:
        number = next(epoch_number)
        order = np.random.default_rng(number).permutation(np.tile(np.arange(len(images)), setting["repeats"]))
        for first in range(0, len(order), batch):
            ids = order[first : first + batch]
            keys = Keys(0, number, ids, np.zeros(len(ids), np.int64))
            windows = fused.windows(keys, np.array([images[i].shape[:2] for i in ids]))
            rects = windows.rects.tolist()
            cut = [images[i][y : y + h, x : x + w] for i, (y, x, h, w) in zip(ids, rects, strict=True)]
            fused(keys, windows, Sources.of_arrays(cut), out[: len(ids)])
        return len(order)

    yield epoch


def _dali(setting: dict[str, Any]) -> Any:
    """DALI's J1 from the original files."""
    from fieldloom.perf.jobs import dali_j1
    from fieldloom.perf.loader_bench import find_files

    files = find_files(setting["path"], 1) * setting["repeats"]
    return dali_j1(files, setting["batch"], setting["size"], setting["threads"])


JOBS: dict[str, Callable[[dict[str, Any]], Any]] = {"loader": _loader, "pass": _pass, "dali": _dali}


def main() -> None:
    """Read a job, then answer commands until the input ends."""
    setting = json.loads(sys.stdin.readline())
    with ExitStack() as stack:
        epoch = stack.enter_context(JOBS[setting["job"]](setting))
        epoch()  # warms it up
        for _ in sys.stdin:
            cpu, wall = cpu_seconds(), time.perf_counter()
            n = epoch()
            wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
            answer = {"n": n, "cpu_s": cpu, "wall_s": wall, "peak_mb": tree_peak_megabytes()}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
