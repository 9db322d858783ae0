"""The stages' CUDA source, its variants, argument structs and launches, as plain data.

A module of its own beside the fused pass's (`kernels/cuda.py`): base.cu, random.cu, output.cu, then a file a
stage. Nothing here touches a GPU; `kernels/device.py` executes the launches, and the tests do on a CPU.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fieldloom.kernels.cuda import DTYPES, Launch

if TYPE_CHECKING:
    from fieldloom.kernels.plan import PassPlan

    from .masks import MaskTables
    from .spectrum import SpectrumTables

#: Files of the stages, in the order in which they are joined; each defines HAS_<NAME>.
STAGES = ("program", "spectrum", "masks", "finish")
_SHARED = ("base.cu", "random.cu", "output.cu")
#: Files that a stage consists of, where it is more than its own.
_PARTS = {"program": ("steps", "pointwise", "histogram", "geometry", "neighborhood", "program")}


def source(stages: tuple[str, ...] = STAGES) -> str:
    """The CUDA source of some stages."""
    folder = Path(__file__).parent
    names = [part for stage in stages for part in _PARTS.get(stage, (stage,))]
    files = [folder.parent / name for name in _SHARED] + [folder / f"{name}.cu" for name in names]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


@dataclass(frozen=True, slots=True)
class StageVariant:
    """What is fixed when the stages are compiled; one module each.

    Attributes:
        dtype: 0 float32, 1 float16, 2 bfloat16, 3 uint8.
        planar: NCHW, else NHWC.
    """

    dtype: int
    planar: bool

    kernels: ClassVar[tuple[str, ...]] = (
        "program", "spectrum_rows", "spectrum_columns", "spectrum_back", "masks", "finish",
    )  # fmt: skip

    @classmethod
    def of(cls, plan: "PassPlan") -> "StageVariant":
        """The variant that a staged plan needs."""
        return cls(DTYPES[plan.dtype], plan.planar)

    def source(self) -> str:
        """What is compiled."""
        return source()

    def definitions(self) -> tuple[str, ...]:
        """Compiler options."""
        return f"-DDTYPE={self.dtype}", f"-DPLANAR={int(self.planar)}"


# ---------------------------------------------------------------- masks

MASKS_ARGS = np.dtype(
    [
        ("masks", "u8"), ("samples", "u8"), ("tables", "u8"), ("columns", "u8"), ("fields", "u8"),
        ("nodes", "u8"), ("ties", "u8"), ("waves", "i4"), ("nodes_y", "i4"), ("nodes_x", "i4"),
        ("shift", "i4"), ("height", "i4"), ("width", "i4"), ("seed_low", "u4"), ("seed_high", "u4"),
    ],
    align=True,
)  # fmt: skip


def masks_scratch_floats(tables: "MaskTables", n: int) -> int:
    """Elements of 4 bytes that `masks_launch` needs as scratch for n masks."""
    return n * sum(_mask_parts(tables))


def _mask_parts(tables: "MaskTables") -> tuple[int, int, int, int]:
    nodes = tables.nodes_y * tables.nodes_x
    return tables.nodes_y * tables.waves, nodes, nodes, tables.width


def masks_launch(
    tables: "MaskTables", n: int, seed: int, *, masks: int, samples: int, floats: int, scratch: int
) -> Launch:
    """The launch that makes n masks, a block each.

    Args:
        tables: Their tables.
        n: Masks, at least 1.
        seed: 64 bits.
        masks: Address of the MASK records, whose `out` are addresses too.
        samples: Address of the SAMPLE records that they name.
        floats: Address of a copy of `tables.floats`.
        scratch: Address of `masks_scratch_floats` elements of 4 bytes.
    """
    args = np.zeros(1, MASKS_ARGS)
    args["masks"], args["samples"], args["tables"] = masks, samples, floats
    for name, part in zip(("columns", "fields", "nodes", "ties"), _mask_parts(tables), strict=True):
        args[name] = scratch
        scratch += 4 * n * part
    args["waves"], args["shift"] = tables.waves, tables.shift
    args["nodes_y"], args["nodes_x"] = tables.nodes_y, tables.nodes_x
    args["height"], args["width"] = tables.height, tables.width
    args["seed_low"], args["seed_high"] = seed & 0xFFFFFFFF, seed >> 32
    return Launch("masks", (n, 1, 1), tables.waves**2, args)


# ---------------------------------------------------------------- program

PROGRAM_ARGS = np.dtype(
    [
        ("program", "u8"), ("samples", "u8"), ("working", "u8"), ("scratch", "u8"), ("origin", "u8"),
        ("sums", "u8"), ("n_steps", "i4"), ("height", "i4"), ("width", "i4"), ("seed_low", "u4"),
        ("seed_high", "u4"),
    ],
    align=True,
)  # fmt: skip


def program_scratch_bytes(n: int, height: int, width: int, *, chains: bool) -> int:
    """Bytes that `program_launch` needs as scratch: one copy of n samples; six with `chains`."""
    return _aligned(3 * n * height * width) * (6 if chains else 1)


def _aligned(size: int) -> int:
    return (size + 15) // 16 * 16


def program_launch(
    n: int,
    n_steps: int,
    height: int,
    width: int,
    seed: int,
    *,
    program: int,
    samples: int,
    working: int,
    scratch: int,
    chains: bool,
) -> Launch:
    """The launch that runs the programs of n samples, a block each.

    Args:
        n: Samples, at least 1.
        n_steps: Steps of each.
        height: Of the samples; `width` likewise.
        width: See `height`.
        seed: 64 bits.
        program: Address of STEP (n, n_steps).
        samples: Address of SAMPLE (n,).
        working: Address of uint8 (n, 3, height, width), a multiple of 4; changed in place.
        scratch: Address of `program_scratch_bytes`, a multiple of 16.
        chains: Some program has a RESTORE or ACCUMULATE step.
    """
    args = np.zeros(1, PROGRAM_ARGS)
    args["program"], args["samples"], args["working"] = program, samples, working
    copy = _aligned(3 * n * height * width)
    args["scratch"] = scratch
    args["origin"], args["sums"] = (scratch + copy, scratch + 2 * copy) if chains else (0, 0)
    args["n_steps"], args["height"], args["width"] = n_steps, height, width
    args["seed_low"], args["seed_high"] = seed & 0xFFFFFFFF, seed >> 32
    return Launch("program", (n, 1, 1), 0, args)


# ---------------------------------------------------------------- finish

FINISH_ARGS = np.dtype(
    [
        ("finish", "u8"), ("samples", "u8"), ("working", "u8"), ("out", "u8"), ("height", "i4"),
        ("width", "i4"), ("seed_low", "u4"), ("seed_high", "u4"), ("erase_slot", "u4"), ("scale", "f4", 3),
        ("bias", "f4", 3), ("erase_fill", "f4", 3), ("erase_spread", "f4", 3),
    ],
    align=True,
)  # fmt: skip


def finish_launch(
    n: int,
    height: int,
    width: int,
    seed: int,
    *,
    scale: np.ndarray,
    bias: np.ndarray,
    erase_fill: np.ndarray,
    erase_spread: np.ndarray,
    erase_slot: int,
    finish: int,
    samples: int,
    working: int,
    out: int,
) -> Launch:
    """The launch that erases, mixes, normalizes and stores n samples.

    Args:
        n: Samples, 1 to 65535.
        height: Of the samples; `width` likewise.
        width: See `height`.
        seed: 64 bits.
        scale: float32 (3,): output per level 0..255.
        bias: float32 (3,): output of black.
        erase_fill: float32 (3,), levels: color of erased pixels.
        erase_spread: float32 (3,): standard deviation of normal colors.
        erase_slot: Random slot of erasing; 0 without.
        finish: Address of FINISH (n,), whose masks are addresses (multiples of 4 where width is one).
        samples: Address of SAMPLE (n,).
        working: Address of uint8 (n, 3, height, width), a multiple of 4.
        out: Address of the output, a multiple of 16.
    """
    args = np.zeros(1, FINISH_ARGS)
    args["finish"], args["samples"], args["working"], args["out"] = finish, samples, working, out
    args["height"], args["width"], args["erase_slot"] = height, width, erase_slot
    args["seed_low"], args["seed_high"] = seed & 0xFFFFFFFF, seed >> 32
    args["scale"], args["bias"], args["erase_fill"] = scale, bias, erase_fill
    args["erase_spread"] = erase_spread
    tiles = -(-(-(-width // 4) * height) // 256)
    return Launch("finish", (tiles, n, 1), 0, args)


# ---------------------------------------------------------------- spectrum

SPECTRUM_ARGS = np.dtype(
    [
        ("active", "u8"), ("samples", "u8"), ("working", "u8"), ("tables", "u8"), ("spectrum", "u8"),
        ("height", "i4"), ("width", "i4"), ("lanes_x", "i4"), ("lanes_y", "i4"), ("factors_y", "i4", 8),
        ("factors_x", "i4", 8), ("seed_low", "u4"), ("seed_high", "u4"), ("slot", "u4"),
    ],
    align=True,
)  # fmt: skip
#: Lines that a block transforms side by side at most: 8 neighboring columns are one 32-byte sector a row.
SPECTRUM_LANES = 8


def spectrum_scratch_floats(tables: "SpectrumTables", n: int) -> int:
    """Elements of 4 bytes that `spectrum_launches` needs as scratch for n samples."""
    return n * 6 * tables.height * tables.bins


def spectrum_launches(
    tables: "SpectrumTables",
    n: int,
    seed: int,
    *,
    active: int,
    samples: int,
    working: int,
    floats: int,
    scratch: int,
) -> list[Launch]:
    """The three launches of PASTA over n samples, in order.

    Args:
        tables: Their tables.
        n: Samples, 1..65535.
        seed: 64 bits.
        active: Address of int32 (n,): `draw_spectra`.
        samples: Address of the SAMPLE records.
        working: Address of uint8 (n, 3, height, width).
        floats: Address of a copy of `tables.floats()`.
        scratch: Address of `spectrum_scratch_floats` elements of 4 bytes.
    """
    # Two complex lines each: 48 KB hold 3072 values.
    lanes_x, lanes_y = (min(SPECTRUM_LANES, 3072 // side) for side in (tables.width, tables.height))
    args = np.zeros(1, SPECTRUM_ARGS)
    args["active"], args["samples"], args["working"] = active, samples, working
    args["tables"], args["spectrum"] = floats, scratch
    args["height"], args["width"], args["slot"] = tables.height, tables.width, tables.slot
    args["lanes_x"], args["lanes_y"] = lanes_x, lanes_y
    args["factors_y"], args["factors_x"] = tables.factors_y, tables.factors_x
    args["seed_low"], args["seed_high"] = seed & 0xFFFFFFFF, seed >> 32
    rows = (-(-((tables.height + 1) // 2) // lanes_x), 3, n)
    columns = (-(-tables.bins // lanes_y), 3, n)
    return [
        Launch("spectrum_rows", rows, 4 * tables.width * lanes_x, args),
        Launch("spectrum_columns", columns, 4 * tables.height * lanes_y, args),
        Launch("spectrum_back", rows, 4 * tables.width * lanes_x, args),
    ]
