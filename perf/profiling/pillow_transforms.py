"""A recipe's work by Pillow and torch, the way torchvision does it, for where torchvision does not load."""

import io
import math
import random
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

from .peers import Work

#: Shift in pixels and smoothing of the field, the defaults of torchvision's ElasticTransform.
_ALPHA, _SIGMA = 50.0, 5.0


class PillowTransform:
    """Encoded bytes -> float32 tensor (3, height, width).

    Attributes:
        does: What it does, in words.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        parts = ["random crop" if work.crop == "random" else "center crop", "bilinear resize"]
        parts += ["flip"] * work.flip + ["brightness, contrast, saturation"] * work.color
        parts += ["elastic field (separable Gaussian, sigma 5)"] * work.warp
        self.does = ", ".join(parts)

    def __call__(self, data: Any, i: int) -> Any:
        """One image; random numbers are those of the worker's `random`."""
        import torch

        work = self._work
        with Image.open(io.BytesIO(data)) as opened:
            image = opened.convert("RGB")
        height, width = work.size
        image = image.resize((width, height), Image.Resampling.BILINEAR, box=self._box(*image.size))
        if work.flip and random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if work.color:
            for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
                image = enhance(image).enhance(random.uniform(0.6, 1.4))
        tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div_(255)
        if work.warp:
            tensor = _elastic(tensor)
        if work.normalize is not None:
            mean, std = (torch.tensor(values).view(3, 1, 1) for values in work.normalize)
            tensor.sub_(mean).div_(std)
        return tensor.contiguous()

    def _box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The rule of RandomResizedCrop, with its ten tries."""
        if self._work.crop == "random":
            for _ in range(10):
                area = width * height * random.uniform(*self._work.scale)
                aspect = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
                w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
                if 0 < w <= width and 0 < h <= height:
                    x, y = random.randint(0, width - w), random.randint(0, height - h)
                    return x, y, x + w, y + h
        side = min(width, height)
        x, y = (width - side) // 2, (height - side) // 2
        return x, y, x + side, y + side


def _elastic(image: Any) -> Any:
    """Displace by a Gaussian-smoothed field, alpha 50, sigma 5."""
    import torch
    from torch.nn import functional

    _, height, width = image.shape
    size = 2 * int(4 * _SIGMA) + 1
    line = torch.exp(-0.5 * ((torch.arange(size) - size // 2) / _SIGMA) ** 2)
    line /= line.sum()
    field = torch.rand(2, 1, height, width) * 2 - 1
    padded = functional.pad(
        field, (size // 2,) * 4, mode="reflect" if min(height, width) > size else "replicate"
    )
    smooth = functional.conv2d(functional.conv2d(padded, line.view(1, 1, 1, -1)), line.view(1, 1, -1, 1))
    scale = torch.tensor([2 * _ALPHA / width, 2 * _ALPHA / height]).view(2, 1, 1, 1)
    shift = (smooth * scale).squeeze(1).permute(1, 2, 0)
    ys, xs = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
    grid = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), -1) + shift
    return functional.grid_sample(
        image[None], grid[None], mode="bilinear", padding_mode="reflection", align_corners=True
    )[0]
