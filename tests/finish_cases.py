"""Batches for the tests of the finish stage: every mode, every kind of erasing, ragged sizes."""

from dataclasses import dataclass

import numpy as np

from fieldloom.kernels.cpu import OUTPUTS
from fieldloom.kernels.records import SAMPLE
from fieldloom.kernels.stages import launches, reference_finish
from fieldloom.kernels.stages.finish import run_finish
from fieldloom.kernels.stages.records import (
    BLEND,
    BOX,
    ERASE_CONSTANT,
    ERASE_PIXEL,
    ERASE_REGION,
    FINISH,
    MASK_PLANES,
    PASTE,
    UNMIXED,
)

MODES = (UNMIXED, BLEND, BOX, PASTE, MASK_PLANES)
ERASES = (ERASE_CONSTANT, ERASE_REGION, ERASE_PIXEL)
SIZES = (
    (1, 1), (1, 7), (7, 1), (2, 2), (3, 5), (5, 4), (9, 8), (16, 31), (33, 64), (70, 50), (40, 132),
)  # fmt: skip
DTYPES = tuple(OUTPUTS)
SEED = 0x1234_5678_9ABC
SLOT = 0x20E
SCALE = np.array([1 / 58.4, 1 / 57.1, 1 / 57.4], np.float32)
BIAS = np.array([-2.11, -2.03, -1.8], np.float32)
#: What a recipe without Normalize stores as uint8.
LEVELS = (np.ones(3, np.float32), np.zeros(3, np.float32))
FILL = np.array([123.7, 116.3, 103.5], np.float32)
SPREAD = np.array([58.4, 57.1, 57.4], np.float32)


@dataclass
class Batch:
    """Records of n samples, their planes, and the masks that they point to."""

    finish: np.ndarray
    samples: np.ndarray
    working: np.ndarray
    masks: dict[int, np.ndarray]
    scale: np.ndarray
    bias: np.ndarray

    def take(self, rows: np.ndarray) -> "Batch":
        """The same samples in another order; all partners must be among them."""
        finish = self.finish[rows].copy()
        finish["partner"] = np.argsort(rows)[finish["partner"]]
        masks = {i: self.masks[int(k)] for i, k in enumerate(rows) if int(k) in self.masks}
        samples, working = self.samples[rows], np.ascontiguousarray(self.working[rows])
        return Batch(finish, samples, working, masks, self.scale, self.bias)


def box(rng: np.random.Generator, height: int, width: int) -> tuple[int, int, int, int]:
    """Any box of at least one pixel."""
    y0, y1 = sorted(rng.integers(0, [height, height + 1]))
    x0, x1 = sorted(rng.integers(0, [width, width + 1]))
    y0, x0 = min(y0, height - 1), min(x0, width - 1)
    return y0, x0, max(y1, y0 + 1), max(x1, x0 + 1)


def batch(
    height: int,
    width: int,
    n: int = 12,
    *,
    modes: tuple[int, ...] = MODES,
    erases: tuple[int, ...] = ERASES,
    erase: float = 0.6,
    seed: int = 0,
    levels: bool = False,
) -> Batch:
    """A batch in which each sample has one of the modes, and some have an erased box."""
    rng = np.random.default_rng([seed, height, width])
    finish, samples = np.zeros(n, FINISH), np.zeros(n, SAMPLE)
    samples["sample"], samples["epoch"] = rng.integers(0, 2**32, n), 3
    samples["stream"] = (np.arange(n) % 3) << 24 | (np.arange(n) % 2) << 16
    finish["mode"] = np.resize(modes, n)
    finish["ways"] = np.where(finish["mode"] == UNMIXED, 1, 2)
    finish["weight"] = rng.uniform(0, 1, n)
    finish["antialias"] = rng.integers(0, 2, n)
    finish["erase_kind"] = rng.choice(erases, n)
    masks = {}
    for k in range(n):
        finish["partner"][k] = rng.permutation(n)[:3] if n >= 3 else k
        finish["box"][k] = box(rng, height, width)
        if rng.uniform() < erase:
            finish["erase"][k] = box(rng, height, width)
        if finish["mode"][k] == MASK_PLANES:
            finish["ways"][k] = 2 + k % 3
            masks[k] = planes(rng, int(finish["ways"][k]), height, width)
            finish["masks"][k] = masks[k].ctypes.data
    finish["box"][: n // 4, 2:] = finish["box"][: n // 4, :2]  # a quarter shows nothing
    working = rng.integers(0, 256, (n, 3, height, width), np.uint8)
    scale, bias = LEVELS if levels else (SCALE, BIAS)
    return Batch(finish, samples, working, masks, scale, bias)


def planes(rng: np.random.Generator, ways: int, height: int, width: int) -> np.ndarray:
    """Weights of ways - 1 partners, at most 255 in sum, often 0 or all; from an address that is aligned."""
    cuts = np.sort(rng.integers(-80, 336, (ways - 1, height, width)).clip(0, 255), 0)
    out = np.zeros((ways - 1) * height * width + 16, np.uint8)
    start = -out.ctypes.data % 16
    out = out[start : start + (ways - 1) * height * width].reshape(ways - 1, height, width)
    out[:] = np.diff(cuts, axis=0, prepend=0)
    return out


def empty(case: Batch, dtype: str) -> np.ndarray:
    """An output whose every byte is known to be unwritten, with a guard behind it."""
    n, _, height, width = case.working.shape
    return np.full((n + 1, 3 * height * width), 77, OUTPUTS[dtype][1])


def twin(case: Batch, dtype: str = "float32", planar: bool = True, *, step: int | None = None) -> np.ndarray:
    """The CPU twin, (n, 3 h w); `step` samples at a time."""
    n, out = len(case.finish), empty(case, dtype)
    step = max(n, 1) if step is None else step
    for first in range(0, n, step):
        run_finish(
            case.finish, case.samples, case.working, case.scale, case.bias, FILL, SPREAD, np.uint32(SLOT),
            OUTPUTS[dtype][0], planar, np.uint32(SEED & 0xFFFFFFFF), np.uint32(SEED >> 32), first,
            min(first + step, n), out,
        )  # fmt: skip
    assert (out[n] == 77).all()
    return out[:n]


def launch_of(case: Batch, out: np.ndarray):  # type: ignore[no-untyped-def]
    """The launch that the CUDA source gets."""
    n, _, height, width = case.working.shape
    return launches.finish_launch(
        n, height, width, SEED, scale=case.scale, bias=case.bias, erase_fill=FILL, erase_spread=SPREAD,
        erase_slot=SLOT, finish=case.finish.ctypes.data, samples=case.samples.ctypes.data,
        working=case.working.ctypes.data, out=out.ctypes.data,
    )  # fmt: skip


def reference(case: Batch) -> np.ndarray:
    """The definition in float64, (n, 3, h, w)."""
    return reference_finish.finish(
        case.finish, case.samples, case.working, case.masks, scale=case.scale, bias=case.bias,
        erase_fill=FILL, erase_spread=SPREAD, erase_slot=SLOT, seed=SEED,
    )  # fmt: skip
