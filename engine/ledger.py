"""The account of an epoch: planned = delivered + skipped + substituted, for every (id, occurrence)."""

import json
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fieldloom.errors import SampleError, TooManyBadSamples

#: Bad samples kept in memory with their messages; all are counted, and all go to the log.
KEPT = 1000


@dataclass(frozen=True, slots=True)
class BadSample:
    """One sample that was skipped or substituted."""

    epoch: int
    sample: int
    file: str
    error: str
    message: str
    action: str


@dataclass(slots=True)
class Ledger:
    """Counts of one epoch.

    Attributes:
        epoch: Which one.
        planned: Samples in its plan (without what `drop_last` cuts off).
        delivered: Samples that reached a batch as planned.
        skipped: Samples left out because they are bad.
        substituted: Bad samples whose place another one took.
        bad: The first thousand bad samples.
    """

    epoch: int
    planned: int
    delivered: int = 0
    skipped: int = 0
    substituted: int = 0
    bad: list[BadSample] = field(default_factory=list)

    def balanced(self) -> bool:
        """Whether everything planned is accounted for; true at the end of a complete epoch.

        Under on_bad_sample="raise" a batch that raised was not delivered, and its samples stay open.
        """
        return self.planned == self.delivered + self.skipped + self.substituted


class BadSamples:
    """Counts an epoch's bad samples against their budget, and logs them.

    Args:
        limit: Largest number allowed in the epoch.
        log: File that gets one JSON line for each, or None.
    """

    def __init__(self, limit: float, log: str | Path | None) -> None:
        self._limit = limit
        self._log = None if log is None else Path(log)
        self._lock = threading.Lock()
        self.count = 0
        self._first: list[str] = []

    def add(self, ledger: Ledger, error: SampleError, sample: int, file: str, action: str) -> None:
        """Enter one bad sample.

        Raises:
            TooManyBadSamples: This one exceeds the budget.
        """
        shown = error.file if error.file is not None else file
        bad = BadSample(ledger.epoch, sample, shown, type(error).__name__, str(error), action)
        with self._lock:
            self.count += 1
            if len(ledger.bad) < KEPT:
                ledger.bad.append(bad)
            if len(self._first) < 10:
                self._first.append(str(error))
            if self._log is not None:
                with self._log.open("a", encoding="utf-8", errors="backslashreplace") as log:
                    log.write(json.dumps(asdict(bad)) + "\n")
            if self.count > self._limit:
                raise TooManyBadSamples.make(
                    f"{self.count} bad samples",
                    why=f"max_bad allows {self._limit:g}; the first were:\n  "
                    + "\n  ".join(self._first)
                    + "\n",
                    remedy="Repair the data set or raise max_bad.",
                )
