"""Draws what the stages of a batch do, in one place and for both devices."""

from typing import TYPE_CHECKING

import numpy as np

from fieldloom.errors import ArgumentError
from fieldloom.kernels.keys import Keys

from .erasing import draw_erasing
from .mixing_draws import draw_mixing
from .policy_draws import draw_program, n_steps
from .records import FINISH, MASK, STEP
from .spectrum import draw_spectra
from .staged import Groups, StageRecords

if TYPE_CHECKING:
    from fieldloom.kernels.plan import PassPlan


def draw_stages(plan: "PassPlan", keys: Keys, groups: Groups | None) -> StageRecords:
    """Draw what the stages of a batch do.

    Args:
        plan: A staged plan.
        keys: Keys of n samples.
        groups: Where mixing partners are found; may be None in a plan without mixing.

    Returns:
        Records of n samples; `program` and `finish` of plan.views times n, view by view.

    Raises:
        ArgumentError: The plan mixes, and there are no groups.
    """
    n, views, size = len(keys), plan.views, (plan.height, plan.width)
    program = np.zeros((views * n, n_steps(plan.program)), STEP)
    for view in range(views if plan.program else 0):
        drawn = draw_program(plan.program, keys, *size, keys.strength, view=view)
        program[view * n : (view + 1) * n] = drawn
    spectra = np.zeros(0, np.int32)
    if plan.spectrum is not None:
        spectra = draw_spectra(plan.spectrum, keys, keys.strength)
    finish, masks, mixture = np.zeros(n, FINISH), np.zeros(0, MASK), None
    finish["ways"] = 1
    if plan.mixing is not None:
        if groups is None:
            raise ArgumentError.make(
                "a recipe that mixes samples, for samples by themselves",
                why="partners come from the other samples of a batch",
                remedy="Leave mixing out of the recipe; DataLoader and its replay() do mix.",
            )
        finish, masks, mixture = draw_mixing(plan.mixing, keys, groups, *size, keys.strength)
    if plan.erase is not None:
        finish["erase"] = draw_erasing(plan.erase, keys, *size, keys.strength)
        finish["erase_kind"] = plan.erase.kind
    if views > 1:
        finish = np.concatenate([_moved(finish, view * n) for view in range(views)])
    return StageRecords(program, spectra, masks, finish, mixture)


def _moved(finish: np.ndarray, by: int) -> np.ndarray:
    """The same records for a view whose samples stand `by` places further on."""
    moved = finish.copy()
    moved["partner"] += by
    return moved


def with_views(samples: np.ndarray, views: int) -> np.ndarray:
    """SAMPLE records of each view: the same but for the view in the counter words."""
    if views == 1:
        return samples
    copies = [samples.copy() for _ in range(views)]
    for view, copy in enumerate(copies):
        copy["stream"] |= np.uint32(view << 16)
    return np.concatenate(copies)
