"""Runs a batch of the CUDA source in a program that was built with g++'s sanitizers."""

import os
import shutil
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cuda_shim import build_folder, compile_source

from fieldloom.kernels import cuda
from fieldloom.kernels.draws import Keys
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.launcher import Module
from fieldloom.kernels.plan import PassPlan
from fieldloom.kernels.stages.launches import StageVariant

#: The shim's header and flags of each. The thread sanitizer watches the threads of a block, or the blocks.
BUILDS = {
    "address": (
        "cpu.h",
        ("-O1", "-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all"),
    ),
    "thread": ("threads.h", ("-O1", "-fsanitize=thread", "-pthread")),
    "blocks": ("blocks.h", ("-O1", "-fsanitize=thread", "-pthread")),
}
_CHECKING = threading.Lock()
#: Addresses within a batch: the number of a block, from 1, above this many bits for the byte in it.
_BLOCK = 40


class MissingSanitizer(Exception):
    """The compiler cannot build with this sanitizer, or its programs do not start here."""


def build(sanitizer: str, variant: Module, source: str) -> Path:
    """The program of one variant of the pass, or of its stages."""
    header, flags = BUILDS[sanitizer]
    _check(sanitizer)
    entry = "entry_stages.h" if isinstance(variant, StageVariant) else "entry.h"
    return compile_source(
        source, sanitizer, *variant.definitions(), *flags, header=header, shared=False, entry=entry
    )


def _check(sanitizer: str) -> None:
    """Raise MissingSanitizer unless an empty program links: without the sanitizer's runtime it does not."""
    with _CHECKING:
        program = build_folder() / f"empty-{sanitizer}"
        if program.exists():
            return
        command = ["g++", *BUILDS[sanitizer][1], "-xc++", "-", "-o", str(program)]
        done = subprocess.run(command, input="int main() {}", capture_output=True, text=True, check=False)
        if done.returncode:
            raise MissingSanitizer(f"g++ cannot link the {sanitizer} sanitizer: {done.stderr[-200:]}")


@dataclass
class Batch:
    """Memory blocks, addresses within them, and launches, as shim/driver.h reads them."""

    blocks: list[bytes] = field(default_factory=list)
    addresses: list[tuple[int, int, int, int]] = field(default_factory=list)
    launches: list[tuple[int, ...]] = field(default_factory=list)

    def add(self, array: np.ndarray | bytes) -> int:
        """A new block; the address that stands for it, wherever addresses are added to the batch.

        Fields of a structured array that hold such an address are put right when the program has its memory.
        """
        here = len(self.blocks)
        self.blocks.append(array if isinstance(array, bytes) else array.tobytes())
        if isinstance(array, np.ndarray) and array.dtype.names is not None:
            self._find(np.atleast_1d(array), here)
        return (here + 1) << _BLOCK

    def launch(self, launch: cuda.Launch) -> None:
        """One launch, whose arguments hold addresses of this batch."""
        name, args = (self.add(each) >> _BLOCK for each in (launch.kernel.encode() + b"\0", launch.args))
        self.launches.append((name - 1, *launch.grid, launch.shared_floats, args - 1))

    def _find(self, records: np.ndarray, here: int) -> None:
        """Note each address in a structured array."""
        fields = records.dtype.fields
        assert fields is not None
        for name, (dtype, offset, *_) in fields.items():
            values = records[name].ravel() if dtype == np.uint64 else np.zeros(0, np.uint64)
            for k in np.flatnonzero(values >> np.uint64(_BLOCK)):
                block, byte = divmod(int(values[k]), 1 << _BLOCK)
                self.addresses.append((here, int(k) * records.itemsize + offset, block - 1, byte))

    def write(self, path: Path) -> None:
        """As 64-bit integers and the blocks' bytes."""
        with path.open("wb") as file:

            def numbers(*values: int) -> None:
                file.write(np.array(values, np.int64).tobytes())

            numbers(len(self.blocks))
            for block in self.blocks:
                numbers(len(block))
                file.write(block)
            for rows in (self.addresses, self.launches):
                numbers(len(rows), *(value for row in rows for value in row))


