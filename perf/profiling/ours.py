"""Our own loader as a target: it tells its stages, and its parts can be run alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

from .settings import Settings
from .stages import Ablation
from .target import Target

#: What is reported of `fieldloom.timings.Timings`.
STAGES = ("read", "decode", "augment", "deliver", "consumer")
_FIELDS = {"threads": "threads", "batch": "batch_size", "prefetch": "prefetch"}


def _item(item: Any) -> str:
    return item if isinstance(item, str) else type(item).__name__


class StageClock:
    """Sums the loader's timings, which start anew with every epoch, while epochs pass by."""

    def __init__(self) -> None:
        self._epochs: list[Any] = []

    def see(self, timings: Any) -> None:
        """Take note of the epoch under way; call it behind each batch."""
        if not self._epochs or self._epochs[-1] is not timings:
            self._epochs.append(timings)

    def seconds(self) -> dict[str, float]:
        """Seconds of each stage so far."""
        return {name: sum(getattr(timings, name) for timings in self._epochs) for name in STAGES}


class OurTarget(Target):
    """`fieldloom.DataLoader` over a data set.

    Args:
        source: As for `DataLoader`; opened once.
        settings: How it is loaded.
        name: What people call the data set.

    Attributes:
        source: The open source.
        settings: How it is loaded; threads and device filled in once it was opened.
        loader: The loader while the target is open.
    """

    kind = "fieldloom"

    def __init__(self, source: Any, settings: Settings, name: str) -> None:
        from fieldloom.sources import open_source

        self.source, self.settings, self.name = open_source(source), settings, name
        self.loader: Any = None

    @contextmanager
    def open(self) -> Iterator[Any]:
        """A loader that shuffles; closed behind the block."""
        import fieldloom as fl

        settings = self.settings
        with fl.DataLoader(
            self.source, batch_size=settings.batch_size, size=settings.size, shuffle=True, seed=settings.seed,
            device=settings.device, threads=settings.threads, augment=settings.recipe,
            prefetch=settings.prefetch, dtype=settings.dtype, layout=settings.layout,
            on_bad_sample=settings.on_bad_sample,
        ) as loader:  # fmt: skip
            self.settings = replace(settings, threads=loader.threads, device=loader.device)
            self.loader = loader
            try:
                yield loader
            finally:
                self.loader = None

    @property
    def workers(self) -> int | None:
        """Threads of each stage."""
        return self.settings.threads

    @property
    def batch_size(self) -> int | None:
        """Samples of a batch."""
        return self.settings.batch_size

    def describe(self) -> dict[str, Any]:
        """What was measured, ready for JSON."""
        recipe = self.settings.recipe
        shown = recipe if isinstance(recipe, str) else [_item(item) for item in recipe]
        return {
            **super().describe(),
            **{field.name: getattr(self.settings, field.name) for field in fields(self.settings)},
            "recipe": shown,
            "n_samples": len(self.source),
            "source": type(self.source).__name__,
            "stored": self.source.stored,
        }

    def vary(self, axes: Mapping[str, int]) -> Target:
        """See `Target.vary`."""
        changed = {_FIELDS[axis]: value for axis, value in axes.items()}
        return OurTarget(self.source, replace(self.settings, **changed), self.name)  # type: ignore[arg-type]

    def ablate(self, seconds: float) -> Ablation:
        """Read, check, decode and augment a part of the samples, each by itself."""
        from .our_ablation import ablate_source

        return ablate_source(self.source, self.settings, seconds)
