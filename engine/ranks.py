"""Which part of each global batch this process delivers."""

import os
import sys
from dataclasses import dataclass

from fieldloom.errors import ArgumentError

from .options import is_whole


@dataclass(frozen=True, slots=True)
class Rank:
    """This process among those that train together.

    Attributes:
        index: From 0 on.
        world: How many there are.
    """

    index: int = 0
    world: int = 1

    @classmethod
    def of(cls, rank: int | None, world_size: int | None) -> "Rank":
        """The rank that was asked for; else torch.distributed's; else the one of torchrun's environment.

        torch.distributed is asked only where somebody has imported torch and initialized the default group.

        Raises:
            ArgumentError: One without the other, or out of range.
        """
        if rank is None and world_size is None:
            rank, world_size = _from_group() or _from_environment()
        if not is_whole(world_size) or not is_whole(rank) or not 0 <= int(rank or 0) < int(world_size or 0):
            raise ArgumentError.make(
                f"rank={rank!r}, world_size={world_size!r}",
                why="a rank is a whole number from 0 to world_size - 1",
                remedy="Pass both, or neither: torch.distributed knows them, and torchrun sets RANK and "
                "WORLD_SIZE.",
            )
        return cls(int(rank), int(world_size))  # type: ignore[arg-type]


def _from_group() -> tuple[int, int] | None:
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is None or not (distributed.is_available() and distributed.is_initialized()):
        return None
    return distributed.get_rank(), distributed.get_world_size()


def _from_environment() -> tuple[int | None, int | None]:
    names = ("RANK", "WORLD_SIZE")
    values = [os.environ.get(name) for name in names]
    if values == [None, None]:
        return 0, 1
    if any(value is None or not value.isdecimal() for value in values):
        raise ArgumentError.make(
            f"the environment's RANK={values[0]!r}, WORLD_SIZE={values[1]!r}",
            why="both must be whole numbers",
            remedy="Start with torchrun, pass rank= and world_size=, or unset both.",
        )
    return int(values[0] or 0), int(values[1] or 1)
