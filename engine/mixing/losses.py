"""Losses that go with mixing: torch functions of logits, class pairs and weights (`batch.mix`).

All compute in float32 at least, whatever the logits' type, and are differentiable in the logits.
"""

from typing import TYPE_CHECKING

from fieldloom.errors import ArgumentError
from fieldloom.options import choice, number, whole_number

if TYPE_CHECKING:
    import torch

_REDUCTIONS = ("mean", "sum", "none")


def soft_targets(
    classes: "torch.Tensor", weights: "torch.Tensor", n_classes: int, smoothing: float = 0.0
) -> "torch.Tensor":
    """Dense targets from class indices and weights.

    Args:
        classes: Integers (n, ways) from 0 to n_classes - 1; a class may stand twice in a row.
        weights: Float (n, ways); rows sum to 1.
        n_classes: Columns of the result.
        smoothing: Label smoothing s: before mixing a class has 1 - s + s / n_classes, others s / n_classes.

    Returns:
        float32 (n, n_classes), or the weights' type; rows sum to 1.

    Raises:
        ArgumentError: Shapes that do not fit, or an option out of range.

    Source: the smoothing of Inception v3 (arXiv 1512.00567) and the order of timm: smoothed, then mixed.
    """
    _check_pairs("soft_targets", classes, weights)
    n_classes = whole_number("soft_targets", "n_classes", n_classes, 1, 2**31)
    smoothing = number("soft_targets", "smoothing", smoothing, 0, 1)
    off = smoothing / n_classes
    targets = weights.new_full((len(classes), n_classes), off)
    return targets.scatter_add(1, classes.long(), weights * (1 - smoothing))


def soft_cross_entropy(
    logits: "torch.Tensor", targets: "torch.Tensor", reduction: str = "mean"
) -> "torch.Tensor":
    """Cross entropy against dense targets: -sum over c of t_c log softmax(z)_c.

    Args:
        logits: Float (n, n_classes).
        targets: Float (n, n_classes), such as `soft_targets` makes.
        reduction: "mean" or "sum" over the batch, or "none".

    Raises:
        ArgumentError: Shapes differ.
    """
    if logits.shape != targets.shape or logits.ndim != 2:
        raise ArgumentError.make(
            f"soft_cross_entropy logits {tuple(logits.shape)}, targets {tuple(targets.shape)}",
            why="not the same (n, n_classes)",
            remedy="Make targets by soft_targets(classes, weights, n_classes).",
        )
    loss = -(targets * _log_softmax(logits)).sum(1)
    return _reduced("soft_cross_entropy", loss, reduction)


def mixed_cross_entropy(
    logits: "torch.Tensor",
    classes: "torch.Tensor",
    weights: "torch.Tensor",
    smoothing: float = 0.0,
    reduction: str = "mean",
) -> "torch.Tensor":
    """Cross entropy of mixed samples, from class pairs: `soft_cross_entropy` without dense targets.

    Args:
        logits: Float (n, n_classes).
        classes: Integers (n, ways), as in `batch.mix`.
        weights: Float (n, ways); rows sum to 1.
        smoothing: As for `soft_targets`.
        reduction: "mean" or "sum" over the batch, or "none".

    Raises:
        ArgumentError: Shapes that do not fit.

    Example:
        >>> import torch
        >>> from fieldloom.mixing import mixed_cross_entropy
        >>> loss = mixed_cross_entropy(torch.zeros(1, 4), torch.tensor([[0, 2]]), torch.tensor([[0.7, 0.3]]))
        >>> round(loss.item(), 4)
        1.3863
    """
    _check_pairs("mixed_cross_entropy", classes, weights, logits)
    smoothing = number("mixed_cross_entropy", "smoothing", smoothing, 0, 1)
    log_p = _log_softmax(logits)
    loss = -(weights * log_p.gather(1, classes.long())).sum(1)
    if smoothing:
        loss = (1 - smoothing) * loss - smoothing * log_p.mean(1)
    return _reduced("mixed_cross_entropy", loss, reduction)


