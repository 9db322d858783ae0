"""RandAugment(2, 9) + flip + normalize on images in memory, by us and by others, in one thread.

`python -m fieldloom.perf randaugment --json FILE`. All get the same 64 uint8 images of 224 x 224 and return
float32 NCHW. Rounds are interleaved; figures are CPU time an image.
"""

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldloom.perf.machine import describe
from fieldloom.perf.spread import spread

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Our CPU time may be at most this share of the fastest peer's.
LIMIT = 1 / 3
Images = NDArray[np.uint8]
Job = Callable[[], Any]


def ours(images: Images) -> Job:
    """fieldloom: the compiled recipe over the whole batch, random draws included."""
    import fieldloom as fl
    from fieldloom.kernels.fusedpass import FusedPass, Sources
    from fieldloom.kernels.keys import Keys
    from fieldloom.recipe import Format, compile_recipe

    recipe = [fl.HorizontalFlip(), fl.RandAugment(n=2, magnitude=9), fl.Normalize()]
    fused = FusedPass(compile_recipe(recipe, Format(images.shape[1:3])))
    n, side = len(images), images.shape[1:3]
    sources, out, epoch = Sources.of_arrays(list(images)), fused.empty(len(images)), iter(range(2**31))

    def run() -> Any:
        keys = Keys(0, next(epoch), np.arange(n), np.zeros(n, np.int64))
        return fused(keys, fused.windows(keys, np.array([side] * n)), sources, out)

    return run


def normalizer(images: Images) -> Callable[[int, Images], None]:
    """What stores image k of a batch, normalized, into one float32 NCHW tensor that is used again.

    The cheapest way that was found with torch, NumPy and OpenCV: 0.10 ms an image. Converting the whole
    batch at once, into new memory, takes 0.66.
    """
    import torch

    out = torch.empty(len(images), 3, *images.shape[1:3])
    scale = 1 / (255 * torch.tensor(STD)).view(3, 1, 1)
    shift = -(torch.tensor(MEAN) / torch.tensor(STD)).view(3, 1, 1)

    def store(k: int, image: Images) -> None:
        planes = torch.from_numpy(image).permute(2, 0, 1).contiguous()
        out[k].copy_(planes).mul_(scale).add_(shift)

    return store


def pillow(images: Images) -> Job:
    """The published operations by Pillow, image by image."""
    from PIL import Image, ImageEnhance, ImageOps

    side, level = images.shape[1], 9 / 30
    affine, nearest = Image.Transform.AFFINE, Image.Resampling.NEAREST
    shear, shift, angle, factor = 0.3 * level, int(150 / 331 * side * level), 30 * level, 0.9 * level

    def warp(image: Any, *matrix: float) -> Any:
        return image.transform(image.size, affine, matrix, nearest)

    operations: list[Callable[[Any, int], Any]] = [
        lambda image, _: image,
        lambda image, s: warp(image, 1, s * shear, 0, 0, 1, 0),
        lambda image, s: warp(image, 1, 0, 0, s * shear, 1, 0),
        lambda image, s: warp(image, 1, 0, s * shift, 0, 1, 0),
        lambda image, s: warp(image, 1, 0, 0, 0, 1, s * shift),
        lambda image, s: image.rotate(s * angle, nearest),
        lambda image, s: ImageEnhance.Brightness(image).enhance(1 + s * factor),
        lambda image, s: ImageEnhance.Color(image).enhance(1 + s * factor),
        lambda image, s: ImageEnhance.Contrast(image).enhance(1 + s * factor),
        lambda image, s: ImageEnhance.Sharpness(image).enhance(1 + s * factor),
        lambda image, _: ImageOps.posterize(image, 8 - round(9 / 7.5)),
        lambda image, _: ImageOps.solarize(image, round(255 * (1 - level))),
        lambda image, _: ImageOps.autocontrast(image),
        lambda image, _: ImageOps.equalize(image),
    ]
    rng, store = np.random.default_rng(0), normalizer(images)

    def run() -> Any:
        for k, array in enumerate(images):
            image = Image.fromarray(array)
            if rng.random() < 0.5:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            for choice in rng.integers(len(operations), size=2):
                image = operations[choice](image, 1 if rng.random() < 0.5 else -1)
            store(k, np.array(image))

    return run


def torchvision(images: Images) -> Job:
    """torchvision v2: RandAugment image by image (one draw a call), flip."""
    import torch
    from torchvision.transforms import v2

    chosen = v2.Compose([v2.RandomHorizontalFlip(), v2.RandAugment(2, 9)])
    tensors = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    store = normalizer(images)

    def run() -> Any:
        for k, tensor in enumerate(tensors):
            store(k, chosen(tensor).permute(1, 2, 0).numpy())

    return run


