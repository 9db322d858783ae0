"""A whole staged batch from the stages' definitions in plain NumPy: what the twins are compared with.

Between stages pixels are whole levels, by definition; so where a definition's real value lies on the edge of
two levels, and the kernels' float32 rounds to the other one, what follows may amplify that level.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fieldloom.kernels import reference

from . import reference_finish, reference_masks, reference_program, reference_spectrum
from .drawing import with_views
from .erasing import erase_levels
from .masks import n_modes
from .mixing import USER_TABLE
from .records import MASK_PLANES
from .staged import StageRecords

if TYPE_CHECKING:
    from fieldloom.kernels.fusedpass import FusedPass


def augment(
    fused: "FusedPass", seed: int, samples: np.ndarray, stages: StageRecords, crops: Sequence[np.ndarray]
) -> np.ndarray:
    """A batch by the definitions.

    Args:
        fused: A staged pass.
        seed: 64 bits.
        samples: SAMPLE records of the batch.
        stages: What was drawn for it; masks not placed.
        crops: The pixels of each window.

    Returns:
        float64 (views * n, 3, height, width), before it is converted to the plan's type.
    """
    plan, size = fused.plan, (fused.plan.height, fused.plan.width)
    floats = reference.augment(fused, seed, samples, crops)  # normalized, NCHW or NHWC as the plan has it
    planes = floats if plan.planar else floats.transpose(0, 3, 1, 2)
    scale, bias = (np.asarray(v, np.float64) for v in (fused.scales[0], fused.bias))
    levels = (planes - bias[:, None, None]) / scale[:, None, None]
    working = _whole(levels)
    for k in np.flatnonzero(stages.spectra):
        assert plan.spectrum is not None
        factors = np.stack([_factors(fused, seed, samples[k], channel) for channel in range(3)])
        working[k] = _whole(reference_spectrum.apply(working[k], factors))
    working, samples = np.concatenate([working] * plan.views), with_views(samples, plan.views)
    for i, steps in enumerate(stages.program):
        counter = tuple(int(samples[i][name]) for name in ("sample", "epoch", "stream"))
        image = working[i].transpose(1, 2, 0)
        done = reference_program.run_program(image, steps, counter=counter, seed=seed)  # type: ignore[arg-type]
        working[i] = done.transpose(2, 0, 1)
    fill, spread, slot = np.zeros(3), np.zeros(3), 0
    if plan.erase is not None:
        (fill, spread), slot = erase_levels(plan.erase, plan.mean, plan.std), plan.erase.slot
    return reference_finish.finish(
        stages.finish, samples, working, _masks(fused, seed, samples, stages, size), scale=scale, bias=bias,
        erase_fill=fill, erase_spread=spread, erase_slot=slot, seed=seed,
    )  # fmt: skip


def _whole(levels: np.ndarray) -> np.ndarray:
    return np.clip(np.floor(levels + 0.5), 0, 255).astype(np.uint8)


def _where(sample: np.ndarray, slot: int) -> dict[str, int]:
    where = {name: int(sample[name]) for name in ("sample", "epoch")}
    return where | {"stream": int(sample["stream"]) | slot}


def _factors(fused: "FusedPass", seed: int, sample: np.ndarray, channel: int) -> np.ndarray:
    plan = fused.plan
    assert plan.spectrum is not None
    where = _where(sample, plan.spectrum.slot)
    return reference_spectrum.factors(
        plan.spectrum, plan.height, plan.width, channel=channel, seed=seed, **where
    )


def _masks(
    fused: "FusedPass", seed: int, samples: np.ndarray, stages: StageRecords, size: tuple[int, int]
) -> dict[int, np.ndarray]:
    """Planes of partners' weights by position in the batch, as levels 0..255."""
    mixing = fused.plan.mixing
    if mixing is None:
        return {}
    made = {}
    for record in stages.masks:
        assert mixing.decay is not None
        where = _where(samples[record["sample"]], int(record["slot"]))
        z = reference_masks.noise(n_modes(*size, mixing.decay), seed=seed, **where)
        values = reference_masks.field(z, *size, mixing.decay)
        made[int(record["out"])] = reference_masks.mask(values, int(record["count"]), int(record["soft"]))
    found, table = {}, mixing.table()
    for k in np.flatnonzero(stages.finish["mode"] == MASK_PLANES):
        at, n_planes = int(stages.finish[k]["masks"]), int(stages.finish[k]["ways"]) - 1
        if at >= USER_TABLE:
            start, n_bytes = at - USER_TABLE, n_planes * size[0] * size[1]
            found[int(k)] = table[start : start + n_bytes].reshape(n_planes, *size)
        else:
            found[int(k)] = made[at][None]
    return found
