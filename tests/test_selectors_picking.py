"""Selectors that pick by vectors: budgets, weights, modes, ranks, and what is done where numbers fail."""

import warnings
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from selector_cases import chi_square, chi_square_limit, clone, report, same, signals_of

from fieldloom.errors import ArgumentError, StateError
from fieldloom.kernels.submodular.budgets import class_budgets
from fieldloom.kernels.submodular.facility import facility_location
from fieldloom.kernels.submodular.graphcut import graph_cut
from fieldloom.kernels.submodular.kcenter import k_center
from fieldloom.selectors import (
    Coreset,
    DatasetQuantization,
    GraphCut,
    KCenter,
    Selector,
    Sharing,
    Signals,
    Vectors,
    picking,
)
from fieldloom.selectors.proxies import random_signs
from fieldloom.selectors.quantization import graph_cut_bins
from fieldloom.selectors.sharing import over_classes

RNG = np.random.default_rng(3)
COUNTS = [40, 7, 25, 60]
LABELS = np.array([2, 0, 5, 3])  # class numbers with a gap, in the order of COUNTS
TARGETS = RNG.permutation(np.repeat(LABELS, COUNTS))
N, C, D = len(TARGETS), 6, 8
LOGITS = RNG.normal(0, 2, (N, C)).astype(np.float16)
EMBEDDINGS = (RNG.normal(0, 1, (N, D)) + TARGETS[:, None]).astype(np.float16)
VALUES = {"logits": LOGITS, "embeddings": EMBEDDINGS}
PICKERS = {
    "coreset": lambda **o: Coreset(0.3, **o),
    "coreset outer": lambda **o: Coreset(0.3, features="outer", **o),
    "coreset tensors": lambda **o: Coreset(0.3, method="tensors", **o),
    "coreset parts": lambda **o: Coreset(0.3, part_size=20, **o),
    "coreset stochastic": lambda **o: Coreset(0.3, method="stochastic", **o),
    "graph cut": lambda **o: GraphCut(0.3, **{"warmup": 0, **o}),
    "k-center": lambda **o: KCenter(0.3, **{"warmup": 0, **o}),
    "quantization": lambda **o: DatasetQuantization(0.3, bins=4, **{"warmup": 0, **o}),
}


def signals(**changed: Any) -> Signals:
    return signals_of(TARGETS, **{**VALUES, **changed})


def of_class(c: int) -> np.ndarray:
    return np.flatnonzero(c == TARGETS)


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z.astype(np.float64) - z.max(1, keepdims=True).astype(np.float64))
    return e / e.sum(1, keepdims=True)


P = softmax(LOGITS) - np.eye(C)[TARGETS]

# ---------------------------------------------------------------- vectors


def test_vectors() -> None:
    ids = np.array([5, 0, 99])
    np.testing.assert_array_equal(Vectors(signals(), "embeddings")(ids), EMBEDDINGS[ids].astype(np.float32))
    np.testing.assert_allclose(Vectors(signals(), "logits")(ids), P[ids], atol=1e-6)
    h = np.c_[EMBEDDINGS.astype(np.float64), np.ones(N)]
    outer = np.einsum("nc,nd->ncd", P, h).reshape(N, -1)
    whole = Vectors(signals(), "outer", projection=C * (D + 1))
    assert whole.length == C * (D + 1)
    np.testing.assert_allclose(whole(ids), outer[ids], atol=1e-4)
    assert whole(ids).dtype == np.float32


def test_outer_vectors_are_the_last_layers_gradient() -> None:
    """By automatic differentiation of the cross entropy."""
    layer = torch.nn.Linear(D, C)
    h = torch.from_numpy(EMBEDDINGS[:1].astype(np.float32))
    logits = layer(h)
    torch.nn.functional.cross_entropy(logits, torch.tensor(TARGETS[:1])).backward()
    got = Vectors(
        signals_of(TARGETS[:1], logits=logits.detach().half(), embeddings=EMBEDDINGS[:1]), "outer", 4096
    )(np.array([0]))
    want = torch.cat([layer.weight.grad, layer.bias.grad[:, None]], 1).reshape(-1)
    np.testing.assert_allclose(got[0], want, atol=5e-3)  # logits in half precision


