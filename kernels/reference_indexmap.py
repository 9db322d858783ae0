"""Index masks along their images' geometry in plain NumPy float64: what both twins are compared with.

Example:
    >>> import numpy as np
    >>> from fieldloom.kernels.draws import Keys
    >>> from fieldloom.kernels.fusedpass import FusedPass, Sources
    >>> from fieldloom.kernels.plan import PassPlan
    >>> ids = np.arange(20, dtype=np.uint8).reshape(4, 5)
    >>> whole, keys = FusedPass(PassPlan(4, 5)), Keys(0, 0, np.array([1]), np.array([0]))
    >>> samples = whole.records(keys, whole.windows(keys, np.array([[4, 5]])), Sources.of_arrays([ids]))
    >>> follow(whole, keys.seed, samples[0], ids).ids.tolist() == ids.tolist()
    True
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .reference import interpolate
from .reference_lattice import controls

if TYPE_CHECKING:
    from .fusedpass import FusedPass


@dataclass(frozen=True, slots=True)
class Followed:
    """One mask.

    Attributes:
        ids: (height, width), of the window's type.
        clearance: float64 (height, width): how far the position lies from where the nearest pixel changes, in
            pixels of the window and on the nearer axis. Below float32's rounding the kernels may differ.
    """

    ids: np.ndarray
    clearance: np.ndarray


def follow(
    one_pass: "FusedPass", seed: int, sample: np.ndarray, window: np.ndarray, ignore: int = 255
) -> Followed:
    """One mask in float64.

    Args:
        one_pass: The compiled pass; its plan and pitch are used, none of its tables.
        seed: Seed of the keys that `sample` was drawn with.
        sample: SAMPLE record of the image, as `FusedPass.records` makes it.
        window: Ids (h, w) of its window.
        ignore: Id of what lies outside, with border "constant".
    """
    plan, nodes = one_pass.plan, controls(one_pass.plan, one_pass.pitch, sample, seed)
    indices, outside = [], np.zeros((plan.height, plan.width), bool)
    clearance = np.full((plan.height, plan.width), np.inf)
    for axis, values in enumerate((nodes.y, nodes.x)):
        side, box = window.shape[axis], int(sample["reduce"][axis])
        # Box i is pixels i * box .. (i + 1) * box - 1, and pixel k is the edges k .. k + 1.
        at = interpolate(values, plan.height, plan.width, one_pass.pitch)
        if plan.border == "reflect":
            farthest = -(-side // box) - 1
            at = np.abs(at)
            at = np.where(at > farthest, 2 * farthest - at, at)
        edges = (at + 0.5) * box
        pixel = np.floor(edges).astype(np.int64)
        clearance = np.minimum(clearance, abs(edges - np.rint(edges)))
        outside |= (pixel < 0) | (pixel >= side)
        indices.append(np.clip(pixel, 0, side - 1))
    ids = window[indices[0], indices[1]]
    return Followed(np.where(outside & (plan.border == "constant"), ignore, ids), clearance)


__all__ = ["Followed", "follow"]
