"""How batches are mixed: laws with stated confidence, label rules, choices, places of masks."""

import dataclasses
import math

import numpy as np
import pytest
from kernel_cases import keys, ks_distance
from mixing_cases import ALL, draw, groups, one, slots, user_masks

from fieldloom.kernels.keys import Keys
from fieldloom.kernels.philox import slot_of
from fieldloom.kernels.stages.mixing import USER_TABLE, FMix, Mixing, mask_stride, place_masks
from fieldloom.kernels.stages.records import BLEND, BOX, MASK_PLANES, PASTE, UNMIXED
from fieldloom.kernels.stages.staged import Groups

N = 80_000
#: Exceeded once in 1000 by a right law.
KS_LIMIT = 1.95


def area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]).astype(np.int64) * (boxes[:, 3] - boxes[:, 1])


# ---------------------------------------------------------------- laws


def test_mixup_law() -> None:
    finish, _, mixture = draw(ALL["mixup"], N)
    own = mixture.pixels[:, 0].astype(np.float64)
    assert ks_distance(np.sort(own), np.sort(own)) < KS_LIMIT
    assert (finish["mode"] == BLEND).all()
    np.testing.assert_array_equal(finish["weight"], mixture.pixels[:, 1])


def test_cutmix_mean_of_the_exact_area() -> None:
    finish, _, mixture = draw(ALL["cutmix"], N)
    own = mixture.pixels[:, 0].astype(np.float64)
    # Its deviation is 0.19, so the limit is 4.5 standard errors of the mean.
    assert abs(own.mean() - 0.682) < 0.003
    shares = 1 - area(finish["box"]) / 224**2
    assert abs(own - shares).max() < 1e-7
    assert (finish["box"] >= 0).all()
    assert (finish["box"] <= 224).all()