def albumentations(images: Images) -> Job:
    """Albumentations: two of the same operations at the same magnitudes, image by image, on OpenCV."""
    import albumentations as alb
    import cv2

    cv2.setNumThreads(1)
    level, nearest = 9 / 30, cv2.INTER_NEAREST
    shear, shift, factor = float(np.degrees(np.arctan(0.3 * level))), 150 / 331 * level, 0.9 * level

    def jitter(**which: tuple[float, float]) -> Any:
        off = {"brightness": (1, 1), "contrast": (1, 1), "saturation": (1, 1), "hue": (0, 0)}
        return alb.ColorJitter(**{**off, **which}, p=1)

    def affine(**which: Any) -> Any:
        return alb.Affine(interpolation=nearest, p=1, **which)

    def fixed(low: float, high: float) -> tuple[float, float]:
        return low, high

    operations = [
        alb.NoOp(p=1), affine(shear={"x": (-shear, shear), "y": (0, 0)}),
        affine(shear={"x": (0, 0), "y": (-shear, shear)}),
        affine(translate_percent={"x": (-shift, shift), "y": (0, 0)}),
        affine(translate_percent={"x": (0, 0), "y": (-shift, shift)}),
        alb.Rotate(limit=(-30 * level, 30 * level), interpolation=nearest, border_mode=0, p=1),
        jitter(brightness=fixed(1 - factor, 1 + factor)), jitter(saturation=fixed(1 - factor, 1 + factor)),
        jitter(contrast=fixed(1 - factor, 1 + factor)), alb.Sharpen(alpha=(factor, factor), p=1),
        alb.Posterize(num_bits=7, p=1), alb.Solarize(threshold_range=(1 - level, 1 - level), p=1),
        alb.AutoContrast(p=1), alb.Equalize(p=1),
    ]  # fmt: skip
    one = alb.OneOf(operations, p=1)
    transform, store = alb.Compose([alb.HorizontalFlip(), one, one]), normalizer(images)

    def run() -> Any:
        for k, image in enumerate(images):
            store(k, transform(image=image)["image"])

    return run


#: Name -> (job, package that it needs besides ours).
JOBS: dict[str, tuple[Callable[[Images], Job], str | None]] = {
    "fieldloom": (ours, None),
    "Pillow": (pillow, None),
    "torchvision v2": (torchvision, "torchvision"),
    "Albumentations": (albumentations, "albumentations"),
}


def run(rounds: int = 9, n: int = 64, side: int = 224) -> dict[str, Any]:
    """Measure everybody who loads.

    Args:
        rounds: Interleaved rounds of a batch each.
        n: Images of the batch; `side` their side.
        side: See `n`.

    Returns:
        The report, ready for JSON.
    """
    import torch

    from fieldloom.perf.photos import draw_photo

    torch.set_num_threads(1)
    images = np.stack([draw_photo(i, side, side) for i in range(n)])
    jobs, left_out = {}, {}
    for name, (make, needs) in JOBS.items():
        if needs and not importlib.util.find_spec(needs):
            left_out[name] = "not installed"
            continue
        try:
            jobs[name] = make(images)
            jobs[name]()  # warms it up
        except Exception as error:  # a peer that cannot run here is named, and measured by nobody
            if not needs:
                raise
            left_out[name] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            jobs.pop(name, None)
    times: dict[str, list[float]] = {name: [] for name in jobs}
    names = list(jobs)
    for round_ in range(rounds):
        for k in range(len(names)):
            name = names[(round_ + k) % len(names)]
            start = time.process_time()
            jobs[name]()
            times[name].append(1e3 * (time.process_time() - start) / n)
    figures = {name: {"cpu_ms_per_image": spread(each)} for name, each in times.items()}
    own = figures["fieldloom"]["cpu_ms_per_image"]["median"]
    peers = {k: v["cpu_ms_per_image"]["median"] for k, v in figures.items() if k != "fieldloom"}
    share = own / min(peers.values()) if peers else None
    return {
        "benchmark": "randaugment",
        "machine": describe(),
        "setting": {"what": "RandAugment(2, 9) + flip + normalize -> float32 NCHW, one thread", "n": n,
                    "side": side, "rounds": rounds},
        "jobs": figures,
        "left_out": left_out,
        "share_of_the_fastest_peer": None if share is None else round(share, 3),
        "holds": None if share is None else share <= LIMIT,
    }  # fmt: skip


def report(result: dict[str, Any]) -> None:
    """Print a report."""
    for name, job in result["jobs"].items():
        cpu = job["cpu_ms_per_image"]
        print(
            f"{name:16} {cpu['median']:.3f} ms an image ({cpu['min']:.3f} to {cpu['max']:.3f}, n {cpu['n']})"
        )
    for name, why in result["left_out"].items():
        print(f"{name:16} left out: {why}")
    print(f"share of the fastest peer's CPU time: {result['share_of_the_fastest_peer']} (limit {LIMIT:.3f})")
