"""The jobs that the loader benchmark times: the same files and outputs, by us and by others.

Each job is a context manager that yields a callable; a call runs one epoch and returns the number of
images that it delivered. Everything is imported inside, so that a job's process pays only for itself.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Files = list[tuple[str, int]]
Epoch = Callable[[], int]

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@contextmanager
def _ours(
    files: Files, batch: int, size: int, threads: int, augment: list[Any], device: str
) -> Iterator[Epoch]:
    import fieldloom as fl

    with fl.DataLoader(
        files, batch_size=batch, size=size, shuffle=True, threads=threads, augment=augment, device=device
    ) as loader:

        def epoch() -> int:
            return sum(len(b) for b in loader)

        yield epoch


def j1(files: Files, batch: int, size: int, threads: int, device: str = "cpu") -> Any:
    """RandomResizedCrop, flip, normalize -> float32 NCHW, by fieldloom."""
    import fieldloom as fl

    augment = [fl.RandomResizedCrop(), fl.HorizontalFlip(), fl.Normalize()]
    return _ours(files, batch, size, threads, augment, device)


def j3c(files: Files, batch: int, size: int, threads: int, device: str = "cpu") -> Any:
    """J1 with a translate field and four color fields on every image, by fieldloom."""
    import fieldloom as fl

    augment = [
        fl.RandomResizedCrop(),
        fl.HorizontalFlip(),
        fl.RandomField("translate", p=1.0),
        fl.ColorField(p=1.0),
        fl.Normalize(),
    ]
    return _ours(files, batch, size, threads, augment, device)


def j4(files: Files, batch: int, size: int, threads: int, device: str = "cpu") -> Any:
    """J3c with MixUp or CutMix on every image, by fieldloom."""
    import fieldloom as fl

    augment = [
        fl.RandomResizedCrop(),
        fl.HorizontalFlip(),
        fl.RandomField("translate", p=1.0),
        fl.ColorField(p=1.0),
        fl.Normalize(),
        fl.OneOf([fl.MixUp(), fl.CutMix()]),
    ]
    return _ours(files, batch, size, threads, augment, device)


@contextmanager
def _dali(files: Files, batch: int, threads: int, graph: Callable[[Any, Any, Any], Any]) -> Iterator[Epoch]:
    import torch
    from nvidia.dali import fn, types
    from nvidia.dali.pipeline import Pipeline

    paths, labels = [f for f, _ in files], [label for _, label in files]
    pipe = Pipeline(batch, threads, None, seed=1)
    with pipe:
        encoded, targets = fn.readers.file(
            files=paths, labels=labels, random_shuffle=True, initial_fill=1024, name="reader"
        )
        pipe.set_outputs(graph(fn, types, encoded), targets)
    pipe.build()

    def epoch() -> int:
        done = 0
        while done < len(files):  # DALI wraps the last batch around; it counts as far as it is needed
            images, targets = pipe.run()
            if images.is_dense_tensor():
                torch.from_dlpack(images.as_tensor())
                torch.from_dlpack(targets.as_tensor())
            done += len(targets)
        return done

    yield epoch


def dali_j1(files: Files, batch: int, size: int, threads: int) -> Any:
    """DALI's own J1: image_random_crop, resize with defaults, crop_mirror_normalize."""

    def graph(fn: Any, types: Any, encoded: Any) -> Any:
        images = fn.decoders.image_random_crop(encoded, random_area=[0.08, 1.0], output_type=types.RGB)
        images = fn.resize(images, resize_x=size, resize_y=size)
        return fn.crop_mirror_normalize(
            images, dtype=types.FLOAT, output_layout="CHW", mirror=fn.random.coin_flip(),
            mean=[255 * m for m in MEAN], std=[255 * s for s in STD],
        )  # fmt: skip

    return _dali(files, batch, threads, graph)


def dali_decode(files: Files, batch: int, size: int, threads: int) -> Any:
    """Decoding of a random crop alone, by DALI: the floor of every job from JPEG."""

    def graph(fn: Any, types: Any, encoded: Any) -> Any:
        return fn.decoders.image_random_crop(encoded, random_area=[0.08, 1.0], output_type=types.RGB)

    return _dali(files, batch, threads, graph)


@contextmanager
def albumentations_elastic(files: Files, batch: int, size: int, threads: int) -> Iterator[Epoch]:
    """J1 with ElasticTransform and ColorJitter by Albumentations, in torch's DataLoader."""
    import albumentations
    import cv2
    import torch

    cv2.setNumThreads(1)
    transform = albumentations.Compose(
        [
            albumentations.RandomResizedCrop(size=(size, size), scale=(0.08, 1.0)),
            albumentations.HorizontalFlip(),
            albumentations.ElasticTransform(alpha=50, sigma=5, p=1.0),
            albumentations.ColorJitter(p=1.0),
            albumentations.Normalize(MEAN, STD),
            albumentations.ToTensorV2(),
        ]
    )
    data: Any = AlbumentationsFiles(files, transform, cv2)
    loader: Any = torch.utils.data.DataLoader(data, batch, shuffle=True, num_workers=threads)

    def epoch() -> int:
        return sum(len(targets) for _, targets in loader)

    yield epoch


class AlbumentationsFiles:
    """Map-style data set of (transformed image, label)."""

    def __init__(self, files: Files, transform: Any, cv2: Any) -> None:
        self._files, self._transform, self._cv2 = files, transform, cv2

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        path, label = self._files[i]
        image = self._cv2.cvtColor(self._cv2.imread(path), self._cv2.COLOR_BGR2RGB)
        return self._transform(image=image)["image"], label


#: Name -> (job, package that it needs besides ours).
JOBS: dict[str, tuple[Callable[..., Any], str | None]] = {
    "J1": (j1, None),
    "J3c": (j3c, None),
    "J4": (j4, None),
    "DALI J1": (dali_j1, None),
    "DALI decode of the crop": (dali_decode, None),
    "Albumentations J1 + elastic + jitter": (albumentations_elastic, "albumentations"),
}
