"""Which samples an epoch holds, and how much each weighs."""

from dataclasses import dataclass

import numpy as np

from fieldloom.errors import ArgumentError


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """The samples of an epoch.

    Attributes:
        ids: int64 (m,): sample ids; a repeated id is delivered that often, each time with different
            augmentations.
        weights: float32 (m,) with mean 1, or None for all equal.
        strength: float32 (m,), each sample's strength of augmentation (see `DataLoader.select`), or None
            for 1.
        bounds: int64 (batches + 1,), where each batch begins and the last one ends, for batches of different
            sizes (a `batch_sampler`); None: the loader's batch size cuts them. Holds without shuffling.
    """

    ids: np.ndarray
    weights: np.ndarray | None = None
    strength: np.ndarray | None = None
    bounds: np.ndarray | None = None

    @classmethod
    def checked(
        cls,
        ids: object,
        weights: object,
        n_samples: int,
        strength: object = None,
        repeats: object = None,
    ) -> "Selection":
        """Build from a user's arrays (NumPy, torch, lists; a boolean mask of all samples also works).

        Args:
            ids: Sample ids.
            weights: One number an id, scaled to mean 1 over what is delivered; None: all equal.
            n_samples: Size of the data set.
            strength: One number an id; None: all 1.
            repeats: How often each id is delivered, whole numbers; None: once.

        Raises:
            ArgumentError: Names the first bad id or weight, and the range.
        """
        array = _array(ids, "ids")
        if array.dtype == np.bool_:
            if array.shape != (n_samples,):
                raise ArgumentError.make(
                    f"select with a mask of shape {array.shape}",
                    why=f"the data set has {n_samples} samples",
                    remedy="Pass one flag a sample, or ids.",
                )
            array = np.flatnonzero(array)
        if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
            raise ArgumentError.make(
                f"select with ids of shape {array.shape} and type {array.dtype}",
                why="not a list of whole numbers",
                remedy="Pass sample ids.",
            )
        if array.size == 0:
            raise ArgumentError.make(
                "select with no ids", why="an epoch needs a sample", remedy="Pass ids, or None for all."
            )
        bad = np.flatnonzero((array < 0) | (array >= n_samples))
        if bad.size:
            raise ArgumentError.make(
                f"select with id {array[bad[0]]} (at position {bad[0]})",
                why=f"ids go from 0 to {n_samples - 1}",
                remedy="Pass ids as batches report them.",
            )
        times = _checked_repeats(repeats, array.size)
        columns = _checked_weights(weights, array.size, times), _checked_strength(strength, array.size)
        if times is None:
            return cls(array.astype(np.int64), *columns)
        repeated = (None if column is None else np.repeat(column, times) for column in columns)
        return cls(np.repeat(array.astype(np.int64), times), *repeated)

    def columns(self) -> dict[str, np.ndarray]:
        """Those of its arrays that there are, by name."""
        named = {
            "ids": self.ids, "weights": self.weights, "strength": self.strength, "bounds": self.bounds,
        }  # fmt: skip
        return {name: column for name, column in named.items() if column is not None}


#: Largest strength: twice what a recipe says, and then some.
MAX_STRENGTH = 4.0


def _checked_repeats(repeats: object, n: int) -> np.ndarray | None:
    if repeats is None:
        return None
    array = _numbers(repeats, "repeat", n)
    whole = array.astype(np.int64)
    if (whole != array).any():
        first = int(np.argmax(whole != array))
        raise ArgumentError.make(
            f"select with repeat {array[first]} (at position {first})",
            why="not a whole number",
            remedy="Pass how often each id is delivered.",
        )
    if not whole.any():
        raise ArgumentError.make(
            "select with repeats that are all 0", why="an epoch needs a sample", remedy="Pass a positive one."
        )
    return whole


def _checked_weights(weights: object, n: int, times: np.ndarray | None) -> np.ndarray | None:
    if weights is None:
        return None
    array = _numbers(weights, "weight", n)
    if times is not None and not array[times > 0].any():
        array[:] = 0
    if not array.any():
        raise ArgumentError.make(
            "select with weights that are all 0",
            why="they are scaled to mean 1",
            remedy="Pass a positive one.",
        )
    array /= array.max()  # first, so that the sum of huge weights stays finite
    mean = array.mean() if times is None else np.average(array, weights=times)
    return (array / mean).astype(np.float32)


def _checked_strength(strength: object, n: int) -> np.ndarray | None:
    if strength is None:
        return None
    array = _numbers(strength, "strength", n)
    if array.max(initial=0) > MAX_STRENGTH:
        raise ArgumentError.make(
            f"select with strength {array.max()} (at position {array.argmax()})",
            why=f"more than {MAX_STRENGTH:g} times what the recipe says",
            remedy=f"Pass numbers from 0 to {MAX_STRENGTH:g}.",
        )
    return array.astype(np.float32)


def _numbers(values: object, what: str, n: int) -> np.ndarray:
    """One finite number >= 0 for each id, float64 (n,)."""
    array = _array(values, what + "s")
    if array.dtype.kind not in "biuf":
        raise ArgumentError.make(
            f"select with {what} of type {array.dtype}", why="not numbers", remedy="Pass one number an id."
        )
    array = array.astype(np.float64)
    if array.shape != (n,):
        raise ArgumentError.make(
            f"select with {what} of shape {array.shape}",
            why=f"there are {n} ids",
            remedy=f"Pass one {what} an id.",
        )
    bad = np.flatnonzero(~np.isfinite(array) | (array < 0))
    if bad.size:
        raise ArgumentError.make(
            f"select with {what} {array[bad[0]]} (at position {bad[0]})",
            why="not a finite number >= 0",
            remedy="Mend it.",
        )
    return array


def _array(values: object, what: str) -> np.ndarray:
    # By name, so that nobody imports torch for this; losses as weights arrive with their graph, or on a GPU.
    if type(values).__module__.partition(".")[0] == "torch" and hasattr(values, "detach"):
        values = values.detach().cpu()
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        raise ArgumentError.make(
            f"select with {what} that are no array", why=str(error), remedy="Pass one flat list of numbers."
        ) from None
