"""`DevicePass`: a compiled pass on a CUDA device; enqueues, and never waits.

torch owns all memory. Its caching allocator orders by stream: scratch that is dropped here right after its
launches is handed out again only to later work of the same stream. Its pinned host memory is guarded by
events: a staging buffer that is dropped here is reused only after its copy has been made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fieldloom.errors import ArgumentError, DeviceMemoryError

from . import cuda, indexmap
from .draws import Keys, Windows
from .fusedpass import BYTE_SCALES, NO_BIAS, FusedPass, Sources
from .indexlaunches import IndexVariant, index_launches
from .launcher import CupyLauncher, Launcher, Module
from .plan import PassPlan
from .stages.device import DeviceStages, Memory, Step
from .stages.drawing import with_views
from .stages.launches import StageVariant
from .stages.staged import StageRecords

if TYPE_CHECKING:
    import torch

#: Arrays in one block of device memory begin at multiples of this, as CUDA's own allocations do.
ALIGNMENT = 256
#: Largest grid in its third axis, hence samples of one call.
MOST_SAMPLES = 65535


@dataclass(frozen=True, slots=True)
class Prepared:
    """Launches of a batch, other work between them, and the memory that they use besides their sources."""

    launches: list[Step]
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
        self.launcher = launcher or CupyLauncher(_modules(plan), self.device.index or 0)
        # Of masks: compiled when the first batch of them comes. A launcher of the caller's runs all kernels.
        self._map_launcher: Launcher | None = launcher
        self._stages = (
            DeviceStages(plan, fused_pass.scales[0], fused_pass.bias, self._upload) if plan.staged else None
        )
        transforms = fused_pass.transforms.tobytes()
        self._basis_at = _aligned(len(transforms))
        tables = transforms.ljust(self._basis_at, b"\0") + fused_pass.basis.tobytes()
        # Blocking, unlike everything later: any stream may read the tables from now on.
        self._tables = torch.frombuffer(bytearray(tables), dtype=torch.uint8).to(self.device)

    def _upload(self, table: np.ndarray) -> "torch.Tensor":
        import torch

        return torch.from_numpy(table.copy()).to(self.device)

    def empty(self, n: int) -> "torch.Tensor":
        """An output tensor for n samples, of the plan's own type; on torch's current stream.

        Raises:
            DeviceMemoryError: The device has too little memory.
        """
        import torch

        return self.allocate(self.fused_pass.shape(n), getattr(torch, self.fused_pass.plan.dtype))

    def __call__(
        self,
        keys: Keys,
        windows: Windows,
        sources: Sources,
        out: "torch.Tensor | None" = None,
        stages: StageRecords | None = None,
    ) -> "torch.Tensor":
        """Enqueue a batch on torch's current stream.

        Args:
            keys: Seed, epoch, ids and occurrences.
            windows: What `FusedPass.windows` gave for the same keys.
            sources: Pixels of each `windows.rects`, in device memory. Its owner must live until the stream
                has passed this call.
            out: Where to write, as `empty` makes it; None makes one.
            stages: What `FusedPass.stages` gave for these keys; a plan that mixes needs it.

        Returns:
            `out`.

        Raises:
            DeviceMemoryError: The device has too little memory.
        """
        stages = self.fused_pass.stages(keys) if stages is None else stages
        return self.run(self.fused_pass.records(keys, windows, sources), keys.seed, out, stages)

    def run(
        self,
        samples: np.ndarray,
        seed: int,
        out: "torch.Tensor | None" = None,
        stages: StageRecords | None = None,
    ) -> "torch.Tensor":
        """Enqueue SAMPLE records that are already drawn (`FusedPass.records`); their `copy` is overwritten.

        Args:
            samples: n records, whose sources are device addresses.
            seed: 64 bits.
            out: As for a call.
            stages: Their stages, in a staged plan.
        """
        prepared = self.prepare(samples, seed, out, stages)
        self.enqueue(prepared.launches)
        return prepared.out

    def enqueue(self, launches: Sequence[Step]) -> None:
        """Enqueue launches, and what stands between them, on torch's current stream."""
        stream = current_stream(self.device)
        for launch in launches:
            if isinstance(launch, cuda.Launch):
                self.launcher.launch(launch, stream)
            else:
                launch()

    def prepare(
        self,
        samples: np.ndarray,
        seed: int,
        out: "torch.Tensor | None" = None,
        stages: StageRecords | None = None,
    ) -> Prepared:
        """Enqueue the upload of records, and say what is to be launched; arguments as for `run`."""
        import torch

        n, fused, plan = len(samples), self.fused_pass, self.fused_pass.plan
        _check_count(n * plan.views, n)
        out = self.empty(n) if out is None else out
        if not n:
            return Prepared([], out, out)
        memory = Memory(_aligned)
        memory.add("copies", cuda.place_copies(samples) + 16)
        memory.add("records", samples.nbytes * plan.views)
        memory.add("modes", 4 * n)
        for name, floats in self.geometry.scratch_floats(n).items():
            memory.add(name, 4 * floats)
        if self._stages is not None:
            assert stages is not None
            self._stages.lay_out(memory, stages, n)
        scratch = self.allocate((memory.total,), torch.uint8)
        base = scratch.data_ptr()

        def at(name: str) -> int:
            return base + memory[name]

        cuda.move_copies(samples, at("copies"))
        uploads = {"records": with_views(samples, plan.views)}
        target = out.data_ptr()
        if self._stages is not None:
            assert stages is not None
            uploads |= self._stages.records(stages, at)
            target = at("working")
        for name, records in uploads.items():
            stage(records, scratch[memory[name] :][: records.nbytes])
        places = self._places(memory, base, target)
        scales, bias = (fused.scales, fused.bias) if self._stages is None else (BYTE_SCALES, NO_BIAS)
        found: list[Step] = [
            *cuda.launches(plan, self.geometry, samples, len(fused.transforms), seed, scales, bias, places)
        ]
        if self._stages is not None:
            assert stages is not None
            size = 3 * plan.height * plan.width * n * plan.views
            working = scratch[memory["working"] :][:size].view(-1, 3, plan.height, plan.width)
            found += self._stages.steps(
                stages, n, seed, samples=at("records"), working=working, out=out.data_ptr(), at=at
            )
        return Prepared(found, scratch, out)

    def index_maps(
        self,
        keys: Keys,
        windows: Windows,
        maps: Sources,
        element: str,
        out: "torch.Tensor | None" = None,
        samples: np.ndarray | None = None,
        ignore: int = 255,
    ) -> "torch.Tensor":
        """Enqueue the masks of a batch on torch's current stream: `FusedPass.index_maps` with the same bits.

        Args:
            keys: Seed, epoch, ids and occurrences, as for the images.
            windows: What `FusedPass.windows` gave for the same keys.
            maps: Ids of each `windows.rects`, in device memory. Its owner must live until the stream has
                passed this call.
            element: Type of the ids: "uint8" or "int32".
            out: Contiguous, of the shape and type below; None makes one.
            samples: What `FusedPass.records` gave for the images, where that is known; left as it is.
            ignore: Id of pixels outside the window, with border "constant".

        Returns:
            `out`: (views * n, height, width), view by view like the images.

        Raises:
            ArgumentError: The plan moves pixels behind the pass or mixes, or an argument does not fit.
            KernelBuildError: The kernels cannot be compiled or loaded.
            DeviceMemoryError: The device has too little memory.
        """
        import torch

        fused, plan, n = self.fused_pass, self.fused_pass.plan, len(keys)
        dtype = indexmap.element_type(element, ignore)
        _check_count(n, n)
        records = fused.map_records(keys, windows, maps, dtype, samples)
        shape, kind = fused.maps_shape(n), getattr(torch, element)
        out = self.allocate(shape, kind) if out is None else out
        if tuple(out.shape) != shape or out.dtype != kind or not out.is_contiguous():
            raise ArgumentError.make(
                f"out of shape {tuple(out.shape)} and type {out.dtype}",
                why=f"masks are contiguous, of shape {shape} and type {kind}",
                remedy="Leave it out, or pass such a tensor.",
            )
        if not n:
            return out
        memory = Memory(_aligned)
        memory.add("records", records.nbytes)
        memory.add("modes", 4 * n)
        for name, floats in self.geometry.scratch_floats(n).items():
            memory.add(name, 4 * floats)
        scratch = self.allocate((memory.total,), torch.uint8)
        stage(records, scratch[memory["records"] :][: records.nbytes])
        lattice, reading = index_launches(
            plan, self.geometry, n, len(fused.transforms), keys.seed,
            self._places(memory, scratch.data_ptr(), out.data_ptr()), element=element, ignore=ignore,
        )  # fmt: skip
        if self._map_launcher is None:
            self._map_launcher = CupyLauncher(
                [IndexVariant.of(plan, self.geometry.pitch)], self.device.index or 0
            )
        stream = current_stream(self.device)
        self.launcher.launch(lattice, stream)
        self._map_launcher.launch(reading, stream)
        for view in range(1, plan.views):
            out[view * n : (view + 1) * n].copy_(out[:n])
        return out

    def _places(self, memory: Memory, base: int, out: int) -> cuda.Addresses:
        """Addresses of the tables, of pieces of a block of memory at `base`, and of an output."""
        tables = self._tables.data_ptr()
        return cuda.Addresses(
            samples=base + memory["records"], transforms=tables, basis=tables + self._basis_at,
            nodes=base + memory["nodes"], fields=base + memory["fields"], columns=base + memory["columns"],
            modes=base + memory["modes"], out=out,
        )  # fmt: skip

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


def _check_count(images: int, n: int) -> None:
    """Refuse a batch of n samples whose images exceed a grid."""
    if images > MOST_SAMPLES:
        raise ArgumentError.make(
            f"a batch of {n} samples", why=f"a CUDA grid holds {MOST_SAMPLES}", remedy="Split it."
        )


def _modules(plan: PassPlan) -> list[Module]:
    """What is compiled for a plan."""
    modules: list[Module] = [cuda.Variant.of(plan)]
    return [*modules, StageVariant.of(plan)] if plan.staged else modules


def _aligned(n_bytes: int) -> int:
    return max(1, -(-n_bytes // ALIGNMENT)) * ALIGNMENT


__all__ = ["ALIGNMENT", "MOST_SAMPLES", "DevicePass", "Prepared", "allocate", "current_stream", "stage"]
