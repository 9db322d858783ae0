"""A user's `sampler` or `batch_sampler`, asked once an epoch, as the selector that it is."""

import contextlib
import itertools
import operator
import random
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from fieldloom.errors import ArgumentError, StateError
from fieldloom.kernels.philox import PLAN_POSITION, slot_of
from fieldloom.selection import Selection
from fieldloom.selectors.base import Selector
from fieldloom.selectors.signals import Signals

from .epoch import MAX_OCCURRENCES
from .ranks import Rank


class SamplerSelector(Selector):
    """Draws an epoch's ids from a sampler when the epoch begins.

    What is drawn goes into the loader's state, so an epoch is resumed exactly, whatever the sampler draws
    from. A sampler without a generator of its own draws as a function of (the loader's seed, epoch): the
    global generators of torch, NumPy and Python are seeded for the draw, and put back. The state of a
    `generator` attribute is saved and restored.

    Args:
        sampler: Ids of samples, or with `batches` lists of ids; torch's samplers, or any iterable.
        batches: See `sampler`.
        rank: This process.

    Attributes:
        sampler: As given.
        batches: As given.
        shared: Whether it shares samples out by rank itself (it has `num_replicas`); it is this rank's then.
    """

    #: A sampler may go by more than the epoch's number, so that no other epoch can be made again.
    replayable = False

    def __init__(self, sampler: Any, *, batches: bool, rank: Rank) -> None:
        option = "batch_sampler" if batches else "sampler"
        if isinstance(sampler, (str, bytes)) or not hasattr(sampler, "__iter__"):
            raise ArgumentError.make(
                f"{option}={sampler!r}",
                why="not an iterable of " + ("lists of ids" if batches else "ids"),
                remedy="Pass a sampler of torch.utils.data, a list, or an object with __iter__.",
            )
        if hasattr(sampler, "__next__"):
            raise ArgumentError.make(
                f"{option}={sampler!r}",
                why="an iterator is used up after one epoch",
                remedy="Pass an iterable that can be iterated anew, such as a list.",
            )
        self.sampler, self.batches, self._option, self._rank = sampler, batches, option, rank
        inner = getattr(sampler, "sampler", None)
        self._parts = [part for part in (sampler, inner) if part is not None]
        self.shared = any(hasattr(part, "num_replicas") for part in self._parts)
        self._epochs_set = {id(part): getattr(part, "epoch", None) for part in self._parts}

    @property
    def largest(self) -> int:
        """Samples of the largest batch, as far as a batch sampler says so, else 1."""
        size = getattr(self.sampler, "batch_size", None)
        return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else 1

    def length(self) -> int:
        """Ids, or batches, of an epoch.

        Raises:
            TypeError: The sampler does not say.
        """
        return len(self.sampler)

    def select(self, epoch: int, signals: Signals) -> Selection:
        """Draw the ids of an epoch.

        Raises:
            ArgumentError: What came is no id, or there is no end of it.
        """
        self._set_epoch(epoch)
        seed = int(signals.words(np.zeros(1, np.int64), epoch, slot_of(PLAN_POSITION, "select"))[0, 0])
        with _seeded(seed):
            ids, bounds = self._draw(signals.n_samples)
        if self._rank.world > 1 and not self.shared:
            ids, bounds = _of_first_rank(ids, bounds)
        return Selection(ids, bounds=bounds)

    def _draw(self, n_samples: int) -> tuple[np.ndarray, np.ndarray | None]:
        most = max(n_samples, 1) * MAX_OCCURRENCES
        sizes: list[int] = []
        flat = self._flat(sizes) if self.batches else iter(self.sampler)
        ids = np.fromiter(self._whole(itertools.islice(flat, most + 1)), np.int64)
        if len(ids) > most:
            raise ArgumentError.make(
                f"{self._option}={self.sampler!r} gave more than {most} ids",
                why=f"an epoch holds each of {n_samples} samples at most {MAX_OCCURRENCES} times",
                remedy="Let its iterator end: the loader asks anew for each epoch.",
            )
        return ids, np.cumsum([0, *sizes]) if self.batches else None

    def _flat(self, sizes: list[int]) -> Iterator[Any]:
        """Ids of all batches, noting how many each has."""
        for batch in self.sampler:
            if isinstance(batch, (str, bytes)) or not isinstance(batch, Iterable):
                raise ArgumentError.make(
                    f"batch_sampler gave {batch!r} as batch {len(sizes)}",
                    why="not a list of ids",
                    remedy="Pass it as sampler= if it gives ids.",
                )
            listed = list(batch)
            if not listed:
                raise ArgumentError.make(
                    f"batch_sampler gave no ids as batch {len(sizes)}",
                    why="a batch needs a sample",
                    remedy="Let it leave empty batches out.",
                )
            sizes.append(len(listed))
            yield from listed

    def _whole(self, items: Iterator[Any]) -> Iterator[int]:
        for position, item in enumerate(items):
            try:
                yield operator.index(item)
            except TypeError:
                raise ArgumentError.make(
                    f"{self._option} gave {item!r} at position {position}",
                    why="not a sample's id",
                    remedy="Pass whole numbers"
                    + (" (lists of them go to batch_sampler=)." if isinstance(item, list) else "."),
                ) from None

    def _set_epoch(self, epoch: int) -> None:
        """Tell the sampler; a number that the user has told it is not overruled without a word."""
        for part in self._parts:
            if not callable(getattr(part, "set_epoch", None)):
                continue
            told = getattr(part, "epoch", None)
            if told not in (self._epochs_set[id(part)], epoch):
                warnings.warn(
                    f"{self._option}.set_epoch({told}) is overruled by the loader, whose epoch is {epoch}: "
                    "call set_epoch of the loader, which its augmentations follow too",
                    UserWarning,
                    stacklevel=2,
                )
            part.set_epoch(epoch)
            self._epochs_set[id(part)] = epoch

    def state(self) -> dict[str, np.ndarray]:
        """The generator's state, if there is one, and whose part it is, if the sampler shares out by rank."""
        arrays = {}
        generator = self._generator()
        if generator is not None:
            arrays["generator"] = generator.get_state().numpy()
        if self.shared:
            arrays["rank"] = np.array([self._rank.index, self._rank.world])
        return arrays

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Take back what `state` gave.

        Raises:
            StateError: It is another rank's, and the sampler shares out by rank.
        """
        saved, own = state.get("rank"), [self._rank.index, self._rank.world]
        if self.shared and saved is not None and np.asarray(saved).tolist() != own:
            raise StateError.make(
                "this state is another rank's",
                why=f"rank and world size were {np.asarray(saved).tolist()} and are {own}, "
                "and the sampler gives each rank other samples",
                remedy="Save one state a rank, or leave the sampler out: the loader shares out itself.",
            )
        generator = self._generator()
        if generator is not None and "generator" in state:
            import torch

            generator.set_state(torch.from_numpy(np.array(state["generator"])))

    def _generator(self) -> Any:
        found = (getattr(part, "generator", None) for part in self._parts)
        return next((g for g in found if hasattr(g, "get_state") and hasattr(g, "set_state")), None)


def sampler_selector(
    sampler: Any,
    batch_sampler: Any,
    *,
    rank: Rank,
    batch_size_given: bool,
    shuffle: bool,
    drop_last: bool,
    selection: Any,
) -> SamplerSelector | None:
    """The selector for whichever of the two options is given, or None.

    Raises:
        ArgumentError: Options that exclude each other.
    """
    if sampler is None and batch_sampler is None:
        return None
    option = "sampler"
    others = {"selection": selection is not None, "shuffle": shuffle}
    if batch_sampler is not None:
        option = "batch_sampler"
        others |= {"sampler": sampler is not None, "batch_size": batch_size_given, "drop_last": drop_last}
    wrong = [name for name, given in others.items() if given]
    if wrong:
        raise ArgumentError.make(
            f"{option} together with {', '.join(wrong)}",
            why="both decide on the same",
            remedy="Leave one of them out.",
        )
    chosen = batch_sampler if sampler is None else sampler
    return SamplerSelector(chosen, batches=option == "batch_sampler", rank=rank)


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Global generators seeded within, and as they were behind."""
    import torch

    python, array = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # not torch.manual_seed, which seeds GPUs too
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(array)


def _of_first_rank(ids: np.ndarray, bounds: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """What rank 0 has drawn, where torch.distributed can say so: generators of ranks may differ."""
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is None or not (distributed.is_available() and distributed.is_initialized()):
        return ids, bounds
    drawn = [(ids, bounds)]
    distributed.broadcast_object_list(drawn, src=0)
    return drawn[0]