def test_cutmix_center_is_uniform() -> None:
    # Boxes that no border has cut show it: sides are then floor(224 sqrt(1 - lam)).
    finish, _, _ = draw(dataclasses.replace(ALL["cutmix"], labels="sampled"), N)
    box = finish["box"].astype(np.float64)
    small = (box[:, 2] - box[:, 0] < 20) & (box[:, 0] > 20) & (box[:, 2] < 204)
    middle = np.sort(box[small, 0] + (box[small, 2] - box[small, 0]) // 2)
    inner = middle[(middle >= 40) & (middle < 184)]
    assert ks_distance(inner, (inner - 40 + 0.5) / 144) < KS_LIMIT


def test_cutmix_of_given_sides() -> None:
    finish, _, mixture = draw(ALL["cutmix_minmax"], N, (100, 50))
    sides = finish["box"][:, 2:] - finish["box"][:, :2]
    np.testing.assert_array_equal(np.unique(sides[:, 0]), np.arange(20, 61))
    np.testing.assert_array_equal(np.unique(sides[:, 1]), np.arange(10, 31))
    assert (finish["box"][:, :2] >= 0).all()
    assert (finish["box"][:, 2:] <= [100, 50]).all()
    assert abs(mixture.pixels[:, 1] - area(finish["box"]) / 5000).max() < 1e-7


def test_resizemix_mean() -> None:
    # 1 - E tau^2 on large images; whole pixels are rounded down, which 224 px still show.
    own = draw(ALL["resizemix"], N, (4096, 4096))[2].pixels[:, 0].astype(np.float64)
    assert abs(own.mean() - 0.7567) < 0.002
    own = draw(ALL["resizemix"], N)[2].pixels[:, 0].astype(np.float64)
    tau = 0.1 + 0.7 * (np.arange(100_000) + 0.5) / 100_000
    assert abs(own.mean() - (1 - (np.floor(224 * tau) ** 2).mean() / 224**2)) < 0.002


def test_resizemix_law() -> None:
    finish, _, mixture = draw(ALL["resizemix"], N)
    own = mixture.pixels[:, 0].astype(np.float64)
    assert own.min() >= 0.36
    assert np.quantile(own, [0.05, 0.95]) == pytest.approx([0.415, 0.982], abs=0.004)
    assert (finish["mode"] == PASTE).all()
    box = finish["box"]
    sides = box[:, 2:] - box[:, :2]
    assert (sides[:, 0] == sides[:, 1]).all()  # one zoom for both sides, the whole box inside
    assert (box[:, :2] >= 0).all()
    assert (box[:, 2:] <= 224).all()
    assert abs(own - (1 - area(box) / 224**2)).max() < 1e-7
    assert not finish["antialias"].any()
    assert draw(dataclasses.replace(ALL["resizemix"], antialias=True))[0]["antialias"].all()


def test_resizemix_boxes_heap_up_at_the_borders() -> None:
    """They are shifted inside, not cut: a fifth or so touches each border."""
    finish, _, _ = draw(ALL["resizemix"], N)
    assert 0.15 < (finish["box"][:, 0] == 0).mean() < 0.35
    assert abs((finish["box"][:, 0] == 0).mean() - (finish["box"][:, 2] == 224).mean()) < 0.01


def test_fmix_counts() -> None:
    height, width = 7, 13
    item = dataclasses.replace(ALL["fmix"], labels="sampled")
    finish, masks, mixture = draw(item, N, (height, width))
    assert (finish["mode"] == MASK_PLANES).all()
    np.testing.assert_array_equal(masks["sample"], np.arange(N))
    exact = mixture.weights[:, 0].astype(np.float64) * 91
    gap = masks["count"] - exact
    assert abs(gap).max() < 1 + 1e-4
    rounded_up = gap > 0
    assert abs(rounded_up.mean() - 0.5) < 3.3 * 0.5 / math.sqrt(N)
    assert abs(np.corrcoef(rounded_up, exact % 1)[0, 1]) < 3.3 / math.sqrt(N)  # a coin, and no rounding
    assert abs(mixture.pixels[:, 0] - masks["count"] / 91).max() < 1e-7
    assert (masks["soft"] == 0).all()


def test_fmix_soft_edges_fit() -> None:
    _, masks, mixture = draw(dataclasses.replace(ALL["fmix_soft"], labels="sampled"), N, (7, 13))
    own = mixture.weights[:, 0].astype(np.float64)
    want = (91 * np.minimum(0.3, np.minimum(own, 1 - own))).astype(int)
    assert abs(masks["soft"] - want).max() <= 1
    assert (masks["soft"] <= masks["count"]).all()
    assert (masks["soft"] + masks["count"] <= 91).all()
    assert (masks["soft"] > 0).any()


def test_fmix_reformulated() -> None:
    item = FMix(1.0, 3.0, 0.0, True, labels="independent", **slots(3))
    _, _, mixture = draw(item, N)
    own = np.sort(mixture.pixels[:, 0].astype(np.float64))
    assert ks_distance(own, own**2) < KS_LIMIT  # Beta(2, 1)
    np.testing.assert_array_equal(mixture.weights, [[1, 0]] * N)
    # The partner is still a part of the picture.
    assert (mixture.places[:, 1] != mixture.places[:, 0]).mean() > 0.99


def test_user_masks_are_drawn_alike_often() -> None:
    item = user_masks(6, 10)
    finish, masks, mixture = draw(item, N, (6, 10))
    assert len(masks) == 0
    index = (finish["masks"] - USER_TABLE).astype(np.int64) // 120
    expected = N / 5
    chi2 = ((np.bincount(index, minlength=5) - expected) ** 2 / expected).sum()
    assert chi2 < 18.5  # 4 degrees of freedom, once in 1000
    assert (finish["ways"] == 3).all()
    np.testing.assert_allclose(mixture.pixels, item.shares[index], atol=1e-6)
    assert (finish["partner"][:, 0] != finish["partner"][:, 1]).all()


# ---------------------------------------------------------------- what every mix promises


@pytest.mark.parametrize("name", ALL)
def test_records_agree_with_the_mixture(name: str) -> None:
    size = (12, 20)
    finish, _, mixture = draw(ALL[name], 400, size)
    assert abs(mixture.weights.sum(1) - 1).max() <= 1e-6
    assert abs(mixture.pixels.sum(1) - 1).max() <= 1e-6
    assert min(mixture.weights.min(), mixture.pixels.min()) >= 0
    np.testing.assert_array_equal(mixture.places[:, 0], np.arange(400))
    used = mixture.pixels[:, 1:] > 0
    ways = mixture.places.shape[1]
    np.testing.assert_array_equal(
        mixture.places[:, 1:], np.where(used, finish["partner"][:, : ways - 1], np.arange(400)[:, None])
    )
    assert (finish["ways"] == ways).all()
    assert (mixture.kinds == 1).all()
    assert not finish["erase"].any()
    assert not finish["erase_kind"].any()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3), (300, 1)])
def test_tiny_images(name: str, size: tuple[int, int]) -> None:
    item = user_masks(*size) if name == "user" else ALL[name]
    finish, masks, mixture = draw(item, 200, size)
    box = finish["box"]
    assert (box >= 0).all()
    assert (box[:, :2] <= box[:, 2:]).all()
    assert (box[:, 2:] <= size).all()
    assert (masks["count"] <= size[0] * size[1]).all()
    assert (masks["count"] >= 0).all()
    assert np.isfinite(mixture.weights).all()


