"""The backend of a GPU: everything is enqueued on one stream of the loader's own, and nothing waits for it.

Order is kept by events, never by the host: a finished batch carries an event, for which the consumer's
stream waits; decoded crops are let go once an event behind their last reader has passed, which is asked,
not awaited.
"""

import contextlib
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fieldloom.errors import DeviceMemoryError
from fieldloom.kernels.device import DevicePass, allocate, stage
from fieldloom.kernels.draws import Keys, Windows
from fieldloom.kernels.fusedpass import Sources
from fieldloom.kernels.stages.staged import StageRecords
from fieldloom.pipelines.upload import upload

from .backend import Masks
from .batch import Batch
from .sources.dense import DensePixels
from .streams import StreamOrder
from .tensors import by_views

if TYPE_CHECKING:
    import torch


@dataclass(slots=True, eq=False)
class OnDevice:
    """A batch whose kernels may not have run yet, and the event behind them."""

    batch: Batch
    event: Any


class GpuBackend:
    """See `Backend`.

    Args:
        one_pass: The compiled recipe on its device.
        layout: Layout of the tensors.
        order: The loader's stream; None makes one.
    """

    # The GPU decodes one batch while the host prepares the next.
    decode_ahead = 2

    def __init__(self, one_pass: DevicePass, layout: str, order: StreamOrder | None = None) -> None:
        self.device = str(one_pass.device)
        self._pass, self._layout = one_pass, layout
        self._order = StreamOrder(one_pass.device) if order is None else order
        self._in_flight: deque[tuple[Any, Any]] = deque()

    def working(self) -> contextlib.AbstractContextManager[Any]:
        """Makes the loader's stream, and its device, current in this thread."""
        return self._order.working()

    def adopt(self, pixels: DensePixels) -> DensePixels:
        """Copy a data set to the device, once; one that is there already stays where it is.

        Raises:
            DeviceMemoryError: It does not fit.
        """
        import torch

        images = pixels.owner
        if isinstance(images, np.ndarray):
            gib = images.size / 2**30
            try:
                # Blocking: it is done when the first batch is asked for.
                images = torch.from_numpy(_writable(images)).to(self._pass.device)
            except torch.OutOfMemoryError as error:
                raise DeviceMemoryError.make(
                    f"cannot keep the data set on {self.device}",
                    why=f"its pixels take {gib:.2f} GiB; {str(error).partition('. ')[0]}",
                    remedy='Pass device="cpu" and move batches, or a list of encoded images.',
                ) from error
        # Dropped by the user, its memory must not be handed out again before our stream has read it.
        self._order.adopt(images)
        return DensePixels.of_tensor(images)

    def place(self, images: Sequence[np.ndarray]) -> Sources:
        """Enqueue their copy to the device, together."""
        memory, pointers = upload(images, self._pass.device)
        shapes = np.array([image.shape[:2] for image in images], np.int32).reshape(-1, 2)
        return Sources(pointers, shapes[:, 0], shapes[:, 1], shapes[:, 1].astype(np.int64) * 3, memory)

    def augment(
        self,
        keys: Keys,
        windows: Windows,
        sources: Sources,
        samples: np.ndarray | None,
        stages: StageRecords | None,
        masks: Masks | None = None,
    ) -> "tuple[torch.Tensor, torch.Tensor | None]":
        """Enqueue the fused pass and its stages."""
        if samples is None:
            samples = self._pass.fused_pass.records(keys, windows, sources)
        out = self._pass.run(samples, keys.seed, stages=stages)
        out = out.permute(0, 3, 1, 2) if self._layout == "channels_last" else out
        images = by_views(out, self._pass.fused_pass.plan.views)
        return images, None if masks is None else self._masks(keys, windows, masks, samples)

    def _masks(self, keys: Keys, windows: Windows, masks: Masks, samples: np.ndarray) -> "torch.Tensor":
        """Enqueue the copy of the masks' windows and their kernel."""
        shapes = np.array([mask.shape for mask in masks.windows], np.int32).reshape(-1, 2)
        memory, pointers = upload(
            [np.ascontiguousarray(mask).view(np.uint8) for mask in masks.windows], self._pass.device
        )
        strides = shapes[:, 1].astype(np.int64) * np.dtype(masks.element).itemsize
        sources = Sources(pointers, shapes[:, 0], shapes[:, 1], strides, memory)
        made = self._pass.index_maps(
            keys, windows, sources, masks.element, samples=samples, ignore=masks.fill
        )
        return by_views(made.long(), self._pass.fused_pass.plan.views)

    def deliver(self, batch: Batch, owner: Any) -> OnDevice:
        """Enqueue the copy of targets and weights, and the event; ids and pixel shares stay on the host."""
        mix = batch.mix
        if mix is None:
            batch.targets, batch.weights = self._columns([batch.targets, batch.weights])
        elif mix.classes is None:
            batch.targets, batch.weights, mix.weights = self._columns(
                [batch.targets, batch.weights, mix.weights]
            )
        else:
            columns = [batch.targets, mix.classes, batch.weights, mix.weights]
            batch.targets, mix.classes, batch.weights, mix.weights = self._columns(columns)
        event = self._order.mark()
        self._in_flight.append((event, owner))
        self._release()
        return OnDevice(batch, event)

    def _columns(self, columns: "list[torch.Tensor]") -> "list[torch.Tensor]":
        """Host tensors on the device, by one copy."""
        import torch

        packed = np.concatenate([column.numpy().reshape(-1).view(np.uint8) for column in columns])
        memory = allocate((len(packed),), torch.uint8, self._pass.device)
        stage(packed, memory)
        sizes = [column.nbytes for column in columns]
        # Each begins at a multiple of its own element's size: those of 8 bytes stand first.
        assert all(c.element_size() >= d.element_size() for c, d in itertools.pairwise(columns))
        return [
            part.view(column.dtype).view(column.shape)
            for part, column in zip(memory.split(sizes), columns, strict=True)
        ]

    def receive(self, waiting: OnDevice) -> Batch:
        """Let the consumer's current stream wait for the batch; the host goes on at once."""
        batch = waiting.batch
        mixed = () if batch.mix is None else (batch.mix.classes, batch.mix.weights)
        tensors = (batch.images, batch.targets, batch.weights, batch.masks, *mixed)
        self._order.hand_over(waiting.event, tuple(t for t in tensors if t is not None))
        return batch

    def _release(self) -> None:
        while self._in_flight and self._in_flight[0][0].query():
            self._in_flight.popleft()

    def close(self) -> None:
        """Wait for the work under way: what it reads is freed now. Idempotent."""
        while self._in_flight:
            event, _ = self._in_flight.popleft()
            event.synchronize()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # at interpreter exit CUDA may be gone
            self.close()


def _writable(images: np.ndarray) -> np.ndarray:
    """Packed images that torch takes without a warning: it refuses read-only memory."""
    images = np.ascontiguousarray(images)
    return images if images.flags.writeable else images.copy()
