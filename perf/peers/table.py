"""Who does which job, by which module, and what must be installed for it."""

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

from .work import Make

#: What each job is, for reports.
JOBS = {
    "J1": "decode, crop 224, flip, normalize",
    "J2": "J1 + color jitter",
    "J3": "J1 + random warp",
    "J4": "J3 + color jitter + mixing",
    "J5": "in memory: warp, color jitter, normalize",
    "J5n": "in memory: color jitter, normalize",
    "J6": "in memory, 32 px: crop, flip, cutout, normalize",
    "J6e": "J6 + random warp",
}
_FILES = ("J1", "J2", "J3", "J4")


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to do the jobs.

    Attributes:
        module: Where it is, below this package; `function` its name there.
        function: See `module`.
        needs: Packages that must be installed.
        jobs: The jobs that it can do.
        warp: Whether its warp is random: a deterministic one is shown apart.
        ours: Whether it is this project.
        ahead: Batches that it makes ahead at most, with two workers: they are taken before each measurement.
    """

    module: str
    needs: tuple[str, ...]
    jobs: tuple[str, ...] = tuple(JOBS)
    function: str = "make"
    warp: bool = True
    ours: bool = False
    ahead: int = 5

    def make(self) -> Make:
        """The function that makes its epochs."""
        made: Any = getattr(importlib.import_module(f"{__package__}.{self.module}"), self.function)
        return made  # type: ignore[no-any-return]

    def missing(self) -> list[str]:
        """Packages that it needs and that are not installed."""
        return [name for name in self.needs if importlib.util.find_spec(name) is None]


#: By the name that reports use.
PEERS: dict[str, Peer] = {
    "fieldloom": Peer("by_fieldloom", (), ours=True),
    "fieldloom, color fields": Peer(
        "by_fieldloom", (), ("J2", "J4", "J5", "J5n"), function="make_fields", ours=True
    ),
    "DALI": Peer("by_dali", ("nvidia",), warp=False),
    "Albumentations": Peer("by_albumentations", ("albumentations", "cv2")),
    "Albumentations, approximate": Peer(
        "by_albumentations", ("albumentations", "cv2"), ("J3", "J4", "J5", "J6e"), "make_approximate"
    ),
    "torchvision v2": Peer("by_torchvision", ("torchvision",)),
    "torchvision v2, separable": Peer(
        "by_torchvision", ("torchvision",), ("J3", "J4", "J5", "J6e"), "make_separable"
    ),
    "Kornia": Peer("by_kornia", ("kornia", "torchvision")),
    "timm": Peer("by_timm", ("timm", "torchvision"), ("J1", "J2")),
    "SPDL + torchvision v2": Peer("by_spdl", ("spdl", "torchvision"), _FILES, ahead=12),
    "FFCV": Peer("by_ffcv", ("ffcv",), ("J1", "J2")),
}
