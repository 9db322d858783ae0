"""What the consumer is told when nothing comes: which stage hangs, on which sample, and what helps."""

import time
from typing import TYPE_CHECKING

from fieldloom.errors import WorkerDied, WorkerStalled

if TYPE_CHECKING:
    from .progress import Progress
    from .sources.base import Source

_REMEDIES = {
    "read": "Look at what {source} waits for (a hung network or file system, a loop), raise timeout_s, or "
    "leave the sample out with select().",
    "decode": "Lower batch_size or max_pixels, or raise timeout_s.",
    "augment": "The first batch of a recipe compiles kernels, some 20 s without a cache: raise timeout_s.",
    "start": "Raise timeout_s.",
}
_REMEDIES["substitute"] = _REMEDIES["read"]


def stalled(what: str, source: "Source", progress: "Progress") -> WorkerStalled:
    """The error of a loader from which nothing comes.

    Args:
        what: What was waited for ("no batch 3 within 30 s").
        source: Names its samples.
        progress: What is in hand.
    """
    stage, since, held = progress.current, time.monotonic() - progress.since, progress.oldest()
    remedy = _REMEDIES.get(stage, _REMEDIES["start"]).format(source=type(source).__name__)
    if held is None:
        return WorkerStalled.make(what, why=f"stage {stage} has taken {since:.1f} s", remedy=remedy)
    sample, seconds = held
    why = f"stage {stage} has had this sample in hand for {seconds:.1f} s"
    return WorkerStalled.make(what, why=why, remedy=remedy, sample=sample, file=_name(source, sample))


def died(index: int, progress: "Progress") -> WorkerDied:
    """The error of an epoch whose producing thread has gone without a word."""
    return WorkerDied.make(
        f"batch {index} will not come",
        why=f"the producing thread ended in stage {progress.current} without a result",
        remedy="Iterate again: the loader starts a new thread. Something in this process ended the old one.",
    )


def _name(source: "Source", sample: int) -> str | None:
    try:
        return source.name(sample)
    except Exception:  # a user's source that is broken already; the report shall come nevertheless
        return None
