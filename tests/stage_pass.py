"""A staged pass on the CPU's own kernels, by the CUDA source under the shim, and by the reference."""

from concurrent.futures import Executor

import numpy as np
import torch
from kernel_cases import cut

from fieldloom.kernels.device import DevicePass
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.keys import Keys
from fieldloom.kernels.launcher import Launcher
from fieldloom.kernels.plan import PassPlan
from fieldloom.kernels.stages.staged import Groups
from fieldloom.pipelines.upload import upload


def groups_of(plan: PassPlan, n: int, first: int = 0) -> Groups | None:
    """Positions first, first + 1, ... with classes 0, 1, 2, 0, ..."""
    if plan.mixing is None:
        return None
    positions = np.arange(first, first + n)
    return Groups(positions, positions % 3, plan.mixing.group)


def run_staged(
    fused: FusedPass,
    images: list[np.ndarray],
    batch: Keys,
    *,
    first: int = 0,
    executor: Executor | None = None,
) -> np.ndarray:
    """A batch that stands at places first, ... of its plan."""
    windows = fused.windows(batch, np.array([image.shape[:2] for image in images]))
    sources = Sources.of_arrays(cut(images, windows))
    stages = fused.stages(batch, groups_of(fused.plan, len(batch), first))
    return fused(batch, windows, sources, None, executor, None, stages)


def run_on_device(
    fused: FusedPass,
    images: list[np.ndarray],
    batch: Keys,
    device: torch.device,
    launcher: Launcher | None = None,
    *,
    first: int = 0,
) -> torch.Tensor:
    """The same batch by the CUDA source: on a GPU, or on "cpu" by a launcher that runs it there."""
    sizes = np.array([image.shape[:2] for image in images])
    windows = fused.windows(batch, sizes)
    crops = cut(images, windows)
    memory, pointers = upload(crops, device)
    host = Sources.of_arrays(crops)
    there = Sources(pointers, host.heights, host.widths, host.widths.astype(np.int64) * 3, memory)
    stages = fused.stages(batch, groups_of(fused.plan, len(batch), first))
    return DevicePass(fused, device, launcher)(batch, windows, there, stages=stages)