def test_projected_distances_are_right_in_expectation() -> None:
    """Of 400 seeds the mean of squared distances is right within 5 deviations, the spread as documented."""
    ids, k = np.array([1, 2, 3, 4]), 16
    exact = Vectors(signals(), "outer", 4096)(ids).astype(np.float64)
    pairs = list(combinations(range(4), 2))
    want = np.array([((exact[a] - exact[b]) ** 2).sum() for a, b in pairs])
    ratios = []
    for seed in range(400):
        v = Vectors(signals_of(TARGETS, seed=seed, **VALUES), "outer", k)(ids)
        assert v.shape == (4, k)
        ratios.append([((v[a] - v[b]) ** 2).sum() for a, b in pairs] / want)
    limit = np.sqrt(8 / k)
    assert np.abs(np.mean(ratios, 0) - 1).max() < 5 * limit / np.sqrt(400)
    assert 0.2 * limit < np.std(ratios, 0).max() < 1.2 * limit


def test_random_signs() -> None:
    signs = random_signs(signals(), 40, 300)
    assert signs.shape == (40, 300)
    assert set(np.unique(signs)) == {-1, 1}
    products = signs @ signs.T / 300
    assert np.abs(products[~np.eye(40, dtype=bool)]).max() < 6 / np.sqrt(300)
    np.testing.assert_array_equal(signs[:7, :130], random_signs(signals(), 7, 130))


# ---------------------------------------------------------------- coreset


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("features", ["logits", "outer"])
def test_coreset_is_facility_location_in_each_class(equal: bool, features: str) -> None:
    """Part 4 #13: sizes equal B, weights of mean 1."""
    chosen = Coreset(0.25, equal=equal, features=features).select(0, signals())
    vectors = Vectors(signals(), features)
    budgets = class_budgets(np.bincount(TARGETS, minlength=C), 33, equal=equal)
    want: dict[int, float] = {}
    for c in LABELS:
        picked = facility_location(vectors(of_class(c)), int(budgets[c]))
        want |= dict(zip(of_class(c)[picked.indices].tolist(), picked.weights.tolist(), strict=True))
    assert len(want) == 33
    assert chosen.ids.tolist() == sorted(want)
    assert chosen.ids.dtype == np.int64
    assert chosen.weights.dtype == np.float32
    assert chosen.weights.sum(dtype=np.float64) == pytest.approx(33, rel=1e-6)
    expected = np.array([want[i] for i in chosen.ids.tolist()])
    np.testing.assert_allclose(chosen.weights, expected / expected.mean(), rtol=1e-6)
    assert chosen.strength is None


def test_coreset_augment_mode_augments_only_the_picked() -> None:
    subset = Coreset(0.25).select(0, signals())
    whole = Coreset(0.25, mode="augment").select(0, signals())
    assert whole.ids.tolist() == list(range(N))
    assert whole.weights is None
    assert whole.strength.dtype == np.float32
    np.testing.assert_array_equal(np.flatnonzero(whole.strength), subset.ids)
    assert set(whole.strength.tolist()) == {0, 1}


def test_coreset_chooses_every_r_epochs() -> None:
    selector, values = Coreset(0.25, every=3, warmup=1), signals_of(TARGETS, epoch=1, logits=LOGITS)
    assert selector.select(0, values) is None
    assert [selector.needs_scoring(e) for e in range(3)] == [False, True, True]
    first = selector.select(1, values)
    report(values, 3, logits=np.roll(LOGITS, 1, 0))
    assert same(selector.select(3, values), first)
    assert not selector.needs_scoring(3)
    assert selector.needs_scoring(4)
    assert not same(selector.select(4, values), first)


@pytest.mark.parametrize("mode", ["subset", "augment"])
def test_tensors_choose_as_lazy_does(mode: str) -> None:
    lazy = Coreset(0.25, method="lazy", mode=mode).select(0, signals())
    assert same(Coreset(0.25, method="tensors", mode=mode).select(0, signals()), lazy)


def test_stochastic_coreset_depends_on_seed_and_epoch() -> None:
    def chosen(seed: int, epoch: int) -> list[int]:
        values = signals_of(TARGETS, seed=seed, logits=LOGITS)
        selector = Coreset(0.25, every=1, method="stochastic")
        return selector.select(epoch, values).ids.tolist()

    assert chosen(1, 0) == chosen(1, 0)
    assert chosen(1, 0) != chosen(2, 0)
    assert chosen(1, 0) != chosen(1, 1)


