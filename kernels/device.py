"""`DevicePass`: a compiled pass on a CUDA device; enqueues, and never waits.

torch owns all memory. Its caching allocator orders by stream: scratch that is dropped here right after its
launches is handed out again only to later work of the same stream. Its pinned host memory is guarded by
events: a staging buffer that is dropped here is reused only after its copy has been made.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fieldloom.errors import ArgumentError, DeviceMemoryError

from . import cuda
from .draws import Keys, Windows
from .fusedpass import FusedPass, Sources
from .launcher import CupyLauncher, Launcher

if TYPE_CHECKING:
    import torch

#: Arrays in one block of device memory begin at multiples of this, as CUDA's own allocations do.
ALIGNMENT = 256
#: Largest grid in its third axis, hence samples of one call.
MOST_SAMPLES = 65535


@dataclass(frozen=True, slots=True)
class Prepared:
    """Launches of a batch, and the memory that they use besides its sources."""

    launches: list[cuda.Launch]
    scratch: "torch.Tensor"
    out: "torch.Tensor"


class DevicePass:
    """A `FusedPass` on a device. Threads may share it, each on a stream of its own.

    Args:
        fused_pass: What to do.
        device: A torch device with an index ("cuda:0"). The tests pass "cpu" with a launcher of their own.
        launcher: What executes the kernels; None compiles them for the device.

    Raises:
        DeviceError: CuPy is missing.
        KernelBuildError: The kernels cannot be compiled or loaded.

    Exactness: the bits of `FusedPass` for equal sources.
    """

    def __init__(self, fused_pass: FusedPass, device: Any, launcher: Launcher | None = None) -> None:
        import torch

        self.fused_pass, self.device = fused_pass, torch.device(device)
        plan = fused_pass.plan
        self.geometry = cuda.Geometry.of(plan, fused_pass.pitch, fused_pass.transforms)
        self.launcher = launcher or CupyLauncher(cuda.Variant.of(plan), self.device.index or 0)
        transforms = fused_pass.transforms.tobytes()
        self._basis_at = _aligned(len(transforms))
        tables = transforms.ljust(self._basis_at, b"\0") + fused_pass.basis.tobytes()
        # Blocking, unlike everything later: any stream may read the tables from now on.
        self._tables = torch.frombuffer(bytearray(tables), dtype=torch.uint8).to(self.device)

    def empty(self, n: int) -> "torch.Tensor":
        """An output tensor for n samples, of the plan's own type; on torch's current stream.

        Raises:
            DeviceMemoryError: The device has too little memory.
        """
        import torch

        plan = self.fused_pass.plan
        size = (plan.height, plan.width)
        shape = (n, 3, *size) if plan.planar else (n, *size, 3)
        return self.allocate(shape, getattr(torch, plan.dtype))

    def __call__(
        self, keys: Keys, windows: Windows, sources: Sources, out: "torch.Tensor | None" = None
    ) -> "torch.Tensor":
        """Enqueue a batch on torch's current stream.

        Args:
            keys: Seed, epoch, ids and occurrences.
            windows: What `FusedPass.windows` gave for the same keys.
            sources: Pixels of each `windows.rects`, in device memory. Its owner must live until the stream
                has passed this call.
            out: Where to write, as `empty` makes it; None makes one.

        Returns:
            `out`.

        Raises:
            DeviceMemoryError: The device has too little memory.
        """
        return self.run(self.fused_pass.records(keys, windows, sources), keys.seed, out)

    def run(self, samples: np.ndarray, seed: int, out: "torch.Tensor | None" = None) -> "torch.Tensor":
        """Enqueue SAMPLE records that are already drawn (`FusedPass.records`); their `copy` is overwritten.

        Args:
            samples: n records, whose sources are device addresses.
            seed: 64 bits.
            out: As for a call.
        """
        prepared = self.prepare(samples, seed, out)
        self.enqueue(prepared.launches)
        return prepared.out

    def enqueue(self, launches: list[cuda.Launch]) -> None:
        """Enqueue launches on torch's current stream."""
        stream = current_stream(self.device)
        for launch in launches:
            self.launcher.launch(launch, stream)

    def prepare(self, samples: np.ndarray, seed: int, out: "torch.Tensor | None" = None) -> Prepared:
        """Enqueue the upload of records, and say what is to be launched; arguments as for `run`."""
        import torch

        n, fused = len(samples), self.fused_pass
        if n > MOST_SAMPLES:
            raise ArgumentError.make(
                f"a batch of {n} samples", why=f"a CUDA grid holds {MOST_SAMPLES}", remedy="Split it."
            )
        out = self.empty(n) if out is None else out
        if not n:
            return Prepared([], out, out)
        sizes = {"records": samples.nbytes, "copies": cuda.place_copies(samples) + 16, "modes": 4 * n}
        sizes |= {name: 4 * floats for name, floats in self.geometry.scratch_floats(n).items()}
        places, total = {}, 0
        for name, size in sizes.items():
            places[name] = total
            total += _aligned(size)
        scratch = self.allocate((total,), torch.uint8)
        base = scratch.data_ptr()
        cuda.move_copies(samples, base + places["copies"])
        stage(samples, scratch[: samples.nbytes])
        tables = self._tables.data_ptr()
        at = cuda.Addresses(
            samples=base + places["records"], transforms=tables, basis=tables + self._basis_at,
            nodes=base + places["nodes"], fields=base + places["fields"], columns=base + places["columns"],
            modes=base + places["modes"], out=out.data_ptr(),
        )  # fmt: skip
        found = cuda.launches(
            fused.plan, self.geometry, samples, len(fused.transforms), seed, fused.scales, fused.bias, at
        )
        return Prepared(found, scratch, out)

    def allocate(self, shape: tuple[int, ...], dtype: "torch.dtype") -> "torch.Tensor":
        """An uninitialized tensor on the device, or a named error."""
        return allocate(shape, dtype, self.device)


def allocate(shape: tuple[int, ...], dtype: "torch.dtype", device: "torch.device") -> "torch.Tensor":
    """An uninitialized tensor, in the order of torch's current stream.

    Raises:
        DeviceMemoryError: The device has too little memory.
    """
    import torch

    try:
        return torch.empty(shape, dtype=dtype, device=device)
    except torch.OutOfMemoryError as error:
        mib = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize / 2**20
        raise DeviceMemoryError.make(
            f"cannot allocate {mib:.0f} MiB on {device}",
            why=str(error).partition(". ")[0],
            remedy="Lower batch_size or prefetch, or free memory of the model.",
        ) from error


def stage(values: np.ndarray, target: "torch.Tensor") -> None:
    """Enqueue a copy of host values into device memory, through pinned memory, without waiting.

    Args:
        values: C-contiguous; may be changed as soon as this returns.
        target: uint8 (values.nbytes,), contiguous.
    """
    import torch

    pinned = torch.empty(values.nbytes, dtype=torch.uint8, pin_memory=target.device.type == "cuda")
    pinned.numpy()[:] = values.reshape(-1).view(np.uint8)
    target.copy_(pinned, non_blocking=True)


def current_stream(device: "torch.device") -> int:
    """Handle of torch's current stream on a device; 0 on the CPU."""
    import torch

    return torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0


def _aligned(n_bytes: int) -> int:
    return max(1, -(-n_bytes // ALIGNMENT)) * ALIGNMENT


__all__ = ["ALIGNMENT", "MOST_SAMPLES", "DevicePass", "Prepared", "allocate", "current_stream", "stage"]
