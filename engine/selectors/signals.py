"""What the training loop reports of its samples: one value, or one row, for each id, on the device."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fieldloom.errors import ArgumentError, StateError
from fieldloom.kernels.philox import random_words

if TYPE_CHECKING:
    import torch

#: What may be reported, and how it is stored: half precision where differences are what counts.
KINDS: dict[str, tuple[str, int]] = {
    "loss": ("float32", 1),
    "correct": ("bool", 1),
    "logits": ("float16", 2),
    "embeddings": ("float16", 2),
}


class Signals:
    """Signals of a data set's samples.

    Memory: per sample and signal 4 bytes (loss), 1 (correct), 2 a column (logits, embeddings), and 4 for the
    epoch of the last report; on the device of the first report. `n_bytes` says how much it is.

    Args:
        targets: Integers (n,), the data set's labels; anything else of length n where it has no classes.
        names: Signals to store; others are ignored.
        seed: The loader's seed, 64 bits.

    Attributes:
        names: See Args.
        seed: See Args.
    """

    def __init__(self, targets: np.ndarray, names: tuple[str, ...] = (), seed: int = 0) -> None:
        unknown = [name for name in names if name not in KINDS]
        if unknown:
            raise ArgumentError.make(
                f"a selector with signals={names!r}",
                why=f"{unknown[0]!r} is not a signal",
                remedy=f"Name any of {', '.join(KINDS)}.",
            )
        self._targets, self.names, self.seed = targets, tuple(names), seed
        self._values: dict[str, torch.Tensor] = {}
        self._epochs: dict[str, torch.Tensor] = {}
        self._unreadable = np.zeros(len(targets), bool)

    @property
    def targets(self) -> np.ndarray:
        """The data set's labels, int64 (n,).

        Raises:
            ArgumentError: Its targets are not classes, or are known only when a sample is read.
        """
        if self._targets.ndim != 1 or self._targets.dtype.kind not in "iu" or self._targets.strides[0] == 0:
            raise ArgumentError.make(
                "this selector asks for the samples' classes",
                why="the data set's targets are not classes, or come with the samples",
                remedy="Give it one class index a sample, or take a selector that needs none.",
            )
        return np.asarray(self._targets, np.int64)

    def excuse(self, ids: list[int]) -> None:
        """Samples that a scoring pass has skipped because they are bad: nobody can report them."""
        self._unreadable[ids] = True

    @property
    def n_samples(self) -> int:
        """Samples of the data set."""
        return len(self._targets)

    @property
    def n_bytes(self) -> int:
        """Memory taken so far."""
        tensors = [*self._values.values(), *self._epochs.values()]
        return sum(t.numel() * t.element_size() for t in tensors)

    def store(self, ids: "torch.Tensor", epoch: int, values: "Mapping[str, torch.Tensor]") -> None:
        """Keep the declared ones among `values`; the last report of an id counts.

        Args:
            ids: int64 (b,).
            epoch: Number of the epoch.
            values: (b,) or (b, c), detached.
        """
        for name in self.names:
            if name not in values:
                continue
            value = values[name]
            if name not in self._values:
                self._allocate(name, value)
            stored = self._values[name]
            if value.shape[1:] != stored.shape[1:]:
                raise ArgumentError.make(
                    f"feedback with {name} of shape {tuple(value.shape)}",
                    why=f"rows had {tuple(stored.shape[1:])} numbers before",
                    remedy="Report the same columns every time.",
                )
            where = ids.to(stored.device)
            stored[where] = value.to(stored.device, stored.dtype)
            self._epochs[name][where] = epoch

    def _allocate(self, name: str, value: "torch.Tensor") -> None:
        import torch

        dtype = getattr(torch, KINDS[name][0])
        shape = (self.n_samples, *value.shape[1:])
        self._values[name] = torch.zeros(shape, dtype=dtype, device=value.device)
        self._epochs[name] = torch.full((self.n_samples,), -1, dtype=torch.int32, device=value.device)

    def seen(self, name: str) -> np.ndarray:
        """bool (n,): which samples were reported at all."""
        return self.epochs(name) >= 0

    def epochs(self, name: str) -> np.ndarray:
        """int32 (n,): epoch of each sample's last report, -1 for none."""
        if name not in self._epochs:
            return np.full(self.n_samples, -1, np.int32)
        return self._epochs[name].cpu().numpy()

    def tensor(self, name: str, *, complete: bool = False) -> "torch.Tensor":
        """Values on the device: (n,) or (n, c); zeros where nothing was reported.

        Args:
            name: The signal.
            complete: Every sample must have been reported, but for those that scoring passes had to skip.

        Raises:
            StateError: Nothing was reported, or `complete` and some sample was not.
        """
        self._check(name, complete=complete)
        return self._values[name]

    def array(self, name: str, *, complete: bool = False) -> np.ndarray:
        """As `tensor`, on the host: float32, or bool for "correct"."""
        values = self.tensor(name, complete=complete).cpu()
        out: np.ndarray = values.numpy() if KINDS[name][0] == "bool" else values.float().numpy()
        return out

    def _check(self, name: str, *, complete: bool) -> None:
        call = f"loader.feedback(batch, {name}=...)"
        if name not in self.names:
            raise StateError.make(
                f"the selector asks for {name!r}",
                why=f"it declared {self.names or 'no signals'}",
                remedy=f"Add {name!r} to the selector's `signals`.",
            )
        if name not in self._values:
            raise StateError.make(
                f"the selector needs {name!r} of the samples",
                why="nothing was reported yet",
                remedy=f"Call {call} in the training loop, or for each batch of loader.scoring_pass().",
            )
        missing = int((~self.seen(name) & ~self._unreadable).sum())
        if complete and missing:
            raise StateError.make(
                f"the selector needs {name!r} of every sample",
                why=f"{missing} of {self.n_samples} were never reported",
                remedy=f"Call {call} for each batch of loader.scoring_pass().",
            )

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Shape of one sample's value, None before the first report."""
        return tuple(self._values[name].shape[1:]) if name in self._values else None

    def allocated(
        self, name: str, shape: tuple[int, ...], device: "torch.device"
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """Values and epochs on a device, made empty if nothing was reported here."""
        import torch

        if name not in self._values:
            self._allocate(name, torch.zeros((0, *shape), device=device))
        return self._values[name].to(device), self._epochs[name].to(device)

    def replace(self, name: str, values: "torch.Tensor", epochs: "torch.Tensor") -> None:
        """Put other values and epochs in place, on the device where they were."""
        device = self._values[name].device
        self._values[name], self._epochs[name] = values.to(device), epochs.to(device)

    def words(self, ids: np.ndarray, epoch: int, slot: int, draw: int = 0) -> np.ndarray:
        """Random words of samples, uint32 (m, 4): a function of (seed, epoch, id, slot, draw) alone.

        Args:
            ids: Integers (m,).
            epoch: Number of the epoch.
            slot: From `fieldloom.kernels.philox.slot_of(PLAN_POSITION, "select")`.
            draw: Block of four words.
        """
        return random_words(self.seed, ids, epoch, slot=slot, draw=draw)

    def uniforms(self, ids: np.ndarray, epoch: int, slot: int, draw: int = 0) -> np.ndarray:
        """Uniform numbers of samples, float64 (m,) in [0, 1), 53 bits."""
        words = self.words(ids, epoch, slot, draw).astype(np.uint64)
        bits = (words[:, 0] << np.uint64(21)) | (words[:, 1] >> np.uint64(11))
        return bits.astype(np.float64) * 2.0**-53

    def state(self) -> dict[str, np.ndarray]:
        """All stored values, for `state_dict`."""
        arrays: dict[str, Any] = {}
        for name, value in self._values.items():
            arrays[name] = value.cpu().numpy()
            arrays[f"{name}_epochs"] = self._epochs[name].cpu().numpy()
        return arrays

    def load(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take back what `state` gave; on the host until the next report."""
        import torch

        for name in self.names:
            if name in arrays:
                self._values[name] = torch.from_numpy(np.array(arrays[name]))
                self._epochs[name] = torch.from_numpy(np.array(arrays[f"{name}_epochs"]))