@pytest.mark.parametrize("name", ALL)
def test_nobody_is_nobodys_partner(name: str) -> None:
    for n in (0, 1):
        finish, masks, mixture = draw(ALL[name], n, (12, 20))
        assert (finish["mode"] == UNMIXED).all()
        assert (finish["ways"] == 1).all()
        assert len(masks) == 0
        assert mixture.places.shape == (n, one(ALL[name]).ways)
        np.testing.assert_array_equal(mixture.weights[:, 0], np.ones(n))
        assert not mixture.kinds.any()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("partner", ["random", "same_class", "other_class", "reversed"])
def test_batch_and_memory_order_do_not_enter(name: str, partner: str) -> None:
    item = dataclasses.replace(ALL[name], partner=partner, labels="independent")
    batch, at = keys(40), groups(40)
    whole = draw(item, 40, (12, 20))
    turned = np.random.default_rng(1).permutation(40)
    shuffled = draw(
        item,
        size=(12, 20),
        keys=Keys(batch.seed, batch.epoch, batch.ids[turned], batch.occurrences[turned]),
        groups=Groups(at.positions[turned], at.classes[turned]),
    )
    check_same(shuffled, whole, turned)
    # The same samples as parts of batches of one group each.
    for first in range(0, 40, 8):
        rows = np.arange(first, first + 8)
        part = draw(
            item,
            size=(12, 20),
            keys=Keys(batch.seed, batch.epoch, batch.ids[rows], batch.occurrences[rows]),
            groups=Groups(at.positions[rows], at.classes[rows]),
        )
        check_same(part, whole, rows)


