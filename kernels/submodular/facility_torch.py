"""Facility location by tensor operations, for vectors that live on a GPU.

Plain greedy in the whole numbers of `distances`: every step works out all candidates' gains. Classes run side
by side, padded to the largest of their group. Each operation rounds by itself, as in `pairwise`, so that the
choices equal those of `facility_location` (`tests/test_facility_torch.py`, on the CPU and on a GPU).
"""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fieldloom.errors import ArgumentError

from .checks import check_budget, check_choice, check_classes
from .distances import LIMIT_BYTES
from .facility import Chosen
from .pairwise import BITS

if TYPE_CHECKING:
    import torch

#: Share of the limit for intermediate tensors; distances take the rest.
_SCRATCH = 4


def facility_location_torch(
    vectors: "torch.Tensor", budget: int, *, metric: str = "euclidean", limit_bytes: int = 8 * LIMIT_BYTES
) -> Chosen:
    """Choose samples of one class, on the device of its vectors.

    Args:
        vectors: Floating-point (m, d) on any device; worked on as float32.
        budget: Samples to choose, 1 <= budget <= m.
        metric: As for `facility_location`.
        limit_bytes: Device memory for distances and what is worked out of them.

    Returns:
        What `facility_location` with "lazy" returns.

    Raises:
        ArgumentError: An argument breaks its contract, or the m x m distances do not fit the limit.
    """
    import torch

    labels = torch.zeros(len(vectors), dtype=torch.int64, device=vectors.device)
    check_budget(budget, len(vectors))
    return facility_location_classes_torch(vectors, labels, [budget], metric=metric, limit_bytes=limit_bytes)[
        0
    ]


def facility_location_classes_torch(
    vectors: "torch.Tensor",
    labels: "torch.Tensor",
    budgets: Sequence[int] | np.ndarray,
    *,
    metric: str = "euclidean",
    limit_bytes: int = 8 * LIMIT_BYTES,
) -> list[Chosen]:
    """Choose samples of every class, each by itself, on the device of the vectors.

    Args:
        vectors: Floating-point (n, d) on any device; worked on as float32.
        labels: Integers (n,), classes from 0 on.
        budgets: Samples to choose of each class; 0 chooses none.
        metric: As for `facility_location`.
        limit_bytes: Device memory for distances and what is worked out of them.

    Returns:
        What `facility_location_classes` with "lazy" returns.

    Raises:
        ArgumentError: An argument breaks its contract, or one class's distances do not fit the limit.
    """
    import torch

    check_choice(metric, ("euclidean", "cosine"), "metric")
    if vectors.ndim != 2 or not len(vectors) or not vectors.is_floating_point():
        raise ArgumentError.make(
            "vectors must be a floating-point matrix (samples, coordinates)",
            why=f"its shape is {tuple(vectors.shape)}, its type {vectors.dtype}",
        )
    vectors = vectors.detach().to(torch.float32)
    if not bool(torch.isfinite(vectors).all()):
        raise ArgumentError.make(
            "vectors must be finite", remedy="Check the loss for divergence, or leave such samples out."
        )
    members, parts = check_classes(labels.detach().cpu().numpy(), budgets, len(vectors))
    if metric == "cosine":
        vectors = _unit_rows(vectors)
    sizes = np.array([len(own) for own in members])
    chosen = [Chosen(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0), 0.0)] * len(parts)
    for batch in _batches(sizes, parts, limit_bytes):
        rows = [members[label] for label in batch]
        tensors = [vectors[torch.as_tensor(own, device=vectors.device)] for own in rows]
        found = _choose(tensors, parts[batch], limit_bytes)
        for label, own, each in zip(batch, rows, found, strict=True):
            chosen[label] = Chosen(own[each.indices], each.weights, each.gains, each.value)
    return chosen


def _batches(sizes: np.ndarray, budgets: np.ndarray, limit_bytes: int) -> Iterator[list[int]]:
    """Classes that fit the limit together, of like sizes."""
    room, batch = limit_bytes // _SCRATCH * (_SCRATCH - 1), list[int]()
    largest = 0
    for label in np.argsort(-sizes, kind="stable").tolist():
        if budgets[label] == 0:
            continue
        if not batch:
            largest = 4 * int(sizes[label]) ** 2
            if largest > room:
                raise ArgumentError.make(
                    f"limit_bytes={limit_bytes} is too little",
                    why=f"the {sizes[label]} samples of class {label} have distances of {largest} bytes",
                    remedy="Raise limit_bytes, or use facility_location on the CPU, which works in blocks.",
                )
        batch.append(label)
        if (len(batch) + 1) * largest > room:
            yield batch
            batch = []
    if batch:
        yield batch


def _unit_rows(vectors: "torch.Tensor") -> "torch.Tensor":
    """`unit_rows`, bit for bit: squares are summed in float64, in order."""
    import torch

    doubles = vectors.double()
    squares = torch.zeros(len(vectors), dtype=torch.float64, device=vectors.device)
    for k in range(vectors.shape[1]):
        squares += doubles[:, k] * doubles[:, k]
    # NumPy's square root is IEEE's, which torch's on the CPU is not.
    on_host = squares.cpu().numpy()
    factors = np.divide(1, np.sqrt(on_host), out=np.zeros_like(on_host), where=on_host > 0)
    return (doubles * torch.as_tensor(factors, device=vectors.device)[:, None]).float()


