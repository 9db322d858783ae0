"""Stages of a loader by name, and what an image costs in each."""

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Stage -> what it is.
MEANINGS = {
    "read": "getting the encoded bytes",
    "header": "checking headers",
    "decode": "decoding the image",
    "augment": "augmenting: transforms, the fused pass",
    "handoff": "making batches and handing them over",
    "copy": "copying to the GPU",
    "other": "planning, Python, everything else",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage, measured by itself.

    Attributes:
        name: A key of MEANINGS.
        wall_ms: Milliseconds an image that it takes alone, with the loader's parallelism; None: not known.
        cpu_ms: Processor milliseconds an image; None: not known.
        how: How that was found, in a few words.
    """

    name: str
    wall_ms: float | None
    cpu_ms: float | None
    how: str


@dataclass(frozen=True, slots=True)
class Ablation:
    """What running a loader's parts alone showed.

    Attributes:
        stages: The stages, in the order in which an image passes them.
        parts: Stage -> milliseconds an image on the path that limits the loader, for the verdict; empty where
            nothing could be taken apart.
        floor_images_per_s: Images/s of decoding alone, where it was measured.
        floor_cpu_ms: Processor milliseconds an image of that.
        encoded_bytes: Mean size of an encoded image.
        crop_bytes: Mean size of what is decoded of one.
        hot: (function, share of the time) of Python code, largest first.
        notes: What could not be measured, and why.
    """

    stages: tuple[Stage, ...]
    parts: Mapping[str, float] = field(default_factory=dict)
    floor_images_per_s: float | None = None
    floor_cpu_ms: float | None = None
    encoded_bytes: float | None = None
    crop_bytes: float | None = None
    hot: tuple[tuple[str, float], ...] = ()
    notes: tuple[str, ...] = ()

    def cpu_shares(self, total_ms: float) -> dict[str, float]:
        """Stage -> its share of `total_ms` processor milliseconds an image, 0..1, where it is known."""
        known = {s.name: s.cpu_ms for s in self.stages if s.cpu_ms is not None}
        # Parts run alone do not share caches and cores with the rest: they may sum to more than the whole.
        whole = max(total_ms, sum(known.values()))
        return {name: value / whole for name, value in known.items()} if whole > 0 else {}
