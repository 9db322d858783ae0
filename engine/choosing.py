"""Which samples each epoch of a loader holds: by hand, or by a selector that hears of the training."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from fieldloom.errors import ArgumentError, StateError
from fieldloom.selectors.exchange import GroupSharing, exchange_signals
from fieldloom.selectors.signals import KINDS, Signals

from .batch import Batch
from .epoch import plan_epoch
from .ranks import Rank
from .selection import Selection


class Chooser:
    """Holds the selection of the next epoch, and what it is made from.

    Args:
        targets: int64 (n,), labels of the data set.
        selector: An object with `select(epoch, signals)`, or None.
        seed: The loader's.
        rank: This process; with several, signals are exchanged before each decision.

    Attributes:
        signals: What was reported of the samples.
    """

    def __init__(self, targets: np.ndarray, selector: Any, seed: int, rank: Rank) -> None:
        if selector is not None and not callable(getattr(selector, "select", None)):
            hint = " (a class: add parentheses)" if isinstance(selector, type) else ""
            raise ArgumentError.make(
                f"selection={selector!r}{hint}",
                why="not an object with a method select(epoch, signals)",
                remedy="Pass a selector such as fieldloom.RS2(0.3), or one of your own.",
            )
        if isinstance(selector, type):
            raise ArgumentError.make(
                f"selection={selector!r}", why="a class", remedy="Add parentheses: pass an instance."
            )
        self._selector, self._rank = selector, rank
        self.signals = Signals(targets, tuple(getattr(selector, "signals", ())), seed)
        self._manual: Selection | None = None
        self._begun: int | None = None
        #: Decisions by epoch: of the one under way, and of the next once somebody asked.
        self._decided: dict[int, Selection | None] = {}

    def begin(self, epoch: int, *, resumed: bool) -> Selection | None:
        """The selection of an epoch that starts now, and that nothing changes any more."""
        if self._begun == epoch and not resumed:  # once more from the beginning, by what is chosen now
            self._decided.pop(epoch, None)
        self._begun = epoch
        return self.selection(epoch)

    def select(self, ids: Any, weights: Any, repeats: Any, strength: Any) -> None:
        """Choose by hand; `ids` None gives the choice back to the selector, if there is one."""
        if ids is None:
            if weights is not None or strength is not None or repeats is not None:
                raise ArgumentError.make(
                    "select(None) with weights, repeats or strength",
                    why="they belong to ids",
                    remedy="Pass ids.",
                )
            self._manual = None
            self._forget()
            return
        n = self.signals.n_samples
        selection = Selection.checked(ids, weights, n, strength, repeats)
        plan_epoch(n, selection, shuffle=False, seed=0, epoch=0)  # refuses too many repeats now
        self._manual = selection
        self._forget()

    def _forget(self) -> None:
        """Void what was decided on epochs that have not begun."""
        self._decided = {e: s for e, s in self._decided.items() if e == self._begun}

    def selection(self, epoch: int) -> Selection | None:
        """What an epoch holds; None is every sample once. A selector is asked once an epoch."""
        if epoch in self._decided:
            return self._decided[epoch]
        if self._manual is not None or self._selector is None:
            if epoch == self._begun:
                self._decided[epoch] = self._manual
            return self._manual
        if epoch not in self._decided:
            if self._rank.world > 1 and self.signals.names:
                exchange_signals(self.signals)
                if hasattr(self._selector, "sharing"):
                    self._selector.sharing = GroupSharing()
            self._decided[epoch] = self._checked(self._selector.select(epoch, self.signals))
            self._decided = {e: s for e, s in self._decided.items() if abs(e - epoch) <= 1}
        return self._decided[epoch]

    def known(self, epoch: int) -> bool:
        """Whether an epoch's `selection` is at hand, or follows from the epoch alone.

        A selector that hears signals is not asked about the past: it would answer by what it knows now.
        """
        at_hand = self._manual is not None or self._selector is None or epoch in self._decided
        return at_hand or (not self.signals.names and getattr(self._selector, "replayable", True))

    def decided(self, epoch: int) -> bool:
        """Whether an epoch's `selection` is at hand: nobody is asked for it then."""
        return self._manual is not None or self._selector is None or epoch in self._decided

    def _checked(self, chosen: Any) -> Selection | None:
        if chosen is None:
            return None
        if not isinstance(chosen, Selection):
            chosen = Selection(chosen)  # bare ids
        n = self.signals.n_samples
        checked = Selection.checked(chosen.ids, chosen.weights, n, chosen.strength)
        return checked if chosen.bounds is None else replace(checked, bounds=chosen.bounds)

    def needs_scoring(self, epoch: int) -> bool:
        """Whether the selector wants every sample scored before it decides on an epoch."""
        if self._manual is not None or self._selector is None:
            return False
        asks = getattr(self._selector, "needs_scoring", None)
        return bool(asks(epoch)) if asks is not None else False

    def feedback(self, batch: Batch, values: Mapping[str, Any]) -> None:
        """Store what the training loop reports of a batch."""
        if self._selector is None:
            raise StateError.make(
                "feedback to a loader without a selector",
                why="nobody asks for it",
                remedy="Pass selection=... to DataLoader, or leave the call out.",
            )
        unknown = [name for name in values if name not in KINDS]
        if unknown or not values:
            raise ArgumentError.make(
                f"feedback with {unknown[0]!r}" if unknown else "feedback without values",
                why="not a signal" if unknown else "there is nothing to store",
                remedy=f"Report any of {', '.join(KINDS)}.",
            )
        ids = batch.ids
        # What was decided without this, when somebody asked for the length, say, is void; not what has begun.
        if batch.scoring and batch.epoch != self._begun:
            self._decided.pop(batch.epoch, None)
        tensors = {n: _tensor(n, v, len(ids)) for n, v in values.items() if n in self.signals.names}
        if not tensors:
            return
        self.signals.store(ids, batch.epoch, tensors)
        observe = getattr(self._selector, "observe", None)
        if observe is not None and not batch.scoring:
            observe(ids.to(next(iter(tensors.values())).device), tensors, batch.epoch)

    def state(self, epoch: int | None) -> dict[str, np.ndarray]:
        """Arrays that decide what later epochs hold, and what the given one holds."""
        arrays = {f"signals.{k}": v for k, v in self.signals.state().items()}
        state = getattr(self._selector, "state", None)
        arrays |= {f"selector.{k}": np.asarray(v) for k, v in (state() if state is not None else {}).items()}
        for name, selection in (("manual", self._manual), ("decided", self._now(epoch))):
            if selection is not None:
                arrays |= {f"{name}.{k}": v for k, v in selection.columns().items()}
        return arrays

    def _now(self, epoch: int | None) -> Selection | None:
        return None if epoch is None else self._decided.get(epoch)

    def load(self, arrays: Mapping[str, np.ndarray], epoch: int | None) -> None:
        """Take back what `state` gave; `epoch` is the one under way then, if any was."""
        parts: dict[str, dict[str, np.ndarray]] = {}
        for name, array in arrays.items():
            part, _, key = name.partition(".")
            parts.setdefault(part, {})[key] = array
        self.signals.load(parts.get("signals", {}))
        load = getattr(self._selector, "load", None)
        if load is not None and "selector" in parts:
            load(parts["selector"])
        self._manual = Selection(**parts["manual"]) if "manual" in parts else None
        self._decided = {}
        self._begun = epoch
        if epoch is not None:
            self._decided[epoch] = Selection(**parts["decided"]) if "decided" in parts else None


def _tensor(name: str, value: Any, n: int) -> Any:
    """A reported value as a detached tensor with a row for each sample."""
    import torch

    tensor = value.detach() if isinstance(value, torch.Tensor) else torch.as_tensor(np.asarray(value))
    if tensor.ndim != KINDS[name][1] or len(tensor) != n:
        raise ArgumentError.make(
            f"feedback with {name} of shape {tuple(tensor.shape)}",
            why=f"the batch has {n} samples, and {name} has {KINDS[name][1]} dimension(s)",
            remedy="Report one row a sample: a loss without reduction, logits (n, classes).",
        )
    return tensor
