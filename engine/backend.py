"""What differs between the CPU and a GPU once a batch's windows are drawn and decoded."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fieldloom.kernels.draws import Keys, Windows
from fieldloom.kernels.fusedpass import Sources
from fieldloom.kernels.stages.staged import StageRecords

from .batch import Batch
from .sources.dense import DensePixels

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Masks:
    """Index masks of a batch.

    Attributes:
        windows: uint8 or int32 (height, width) each, all of one type: the images' windows of them.
        fill: Id beyond the image, where the border is constant.
    """

    windows: Sequence[np.ndarray]
    fill: int

    @property
    def element(self) -> str:
        """Their type; of none the one that holds any `fill`."""
        return self.windows[0].dtype.name if self.windows else "int32"


class Backend(Protocol):
    """Places pixels where the kernels read them, runs the kernels, and hands batches over.

    `receive` is called by the consumer's thread, `adopt` by whoever builds the loader, everything else
    within `working` by the producing thread (or by `replay`'s caller).

    Attributes:
        device: "cpu" or "cuda:N".
        decode_ahead: Jobs that the decoder works on ahead.
    """

    device: str
    decode_ahead: int

    def working(self) -> AbstractContextManager[Any]:
        """Surrounds the work of a thread that produces."""
        ...

    def adopt(self, pixels: DensePixels) -> DensePixels:
        """A whole data set in memory, where the kernels can read it."""
        ...

    def place(self, images: Sequence[np.ndarray]) -> Sources:
        """Single images from host memory, where the kernels can read them."""
        ...

    def augment(
        self,
        keys: Keys,
        windows: Windows,
        sources: Sources,
        samples: np.ndarray | None,
        stages: StageRecords | None,
        masks: Masks | None = None,
    ) -> "tuple[torch.Tensor, torch.Tensor | None]":
        """The fused pass and its stages, in the loader's layout; and the masks through the same geometry.

        `samples`: the pass's records, where they are drawn already; `stages`: the stages', in a staged plan.
        """
        ...

    def deliver(self, batch: Batch, owner: Any) -> Any:
        """What waits in the queue for the consumer; `owner` keeps the batch's sources alive."""
        ...

    def receive(self, waiting: Any) -> Batch:
        """The batch, ready for the consumer's own stream."""
        ...

    def close(self) -> None:
        """End threads, and let go of memory that work under way still reads. Idempotent."""
        ...
