"""Compile what a recipe does behind the fused pass: PASTA, policies, erasing, mixing."""

from dataclasses import dataclass

from fieldloom.kernels.stages.erasing import Erase
from fieldloom.kernels.stages.mixing import Mixing
from fieldloom.kernels.stages.policies import Item
from fieldloom.kernels.stages.policy_draws import n_steps
from fieldloom.kernels.stages.spectrum import Pasta
from fieldloom.mixing import Mix, RandomErasing, compile_erasing, compile_mixing
from fieldloom.policies import PASTA, AugMix, Policy, compile_pasta, compile_policy

from .order import Step


@dataclass(slots=True)
class Stages:
    """Parts of a `PassPlan`."""

    spectrum: Pasta | None = None
    program: tuple[Item, ...] = ()
    erase: Erase | None = None
    mixing: Mixing | None = None
    views: int = 1


def compile_stages(items: list[Step], height: int, width: int, *, epochs: int | None, group: int) -> Stages:
    """The stages of a recipe in the right order.

    Args:
        items: The recipe.
        height: Output height; `width` its width.
        width: See `height`.
        epochs: Planned epochs, for mixes that stop after a fraction of them.
        group: Consecutive positions of the plan among which partners are found.

    Raises:
        ArgumentError: A stage does not fit the output's size, or asks for `epochs`.
    """
    stages = Stages()
    for position, item in enumerate(items):
        if isinstance(item, PASTA):
            stages.spectrum = compile_pasta(item, position, height, width)
        elif isinstance(item, RandomErasing):
            stages.erase = compile_erasing(item, position)
        elif isinstance(item, Mix):
            stages.mixing = compile_mixing(item, position, epochs, height, width, group)
        elif isinstance(item, Policy):
            stages.program = (*stages.program, compile_policy(item, position))
            if isinstance(item, AugMix):
                stages.views = max(stages.views, item.views)
    n_steps(stages.program)  # refuses an AugMix that is not the first
    return stages
