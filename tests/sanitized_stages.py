"""Batches of the stages for the sanitizers: each array in a block of its own exact size."""

from collections.abc import Sequence

import numpy as np
from finish_cases import FILL, SLOT, SPREAD
from finish_cases import Batch as FinishCase
from mask_cases import SLOT as MASK_SLOT
from program_cases import VALUES, samples_of, steps_of
from sanitized import Batch

from fieldloom.kernels.cpu import OUTPUTS
from fieldloom.kernels.stages import launches
from fieldloom.kernels.stages.masks import MaskTables
from fieldloom.kernels.stages.operations import OPERATIONS
from fieldloom.kernels.stages.records import ACCUMULATE, FILL_BOX, MASK, RESOLVE, RESTORE
from fieldloom.kernels.stages.spectrum import SpectrumTables

SEED = 0xFEDC_BA98_7654_3210


def add_program(batch: Batch, program: np.ndarray, planes: np.ndarray) -> None:
    """Programs STEP (n, m) of uint8 (n, 3, h, w)."""
    n, _, height, width = planes.shape
    chains = bool(np.isin(program["op"], (RESTORE, ACCUMULATE)).any())
    launch = launches.program_launch(
        n, program.shape[1], height, width, SEED, program=batch.add(program),
        samples=batch.add(samples_of(n)), working=batch.add(planes), scratch=0, chains=chains,
    )  # fmt: skip
    launch.args["scratch"] = batch.add(_garbage(planes.size))
    launch.args["origin"] = batch.add(_garbage(planes.size)) if chains else 0
    launch.args["sums"] = batch.add(_garbage(4 * planes.size)) if chains else 0
    batch.launch(launch)


def add_masks(batch: Batch, tables: MaskTables, counts: Sequence[int], soft: Sequence[int]) -> None:
    """A mask for each count, with so soft an edge."""
    n = len(counts)
    masks = np.zeros(n, MASK)
    masks["sample"], masks["count"], masks["soft"], masks["slot"] = np.arange(n), counts, soft, MASK_SLOT
    masks["out"] = [batch.add(_garbage(tables.height * tables.width)) for _ in range(n)]
    launch = launches.masks_launch(
        tables, n, SEED, masks=batch.add(masks), samples=batch.add(samples_of(n)),
        floats=batch.add(tables.floats), scratch=0,
    )  # fmt: skip
    # The scratch's parts lie behind each other: here apart.
    names = ("columns", "fields", "nodes", "ties")
    ends = [*(int(launch.args[name][0]) for name in names), 4 * launches.masks_scratch_floats(tables, n)]
    for name, size in zip(names, np.diff(ends), strict=True):
        launch.args[name] = batch.add(_garbage(size))
    batch.launch(launch)


def add_spectrum(batch: Batch, tables: SpectrumTables, planes: np.ndarray, active: np.ndarray) -> None:
    """PASTA on the active samples of uint8 (n, 3, h, w)."""
    n = len(planes)
    for launch in launches.spectrum_launches(
        tables, n, SEED, active=batch.add(active), samples=batch.add(samples_of(n)),
        working=batch.add(planes), floats=batch.add(tables.floats()),
        scratch=batch.add(_garbage(4 * launches.spectrum_scratch_floats(tables, n))),
    ):  # fmt: skip
        batch.launch(launch)


def add_finish(batch: Batch, case: FinishCase, dtype: str) -> None:
    """A batch of `finish_cases`, stored as this type."""
    n, _, height, width = case.working.shape
    finish = case.finish.copy()
    for k, planes in case.masks.items():
        finish["masks"][k] = batch.add(planes)
    launch = launches.finish_launch(
        n, height, width, SEED, scale=case.scale, bias=case.bias, erase_fill=FILL, erase_spread=SPREAD,
        erase_slot=SLOT, finish=batch.add(finish), samples=batch.add(case.samples),
        working=batch.add(case.working), out=batch.add(np.zeros(case.working.size, OUTPUTS[dtype][1])),
    )  # fmt: skip
    batch.launch(launch)


def every_step(image: np.ndarray) -> np.ndarray:
    """Programs of one step, STEP (n, 1): each operation at all magnitudes that the twin's tests have."""
    found = [
        steps_of(name, VALUES.get(name, (0,)), image, fill=(1, 2, 250), bilinear=bilinear, slot=0x20A)
        for name in OPERATIONS
        for bilinear in (False, True)
    ]
    return np.concatenate(found)[:, None]


def shuffled_programs(n: int, image: np.ndarray, seed: int = 0) -> np.ndarray:
    """Programs of every operation in random orders, and as many chains as AugMix has: STEP (2 n, m)."""
    rng = np.random.default_rng(seed)
    steps = every_step(image)[:, 0]
    # Of each operation its last magnitude, which does something, or any.
    kinds = [np.flatnonzero(steps["op"] == op) for op in np.unique(steps["op"])]
    chosen = [[kind[-1] if k == 0 else rng.choice(kind) for kind in kinds] for k in range(n)]
    programs = np.stack([steps[rng.permutation(row)] for row in chosen])
    chains = programs[:, ::-1].copy()
    box = chains["op"] == FILL_BOX
    chains[:, 0], chains[box] = chains[box], chains[:, 0]  # it writes what is still being kept for RESTORE
    chains["op"][:, 2::3] = rng.choice([RESTORE, ACCUMULATE], chains["op"][:, 2::3].shape)
    chains["op"][:, -2:] = ACCUMULATE, RESOLVE
    chains["whole"][..., 0] = np.where(chains["op"] == ACCUMULATE, 5000, chains["whole"][..., 0])
    return np.concatenate([programs, chains])


def _garbage(n_bytes: int) -> bytes:
    return bytes([255]) * int(n_bytes)
