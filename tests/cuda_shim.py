"""Compiles the CUDA source with g++ under a shim and runs its launches on the CPU."""

import atexit
import ctypes
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from fieldloom.kernels import cuda
from fieldloom.kernels.stages.launches import StageVariant

SHIM = Path(__file__).parent / "shim"
FLAGS = (
    "-std=c++20",
    "-O2",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Wall",
    "-Werror",
)
has_compiler = shutil.which("g++") is not None


#: Libraries and programs of this test run. Made here, once: tests compile from several threads.
_FOLDER = tempfile.TemporaryDirectory(prefix="fieldloom-shim-")
atexit.register(_FOLDER.cleanup)


def build_folder() -> Path:
    """Where this test run's libraries and programs lie."""
    return Path(_FOLDER.name)


def compile_source(
    source: str, name: str, *flags: str, header: str = "cpu.h", shared: bool = True, entry: str = "entry.h"
) -> Path:
    """A shared library, or a program (shim/driver.h), of the CUDA source behind a shim header."""
    key = hashlib.sha256("\0".join([source, header, entry, str(shared), *flags]).encode()).hexdigest()[:16]
    out = build_folder() / f"{name}-{key}{'.so' if shared else ''}"
    if not out.exists():
        file = build_folder() / f"{name}-{key}.cpp"
        driver = "" if shared else '#include "driver.h"\n'
        file.write_text(f'#include "{header}"\n{source}\n#include "{entry}"\n{driver}')
        kind = ("-shared", "-fPIC") if shared else ()
        command = [
            "g++",
            *FLAGS,
            "-Wno-unknown-pragmas",
            f"-I{SHIM}",
            *kind,
            *flags,
            str(file),
            "-o",
            str(out),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return out


def library(
    variant: cuda.Variant, *flags: str, header: str = "cpu.h", source: str | None = None
) -> ctypes.CDLL:
    """The library of one variant."""
    text = cuda.source() if source is None else source
    return ctypes.CDLL(str(compile_source(text, "fieldloom", *variant.definitions(), *flags, header=header)))


class ShimPass:
    """A `FusedPass` executed by the CUDA source; outputs and lattices as NumPy arrays.

    Attributes:
        nodes: (n, nodes_y, nodes_x, NODE) float32 of the last call.
        modes: (n,) int32 of the last call.
        copies: uint8 buffer of prefiltered copies of the last call.
    """

    def __init__(self, fused, *flags: str, header: str = "cpu.h", source: str | None = None) -> None:
        self._pass = fused
        self._library = library(cuda.Variant.of(fused.plan), *flags, header=header, source=source)
        self.geometry = cuda.Geometry.of(fused.plan, fused.pitch, fused.transforms)

    def __call__(self, keys, windows, sources) -> np.ndarray:
        fused, n = self._pass, len(keys)
        samples = fused.records(keys, windows, sources)
        self.copies = np.zeros(cuda.place_copies(samples) + 16, np.uint8)
        cuda.move_copies(samples, self.copies.ctypes.data)
        sizes = self.geometry.scratch_floats(n)
        scratch = {name: np.full(size, np.nan, np.float32) for name, size in sizes.items()}
        self.modes = np.full(n, -1, np.int32)
        out = fused.empty(n)
        transforms = fused.transforms if len(fused.transforms) else np.zeros(1, fused.transforms.dtype)
        at = cuda.Addresses(
            samples.ctypes.data, transforms.ctypes.data, fused.basis.ctypes.data,
            scratch["nodes"].ctypes.data, scratch["fields"].ctypes.data, scratch["columns"].ctypes.data,
            self.modes.ctypes.data, out.ctypes.data,
        )  # fmt: skip
        for launch in cuda.launches(
            fused.plan, self.geometry, samples, len(fused.transforms), keys.seed, fused.scales, fused.bias, at
        ):
            args = launch.args.ctypes.data_as(ctypes.c_void_p)
            shared = ctypes.c_long(launch.shared_floats)
            assert self._library.run_kernel(launch.kernel.encode(), *launch.grid, shared, args) == 0
        self.samples = samples
        self.nodes = scratch["nodes"].reshape(n, self.geometry.nodes_y, self.geometry.nodes_x, cuda.NODE)
        return out


class ShimLauncher:
    """Executes a `DevicePass`'s launches on the CPU, where its "device" memory is ordinary memory.

    Attributes:
        launched: Names of the kernels so far, in order.
    """

    def __init__(self, fused, *flags: str) -> None:
        own = library(cuda.Variant.of(fused.plan), *flags)
        self._libraries = dict.fromkeys(cuda.Variant.kernels, own)
        if fused.plan.staged:
            variant = StageVariant.of(fused.plan)
            file = compile_source(
                variant.source(), "stages", *variant.definitions(), *flags, entry="entry_stages.h"
            )
            self._libraries |= dict.fromkeys(variant.kernels, ctypes.CDLL(str(file)))
        self.launched: list[str] = []

    def launch(self, launch: cuda.Launch, stream: int) -> None:
        assert stream == 0
        self.launched.append(launch.kernel)
        args = launch.args.ctypes.data_as(ctypes.c_void_p)
        shared = ctypes.c_long(launch.shared_floats)
        run = self._libraries[launch.kernel].run_kernel
        assert run(launch.kernel.encode(), *launch.grid, shared, args) == 0
