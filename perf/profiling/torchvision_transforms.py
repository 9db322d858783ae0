"""A recipe's work by torchvision v2."""

import importlib
import io
from typing import Any

from .peers import Work


class TorchvisionTransform:
    """Encoded bytes -> float32 tensor (3, height, width).

    Attributes:
        does: What it does, in words.
    """

    def __init__(self, work: Work) -> None:
        import torch

        v2 = importlib.import_module("torchvision.transforms.v2")
        parts: list[Any] = []
        if work.crop == "random":
            parts.append(v2.RandomResizedCrop(work.size, scale=work.scale, antialias=True))
        else:
            parts += [v2.Resize(max(work.size), antialias=True), v2.CenterCrop(work.size)]
        if work.flip:
            parts.append(v2.RandomHorizontalFlip())
        if work.warp:
            parts.append(v2.ElasticTransform(alpha=50.0, sigma=5.0))
        if work.color:
            parts.append(v2.ColorJitter(0.4, 0.4, 0.4, 0.1))
        parts += [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
        if work.normalize is not None:
            parts.append(v2.Normalize(*work.normalize))
        self._run = v2.Compose(parts)
        self.does = ", ".join(type(part).__name__ for part in parts)

    def __call__(self, data: Any, i: int) -> Any:
        """One image."""
        from PIL import Image

        with Image.open(io.BytesIO(data)) as image:
            return self._run(image.convert("RGB"))
