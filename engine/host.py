"""The backend of the CPU: kernels on our own threads, outputs from a pool."""

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fieldloom.kernels.draws import Keys, Windows
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.stages.staged import StageRecords
from fieldloom.pipelines.kernelcache import seal_caches
from fieldloom.pipelines.threads import DaemonPool

from .backend import Masks
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
        seal_caches()
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
        masks: Masks | None = None,
    ) -> "tuple[torch.Tensor, torch.Tensor | None]":
        """The fused pass and its stages, done when this returns."""
        form, n = self._pass.plan, len(keys)
        out = self._buffers.take(self._pass.shape(n), self._pass.element)
        positions = None
        if masks is not None:
            samples = self._pass.records(keys, windows, sources) if samples is None else samples
            positions = self._pass.empty_positions(n)
        if n:
            self._pass(keys, windows, sources, out, self._pool, samples, stages, positions)
        images = by_views(to_tensor(out, form.dtype, self._layout), form.views)
        return images, None if masks is None else self._masks(keys, windows, masks, samples, positions)

    def _masks(
        self, keys: Keys, windows: Windows, masks: Masks, samples: np.ndarray | None, positions: Any
    ) -> "torch.Tensor":
        import torch

        made = self._pass.index_maps(
            keys, windows, Sources.of_arrays(masks.windows), masks.element, executor=self._pool,
            samples=samples, ignore=masks.fill, positions=positions,
        )  # fmt: skip
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
