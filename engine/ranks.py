"""Which part of each global batch this process delivers."""

import os
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
        """The rank that was asked for, or else the one that torchrun's environment names.

        Raises:
            ArgumentError: One without the other, or out of range.
        """
        if rank is None and world_size is None:
            rank, world_size = _from_environment()
        if not is_whole(world_size) or not is_whole(rank) or not 0 <= int(rank or 0) < int(world_size or 0):
            raise ArgumentError.make(
                f"rank={rank!r}, world_size={world_size!r}",
                why="a rank is a whole number from 0 to world_size - 1",
                remedy="Pass both, or neither: torchrun sets RANK and WORLD_SIZE.",
            )
        return cls(int(rank), int(world_size))  # type: ignore[arg-type]


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
