"""Which device a loader works on: what the user asked for, held against what is there."""

import logging
import re

from fieldloom.errors import ArgumentError, DeviceError
from fieldloom.kernels.launcher import INSTALL, import_cupy

_log = logging.getLogger("fieldloom")
_told: set[str] = set()


def choose_device(device: object, *, decodes: bool, resident: str | None = None) -> str:
    """The device of a loader: "cpu" or "cuda:N".

    Args:
        device: "auto", "cpu", "cuda", "cuda:N", or such a `torch.device`. "auto" is the current GPU where
            everything needed for it is there, else the CPU; if there is a GPU and something else is missing,
            one line in the log says what.
        decodes: Whether images must be decoded, so that DALI is needed.
        resident: Device that already holds the images, if one does.

    Raises:
        ArgumentError: Not such a name.
        DeviceError: What was asked for cannot be used; says what is missing and the remedy.
    """
    name = str(device)
    match = re.fullmatch(r"auto|cpu|cuda(?::(\d+))?", name)
    if match is None:
        raise ArgumentError.make(
            f"device={device!r}", why="not known", remedy='Pass "auto", "cpu", "cuda" or "cuda:N".'
        )
    if name == "auto" and resident is not None:
        name = resident
    if name == "cpu":
        chosen = "cpu"
    elif name == "auto":
        chosen = _automatic(decodes)
    else:
        why = obstacle(decodes)
        if why is not None:
            raise DeviceError.make(f"device={name!r}", why=why[0], remedy=why[1])
        chosen = _numbered(name)
    if resident is not None and chosen != resident:
        raise DeviceError.make(
            f"device={name!r} cannot read images on {resident}",
            why="GPU-resident images are served where they are",
            remedy=f"Pass device={resident!r}, or images.to({name!r}).",
        )
    return chosen


def obstacle(decodes: bool) -> tuple[str, str] | None:
    """Why no GPU can be used, and the remedy; None if one can."""
    import torch

    if not torch.cuda.is_available():
        built = (
            f"this torch ({torch.__version__}) is built without CUDA" if torch.version.cuda is None else ""
        )
        return (
            built or "torch finds no CUDA GPU",
            'Pass device="cpu", or install a CUDA build of torch and the driver.',
        )
    try:
        import_cupy()
    except DeviceError as error:
        return error.why, error.remedy
    return _decoder_obstacle() if decodes else None


def _decoder_obstacle() -> tuple[str, str] | None:
    try:
        from nvidia.dali import backend

        count: int = backend.GetCUDADeviceCount()  # type: ignore[attr-defined]
    except Exception as error:  # ImportError, and what a library that does not fit the driver raises
        return f"DALI cannot be imported ({type(error).__name__}: {error})", INSTALL
    if count < 1:
        return "DALI finds no GPU that its CUDA can use", f"Update the driver, or install its DALI. {INSTALL}"
    return None


def _automatic(decodes: bool) -> str:
    import torch

    why = obstacle(decodes)
    if why is None:
        return _numbered("cuda")
    if torch.cuda.is_available() and why[0] not in _told:
        _told.add(why[0])
        _log.warning("working on the CPU although there is a GPU: %s. %s", *why)
    return "cpu"


def _numbered(name: str) -> str:
    import torch

    _, _, digits = name.partition(":")
    index = int(digits) if digits else torch.cuda.current_device()
    count = torch.cuda.device_count()
    if index >= count:
        raise DeviceError.make(
            f"device={name!r}",
            why=f"there is no such GPU; torch sees {count}",
            remedy=f"Pass cuda:0 to cuda:{count - 1}, and check CUDA_VISIBLE_DEVICES.",
        )
    return f"cuda:{index}"
