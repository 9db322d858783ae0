"""Laws of drawn programs: operations, levels, signs, gates, strength, weights; and what they depend on.

Seeds are fixed. Limits are those that a right law exceeds once in 10 000 draws of the seed.
"""

import math
import weakref

import numpy as np
import pytest
from kernel_cases import keys, ks_distance
from policy_items import (
    EVERYTHING,
    IDENTITY_INDEX,
    ITEMS,
    KS_LIMIT,
    PAIRS,
    RANGES,
    SLOT,
    N,
    Z,
    check_uniform,
    z_score,
)

from fieldloom import ArgumentError
from fieldloom.kernels.keys import Keys
from fieldloom.kernels.philox import slot_of
from fieldloom.kernels.stages.operations import OPERATIONS, operation_index
from fieldloom.kernels.stages.policies import NEUTRAL, PerSample, Pick, Range
from fieldloom.kernels.stages.policy_draws import draw_operations, draw_program, n_steps
from fieldloom.kernels.stages.policy_values import Columns, index_below
from fieldloom.kernels.stages.records import IDENTITY
from fieldloom.kernels.stages.variates import exponentials, normals

# ---------------------------------------------------------------- laws of Pick


def test_operations_are_uniform_and_steps_independent() -> None:
    drawn = draw_operations(ITEMS["fixed"], keys(N), 64, 48)
    count = len(RANGES)
    for step in range(2):
        check_uniform(drawn.ranges[:, step], count)
    check_uniform(drawn.ranges[:, 0] * count + drawn.ranges[:, 1], count * count)


def test_signs_are_fair_coins_of_their_own() -> None:
    drawn = draw_operations(Pick(RANGES[1:2], 2, (0.3, 0.3), slot=SLOT), keys(N), 64, 48)
    negative = drawn.values < 0
    assert set(np.unique(np.abs(drawn.values))) == {np.float64(np.float32(0.09))}
    check_uniform(negative[:, 0] + 2 * negative[:, 1], 4)


def test_bins_are_uniform_for_each_operation() -> None:
    item = Pick(RANGES[3:5], 1, (0.0, 1.0), 31, slot=SLOT)
    drawn = draw_operations(item, keys(N), 64, 48)
    per_bin = np.where(drawn.ranges == 0, np.abs(drawn.values) / 30, np.abs(drawn.values - 1) / 0.9)
    bins = np.rint(per_bin * 30).astype(np.int64)
    assert np.abs(per_bin * 30 - bins).max() < 1e-5
    check_uniform((drawn.ranges * 31 + bins).ravel(), 62)


def test_continuous_levels_are_uniform() -> None:
    drawn = draw_operations(Pick((Range("gaussian_blur", 0.1, 2.0),), 1, (0, 1), 0, slot=SLOT), keys(N), 9, 9)
    sigma = np.sort(drawn.values[:, 0])
    assert ks_distance(sigma, (sigma - 0.1) / 1.9) < KS_LIMIT


def test_noise_on_levels_is_normal_and_clipped() -> None:
    item = Pick((Range("rotate", 0, 10),), 2, (0.5, 0.5), noise=0.2, top=0.9, slot=SLOT)
    drawn = draw_operations(item, keys(N), 64, 48).values / 10
    inside = (drawn > 0) & (drawn < 0.9)
    cut = [0.5 * math.erfc(0.5 / 0.2 / math.sqrt(2)), 0.5 * math.erfc(0.4 / 0.2 / math.sqrt(2))]
    assert z_score((drawn == 0).sum(), drawn.size, cut[0]) < Z
    assert z_score((np.abs(drawn - 0.9) < 1e-6).sum(), drawn.size, cut[1]) < Z
    values = np.sort(drawn[inside])
    cdf = np.array([0.5 * math.erfc((0.5 - v) / 0.2 / math.sqrt(2)) for v in values])
    assert ks_distance(values, (cdf - cut[0]) / (1 - sum(cut))) < KS_LIMIT
    assert abs(np.corrcoef(drawn.T)[0, 1]) < Z / math.sqrt(N)


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_gates_open_with_their_probability(p: float) -> None:
    drawn = draw_operations(Pick(RANGES[7:], 2, p=p, slot=SLOT), keys(N), 64, 48)
    open_ = drawn.operations != IDENTITY_INDEX
    if p in (0, 1):
        assert (open_ == bool(p)).all()
        return
    assert z_score(open_.sum(), open_.size, p) < Z
    assert z_score(open_.all(1).sum(), N, p * p) < Z


