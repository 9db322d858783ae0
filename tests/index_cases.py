"""Masks, batches of them, and the launcher of their CUDA source that tests of index masks share."""

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from cuda_shim import ShimLauncher, compile_source
from kernel_cases import cut, keys

from fieldloom.kernels.draws import Keys, Windows
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.indexlaunches import IndexVariant
from fieldloom.kernels.plan import PassPlan

#: Sources (height, width) at which index arithmetic breaks first.
RAGGED = ((1, 1), (1, 70), (60, 1), (2, 2), (1, 2), (2, 1), (3, 2), (5, 7), (33, 31), (97, 61), (300, 210))


def ids(height: int, width: int, seed: int = 0, element: str = "uint8") -> np.ndarray:
    """Random ids, each pixel its own: (h, w)."""
    limits = np.iinfo(element)
    return np.random.default_rng(seed).integers(limits.min, limits.max, (height, width), element, True)


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch of masks, cut to the windows of their images."""

    fused: FusedPass
    keys: Keys
    windows: Windows
    maps: list[np.ndarray]
    samples: np.ndarray

    @property
    def sources(self) -> Sources:
        return Sources.of_arrays(self.maps)

    @property
    def element(self) -> str:
        return str(self.maps[0].dtype)

    def run(self, **options: object) -> np.ndarray:
        """On the CPU."""
        return self.fused.index_maps(self.keys, self.windows, self.sources, self.element, **options)  # type: ignore[arg-type]


def batch_of(plan: PassPlan, masks: Sequence[np.ndarray], batch: Keys | None = None) -> Batch:
    """The masks' windows, and the records of their images."""
    fused, batch = FusedPass(plan), keys(len(masks)) if batch is None else batch
    windows = fused.windows(batch, np.array([mask.shape for mask in masks]).reshape(-1, 2))
    maps = cut(masks, windows)
    return Batch(fused, batch, windows, maps, fused.records(batch, windows, Sources.of_arrays(maps)))


@functools.cache
def index_library(variant: IndexVariant, *flags: str, header: str = "cpu.h") -> ctypes.CDLL:
    """The kernels of one variant, compiled for the CPU."""
    file = compile_source(
        variant.source(), "index", *variant.definitions(), *flags, header=header, entry="entry_index.h"
    )
    return ctypes.CDLL(str(file))


class IndexLauncher(ShimLauncher):
    """Executes the launches of masks too."""

    def __init__(self, fused: FusedPass) -> None:
        super().__init__(fused)
        library = index_library(IndexVariant.of(fused.plan, fused.pitch))
        self._libraries |= dict.fromkeys(IndexVariant.kernels, library)
