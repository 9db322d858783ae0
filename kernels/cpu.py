"""Both stages over a batch on the CPU: one nogil call for a range of samples, our own threads around it."""

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import numpy as np
from numpy import float32 as f32
from numpy import uint64 as u64

from .fused import AS_BFLOAT16, AS_FLOAT16, AS_FLOAT32, AS_UINT8, fused
from .intrinsics import entry
from .lattice import lattice
from .plain import copy_plain, is_plain
from .records import N_PLANES, SX, SY
from .shrink import needs_copy, prepare, reduced_shape

#: Output types by name, and the element type of the array that receives them.
OUTPUTS: dict[str, tuple[int, Any]] = {
    "float32": (AS_FLOAT32, np.float32),
    "float16": (AS_FLOAT16, np.uint16),
    "bfloat16": (AS_BFLOAT16, np.uint16),
    "uint8": (AS_UINT8, np.uint8),
}


@entry
def _augment(samples, transforms, basis, seed_low, seed_high, pitch, border, fill, center, scales, bias, output, planar, plain, height, width, first, last, out, positions):  # type: ignore[no-untyped-def]  # noqa: E501  # fmt: skip
    """Both stages for samples first .. last - 1."""
    nodes_y, nodes_x = (height + pitch - 1) // pitch + 1, (width + pitch - 1) // pitch + 1
    nodes = np.empty((N_PLANES, nodes_y, nodes_x), np.float32)
    no_copy = np.zeros((1, 1), np.uint8)
    keeps = positions.shape[0] > 0
    for k in range(first, last):
        sample = samples[k]
        only_cut = plain and not needs_copy(sample) and is_plain(sample, height, width)
        mode = 0
        if not only_cut or keeps:
            mode = lattice(
                sample, transforms, basis, seed_low, seed_high, pitch, height, width, center,
                f32(0.00392156863), nodes,
            )  # fmt: skip
        if keeps:
            for i in range(nodes_y):
                for j in range(nodes_x):
                    positions[k, 0, i, j] = nodes[SX, i, j]
                    positions[k, 1, i, j] = nodes[SY, i, j]
        if only_cut:
            copy_plain(sample, height, width, out[k])
            continue
        source, stride, rows, columns = sample.source, sample.stride, sample.height, sample.width
        copy = no_copy
        if needs_copy(sample):
            copy = prepare(sample)
            rows, columns = reduced_shape(sample)
            source, stride = u64(copy.ctypes.data), copy.shape[1]
        fused(
            source, stride, rows, columns, nodes, mode, pitch, border, fill, scales, bias, output, planar,
            height, width, out[k],
        )  # fmt: skip
        no_copy[0, 0] = copy[0, 0]  # a use behind the call: keeps the copy alive past its raw address


#: Where nobody asks for positions.
NO_POSITIONS = np.empty((0, 2, 1, 1), np.float32)
#: Samples of one task of the pool: small, so that threads end together; large, so that calls are few.
SAMPLES_PER_TASK = 4

#: Work on samples first .. last - 1.
Task = Callable[[int, int], None]


def share(task: Task, n: int, executor: Executor | None) -> None:
    """Have the threads of a pool do a task for n samples; None does it here, in one call."""
    step = max(n, 1) if executor is None else SAMPLES_PER_TASK
    ranges = [(first, min(first + step, n)) for first in range(0, n, step)]
    if executor is None or len(ranges) == 1:
        for first, last in ranges:
            task(first, last)
        return
    for _ in executor.map(task, *zip(*ranges, strict=True)) if ranges else ():
        pass


def run(
    samples: np.ndarray,
    *,
    transforms: np.ndarray,
    basis: np.ndarray,
    seed: int,
    pitch: int,
    border: int,
    fill: np.ndarray,
    center: float,
    scales: np.ndarray,
    bias: np.ndarray,
    dtype: str,
    planar: bool,
    height: int,
    width: int,
    out: np.ndarray,
    executor: Executor | None = None,
    then: Task | None = None,
    positions: np.ndarray | None = None,
) -> None:
    """Augment a batch into `out`.

    Args:
        samples: SAMPLE records (n,); their sources must stay alive until this returns.
        transforms: TRANSFORM records of the recipe.
        basis: Table that the records point into, float32.
        seed: 64-bit seed.
        pitch: Lattice pitch in output pixels, a power of two.
        border: REFLECT, EDGE or FILL.
        fill: Fill color 0..255, float32 (3,).
        center: Luma about which contrast acts, 0..1.
        scales: float32 (2, 3): output per unit of a pixel value 0..255, and of one 0..1.
        bias: float32 (3,): output of black.
        dtype: A key of OUTPUTS.
        planar: True for NCHW, False for NHWC.
        height: Output height; `width` its width.
        width: See `height`.
        out: C-contiguous, n * 3 * height * width elements of OUTPUTS[dtype][1].
        executor: Pool for the samples; None runs them in the calling thread.
        then: What to do with each range of samples right behind, while it is in the cache.
        positions: Where the lattices' source positions are left, float32 (n, 2, nodes_y, nodes_x), if at all.
    """
    output = OUTPUTS[dtype][0]
    flat = out.reshape(len(samples), 3 * height * width)
    low, high = np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32)
    plain = output == AS_UINT8 and planar and bool((scales[0] == 1).all()) and not bias.any()

    kept = NO_POSITIONS if positions is None else positions

    def task(first: int, last: int) -> None:
        _augment(
            samples, transforms, basis, low, high, pitch, border, fill, np.float32(center), scales, bias,
            output, planar, plain, height, width, first, last, flat, kept,
        )  # fmt: skip
        if then is not None:
            then(first, last)

    share(task, len(samples), executor)