def test_a_step_that_would_do_nothing_is_none() -> None:
    for name, neutral in NEUTRAL.items():
        drawn = draw_operations(Pick((Range(name, neutral, neutral),), slot=SLOT), keys(3), 8, 8)
        assert (drawn.operations == IDENTITY_INDEX).all(), name


# ---------------------------------------------------------------- pairs


def test_pairs_are_uniform_and_fire_independently() -> None:
    drawn = draw_operations(PAIRS, keys(N), 64, 48)
    pair = drawn.ranges[:, 0] // 2
    assert (drawn.ranges == 2 * pair[:, None] + [0, 1]).all()
    check_uniform(pair, len(PAIRS.table))
    fired = drawn.operations != IDENTITY_INDEX
    one = pair == 3  # color and rotate, both with a magnitude
    n = int(one.sum())
    assert z_score(fired[one, 0].sum(), n, 0.6) < Z
    assert z_score(fired[one, 1].sum(), n, 0.9) < Z
    assert z_score(fired[one].all(1).sum(), n, 0.54) < Z
    signs = drawn.values[one] > [1, 0]
    check_uniform(signs[:, 0] + 2 * signs[:, 1], 4)


# ---------------------------------------------------------------- per sample


def test_without_replacement_has_the_law_of_drawing_one_by_one() -> None:
    weights = np.array([0.5, 0.25, 0.0, 0.25], np.float32)
    ranges = tuple(Range(name) for name in ("equalize", "invert", "grayscale", "autocontrast"))
    drawn = draw_operations(PerSample(ranges, weights[None], weights[None], 2, slot=SLOT), keys(N), 8, 8)
    p = weights / weights.sum()
    assert not (drawn.ranges == 2).any()
    for i in (0, 1, 3):
        for j in (0, 1, 3):
            hits = ((drawn.ranges[:, 0] == i) & (drawn.ranges[:, 1] == j)).sum()
            if i == j:
                assert hits == 0
            else:
                assert z_score(hits, N, p[i] * p[j] / (1 - p[i])) < Z


def test_operations_of_weight_zero_never_act() -> None:
    weights = np.array([[0, 1, 0]], np.float32)
    ranges = (Range("equalize"), Range("invert"), Range("grayscale"))
    drawn = draw_operations(PerSample(ranges, weights, weights, 3, slot=SLOT), keys(100), 8, 8)
    assert (drawn.operations[:, 0] == operation_index("invert")).all()
    assert (drawn.operations[:, 1:] == IDENTITY_INDEX).all()


def test_rows_are_looked_up_by_id() -> None:
    levels = np.linspace(0, 1, 50, dtype=np.float32)[:, None]
    item = PerSample((Range("rotate", 0, 30),), np.ones_like(levels), levels, 1, slot=SLOT)
    batch = Keys(1, 2, np.array([7, 49, 0, 7]), np.zeros(4, np.int64))
    assert draw_operations(item, batch, 8, 8).values[:, 0] == pytest.approx(30 * levels[[7, 49, 0, 7], 0])
    with pytest.raises(ArgumentError, match="sample 50: its arrays have 50 rows"):
        draw_operations(item, Keys(1, 2, np.array([3, 50]), np.zeros(2, np.int64)), 8, 8)


def test_jitter_is_uniform_and_clipped() -> None:
    one = np.ones((1, 1), np.float32)
    item = PerSample((Range("rotate", 0, 1),), one, one * np.float32(0.9), 1, 0.3, slot=SLOT)
    level = draw_operations(item, keys(N), 8, 8).values[:, 0]
    assert z_score((level == 1).sum(), N, 1 / 3) < Z
    inside = np.sort(level[level < 1])
    assert ks_distance(inside, (inside - 0.6) / 0.4) < KS_LIMIT


@pytest.mark.parametrize(
    ("epoch", "share"), [(0, 0.01), (10, math.tanh(0.25) + 0.01), (200, 1.0), (80, math.tanh(2) + 0.01)]
)
def test_curriculum(epoch: int, share: float) -> None:
    one = np.ones((1, 1), np.float32)
    item = PerSample((Range("invert"),), one, one, 1, tau=40.0, slot=SLOT)
    acted = (draw_operations(item, keys(N, epoch=epoch), 8, 8).operations != IDENTITY_INDEX).sum()
    assert acted == N if share == 1 else z_score(acted, N, share) < Z


