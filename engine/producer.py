"""The thread that produces an epoch's batches, and how long its end is waited for."""

import atexit
import contextlib
import os
import threading
import time
from typing import Any, Protocol

from .handoff import Closed, Handoff
from .production import Outcomes, Production
from .watchdog import stalled

#: Seconds that closing a loader waits for its producing thread. One that is stuck in a user's source is left
#: to itself: it ends, and lets go of the decoder, when that comes back.
CLOSE_TIMEOUT_S = 1.5
#: Seconds that the beginning of an epoch waits for the thread of the last one, where no `timeout_s` is given:
#: longer than kernels compile.
RESTART_TIMEOUT_S = 60.0
#: Seconds that the interpreter's exit waits for all producing threads together.
EXIT_TIMEOUT_S = 1.5

#: Last outcome of an epoch.
END = object()


class _Thread(Protocol):
    def is_alive(self) -> bool: ...

    def join(self, timeout: float | None = None) -> None: ...


#: Threads that have not ended, whether or not anybody still holds their iterator.
_producing: "dict[_Thread, Producer]" = {}


class Producer:
    """Produces on a thread of its own until the epoch, or the wish for it, ends.

    Args:
        production: Whose the outcomes are.
        outcomes: They are put into the queue, and `END` or what they raise behind them.
        queue: Closing it ends the thread.

    Attributes:
        thread: The thread.
    """

    def __init__(self, production: Production, outcomes: Outcomes, queue: Handoff[Any]) -> None:
        self.pid = os.getpid()
        self._production, self._outcomes, self._queue = production, outcomes, queue
        self._lock, self._ended, self._close = threading.Lock(), False, False
        self.thread = threading.Thread(target=self._produce, name="fieldloom-produce", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        queue = self._queue
        self._production.progress.start(lambda: not queue.closed)
        # First: an interrupt may come between any two lines.
        _producing[self.thread] = self
        self.thread.start()

    def alive(self) -> bool:
        """Whether outcomes may still come."""
        return self.thread.is_alive()

    def join(self, timeout_s: float = CLOSE_TIMEOUT_S) -> bool:
        """Wait for the thread; whether it has ended."""
        if self.thread.is_alive():  # an interrupt may have kept it from starting
            self.thread.join(timeout_s)
        return not self.thread.is_alive()

    def end(self, timeout_s: float) -> bool:
        """Tell the thread to end and wait for it; whether it has."""
        self._queue.close()
        return self.join(timeout_s)

    def finish(self, timeout_s: float | None) -> None:
        """End the thread, because another epoch shall begin.

        Raises:
            WorkerStalled: It is still at work after `timeout_s`, or `RESTART_TIMEOUT_S` without one. Another
                try waits again.
        """
        timeout_s = RESTART_TIMEOUT_S if timeout_s is None else timeout_s
        if not self.end(timeout_s):
            what = f"cannot begin another epoch: the last one did not end within {timeout_s:g} s"
            raise stalled(what, self._production.source, self._production.progress)

    def close(self) -> None:
        """End the thread, and close the production: now, or when a thread that is stuck comes back."""
        try:
            self.end(CLOSE_TIMEOUT_S)
        finally:  # also where Ctrl-C ended the waiting
            with self._lock:
                self._close = True
                now = self._ended or not self.thread.is_alive()
            if now:
                self._production.close()

    def _produce(self) -> None:
        queue, production, outcomes = self._queue, self._production, self._outcomes
        try:
            production.progress.produce()
            with contextlib.closing(outcomes):
                for outcome in outcomes:
                    queue.put(outcome)
                    production.timings.deliver = queue.waited_put_s
            queue.put(END)
        except Closed:
            pass
        except BaseException as error:  # whatever it is, the consumer must hear of it
            with contextlib.suppress(Closed):
                queue.put(error)
                queue.put(END)
        finally:
            production.progress.rest()
            _producing.pop(self.thread, None)
            with self._lock:
                self._ended = True
                left_behind = self._close
            if left_behind:
                production.close()


def _end_threads() -> None:
    mine = [producer for producer in list(_producing.values()) if producer.pid == os.getpid()]
    deadline = time.monotonic() + EXIT_TIMEOUT_S
    for producer in mine:
        producer.end(0)
    for producer in mine:
        producer.join(max(0.0, deadline - time.monotonic()))


# Producing threads must end before DALI's own exit hook shuts pipelines down, and before thread pools refuse
# work. Exit hooks run last in, first out, and DALI is imported after this module; the hooks of `threading`,
# which `concurrent.futures` uses too, all run before those of `atexit`.
getattr(threading, "_register_atexit", atexit.register)(_end_threads)
