"""Signals and choices between ranks, so that each of them decides alike."""

from typing import TYPE_CHECKING, Any

from fieldloom.errors import StateError

from .sharing import Arrays, Sharing
from .signals import Signals

if TYPE_CHECKING:
    import torch


def exchange_signals(signals: Signals) -> None:
    """Give every rank the signals of all: of each sample the latest report, of equal ones the lowest rank's.

    One reduction of epochs, one of owners and one of values for each signal, whatever the number of ranks.

    Raises:
        StateError: torch.distributed is not initialized.
    """
    import torch

    dist = _group()
    for name in signals.names:
        shape = _common_shape(signals, name, dist)
        if shape is None:  # nobody has reported it yet
            continue
        device = _device(dist)
        values, epochs = signals.allocated(name, shape, device)
        newest = epochs.clone()
        dist.all_reduce(newest, op=dist.ReduceOp.MAX)
        mine = (epochs == newest) & (newest >= 0)
        rank = torch.full_like(newest, dist.get_rank())
        owner = torch.where(mine, rank, torch.full_like(newest, dist.get_world_size()))
        dist.all_reduce(owner, op=dist.ReduceOp.MIN)
        own = owner == dist.get_rank()
        wide = torch.where(own.view(-1, *[1] * (values.ndim - 1)), values, torch.zeros_like(values)).float()
        dist.all_reduce(wide, op=dist.ReduceOp.SUM)  # one rank's value and zeros: exact
        signals.replace(name, wide.to(values.dtype), newest)


class GroupSharing(Sharing):
    """The processes of torch.distributed's default group.

    Raises:
        StateError: It is not initialized.
    """

    def __init__(self) -> None:
        dist = _group()
        self.rank, self.world = dist.get_rank(), dist.get_world_size()

    def exchange(self, arrays: Arrays) -> list[Arrays]:
        """What each process gave, in order of rank, for all of them."""
        everyone: list[Any] = [None] * self.world
        _group().all_gather_object(everyone, arrays)
        return everyone


def _group() -> Any:
    import torch

    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        raise StateError.make(
            "a selector that needs signals, on several ranks",
            why="torch.distributed is not initialized, so ranks cannot exchange what each has seen",
            remedy="Call torch.distributed.init_process_group before the first epoch.",
        )
    return torch.distributed


def _common_shape(signals: Signals, name: str, dist: Any) -> tuple[int, ...] | None:
    shapes: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(shapes, signals.shape(name))
    known = sorted({shape for shape in shapes if shape is not None})
    if len(known) > 1:
        raise StateError.make(
            f"{name} of different shapes on different ranks",
            why=f"rows of {known[0]} and of {known[1]} numbers",
            remedy="Report the same columns everywhere.",
        )
    return known[0] if known else None


def _device(dist: Any) -> "torch.device":
    """Where the exchange happens: nccl knows only GPUs, gloo only the host."""
    import torch

    if dist.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")
