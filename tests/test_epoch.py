"""The plan of an epoch: a pure function of (seed, epoch, selection)."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldloom import epoch as epoch_module
from fieldloom.epoch import MAX_OCCURRENCES, n_batches, plan_epoch
from fieldloom.errors import ArgumentError
from fieldloom.ranks import Rank
from fieldloom.selection import Selection
from fieldloom.slices import Slices

ids_lists = st.lists(st.integers(0, 30), min_size=1, max_size=60)


def plan(n=40, ids=None, weights=None, shuffle=True, seed=1, epoch=2):
    selection = None if ids is None else Selection.checked(ids, weights, n)
    return plan_epoch(n, selection, shuffle=shuffle, seed=seed, epoch=epoch)


@given(st.integers(0, 500), st.booleans(), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))
def test_each_sample_once(n: int, shuffle: bool, seed: int, epoch: int) -> None:
    ordered = plan(n, shuffle=shuffle, seed=seed, epoch=epoch)
    assert sorted(ordered.ids.tolist()) == list(range(n))
    assert ordered.occurrences is None
    assert not ordered.repeats(slice(0, n)).any()
    assert ordered.weights is None
    assert len(ordered) == n
    if not shuffle:
        assert ordered.ids.tolist() == list(range(n))
    again = plan(n, shuffle=shuffle, seed=seed, epoch=epoch)
    assert again.ids.tolist() == ordered.ids.tolist()


@given(ids_lists, st.booleans())
def test_each_pair_of_id_and_occurrence_once(ids: list[int], shuffle: bool) -> None:
    weights = np.arange(1.0, len(ids) + 1)
    ordered = plan(ids=ids, weights=weights, shuffle=shuffle)
    pairs = list(zip(ordered.ids.tolist(), ordered.occurrences.tolist(), strict=True))
    assert len(set(pairs)) == len(ids)
    assert sorted(i for i, _ in pairs) == sorted(ids)
    for id in set(ids):
        assert sorted(o for i, o in pairs if i == id) == list(range(ids.count(id)))
        # The k-th mention of an id is its occurrence k, and keeps the weight that stood beside it.
        given_weights = [w for i, w in zip(ids, weights, strict=True) if i == id]
        kept = {o: w for (i, o), w in zip(pairs, ordered.weights, strict=True) if i == id}
        np.testing.assert_allclose(
            [kept[k] for k in range(len(kept))], np.array(given_weights) / weights.mean(), rtol=1e-6
        )


@given(st.sets(st.integers(0, 39), min_size=1))
def test_relative_order_does_not_depend_on_the_selection(ids: set[int]) -> None:
    everything = plan().ids.tolist()
    assert plan(ids=sorted(ids)).ids.tolist() == [i for i in everything if i in ids]
    assert plan(ids=sorted(ids, reverse=True)).ids.tolist() == [i for i in everything if i in ids]


def test_seeds_and_epochs_give_other_orders() -> None:
    orders = [
        tuple(plan(seed=seed, epoch=epoch).ids.tolist()) for seed in (0, 1, 2**63) for epoch in (0, 1, 2**31)
    ]
    assert len(set(orders)) == 9


def test_shuffle_is_uniform() -> None:
    """Chi-square of where sample 0 stands: 8 places, 4000 epochs; 99.9 % lie below 24.3."""
    places = np.zeros(8)
    for epoch in range(4000):
        places[np.flatnonzero(plan(8, epoch=epoch).ids == 0)[0]] += 1
    assert ((places - 500) ** 2 / 500).sum() < 24.3


@given(st.integers(0, 200), st.integers(1, 70), st.booleans())
def test_slices(n: int, batch_size: int, drop_last: bool) -> None:
    slices = list(plan(n).slices(batch_size, drop_last=drop_last))
    assert len(slices) == n_batches(n, batch_size, drop_last=drop_last)
    covered = [i for where in slices for i in range(where.start, where.stop)]
    assert covered == list(range(n - n % batch_size if drop_last else n))
    assert all(where.stop - where.start == batch_size for where in slices[:-1])


def test_slices_of_slices_and_of_bounds() -> None:
    slices = plan(10).slices(3, drop_last=False)
    assert slices[-1] == slice(9, 10)
    assert list(slices[1:][:2]) == [slice(3, 6), slice(6, 9)]
    bounds = Slices(9, 3, drop_last=True, bounds=np.array([0, 1, 5, 9]))
    assert list(bounds) == [slice(0, 1), slice(1, 5), slice(5, 9)]
    assert list(bounds[2:]) == [slice(5, 9)]
    with pytest.raises(IndexError):
        slices[4]


def test_an_epoch_of_many_small_batches_takes_no_memory_for_them() -> None:
    ordered = plan(1_000_000)
    tracemalloc.start()
    try:
        slices = ordered.slices(1, drop_last=False)[3:]
        part = ordered.of_rank(Rank(1, 2), 1, drop_last=False)
        assert (len(slices), len(part)) == (999_997, 500_000)
        assert tracemalloc.get_traced_memory()[1] < 25e6  # indices of half the samples, and their copies
    finally:
        tracemalloc.stop()


def test_limit_of_repeats() -> None:
    assert plan(ids=[5] * MAX_OCCURRENCES).occurrences.max() == MAX_OCCURRENCES - 1
    with pytest.raises(ArgumentError, match=r"id 5 129 times.*at most 128"):
        plan(ids=[5] * (MAX_OCCURRENCES + 1))


def test_millions_of_samples() -> None:
    ordered = plan(2_000_000)
    assert ordered.ids.nbytes == 8_000_000
    assert ordered.occurrences is None


@pytest.mark.parametrize("n", [2, 3, 100, 65_536, 65_537, 200_000])
def test_the_short_way_gives_the_stable_order_of_the_keys(n: int) -> None:
    keys = epoch_module._order_keys(7, np.arange(n), 3, 0)
    assert np.array_equal(plan_epoch(n, None, shuffle=True, seed=7, epoch=3).ids, keys.argsort(kind="stable"))


def test_runs_of_equal_high_bits_are_put_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys with few values: runs go over the chunks' borders, and whole keys tie too."""

    def poor(seed: int, ids: np.ndarray, epoch: int, occurrences: object) -> np.ndarray:
        return ids.astype(np.uint64) * np.uint64(7) % np.uint64(5) << np.uint64(40) | (
            ids.astype(np.uint64) * np.uint64(11) % np.uint64(3)
        )

    monkeypatch.setattr(epoch_module, "CHUNK", 64)
    monkeypatch.setattr(epoch_module, "_order_keys", poor)
    found = plan_epoch(1000, None, shuffle=True, seed=0, epoch=0).ids
    assert np.array_equal(found, poor(0, np.arange(1000), 0, 0).argsort(kind="stable"))
