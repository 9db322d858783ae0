"""The loader's own CUDA stream, and how other streams are ordered against it."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class StreamOrder:
    """One stream on a device; nothing here makes the host wait.

    Args:
        device: A CUDA device with an index.
    """

    def __init__(self, device: "torch.device") -> None:
        import torch

        self._cuda, self._device = torch.cuda, device
        self._stream = torch.cuda.Stream(device)

    def working(self) -> AbstractContextManager[Any]:
        """Makes the stream, and its device, current in the calling thread."""
        return self._cuda.stream(self._stream)

    def adopt(self, memory: "torch.Tensor") -> None:
        """Order the stream behind whoever filled `memory`, and its freeing behind what the stream reads."""
        self._stream.wait_stream(self._cuda.current_stream(self._device))
        memory.record_stream(self._stream)

    def mark(self) -> Any:
        """An event behind everything enqueued so far; `query()` says whether it has passed."""
        event = self._cuda.Event()
        event.record(self._stream)
        return event

    def hand_over(self, event: Any, tensors: "tuple[torch.Tensor, ...]") -> None:
        """Order the caller's current stream behind `event`, and the tensors' freeing behind that stream."""
        current = self._cuda.current_stream(self._device)
        current.wait_event(event)
        for tensor in tensors:
            # Without it, the producing stream could be given their memory while the consumer's still reads.
            tensor.record_stream(current)
