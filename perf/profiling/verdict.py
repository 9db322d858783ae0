"""What holds a loader back, in words: from what its stages cost to the bottleneck and the next knob."""

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Stage -> what time spent there is spent on.
_SPENT = {
    "read": "waiting for files",
    "header": "checking headers",
    "decode": "decoding images",
    "augment": "augmenting them",
    "handoff": "making batches and handing them over",
    "copy": "copying to the GPU",
    "compute": "computing in threads that cannot be seen into",
    "other": "planning and Python",
    "restart": "beginning epochs: worker processes start anew",
}
#: Below this share of the work no single stage is to blame.
CLEAR_SHARE = 0.4
#: A consumer that waits for less than this share of the time has a loader that keeps up.
KEEPS_UP = 0.2
#: A consumer that is busy for more than this share is more than a loop that only counts.
MOSTLY_WAITS = 0.1
#: From this share of `threads` processors on, the processor itself is what is short.
BUSY = 0.85
#: Others on the machine that take more than this share of its cores spoil figures.
CROWDED = 0.2


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a loader.

    Attributes:
        parts: Stage -> time on the path that limits it, in any unit.
        waited_share: Part of the time, 0..1, for which the consumer waited for batches.
        busy_cores: Processors that the loader kept busy.
        threads: Its threads or worker processes; None: not known. 0 is the consumer's own thread.
        cores: Processors that it may use.
        kind: "fieldloom", "torch", "dali" or "iterable".
        cpu_shares: Stage -> share of its processor time, where it was measured.
        images_per_s: What it delivers to a consumer that takes all at once.
        needed_per_s: What the training step would take; None without a step.
        others_cores: Processors that others kept busy meanwhile; None: not known.
        best: The best point of a sweep in words, if it is better than what was measured.
        trained: Whether the consumer was a training step; else it only counted.
        ablated: Whether its parts were run alone.
        threads_tried: Whether a sweep has found more threads to be no faster.
    """

    parts: Mapping[str, float]
    waited_share: float
    busy_cores: float
    threads: int | None
    cores: int
    kind: str = "fieldloom"
    cpu_shares: Mapping[str, float] = field(default_factory=dict)
    images_per_s: float = 0.0
    needed_per_s: float | None = None
    others_cores: float | None = None
    best: str = ""
    trained: bool = True
    ablated: bool = True
    threads_tried: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The bottleneck.

    Attributes:
        bound: A stage ("read", "decode", "augment", "handoff", "copy" ...), "compute" (somewhere that cannot
            be seen into), "consumer", "mixed", or "unknown" (nothing was measured).
        share: Part of the limiting path that it takes, 0..1; for "consumer" the part of the time for which
            the consumer was busy with its own work.
        text: Some sentences: the bottleneck, its share, what a training step needs, the knob to turn next.
    """

    bound: str
    share: float
    text: str


def judge(evidence: Evidence) -> Verdict:
    """Name the bottleneck.

    First whether the loader is one at all: a consumer that hardly ever waits has its own work to blame (the
    producer's wait for room would not tell, because behind the end of a short epoch it waits for nothing).
    Then which of its stages: stages that run beside others count only as far as these wait for them, so the
    largest part is the one whose speed-up speeds up the loader.

    Example:
        >>> seen = Evidence({"decode": 6.0, "augment": 3.0}, 0.98, 0.98, threads=1, cores=8)
        >>> judge(seen).text
        'decode-bound: 67 % of the time goes to decoding images. Raise threads (1 of 8 cores now).'
    """
    parts = {name: max(float(value), 0.0) for name, value in evidence.parts.items()}
    total = sum(parts.values())
    busy_share = 1 - min(max(evidence.waited_share, 0.0), 1.0)
    if busy_share > 1 - KEEPS_UP:
        knob = (
            "Speed up the training step; the loader could give up threads."
            if evidence.trained
            else "Batches come faster than they are counted: give your step with --train-step."
        )
        text = (
            f"consumer-bound: {100 * busy_share:.0f} % of the time is spent with the batches; "
            f"the loader keeps up.{_need(evidence)} {knob}"
        )
        return Verdict("consumer", busy_share, text + _crowd(evidence))
    if total <= 0:
        why = "no batch was produced" if evidence.images_per_s <= 0 else "its stages cannot be told apart"
        knob = "Measure more batches" + ("." if evidence.ablated else ", and without --no-ablation.")
        return Verdict("unknown", 0.0, f"unknown: {why}. {knob}{_need(evidence)}{_tail(evidence)}")
    largest = max(parts, key=lambda name: parts[name])
    share = parts[largest] / total
    if share < CLEAR_SHARE:
        shown = ", ".join(f"{name} {100 * value / total:.0f} %" for name, value in parts.items())
        text = f"mixed: no stage stands out ({shown}).{_need(evidence)} {_more(evidence)}"
        return Verdict("mixed", share, text + _tail(evidence))
    text = f"{largest}-bound: {100 * share:.0f} % of the time goes to {_SPENT.get(largest, largest)}"
    if largest in evidence.cpu_shares and largest not in ("read", "copy"):
        text += f" ({100 * evidence.cpu_shares[largest]:.0f} % of CPU time)"
    if busy_share > MOSTLY_WAITS:
        text += f"; the consumer waits for {100 * (1 - busy_share):.0f} % of its time"
    return Verdict(largest, share, f"{text}.{_need(evidence)} {_knob(largest, evidence)}{_tail(evidence)}")


