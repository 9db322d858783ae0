"""Whether a recipe fits the data set and the batches, and by what a saved state knows it."""

import hashlib
import warnings
from typing import Any

import numpy as np

from fieldloom.errors import ArgumentError
from fieldloom.kernels.plan import PassPlan


def recipe_digest(plan: PassPlan) -> str:
    """Hash of a recipe; of arrays in it only the shapes, since users change policies while they train."""
    with np.printoptions(threshold=0, edgeitems=1, formatter={"all": lambda _: "."}):
        return hashlib.sha256(repr(plan).encode()).hexdigest()[:16]


def warn_of_cut_groups(plan: PassPlan, batch_size: int) -> None:
    """Say when batches cut mixing groups apart: mixed images depend on the batch size then."""
    if plan.mixing is not None and batch_size % plan.mixing.group:
        warnings.warn(
            f"batch_size={batch_size} is not a multiple of mix_group={plan.mixing.group}: mixing partners "
            "are found within each batch, so mixed images depend on the batch size",
            UserWarning,
            stacklevel=3,
        )


def refuse_masks(source: Any, plan: PassPlan) -> None:
    """Masks must follow all that moves pixels."""
    reason = plan.maps_follow() if getattr(source, "has_masks", False) else None
    if reason is not None:
        raise ArgumentError.make(
            "this recipe cannot be used with masks",
            why=reason,
            remedy="Move pixels by crops, flips, RandomAffine and RandomField, which take masks along.",
        )
