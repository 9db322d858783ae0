"""One epoch under way: the iterator that the consumer holds, and the thread that produces for it."""

import atexit
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fieldloom.errors import StateError

from .batch import Batch
from .epoch import EpochPlan
from .handoff import Closed, Handoff
from .production import Outcome, Outcomes, Production

#: Seconds after which the interpreter's exit no longer waits for a producing thread.
EXIT_TIMEOUT_S = 3.0

_END = object()
#: Producing threads that have not ended, whether or not anybody still holds their iterator.
_producing: dict[threading.Thread, tuple[int, "Handoff[Any]"]] = {}


@dataclass(slots=True)
class Taken:
    """How far the consumer of an epoch is; it outlives the iterator.

    Attributes:
        epoch: Number of the epoch.
        batches: Batches that the consumer has had, those before a resumed beginning included.
        over: The iterator has ended.
    """

    epoch: int
    batches: int
    over: bool = False


class LoaderIterator(Iterator[Batch]):
    """One epoch under way: a thread produces, a bounded queue hands over.

    An exception of one batch is raised by the `next` that would have returned it; the `next` after that
    goes on with the following batch.
    """

    def __init__(
        self,
        production: Production,
        plan: EpochPlan,
        *,
        drop_last: bool,
        prefetch: int,
        first: int = 0,
        timeout_s: float | None = None,
    ) -> None:
        self._production = production
        self.taken = Taken(plan.epoch, first)
        self._pid = os.getpid()
        self._exhausted, self._timeout_s = False, timeout_s
        self.queue: Handoff[Any] = Handoff(prefetch)
        # The thread must not hold this object: dropping it is what ends an epoch that was left early.
        self.thread = threading.Thread(
            target=_produce,
            args=(production, production.epoch(plan, drop_last=drop_last, first=first), self.queue),
            name="fieldloom-produce",
            daemon=True,
        )
        # First: an interrupt may come between any two lines.
        _producing[self.thread] = self._pid, self.queue
        self.thread.start()

    def __next__(self) -> Batch:
        if os.getpid() != self._pid:
            raise StateError.make(
                "cannot use an iterator of another process",
                why="its thread does not exist in a forked child",
                remedy="Create the loader in the process that uses it.",
            )
        if self._exhausted:
            raise StopIteration
        try:
            outcome: Outcome | object = self.queue.get(self._timeout_s)
        except Closed:
            raise StateError.make(
                "this iterator has ended",
                why="its loader was closed or began another epoch",
                remedy="Use one iterator at a time.",
            ) from None
        finally:
            self._production.timings.consumer = self.queue.waited_get_s
        if outcome is _END:
            self._exhausted = True
            self.queue.close()
            self.thread.join()
            self.taken.over = True
            raise StopIteration
        self.taken.batches += 1
        if isinstance(outcome, StopIteration):  # raised as it is, it would end the epoch unseen
            raise RuntimeError("a source raised StopIteration") from outcome
        if isinstance(outcome, BaseException):
            raise outcome
        return self._production.receive(outcome)

    def __del__(self, getpid: Callable[[], int] = os.getpid) -> None:  # at exit `os` may be gone
        # No waiting here: the collector may run this in any thread, also in one that the producer waits for.
        queue = getattr(self, "queue", None)
        if queue is not None and getpid() == self._pid:
            queue.close()


def _produce(production: Production, outcomes: Outcomes, queue: "Handoff[Any]") -> None:
    """Body of the producing thread."""
    try:
        with contextlib.closing(outcomes):
            for outcome in outcomes:
                queue.put(outcome)
                production.timings.deliver = queue.waited_put_s
        queue.put(_END)
    except Closed:
        pass
    except BaseException as error:  # whatever it is, the consumer must hear of it
        with contextlib.suppress(Closed):
            queue.put(error)
            queue.put(_END)
    finally:
        _producing.pop(threading.current_thread(), None)


def _end_threads() -> None:
    mine = [(thread, queue) for thread, (pid, queue) in list(_producing.items()) if pid == os.getpid()]
    for _, queue in mine:
        queue.close()
    for thread, _ in mine:
        if thread.is_alive():  # an interrupt may have kept it from starting
            thread.join(EXIT_TIMEOUT_S)


# Producing threads must end before DALI's own exit hook shuts pipelines down, and before thread pools refuse
# work. Exit hooks run last in, first out, and DALI is imported after this module; the hooks of `threading`,
# which `concurrent.futures` uses too, all run before those of `atexit`.
getattr(threading, "_register_atexit", atexit.register)(_end_threads)