def _need(evidence: Evidence) -> str:
    if evidence.needed_per_s is None:
        return ""
    return (
        f" Your step needs {evidence.needed_per_s:,.0f} images/s, "
        f"the loader has {evidence.images_per_s:,.0f}."
    )


def _tail(evidence: Evidence) -> str:
    return (f" {evidence.best}" if evidence.best else "") + _crowd(evidence)


def _crowd(evidence: Evidence) -> str:
    others = evidence.others_cores
    if others is None or others < CROWDED * evidence.cores:
        return ""
    return f" Others kept {others:.1f} of {evidence.cores} cores busy meanwhile: measure again alone."


def _threads_word(kind: str) -> str:
    return {"torch": "num_workers", "dali": "num_threads"}.get(kind, "threads")


def _is_busy(evidence: Evidence) -> bool:
    usable = min(evidence.threads or 1, evidence.cores)
    # What others take is as little to be had as what the loader takes itself.
    return evidence.busy_cores + (evidence.others_cores or 0.0) >= BUSY * usable


def _more(evidence: Evidence) -> str:
    word, cores = _threads_word(evidence.kind), evidence.cores
    if evidence.threads_tried:
        return f"More {word} were no faster in the sweep: less work an image, or larger batches, may help."
    if evidence.threads is not None and evidence.threads < cores:
        return f"Raise {word} ({evidence.threads} of {cores} cores now)."
    if _is_busy(evidence):
        return f"All {cores} cores are busy: only more cores, or less work an image, help."
    return f"The {cores} cores are not all busy: something else runs here, or the storage is slow."


def _knob(stage: str, evidence: Evidence) -> str:
    word, cores = _threads_word(evidence.kind), evidence.cores
    if stage == "read":
        return (
            "Put the data on a local disk, or pack small files together."
            if evidence.threads_tried
            else "Put the data on a local disk, pack small files together, or raise "
            f"{word} beyond the cores to read more at once."
        )
    if stage == "handoff":
        return "Make larger batches, hand over uint8 and convert on the GPU, and keep Python objects out."
    if stage == "copy":
        return "Hand over uint8 instead of float32 (a quarter of the bytes), from pinned memory."
    if stage == "restart":
        return "Keep the workers (persistent_workers=True), or let an epoch go over the data several times."
    spare = evidence.threads is not None and evidence.threads < cores
    if stage in ("compute", "header", "other") or spare or evidence.threads_tried or not _is_busy(evidence):
        return _more(evidence)
    if stage == "decode":
        if evidence.kind == "fieldloom":
            return (
                f"All {cores} cores are busy: `fieldloom pack` decodes and shrinks the data set once; "
                "else store images smaller, or use more cores."
            )
        return (
            f"All {cores} cores are busy: store the images smaller (a shorter side of about twice the output "
            "size loses little), decode only the crop, or use more cores."
        )
    if evidence.kind == "fieldloom":
        return (
            f"All {cores} cores are busy: take dtype=bfloat16 or uint8 (less to write), a smaller size, or a "
            "lower p of the fields; or use more cores."
        )
    return (
        f"All {cores} cores are busy: augment whole batches instead of one image after the other, take a "
        "smaller size, or use more cores."
    )
