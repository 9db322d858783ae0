"""What logits and embeddings say of a sample's gradient: computed on the device, in float32, by blocks."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from fieldloom.errors import StateError

from .drawing import SLOT
from .signals import Signals

if TYPE_CHECKING:
    import torch

#: Numbers that a block holds at once: 64 MiB of float32.
BLOCK = 1 << 24
#: First draw of the random projection; those of ids lie below.
_FIRST_DRAW = 64


def residuals(logits: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
    """softmax(logits) - onehot(targets), float32 (m, C): the gradient of cross entropy by the logits."""
    import torch

    p = torch.softmax(logits.float(), 1)
    p[torch.arange(len(p), device=p.device), targets] -= 1
    return p


def entropies(logits: "torch.Tensor") -> "torch.Tensor":
    """Entropy of softmax(logits) in nats, float32 (m,)."""
    import torch

    log_p = torch.log_softmax(logits.float(), 1)
    p = log_p.exp()
    # A class of probability 0 adds 0; its logarithm may be -inf.
    return -torch.where(p > 0, p * log_p, p).sum(1)


class Proxies:
    """Signals of chosen rows, checked once.

    Args:
        signals: With the signals below for every sample.
        names: Those that will be used: "logits", "embeddings".

    Raises:
        StateError: A sample was never reported, or labels do not fit the logits.
    """

    def __init__(self, signals: Signals, names: tuple[str, ...]) -> None:
        self.signals = signals
        self.tensors = {name: signals.tensor(name, complete=True) for name in names}
        if "logits" in names:
            columns, largest = self.tensors["logits"].shape[1], int(signals.targets.max())
            if largest >= columns:
                raise StateError.make(
                    f"logits of {columns} columns were reported",
                    why=f"labels go up to {largest}",
                    remedy="Report the model's outputs for all classes.",
                )

    def rows(self, name: str, ids: np.ndarray) -> "torch.Tensor":
        """A signal of samples, (m, c), on its device."""
        import torch

        values = self.tensors[name]
        return values[torch.from_numpy(ids).to(values.device)]

    def residuals(self, ids: np.ndarray) -> "torch.Tensor":
        """softmax(logits) - onehot(label) of samples, float32 (m, C)."""
        import torch

        logits = self.rows("logits", ids)
        return residuals(logits, torch.from_numpy(self.signals.targets[ids]).to(logits.device))

    def embeddings(self, ids: np.ndarray, *, bias: bool = False) -> "torch.Tensor":
        """Embeddings of samples, float32 (m, D), or with a column of ones behind them."""
        import torch

        values = self.rows("embeddings", ids).float()
        return torch.cat([values, values.new_ones(len(ids), 1)], 1) if bias else values

    def scores(self, score: "Callable[[np.ndarray], torch.Tensor]") -> np.ndarray:
        """A score of each sample, float32 (n,): from a function of ids (m,), called block by block."""
        columns = max(values.shape[1] for values in self.tensors.values())
        blocks = _blocks(self.signals.n_samples, max(1, BLOCK // columns))
        return np.concatenate([score(ids).cpu().numpy() for ids in blocks])


def _blocks(n: int, size: int) -> Iterator[np.ndarray]:
    for first in range(0, n, size):
        yield np.arange(first, min(first + size, n))


#: Kinds of vectors -> the signals they are made of.
FEATURES: dict[str, tuple[str, ...]] = {
    "logits": ("logits",),
    "outer": ("logits", "embeddings"),
    "embeddings": ("embeddings",),
}


class Vectors:
    """A vector of each sample, to compare samples by.

    "embeddings": as reported. "logits": p = softmax(logits) − onehot(label), the gradient of cross entropy by
    the logits, C numbers. "outer": the outer product of p and the embedding h with a 1 behind it, which is
    the gradient of the last layer's weights and bias, C (D + 1) numbers. If that is more than `projection`,
    it is projected at random: with rows a_k and b_k of signs from the seed, number k is (a_k · p)(b_k · h) /
    √K. A squared distance is then right in expectation over seeds, with a relative deviation of at most √(8 /
    K).

    Args:
        signals: With the kind's signals for every sample.
        features: The kind.
        projection: K, largest length of an outer product.

    Attributes:
        length: Numbers of a vector.
    """

    def __init__(self, signals: Signals, features: str, projection: int = 512) -> None:
        names = FEATURES[features]
        self._proxies, self._features = Proxies(signals, names), features
        self._signs: tuple[np.ndarray, np.ndarray] | None = None
        self.length = self._proxies.tensors[names[0]].shape[1]
        if features == "outer":
            classes, width = self.length, self._proxies.tensors["embeddings"].shape[1] + 1
            self.length = min(classes * width, projection)
            if self.length < classes * width:
                signs = random_signs(signals, classes + width, projection)
                self._signs = signs[:classes], signs[classes:] / np.float32(np.sqrt(projection))

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """Vectors of samples, float32 (m, length), on the host."""
        import torch

        if self._features == "embeddings":
            return self._proxies.embeddings(ids).cpu().numpy()
        p = self._proxies.residuals(ids)
        if self._features == "logits":
            return p.cpu().numpy()
        h = self._proxies.embeddings(ids, bias=True).to(p.device)
        if self._signs is None:
            return (p[:, :, None] * h[:, None, :]).reshape(len(ids), -1).cpu().numpy()
        a, b = (torch.from_numpy(signs).to(p.device) for signs in self._signs)
        return ((p @ a) * (h @ b)).cpu().numpy()


def random_signs(signals: Signals, rows: int, columns: int) -> np.ndarray:
    """Independent signs, float32 (rows, columns): a function of the seed alone."""
    draws = range(_FIRST_DRAW, _FIRST_DRAW - (-columns // 128))
    words = [signals.words(np.arange(rows), 0, SLOT, draw).astype("<u4") for draw in draws]
    bits = np.unpackbits(np.concatenate(words, 1).view(np.uint8), axis=1)[:, :columns]
    return bits.astype(np.float32) * 2 - 1
