"""What production has in hand at this moment: read by the watchdog, written by the threads that work."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .handoff import Closed


class Progress:
    """Stage of the producing thread, and the sample in hand of each thread that reads.

    Writing is a dictionary's item, which needs no lock; whoever asks gets a picture of the moment.

    Attributes:
        current: Stage of the producing thread: "start", "read", "decode", "substitute" or "augment".
        since: When it began, in seconds of `time.monotonic`.
        turn: Number of epochs begun. Threads that an earlier one left behind know by it that nobody waits.
    """

    def __init__(self) -> None:
        self.current = "start"
        self.since = time.monotonic()
        self.turn = 0
        self._wanted: Callable[[], bool] = _always
        self._producer: int | None = None
        self._reading: dict[int, tuple[int, float]] = {}

    def start(self, wanted: Callable[[], bool]) -> None:
        """An epoch begins; `wanted` says whether somebody still takes its batches."""
        self.turn += 1
        self._wanted, self._producer, self._reading = wanted, None, {}
        self.current, self.since = "start", time.monotonic()

    def produce(self) -> None:
        """This thread produces the epoch."""
        self._producer = threading.get_ident()

    def rest(self) -> None:
        """The producing thread ends; its identifier may be another's soon."""
        self._producer = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Surrounds a stage of the producing thread."""
        before = self.current
        self.current, self.since = name, time.monotonic()
        try:
            yield
        finally:
            self.current, self.since = before, time.monotonic()

    def check(self, turn: int) -> None:
        """Go on only while somebody waits for what this thread does.

        Raises:
            Closed: Nobody does: its epoch has ended, or another one has begun.
        """
        if turn != self.turn or not self._wanted():
            raise Closed

    def begin(self, sample: int) -> None:
        """This thread starts to read a sample.

        Raises:
            Closed: It is the producing thread, and nobody waits for its batches.
        """
        thread = threading.get_ident()
        if thread == self._producer:
            self.check(self.turn)
        self._reading[thread] = sample, time.monotonic()

    def end(self) -> None:
        """This thread has read it."""
        self._reading.pop(threading.get_ident(), None)

    def oldest(self) -> tuple[int, float] | None:
        """The sample that has been read for the longest time, and for how many seconds; None: none is."""
        reading = list(self._reading.values())
        if not reading:
            return None
        sample, start = min(reading, key=lambda entry: entry[1])
        return sample, time.monotonic() - start


def _always() -> bool:
    return True
