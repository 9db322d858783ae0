"""The displacement that a recipe gives one sample, read from the very lattice that its warp uses."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fieldloom.kernels.draws import Keys
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.lattice import lattices
from fieldloom.kernels.records import N_PLANES, SX, SY


@dataclass(frozen=True, slots=True)
class Displacement:
    """Where the fields of one sample move its pixels; crop, flips and affines are taken out.

    Attributes:
        nodes: float32 (2, nodes_y, nodes_x), x before y: source position minus output position, in output
            pixels, at output position (j * pitch, i * pitch) measured from the edge. Bilinear between.
        pitch: Distance of the nodes in output pixels.
        height: Output height in pixels; `width` its width.
        width: See `height`.
    """

    nodes: NDArray[np.float32]
    pitch: int
    height: int
    width: int

    def dense(self) -> NDArray[np.float32]:
        """At every pixel's center, (2, height, width)."""
        from_y, weight_y = self._places(self.height)
        from_x, weight_x = self._places(self.width)
        rows = self.nodes[:, from_y] * (1 - weight_y)[:, None] + self.nodes[:, from_y + 1] * weight_y[:, None]
        columns = rows[:, :, from_x] * (1 - weight_x) + rows[:, :, from_x + 1] * weight_x
        return columns.astype(np.float32, copy=False)

    def _places(self, side: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Node before each pixel's center, and the weight of the next one."""
        position = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(self.pitch)
        before = position.astype(np.intp)
        return before, position - before.astype(np.float32)


def displacement_of(fused: FusedPass, keys: Keys, sizes: NDArray[np.integer]) -> list[Displacement]:
    """The displacement of each sample.

    Args:
        fused: The compiled recipe.
        keys: Seed, epoch, ids and occurrences.
        sizes: Height and width of each image as displayed, (n, 2); pixels are not needed.
    """
    plan, pitch = fused.plan, fused.pitch
    windows = fused.windows(keys, sizes)
    n, none = len(keys), np.zeros(len(keys), np.uint64)
    shapes = windows.rects[:, 2:].astype(np.int32)
    samples = fused.records(keys, windows, Sources(none, shapes[:, 0], shapes[:, 1], none.astype(np.int64)))
    shape = [-(-side // pitch) + 1 for side in (plan.height, plan.width)]
    nodes, modes = np.empty((n, N_PLANES, *shape), np.float32), np.empty(n, np.int64)
    low, high = np.uint32(keys.seed & 0xFFFFFFFF), np.uint32(keys.seed >> 32)
    lattices(
        samples, fused.transforms, fused.basis, low, high, pitch, plan.height, plan.width,
        np.float32(plan.center), nodes, modes,
    )  # fmt: skip
    return [
        Displacement(_relative(nodes[i], samples[i], pitch), pitch, plan.height, plan.width) for i in range(n)
    ]


def _relative(nodes: NDArray[np.float32], sample: np.void, pitch: int) -> NDArray[np.float32]:
    """Undo the affine: source = A (output + displacement) + t."""
    a = sample["affine"].astype(np.float64)
    linear, offset = np.array([[a[0], a[1]], [a[3], a[4]]]), np.array([a[2], a[5]])
    source = np.stack([nodes[SX], nodes[SY]]).astype(np.float64) - offset[:, None, None]
    output = np.einsum("ij,jyx->iyx", np.linalg.inv(linear), source)
    y, x = np.meshgrid(*(pitch * np.arange(side) for side in source.shape[1:]), indexing="ij")
    return (output - np.stack([x, y])).astype(np.float32)
