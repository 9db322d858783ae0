"""What works here, what would fall back, and why: versions, GPU, DALI, CuPy, codecs, threads."""

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from fieldloom import __version__
from fieldloom.errors import DeviceError, FieldloomError

from .. import machine
from .against import reason

#: States of a check.
GOOD, FALLS_BACK, BROKEN = "ok", "falls back", "broken"

#: Optional packages and what is not there without them.
_OPTIONAL = {
    "cupy": "the kernels cannot run on a GPU",
    "albumentations": "`profile --against albumentations` cannot run",
    "timm": "`profile --against timm` cannot run",
    "torchvision": "`profile --against torch` uses Pillow's transforms",
}
#: Formats as Pillow calls them, and what may be missing in Pillow for each.
_FORMS = {
    "JPEG": "jpg", "PNG": "zlib", "WEBP": "webp", "TIFF": "", "BMP": "", "PPM": "", "JPEG2000": "jpg_2000",
    "GIF": "", "AVIF": "avif",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        state: GOOD, FALLS_BACK (the loader does without) or BROKEN (it cannot work).
        found: What is there.
        remedy: What to do about it, else "".
    """

    name: str
    state: str
    found: str
    remedy: str = ""


def examine(device: str = "auto") -> list[Check]:
    """Look at everything; the kernels are compiled and an image is decoded on the way.

    Args:
        device: A device that must work: on "cuda", what keeps a GPU from being used is BROKEN.

    Raises:
        ArgumentError: There is no such name of a device.
    """
    if device not in ("auto", "cpu"):  # these are looked at below
        from fieldloom.device import choose_device

        with contextlib.suppress(ImportError, DeviceError):
            choose_device(device, decodes=True)
    looks: list[Callable[[], list[Check]]] = [
        _versions, _threads, _decoder, _kernels, lambda: _gpu(device), _codecs, _optional, _places,
    ]  # fmt: skip
    found: list[Check] = []
    for look in looks:
        try:
            found += look()
        except Exception as error:  # a doctor that falls ill helps nobody
            found.append(Check(look.__name__.strip("_<>"), BROKEN, reason(error)))
    return found


def report_of(checks: list[Check]) -> dict[str, Any]:
    """The checks, ready for JSON."""
    return {
        "healthy": not any(check.state == BROKEN for check in checks),
        "checks": [asdict(check) for check in checks],
        "machine": machine.describe(),
    }


def _versions() -> list[Check]:
    versions = machine.versions()
    shown = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "fieldloom")
    python = f"fieldloom {__version__}, Python {sys.version.split()[0]}, {shown}"
    return [Check("versions", GOOD, python)]


def _threads() -> list[Check]:
    cores, quota = machine.cores(), cpu_quota()
    found = f"{cores} cores may be used, the loader takes {min(cores, 8)} threads"
    if quota is not None and quota < cores:
        remedy = f"Pass threads={max(1, round(quota))}: more threads than that are throttled."
        return [
            Check("threads", FALLS_BACK, f"{found}, but this container may use {quota:.1f} of them", remedy)
        ]
    return [Check("threads", GOOD, found)]


def cpu_quota(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Processors that the control group grants; None without a limit."""
    try:
        allowed, period = (root / "cpu.max").read_text().split()
        return None if allowed == "max" else int(allowed) / int(period)
    except (OSError, ValueError):
        return None


def _decoder() -> list[Check]:
    from fieldloom.pipelines.decode import CropDecoder

    try:
        from nvidia import dali
    except Exception as error:  # ImportError, and what a library that does not fit the system raises
        return [Check("DALI", BROKEN, reason(error), "Run: pip install 'fieldloom[cpu]'")]
    data = np.frombuffer(_encoded("JPEG"), np.uint8)
    with CropDecoder(1, 1, 1) as decoder:
        image = decoder.decode_one(data)
    state = GOOD if image.shape == (24, 32, 3) else BROKEN
    return [Check("DALI", state, f"{dali.__version__}, decodes on the CPU")]


def _kernels() -> list[Check]:
    import fieldloom as fl

    from .profile import warm_up
    from .settings import Settings

    try:
        took = warm_up(Settings(size=16, device="cpu"))
        fl.augment(np.zeros((8, 8, 3), np.uint8), size=16)
    except FieldloomError as error:
        return [Check("kernels", BROKEN, str(error))]
    return [Check("kernels", GOOD, f"Numba compiled or loaded them in {took:.1f} s")]


def _gpu(device: str) -> list[Check]:
    import torch

    from fieldloom.device import choose_device, obstacle

    why = obstacle(True)
    if why is not None:
        state = BROKEN if device.startswith("cuda") else FALLS_BACK
        return [Check("GPU", state, f'device="auto" works on the CPU: {why[0]}', why[1])]
    found = []
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        shown = f"{about.name}, {about.total_memory / 2**30:.0f} GiB, capability {about.major}.{about.minor}"
        found.append(Check(f"GPU {index}", GOOD, f"{shown}, CUDA {torch.version.cuda}"))
    if device.startswith("cuda"):
        try:
            choose_device(device, decodes=True)
        except DeviceError as error:
            found.append(Check("GPU", BROKEN, f"{error.what}: {error.why}", error.remedy))
    return found


def _encoded(form: str) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(np.arange(24 * 32 * 3, dtype=np.uint8).reshape(24, 32, 3)).save(out, form)
    return out.getvalue()


def _codecs() -> list[Check]:
    """Each format is written by Pillow and read by whichever decoder the loader chooses."""
    from PIL import features

    from fieldloom.pipelines.decode import CropDecoder
    from fieldloom.pipelines.header import check_header

    by: dict[str, list[str]] = {"dali": [], "pillow": []}
    missing, broken = [], []
    with CropDecoder(1, 1, 1) as decoder:
        for form, feature in _FORMS.items():
            if feature and not features.check(feature):
                missing.append(form)
                continue
            try:
                data = np.frombuffer(_encoded(form), np.uint8)
                header = check_header(data, max_pixels=2**20)
                decoder.decode_one(data, route=header.route)
            except (FieldloomError, OSError) as error:
                broken.append(f"{form} ({reason(error)})")
                continue
            by[header.route].append(form)
    found = [Check("codecs", GOOD, f"DALI decodes {', '.join(by['dali'])}")]
    slower = f"Pillow decodes {', '.join(by['pillow'])}: whole images, on the CPU"
    found.append(Check("codecs", FALLS_BACK, slower, "Store JPEG, PNG or WebP where speed matters."))
    if missing:
        found.append(Check("codecs", FALLS_BACK, f"this Pillow cannot read {', '.join(missing)}"))
    if broken:
        found.append(Check("codecs", BROKEN, f"cannot read {', '.join(broken)}"))
    return found


def _optional() -> list[Check]:
    import importlib

    found = []
    for name, without in _OPTIONAL.items():
        try:
            importlib.import_module(name)
        except Exception as error:  # a build that does not fit raises anything
            if isinstance(error, ModuleNotFoundError) and error.name == name:
                found.append(Check(name, FALLS_BACK, f"not installed: {without}"))
            else:
                found.append(Check(name, FALLS_BACK, f"does not load ({reason(error)}): {without}"))
            continue
        found.append(Check(name, GOOD, _version(name)))
    return found


def _version(module: str) -> str:
    for name in metadata.packages_distributions().get(module, [module]):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "there"


def _places() -> list[Check]:
    """Room for caches and for what worker processes share."""
    found = []
    cache = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(__file__).parent)
    if not os.access(cache, os.W_OK):
        remedy = "Set NUMBA_CACHE_DIR to a folder that can be written: else each user compiles for 20 s."
        found.append(Check("compiled kernels", FALLS_BACK, f"{cache} cannot be written", remedy))
    shared = Path("/dev/shm")
    if shared.is_dir():
        free = shutil.disk_usage(shared).free / 2**30
        remedy = "" if free > 0.5 else "torch's worker processes need it: docker run --shm-size=4g."
        found.append(
            Check("shared memory", GOOD if free > 0.5 else FALLS_BACK, f"{free:.1f} GiB free", remedy)
        )
    return found