def _distances(classes: "list[torch.Tensor]", limit_bytes: int) -> "tuple[torch.Tensor, list[float]]":
    """Distances int32 (c, m, m) in steps, and the length of a step of each class."""
    import torch

    device, d = classes[0].device, classes[0].shape[1]
    m = max(len(each) for each in classes)
    x = torch.zeros(len(classes), m, d, device=device)
    for padded, each in zip(x, classes, strict=True):
        padded[: len(each)] = each
    largest = x.abs().amax((1, 2)).tolist() if d else [0.0] * len(classes)
    exponents = [math.frexp(value)[1] for value in largest]
    x = torch.ldexp(x, torch.tensor(exponents, device=device).neg()[:, None, None])
    steps, scales, units = torch.empty(len(classes), m, m, dtype=torch.int32, device=device), [], []
    for padded, each, exponent in zip(x, classes, exponents, strict=True):
        own = padded[: len(each)]
        bound = 2.002 * math.sqrt(float(_squares(own[:1], own).max())) or 1.0
        bits = math.frexp(bound)[1]
        scales.append(2.0 ** (BITS - bits))
        units.append(math.ldexp(1.0, bits - BITS + exponent))
    for out, padded, scale in zip(steps, x, scales, strict=True):
        for rows in _row_blocks(m, 24 * m, limit_bytes):
            # torch's square root in float32 on the CPU is off by the last bit in one of six; that of float64,
            # rounded, is right.
            roots = _squares(padded[rows], padded).double().sqrt_().float()
            out[rows] = roots.mul_(scale).clamp_(max=2**BITS - 1).to(torch.int32)
    return steps, units


def _squares(rows: "torch.Tensor", x: "torch.Tensor") -> "torch.Tensor":
    import torch

    out = torch.zeros(len(rows), len(x), device=x.device)
    for k in range(x.shape[1]):
        t = x[:, k] - rows[:, k, None]
        out += t * t
    return out


def _row_blocks(m: int, row_bytes: int, limit_bytes: int) -> Iterator[slice]:
    step = max(1, limit_bytes // _SCRATCH // row_bytes)
    for first in range(0, m, step):
        yield slice(first, min(first + step, m))


def _choose(classes: "list[torch.Tensor]", budgets: np.ndarray, limit_bytes: int) -> list[Chosen]:
    """Greedy of classes side by side; what a class picks beyond its budget is let go."""
    import torch

    steps, units = _distances(classes, limit_bytes)
    n, m = steps.shape[:2]
    device = steps.device
    sizes = torch.tensor([len(each) for each in classes], device=device)
    limits = torch.as_tensor(budgets.astype(np.int64), device=device)
    real = torch.arange(m, device=device) < sizes[:, None]
    both = real[:, None, :] & real[:, :, None]
    steps.masked_fill_(~both, 0)
    del both
    largest = steps.amax((1, 2))
    nearest = torch.where(real, largest[:, None], 0)  # padding has nothing to gain
    owner = torch.full((n, m), m, device=device)
    free, each = real.clone(), torch.arange(n, device=device)
    n_steps = int(budgets.max())
    indices = torch.empty(n, n_steps, dtype=torch.int64, device=device)
    gains = torch.empty(n, n_steps, dtype=torch.int64, device=device)
    # The largest gain, then the lowest index, as one number: argmax promises no order among equals.
    shift = m.bit_length()
    tiebreak = torch.arange(m - 1, -1, -1, device=device)
    for order in range(n_steps):
        gain = torch.empty(n, m, dtype=torch.int64, device=device)
        for rows in _row_blocks(m, 16 * n * m, limit_bytes):
            gain[:, rows] = (nearest[:, None, :] - steps[:, rows]).clamp_(min=0).sum(-1, dtype=torch.int64)
        best = torch.where(free, (gain << shift) + tiebreak, -1).argmax(1)
        indices[:, order], gains[:, order] = best, gain[each, best]
        free[each, best] = False
        row = steps[each, best]
        closer = (row < nearest) | ((row == nearest) & (best[:, None] < owner))
        closer &= (order < limits)[:, None]
        nearest = torch.where(closer, row, nearest)
        owner = torch.where(closer, best[:, None], owner)
    found = []
    for c, (size, budget, unit) in enumerate(zip(sizes.tolist(), budgets.tolist(), units, strict=True)):
        own = indices[c, :budget].cpu().numpy()
        counts = np.bincount(owner[c, :size].cpu().numpy(), minlength=m)[own]
        won = gains[c, :budget].cpu().numpy()
        weights = np.maximum(counts, 1).astype(np.float32)
        found.append(Chosen(own, weights, won * unit, int(won.sum()) * unit))
    return found
