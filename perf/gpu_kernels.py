"""The kernel table: every variant's time, bandwidth, registers, enqueue time, and equality of bits."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from fieldloom.perf.gpu_timing import copy_bandwidth, device_us, host_us, sets_beyond_cache
from fieldloom.perf.spread import spread

DTYPES = ("float32", "float16", "bfloat16", "uint8")
BORDERS = ("reflect", "edge", "constant")
#: Source pixels per output pixel: no filtering, the tent, the tent after a box reduction.
SHRINKS = (1.0, 1.3, 4.0)
DEGREES = (0.0, 15.0, 45.0)
#: Samples whose bits are held against the CPU twin.
COMPARED = 8


def variants() -> Iterator[tuple[str, str, float, float]]:
    """(dtype, border, shrink, degrees) of each row."""
    yield from itertools.product(DTYPES, BORDERS, SHRINKS, DEGREES)


def recipe(degrees: float) -> list[Any]:
    """What every row does to every image: turn, warp by a field, recolor by four fields, normalize."""
    import fieldloom as fl

    turn = fl.RandomAffine(degrees=(degrees, degrees))
    return [turn, fl.RandomField("translate", p=1.0), fl.ColorField(p=1.0)]


def compile_pass(dtype: str, border: str, degrees: float, size: int) -> Any:
    """The pass of a row."""
    import fieldloom as fl
    from fieldloom.kernels.fusedpass import FusedPass
    from fieldloom.recipe import Format, compile_recipe

    augment = recipe(degrees) if dtype == "uint8" else [*recipe(degrees), fl.Normalize()]
    return FusedPass(compile_recipe(augment, Format(size, dtype, "NCHW", border)))


class Case:
    """One row's pass, on so many sets of buffers that the cache holds none of them."""

    def __init__(self, device: Any, row: tuple[str, str, float, float], n: int, size: int) -> None:
        import torch

        from fieldloom.kernels.device import DevicePass
        from fieldloom.kernels.draws import Keys
        from fieldloom.sources.dense import DensePixels

        dtype, border, shrink, degrees = row
        self.n, self.side = n, round(size * shrink)
        self.fused = compile_pass(dtype, border, degrees, size)
        self.device_pass = DevicePass(self.fused, device)
        self.launcher: Any = self.device_pass.launcher
        self.bytes_in = n * self.side**2 * 3
        out_bytes = self.device_pass.empty(1).nbytes * n
        self.bytes = self.bytes_in + out_bytes
        self.keys = Keys(0, 0, np.arange(n), np.zeros(n, np.int64))
        self.windows = self.fused.windows(self.keys, np.full((n, 2), self.side))
        generator = torch.Generator(device).manual_seed(0)
        shape = (n, self.side, self.side, 3)
        self.images = [
            torch.randint(0, 256, shape, dtype=torch.uint8, device=device, generator=generator)
            for _ in range(sets_beyond_cache(device, self.bytes))
        ]
        ids = np.arange(n)
        self.sources = [DensePixels.of_tensor(i).sources(ids, self.windows.rects) for i in self.images]
        self.prepared = [
            self.device_pass.prepare(self.fused.records(self.keys, self.windows, sources), 0)
            for sources in self.sources
        ]

    def kernel_us(self, kernel: str | None) -> list[float]:
        """Device time of one kernel of the batch, or of all of them."""

        def work(prepared: Any) -> Any:
            launches = [one for one in prepared.launches if kernel in (None, one.kernel)]
            return lambda: self.device_pass.enqueue(launches)

        return device_us([work(prepared) for prepared in self.prepared])

    def equal_bits(self) -> bool:
        """Whether a few samples have the bits of the CPU twin."""
        import torch

        from fieldloom.kernels.draws import Keys
        from fieldloom.kernels.fusedpass import Sources

        keys = Keys(0, 0, np.arange(COMPARED), np.zeros(COMPARED, np.int64))
        windows = self.fused.windows(keys, np.full((COMPARED, 2), self.side))
        host = list(self.images[0][:COMPARED].cpu().numpy())
        expected = self.fused(keys, windows, Sources.of_arrays(host))
        self.device_pass.enqueue(self.prepared[0].launches)
        found = self.prepared[0].out[:COMPARED].cpu()
        return bool((found.view(torch.uint8).numpy() == expected.view(np.uint8)).all())

    def has_prefilter(self) -> bool:
        """Whether the batch shrinks."""
        return any(getattr(launch, "kernel", None) == "prefilter" for launch in self.prepared[0].launches)

    def enqueue_us(self) -> list[float]:
        """Host time of a whole batch: records, upload, launches."""
        return host_us(lambda: self.device_pass(self.keys, self.windows, self.sources[0]))


def measure(device: Any, n: int = 256, size: int = 224, rows: Any = None) -> dict[str, Any]:
    """The table."""
    copy = copy_bandwidth(device)
    table = [_row(device, row, n, size, copy["median"]) for row in (variants() if rows is None else rows)]
    return {"batch": n, "size": size, "copy_gb_per_s": copy, "rows": table}


def _row(device: Any, row: tuple[str, str, float, float], n: int, size: int, copy: float) -> dict[str, Any]:
    case = Case(device, row, n, size)
    times = {
        kernel: case.kernel_us(kernel)
        for kernel in ("prefilter", "lattice", "fused")
        if kernel != "prefilter" or case.has_prefilter()
    }
    whole = case.kernel_us(None)
    # The bytes that must move: the source once, the output once. A prefiltered copy is read instead.
    bandwidth = [1e-3 * case.bytes / us for us in times["fused"]]
    return {
        "dtype": row[0], "border": row[1], "shrink": row[2], "degrees": row[3],
        "us": {**{kernel: spread(us, 2) for kernel, us in times.items()}, "batch": spread(whole, 2)},
        "fused_gb_per_s": spread(bandwidth, 1),
        "percent_of_copy": round(100 * spread(bandwidth, 2)["median"] / copy, 1),
        "registers": case.launcher.registers(),
        "enqueue_us": spread(case.enqueue_us(), 1),
        "bits_equal_cpu": case.equal_bits(),
    }  # fmt: skip