def test_coreset_of_duplicates() -> None:
    """Part 4 #13: all samples of a class alike."""
    logits = (
        np.zeros((N, C), np.float16) + TARGETS[:, None].astype(np.float16) * np.eye(C, dtype=np.float16)[0]
    )
    chosen = Coreset(0.5).select(0, signals(logits=logits))
    assert len(chosen.ids) == len(set(chosen.ids)) == 66
    assert chosen.weights.mean() == pytest.approx(1)


@settings(max_examples=25)
@given(
    counts=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    fraction=st.floats(0.02, 0.98),
    equal=st.booleans(),
    mode=st.sampled_from(["subset", "augment"]),
    seed=st.integers(0, 2**64 - 1),
)
def test_any_coreset(counts: list[int], fraction: float, equal: bool, mode: str, seed: int) -> None:
    targets = np.repeat(np.arange(len(counts)), counts)
    n = len(targets)
    logits = np.random.default_rng(seed % 1000).normal(0, 1, (n, len(counts))).astype(np.float16)
    chosen = Coreset(fraction, equal=equal, mode=mode, threads=1).select(
        0, signals_of(targets, seed=seed, logits=logits)
    )
    k = min(n, max(1, int(fraction * n + 0.5)))
    if chosen is None:
        assert k == n
    elif mode == "subset":
        assert len(set(chosen.ids.tolist())) == len(chosen.ids) == k
        assert chosen.weights.sum() == pytest.approx(k, rel=1e-5)
    else:
        assert chosen.strength.sum() == k


# ---------------------------------------------------------------- graph cut, k-center, quantization


@pytest.mark.parametrize("features", ["embeddings", "logits", "outer"])
@pytest.mark.parametrize(("cls", "rule"), [(GraphCut, graph_cut), (KCenter, k_center)])
def test_each_class_by_its_rule(cls: type, rule: Any, features: str) -> None:
    selector = cls(0.25, features=features, warmup=0)
    assert set(selector.signals) == {"logits": {"logits"}, "embeddings": {"embeddings"}}.get(
        features, {"logits", "embeddings"}
    )
    chosen, vectors = selector.select(0, signals()), Vectors(signals(), features)
    budgets = class_budgets(np.bincount(TARGETS, minlength=C), 33, equal=False)
    want = np.concatenate([of_class(c)[rule(vectors(of_class(c)), int(budgets[c]))] for c in LABELS])
    np.testing.assert_array_equal(chosen.ids, np.sort(want))
    assert chosen.weights is None
    whole = cls(0.25, features=features, class_balanced=False, warmup=0).select(0, signals())
    np.testing.assert_array_equal(whole.ids, np.sort(rule(vectors(np.arange(N)), 33)))


def test_graph_cut_weighs_the_whole_by_lam() -> None:
    few = GraphCut(0.1, lam=0.0, warmup=0).select(0, signals())
    assert not same(few, GraphCut(0.1, lam=10.0, warmup=0).select(0, signals()))
    binned = DatasetQuantization(0.1, lam=0.0, warmup=0).select(0, signals())
    assert not same(binned, DatasetQuantization(0.1, lam=10.0, warmup=0).select(0, signals()))


@given(st.integers(1, 40), st.integers(1, 12))
def test_bins_part_the_class(m: int, n_bins: int) -> None:
    vectors = np.random.default_rng(m).normal(0, 1, (m, 3)).astype(np.float32)
    bins = graph_cut_bins(vectors, n_bins)
    assert len(bins) == n_bins
    assert sorted(np.concatenate(bins).tolist()) == list(range(m))
    assert max(map(len, bins)) - min(map(len, bins)) <= 1
    left = np.arange(m)
    for one in bins[:-1]:
        if len(one):
            np.testing.assert_array_equal(one, graph_cut(vectors, len(one), pool=left))
        left = np.setdiff1d(left, one)


def test_quantization_holds_the_same_share_of_each_bin() -> None:
    for fraction, n_bins in ((0.25, 5), (0.5, 5), (0.8, 3)):
        selector = DatasetQuantization(fraction, bins=n_bins, equal=False, warmup=0)
        chosen = selector.select(0, signals()).ids
        budgets = class_budgets(np.bincount(TARGETS, minlength=C), round(fraction * N), equal=False)
        assert len(set(chosen.tolist())) == round(fraction * N)
        for c in LABELS:
            ids = of_class(c)
            assert np.isin(ids, chosen).sum() == budgets[c]
            share = budgets[c] / len(ids)
            for one in graph_cut_bins(EMBEDDINGS[ids].astype(np.float32), n_bins):
                assert abs(np.isin(ids[one], chosen).sum() - share * len(one)) <= 1


