"""Losses of mixed samples against their formulas in float64, and their gradients."""

import numpy as np
import pytest
import torch

from fieldloom.errors import ArgumentError
from fieldloom.mixing import (
    decoupled_mixup_loss,
    jensen_shannon,
    mixed_cross_entropy,
    soft_cross_entropy,
    soft_targets,
)

N, C = 40, 7
RNG = np.random.default_rng(0)
Z = RNG.normal(0, 3, (N, C))
CLASSES = RNG.integers(0, C, (N, 2))
CLASSES[:5, 1] = CLASSES[:5, 0]  # some of one class
LAM = RNG.uniform(0, 1, N)
LAM[5:9] = 0.5, 0.0005, 0.9995, 1
WEIGHTS = np.stack([LAM, 1 - LAM], 1)


def tensors(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.tensor(Z, dtype=dtype), torch.tensor(CLASSES), torch.tensor(WEIGHTS, dtype=dtype)


def log_softmax(z: np.ndarray) -> np.ndarray:
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def dense(smoothing: float) -> np.ndarray:
    """Smoothed one-hot targets, then mixed."""
    each = np.full((N, 2, C), smoothing / C)
    for way in range(2):
        each[np.arange(N), way, CLASSES[:, way]] += 1 - smoothing
    return (WEIGHTS[:, :, None] * each).sum(1)


# ---------------------------------------------------------------- soft cross entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_soft_targets(smoothing: float) -> None:
    _, classes, weights = tensors()
    got = soft_targets(classes, weights, C, smoothing)
    np.testing.assert_allclose(got, dense(smoothing), atol=1e-12)
    np.testing.assert_allclose(got.sum(1), 1)
    assert soft_targets(classes.int(), weights.float(), C).dtype == torch.float32


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_cross_entropies(smoothing: float) -> None:
    z, classes, weights = tensors()
    want = -(dense(smoothing) * log_softmax(Z)).sum(1)
    for reduction, value in (("none", want), ("mean", want.mean()), ("sum", want.sum())):
        pairs = mixed_cross_entropy(z, classes, weights, smoothing, reduction)
        soft = soft_cross_entropy(z, soft_targets(classes, weights, C, smoothing), reduction)
        np.testing.assert_allclose(pairs, value, rtol=1e-10)
        np.testing.assert_allclose(soft, value, rtol=1e-10)


def test_an_unmixed_batch_has_the_plain_cross_entropy() -> None:
    z, classes, _ = tensors()
    same = classes[:, :1].expand(-1, 2)
    for weights in (torch.tensor([[1.0, 0.0]]).expand(N, 2), torch.tensor([[0.3, 0.7]]).expand(N, 2)):
        got = mixed_cross_entropy(z.float(), same, weights)
        torch.testing.assert_close(got, torch.nn.functional.cross_entropy(z.float(), classes[:, 0]))


def test_more_ways() -> None:
    z, _, _ = tensors()
    classes, weights = torch.randint(0, C, (N, 4)), torch.rand(N, 4).double().softmax(1)
    want = soft_cross_entropy(z, soft_targets(classes, weights, C))
    torch.testing.assert_close(mixed_cross_entropy(z, classes, weights), want)


# ---------------------------------------------------------------- decoupled mixup


def formula(eta: float, mode: str, q: float) -> np.ndarray:
    """The loss row by row, from its definition."""
    out = np.empty(N)
    for i in range(N):
        (a, b), (la, lb) = CLASSES[i], WEIGHTS[i]
        out[i] = -(la * log_softmax(Z[i])[a] + lb * log_softmax(Z[i])[b])
        if a == b or la == 0.5 or not 1e-3 < la < 1 - 1e-3:
            continue
        rest = sum(np.exp(Z[i, c]) for c in range(C) if c not in (a, b))
        for own, lam in ((a, la), (b, lb)):
            if mode == "both" or (lam < 0.5) == (mode == "less"):
                out[i] += eta * lam ** abs(q) * -np.log(np.exp(Z[i, own]) / (np.exp(Z[i, own]) + rest))
    return out


@pytest.mark.parametrize("mode", ["both", "less", "more"])
@pytest.mark.parametrize("q", [0.0, 0.5, 1.0, -1.0])
def test_decoupled(mode: str, q: float) -> None:
    got = decoupled_mixup_loss(*tensors(), eta=0.3, mode=mode, q=q, reduction="none").numpy()
    np.testing.assert_allclose(got, formula(0.3, mode, q), rtol=1e-10)
    assert abs(got - formula(0.0, mode, q)).max() > 0.01


def test_decoupled_worked_example() -> None:
    """C = 3, z = (1, 0, -1), a = 0, b = 1, lam = 0.7, constant eta = 0.1."""
    got = decoupled_mixup_loss(
        torch.tensor([[1.0, 0.0, -1.0]], dtype=torch.float64),
        torch.tensor([[0, 1]]),
        torch.tensor([[0.7, 0.3]], dtype=torch.float64),
        eta=0.1,
        q=0,
    )
    log_sum = np.log(np.e + 1 + 1 / np.e)
    terms = np.log(1 + np.exp(-2.0)) + np.log(1 + np.exp(-1.0))  # the third class alone beside each
    assert got.item() == pytest.approx(0.7 * (log_sum - 1) + 0.3 * log_sum + 0.1 * terms, rel=1e-12)


def test_decoupled_without_a_second_term() -> None:
    z, classes, weights = tensors()
    plain = mixed_cross_entropy(z, classes, weights, reduction="none")
    zero = decoupled_mixup_loss(z, classes, weights, eta=0, reduction="none")
    torch.testing.assert_close(zero, plain)
    full = decoupled_mixup_loss(z, classes, weights, eta=5, reduction="none")
    torch.testing.assert_close(full[:9], plain[:9])  # one class, a half, and both ends
    assert (full[9:] > plain[9:]).float().mean() > 0.8


@pytest.mark.parametrize("n_classes", [1, 2, 3])
def test_few_classes_have_finite_gradients(n_classes: int) -> None:
    z = torch.zeros(4, n_classes, requires_grad=True)
    classes = torch.tensor([[0, n_classes - 1], [n_classes - 1, 0], [0, 0], [0, n_classes - 1]])
    weights = torch.tensor([[0.7, 0.3], [0.2, 0.8], [0.6, 0.4], [1.0, 0.0]])
    decoupled_mixup_loss(z, classes, weights, q=0.5).backward()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()


# ---------------------------------------------------------------- Jensen-Shannon


def test_jensen_shannon() -> None:
    views = [RNG.normal(0, 3, (N, C)) for _ in range(3)]
    p = [np.exp(log_softmax(v)) for v in views]
    middle = np.clip(sum(p) / 3, 1e-7, 1)
    want = sum((q * np.log(q / middle)).sum(1).mean() for q in p) / 3
    got = jensen_shannon(*map(torch.tensor, views), weight=12.0)
    assert got.item() == pytest.approx(12 * want, rel=1e-10)
    assert jensen_shannon(*map(torch.tensor, views), weight=1.0).item() == pytest.approx(want, rel=1e-10)
    same = torch.tensor(views[0])
    assert abs(jensen_shannon(same, same, same).item()) < 1e-6  # but for the limit on the mean


def test_certain_views_have_finite_gradients() -> None:
    views = [torch.zeros(3, C) for _ in range(3)]
    for k, view in enumerate(views):
        view[:, k] = 300.0  # shares that are 0 in float32
        view.requires_grad_()
    jensen_shannon(*views).backward()
    for view in views:
        assert view.grad is not None
        assert torch.isfinite(view.grad).all()


# ---------------------------------------------------------------- gradients and types


def losses(z: torch.Tensor, classes: torch.Tensor, weights: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        "soft": soft_cross_entropy(z, soft_targets(classes, weights, C, 0.1)),
        "mixed": mixed_cross_entropy(z, classes, weights, 0.1),
        "decoupled": decoupled_mixup_loss(z, classes, weights),
        "jensen_shannon": jensen_shannon(z, 0.5 * z, z.flip(1)),
    }


@pytest.mark.parametrize("name", ["soft", "mixed", "decoupled", "jensen_shannon"])
def test_gradients(name: str) -> None:
    z, classes, weights = tensors()
    z = z[:12].requires_grad_()
    assert torch.autograd.gradcheck(lambda v: losses(v, classes[:12], weights[:12])[name], (z,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_logits_are_widened(dtype: torch.dtype) -> None:
    z, classes, weights = tensors()
    want = losses(z.to(dtype).double(), classes, weights)
    for name, value in losses(z.to(dtype), classes, weights.float()).items():
        assert value.dtype == torch.float32
        # Views are halved and turned in the logits' own type before, exactly.
        assert value.item() == pytest.approx(want[name].item(), rel=1e-4)
    extreme = torch.full((2, C), -60000.0, dtype=torch.float16)
    extreme[:, 0] = 60000
    loss = mixed_cross_entropy(extreme, torch.tensor([[0, 1]] * 2), torch.full((2, 2), 0.5))
    assert torch.isfinite(loss)


# ---------------------------------------------------------------- arguments


def test_wrong_shapes_and_options() -> None:
    z, classes, weights = tensors()
    for call, named in (
        (lambda: soft_targets(classes, weights[:, :1], C), "soft_targets"),
        (lambda: soft_targets(classes.double(), weights, C), "soft_targets"),
        (lambda: soft_targets(classes, weights, C, 1.5), "smoothing"),
        (lambda: soft_targets(classes, weights, 0), "n_classes"),
        (lambda: soft_targets(classes, weights, 2.5), "n_classes"),
        (lambda: soft_cross_entropy(z, weights), "soft_cross_entropy"),
        (lambda: soft_cross_entropy(z, torch.zeros(N, C), "median"), "reduction"),
        (lambda: mixed_cross_entropy(z[:3], classes, weights), "mixed_cross_entropy"),
        (lambda: mixed_cross_entropy(z, classes, classes), "mixed_cross_entropy"),
        (lambda: mixed_cross_entropy(z, classes, weights, -1), "smoothing"),
        (lambda: mixed_cross_entropy(z, classes, weights, reduction="x"), "reduction"),
        (lambda: decoupled_mixup_loss(z, classes[:, :1], weights[:, :1]), "decoupled_mixup_loss"),
        (lambda: decoupled_mixup_loss(z, classes, weights, mode="some"), "mode"),
        (lambda: decoupled_mixup_loss(z, classes, weights, eta=-1), "eta"),
        (lambda: decoupled_mixup_loss(z, classes, weights, q="x"), "q="),
        (lambda: jensen_shannon(z, z, z[:3]), "jensen_shannon"),
        (lambda: jensen_shannon(z, z, z, weight=-1), "weight"),
    ):
        with pytest.raises(ArgumentError, match=named):
            call()
