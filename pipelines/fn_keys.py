"""What an operator of a DALI graph draws its random numbers from: given by nodes, by constants, or counted.

A draw is a function of (seed, epoch, id, occurrence). Whatever of these the graph gives is taken; what it
leaves out is counted here, by the operator, and counting depends on what the operator has seen before.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline

from fieldloom.errors import ArgumentError
from fieldloom.kernels.keys import Keys
from fieldloom.pipelines.stage import MAX_STRENGTH, make_keys

#: Per-sample arrays of one input, as DALI hands them over; views of its memory.
Samples = Sequence[np.ndarray]
_IDS = 2**32


@dataclass(slots=True)
class Drawn:
    """Keys of the n samples of a batch, which need not be of one epoch.

    Attributes:
        seed: 64 bits.
        ids: int64 (n,); `epochs` and `occurrences` likewise.
        epochs: See `ids`.
        occurrences: See `ids`.
        strength: float32 (n,), or None for 1.
    """

    seed: int
    ids: np.ndarray
    epochs: np.ndarray
    occurrences: np.ndarray
    strength: np.ndarray | None

    def of(self, where: np.ndarray) -> Keys:
        """Keys of samples that are of one epoch; `where` holds their places."""
        strength = None if self.strength is None else self.strength[where]
        epoch = int(self.epochs[where[0]]) if len(where) else 0
        return Keys(self.seed, epoch, self.ids[where], self.occurrences[where], strength)

    def groups(self, *columns: np.ndarray) -> Iterator[np.ndarray]:
        """Places of samples that share an epoch and the values of `columns`, each group in order."""
        rows = np.stack([self.epochs, *columns], 1)
        if (rows == rows[:1]).all():
            yield np.arange(len(rows))
            return
        _, group = np.unique(rows, axis=0, return_inverse=True)
        group = group.reshape(-1)
        for number in range(int(group.max()) + 1):
            yield np.flatnonzero(group == number)


@dataclass(frozen=True, slots=True)
class KeyOptions:
    """An operator's options that say which random numbers its samples get; see `fieldloom.pipelines.fn`."""

    ids: DataNode | None = None
    epoch: int | DataNode | None = None
    seed: int | DataNode | None = None
    occurrences: DataNode | None = None
    strength: float | DataNode | None = None
    epoch_size: int | None = None

    def inputs(self) -> "tuple[dict[str, DataNode], KeyInputs]":
        """Nodes by name, and what makes keys of their values.

        Raises:
            ArgumentError: An option is of a wrong type or range, or the options contradict each other.
        """
        seed = _pipeline_seed() if self.seed is None else self.seed
        if self.epoch_size is not None:
            whole("epoch_size", self.epoch_size, least=1)
            if self.epoch is not None:
                raise ArgumentError.make(
                    "epoch and epoch_size together",
                    why="epoch_size is for counting epochs",
                    remedy="Leave one of them out.",
                )
        if self.occurrences is not None and self.epoch is None and self.epoch_size is None:
            raise ArgumentError.make(
                "occurrences without an epoch",
                why="what is counted is how often an id came before, repeats within an epoch included",
                remedy="Pass epoch as well, or leave occurrences out.",
            )
        if self.occurrences is not None and self.ids is None:
            raise ArgumentError.make(
                "occurrences without ids", why="they count repeats of an id", remedy="Pass ids as well."
            )
        constants: dict[str, Any] = {"seed": seed, "epoch": self.epoch, "strength": self.strength}
        given = {
            name: value for name in constants if isinstance(value := constants[name], DataNode)
        }  # fmt: skip
        for name in given:
            del constants[name]
        # Constants are checked while the graph is built, where an error costs no pipeline.
        make_keys(
            np.zeros(0, np.int64),
            seed=constants.get("seed", 0),
            epoch=0 if constants.get("epoch") is None else constants["epoch"],
        )
        _check_strength(constants.get("strength"))
        more = {"ids": self.ids, "occurrences": self.occurrences}
        given |= {name: node for name, node in more.items() if node is not None}
        return given, KeyInputs(constants, self.epoch_size)