def test_quantization_is_uniform_within_the_class() -> None:
    """Over 600 seeds each sample alike, at 1e-6: also where a share is less than one sample a bin."""
    targets, values = np.zeros(24), EMBEDDINGS[:24]
    held = np.zeros(24)
    for seed in range(600):
        selector = DatasetQuantization(3 / 24, bins=8, warmup=0)
        held[selector.select(0, signals_of(targets, seed=seed, embeddings=values)).ids] += 1
    assert chi_square(held, np.full(24, 75)) < chi_square_limit(23)


def test_quantization_draws_within_a_bin() -> None:
    """Of one bin of 8, 4 are drawn: in 60 seeds most sets differ, though steps between places do not."""
    sets = set()
    for seed in range(60):
        values = signals_of(np.zeros(8), seed=seed, embeddings=EMBEDDINGS[:8])
        sets.add(tuple(DatasetQuantization(0.5, bins=1, warmup=0).select(0, values).ids.tolist()))
    assert len(sets) > 30


# ---------------------------------------------------------------- all of them


@pytest.mark.parametrize("name", PICKERS)
def test_threads_and_blocks_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    want = PICKERS[name](threads=1).select(0, signals())
    assert same(PICKERS[name](threads=3).select(0, signals()), want)
    monkeypatch.setattr(picking, "VECTOR_BYTES", 4 * 6 * 50)
    assert same(PICKERS[name]().select(0, signals()), want)


class Fake(Sharing):
    """One of several processes, whose exchange is done by hand."""

    def __init__(self, rank: int, world: int, others: list) -> None:
        self.rank, self.world, self.others = rank, world, others

    def exchange(self, arrays: dict[str, np.ndarray]) -> list[dict[str, np.ndarray]]:
        self.others[self.rank] = arrays
        return [part for part in self.others if part is not None]


@pytest.mark.parametrize("name", PICKERS)
@pytest.mark.parametrize("world", [2, 3, 7])
def test_ranks_together_choose_what_one_would(name: str, world: int) -> None:
    parts: list = [None] * world
    for rank in range(world):
        selector = PICKERS[name]()
        selector.sharing = Fake(rank, world, parts)
        last = selector.select(0, signals())
    assert same(last, PICKERS[name]().select(0, signals()))


def test_classes_are_spread_evenly() -> None:
    done = []
    for rank in range(3):
        work = lambda classes: done.append(classes) or {"x": np.array(classes)}  # noqa: E731
        over_classes(Fake(rank, 3, [None] * 3), [5, 9, 1, 4, 8], work)
    assert sorted(np.concatenate(done)) == [0, 1, 2, 3, 4]
    assert sorted(sum([5, 9, 1, 4, 8][c] for c in classes) for classes in done) == [9, 9, 9]


