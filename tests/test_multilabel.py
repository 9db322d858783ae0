"""Several numbers for each sample as targets: how they come in, how they are mixed, what refuses them."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fieldloom as fl
from fieldloom import errors, selectors
from fieldloom.sources import open_source
from fieldloom.sources.rows import check_targets
from helpers import encode, pixels

N = 24
ROWS = np.random.default_rng(0).integers(0, 2, (N, 5)).astype(np.float32)


def stack() -> np.ndarray:
    return np.stack([pixels(16, 16, i) for i in range(N)])


def make(targets: Any = ROWS, **options: Any) -> fl.DataLoader:
    settings = {"batch_size": 8, "size": 12, "seed": 2, "threads": 1, "device": "cpu"}
    return fl.DataLoader((stack(), targets), **{**settings, **options})


AS_ROWS = {
    "float32": lambda: ROWS,
    "float64": lambda: ROWS.astype(np.float64),
    "int64": lambda: ROWS.astype(np.int64),
    "bool": lambda: ROWS.astype(bool),
    "tensor": lambda: torch.from_numpy(ROWS.copy()),
    "lists": lambda: ROWS.astype(int).tolist(),
    "tuples": lambda: [tuple(row) for row in ROWS.tolist()],
    "arrays": lambda: list(ROWS),
    "tensors": lambda: list(torch.from_numpy(ROWS.copy())),
}


@pytest.mark.parametrize("form", AS_ROWS)
def test_rows(form: str) -> None:
    with make(AS_ROWS[form](), shuffle=True) as loader:
        assert loader.source.targets.dtype == np.float32
        for batch in loader:
            assert batch.targets.dtype == torch.float32
            np.testing.assert_array_equal(batch.targets.numpy(), ROWS[batch.ids.numpy()])


@pytest.mark.parametrize("form", ["lists", "tuples", "arrays", "tensors"])
def test_rows_in_lists_of_pairs(form: str) -> None:
    rows = AS_ROWS[form]()
    for items in ([f"{i}.jpg" for i in range(N)], [encode(i) for i in range(N)], list(stack())):
        source = open_source(list(zip(items, rows, strict=True)))
        np.testing.assert_array_equal(source.targets, ROWS)
    columns = open_source(([f"{i}.jpg" for i in range(N)], rows))
    np.testing.assert_array_equal(columns.targets, ROWS)


SHAPES = hnp.array_shapes(min_dims=2, max_dims=2)


@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(-10, 10, width=32)))
def test_rows_pass_unchanged(rows: np.ndarray) -> None:
    np.testing.assert_array_equal(check_targets(rows, None, str), rows)
    np.testing.assert_array_equal(check_targets(rows.tolist(), None, str), rows)
    assert check_targets(rows.tolist(), rows.shape[1], str).dtype == np.float32


@pytest.mark.parametrize(
    ("rows", "sample"),
    [
        ([[1, 0], [1]], 1),
        ([[1, 0], 1], 1),
        ([[1, 0], [1, "x"]], 1),
        ([[1, 0], [1, None]], 1),
        ([[1, 0], [1, [2]]], 1),
        ([[1, 0], [1, float("nan")]], 1),
        ([[1, 0], [1, 1e300]], 1),
        (np.array([[1, 0], [np.inf, 0]]), 1),
        ([[1, 0], [[1, 0], [1, 0]]], 1),
        ([[], []], 0),
        ([1, [1, 0]], 1),
        ([[1, 0, 1, 0], [0, 0, 0, 0]], 0),
    ],
    ids=str,
)
def test_bad_rows(rows: Any, sample: int) -> None:
    with pytest.raises(errors.LabelError) as caught:
        check_targets(rows, 2 if len(np.atleast_1d(rows[0])) == 4 else None, lambda i: f"file{i}")
    assert (caught.value.sample, caught.value.file) == (sample, f"file{sample}")


@pytest.mark.parametrize("mix", [fl.MixUp(), fl.CutMix(), fl.FMix(), fl.OneOf([fl.MixUp(), fl.CutMix()])])
def test_mixed_by_weight(mix: Any) -> None:
    """The definition: sum over what a sample is made of, weight times its row; the weights sum to 1."""
    mixed = 0
    with make(augment=[mix], shuffle=True) as loader:
        for batch in loader:
            assert batch.mix.classes is None
            assert batch.targets.shape == (8, 5)
            expected = np.zeros((8, 5), np.float64)
            weights, ids = batch.mix.weights.numpy().astype(np.float64), batch.mix.ids.numpy()
            np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
            np.testing.assert_array_equal(ids[:, 0], batch.ids.numpy())
            for way in range(weights.shape[1]):
                expected += weights[:, way, None] * ROWS[ids[:, way]]
            np.testing.assert_allclose(batch.targets.numpy(), expected, atol=1e-6)
            mixed += int((weights[:, 0] < 0.999).sum())
            with pytest.raises(errors.ArgumentError, match=r"Use batch\.targets: they are mixed already"):
                batch.soft_targets(5)
    assert mixed > N // 4


def test_mixed_images_do_not_depend_on_the_kind_of_targets() -> None:
    with make(augment=[fl.MixUp()]) as rows, make(np.zeros(N, int), augment=[fl.MixUp()]) as classes:
        for one, other in zip(rows, classes, strict=True):
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.mix.weights, other.mix.weights)


def test_mixed_rows_equal_soft_targets_of_classes() -> None:
    labels = np.arange(N) % 5
    with (
        make(np.eye(5, dtype=np.float32)[labels], augment=[fl.CutMix()]) as hot,
        make(labels, augment=[fl.CutMix()]) as classes,
    ):
        for one, other in zip(hot, classes, strict=True):
            torch.testing.assert_close(one.targets, other.soft_targets(5))


@pytest.mark.parametrize(
    "selector",
    [
        lambda: selectors.RS2(0.5, class_balanced=True),
        lambda: selectors.MaxLoss(0.5, class_balanced=True),
    ],
)
def test_selectors_that_need_classes(selector: Any) -> None:
    with make(selection=selector()) as loader, pytest.raises(errors.ArgumentError, match=r"samples' classes"):
        train(loader)


def train(loader: fl.DataLoader) -> None:
    for _ in range(3):
        for batch in loader:
            loader.feedback(batch, loss=torch.ones(len(batch)))


def test_selectors_that_need_none() -> None:
    with make(selection=selectors.RS2(0.5)) as loader:
        assert sum(len(batch) for batch in loader) == N // 2


def test_replay_and_resume_with_rows() -> None:
    with make(augment=[fl.MixUp()], shuffle=True) as loader:
        iterator = iter(loader)
        next(iterator)
        state = loader.state_dict()
        rest = [batch.targets for batch in iterator]
    with make(augment=[fl.MixUp()], shuffle=True) as again:
        again.load_state_dict(state)
        assert all(torch.equal(one, batch.targets) for one, batch in zip(rest, again, strict=True))
