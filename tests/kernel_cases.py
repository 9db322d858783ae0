"""Images, keys and passes that the kernels' tests share."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fieldloom.kernels import reference
from fieldloom.kernels.draws import Keys, Windows
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.lattice import lattices
from fieldloom.kernels.laws import Gaussian, PowerLaw
from fieldloom.kernels.plan import FieldColor, FieldWarp, Jitter, PassPlan, Transform

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Photographs, where a checkout has them beside it; tests that need them skip elsewhere.
PHOTOS = Path(__file__).resolve().parents[2] / "shared" / "data" / "imagenet-sample"


def photo(height: int, width: int, seed: int = 0, exponent: float = 1.0) -> np.ndarray:
    """A random image with a photograph's spectrum, |k|^-exponent in amplitude: uint8 (h, w, 3)."""
    rng = np.random.default_rng(seed)
    ky, kx = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None]
    amplitude = np.maximum(np.hypot(ky, kx), 1 / max(height, width)) ** -exponent
    layers = [
        np.fft.ifft2(np.fft.fft2(rng.standard_normal((height, width))) * amplitude).real for _ in range(4)
    ]
    common = layers[0]
    image = np.stack([common + 0.4 * layer for layer in layers[1:]], -1)
    image = (image - image.mean()) / max(image.std(), 1e-9)
    return np.clip(image * 55 + 120, 0, 255).astype(np.uint8)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """White noise, the hardest image: uint8 (h, w, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def keys(n: int, *, seed: int = 0x1234_5678_9ABC, epoch: int = 3, first: int = 0) -> Keys:
    """Keys of samples first, first + 1, ..."""
    return Keys(seed, epoch, np.arange(first, first + n), np.zeros(n, np.int64))


def cut(images: Sequence[np.ndarray], windows: Windows) -> list[np.ndarray]:
    """The pixels of each window's rect, contiguous."""
    return [
        np.ascontiguousarray(image[y : y + h, x : x + w])
        for image, (y, x, h, w) in zip(images, windows.rects, strict=True)
    ]


