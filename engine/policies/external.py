"""Policies that the user's training loop controls: probabilities and magnitudes for each sample."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fieldloom.errors import ArgumentError
from fieldloom.kernels.stages.policies import PerSample
from fieldloom.options import choice, color, is_number, number, whole_number

from .operations import INTERPOLATIONS
from .spaces import SPACES

#: MADAug's operations in the order of its policy head's outputs.
MADAUG_OPERATIONS = tuple(range_.operation for range_ in SPACES["madaug"].ranges)


@dataclass(frozen=True, slots=True, eq=False)
class SamplePolicy:
    """`k` different operations for each sample, by probabilities and at magnitudes of its own (MADAug).

    Args:
        probabilities: Array (n_samples, n_operations), or (n_operations,) for all samples alike: weights
            >= 0, some of each row positive; they need not sum to 1. Looked up by sample id.
        magnitudes: Array of the same shape, in [0, 1]: where in the operation's range.
        k: Operations an image, drawn one after the other without replacement, and applied in that order.
        jitter: Each magnitude moves by U(-jitter, jitter) and is clipped to [0, 1] (published: 0.3).
        fraction: Share of the samples that the policy acts on, drawn for each; or "tanh", the published
            curriculum min(tanh(epoch / tau) + 0.01, 1).
        tau: Epochs of the curriculum (published: 40).
        operations: Names of the columns, in order; all of `MADAUG_OPERATIONS` by default.
        interpolation: "nearest" as published, or "bilinear".
        fill: RGB 0..255, or one number, of what lies outside the image; cutouts are (125, 123, 114).

    With m the magnitude: shears -0.3 + 0.6 m, translations (-0.45 + 0.9 m) of the side, rotate -30 + 60 m
    degrees, each mirrored by a fair coin; solarize 256 m; posterize int(4 + 4 m); factors 0.1 + 1.8 m;
    cutout 0.2 m of the shorter side; autocontrast, invert, equalize, horizontal_flip, identity. Per-sample
    strength multiplies each magnitude's distance from doing nothing.

    The arrays are copied. `update` replaces them; call it between epochs, since batches are drawn ahead of
    their delivery: so every batch of an epoch is a function of the arrays that the epoch began with.

    Launches: one for the whole program, whatever its length.
    Source: MADAug (JackHck/MADAug: adaptive_augmentor.py, operation.py).
    Exactness: equal bit for bit to Pillow's operations in order (boxes of cutouts end at whole pixels).

    Raises:
        ArgumentError: Names the option, the first bad row and its value.

    Example:
        >>> import numpy as np
        >>> import fieldloom as fl
        >>> weights = np.ones((100, len(fl.MADAUG_OPERATIONS)))
        >>> policy = fl.SamplePolicy(weights, np.full_like(weights, 0.5), k=2, jitter=0.3)
        >>> policy.update(weights, np.full_like(weights, 0.7))
    """

    probabilities: Any = field(repr=False)
    magnitudes: Any = field(repr=False)
    k: int = 2
    jitter: float = 0.0
    fraction: float | str = 1.0
    tau: float = 40.0
    operations: Sequence[str] = MADAUG_OPERATIONS
    interpolation: str = "nearest"
    fill: tuple[float, float, float] | float = 0.0

    def __post_init__(self) -> None:
        names = checked_names("SamplePolicy", self.operations, "madaug")
        object.__setattr__(self, "operations", names)
        probabilities, magnitudes = _checked_arrays(self.probabilities, self.magnitudes, len(names))
        object.__setattr__(self, "probabilities", probabilities)
        object.__setattr__(self, "magnitudes", magnitudes)
        object.__setattr__(self, "k", whole_number(self, "k", self.k, 1, len(names)))
        object.__setattr__(self, "jitter", number(self, "jitter", self.jitter, 0, 1))
        if is_number(self.fraction):
            object.__setattr__(self, "fraction", number(self, "fraction", self.fraction, 0, 1))
        elif not isinstance(self.fraction, str) or self.fraction != "tanh":
            raise ArgumentError.make(
                f"SamplePolicy fraction={self.fraction!r}",
                why='not a number from 0 to 1, nor "tanh"',
                remedy="Pass the share of samples that the policy acts on.",
            )
        object.__setattr__(self, "tau", number(self, "tau", self.tau, 1e-3, 1e6))
        choice(self, "interpolation", self.interpolation, INTERPOLATIONS)
        object.__setattr__(self, "fill", color(self, "fill", self.fill))

    def update(self, probabilities: Any, magnitudes: Any) -> None:
        """Replace both arrays by others of the same shapes, for batches that are drawn from now on.

        Args:
            probabilities: As for the class; NumPy, or torch on any device.
            magnitudes: Likewise.

        Raises:
            ArgumentError: As for the class, or the number of samples differs.
        """
        new = _checked_arrays(probabilities, magnitudes, len(self.operations))
        if new[0].shape != self.probabilities.shape:
            raise ArgumentError.make(
                f"SamplePolicy update with {len(new[0])} rows",
                why=f"it was made with {len(self.probabilities)}",
                remedy="Keep one row for each sample.",
            )
        self.probabilities[...], self.magnitudes[...] = new

    def item(self, slot: int) -> PerSample:
        """What the kernels draw from: the same arrays, so that updates reach it."""
        space = SPACES["madaug"]
        scheduled = not is_number(self.fraction)
        return PerSample(
            tuple(space.range_of(name) for name in self.operations),
            self.probabilities, self.magnitudes, self.k, self.jitter,
            fraction=1.0 if scheduled else float(self.fraction), tau=self.tau if scheduled else 0.0,
            bilinear=self.interpolation == "bilinear", fill=color(self, "fill", self.fill), slot=slot,
        )  # fmt: skip


def checked_names(owner: str, names: object, space: str) -> tuple[str, ...]:
    """Different names of a space's operations, or an error that names the wrong one."""
    known = [range_.operation for range_ in SPACES[space].ranges]
    if isinstance(names, str) or not isinstance(names, Sequence) or not names:
        raise ArgumentError.make(
            f"{owner} operations={names!r}", why="not a list of names", remedy=f"Known: {', '.join(known)}."
        )
    for name in names:
        if name not in known or list(names).count(name) > 1:
            raise ArgumentError.make(
                f"{owner} operations with {name!r}",
                why="named twice" if name in known else "not known",
                remedy=f"Pass some of {', '.join(known)}, each once.",
            )
    return tuple(names)