@pytest.mark.parametrize("name", PICKERS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_random_fallback(name: str, bad: float) -> None:
    """Part 4 #13: one class at random, with a warning, once; the others as ever; all shares as ever."""
    broken = of_class(3)
    changed = {key: value.copy() for key, value in VALUES.items()}
    for value in changed.values():
        value[broken[4], 1] = bad
    selector, clean = PICKERS[name](every=1), PICKERS[name](every=1).select(0, signals())
    with pytest.warns(UserWarning, match=r"picks at random in 1 classes at epoch 0.*not finite"):
        chosen = selector.select(0, signals(**changed))
    in_class, in_clean = TARGETS[chosen.ids] == 3, TARGETS[clean.ids] == 3
    np.testing.assert_array_equal(chosen.ids[~in_class], clean.ids[~in_clean])
    assert in_class.sum() == in_clean.sum()
    if chosen.weights is not None:
        assert len(set(chosen.weights[in_class].tolist())) == 1
        assert chosen.weights[in_class].sum() == pytest.approx(clean.weights[in_clean].sum(), rel=1e-5)
        assert chosen.weights.mean() == pytest.approx(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = selector.select(1, signals(**changed))
    assert not np.array_equal(other.ids[TARGETS[other.ids] == 3], chosen.ids[in_class]), "another draw"


def test_random_fallback_is_uniform() -> None:
    """A broken class of 12, of which 3 are picked, each alike over 400 seeds: at 1e-6."""
    held, logits = np.zeros(12), np.full((12, 2), np.nan, np.float16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(400):
            chosen = Coreset(0.25, threads=1).select(0, signals_of(np.zeros(12), seed=seed, logits=logits))
            held[chosen.ids] += 1
    assert chi_square(held, np.full(12, 100)) < chi_square_limit(11)


@pytest.mark.parametrize("name", PICKERS)
def test_missing_signals(name: str) -> None:
    selector: Selector = PICKERS[name]()
    values = Signals(TARGETS, selector.signals, 0)
    call = rf"loader\.feedback\(batch, {selector.signals[0]}=\.\.\.\)"
    with pytest.raises(StateError, match=f"nothing was reported.*{call}"):
        selector.select(0, values)
    report(values, 0, ids=np.arange(N - 2), **{s: VALUES[s][:-2] for s in selector.signals})
    with pytest.raises(StateError, match=rf"2 of {N} were never reported.*{call}.*scoring_pass"):
        selector.select(0, values)


@pytest.mark.parametrize("name", PICKERS)
def test_state(name: str) -> None:
    selector = PICKERS[name](every=4)
    first = selector.select(0, signals())
    other = clone(selector, PICKERS[name](every=4))
    empty = Signals(TARGETS, selector.signals, 7)
    assert same(other.select(3, empty), first), "without signals: the choice itself was saved"
    assert not other.needs_scoring(3)
    assert same(other.select(4, signals()), selector.select(4, signals()))
    with pytest.raises(StateError, match=r"holds a choice with sample.*data set has 3 samples"):
        clone(selector, PICKERS[name](every=4)).select(5, Signals(np.zeros(3, np.int64), selector.signals, 7))


def test_coreset_state_keeps_strength() -> None:
    selector = Coreset(0.3, mode="augment")
    want = selector.select(0, signals())
    other = clone(selector, Coreset(0.3, mode="augment"))
    assert same(other.select(2, signals()), want)


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (Coreset, {"fraction": 0}, "Coreset fraction=0"), (Coreset, {"fraction": 30}, "Coreset fraction=30"),
        (Coreset, {"every": 0}, "Coreset every=0"), (Coreset, {"method": "naive"}, "Coreset method='naive'"),
        (Coreset, {"equal": 1}, "Coreset equal=1"), (Coreset, {"mode": "full"}, "Coreset mode='full'"),
        (Coreset, {"features": "embeddings"}, "Coreset features='embeddings'.*logits, outer"),
        (Coreset, {"projection": 1}, "Coreset projection=1"), (Coreset, {"warmup": -1}, "Coreset warmup=-1"),
        (Coreset, {"threads": 0}, "Coreset threads=0"), (GraphCut, {"lam": -1}, "GraphCut lam=-1"),
        (GraphCut, {"features": "x"}, "GraphCut features='x'.*logits, outer, embeddings"),
        (KCenter, {"class_balanced": None}, "KCenter class_balanced=None"),
        (DatasetQuantization, {"bins": 0}, "DatasetQuantization bins=0"),
    ],
)  # fmt: skip
def test_options(cls: type, options: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        cls(**{"fraction": 0.5, **options})


def test_large_classes_are_picked_from_in_parts() -> None:
    """Two rounds: as many samples, other ones than greedy over the whole class, and nearly as good."""
    parts, whole = (picker.select(0, signals()) for picker in (Coreset(0.3, part_size=20), Coreset(0.3)))
    assert parts is not None
    assert whole is not None
    assert len(parts.ids) == len(whole.ids)
    small = np.isin(TARGETS[whole.ids], LABELS[np.array(COUNTS) <= 20])
    np.testing.assert_array_equal(parts.ids[np.isin(parts.ids, whole.ids[small])], whole.ids[small])
    assert not np.array_equal(parts.ids, whole.ids)

    def cost(ids: np.ndarray) -> float:
        classes = [(of_class(c), ids[TARGETS[ids] == c]) for c in LABELS.tolist()]
        pairs = [np.linalg.norm(P[own][:, None] - P[picked][None], axis=2) for own, picked in classes]
        return float(sum(distances.min(1).sum() for distances in pairs))

    assert cost(parts.ids) <= 1.2 * cost(whole.ids)
