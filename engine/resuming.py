"""The part of a loader that says where it stands, and goes on from there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fieldloom.errors import StateError

from .choosing import Chooser
from .epoch import EpochPlan
from .iteration import Taken
from .samplers import SamplerSelector
from .state import compare, load, save


class Resumable:
    """Mixed into `DataLoader`."""

    _chooser: Chooser
    _epoch: int
    _first: int
    _resume_at: int
    _drawn: bool
    _sampled: SamplerSelector | None
    _taken: Taken | None
    _whole: EpochPlan | None

    def _check(self, what: str) -> None:
        raise NotImplementedError

    def _stop(self) -> None:
        raise NotImplementedError

    def _plan(self, epoch: int) -> EpochPlan:
        raise NotImplementedError

    def _plan_digest(self, epoch: int) -> str:
        raise NotImplementedError

    def _steps(self, epoch: int) -> int:
        raise NotImplementedError

    def _identity(self) -> dict[str, Any]:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands: enough to go on with exactly the next batch, in another process too.

        Plain numbers and text, and under "arrays" tensors of what a selection or selector holds (none
        without): torch.save writes it, and torch.load(weights_only=True) reads it. The state counts the
        batches that the consumer has had, whatever was prepared ahead of it.
        """
        self._check("save")
        epoch, batch, under_way = self._position()
        return self._identity() | {
            "epoch": epoch,
            "batch": batch,
            "plan": self._plan_digest(epoch) if batch else None,
            "arrays": _tensors(self._chooser.state(epoch if under_way else None)),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called: the next iterator begins with the batch that came next.

        The world size may differ where batch_size times world size is the same.

        Raises:
            StateError: Lists each field in which the state and this loader differ.
        """
        self._check("load into")
        compare(state, self._identity())
        self._stop()
        self._taken = self._whole = None
        batch = state["batch"]
        arrays = {name: np.asarray(array) for name, array in state.get("arrays", {}).items()}
        # Beside an iterator that was not read: a sampler has drawn, and what it drew is still to come.
        drawn = self._sampled is not None and not batch and "decided.ids" in arrays
        self._chooser.load(arrays, state["epoch"] if batch or drawn else None)
        self._epoch, self._resume_at = state["epoch"], 0  # a state that is refused leaves a whole epoch
        self._drawn = drawn
        if batch and self._plan(self._epoch).digest() != state["plan"]:
            raise StateError.make(
                "the state's epoch had another plan",
                why="ids, order, weights or strengths differ here",
                remedy="Load all of the state, arrays included, into a loader with the same selector.",
            )
        if batch and batch > self._steps(self._epoch):
            raise StateError.make(
                f"a state behind batch {batch}",
                why=f"its epoch has {self._steps(self._epoch)} batches",
                remedy="It is damaged: load another checkpoint.",
            )
        self._resume_at = batch

    def save_state(self, path: str | Path) -> None:
        """Write `state_dict` to a JSON file; arrays, if any, to an .npz beside it, named by its hash."""
        save(self.state_dict(), path)

    def load_state(self, path: str | Path) -> None:
        """Read what `save_state` wrote."""
        self.load_state_dict(load(path))

    def _unread(self) -> bool:
        """Whether an iterator is open from which nothing was taken."""
        taken = self._taken
        if taken is None or taken.over or taken.epoch + 1 != self._epoch:
            return False
        return taken.batches == self._first

    def _position(self) -> tuple[int, int, bool]:
        """Epoch and batch that come next, and whether that epoch has begun."""
        taken = self._taken
        if taken is None or taken.over or taken.epoch + 1 != self._epoch:
            return self._epoch, self._resume_at, self._resume_at > 0 or self._drawn
        if taken.batches >= self._steps(taken.epoch):
            return self._epoch, 0, False
        return taken.epoch, taken.batches, True


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Copies, since training goes on writing into some of the arrays."""
    if not arrays:
        return {}
    import torch

    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
