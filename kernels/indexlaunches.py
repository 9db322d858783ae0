"""How the CUDA twin of `indexmap` is compiled and launched, as plain data (see `cuda.py`).

A module of its own, so that recipes without masks compile none of it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from .cuda import Addresses, Geometry, Launch, grid_of, lattice_launch
from .plan import PassPlan
from .records import BORDERS

SOURCE_FILES = ("base.cu", "indexmap.cu")

INDEX_ARGS = np.dtype(
    [
        ("samples", "u8"), ("nodes", "u8"), ("out", "u8"), ("nodes_y", "i4"), ("nodes_x", "i4"),
        ("pitch_log2", "i4"), ("height", "i4"), ("width", "i4"), ("ignore", "i4"),
    ],
    align=True,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class IndexVariant:
    """What is fixed when the source is compiled.

    Attributes:
        border: REFLECT, EDGE or FILL.
        rows: Pixels that a thread makes, one below the other: 4, 2 or 1, dividing the pitch.
    """

    border: int
    rows: int

    kernels: ClassVar[tuple[str, ...]] = ("index_uint8", "index_int32")

    @classmethod
    def of(cls, plan: PassPlan, pitch: int) -> "IndexVariant":
        """The variant that a plan needs on a lattice of its pitch."""
        return cls(BORDERS[plan.border], min(4, pitch))

    def source(self) -> str:
        """What is compiled."""
        folder = Path(__file__).parent
        return "\n".join((folder / name).read_text(encoding="utf-8") for name in SOURCE_FILES)

    def definitions(self) -> tuple[str, ...]:
        """Compiler options."""
        return f"-DBORDER={self.border}", f"-DROWS={self.rows}"


def index_launches(
    plan: PassPlan,
    geometry: Geometry,
    n: int,
    n_transforms: int,
    seed: int,
    at: Addresses,
    *,
    element: str,
    ignore: int,
) -> tuple[Launch, Launch]:
    """The lattice of a batch of n masks, whose kernel is the fused pass's own, and their reading.

    Args:
        plan: The pass.
        geometry: Its sizes.
        n: Masks, 1 to 65535.
        n_transforms: Records at `at.transforms`.
        seed: 64 bits.
        at: Addresses; records are `indexmap.map_records`, `out` takes n * height * width ids.
        element: "uint8" or "int32".
        ignore: Id of what lies outside, with border "constant".
    """
    args = np.zeros(1, INDEX_ARGS)
    args["samples"], args["nodes"], args["out"] = at.samples, at.nodes, at.out
    args["nodes_y"], args["nodes_x"] = geometry.nodes_y, geometry.nodes_x
    args["pitch_log2"] = geometry.pitch.bit_length() - 1
    args["height"], args["width"], args["ignore"] = plan.height, plan.width, ignore
    reading = Launch(f"index_{element}", grid_of(plan, geometry, n), 0, args)
    return lattice_launch(plan, geometry, n, n_transforms, seed, at), reading
