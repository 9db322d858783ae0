"""What production has in hand at this moment: read by the watchdog, written by the threads that work."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Stage of the producing thread, and the sample in hand of each thread that reads.

    Writing is a dictionary's item, which needs no lock; whoever asks gets a picture of the moment.
    """

    def __init__(self) -> None:
        self.current = "start"
        self.since = time.monotonic()
        self._reading: dict[int, tuple[int, float]] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Surrounds a stage of the producing thread."""
        before = self.current
        self.current, self.since = name, time.monotonic()
        try:
            yield
        finally:
            self.current, self.since = before, time.monotonic()

    def begin(self, sample: int) -> None:
        """This thread starts to read a sample."""
        self._reading[threading.get_ident()] = sample, time.monotonic()

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
