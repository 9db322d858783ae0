"""The CUDA source and how it is launched: variants, argument structs, grids and scratch, as plain data.

Nothing here touches a GPU. `kernels/device.py` executes a `Launch` through CuPy; the tests execute the very
same launches on a CPU, where the source is compiled by g++ under a small shim.

Source files are joined in the order of SOURCE_FILES and include nothing, so NVRTC alone compiles them.
Three launches a batch at most: `prefilter` (only if a crop of the batch shrinks), `lattice`, `fused`.

What callers owe the source: pixels are read by aligned words of 4 bytes, so memory must be readable from
the start of the word that holds a source's first byte to the end of the one that holds its last. Any GPU
allocation is (they are aligned and padded to 256 bytes), and so is each part of one; memory of a host's
array, at exact size, may end up to 3 bytes too early. Nothing depends on what those bytes hold.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from .plan import FieldColor, Jitter, PassPlan
from .records import ADDITIVE_HSV, BORDERS, LINEAR
from .shrink import ONE

SOURCE_FILES = ("base.cu", "random.cu", "shrink.cu", "lattice.cu", "output.cu", "fused.cu")
#: Compiler options besides the architecture and the variant's definitions.
OPTIONS = ("--std=c++17", "--fmad=false")

#: Floats of a node, threads of a block, tile of the prefilter (rows, columns): as in the source.
NODE, THREADS = 12, 256
TILE_ROWS, TILE_COLUMNS = 16, 32
DTYPES = {"float32": 0, "float16": 1, "bfloat16": 2, "uint8": 3}

PREFILTER_ARGS = np.dtype([("samples", "u8"), ("n", "i4")], align=True)
LATTICE_ARGS = np.dtype(
    [
        ("samples", "u8"), ("transforms", "u8"), ("basis", "u8"), ("nodes", "u8"), ("fields", "u8"),
        ("columns", "u8"), ("modes", "u8"), ("n_transforms", "i4"), ("widest", "i4"), ("nodes_y", "i4"),
        ("nodes_x", "i4"), ("pitch", "i4"), ("height", "i4"), ("width", "i4"), ("seed_low", "u4"),
        ("seed_high", "u4"), ("center", "f4"),
    ],
    align=True,
)  # fmt: skip
FUSED_ARGS = np.dtype(
    [
        ("samples", "u8"), ("nodes", "u8"), ("modes", "u8"), ("out", "u8"), ("nodes_y", "i4"),
        ("nodes_x", "i4"), ("pitch_log2", "i4"), ("height", "i4"), ("width", "i4"), ("fill", "f4", 3),
        ("scales", "f4", (2, 3)), ("bias", "f4", 3),
    ],
    align=True,
)  # fmt: skip


def source() -> str:
    """The whole CUDA source."""
    folder = Path(__file__).parent
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in SOURCE_FILES)


@dataclass(frozen=True, slots=True)
class Variant:
    """What is fixed when the source is compiled; one module each.

    Attributes:
        dtype: 0 float32, 1 float16, 2 bfloat16, 3 uint8.
        planar: NCHW, else NHWC.
        border: REFLECT, EDGE or FILL.
        color_mode: Bits LINEAR and ADDITIVE_HSV that some sample may use.
        rows: Pixels that a thread makes, one below the other: 4, 2 or 1, dividing the pitch.
    """

    dtype: int
    planar: bool
    border: int
    color_mode: int
    rows: int

    kernels: ClassVar[tuple[str, ...]] = ("prefilter", "lattice", "fused")

    @classmethod
    def of(cls, plan: PassPlan) -> "Variant":
        """The variant that a plan needs; a staged one leaves 8-bit planes to its stages."""
        mode = 0
        for transform in plan.transforms:
            if isinstance(transform, Jitter):
                mode |= LINEAR
            elif isinstance(transform, FieldColor):
                mode |= ADDITIVE_HSV if transform.hsv else LINEAR
        dtype, planar = ("uint8", True) if plan.staged else (plan.dtype, plan.planar)
        return cls(DTYPES[dtype], planar, BORDERS[plan.border], mode, min(4, plan.pitch()))

    def source(self) -> str:
        """What is compiled."""
        return source()

    def definitions(self) -> tuple[str, ...]:
        """Compiler options."""
        return (
            f"-DDTYPE={self.dtype}", f"-DPLANAR={int(self.planar)}", f"-DBORDER={self.border}",
            f"-DCOLOR_MODE={self.color_mode}", f"-DROWS={self.rows}",
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel launch: `args` is its one argument, a struct passed by value."""

    kernel: str
    grid: tuple[int, int, int]
    shared_floats: int
    args: np.ndarray


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a batch's arrays lie in the memory that the kernels see."""

    samples: int
    transforms: int
    basis: int
    nodes: int
    fields: int
    columns: int
    modes: int
    out: int


