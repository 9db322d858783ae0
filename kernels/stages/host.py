"""The stages of a batch on the CPU, in order, around the fused pass."""

from concurrent.futures import Executor
from typing import TYPE_CHECKING

import numpy as np
from numpy import uint32 as u32

from fieldloom.kernels.cpu import OUTPUTS, Task, share

from .drawing import with_views
from .erasing import erase_levels
from .finish import run_finish
from .masks import mask_tables, run_masks
from .mixing import TABLE_ALIGNMENT, mask_stride, place_masks
from .program import run_programs
from .staged import StageRecords

if TYPE_CHECKING:
    from fieldloom.kernels.plan import PassPlan


class HostStages:
    """Stages of one plan with their tables. Immutable after construction, so that threads may share it.

    Args:
        plan: A staged plan.
        scale: float32 (3,): output per level 0..255; `bias` (3,): output of black.
        bias: See `scale`.
    """

    def __init__(self, plan: "PassPlan", scale: np.ndarray, bias: np.ndarray) -> None:
        self._plan, self._scale, self._bias = plan, np.ascontiguousarray(scale), bias
        self._erase_fill = self._erase_spread = np.zeros(3, np.float32)
        if plan.erase is not None:
            self._erase_fill, self._erase_spread = erase_levels(plan.erase, plan.mean, plan.std)
        self._table = _aligned(plan.mixing.table() if plan.mixing else np.zeros(0, np.uint8))
        self._spectrum = None
        if plan.spectrum is not None:
            from .spectrum import spectrum_tables  # here, because few recipes need it

            self._spectrum = spectrum_tables(plan.spectrum, plan.height, plan.width)

    def working(self, n: int) -> np.ndarray:
        """The 8-bit planes of a batch: uint8 (views * n, 3, height, width)."""
        return np.empty((self._plan.views * n, 3, self._plan.height, self._plan.width), np.uint8)

    def first(self, samples: np.ndarray, stages: StageRecords, working: np.ndarray, seed: int) -> Task:
        """What follows the fused pass for each range of samples, while their planes are in the cache.

        Args:
            samples: SAMPLE (n,).
            stages: What was drawn for them.
            working: From `working`; its first n images are made by the pass, range by range.
            seed: 64 bits.
        """
        low, high = _halves(seed)

        def task(first: int, last: int) -> None:
            if self._spectrum is not None:
                self._spectrum.run(stages.spectra, samples, working, low, high, first, last)
            if stages.program.shape[1] and self._plan.views == 1:
                run_programs(stages.program, samples, working, low, high, first, last)

        return task

    def rest(
        self,
        samples: np.ndarray,
        stages: StageRecords,
        working: np.ndarray,
        seed: int,
        out: np.ndarray,
        executor: Executor | None,
    ) -> None:
        """What needs the whole batch: views, masks, mixing, output; arguments as for `first`.

        Args:
            samples: See `first`.
            stages: See `first`.
            working: See `first`.
            seed: See `first`.
            out: (views * n, ...) of the plan's format.
            executor: Pool for the samples; None stays in this thread.
        """
        plan, n, (low, high) = self._plan, len(samples), _halves(seed)
        samples = with_views(samples, plan.views)
        if plan.views > 1:
            working.reshape(plan.views, n, *working.shape[1:])[1:] = working[:n]
            if stages.program.shape[1]:
                share(
                    lambda a, b: run_programs(stages.program, samples, working, low, high, a, b),
                    len(samples), executor,
                )  # fmt: skip
        finish, masks = stages.finish.copy(), stages.masks.copy()
        buffer = _aligned(np.empty(len(masks) * mask_stride(plan.height, plan.width), np.uint8))
        place_masks(finish, masks, buffer.ctypes.data, self._table.ctypes.data)
        if len(masks):
            assert plan.mixing is not None
            assert plan.mixing.decay is not None
            t = mask_tables(plan.height, plan.width, plan.mixing.decay)
            share(
                lambda a, b: run_masks(
                    masks, samples, t.floats, t.waves, t.pitch, low, high, t.height, t.width, a, b
                ),
                len(masks), executor,
            )  # fmt: skip
        flat = out.reshape(len(samples), -1)
        slot = u32(0 if plan.erase is None else plan.erase.slot)
        share(
            lambda a, b: run_finish(
                finish, samples, working, self._scale, self._bias, self._erase_fill, self._erase_spread, slot,
                OUTPUTS[plan.dtype][0], plan.planar, low, high, a, b, flat,
            ),
            len(samples), executor,
        )  # fmt: skip


def _halves(seed: int) -> tuple[np.uint32, np.uint32]:
    return u32(seed & 0xFFFFFFFF), u32(seed >> 32)


def _aligned(array: np.ndarray) -> np.ndarray:
    """The same bytes from an address that is a multiple of TABLE_ALIGNMENT."""
    if array.ctypes.data % TABLE_ALIGNMENT == 0:
        return array
    memory = np.empty(array.size + TABLE_ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % TABLE_ALIGNMENT
    memory[start : start + array.size] = array
    return memory[start : start + array.size]