# ---------------------------------------------------------------- strength


@pytest.mark.parametrize("name", ITEMS)
def test_strength_zero_is_the_image_itself(name: str) -> None:
    strength = np.tile(np.float32([0, 1]), 50)
    steps = draw_program((ITEMS[name],), keys(100), 20, 30, strength)
    assert (steps["op"][::2] == IDENTITY).all()
    assert (steps["op"][1::2] != IDENTITY).any()


@pytest.mark.parametrize("name", [name for name in ITEMS if not name.startswith("chains")])
def test_strength_scales_distances_and_leaves_draws(name: str) -> None:
    item, batch = ITEMS[name], keys(200)
    plain = draw_operations(item, batch, 2000, 3000)
    half = draw_operations(item, batch, 2000, 3000, np.full(200, 0.5, np.float32))
    assert (plain.ranges == half.ranges).all()
    names = np.array(list(OPERATIONS))[plain.operations]
    seen = set()
    for index in np.ndindex(names.shape):
        operation = names[index]
        if operation not in NEUTRAL or half.operations[index] != plain.operations[index]:
            continue
        seen.add(operation)
        neutral = NEUTRAL[operation]
        want = neutral + 0.5 * (plain.values[index] - neutral)
        slack = 1 if operation in ("posterize", "translate_y", "solarize_add") else 1e-4
        assert abs(half.values[index] - want) <= slack, operation
    assert len(seen) >= 5


def test_strength_is_the_probability_of_what_has_no_magnitude() -> None:
    for share, p in ((0.25, 0.25), (3.0, 0.8)):
        item = Pick((Range("equalize"),), 1, p=0.8, slot=SLOT)
        drawn = draw_operations(item, keys(N), 8, 8, np.full(N, share, np.float32))
        want = 0.8 * share if share < 1 else p
        assert z_score((drawn.operations != IDENTITY_INDEX).sum(), N, want) < Z


def test_strength_leaves_the_probability_of_what_has_a_magnitude() -> None:
    item = Pick((Range("rotate", 30, 30),), 1, p=0.8, slot=SLOT)
    for strength in (0.25, 3.0):
        drawn = draw_operations(item, keys(N), 8, 8, np.full(N, strength, np.float32))
        assert z_score((drawn.operations != IDENTITY_INDEX).sum(), N, 0.8) < Z


def test_no_strength_leaves_the_ranges_of_operations() -> None:
    drawn = draw_operations(Pick(EVERYTHING, 4, slot=SLOT), keys(500), 64, 48, np.full(500, 1e6, np.float32))
    for index in np.ndindex(drawn.operations.shape):
        operation = list(OPERATIONS.values())[drawn.operations[index]]
        if operation.parameter:
            assert operation.low <= drawn.values[index] <= operation.high
    assert (drawn.values[drawn.operations == operation_index("color")] >= 0).all()


# ---------------------------------------------------------------- the table, and what draws depend on


@pytest.mark.parametrize("name", ["fixed", "bins", "pairs"])
def test_steps_from_the_table_equal_those_made_one_by_one(name: str) -> None:
    n = 300
    uneven = np.ones(n, np.float32)
    uneven[-1] = 0.5  # so that the table is not used
    item, batch = ITEMS[name], keys(n)
    slow = draw_program((item,), batch, 31, 44, uneven)
    assert draw_program((item,), batch, 31, 44)[:-1].tobytes() == slow[:-1].tobytes()
    assert len(np.unique(slow["op"])) > 5


@pytest.mark.parametrize("name", ITEMS)
def test_a_sample_gets_the_same_in_any_batch(name: str) -> None:
    item = (ITEMS[name],)
    whole = draw_program(item, keys(100), 20, 30)
    parts = [draw_program(item, keys(size, first=at), 20, 30) for at, size in ((0, 1), (1, 66), (67, 33))]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    mixed = np.random.default_rng(1).permutation(100)
    shuffled = Keys(keys(1).seed, keys(1).epoch, mixed, np.zeros(100, np.int64))
    assert draw_program(item, shuffled, 20, 30).tobytes() == whole[mixed].tobytes()
    assert draw_program(item, keys(0), 20, 30).shape == (0, n_steps(item))


