"""The stages of a batch on a CUDA device: records uploaded, scratch placed, launches in order."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from fieldloom.kernels.cuda import Launch

from . import launches
from .erasing import erase_levels
from .masks import MaskTables, mask_tables
from .mixing import mask_stride, place_masks
from .records import ACCUMULATE, RESTORE
from .staged import StageRecords

if TYPE_CHECKING:
    import torch

    from fieldloom.kernels.plan import PassPlan

#: What `DevicePass` executes in order: a launch, or work of torch's own on its current stream.
Step = Launch | Callable[[], object]


class Memory:
    """Pieces of one block of device memory, laid out before it exists.

    Args:
        align: Rounds a size up to where the next piece may begin.
    """

    def __init__(self, align: Callable[[int], int]) -> None:
        self._align = align
        self._places: dict[str, int] = {}
        self.total = 0

    def add(self, name: str, n_bytes: int) -> None:
        """A piece; of 0 bytes too."""
        self._places[name] = self.total
        self.total += self._align(n_bytes)

    def __getitem__(self, name: str) -> int:
        return self._places[name]


class DeviceStages:
    """Stages of one plan with their tables on a device.

    Args:
        plan: A staged plan.
        scale: float32 (3,): output per level 0..255; `bias` (3,): output of black.
        bias: See `scale`.
        upload: Puts a constant table on the device, blocking; None for an empty one.
    """

    def __init__(
        self,
        plan: "PassPlan",
        scale: np.ndarray,
        bias: np.ndarray,
        upload: "Callable[[np.ndarray], torch.Tensor]",
    ) -> None:
        self._plan, self._scale, self._bias = plan, scale, bias
        nothing = np.zeros(3, np.float32)
        self._erase = nothing, nothing
        if plan.erase is not None:
            self._erase = erase_levels(plan.erase, plan.mean, plan.std)
        self._masks: MaskTables | None = None
        self._user_masks = self._mask_floats = None
        if plan.mixing is not None:
            self._user_masks = upload(plan.mixing.table())
            if plan.mixing.decay is not None:
                self._masks = mask_tables(plan.height, plan.width, plan.mixing.decay)
                self._mask_floats = upload(self._masks.floats)
        self._spectrum = self._spectrum_floats = None
        if plan.spectrum is not None:
            from .spectrum import spectrum_tables  # here, because few recipes need it

            self._spectrum = spectrum_tables(plan.spectrum, plan.height, plan.width)
            self._spectrum_floats = upload(self._spectrum.floats())

    def lay_out(self, memory: Memory, stages: StageRecords, n: int) -> None:
        """Name every piece of device memory that a batch of n samples needs, records included."""
        plan, size = self._plan, (self._plan.height, self._plan.width)
        memory.add("working", plan.views * n * 3 * size[0] * size[1])
        memory.add("program", stages.program.nbytes)
        memory.add("spectra", stages.spectra.nbytes)
        memory.add("mask_records", stages.masks.nbytes)
        memory.add("finish", stages.finish.nbytes)
        memory.add("masks", len(stages.masks) * mask_stride(*size))
        if stages.program.shape[1]:
            scratch = launches.program_scratch_bytes(
                plan.views * n, *size, chains=_has_chains(stages.program)
            )
            memory.add("program_scratch", scratch)
        if self._masks is not None and len(stages.masks):
            memory.add("mask_scratch", 4 * launches.masks_scratch_floats(self._masks, len(stages.masks)))
        if self._spectrum is not None:
            memory.add("spectrum_scratch", 4 * launches.spectrum_scratch_floats(self._spectrum, n))

    def records(self, stages: StageRecords, at: Callable[[str], int]) -> dict[str, np.ndarray]:
        """What is to be copied to the pieces of `lay_out`, with the masks' addresses in it."""
        finish, masks = stages.finish.copy(), stages.masks.copy()
        user = 0 if self._user_masks is None else self._user_masks.data_ptr()
        place_masks(finish, masks, at("masks"), user)
        named = {
            "program": stages.program,
            "spectra": stages.spectra,
            "mask_records": masks,
            "finish": finish,
        }
        return {name: records for name, records in named.items() if records.size}

    def steps(
        self,
        stages: StageRecords,
        n: int,
        seed: int,
        *,
        samples: int,
        working: "torch.Tensor",
        out: int,
        at: Callable[[str], int],
    ) -> list[Step]:
        """What follows the fused pass, in order.

        Args:
            stages: The batch's records.
            n: Samples.
            seed: 64 bits.
            samples: Address of SAMPLE (views * n,), view by view.
            working: uint8 (views * n, 3, height, width) at the piece "working".
            out: Address of the output.
            at: Address of a piece of `lay_out`.
        """
        plan, size, steps = self._plan, (self._plan.height, self._plan.width), list[Step]()
        total = plan.views * n
        if self._spectrum is not None:
            assert self._spectrum_floats is not None
            steps += launches.spectrum_launches(
                self._spectrum, n, seed, active=at("spectra"), samples=samples, working=at("working"),
                floats=self._spectrum_floats.data_ptr(), scratch=at("spectrum_scratch"),
            )  # fmt: skip
        if plan.views > 1:
            views = working.view(plan.views, n, *working.shape[1:])
            steps.append(lambda: views[1:].copy_(views[:1].expand_as(views[1:])))
        if stages.program.shape[1]:
            steps.append(
                launches.program_launch(
                    total, stages.program.shape[1], *size, seed, program=at("program"), samples=samples,
                    working=at("working"), scratch=at("program_scratch"), chains=_has_chains(stages.program),
                )
            )  # fmt: skip
        if self._masks is not None and len(stages.masks):
            assert self._mask_floats is not None
            steps.append(
                launches.masks_launch(
                    self._masks, len(stages.masks), seed, masks=at("mask_records"), samples=samples,
                    floats=self._mask_floats.data_ptr(), scratch=at("mask_scratch"),
                )
            )  # fmt: skip
        fill, spread = self._erase
        steps.append(
            launches.finish_launch(
                total, *size, seed, scale=self._scale, bias=self._bias, erase_fill=fill, erase_spread=spread,
                erase_slot=0 if plan.erase is None else plan.erase.slot, finish=at("finish"), samples=samples,
                working=at("working"), out=out,
            )
        )  # fmt: skip
        return steps


def _has_chains(program: np.ndarray) -> bool:
    return bool(np.isin(program["op"], (RESTORE, ACCUMULATE)).any())