def decoupled_mixup_loss(
    logits: "torch.Tensor",
    classes: "torch.Tensor",
    weights: "torch.Tensor",
    eta: float = 0.1,
    mode: str = "both",
    q: float = 1.0,
    reduction: str = "mean",
) -> "torch.Tensor":
    """Mixed cross entropy plus a term that lets each mixed class ignore the other.

    L = CE + sum over i in {a, b} of eta lam_i^|q| l_i, with
    l_i = -log(e^z_i / (e^z_i + sum of e^z_c over c other than a, b)).

    Rows with a = b, with lam exactly 1/2, or with lam outside (0.001, 0.999) have no second term.

    Args:
        logits: Float (n, n_classes).
        classes: Integers (n, 2): a and b.
        weights: Float (n, 2): lam and 1 - lam.
        eta: Weight of the term; the published settings on CIFAR-100 are 0.01 to 0.5.
        mode: "both" classes, or only the one with "less" or "more" weight.
        q: Exponent of the weights; 0: none.
        reduction: "mean" or "sum" over the batch, or "none".

    Raises:
        ArgumentError: Shapes that do not fit, or an option out of range.

    Source: Liu et al., Decoupled Mixup, arXiv 2203.10761. (The published code may swap the two weights of a
    row; here each class has its own.)
    """
    import torch

    owner = "decoupled_mixup_loss"
    _check_pairs(owner, classes, weights, logits, ways=2)
    choice(owner, "mode", mode, ("both", "less", "more"))
    eta, q = number(owner, "eta", eta, 0, 1e6), number(owner, "q", q, -1e3, 1e3)
    loss = mixed_cross_entropy(logits, classes, weights, reduction="none")
    classes = classes.long()
    first, second = classes.unbind(1)
    lam = weights[:, 0]
    acts = (first != second) & (lam > 1e-3) & (lam < 1 - 1e-3) & (lam != 0.5)
    z = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    for way in range(2):
        own, other = classes[:, way : way + 1], classes[:, 1 - way : 2 - way]
        # Where a = b nothing is removed: the row is not used, and a row without any class has no gradient.
        hidden = torch.zeros_like(z, dtype=torch.bool).scatter_(1, other, (own != other))
        term = z.masked_fill(hidden, -torch.inf).logsumexp(1) - z.gather(1, own)[:, 0]
        weight = weights[:, way]
        used = acts
        if mode != "both":
            used = acts & ((weight < 0.5) == (mode == "less"))
        factor = torch.where(used, weight, torch.ones_like(weight)).abs() ** abs(q)
        loss = loss + torch.where(used, eta * factor * term, torch.zeros_like(term))
    return _reduced(owner, loss, reduction)


def jensen_shannon(
    logits_clean: "torch.Tensor", logits_1: "torch.Tensor", logits_2: "torch.Tensor", weight: float = 12.0
) -> "torch.Tensor":
    """AugMix's consistency of three views: weight times their Jensen-Shannon divergence, mean of the batch.

    The divergence is the mean of KL(p_i || m) over the three distributions p_i, with m their mean, limited to
    at least 1e-7. Add it to the cross entropy of the clean view.

    Args:
        logits_clean: Float (n, n_classes).
        logits_1: Likewise, of the first augmented view.
        logits_2: Likewise, of the second.
        weight: 12 in the paper.

    Raises:
        ArgumentError: Shapes differ.

    Source: Hendrycks et al., AugMix, arXiv 1912.02781.
    """
    weight = number("jensen_shannon", "weight", weight, 0, 1e6)
    views = (logits_clean, logits_1, logits_2)
    if logits_clean.ndim != 2 or any(view.shape != logits_clean.shape for view in views):
        raise ArgumentError.make(
            f"jensen_shannon logits {', '.join(str(tuple(view.shape)) for view in views)}",
            why="not three of the same (n, n_classes)",
            remedy="Pass the three views' logits, row by row the same samples.",
        )
    logs = [_log_softmax(view) for view in views]
    shares = [log_p.exp() for log_p in logs]
    middle = (sum(shares[1:], shares[0]) / 3).clamp(1e-7, 1).log()
    divergence = sum(
        ((p * (log_p - middle)).sum(1) for p, log_p in zip(shares[1:], logs[1:], strict=True)),
        (shares[0] * (logs[0] - middle)).sum(1),
    )
    return weight * divergence.mean() / 3


def _log_softmax(logits: "torch.Tensor") -> "torch.Tensor":
    import torch

    wide = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    return wide.log_softmax(1)


def _reduced(owner: str, loss: "torch.Tensor", reduction: str) -> "torch.Tensor":
    choice(owner, "reduction", reduction, _REDUCTIONS)
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


def _check_pairs(
    owner: str,
    classes: "torch.Tensor",
    weights: "torch.Tensor",
    logits: "torch.Tensor | None" = None,
    ways: int | None = None,
) -> None:
    fits = classes.ndim == 2 and classes.shape == weights.shape and weights.is_floating_point()
    fits = fits and not classes.is_floating_point() and ways in (None, classes.shape[1])
    if logits is not None:
        fits = fits and logits.ndim == 2 and len(logits) == len(classes)
    if not fits:
        shown = "" if logits is None else f"logits {tuple(logits.shape)}, "
        raise ArgumentError.make(
            f"{owner} {shown}classes {tuple(classes.shape)} of {classes.dtype}, "
            f"weights {tuple(weights.shape)} of {weights.dtype}",
            why=f"not integers and floats (n, {ways or 'ways'})"
            + (", and logits (n, n_classes)" if logits is not None else ""),
            remedy="Pass batch.mix.classes and batch.mix.weights.",
        )