@dataclass(frozen=True, slots=True)
class Geometry:
    """Sizes that follow from a plan and its transforms.

    Attributes:
        nodes_y: Nodes of the lattice; `nodes_x` across.
        nodes_x: See `nodes_y`.
        pitch: Their distance in pixels, a power of two.
        widest: Largest kx, at least 1.
        noise: Largest ky * kx, at least 1: floats of shared memory.
    """

    nodes_y: int
    nodes_x: int
    pitch: int
    widest: int
    noise: int

    @classmethod
    def of(cls, plan: PassPlan, pitch: int, transforms: np.ndarray) -> "Geometry":
        """Geometry of a compiled pass."""
        widest = max([1, *transforms["kx"].tolist()])
        noise = max([1, *(transforms["kx"] * transforms["ky"]).tolist()])
        return cls(-(-plan.height // pitch) + 1, -(-plan.width // pitch) + 1, pitch, widest, noise)

    def scratch_floats(self, n: int) -> dict[str, int]:
        """Floats of each scratch array for n samples."""
        nodes = self.nodes_y * self.nodes_x
        return {"nodes": n * nodes * NODE, "fields": n * nodes * 4, "columns": n * self.nodes_y * self.widest}


def place_copies(samples: np.ndarray) -> int:
    """Give every sample that needs a copy its place, as an offset + 1 into one buffer.

    Args:
        samples: SAMPLE records; `copy` is written: 0 for samples that need none.

    Returns:
        Bytes of the buffer. The caller adds its address - 1 to the nonzero entries (`move_copies`).
    """
    plain = (samples["reduce"] == 1).all(1) & (samples["taps"][:, :, 0] == ONE).all(1)
    needed = ~plain | (samples["height"] < 2) | (samples["width"] < 2)
    rows, columns = (
        np.maximum(-(-samples[side].astype(np.int64) // samples["reduce"][:, axis]), 2)
        for axis, side in enumerate(("height", "width"))
    )
    # Stage 2 reads aligned words: each copy starts at one, and the last may be read 3 bytes too far.
    sizes = np.where(needed, (rows * columns * 3 + 15) // 16 * 16, 0)
    ends = np.cumsum(sizes)
    samples["copy"] = np.where(needed, ends - sizes + 1, 0)
    return int(ends[-1]) if len(ends) else 0


def move_copies(samples: np.ndarray, address: int) -> None:
    """Turn the offsets of `place_copies` into addresses."""
    offset = samples["copy"]
    samples["copy"] = np.where(offset > 0, offset + np.uint64(address - 1), offset)


def launches(
    plan: PassPlan,
    geometry: Geometry,
    samples: np.ndarray,
    n_transforms: int,
    seed: int,
    scales: np.ndarray,
    bias: np.ndarray,
    at: Addresses,
) -> list[Launch]:
    """The launches of one batch, in order.

    Args:
        plan: The pass.
        geometry: Its sizes.
        samples: SAMPLE records with their copies placed: the host's array, of which `at.samples` is a copy.
        n_transforms: Records at `at.transforms`.
        seed: 64 bits.
        scales: float32 (2, 3); `bias` (3,), as the CPU pass takes them.
        bias: See `scales`.
        at: Addresses.
    """
    n = len(samples)
    found = []
    copied = samples[samples["copy"] > 0]
    if len(copied):
        tiles = _tiles(copied["height"], copied["reduce"][:, 0], TILE_ROWS) * _tiles(
            copied["width"], copied["reduce"][:, 1], TILE_COLUMNS
        )
        prefilter = np.zeros(1, PREFILTER_ARGS)
        prefilter["samples"], prefilter["n"] = at.samples, n
        found.append(Launch("prefilter", (int(tiles.max()), n, 1), 0, prefilter))
    fused = np.zeros(1, FUSED_ARGS)
    for name in ("samples", "nodes", "modes", "out"):
        fused[name] = getattr(at, name)
    fused["nodes_y"], fused["nodes_x"] = geometry.nodes_y, geometry.nodes_x
    fused["height"], fused["width"] = plan.height, plan.width
    fused["pitch_log2"] = geometry.pitch.bit_length() - 1
    fused["fill"], fused["scales"], fused["bias"] = plan.fill, scales, bias
    found.append(lattice_launch(plan, geometry, n, n_transforms, seed, at))
    found.append(Launch("fused", grid_of(plan, geometry, n), 0, fused))
    return found


def lattice_launch(
    plan: PassPlan, geometry: Geometry, n: int, n_transforms: int, seed: int, at: Addresses
) -> Launch:
    """The launch that makes the lattices of n samples, a block each; arguments as for `launches`."""
    lattice = np.zeros(1, LATTICE_ARGS)
    for name in ("samples", "transforms", "basis", "nodes", "fields", "columns", "modes"):
        lattice[name] = getattr(at, name)
    lattice["n_transforms"], lattice["widest"] = n_transforms, geometry.widest
    lattice["nodes_y"], lattice["nodes_x"] = geometry.nodes_y, geometry.nodes_x
    lattice["pitch"], lattice["height"], lattice["width"] = geometry.pitch, plan.height, plan.width
    lattice["seed_low"], lattice["seed_high"] = seed & 0xFFFFFFFF, seed >> 32
    lattice["center"] = plan.center
    return Launch("lattice", (n, 1, 1), geometry.noise, lattice)


def grid_of(plan: PassPlan, geometry: Geometry, n: int) -> tuple[int, int, int]:
    """Blocks of 32 x 8 threads over n outputs, whose threads make up to four rows of a lattice cell each."""
    rows = min(4, geometry.pitch)  # as Variant.of has it, without deriving the pitch for every batch
    return -(-plan.width // 32), -(-plan.height // (8 * rows)), n


def _tiles(side: np.ndarray, reduce: np.ndarray, tile: int) -> np.ndarray:
    reduced = np.maximum(-(-side // reduce), 2)
    return -(-reduced // tile)
