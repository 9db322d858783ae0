"""AugMix: laws of weights, depths and operations, and the layout of its programs."""

import itertools
import math

import numpy as np
import pytest
from kernel_cases import keys, ks_distance
from policy_items import IDENTITY_INDEX, ITEMS, KS_LIMIT, RANGES, SLOT, N, Z, check_uniform

from fieldloom import ArgumentError
from fieldloom.kernels.stages.augmix_draws import chain_weights, draw_chains
from fieldloom.kernels.stages.policies import Chains
from fieldloom.kernels.stages.policy_draws import draw_program, n_steps
from fieldloom.kernels.stages.policy_values import Columns
from fieldloom.kernels.stages.records import ACCUMULATE, IDENTITY, RESOLVE, RESTORE


def test_weights_are_whole_and_sum_to_one() -> None:
    for alpha, width in itertools.product((0.1, 1, 7), (1, 3, 8)):
        item = Chains(RANGES, (0.1, 0.3), alpha=alpha, width=width, slot=SLOT)
        weights = chain_weights(item, keys(500), 1)
        assert weights.shape == (500, 1 + width)
        assert (weights >= 0).all()
        assert (weights.sum(1) == 65536).all()


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_weights_have_their_law(alpha: float) -> None:
    weights = chain_weights(Chains(RANGES, (0.1, 0.3), alpha=alpha, slot=SLOT), keys(N), 0) / 65536
    clean = weights[:, 0]
    beta_variance = 1 / (4 * (2 * alpha + 1))
    assert abs(clean.mean() - 0.5) < Z * math.sqrt(beta_variance / N)
    assert abs(clean.var() / beta_variance - 1) < 0.03
    if alpha == 1:
        assert ks_distance(np.sort(clean), np.sort(clean)) < KS_LIMIT
    some = clean < 0.99
    shares = weights[some, 1:] / (1 - clean[some])[:, None]
    variance = (1 / 3) * (2 / 3) / (3 * alpha + 1)
    assert np.abs(shares.mean(0) - 1 / 3).max() < Z * math.sqrt(variance / N) + 2e-4
    assert np.abs(shares.var(0) / variance - 1).max() < 0.05
    assert abs(np.corrcoef(clean[some], shares[:, 0])[0, 1]) < Z / math.sqrt(some.sum())


def test_depths_are_uniform_and_prefixes() -> None:
    item = Chains(RANGES[3:5], (0.1, 0.3), slot=SLOT)
    on = draw_chains(item, Columns(item.ranges, 8, 8), keys(N), None, 0).operations != IDENTITY_INDEX
    on = on.reshape(N, 3, 3)
    assert (on[:, :, :-1] >= on[:, :, 1:]).all()
    depth = on.sum(2)
    assert depth.min() == 1
    check_uniform((depth - 1) @ [1, 3, 9], 27)


def test_chains_draw_uniformly_and_apart() -> None:
    item = Chains(RANGES, (0.1, 0.3), depth=2, slot=SLOT)
    drawn = draw_chains(item, Columns(RANGES, 64, 48), keys(N), None, 0)
    for step in range(6):
        check_uniform(drawn.ranges[:, step], len(RANGES))
    check_uniform(drawn.ranges[:, 1] * len(RANGES) + drawn.ranges[:, 2], len(RANGES) ** 2)
    angle = np.sort(np.abs(drawn.values[drawn.ranges == 3]))
    assert ks_distance(angle, (angle - 3) / 6) < KS_LIMIT


def test_layout_of_a_chain_program() -> None:
    item = ITEMS["chains_alpha"]
    steps = draw_program((item,), keys(50), 16, 16)
    assert steps.shape == (50, n_steps((item,))) == (50, 13)
    assert (steps["op"][:, [0, 5, 11]] == ACCUMULATE).all()
    assert (steps["op"][:, 6] == RESTORE).all()
    assert (steps["op"][:, 12] == RESOLVE).all()
    assert (steps["whole"][:, [0, 5, 11], 0].sum(1) == 65536).all()
    assert not np.isin(steps["op"][:, [1, 2, 3, 4, 7, 8, 9, 10]], [ACCUMULATE, RESTORE, RESOLVE]).any()


def test_the_first_of_several_views_is_clean() -> None:
    item = Chains(RANGES, (0.1, 0.3), views=3, slot=SLOT)
    views = [draw_program((item,), keys(50), 16, 16, view=view) for view in range(3)]
    assert (views[0]["op"] == IDENTITY).all()
    assert (views[1]["op"][:, -1] == RESOLVE).all()
    assert (views[1]["whole"][:, 0, 0] != views[2]["whole"][:, 0, 0]).mean() > 0.9
    assert (views[1]["op"] != views[2]["op"]).any(1).mean() > 0.9


def test_chains_must_come_first() -> None:
    with pytest.raises(ArgumentError, match="AugMix behind another policy"):
        n_steps((ITEMS["fixed"], ITEMS["chains"]))
    assert n_steps((ITEMS["chains"], ITEMS["fixed"])) == 16 + 2
