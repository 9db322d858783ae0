"""Metropolis-Hastings over operations: acceptance, stationary drift, keys; the dual variable."""

import math

import numpy as np
import pytest
import torch
from policy_items import check_uniform

from fieldloom import ArgumentError
from fieldloom.policies import DualVariable, PolicyChain
from fieldloom.policies.spaces import SPACES

N = 1_000_000


def test_transitions_lean_to_high_losses() -> None:
    """With log-normal losses, the published figures (acceptance .714, means 2.32 and 2.73)."""
    chain, ids = PolicyChain(seed=7), np.arange(N)
    rng = np.random.default_rng(0)
    state = np.exp(rng.standard_normal(N))
    assert state.mean() == pytest.approx(math.exp(0.5), abs=0.01)
    for step, (mean, slack) in enumerate(((2.32, 0.02), (2.73, 0.03)), 1):
        proposal = np.exp(rng.standard_normal(N))
        taken = chain.accept(state, proposal, ids, 4, step)
        if step == 1:
            assert taken.mean() == pytest.approx(0.714, abs=0.003)
        state = np.where(taken, proposal, state)
        assert state.mean() == pytest.approx(mean, abs=slack)


def test_the_acceptance_probability_is_the_ratio() -> None:
    chain, ids = PolicyChain(), np.arange(100_000)
    taken = chain.accept(np.full(100_000, 2.0), np.full(100_000, 0.5), ids, 0)
    assert abs(taken.mean() - 0.25) < 3.9 * math.sqrt(0.1875 / 1e5)


def test_what_no_ratio_says_is_rejected() -> None:
    nan, inf = math.nan, math.inf
    now = [1.0, nan, 1.0, 0.0, 0.0, inf, 1.0, 2.0]
    new = [nan, 1.0, 0.0, 0.0, 1.0, inf, 1.0, inf]
    taken = PolicyChain().accept(torch.tensor(now), torch.tensor(new, requires_grad=True), np.arange(8), 0)
    assert taken.dtype == np.bool_
    assert taken.tolist() == [False, False, False, False, True, False, True, True]


@pytest.mark.parametrize("space", ["wide", "standard"])
def test_proposals_are_uniform(space: str) -> None:
    count, n = len(SPACES[space].ranges), 50_000
    operations, magnitudes = PolicyChain(space).propose(np.arange(n), 0)
    assert operations.shape == magnitudes.shape == (n, 1)
    bins = np.rint(magnitudes * 30).astype(np.int64)
    assert (magnitudes == bins / 30).all()
    check_uniform((operations * 31 + bins).ravel(), count * 31)


def test_what_is_drawn_depends_on_seed_epoch_id_and_step() -> None:
    chain, ids = PolicyChain(seed=3), np.arange(500)

    def draws(chain: PolicyChain, ids: np.ndarray, epoch: int, step: int) -> np.ndarray:
        operations, magnitudes = chain.propose(ids, epoch, step)
        taken = chain.accept(np.full(len(ids), 2.0), np.ones(len(ids)), ids, epoch, step)
        return np.stack([operations[:, 0], magnitudes[:, 0], taken], 1)

    base = draws(chain, ids, 2, 1)
    assert (draws(chain, ids[::-1], 2, 1)[::-1] == base).all()
    assert (draws(PolicyChain(seed=3), ids[100:117], 2, 1) == base[100:117]).all()
    for other in (
        draws(PolicyChain(seed=4), ids, 2, 1),
        draws(chain, ids, 3, 1),
        draws(chain, ids, 2, 2),
        draws(chain, ids + 500, 2, 1),
    ):
        assert (other[:, :2] != base[:, :2]).any(1).mean() > 0.9
        assert (other[:, 2] != base[:, 2]).mean() > 0.4
    assert abs(np.corrcoef(base[:, 1], base[:, 2])[0, 1]) < 0.2


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: PolicyChain("timm"), "space='timm'"),
        (lambda: PolicyChain(seed=-1), "seed=-1"),
        (lambda: PolicyChain(bins=1), "bins=1"),
        (lambda: PolicyChain().propose([-1], 0), "ids of shape"),
        (lambda: PolicyChain().propose([0.5], 0), "ids of shape"),
        (lambda: PolicyChain().propose([0], -1), "epoch=-1"),
        (lambda: PolicyChain().propose([0], 0, -1), "step=-1"),
        (lambda: PolicyChain().accept([1], [1, 2], [0], 0), r"loss_new of shape \(2,\)"),
        (lambda: PolicyChain().accept([-1], [1], [0], 0), "loss_now with -1"),
        (lambda: DualVariable(-1), "epsilon=-1"),
        (lambda: DualVariable(1, "x"), "rate='x'"),
        (lambda: DualVariable(1).update([]), "losses of shape .* there is none"),
        (lambda: DualVariable(1).update([1, math.nan]), "losses of shape .* not finite"),
    ],
)
def test_wrong_arguments(call, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        call()


def test_the_dual_variable() -> None:
    dual = DualVariable(0.5, rate=0.1)
    assert (dual.value, dual.clean_only) == (0.0, 1.0)
    assert dual.update([0.1, 0.3]) == 0.0
    assert dual.update(torch.tensor([1.5, 2.5])) == pytest.approx(0.15)
    assert dual.update([0.0]) == pytest.approx(0.1)
    assert dual.clean_only == pytest.approx(1 / 1.1)
