"""What happened when: spans of the consumer and of the loader's threads, and counters beside them."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

#: Tracks in the order in which they are drawn.
CONSUMER, PRODUCER = "consumer", "producer"


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took a while.

    Attributes:
        track: Who did it: "consumer", "producer", or the name of a thread.
        name: What: a stage, "wait" or "step".
        start_s: Seconds since the timeline's beginning.
        end_s: The same.
        batch: Number of the batch it belongs to, where that is known.
    """

    track: str
    name: str
    start_s: float
    end_s: float
    batch: int | None = None


@dataclass(slots=True)
class Timeline:
    """Spans of the first batches, and counters of all.

    Attributes:
        limit: Spans kept; later ones are dropped, so that memory stays small.
        spans: What was recorded.
        counters: Name -> (seconds, value) in order of time.
    """

    limit: int = 4000
    spans: list[Span] = field(default_factory=list)
    counters: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    _zero: float = field(default_factory=time.perf_counter)
    _lock: Any = field(default_factory=threading.Lock)

    def add(self, track: str, name: str, start: float, end: float, batch: int | None = None) -> None:
        """Keep a span, in seconds of `time.perf_counter`; from any thread."""
        with self._lock:
            if len(self.spans) < self.limit:
                self.spans.append(Span(track, name, start - self._zero, end - self._zero, batch))

    def count(self, name: str, value: float) -> None:
        """Keep the value that a counter has now."""
        self.counters.setdefault(name, []).append((time.perf_counter() - self._zero, value))

    def shifted(self) -> "Timeline":
        """The same with its first span at zero."""
        starts = [span.start_s for span in self.spans]
        zero = min(starts, default=0.0)
        spans = [
            Span(s.track, s.name, s.start_s - zero, s.end_s - zero, s.batch)
            for s in sorted(self.spans, key=lambda span: span.start_s)
        ]
        counters = {name: [(t - zero, v) for t, v in rows] for name, rows in self.counters.items()}
        return Timeline(self.limit, spans, counters)


#: What a loader calls to get a sample; one may call another.
_READS = ("sample", "read", "pixels", "window")


@contextmanager
def watching(timeline: Timeline, source: Any) -> Iterator[Callable[[], tuple[float, int]]]:
    """Record the producing thread's stages, and time each read of a source, while the block runs.

    The source's methods are replaced on this one object, and put back; where they cannot be (slots), reads
    are not timed. Nothing of it runs in a loader that is not profiled.

    Yields:
        A function that gives (seconds that threads have spent in reading, bytes that they read).
    """
    from fieldloom import timings

    spent = [0.0, 0]
    lock, within = threading.Lock(), threading.local()

    def timed(read: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            if getattr(within, "reading", False):
                return read(*arguments)
            within.reading = True
            start = time.perf_counter()
            try:
                found = read(*arguments)
            finally:
                within.reading = False
            end = time.perf_counter()
            with lock:
                spent[0] += end - start
                spent[1] += getattr(getattr(found, "image", found), "nbytes", 0)
            timeline.add(threading.current_thread().name, "read file", start, end)
            return found

        return run

    def stage(name: str, start: float, end: float) -> None:
        timeline.add(PRODUCER, name, start, end)

    replaced = []
    for name in _READS:
        if name not in getattr(source, "__dict__", {name: None}) and hasattr(source, name):
            with contextlib.suppress(AttributeError):
                setattr(source, name, timed(getattr(source, name)))
                replaced.append(name)
    before, timings.observer = timings.observer, stage
    try:
        yield lambda: (spent[0], int(spent[1]))
    finally:
        timings.observer = before
        for name in replaced:
            delattr(source, name)
