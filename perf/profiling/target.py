"""What is profiled: our loader over a data set, or any iterable of batches."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from fieldloom.errors import ArgumentError

from .stages import Ablation

#: What a sweep may change, and what others call it.
AXES: dict[str, tuple[str, ...]] = {
    "threads": ("threads", "num_workers", "num_threads", "workers"),
    "batch": ("batch", "batch_size"),
    "prefetch": ("prefetch", "prefetch_factor", "prefetch_queue_depth"),
}


class Target(ABC):
    """A loader to measure.

    Attributes:
        kind: "fieldloom", "torch", "dali" or "iterable".
        name: What people call it.
        knob: What its parallel workers are called: "threads" or "num_workers".
    """

    kind = "iterable"
    knob = "threads"
    name: str

    @abstractmethod
    def open(self) -> AbstractContextManager[Any]:
        """The iterable, closed behind the block."""

    @property
    def workers(self) -> int | None:
        """Threads or processes that work for it; None where that is not known."""
        return None

    @property
    def batch_size(self) -> int | None:
        """Images of a batch, where it is known beforehand."""
        return None

    def describe(self) -> dict[str, Any]:
        """What was measured, ready for JSON."""
        return {"kind": self.kind, "name": self.name, self.knob: self.workers, "batch_size": self.batch_size}

    def vary(self, axes: Mapping[str, int]) -> "Target":
        """The same loader with other threads, batch or prefetch.

        Raises:
            ArgumentError: It does not take that.
        """
        raise ArgumentError.make(
            f"cannot vary {', '.join(axes)} of {self.name}",
            why="it is an object that was made already",
            remedy="Name a function that takes threads, batch and prefetch and returns the iterable.",
        )

    def ablate(self, seconds: float) -> Ablation:
        """Find where its time goes by running parts of it alone, for about `seconds`.

        May use up what the iterable can give only once; called last.
        """
        return Ablation(())


class Anew:
    """Iterators that a function makes, one an epoch: each can be used only once.

    Args:
        make: The function.
        first: What it gave already.
    """

    def __init__(self, make: Callable[[], Any], first: Any) -> None:
        self._make, self._first = make, first

    def __iter__(self) -> Iterator[Any]:
        first, self._first = self._first, None
        return iter(self._make() if first is None else first)


class IterableTarget(Target):
    """Any iterable of batches, or a function that makes one.

    Args:
        made: The iterable, or the function.
        name: What people call it.
        options: Arguments for the function.

    Attributes:
        made_s: Seconds that the function took, where it was called beforehand; part of the first batch.
    """

    def __init__(self, made: Any, name: str, options: Mapping[str, int] | None = None) -> None:
        self.made, self.name, self._options = made, name, dict(options or {})
        self.made_s = 0.0
        self._iterable: Any = None

    @property
    def is_factory(self) -> bool:
        """Whether each opening makes a new iterable."""
        return callable(self.made) and not hasattr(self.made, "__iter__")

    @property
    def iterable(self) -> Any:
        """What gives the batches, made when it is first asked for."""
        if self._iterable is None:
            self.adopt(self.make() if self.is_factory else self.made)
        return self._iterable

    def make(self) -> Any:
        """Call the function.

        Raises:
            ArgumentError: It wants other arguments.
        """
        signature = None
        with suppress(ValueError):  # built in, without one
            signature = inspect.signature(self.made)
        try:
            if signature is not None:
                signature.bind(**self._options)
        except TypeError as error:
            given = f"with {', '.join(self._options)}" if self._options else "without arguments"
            raise ArgumentError.make(
                f"cannot call {self.name} {given}",
                why=str(error),
                remedy="Give its parameters defaults, or name a function without any.",
            ) from None
        return self.made(**self._options)

    def adopt(self, found: Any) -> None:
        """Take what was made already as the iterable; of what can be used once more will be made."""
        self.check(found)
        once = hasattr(found, "__next__") and not callable(getattr(found, "reset", None))
        self._iterable = Anew(self.make, found) if once and self.is_factory else found

    def check(self, found: Any) -> None:
        """Refuse what gives no batches."""
        if not hasattr(found, "__iter__") and not hasattr(found, "__getitem__"):
            raise ArgumentError.make(
                f"cannot profile {self.name}",
                why=f"it is, or gave, a {type(found).__name__}, which is not iterable",
                remedy="Name an iterable of batches, or a function that returns one.",
            )

    def fresh(self) -> Any:
        """Another iterable where it can be had, else the same."""
        return self.make() if self.is_factory else self.iterable

    @contextmanager
    def open(self) -> Iterator[Any]:
        """The iterable; one that was made for this is let go behind the block."""
        try:
            yield self.iterable
        finally:
            if self.is_factory:
                close = getattr(self._iterable, "close", None)
                if callable(close):
                    close()
                self._iterable = None

    def vary(self, axes: Mapping[str, int]) -> Target:
        """See `Target.vary`: the function is called with what it names these."""
        if not self.is_factory:
            return super().vary(axes)
        return type(self)(self.made, self.name, {**self._options, **self._named(axes)})

    def _named(self, axes: Mapping[str, int]) -> dict[str, int]:
        parameters = inspect.signature(self.made).parameters
        named = {}
        for axis, value in axes.items():
            names = [name for name in AXES[axis] if name in parameters]
            if not names:
                raise ArgumentError.make(
                    f"cannot vary {axis} of {self.name}",
                    why=f"it takes ({', '.join(parameters)})",
                    remedy=f"Give it a parameter {AXES[axis][0]!r}.",
                )
            named[names[0]] = value
        return named

    def ablate(self, seconds: float) -> Ablation:
        """By what its own thread does in `next`."""
        from .foreign_ablation import ablate_iterable

        return ablate_iterable(self.fresh(), seconds)


Opener = Callable[[], AbstractContextManager[Any]]
