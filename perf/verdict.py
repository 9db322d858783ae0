"""What holds a loader back, in words: from the seconds of its stages to the stage and the next knob."""

from collections.abc import Mapping
from dataclasses import dataclass

#: Stages in which the producing thread works, or waits for others to work for it.
WORK = ("read", "decode", "augment")
_SPENT = {
    "read": "waiting for files",
    "decode": "waiting for JPEG decoding",
    "augment": "the fused pass",
}
#: Below this share of the work no single stage is to blame.
CLEAR_SHARE = 0.4
#: A consumer that waits for less than this share of the time has a loader that keeps up.
KEEPS_UP = 0.2
#: A consumer that is busy for more than this share is more than a loop that only counts.
MOSTLY_WAITS = 0.1
#: From this share of `threads` processors on, the processor itself is what is short.
BUSY = 0.85


@dataclass(frozen=True, slots=True)
class Verdict:
    """The bottleneck.

    Attributes:
        bound: "read", "decode", "augment", "consumer", "mixed", or "unknown" (nothing was measured).
        share: Part of the producing thread's work that its stage takes, 0..1; for "consumer" the part of the
            time for which the consumer was busy with its own work.
        text: One or two sentences: the bottleneck, its share, and the knob to turn next.
    """

    bound: str
    share: float
    text: str


def judge(stages: Mapping[str, float], *, wall_s: float, cpu_s: float, threads: int, cores: int) -> Verdict:
    """Name the bottleneck.

    First whether the loader is one at all: a consumer that hardly ever waits has its own work to blame (the
    producer's wait for room would not tell, because behind the end of a short epoch it waits for nothing).
    Then which of its stages: decoding runs beside the fused pass, so "decode" is only the time for which
    the pass had to wait for it, and the largest stage is the one whose speed-up speeds up the loader.

    Args:
        stages: Seconds of the producing thread under the names of WORK, and under "consumer" how long the
            consumer waited for batches. Other names are ignored.
        wall_s: Seconds that the measurement took.
        cpu_s: Processor seconds of the process meanwhile.
        threads: The loader's `threads`.
        cores: Processors that the process may use.

    Example:
        >>> seconds = {"decode": 6.0, "augment": 3.0, "consumer": 9.4}
        >>> judge(seconds, wall_s=9.5, cpu_s=9.3, threads=1, cores=8).text
        'decode-bound: 67 % of the time goes to waiting for JPEG decoding. Raise threads (1 of 8 cores now).'
    """
    seconds = {name: max(float(stages.get(name, 0.0)), 0.0) for name in WORK}
    total = sum(seconds.values())
    if total <= 0 or wall_s <= 0:
        return Verdict("unknown", 0.0, "unknown: no batch was produced. Measure more batches.")
    consumer_share = 1 - min(max(stages["consumer"] / wall_s, 0.0), 1.0)
    if consumer_share > 1 - KEEPS_UP:
        text = (
            f"consumer-bound: {100 * consumer_share:.0f} % of the time is spent with the batches; "
            "the loader keeps up. Speed up the training step; the loader could give up threads."
        )
        return Verdict("consumer", consumer_share, text)
    largest = max(seconds, key=lambda name: seconds[name])
    share = seconds[largest] / total
    busy = cpu_s / wall_s >= BUSY * min(threads, cores)
    if share < CLEAR_SHARE:
        parts = ", ".join(f"{name} {100 * s / total:.0f} %" for name, s in seconds.items())
        return Verdict("mixed", share, f"mixed: no stage stands out ({parts}). {_more(threads, cores, busy)}")
    text = f"{largest}-bound: {100 * share:.0f} % of the time goes to {_SPENT[largest]}. "
    if consumer_share > MOSTLY_WAITS:
        text = text[:-2] + f"; the consumer waits for {100 * (1 - consumer_share):.0f} % of its time. "
    return Verdict(largest, share, text + _knob(largest, threads, cores, busy))


def _more(threads: int, cores: int, busy: bool) -> str:
    if threads < cores:
        return f"Raise threads ({threads} of {cores} cores now)."
    if busy:
        return f"All {cores} cores are busy: only more cores, or less work an image, help."
    return f"The {cores} cores are not all busy: something else runs here, or the storage is slow."


def _knob(stage: str, threads: int, cores: int, busy: bool) -> str:
    if stage == "read":
        return (
            "Put the data on a local disk, pack small files together, or raise threads to read more at once."
        )
    if threads < cores or not busy:
        return _more(threads, cores, busy)
    if stage == "decode":
        return (
            f"All {cores} cores are busy: store the images smaller (a shorter side of about twice the output "
            "size loses little), or use more cores."
        )
    return (
        f"All {cores} cores are busy: take dtype=bfloat16 or uint8 (less to write), a smaller size, or a "
        "lower p of the fields; or use more cores."
    )