class KeyInputs:
    """Makes keys of the values of an operator's inputs. Not to be called by two threads at a time.

    Args:
        constants: Those of seed, epoch and strength that are no inputs.
        epoch_size: Samples of an epoch, where epochs are counted by position.
        first: Position of the first sample.
    """

    def __init__(self, constants: dict[str, Any], epoch_size: int | None, first: int = 0) -> None:
        self._constants, self._epoch_size = constants, epoch_size
        self._position = first
        self._visits = Visits()

    def take(self, inputs: dict[str, Samples], n: int) -> Drawn:
        """Keys of a batch of n samples.

        Raises:
            ArgumentError: A value is of a wrong type or out of its range.
        """
        positions = self._position + np.arange(n)
        self._position += n
        size = self._epoch_size
        if "ids" in inputs:
            ids = scalars("ids", inputs["ids"])
        else:
            ids = (positions if size is None else positions % size) % _IDS
        occurrences = scalars("occurrences", inputs["occurrences"]) if "occurrences" in inputs else None
        checked = make_keys(ids, seed=self._seed(inputs), occurrences=occurrences)
        epochs = self._epochs(inputs, positions, checked.ids)
        return Drawn(checked.seed, checked.ids, epochs, checked.occurrences, self._strength(inputs, n))

    def _seed(self, inputs: dict[str, Samples]) -> int:
        if "seed" not in inputs:
            return int(self._constants["seed"])
        seeds = np.unique(scalars("seed", inputs["seed"]))
        if len(seeds) != 1:
            raise ArgumentError.make(
                f"seeds {seeds.tolist()} in one batch", why="a batch has one seed", remedy="Pass one for all."
            )
        return int(seeds[0])

    def _epochs(self, inputs: dict[str, Samples], positions: np.ndarray, ids: np.ndarray) -> np.ndarray:
        if "epoch" in inputs:
            epochs = scalars("epoch", inputs["epoch"])
            wrong = (epochs < 0) | (epochs >= 2**32)
            if wrong.any():
                i = int(np.argmax(wrong))
                raise ArgumentError.make(f"epoch[{i}]={epochs[i]}", why=f"it must be from 0 to {2**32 - 1}")
            return epochs.astype(np.int64)
        if self._constants["epoch"] is not None:
            return np.full(len(ids), int(self._constants["epoch"]))
        if self._epoch_size is not None:
            return positions // self._epoch_size
        return self._visits(ids) if "ids" in inputs else positions // _IDS

    def _strength(self, inputs: dict[str, Samples], n: int) -> np.ndarray | None:
        if "strength" not in inputs:
            constant = self._constants["strength"]
            return None if constant is None or constant == 1 else np.full(n, constant, np.float32)
        samples = inputs["strength"]
        if any(sample.size != 1 or sample.dtype.kind not in "iuf" for sample in samples):
            raise _not_scalars("strength", samples, "one number")
        values = np.array([sample.item() for sample in samples], np.float32)
        wrong = ~((values >= 0) & (values <= MAX_STRENGTH))
        if wrong.any():
            i = int(np.argmax(wrong))
            raise ArgumentError.make(
                f"strength[{i}]={values[i]:g}", why=f"it must be from 0 to {MAX_STRENGTH:g}"
            )
        return None if (values == 1).all() else values


class Visits:
    """How often each id was seen before; the memory is 4 bytes for each id below the largest one seen.

    Ids from 2**24 on are kept in a dictionary, some 100 bytes each.

    Example:
        >>> visits = Visits()
        >>> visits(np.array([3, 3, 2**31])).tolist(), visits(np.array([2**31, 3])).tolist()
        ([0, 1, 0], [1, 2])
    """

    _DENSE = 2**24

    def __init__(self) -> None:
        self._dense = np.zeros(0, np.uint32)
        self._sparse: dict[int, int] = {}

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """Earlier visits of each id, int64 (n,), repeats within the batch counted; and counts these."""
        found = np.empty(len(ids), np.int64)
        dense = ids[ids < self._DENSE]
        if len(dense) and dense.max() >= len(self._dense):
            grown = np.zeros(min(max(1024, 2 * int(dense.max()) + 2), self._DENSE), np.uint32)
            grown[: len(self._dense)] = self._dense
            self._dense = grown
        for place, id_ in enumerate(ids.tolist()):
            if id_ < self._DENSE:
                found[place] = self._dense[id_]
                self._dense[id_] += 1
            else:
                found[place] = self._sparse.get(id_, 0)
                self._sparse[id_] = int(found[place]) + 1
        return found


def scalars(name: str, samples: Samples) -> np.ndarray:
    """One integer for each sample, (n,).

    Raises:
        ArgumentError: An input holds anything else.
    """
    if any(sample.size != 1 or sample.dtype.kind not in "iu" for sample in samples):
        raise _not_scalars(name, samples, "one integer")
    return np.array([sample.item() for sample in samples])


def check_nodes(nodes: dict[str, Any], devices: Callable[[str], tuple[str, ...]]) -> None:
    """Refuse what is no node, and nodes on a device where the operator cannot use them.

    Raises:
        ArgumentError: Names the input, its device and the remedy.
    """
    for name, node in nodes.items():
        if not isinstance(node, DataNode):
            raise ArgumentError.make(
                f"{name} of type {type(node).__name__}",
                why="not a DataNode",
                remedy="Pass an output of another operator, for instance of fn.external_source.",
            )
        if node.device not in devices(name):
            raise ArgumentError.make(
                f"{name} on the device {node.device!r}",
                why="it is read on the host",
                remedy='Take it with device="cpu", or move the node with .cpu().',
            )


def whole(name: str, value: Any, *, least: int) -> int:
    """An option that is a whole number; also NumPy's.

    Raises:
        ArgumentError: Another type, or less than `least`.
    """
    if not hasattr(value, "__index__") or isinstance(value, bool) or int(value) < least:
        raise _wrong(name, value, f"a whole number from {least} on")
    return int(value)


def _pipeline_seed() -> int:
    pipe = Pipeline.current()
    seed = None if pipe is None else pipe.seed
    return seed if seed is not None and seed >= 0 else 0


def _check_strength(value: Any) -> None:
    if value is None:
        return
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not 0 <= value <= MAX_STRENGTH:
        raise _wrong("strength", value, f"a number from 0 to {MAX_STRENGTH:g}, nor a node")


def _not_scalars(name: str, samples: Samples, expected: str) -> ArgumentError:
    found = sorted({f"{sample.dtype}{list(sample.shape)}" for sample in samples})
    return ArgumentError.make(f"{name} of {', '.join(found)}", why=f"expected {expected} for each sample")


def _wrong(option: str, value: object, expected: str) -> ArgumentError:
    return ArgumentError.make(f"{option}={value!r}", why=f"not {expected}")
