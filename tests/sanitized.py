"""Runs a batch of the CUDA source in a program that was built with g++'s sanitizers."""

import shutil
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from cuda_shim import build_folder, compile_source

from fieldloom.kernels import cuda
from fieldloom.kernels.draws import Keys
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.plan import PassPlan
from fieldloom.kernels.records import SAMPLE

#: Flags, and the shim's header, of each sanitizer.
BUILDS = {
    "address": (
        "cpu.h",
        ("-O1", "-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all"),
    ),
    "thread": ("threads.h", ("-O1", "-fsanitize=thread", "-pthread")),
}
_CHECKING = threading.Lock()
KERNELS = ("prefilter", "lattice", "fused")


class MissingSanitizer(Exception):
    """The compiler cannot build with this sanitizer, or its programs do not start here."""


def build(sanitizer: str, variant: cuda.Variant, source: str) -> Path:
    """The program of one variant."""
    header, flags = BUILDS[sanitizer]
    _check(sanitizer)
    return compile_source(source, sanitizer, *variant.definitions(), *flags, header=header, shared=False)


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
        """A new block; its number."""
        self.blocks.append(array if isinstance(array, bytes) else array.tobytes())
        return len(self.blocks) - 1

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
    geometry = cuda.Geometry.of(plan, fused.pitch, fused.transforms)
    launches = cuda.launches(
        plan, geometry, samples, len(fused.transforms), keys.seed, fused.scales, fused.bias,
        cuda.Addresses(*[0] * 8),
    )  # fmt: skip
    placed = np.flatnonzero(samples["copy"])
    blocks = {
        "samples": batch.add(samples),
        "transforms": batch.add(fused.transforms),
        "basis": batch.add(fused.basis),
        "modes": batch.add(np.full(len(keys), -1, np.int32)),
        "out": batch.add(fused.empty(len(keys))),
    }
    for name, size in geometry.scratch_floats(len(keys)).items():
        blocks[name] = batch.add(np.full(size, np.nan, np.float32))
    for k, crop in enumerate(crops):
        source = batch.add(_source(crop, int(samples["stride"][k]), before=k % 4))
        _point(batch, blocks["samples"], k, "source", source, k % 4)
    for k in placed:
        rows, columns = (
            max(-(-int(samples[side][k]) // int(samples["reduce"][k, axis])), 2)
            for axis, side in enumerate(("height", "width"))
        )
        copy = batch.add(bytes((rows * columns * 3 + 3) // 4 * 4))
        _point(batch, blocks["samples"], int(k), "copy", copy, 0)
    for launch in launches:
        args = batch.add(launch.args)
        fields = launch.args.dtype.fields
        assert fields is not None
        for name in blocks.keys() & fields.keys():
            batch.addresses.append((args, fields[name][1], blocks[name], 0))
        batch.launches.append((KERNELS.index(launch.kernel), *launch.grid, launch.shared_floats, args))
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


def _point(batch: Batch, samples: int, k: int, name: str, block: int, byte: int) -> None:
    fields = SAMPLE.fields
    assert fields is not None
    batch.addresses.append((samples, k * SAMPLE.itemsize + fields[name][1], block, byte))


def run(program: Path, batch: Batch) -> str:
    """What the program reports: "" if the sanitizer found nothing."""
    path = program.with_suffix(".batch")
    batch.write(path)
    command = [str(program), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unexpected memory mapping" in done.stderr and shutil.which("setarch"):
        # GCC 12's thread sanitizer cannot live with as much address randomization as new kernels have.
        done = subprocess.run(["setarch", "-R", *command], capture_output=True, text=True, check=False)
        if done.returncode and "setarch" in done.stderr:
            raise MissingSanitizer("the thread sanitizer needs setarch, which may not run here")
    if "unexpected memory mapping" in done.stderr:
        raise MissingSanitizer("the thread sanitizer meets unexpected memory mappings")
    if done.returncode == 0 and done.stdout == "done\n" and not done.stderr:
        return ""
    return done.stderr or f"exit status {done.returncode}: {done.stdout}"