def batch_of(plan: PassPlan, images: Sequence[np.ndarray], keys: Keys) -> Batch:
    """The launches of one batch; every source at another alignment, each array in its own exact block."""
    fused, batch = FusedPass(plan), Batch()
    windows = fused.windows(keys, np.array([image.shape[:2] for image in images]))
    crops = [image[y : y + h, x : x + w] for image, (y, x, h, w) in zip(images, windows.rects, strict=True)]
    samples = fused.records(keys, windows, Sources.of_arrays(crops))
    samples["stride"] = [3 * crop.shape[1] + k % 3 for k, crop in enumerate(crops)]
    cuda.place_copies(samples)
    for k, crop in enumerate(crops):
        samples["source"][k] = batch.add(_source(crop, int(samples["stride"][k]), before=k % 4)) + k % 4
    for k in np.flatnonzero(samples["copy"]):
        rows, columns = (
            max(-(-int(samples[side][k]) // int(samples["reduce"][k, axis])), 2)
            for axis, side in enumerate(("height", "width"))
        )
        samples["copy"][k] = batch.add(bytes((rows * columns * 3 + 3) // 4 * 4))
    geometry = cuda.Geometry.of(plan, fused.pitch, fused.transforms)
    scratch = {
        name: batch.add(np.full(size, np.nan, np.float32))
        for name, size in geometry.scratch_floats(len(keys)).items()
    }
    places = cuda.Addresses(
        samples=batch.add(samples), transforms=batch.add(fused.transforms), basis=batch.add(fused.basis),
        modes=batch.add(np.full(len(keys), -1, np.int32)), out=batch.add(fused.empty(len(keys))), **scratch,
    )  # fmt: skip
    for launch in cuda.launches(
        plan, geometry, samples, len(fused.transforms), keys.seed, fused.scales, fused.bias, places
    ):
        batch.launch(launch)
    return batch


def _source(crop: np.ndarray, stride: int, before: int) -> bytes:
    """Rows `stride` bytes apart, `before` bytes behind an aligned word and up to the end of one."""
    height, width = crop.shape[:2]
    # The last row ends with its pixels: nothing may be read behind them but the rest of their word.
    used = before + (height - 1) * stride + 3 * width
    memory = np.zeros((used + 3) // 4 * 4 + stride, np.uint8)
    rows = memory[before : before + height * stride].reshape(height, stride)
    rows[:, : 3 * width] = crop.reshape(height, 3 * width)
    return memory[: (used + 3) // 4 * 4].tobytes()


def run(program: Path, batch: Batch) -> str:
    """What the program reports: "" if the sanitizer found nothing."""
    path = program.with_suffix(".batch")
    batch.write(path)
    command = [str(program), str(path)]
    # Behind a race threads may part, and those that miss the others at a barrier wait for ever.
    options: Any = {
        "capture_output": True,
        "text": True,
        "env": {**os.environ, "TSAN_OPTIONS": "halt_on_error=1"},
    }
    done = subprocess.run(command, check=False, **options)
    if "unexpected memory mapping" in done.stderr and shutil.which("setarch"):
        # GCC 12's thread sanitizer cannot live with as much address randomization as new kernels have.
        done = subprocess.run(["setarch", "-R", *command], check=False, **options)
        if done.returncode and "setarch" in done.stderr:
            raise MissingSanitizer("the thread sanitizer needs setarch, which may not run here")
    if "unexpected memory mapping" in done.stderr:
        raise MissingSanitizer("the thread sanitizer meets unexpected memory mappings")
    if done.returncode == 0 and done.stdout == "done\n" and not done.stderr:
        return ""
    return done.stderr or f"exit status {done.returncode}: {done.stdout}"
