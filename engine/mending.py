"""What happens to the bad samples of a batch: the policy, applied."""

import numpy as np

from fieldloom.errors import SampleError
from fieldloom.kernels.fusedpass import Sources
from fieldloom.kernels.keys import Keys

from .backend import Backend
from .epoch import EpochPlan
from .ledger import BadSamples, Ledger
from .policy import BadSamplePolicy, substitutes
from .sources.base import Source
from .sources.sample import Extras
from .supply import Alone, Supply
from .work import Work

_COLUMNS = ("pointers", "heights", "widths", "strides")


class Mending:
    """Raises, leaves out, or finds a stand-in.

    Args:
        source: The data set.
        backend: Places the pixels of stand-ins.
        supply: Gives them.
        policy: What to do.
        seed: 64 bits.
    """

    def __init__(
        self, source: Source, backend: Backend, supply: Supply, policy: BadSamplePolicy, seed: int
    ) -> None:
        self._source, self._backend, self._supply = source, backend, supply
        self._policy, self._seed = policy, seed

    def keys(self, plan: EpochPlan, work: Work) -> Keys:
        """Keys of a batch as it is now."""
        return Keys(self._seed, plan.epoch, work.ids, work.occurrences, work.strength)

    def mend(
        self, plan: EpochPlan, work: Work, pixels: Sources, ledger: Ledger, bad: BadSamples
    ) -> np.ndarray:
        """Apply the policy to a batch's bad samples, stand-ins taking their places in `work` and `pixels`.

        Returns:
            bool (n,): which places are filled.

        Raises:
            SampleError: The policy is to raise, or nothing can stand in.
            TooManyBadSamples: The budget is spent.
        """
        keep = np.ones(len(work.ids), bool)
        for place in sorted(work.errors):
            keep[place] = self._mend(plan, work, place, pixels, ledger, bad)
        return keep

    def _mend(
        self, plan: EpochPlan, work: Work, place: int, pixels: Sources, ledger: Ledger, bad: BadSamples
    ) -> bool:
        error = work.errors[place]
        if self._policy.action == "raise":
            raise error
        sample = int(work.ids[place])
        bad.add(ledger, error, sample, self._source.name(sample), self._policy.action)
        if self._policy.action == "skip":
            ledger.skipped += 1
            return False
        stand_in = self.stand_in(plan, sample, int(work.occurrences[place]))
        if stand_in is None:
            raise error
        work.ids[place], work.occurrences[place], alone = stand_in  # the place keeps its weight
        work.windows.views[place], work.windows.rects[place] = alone.windows.views[0], alone.windows.rects[0]
        set_extras(work, place, alone.extras)
        placed = self._backend.place([alone.image])
        put(pixels, np.array([place]), placed)
        pixels.owner.append(placed.owner)
        ledger.substituted += 1
        return True

    def stand_in(self, plan: EpochPlan, sample: int, occurrence: int) -> tuple[int, int, Alone] | None:
        """Id, occurrence and pixels of what takes a bad sample's place; None: nothing does."""
        if self._policy.action != "substitute":
            return None
        for candidate, repeat in substitutes(plan, self._seed, sample, occurrence):
            try:
                return candidate, repeat, self._supply.alone(plan, candidate, repeat)
            except SampleError:
                continue
        return None


def no_pixels(n: int, owner: object) -> Sources:
    """A table of n images that are not there yet."""
    return Sources(
        np.zeros(n, np.uint64), np.zeros(n, np.int32), np.zeros(n, np.int32), np.zeros(n, np.int64), [owner]
    )


def put(pixels: Sources, places: np.ndarray, images: object) -> None:
    """Enter images at their places."""
    for name in _COLUMNS:
        getattr(pixels, name)[places] = getattr(images, name)


def set_extras(work: Work, place: int, extras: Extras | None) -> None:
    """What belongs to the sample at one place."""
    if extras is None and work.extras is None:
        return
    if work.extras is None:
        work.extras = [None] * len(work.ids)
    work.extras[place] = extras
