"""The functions behind the operators on GPU data: kernels on DALI's own stream, and no wait on the host.

Keys are read on the host, images on the device. So an operator of a GPU graph is two: one on the CPU takes
ids, epochs and the like and leaves them in a queue; its output, a token, makes DALI run the other behind it,
which takes them out again. Both run once a batch and in the order of batches, whatever runs ahead; but where
a decoder fails, the other misses its turn, and DALI's default executor goes on with the next batch. So a
token's length, which the host knows without waiting, says whose it is.
"""

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fieldloom.errors import ArgumentError, DeviceError
from fieldloom.kernels.device import DevicePass
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.launcher import INSTALL, import_cupy
from fieldloom.pipelines.fn_host import Part, check_images, mask_kind, pairs, scattered, some, units_of
from fieldloom.pipelines.fn_keys import Drawn, KeyInputs, Samples
from fieldloom.pipelines.fn_passes import KEPT, Passes
from fieldloom.pipelines.fn_pixels import PixelOperation, layout_of
from fieldloom.pipelines.stage import check_sizes, cut, place

if TYPE_CHECKING:
    import torch

#: Numbers of tickets that can be told apart: far more than batches under way.
NUMBERS = 64
#: A batch's keys, and the sizes of whole images where windows come.
Ticket = tuple[Drawn, np.ndarray | None]


class Tickets:
    """The function of the operator on the CPU.

    Args:
        names: Names of its inputs, in order; at least one.
        keys: Makes keys of them.

    Attributes:
        waiting: Numbered tickets of batches that the other operator has not taken yet.
    """

    def __init__(self, names: list[str], keys: KeyInputs) -> None:
        self._names, self._keys = names, keys
        self.waiting: deque[tuple[int, Ticket]] = deque()
        self._number = 0

    def __call__(self, *batches: Samples) -> list[np.ndarray]:
        """Tokens, uint8 (number of the batch % NUMBERS + 1,); their values mean nothing."""
        n = len(batches[0])
        if n:
            inputs = dict(zip(self._names, batches, strict=True))
            sizes = check_sizes(pairs(inputs["sizes"]), n) if "sizes" in inputs else None
            self._number = (self._number + 1) % NUMBERS
            self.waiting.append((self._number, (self._keys.take(inputs, n), sizes)))
        return list(np.zeros((n, self._number + 1), np.uint8))

    def take(self, n: int, tokens: Sequence[Any]) -> Ticket:
        """That of the batch of n images that came with these tokens; earlier ones were missed."""
        number, ticket = self.waiting.popleft()
        while number != tokens[0].shape[0] - 1:
            number, ticket = self.waiting.popleft()
        if len(ticket[0].ids) != n:
            raise ArgumentError.make(
                f"{n} images and {len(ticket[0].ids)} ids",
                why="an operator's inputs come from one batch",
                remedy="Split images and keys by the same condition.",
            )
        return ticket


class Counted:
    """Stands for `Tickets` where nothing is given: keys are counted when the images come."""

    def __init__(self, keys: KeyInputs) -> None:
        self._keys = keys

    def take(self, n: int, tokens: Sequence[Any]) -> Ticket:
        """The next batch's."""
        return self._keys.take({}, n), None


