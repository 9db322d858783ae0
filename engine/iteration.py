"""One epoch under way: the iterator that the consumer holds."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fieldloom.errors import StateError

from .batch import Batch
from .epoch import EpochPlan
from .handoff import Closed, Gone, Handoff
from .producer import END, Producer
from .production import Outcome, Production
from .watchdog import died, stalled


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
    goes on with the following batch. After `WorkerStalled` the next `next` waits again for the same batch.

    Args:
        production: Makes the batches.
        plan: The epoch.
        drop_last: Leave out the last, incomplete batch.
        prefetch: Batches that may wait.
        first: Batch to begin with.
        timeout_s: Longest wait for a batch; None: for ever.
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
        self.producer = Producer(
            production, production.epoch(plan, drop_last=drop_last, first=first), self.queue
        )
        self.thread = self.producer.thread
        self.producer.start()

    def __next__(self) -> Batch:
        if os.getpid() != self._pid:
            raise StateError.make(
                "cannot use an iterator of another process",
                why="its thread does not exist in a forked child",
                remedy="Create the loader in the process that uses it.",
            )
        if self._exhausted:
            raise StopIteration
        outcome = self._wait()
        if outcome is END:
            self._exhausted = True
            self.queue.close()
            self.producer.join()
            self.taken.over = True
            raise StopIteration
        self.taken.batches += 1
        if isinstance(outcome, StopIteration):  # raised as it is, it would end the epoch unseen
            raise RuntimeError("a source raised StopIteration") from outcome
        if isinstance(outcome, BaseException):
            raise outcome
        return self._production.receive(outcome)

    def _wait(self) -> Outcome | object:
        index, progress = self.taken.batches, self._production.progress
        try:
            return self.queue.get(self._timeout_s, self.producer.alive)
        except Closed:
            if self._exhausted:  # another thread that reads has met the end
                return END
            raise StateError.make(
                "this iterator has ended",
                why="its loader was closed or began another epoch",
                remedy="Use one iterator at a time.",
            ) from None
        except TimeoutError:
            what = f"no batch {index} within {self._timeout_s:g} s"
            raise stalled(what, self._production.source, progress) from None
        except Gone:
            self._exhausted = self.taken.over = True
            raise died(index, progress) from None
        finally:
            self._production.timings.consumer = self.queue.waited_get_s

    def __del__(self, getpid: Callable[[], int] = os.getpid) -> None:  # at exit `os` may be gone
        # No waiting here: the collector may run this in any thread, also in one that the producer waits for.
        queue = getattr(self, "queue", None)
        if queue is not None and getpid() == self._pid:
            queue.close()