@pytest.mark.parametrize("name", ITEMS)
def test_draws_differ_by_epoch_occurrence_view_seed_and_position(name: str) -> None:
    item, base = ITEMS[name], keys(64)
    moved = type(item)(**{f: getattr(item, f) for f in item.__slots__} | {"slot": slot_of(3, "program")})
    ids, none = base.ids, base.occurrences
    versions = [
        draw_program((item,), base, 20, 30),
        draw_program((item,), Keys(base.seed, base.epoch + 1, ids, none), 20, 30),
        draw_program((item,), Keys(base.seed, base.epoch, ids, none + 1), 20, 30),
        draw_program((item,), Keys(base.seed ^ 1, base.epoch, ids, none), 20, 30),
        draw_program((item,), base, 20, 30, view=1),
        draw_program((moved,), base, 20, 30),
    ]
    for i, first in enumerate(versions):
        for second in versions[:i]:
            different = np.array([a.tobytes() != b.tobytes() for a, b in zip(first, second, strict=True)])
            assert different.mean() > 0.5


def test_items_stand_side_by_side() -> None:
    items = (ITEMS["chains"], ITEMS["fixed"], PAIRS)
    steps = draw_program(items, keys(9), 20, 30)
    assert steps.shape == (9, 20)
    assert steps[:, 16:18].tobytes() == draw_program((ITEMS["fixed"],), keys(9), 20, 30).tobytes()
    assert draw_program((), keys(9), 20, 30).shape == (9, 0)


def test_tables_do_not_keep_the_users_arrays() -> None:
    class Watched(np.ndarray):
        pass

    levels = np.ones((1, 1), np.float32).view(Watched)
    item = PerSample((Range("rotate", 0, 30),), levels, levels, 1, slot=SLOT)
    draw_program((item,), keys(2), 20, 30)
    alive = weakref.ref(levels)
    del item, levels
    assert alive() is None


def test_tables_are_those_of_the_item_and_the_size() -> None:
    for _ in range(3):  # ids are given away again
        for fill in range(40):
            item = Pick((Range("translate_x", 0.5, 0.5, of_side=True),), fill=(fill, 0, 0), slot=SLOT)
            for width in (10, 20):
                step = draw_program((item,), keys(1), 6, width)[0, 0]
                assert (step["fill"][0], abs(step["whole"][2] >> 16)) == (fill, width // 2)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (8192, 1)])
def test_images_of_any_size(size: tuple[int, int]) -> None:
    for item in ITEMS.values():
        draw_program((item,), keys(20), *size)


# ---------------------------------------------------------------- parts


def test_rounding_of_magnitudes() -> None:
    ranges = (
        Range("rotate", 0, 30, signed=True, rounding="trunc"),
        Range("posterize", 8, 4, rounding="nearest"),
        Range("solarize", 256, 0, rounding="ceil"),
        Range("translate_x", 0, 0.5, of_side=True),
        Range("cutout", 0, 0.5, of_side=True),
        Range("color", 0, 0.9, signed=True, least=0.2),
    )
    columns = Columns(ranges, 30, 40)
    rows = np.arange(6)
    assert columns.values(rows, np.full(6, 0.1), np.ones(6, bool)) == pytest.approx(
        [-3, 8, 231, 2, 1.5, 0.91]
    )
    assert columns.values(rows, np.full(6, 0.99), np.ones(6, bool)) == pytest.approx(
        [-29, 4, 3, 19.8, 14.85, 0.2]
    )
    assert columns.values(rows, np.full(6, 0.99), np.zeros(6, bool))[[0, 5]] == pytest.approx([29, 1.891])


def test_centers_of_cutouts_are_uniform_over_the_pixels() -> None:
    drawn = draw_operations(Pick((Range("cutout", 3, 3),), slot=SLOT), keys(N), 6, 9)
    y, x = drawn.centers[:, 0].T.astype(np.int64)
    check_uniform(y * 9 + x, 54)


def test_indices_reach_both_ends() -> None:
    words = np.array([0, 2**32 - 1, 2**31], np.uint32)
    assert index_below(words, 14).tolist() == [0, 13, 7]


def test_variates() -> None:
    words = keys(N).words(5)
    waits = np.sort(exponentials(words).ravel())
    assert ks_distance(waits, 1 - np.exp(-waits.astype(np.float64))) < KS_LIMIT
    ends = exponentials(np.array([0, 2**32 - 1], np.uint32))
    assert (ends > 0).all()
    assert np.isfinite(ends).all()
    z = np.sort(normals(words[:, 0], words[:, 1]))
    cdf = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in z])
    assert ks_distance(z, cdf) < KS_LIMIT