def both(
    plan: PassPlan, images: Sequence[np.ndarray], batch: Keys | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A batch through the CPU kernels and through the float64 reference, equal parameters."""
    one_pass, batch = FusedPass(plan), keys(len(images)) if batch is None else batch
    windows = one_pass.windows(batch, np.array([image.shape[:2] for image in images]))
    crops = cut(images, windows)
    sources = Sources.of_arrays(crops)
    samples = one_pass.records(batch, windows, sources)
    return one_pass(batch, windows, sources), reference.augment(one_pass, batch.seed, samples, crops)


def apply(plan: PassPlan, images: Sequence[np.ndarray], batch: Keys | None = None) -> np.ndarray:
    """A batch through the CPU kernels."""
    one_pass, batch = FusedPass(plan), keys(len(images)) if batch is None else batch
    windows = one_pass.windows(batch, np.array([image.shape[:2] for image in images]))
    return one_pass(batch, windows, Sources.of_arrays(cut(images, windows)))


def records(one_pass: FusedPass, batch: Keys) -> np.ndarray:
    """SAMPLE records over images of the output's own size, so that the crop is the identity."""
    image = np.zeros((one_pass.plan.height, one_pass.plan.width, 3), np.uint8)
    windows = one_pass.windows(batch, np.array([image.shape[:2]] * len(batch)))
    return one_pass.records(batch, windows, Sources.of_arrays([image] * len(batch)))


def nodes_of(one_pass: FusedPass, samples: np.ndarray, seed: int) -> np.ndarray:
    """Stage 1 of a batch on the CPU: float32 (n, 9, nodes_y, nodes_x)."""
    plan, pitch = one_pass.plan, one_pass.pitch
    out = np.zeros((len(samples), 9, -(-plan.height // pitch) + 1, -(-plan.width // pitch) + 1), np.float32)
    low, high = np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32)
    modes = np.zeros(len(samples), np.int64)
    lattices(
        samples, one_pass.transforms, one_pass.basis, low, high, pitch, plan.height, plan.width,
        np.float32(plan.center), out, modes,
    )  # fmt: skip
    return out


def with_pitch(plan: PassPlan, pitch: int) -> PassPlan:
    """The same plan on a lattice of this pitch."""
    fixed = type("FixedPitch", (PassPlan,), {"pitch": lambda self: pitch, "__slots__": ()})
    return fixed(**{field.name: getattr(plan, field.name) for field in dataclasses.fields(plan)})


def displacements(plan: PassPlan, batch: Keys) -> np.ndarray:
    """Source minus output position at the nodes in output pixels, float64 (n, 2, nodes_y, nodes_x)."""
    one_pass = FusedPass(plan)
    nodes = nodes_of(one_pass, records(one_pass, batch), batch.seed)[:, :2].astype(np.float64)
    nodes[:, 0] -= np.arange(nodes.shape[3]) * one_pass.pitch - 0.5
    nodes[:, 1] -= np.arange(nodes.shape[2])[:, None] * one_pass.pitch - 0.5
    return nodes


def corner_determinants(u: np.ndarray, step: float) -> np.ndarray:
    """det(I + grad u) at the corners of the bilinear cells, u (n, 2, m, m') -> (n, 4, m - 1, m' - 1)."""
    x, y = np.diff(u, axis=3) / step, np.diff(u, axis=2) / step
    pairs = [(a, b) for a in (x[:, :, :-1], x[:, :, 1:]) for b in (y[..., :-1], y[..., 1:])]
    return np.stack([(1 + a[:, 0]) * (1 + b[:, 1]) - a[:, 1] * b[:, 0] for a, b in pairs], 1)


def ks_distance(values: np.ndarray, cdf: np.ndarray) -> float:
    """Kolmogorov-Smirnov statistic times sqrt(n), from sorted values' distribution function."""
    n = len(values)
    steps = np.arange(n + 1) / n
    return float(max((cdf - steps[:-1]).max(), (steps[1:] - cdf).max()) * np.sqrt(n))


def warp(
    *kinds: str,
    law: PowerLaw | Gaussian | None = None,
    p: float = 1,
    no_fold: bool = False,
    amplitude: float | None = None,
    slot: int = 0x106,
) -> FieldWarp:
    """A field warp with the paper's law and 1/sqrt(n) rule, always on."""
    each = len(kinds) ** -0.5 if amplitude is None else amplitude
    return FieldWarp(kinds, PowerLaw() if law is None else law, (each,) * len(kinds), p, no_fold, slot)


#: The paper's presets, always on, and a calm Gaussian warp.
PRESETS: dict[str, tuple[Transform, ...]] = {
    "rfa_translate": (warp("translate"),),
    "rfa_scale": (warp("scale"),),
    "rfa_shear": (warp("shear"),),
    "rfa_rotate": (warp("rotate"),),
    "rfa_color": (FieldColor(PowerLaw(), (1.0, 1.0, 1.0), True, 1.0, 0x107),),
    "rfa_all": (warp("rotate", "scale", "shear", "translate"),),
    "gaussian": (warp("translate", law=Gaussian(0.25), amplitude=0.05),),
    "gaussian_no_fold": (warp("translate", law=Gaussian(0.125), amplitude=0.08, no_fold=True),),
    "color_field": (FieldColor(Gaussian(0.25), (0.2, 0.2, 0.3, 0.05), False, 1.0, 0x107),),
    "jitter": (Jitter((0.4, 0.4, 0.4, 0.1), 1.0, 0x108),),
    "all": (
        warp("translate", "rotate"),
        FieldColor(PowerLaw(), (0.3, 0.3, 0.3), True, 1.0, 0x107),
        FieldColor(Gaussian(0.5), (0.1, 0.1, 0.1, 0.02), False, 1.0, 0x207),
        Jitter((0.2, 0.2, 0.2, 0.1), 1.0, 0x308),
    ),
}
