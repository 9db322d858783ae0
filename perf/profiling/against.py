"""The same recipe by a peer, in the same run: `--against torch|dali|albumentations|timm`."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .ours import OurTarget
from .rounds import Watch, measure_rounds
from .stream import Stream
from .sweep import warm_up
from .target import Target
from .timeline import Timeline

#: Peers that can be asked for.
PEERS = ("torch", "dali", "albumentations", "timm")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A peer's figures beside ours, from interleaved rounds.

    Attributes:
        peer: Its name.
        images_per_s: Median of its rounds; None if it could not run.
        rates: Images/s of each round.
        cpu_ms: Processor milliseconds an image, median.
        ours_per_s: Images/s of our loader, median of the rounds between.
        ours_cpu_ms: Its processor milliseconds an image.
        does: What the peer does of the recipe, and what it leaves out or does otherwise.
        error: Why it could not run, in one line, else "".
    """

    peer: str
    images_per_s: float | None
    rates: tuple[float, ...]
    cpu_ms: float | None
    ours_per_s: float | None
    ours_cpu_ms: float | None
    does: str
    error: str = ""


def compare(
    target: OurTarget,
    peers: Sequence[str],
    *,
    seconds: float,
    n_rounds: int = 3,
    tell: Callable[[str, float, float], None] = lambda text, part, rate: None,
) -> list[Comparison]:
    """Run our loader and each peer in turn, `n_rounds` times.

    A peer that is not installed, does not load, or fails, is a line with its reason.

    Args:
        target: Our loader; the peers get its data, recipe, size, batch size and threads.
        peers: Names of PEERS.
        seconds: How long each of them is measured, all rounds together.
        n_rounds: Rounds.
        tell: Told (peer, part done, images/s).
    """
    from .peers import make_peer

    ours: list[tuple[float, float]] = []
    others: dict[str, list[tuple[float, float]]] = {peer: [] for peer in peers}
    made: dict[str, Target] = {}
    does: dict[str, str] = {}
    errors: dict[str, str] = {}
    for peer in peers:
        try:
            made[peer], does[peer] = make_peer(peer, target)
        except Exception as error:  # whatever a foreign package raises while it loads
            errors[peer] = reason(error)
    each = seconds / n_rounds
    steps = n_rounds * (len(made) + 1)
    done = 0
    for _ in range(n_rounds if made else 0):
        for name, loader in (("fieldloom", target), *made.items()):
            tell(f"against: {name}", done / steps, 0.0)
            done += 1
            if name in errors:
                continue
            try:
                found = _measure(loader, each)
            except Exception as error:  # as above, while it runs
                errors[name] = reason(error)
                continue
            (ours if name == "fieldloom" else others[name]).append(found)
    return [
        Comparison(
            peer, _median(others[peer], 0), tuple(rate for rate, _ in others[peer]), _median(others[peer], 1),
            _median(ours, 0), _median(ours, 1), does.get(peer, ""), errors.get(peer, ""),
        )
        for peer in peers
    ]  # fmt: skip


def reason(error: BaseException) -> str:
    """An exception as one line."""
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text}"[:300]


def _median(figures: list[tuple[float, float]], which: int) -> float | None:
    return statistics.median(figure[which] for figure in figures) if figures else None


def _measure(target: Any, seconds: float) -> tuple[float, float]:
    with target.open() as iterable:
        stream = Stream(iterable, Timeline(limit=0))
        warm_up(stream, iterable)
        rounds = measure_rounds(stream, Watch(), seconds=seconds, batches=None, n_rounds=1)
        stream.close()
    return rounds[0].rate, 1e3 * rounds[0].cpu_s / rounds[0].images
