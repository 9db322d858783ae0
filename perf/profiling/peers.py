"""A recipe of ours in the words of other packages, over the same data."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fieldloom.errors import ArgumentError

from .foreign import DaliTarget, TorchTarget
from .ours import OurTarget
from .target import Target

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Work:
    """What a recipe asks of a peer, in words that all of them know.

    Attributes:
        size: (height, width).
        crop: "random" (area 8 % to all), or "center".
        scale: Range of the area of a random crop.
        flip: Mirror half of the images.
        warp: A random displacement field.
        color: Random colors.
        normalize: (mean, std), or None.
        left_out: Names of what no peer here does.
    """

    size: tuple[int, int]
    crop: str
    scale: tuple[float, float]
    flip: bool
    warp: bool
    color: bool
    normalize: tuple[tuple[float, ...], tuple[float, ...]] | None
    left_out: tuple[str, ...]


def work_of(recipe: Any, size: int | tuple[int, int]) -> Work:
    """Sort the operations of a recipe."""
    import fieldloom as fl

    sides = (size, size) if isinstance(size, int) else tuple(size)
    items: list[Any] = []
    for item in [recipe] if isinstance(recipe, str) else list(recipe):
        items += list(fl.preset(item)) if isinstance(item, str) else [item]
    names = [type(item).__name__ for item in items]
    by_name = dict(zip(names, items, strict=True))
    known = {"RandomResizedCrop", "HorizontalFlip", "RandomField", "ColorField", "HSVField", "ColorJitter",
             "Normalize", "Resize", "CenterCrop", "RandomCrop"}  # fmt: skip
    crop = by_name.get("RandomResizedCrop")
    normal = by_name.get("Normalize")
    return Work(
        size=sides,  # type: ignore[arg-type]
        crop="center" if crop is None else "random",
        scale=crop.scale if crop is not None else (1.0, 1.0),
        flip="HorizontalFlip" in names,
        warp="RandomField" in names,
        color=bool({"ColorField", "HSVField", "ColorJitter"} & set(names)),
        normalize=None if normal is None else (tuple(normal.mean), tuple(normal.std)),
        left_out=tuple(name for name in names if name not in known),
    )


def make_peer(peer: str, target: OurTarget) -> tuple[Target, str]:
    """The peer's loader over the data of our target, and what it does in one line.

    Raises:
        ArgumentError: There is no such peer, or the data are not encoded images.
        ImportError: It is not installed, or does not load.
    """
    if target.source.stored != "encoded":
        raise ArgumentError.make(
            "cannot compare", why="peers read encoded images, and this data set holds pixels"
        )
    settings = target.settings
    work = work_of(settings.recipe, settings.size)
    makers: dict[str, Callable[[Any, Work, int, int], tuple[Target, str]]] = {
        "torch": _torch, "dali": _dali, "albumentations": _albumentations, "timm": _timm,
    }  # fmt: skip
    if peer not in makers:
        raise ArgumentError.make(f"there is no peer {peer!r}", remedy=f"Known are {', '.join(makers)}.")
    made, does = makers[peer](target.source, work, settings.batch_size, settings.threads or 1)
    if work.left_out:
        does += f"; without {', '.join(work.left_out)}"
    return made, does


class EncodedImages:
    """Map-style data set over a source of ours: its bytes, decoded and transformed by a peer.

    Args:
        source: A source of encoded images.
        transform: Called with encoded bytes (uint8, 1-D) and the index; returns a tensor or an array.
    """

    def __init__(self, source: Any, transform: Callable[[Any, int], Any]) -> None:
        self._source, self._transform = source, transform

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        targets = self._source.targets
        target = targets[i] if targets is not None and targets.ndim == 1 else 0
        return self._transform(self._source.read(i), i), int(target)


def _torch_loader(source: Any, transform: Callable[[Any, int], Any], batch: int, threads: int) -> TorchTarget:
    import torch

    def make() -> Any:
        data: Any = EncodedImages(source, transform)
        # One process for each of our threads; they stay, as in a training.
        return torch.utils.data.DataLoader(
            data, batch, shuffle=True, num_workers=threads, worker_init_fn=_one_thread,
            multiprocessing_context="fork",
        )  # fmt: skip

    return TorchTarget(make, "torch DataLoader")


def _one_thread(worker: int) -> None:
    import torch

    torch.set_num_threads(1)


def _torch(source: Any, work: Work, batch: int, threads: int) -> tuple[Target, str]:
    try:
        importlib.import_module("torchvision.transforms.v2")
    except Exception as error:  # its CUDA build beside a CPU torch raises RuntimeError
        missing = "is not installed" if isinstance(error, ModuleNotFoundError) else "does not load"
        from .pillow_transforms import PillowTransform

        transform = PillowTransform(work)
        does = f"DataLoader, Pillow and torch, since torchvision {missing}: {transform.does}"
        return _torch_loader(source, transform, batch, threads), does
    from .torchvision_transforms import TorchvisionTransform

    vision = TorchvisionTransform(work)
    return _torch_loader(source, vision, batch, threads), f"DataLoader, torchvision v2: {vision.does}"


def _albumentations(source: Any, work: Work, batch: int, threads: int) -> tuple[Target, str]:
    from .albumentations_transforms import AlbumentationsTransform

    transform = AlbumentationsTransform(work)
    return _torch_loader(source, transform, batch, threads), f"in torch's DataLoader: {transform.does}"


def _timm(source: Any, work: Work, batch: int, threads: int) -> tuple[Target, str]:
    """timm's own transforms for training, without its policies."""
    import io

    from PIL import Image

    data = importlib.import_module("timm.data")
    mean, std = work.normalize or ((0.0,) * 3, (1.0,) * 3)
    transform = data.create_transform(
        input_size=(3, *work.size), is_training=work.crop == "random", hflip=0.5 if work.flip else 0.0,
        scale=work.scale, color_jitter=0.4 if work.color else None, auto_augment=None, mean=mean, std=std,
        interpolation="bilinear",
    )  # fmt: skip

    def run(data: Any, i: int) -> Any:
        with Image.open(io.BytesIO(data)) as image:
            return transform(image.convert("RGB"))

    does = "create_transform: crop, flip" + (", jitter of colors" if work.color else "")
    return _torch_loader(source, run, batch, threads), does + (", no warp" if work.warp else "")


def _dali(source: Any, work: Work, batch: int, threads: int) -> tuple[Target, str]:
    from .dali_pipeline import pipeline_for

    def make() -> Any:
        return pipeline_for(source, work, batch, threads)

    does = (
        "fn.decoders.image_random_crop, resize, " if work.crop == "random" else "fn.decoders.image, resize, "
    )
    does += "crop_mirror_normalize"
    if work.color:
        does += ", color_twist"
    if work.warp:
        does += ', "water" (one wave for all: its only warp on the CPU)'
    target = DaliTarget(make, "DALI")
    target._iterable = make()
    return target, does


def shuffled(n: int, seed: int = 0) -> np.ndarray:
    """An order of n ids."""
    return np.random.default_rng(seed).permutation(n)
