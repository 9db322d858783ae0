"""What it costs to put a kernel into a DALI graph, besides the kernel: each way on the same images in memory.

Two kernels: the fused pass, and one so light that little else is left (bytes to normalized planes). "bare"
calls the kernel by itself; every other way gets the same uniform batch through a pipeline, one batch ahead.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit

from fieldloom.kernels.cpu import share
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.perf.spread import spread
from fieldloom.perf.usage import cpu_seconds
from fieldloom.pipelines.stage import FusedStage

#: Way -> what it is.
OVERHEAD_WAYS = {
    "bare": "the kernel by itself",
    "source": "the pipeline without the kernel",
    "outside": "the kernel on the pipeline's outputs",
    "python_function": "fn.fused, or a python_function: DALI copies the outputs",
    "direct": "fn.fused(direct=True): a private operator hands them over",
    "numba_function": "numba_function, sample by sample in DALI's threads",
}
#: Side of the images; the outputs' is an argument.
SIDE = 256
#: Batches of each way in each round.
BATCHES = 4

Way = Callable[[], Any]


@njit(nogil=True, error_model="numpy")
def _normalize(out, image):  # type: ignore[no-untyped-def]
    """uint8 (h, w, 3) into float32 (3, h, w): what is light enough to show what a way costs."""
    scale, bias = np.float32(1 / 57.0), np.float32(-2.0)
    for c in range(3):
        for y in range(image.shape[0]):
            for x in range(image.shape[1]):
                out[c, y, x] = np.float32(image[y, x, c]) * scale + bias


def _normalize_run(out, image):  # type: ignore[no-untyped-def]
    _normalize(out, image)


def _normalize_setup(outs, ins):  # type: ignore[no-untyped-def]
    for k in range(len(ins[0])):
        outs[0][k][0], outs[0][k][1], outs[0][k][2] = 3, ins[0][k][0], ins[0][k][1]


def overheads(
    recipe: list[Any], fused_pass: FusedPass, *, batch_size: int, threads: int, rounds: int
) -> dict[str, Any]:
    """CPU and wall time of a batch by kernel and way, and their ratios to the bare kernel, round by round.

    Args:
        recipe: For `fn.fused`.
        fused_pass: The same, compiled.
        batch_size: Images of a batch.
        threads: Threads of the kernel, and of each pipeline.
        rounds: Interleaved rounds of `BATCHES` batches of each way.
    """
    images = np.random.default_rng(0).integers(0, 256, (batch_size, SIDE, SIDE, 3), np.uint8)
    pool = ThreadPoolExecutor(threads)
    report: dict[str, Any] = {}
    try:
        for kernel, ways in (
            ("fused", _fused_ways(images, recipe, fused_pass, pool, threads)),
            ("normalize", _light_ways(images, pool, threads)),
        ):
            report[kernel] = _measure(ways, rounds)
    finally:
        pool.shutdown()
    return report


def _fused_ways(
    images: np.ndarray, recipe: list[Any], fused_pass: FusedPass, pool: ThreadPoolExecutor, threads: int
) -> dict[str, Way]:
    from fieldloom.pipelines import fn
    from fieldloom.pipelines.fn_direct import works

    n, plan = len(images), fused_pass.plan
    stage, ids, out = FusedStage(fused_pass, threads), np.arange(n), fused_pass.empty(n)
    options: dict[str, Any] = {"size": (plan.height, plan.width), "epoch": 0, "seed": 0}
    ways: dict[str, Way] = {
        "bare": lambda: stage(Sources.of_arrays(list(images)), ids, out=out),
        "source": _pipeline(images, threads, lambda x: x),
    }
    source = _pipeline(images, threads, lambda x: x)
    ways["outside"] = lambda: stage(source()[0], ids, out=out)
    ways["python_function"] = _pipeline(images, threads, lambda x: fn.fused(x, recipe, **options))
    if works():
        ways["direct"] = _pipeline(images, threads, lambda x: fn.fused(x, recipe, **options, direct=True))
    return ways


def _light_ways(images: np.ndarray, pool: ThreadPoolExecutor, threads: int) -> dict[str, Way]:
    from nvidia.dali import fn as dali

    from fieldloom.buffers import BufferPool
    from fieldloom.pipelines.fn_direct import HandOver, adopt, works

    shape = (len(images), 3, *images.shape[1:3])
    out, buffers = np.empty(shape, np.float32), BufferPool(keep=3)

    def light(batch: Any, target: np.ndarray) -> np.ndarray:
        def task(first: int, last: int) -> None:
            for k in range(first, last):
                _normalize(target[k], batch[k])

        share(task, len(batch), pool)
        return target

    def handed(x: Any) -> Any:
        hand = HandOver(1)

        def run(batch: Any) -> list[np.ndarray]:
            hand.waiting.append((light(batch, buffers.take(shape, np.float32)),))
            return list(np.zeros((len(batch), 1), np.uint8))

        tokens = dali.python_function(x, function=run, batch_processing=True)
        kept.append(hand)
        return adopt(tokens, hand, ["CHW"])

    kept: list[Any] = []
    source = _pipeline(images, threads, lambda x: x)
    ways: dict[str, Way] = {
        "bare": lambda: light(images, out),
        "source": _pipeline(images, threads, lambda x: x),
        "outside": lambda: light(np.asarray(source()[0].as_tensor()), out),
        "python_function": _pipeline(
            images, threads,
            lambda x: dali.python_function(
                x, function=lambda batch: list(light(batch, out)), batch_processing=True, output_layouts="CHW"
            ),
        ),
        "numba_function": _pipeline(images, threads, _numba_function),
    }  # fmt: skip
    if works():
        ways["direct"] = _pipeline(images, threads, handed)
    return ways


def _numba_function(x: Any) -> Any:
    from nvidia.dali import types
    from nvidia.dali.plugin.numba.fn.experimental import numba_function

    return numba_function(
        x, run_fn=_normalize_run, setup_fn=_normalize_setup, out_types=[types.FLOAT],  # type: ignore[attr-defined]
        in_types=[types.UINT8], outs_ndim=[3], ins_ndim=[3],  # type: ignore[attr-defined]
    )  # fmt: skip


def _pipeline(images: np.ndarray, threads: int, define: Callable[[Any], Any]) -> Way:
    """Runs a pipeline over the same batch, which DALI does not copy."""
    from nvidia.dali import fn as dali
    from nvidia.dali.pipeline import Pipeline

    pipe = Pipeline(len(images), threads, None, prefetch_queue_depth=1)
    with pipe:
        source = dali.external_source(source=lambda: images, batch=True, layout="HWC", no_copy=True)
        pipe.set_outputs(define(source))
    pipe.build()
    run: Way = pipe.run
    return run


def _measure(ways: dict[str, Way], rounds: int) -> dict[str, Any]:
    names = list(ways)
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for name in names:
        for _ in range(2):
            ways[name]()
    for round_ in range(rounds):
        for k in range(len(names)):
            name = names[(round_ + k) % len(names)]
            cpu, wall = cpu_seconds(), time.perf_counter()
            for _ in range(BATCHES):
                ways[name]()
            cpu, wall = cpu_seconds() - cpu, time.perf_counter() - wall
            rows[name].append((1e3 * cpu / BATCHES, 1e3 * wall / BATCHES))
    report: dict[str, dict[str, Any]] = {}
    for name in names:
        report[name] = {"what": OVERHEAD_WAYS[name]}
        for k, kind in enumerate(("cpu", "wall")):
            report[name][f"{kind}_ms_per_batch"] = spread([row[k] for row in rows[name]])
            report[name][f"{kind}_over_bare"] = spread(
                [a[k] / b[k] for a, b in zip(rows[name], rows["bare"], strict=True) if b[k] > 0]
            )
    return report