class AugmentOnDevice:
    """The function of the operator on the GPU; DALI gives CuPy arrays, with its own stream current.

    Args:
        tickets: Where the keys come from.
        passes: What to do.
        n_masks: Inputs of masks, right behind the images.
        ignore: As for `fieldloom.pipelines.fn.fused`.
        compile_pass: Makes a `DevicePass`; the tests give their own.
    """

    def __init__(
        self,
        tickets: Tickets | Counted,
        passes: Passes,
        n_masks: int = 0,
        ignore: int = 255,
        compile_pass: Any = DevicePass,
    ) -> None:
        self._tickets, self._passes, self._compile = tickets, passes, compile_pass
        self._n_masks, self._ignore = n_masks, ignore
        self._made: dict[FusedPass, DevicePass] = {}

    def __call__(self, images: Sequence[Any], *more: Any) -> Any:
        """Outputs, one tensor a sample, which hand themselves over by DLPack."""
        masks = more[: self._n_masks]
        if not len(images):
            return tuple([] for _ in range(1 + len(masks))) if masks else []
        check_images(images)
        kinds = [mask_kind(each, images) for each in masks]
        drawn, sizes = self._tickets.take(len(images), *more[self._n_masks :] or [()])
        device = device_of(images[0])
        sources, maps = sources_of(images), [sources_of(each) for each in masks]
        own = () if self._passes.fixed else (sources.heights, sources.widths)
        parts = []
        arrays: list[list[Any]] = [[] for _ in range(1 + len(masks))]
        with on_current_stream(device):
            for where in drawn.groups(*own):
                fused_pass = self._passes.of(*images[where[0]].shape[:2])
                part = Part(where, drawn.of(where), fused_pass)
                whole = None if sizes is None else sizes[where]
                windows, pixels = place(fused_pass, some(sources, where), part.keys, whole)
                on_device = self._pass(fused_pass, device)
                parts.append(part)
                arrays[0].append(on_device(part.keys, windows, pixels))
                for kind, ids, made in zip(kinds, maps, arrays[1:], strict=True):
                    read = some(ids, where)
                    if whole is None:
                        read = cut(read, windows, np.dtype(kind).itemsize)
                    made.append(on_device.index_maps(part.keys, windows, read, kind, ignore=self._ignore))
        done = [scattered(parts, [list(map(Handed, array)) for array in each]) for each in arrays]
        return tuple(done) if masks else done[0]

    def _pass(self, fused_pass: FusedPass, device: str) -> DevicePass:
        # A pass holds tables on the device: no more of them than the host keeps.
        if fused_pass not in self._made:
            if len(self._made) >= KEPT:
                self._made.clear()
            self._made[fused_pass] = self._compile(fused_pass, device)
        return self._made[fused_pass]


class PerPixelOnDevice:
    """The function of an operator that does a user's own operation on the GPU."""

    def __init__(self, tickets: Tickets | Counted, operation: PixelOperation, layout: str) -> None:
        self._tickets, self._operation, self._layout = tickets, operation, layout

    def __call__(self, images: Sequence[Any], *tokens: Any) -> list[Any]:
        """Images of the same shapes and types."""
        import torch

        if not len(images):
            return []
        for image in images:
            layout_of(image.shape, str(image.dtype), self._layout)
        drawn, _ = self._tickets.take(len(images), *tokens or [()])
        device = device_of(images[0])
        with on_current_stream(device):
            element = getattr(torch, str(images[0].dtype))
            out = [torch.empty(image.shape, dtype=element, device=device) for image in images]
            units = units_of(drawn, self._operation)
            self._operation.on_device(list(images), out, units, self._layout, device)
        return list(map(Handed, out))


class Handed:
    """A tensor that DALI takes over in the order of its own stream, on which the tensor was made.

    torch's own `__dlpack__` would put the default stream behind the current one; nothing waits here.
    """

    def __init__(self, tensor: "torch.Tensor") -> None:
        self._tensor = tensor

    def __dlpack__(self, **options: Any) -> Any:
        """A capsule; no stream waits for another."""
        return self._tensor.__dlpack__(stream=-1) if self._tensor.is_cuda else self._tensor.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        """As the tensor's."""
        kind, index = self._tensor.__dlpack_device__()
        return int(kind), int(index)


def sources_of(images: Sequence[Any]) -> Sources:
    """A pointer table over CuPy arrays."""
    heights, widths = (np.array([image.shape[k] for image in images], np.int32) for k in (0, 1))
    pointers = np.array([image.data.ptr for image in images], np.uint64)
    strides = np.array([image.strides[0] for image in images], np.int64)
    return Sources(pointers, heights, widths, strides, images)


def device_of(image: Any) -> str:
    """Torch's name of the device that a CuPy array lies on."""
    return f"cuda:{image.device.id}"


@contextlib.contextmanager
def on_current_stream(device: str) -> Iterator[None]:
    """Makes CuPy's current stream, which is DALI's here, torch's for the while."""
    import torch

    if not device.startswith("cuda"):
        yield
        return
    handle = import_cupy().cuda.get_current_stream().ptr
    stream: Any = torch.cuda.default_stream(device)
    if handle:
        stream = torch.cuda.ExternalStream(handle, device=device)
    with torch.cuda.device(device), torch.cuda.stream(stream):
        yield


def check_device() -> None:
    """Refuse a graph with operators on a GPU where they could not run.

    Raises:
        DeviceError: CuPy is missing, or torch has no CUDA.
    """
    import torch

    import_cupy()
    if torch.version.cuda is None:
        raise DeviceError.make(
            "cannot run this operator on a GPU",
            why=f"this torch ({torch.__version__}) is built without CUDA",
            remedy=f"Install a CUDA build of torch. {INSTALL}",
        )
