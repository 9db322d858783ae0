"""What a peer's process is asked to do, and what all of them share."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: Strengths of brightness, contrast, saturation and hue of the jobs with color jitter.
JITTER = (0.4, 0.4, 0.4, 0.1)
#: Elastic displacement in the customary units: amplitude and smoothness in pixels.
ALPHA, SIGMA = 50.0, 5.0


@dataclass(frozen=True, slots=True)
class Work:
    """One job.

    Attributes:
        job: "J1" .. "J6e".
        files: (path, label) of JPEGs, for J1 to J4.
        array: .npy file of uint8 images (n, height, width, 3), for J5 and J6.
        batch: Images of a batch.
        size: Output side.
        threads: Threads or worker processes allowed.
    """

    job: str
    files: list[tuple[str, int]]
    array: str
    batch: int
    size: int
    threads: int

    @property
    def warps(self) -> bool:
        """Whether a smooth random warp is part of it."""
        return self.job in ("J3", "J4", "J5", "J6e")

    @property
    def jitters(self) -> bool:
        """Whether colors are jittered."""
        return self.job in ("J2", "J4", "J5", "J5n")

    @property
    def mixes(self) -> bool:
        """Whether images are mixed."""
        return self.job == "J4"

    @property
    def in_memory(self) -> bool:
        """Whether images are decoded already."""
        return self.job >= "J5"

    @property
    def small(self) -> bool:
        """Whether it is about 32 px images."""
        return self.job >= "J6"


#: A call runs over about so many images, and returns how many they were.
Epoch = Callable[[int], int]
Make = Callable[[Work], AbstractContextManager[Epoch]]


@cache
def images(path: str) -> np.ndarray:
    """The images in memory."""
    return np.load(path, allow_pickle=False)


def endless(n: int, seed: int = 0) -> Iterator[int]:
    """Indices 0 .. n - 1 in ever new orders."""
    rng = np.random.default_rng(seed)
    while True:
        yield from rng.permutation(n).tolist()


def mix_batch(batch: Any) -> Any:
    """MixUp as everybody does it on a torch batch: one weight, partners by a roll."""
    import torch

    weight = float(torch.distributions.Beta(1.0, 1.0).sample())
    return batch.mul(weight).add_(batch.roll(1, 0), alpha=1 - weight)


class Samples:
    """Map-style data set over the files or the array of a job.

    Args:
        work: The job.
        load: Path -> image, for files.
        transform: Image -> result.
        wrap: Array (height, width, 3) -> image, for arrays.
    """

    def __init__(
        self,
        work: Work,
        load: Callable[[str], Any],
        transform: Callable[[Any], Any],
        wrap: Callable[[np.ndarray], Any] = lambda array: array,
    ) -> None:
        self._work, self._load, self._transform, self._wrap = work, load, transform, wrap

    def __len__(self) -> int:
        return len(images(self._work.array)) if self._work.in_memory else len(self._work.files)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        if self._work.in_memory:
            return self._transform(self._wrap(images(self._work.array)[i])), i
        path, label = self._work.files[i]
        return self._transform(self._load(path)), label


def torch_epochs(work: Work, samples: Samples) -> Epoch:
    """torch's DataLoader over samples, its workers kept; an unfinished epoch goes on in the next call."""
    import torch

    data: Any = samples
    loader: Any = torch.utils.data.DataLoader(
        data, work.batch, shuffle=True, num_workers=work.threads, persistent_workers=True
    )
    return through(loader, lambda batch: len(mix_batch(batch[0]) if work.mixes else batch[0]))


def through(batches: Iterable[Any], take: Callable[[Any], int]) -> Epoch:
    """Take batches from something that can be iterated again and again.

    Args:
        batches: What gives them.
        take: Does what is left to do with a batch, and counts its images.
    """

    def forever() -> Iterator[Any]:
        while True:
            yield from batches

    stream = forever()

    def epoch(n: int) -> int:
        done = 0
        while done < n:
            done += take(next(stream))
        return done

    return epoch