def check_same(part, whole, rows: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    """`part` is what `whole` holds at `rows`, with places renumbered."""
    (finish, masks, mixture), (all_finish, all_masks, all_mixture) = part, whole
    for field in ("mode", "ways", "weight", "box", "antialias"):
        np.testing.assert_array_equal(finish[field], all_finish[field][rows], field)
    np.testing.assert_array_equal(rows[finish["partner"]], all_finish["partner"][rows])
    np.testing.assert_array_equal(rows[mixture.places], all_mixture.places[rows])
    for field in ("weights", "pixels", "kinds"):
        np.testing.assert_array_equal(getattr(mixture, field), getattr(all_mixture, field)[rows], field)
    of_sample = {int(rows[m["sample"]]): m for m in masks}
    for mask in all_masks:
        if int(mask["sample"]) in of_sample:
            mine = of_sample[int(mask["sample"])]
            assert (mine["count"], mine["soft"], mine["slot"]) == (mask["count"], mask["soft"], mask["slot"])
    assert len(masks) == np.isin(all_masks["sample"], rows).sum()


# ---------------------------------------------------------------- labels


@pytest.mark.parametrize("name", ["mixup", "cutmix", "fmix", "resizemix", "user"])
def test_label_rules(name: str) -> None:
    size = (12, 20)
    item = ALL[name]
    same = draw(item, 4000, size)[2]
    np.testing.assert_array_equal(same.weights, same.pixels)
    fixed = draw(dataclasses.replace(item, labels=0.25), 4000, size)[2]
    assert abs(fixed.weights[:, 0] - 0.25).max() < 1e-6
    other = draw(dataclasses.replace(item, labels="independent"), 4000, size)[2]
    for mixture in (fixed, other):
        np.testing.assert_array_equal(mixture.pixels, same.pixels)
        assert abs(mixture.weights.sum(1) - 1).max() < 1e-6
    # The same law, and independent.
    assert abs(np.corrcoef(other.weights[:, 0], same.weights[:, 0])[0, 1]) < 3.3 / math.sqrt(4000)
    error = same.weights[:, 0].std() * math.sqrt(2 / 4000)
    assert abs(other.weights[:, 0].mean() - same.weights[:, 0].mean()) < 3.3 * error
    assert np.std(other.weights[:, 0]) == pytest.approx(np.std(same.weights[:, 0]), rel=0.1)


def test_sampled_labels() -> None:
    mixture = draw(dataclasses.replace(ALL["cutmix"], labels="sampled"), N)[2]
    own = np.sort(mixture.weights[:, 0].astype(np.float64))
    assert ks_distance(own, own) < KS_LIMIT  # Beta(1, 1) itself, not the area that the border left
    assert mixture.pixels[:, 0].mean() > own.mean() + 0.1


def test_fixed_labels_keep_a_partner_that_cannot_be_seen() -> None:
    item = dataclasses.replace(ALL["resizemix"], labels=0.25)
    mixture = draw(item, 64, (1, 1))[2]  # a shrunk partner of no pixel
    assert (mixture.pixels[:, 0] == 1).all()
    assert (mixture.places[:, 1] != mixture.places[:, 0]).all()


# ---------------------------------------------------------------- gates and choices


def test_probability_and_strength() -> None:
    item = dataclasses.replace(ALL["mixup"], p=0.4)
    strength = np.repeat(np.array([0, 0.5, 1, 5], np.float32), N // 4)
    kinds = draw(item, N, strength=strength)[2].kinds.reshape(4, -1)
    for row, p in zip(kinds, (0, 0.2, 0.4, 1), strict=True):
        assert abs(row.mean() - p) <= 3.3 * math.sqrt(p * (1 - p) / (N // 4))
    weaker = draw(item, N, strength=np.full(N, 0.5, np.float32))[2]
    full = draw(item, N)[2]
    both = weaker.kinds == 1
    assert (full.kinds[both] == 1).all()  # strength moves the gate, and nothing that was drawn
    np.testing.assert_array_equal(weaker.weights[both], full.weights[both])


def test_stop_epoch() -> None:
    item = dataclasses.replace(ALL["mixup"], stop_epoch=7)
    for epoch, mixed in ((0, True), (6, True), (7, False), (8, False)):
        assert (draw(item, keys=keys(64, epoch=epoch))[2].kinds == mixed).all()


CHOICE = (ALL["mixup"], ALL["cutmix"], ALL["fmix"], ALL["resizemix"])


def test_choice_by_probability() -> None:
    weights = (0.1, 0.2, 0.3, 0.4)
    finish, masks, mixture = draw(Mixing(CHOICE, weights, slot=slot_of(0, "mix_choice")), N)
    for kind, p in enumerate(weights, 1):
        assert abs((mixture.kinds == kind).mean() - p) <= 3.3 * math.sqrt(p * (1 - p) / N)
    modes = np.array([UNMIXED, BLEND, BOX, MASK_PLANES, PASTE])
    np.testing.assert_array_equal(finish["mode"], modes[mixture.kinds])
    np.testing.assert_array_equal(masks["sample"], np.flatnonzero(mixture.kinds == 3))
    # A chosen mix does what it does alone.
    alone = draw(ALL["cutmix"], N)[0]
    chosen = mixture.kinds == 2
    np.testing.assert_array_equal(finish["box"][chosen], alone["box"][chosen])


def test_alternation() -> None:
    by_epoch = Mixing(CHOICE[:2], (), "epochs", (2, 1))
    found = [set(draw(by_epoch, keys=keys(64, epoch=e))[2].kinds.tolist()) for e in range(6)]
    assert found == [{1}, {1}, {2}] * 2
    by_group = Mixing(CHOICE[:2], (), "groups", (1, 3))
    kinds = draw(by_group, 64)[2].kinds
    np.testing.assert_array_equal(kinds, np.repeat([1, 2, 2, 2] * 2, 8))
    later = Groups(np.arange(16, 80), np.zeros(64, np.int64))
    np.testing.assert_array_equal(draw(by_group, groups=later)[2].kinds[:48], kinds[16:])


# ---------------------------------------------------------------- places of masks


def test_masks_are_placed() -> None:
    first, second = user_masks(3, 7, sets=2, ways=2), user_masks(3, 7, sets=3, ways=4)
    items = (ALL["fmix"], first, dataclasses.replace(second, **slots(8)))
    mixing = Mixing(items, (0.4, 0.3, 0.3), slot=slot_of(0, "mix_choice"))
    assert (mixing.ways, mixing.decay) == (4, 3.0)
    finish, masks, mixture = draw(mixing, 200, (3, 7))
    raw = finish["masks"].copy()
    table, stride = mixing.table(), mask_stride(3, 7)
    assert stride == 32
    place_masks(finish, masks, 1 << 20, 1 << 40)
    fmix = mixture.kinds == 1
    np.testing.assert_array_equal(masks["out"], (1 << 20) + 32 * np.arange(fmix.sum()))
    np.testing.assert_array_equal(finish["masks"][fmix], masks["out"])
    for kind, item in ((2, first), (3, second)):
        partners = item.table.shape[1]
        for i in np.flatnonzero(mixture.kinds == kind):
            at = int(finish["masks"][i]) - (1 << 40)
            got = table[at : at + partners * 21].reshape(partners, 3, 7)
            share = item.shares[(item.table == got).all((1, 2, 3))]
            np.testing.assert_allclose(mixture.pixels[i, : partners + 1], share[0], atol=1e-6)
    assert (raw[mixture.kinds > 1] >= USER_TABLE).all()


def test_unmixed_samples_have_no_mask() -> None:
    finish, masks, mixture = draw(dataclasses.replace(ALL["fmix"], p=0.5), 200)
    place_masks(finish, masks, 1 << 20, 0)
    np.testing.assert_array_equal(finish["masks"] > 0, mixture.kinds == 1)
