"""The backend of the CPU: kernels on our own threads, outputs from a pool."""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fieldloom.kernels.draws import Keys, Windows
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.stages.staged import StageRecords
from fieldloom.pipelines.threads import DaemonPool

from .batch import Batch
from .buffers import BufferPool
from .sources.dense import DensePixels
from .tensors import by_views, to_tensor

if TYPE_CHECKING:
    import torch


class HostBackend:
    """See `Backend`.

    Args:
        fused_pass: The compiled recipe.
        layout: Layout of the tensors.
        threads: Threads that share a batch.
        prefetch: Finished batches that may wait for the consumer.
    """

    device = "cpu"
    # One job ahead is enough to overlap decoding with the fused pass, and two cost 30 MB more.
    decode_ahead = 1

    def __init__(self, fused_pass: FusedPass, layout: str, threads: int, prefetch: int) -> None:
        self._pass, self._layout = fused_pass, layout
        self._pool = DaemonPool(threads, "fieldloom-augment") if threads > 1 else None
        # Free arrays worth keeping: one for each batch that waits, one in work, one with the consumer.
        self._buffers = BufferPool(keep=prefetch + 2)

    def working(self) -> contextlib.AbstractContextManager[Any]:
        """Nothing to set up."""
        return contextlib.nullcontext()

    def adopt(self, pixels: DensePixels) -> DensePixels:
        """The kernels read it where it is."""
        return pixels

    def place(self, images: Sequence[np.ndarray]) -> Sources:
        """The kernels read them where they are."""
        return Sources.of_arrays(images)

    def augment(
        self,
        keys: Keys,
        windows: Windows,
        sources: Sources,
        samples: np.ndarray | None,
        stages: StageRecords | None,
    ) -> "torch.Tensor":
        """The fused pass and its stages, done when this returns."""
        form, n = self._pass.plan, len(keys)
        out = self._buffers.take(self._pass.shape(n), self._pass.element)
        if n:
            self._pass(keys, windows, sources, out, self._pool, samples, stages)
        return by_views(to_tensor(out, form.dtype, self._layout), form.views)

    def masks(self, keys: Keys, windows: Windows, masks: Sequence[np.ndarray], fill: int) -> "torch.Tensor":
        """See `Backend`."""
        import torch

        element = masks[0].dtype if masks else np.dtype(np.uint8)
        sources = Sources.of_arrays(masks)
        made = self._pass.index_maps(keys, windows, sources, element, executor=self._pool, ignore=fill)
        return by_views(torch.from_numpy(made).long(), self._pass.plan.views)

    def deliver(self, batch: Batch, owner: Any) -> Batch:
        """The batch itself."""
        return batch

    def receive(self, waiting: Batch) -> Batch:
        """The batch itself."""
        return waiting

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
