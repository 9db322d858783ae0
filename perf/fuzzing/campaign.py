"""A campaign: children load the cases, and what kills or holds one is found, counted and kept."""

import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from .cases import case
from .child import DIFFERS, VALUE, Outcome

#: Files of one loader.
CHUNK = 128
#: Files that a child gets.
SPAN = 4096
#: Seconds after which a chunk hangs, and a single file.
CHUNK_TIMEOUT_S, FILE_TIMEOUT_S = 300.0, 120.0


@dataclass(slots=True)
class Campaign:
    """What has come out so far.

    Attributes:
        seed: Of all cases.
        keep: Folder for files that failed; None keeps none.
        counts: (format, mutation, outcome) -> files.
        failures: What went wrong, one entry a file.
    """

    seed: int
    keep: Path | None = None
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, outcomes: list[Outcome]) -> None:
        """Count what a child reports."""
        for number, outcome, text in outcomes:
            one = case(self.seed, number)
            with self._lock:
                self.counts[one.form, one.mutation, outcome] += 1
                if outcome == DIFFERS or not (outcome == VALUE or named(outcome)):
                    self.failures.append(
                        {"number": number, "format": one.form, "mutation": one.mutation, "outcome": outcome,
                         "text": text[-500:], "bytes": len(one.data)}
                    )  # fmt: skip
                    if self.keep is not None:
                        self.keep.mkdir(parents=True, exist_ok=True)
                        (self.keep / f"{self.seed}-{number}.{one.form}").write_bytes(one.data)

    def work(self, first: int, last: int, chunk: int = CHUNK) -> None:
        """Load the cases from `first` to `last - 1` in as many children as it takes."""
        while first < last:
            reached, end = self._child(first, last, chunk)
            if end is None:
                return
            stop = min(reached + chunk, last)
            if chunk > 1:
                before = len(self.failures)
                self.work(reached, stop, 1)
                if len(self.failures) == before:
                    self._together(reached, stop, end)
            else:
                self.enter([(reached, *end)])
            first = stop

    def _child(self, first: int, last: int, chunk: int) -> tuple[int, tuple[str, str] | None]:
        """Run one child; the chunk that it did not end, and how it failed. None: it ended all."""
        command = [
            sys.executable,
            "-m",
            "fieldloom.perf.fuzzing.child",
            *map(str, (self.seed, first, last, chunk)),
        ]
        with tempfile.TemporaryFile() as noise:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=noise, text=True)
            at = first
            try:
                for line in _lines(process.stdout, CHUNK_TIMEOUT_S if chunk > 1 else FILE_TIMEOUT_S):
                    message = json.loads(line)
                    at = message.get("begin", at)
                    if "end" in message:
                        self.enter([tuple(outcome) for outcome in message["outcomes"]])
                process.wait(60)
            except (queue.Empty, subprocess.TimeoutExpired):
                return at, ("hang", "")
            finally:
                process.kill()
                process.wait()
            if process.returncode == 0:
                return last, None
            noise.seek(0, 2)
            noise.seek(max(0, noise.tell() - 2000))
            return at, (f"crash {process.returncode}", noise.read().decode(errors="replace"))

    def _together(self, first: int, last: int, end: tuple[str, str]) -> None:
        """A chunk failed, and none of its files alone."""
        self.failures.append(
            {"number": first, "last": last - 1, "outcome": f"{end[0]}, together only", "text": end[1][-500:]}
        )


def named(outcome: str) -> bool:
    """Whether an outcome is the name of one of our errors."""
    import fieldloom.errors

    found = getattr(fieldloom.errors, outcome, None)
    return isinstance(found, type) and issubclass(found, fieldloom.errors.FieldloomError)


def _lines(stream: IO[str] | None, timeout_s: float) -> Iterator[str]:
    """Lines of a child; `queue.Empty` where none comes in time."""
    assert stream is not None
    lines: queue.Queue[str | None] = queue.Queue()

    def pump() -> None:
        with stream:
            for line in stream:
                lines.put(line)
        lines.put(None)

    threading.Thread(target=pump, daemon=True).start()
    while (line := lines.get(timeout=timeout_s)) is not None:
        yield line


def run(
    n: int,
    *,
    seed: int = 0,
    jobs: int = 2,
    keep: Path | None = None,
    span: int = SPAN,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Load `n` damaged files.

    Args:
        n: How many.
        seed: Of all cases; equal seeds give equal files.
        jobs: Children at a time.
        keep: Folder for files that failed.
        span: Files that a child gets before the next one starts.
        on_progress: Told how many have been loaded, after each span.

    Returns:
        Report, ready for JSON: counts by format, mutation and outcome, failures, seconds, versions.
    """
    from ..machine import describe

    campaign, start = Campaign(seed, keep), time.perf_counter()

    def work(first: int) -> None:
        campaign.work(first, min(first + span, n))
        if on_progress is not None:
            on_progress(sum(campaign.counts.values()))

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(work, range(0, n, span)))
    return {
        "files": sum(campaign.counts.values()),
        "seed": seed,
        "seconds": round(time.perf_counter() - start, 1),
        "jobs": jobs,
        "by_format": _nested(campaign.counts, lambda key: (key[0], key[2])),
        "by_mutation": _nested(campaign.counts, lambda key: (f"{key[0]}: {_single(key[1])}", key[2])),
        "by_outcome": _sum(campaign.counts),
        "failures": sorted(campaign.failures, key=lambda failure: failure["number"]),
        "machine": describe(),
    }


def _single(mutation: str) -> str:
    return "several" if " + " in mutation else mutation


def _sum(counts: Counter[tuple[str, str, str]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for key, count in counts.items():
        total[key[2]] += count
    return dict(total.most_common())


def _nested(counts: Counter[tuple[str, str, str]], split: Callable[[Any], tuple[str, str]]) -> dict[str, Any]:
    table: dict[str, Counter[str]] = {}
    for key, count in counts.items():
        row, column = split(key)
        table.setdefault(row, Counter())[column] += count
    return {row: dict(table[row].most_common()) for row in sorted(table)}