def on_host(values: Any) -> np.ndarray:
    """Values of any library as an array on the host."""
    # By name, so that nobody imports torch for this.
    if type(values).__module__.partition(".")[0] == "torch" and hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.double() if values.is_floating_point() else values  # NumPy knows no bfloat16
    return np.asarray(values)


def to_array(owner: str, option: str, values: Any) -> np.ndarray:
    """Numbers of any library as float64 on the host."""
    try:
        array = on_host(values)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"of type {array.dtype}")
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentError.make(
            f"{owner} {option} that are no numbers", why=str(error), remedy="Pass an array of numbers."
        ) from None


def check_within(owner: str, option: str, array: np.ndarray, low: float, high: float) -> None:
    """Refuse numbers outside [low, high] (NaN is), naming the first and its place."""
    bad = np.argwhere(~((array >= low) & (array <= high)))
    if len(bad):
        place = tuple(int(i) for i in bad[0])
        raise ArgumentError.make(
            f"{owner} {option} with {array[place]} at {list(place)}",
            why=f"not a number from {low:g} to {high:g}",
            remedy=f"Mend the {option}.",
        )


def _checked_arrays(probabilities: Any, magnitudes: Any, n_operations: int) -> tuple[np.ndarray, np.ndarray]:
    arrays = []
    for option, values in (("probabilities", probabilities), ("magnitudes", magnitudes)):
        array = to_array("SamplePolicy", option, values)
        array = array[None] if array.ndim == 1 else array
        if array.ndim != 2 or array.shape[1] != n_operations or not len(array):
            raise ArgumentError.make(
                f"SamplePolicy {option} of shape {array.shape}",
                why=f"not (n_samples, {n_operations}), one column an operation",
                remedy="Give each operation of `operations` a column.",
            )
        check_within("SamplePolicy", option, array, 0, 1 if option == "magnitudes" else 1e30)
        arrays.append(array)
    if arrays[0].shape != arrays[1].shape:
        raise ArgumentError.make(
            f"SamplePolicy magnitudes of {len(arrays[1])} rows",
            why=f"probabilities have {len(arrays[0])}",
            remedy="Pass arrays of one shape.",
        )
    # Of each row the largest is 1: nothing that is positive in float64 may vanish in float32 with its row.
    largest = arrays[0].max(1, keepdims=True)
    if not largest.all():
        raise ArgumentError.make(
            f"SamplePolicy probabilities of row {int(np.argmin(largest))}, which are all 0",
            why="an operation is drawn by them",
            remedy='Give "identity" the weight 1.',
        )
    return (arrays[0] / largest).astype(np.float32), arrays[1].astype(np.float32)
