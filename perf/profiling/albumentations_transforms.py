"""A recipe's work by Albumentations and OpenCV."""

from typing import Any

from .peers import MEAN, STD, Work


class AlbumentationsTransform:
    """Encoded bytes -> float32 tensor (3, height, width).

    Attributes:
        does: What it does, in words.
    """

    def __init__(self, work: Work) -> None:
        import albumentations
        import cv2
        from albumentations.pytorch import ToTensorV2

        cv2.setNumThreads(1)
        parts: list[Any] = []
        if work.crop == "random":
            parts.append(albumentations.RandomResizedCrop(size=work.size, scale=work.scale))
        else:
            longest = max(work.size)
            parts += [albumentations.SmallestMaxSize(longest), albumentations.CenterCrop(*work.size)]
        if work.flip:
            parts.append(albumentations.HorizontalFlip())
        if work.warp:
            parts.append(albumentations.ElasticTransform(alpha=50, sigma=5, p=1.0))
        if work.color:
            parts.append(albumentations.ColorJitter(p=1.0))
        parts += [albumentations.Normalize(*(work.normalize or (MEAN, STD))), ToTensorV2()]
        self._run = albumentations.Compose(parts)
        self._cv2: Any = cv2
        self.does = ", ".join(type(part).__name__ for part in parts)

    def __call__(self, data: Any, i: int) -> Any:
        """One image."""
        image = self._cv2.cvtColor(self._cv2.imdecode(data, self._cv2.IMREAD_COLOR), self._cv2.COLOR_BGR2RGB)
        return self._run(image=image)["image"]
