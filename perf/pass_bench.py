"""The fused pass alone: 256 x 256 in memory -> 224 x 224, one thread."""

import time
from typing import Any

import numpy as np

from fieldloom.perf.spread import spread

#: Timed repeats of a batch of 64.
REPEATS = 15


def measure_pass(size: int = 224, source_side: int = 256, n: int = 64) -> dict[str, Any]:
    """CPU time an image of the whole pass: records, fields, antialiased resampling, color, normalize.

    Every image gets a translate field, four color fields and normalization (float32, NCHW); the source
    is shrunk by source_side / size, so the prefilter runs too.
    """
    import fieldloom as fl
    from fieldloom.kernels.draws import Keys
    from fieldloom.kernels.fusedpass import FusedPass, Sources
    from fieldloom.recipe import Format, compile_recipe

    augment = [fl.HorizontalFlip(), fl.RandomField("translate", p=1.0), fl.ColorField(p=1.0), fl.Normalize()]
    fused = FusedPass(compile_recipe(augment, Format(size)))
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (source_side, source_side, 3), dtype=np.uint8) for _ in range(n)]
    keys = Keys(0, 0, np.arange(n), np.zeros(n, np.int64))
    windows = fused.windows(keys, np.full((n, 2), source_side))
    sources, out = Sources.of_arrays(images), fused.empty(n)
    fused(keys, windows, sources, out)
    times = []
    for _ in range(REPEATS):
        start = time.thread_time()
        fused(keys, windows, sources, out)
        times.append(1e3 * (time.thread_time() - start) / n)
    return {
        "what": f"{source_side} -> {size}, translate field + 4 color fields + normalize, float32 NCHW",
        "cpu_ms_per_image": spread(times),
    }
