"""The CPU's backend for training on a GPU: batches in pinned memory, so that copies overlap with work."""

from typing import Any

from .batch import Batch
from .host import HostBackend


class PinnedBackend(HostBackend):
    """Delivers copies in pinned memory, made in the producing thread."""

    def deliver(self, batch: Batch, owner: Any) -> Batch:
        """The batch with pinned tensors."""
        return batch.pin_memory()


def can_pin() -> bool:
    """Whether there is a GPU that pinned memory would be for."""
    import torch

    return bool(torch.cuda.is_available())
