"""Selecting samples: only these, in the next epoch, with their weights."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fieldloom as fl
from fieldloom.selection import Selection
from helpers import Recorded, check_ledger, ids_of, make_folder, pixels, run_python

N = 12
IMAGES = (np.stack([pixels(8, 8, i) for i in range(N)]), np.arange(N))


def make(source=IMAGES, **options):
    return fl.DataLoader(source, **{"batch_size": 5, "size": 8, "threads": 2, **options})


@pytest.fixture(scope="module")
def loader():
    with make() as loader:
        yield loader


@pytest.mark.parametrize(
    "ids",
    [
        [2, 7, 3],
        (2, 7, 3),
        np.array([2, 7, 3], np.uint8),
        np.array([2, 7, 3], np.int32),
        torch.tensor([2, 7, 3]),
        torch.tensor([2, 7, 3], dtype=torch.int32),
    ],
    ids=["list", "tuple", "uint8", "int32", "tensor", "int32 tensor"],
)
def test_forms_of_ids(loader, ids) -> None:
    loader.select(ids)
    assert ids_of(loader) == [[2, 7, 3]]
    assert len(loader) == 1


@pytest.mark.parametrize("form", [list, np.array, torch.tensor])
def test_masks(loader, form) -> None:
    loader.select(form([i in (2, 3, 7) for i in range(N)]))
    assert ids_of(loader) == [[2, 3, 7]]


def test_range(loader) -> None:
    loader.select(range(4, 7))
    assert ids_of(loader) == [[4, 5, 6]]


def test_none_goes_back_to_all(loader) -> None:
    loader.select([1])
    loader.select(None)
    assert [i for ids in ids_of(loader) for i in ids] == list(range(N))
    with pytest.raises(fl.ArgumentError, match=r"select\(None\) with weights"):
        loader.select(None, [1.0])


def test_the_users_array_is_not_kept(loader) -> None:
    ids, weights = np.array([1, 2]), np.array([1.0, 3.0])
    loader.select(ids, weights)
    ids[:], weights[:] = 9, 9
    (batch,) = loader
    assert batch.ids.tolist() == [1, 2]
    assert batch.weights.tolist() == [0.5, 1.5]


@pytest.mark.parametrize("shuffle", [False, True])
def test_weights_arrive_with_their_ids_and_have_mean_1(shuffle: bool) -> None:
    ids = np.array([5, 1, 9, 0, 11, 3, 7])
    with make(shuffle=shuffle) as loader:
        loader.select(ids, ids + 1.0)
        batches = check_ledger(loader)
    weights = torch.cat([batch.weights for batch in batches]).numpy()
    delivered = torch.cat([batch.ids for batch in batches]).numpy()
    assert weights.dtype == np.float32
    assert weights.mean() == pytest.approx(1)
    np.testing.assert_allclose(weights, (delivered + 1) / (ids + 1).mean(), rtol=1e-6)


@given(st.lists(st.floats(0, 1e308, allow_subnormal=True), min_size=1, max_size=50))
def test_weights_of_any_size(weights: list[float]) -> None:
    ids = np.zeros(len(weights), int)
    if not any(weights):
        with pytest.raises(fl.ArgumentError, match="all 0"):
            Selection.checked(ids, weights, 1)
        return
    checked = Selection.checked(ids, weights, 1).weights
    assert np.isfinite(checked).all()
    assert checked.mean(dtype=np.float64) == pytest.approx(1, rel=1e-5)


def test_losses_with_their_graph_are_weights(loader) -> None:
    loader.select([0, 1], torch.tensor([1.0, 3.0], requires_grad=True) * 2)
    (batch,) = loader
    assert batch.weights.tolist() == [0.5, 1.5]
    assert not batch.weights.requires_grad


def test_takes_effect_at_the_next_epoch_only() -> None:
    with make() as loader:
        iterator = iter(loader)
        first = next(iterator)
        loader.select([1, 2])
        rest = list(iterator)
        assert [len(batch) for batch in (first, *rest)] == [5, 5, 2]
        assert ids_of(loader) == [[1, 2]]
        assert ids_of(loader) == [[1, 2]], "and it stays for the following ones"


def test_repeats_are_delivered_repeatedly(loader) -> None:
    loader.select([4, 4, 1, 4, 1, 1, 4])
    batches = check_ledger(loader)
    assert [i for batch in batches for i in batch.ids.tolist()] == [4, 4, 1, 4, 1, 1, 4]
    assert [len(batch) for batch in batches] == [5, 2]


def test_too_many_repeats() -> None:
    with make() as loader:
        loader.select([3] * 128)
        assert sum(len(batch) for batch in check_ledger(loader)) == 128
        with pytest.raises(fl.ArgumentError, match=r"id 3 129 times.*at most 128"):
            loader.select([3] * 129)
        assert len(loader) == 26, "a refused selection changes nothing"


BAD_IDS = {
    "too large": ([0, 12], r"id 12 \(at position 1\).*ids go from 0 to 11"),
    "negative": ([3, 4, -1], r"id -1 \(at position 2\)"),
    "huge": ([2**63], r"id 9223372036854775808"),
    "beyond integers": ([2**70], "not a list of whole numbers"),
    "empty": ([], "no ids.*None for all"),
    "empty mask": ([False] * N, "no ids"),
    "float": ([1.0], "float64.*whole numbers"),
    "nan": ([np.nan], "whole numbers"),
    "text": ("12", "whole numbers"),
    "texts": (["1"], "whole numbers"),
    "one number": (3, r"shape \(\)"),
    "2-D": ([[1, 2]], r"shape \(1, 2\)"),
    "ragged": ([[1], [2, 3]], "ids that are no array"),
    "short mask": ([True, False], r"mask of shape \(2,\).*12 samples"),
    "2-D mask": (np.ones((N, 1), bool), r"mask of shape \(12, 1\)"),
    "set": ({1, 2}, "whole numbers"),
    "generator": ((i for i in range(3)), "whole numbers"),
    "mixed with None": ([1, None], "whole numbers"),
}


@pytest.mark.parametrize("case", BAD_IDS)
def test_bad_ids(loader, case: str) -> None:
    ids, message = BAD_IDS[case]
    loader.select([1])
    with pytest.raises(fl.ArgumentError, match=message):
        loader.select(ids)
    assert len(loader) == 1, "a refused selection changes nothing"


BAD_WEIGHTS = {
    "nan": ([1, np.nan, 1], r"weight nan \(at position 1\)"),
    "infinite": ([np.inf, 1, 1], r"weight inf \(at position 0\)"),
    "negative": ([1, 1, -0.5], r"weight -0.5 \(at position 2\)"),
    "all 0": ([0, 0, 0], "all 0.*mean 1"),
    "too short": ([1, 1], r"shape \(2,\).*3 ids"),
    "2-D": ([[1, 1, 1]], r"shape \(1, 3\)"),
    "one": (1.0, r"shape \(\)"),
    "text": (["1", "1", "1"], "not numbers"),
    "complex": ([1j, 1, 1], "not numbers"),
    "ragged": ([[1], [2, 3], 1], "weights that are no array"),
    "objects": ([None, 1, 1], "not numbers"),
}


@pytest.mark.parametrize("case", BAD_WEIGHTS)
def test_bad_weights(loader, case: str) -> None:
    weights, message = BAD_WEIGHTS[case]
    with pytest.raises(fl.ArgumentError, match=message):
        loader.select([1, 2, 3], weights)


def test_nothing_to_select_from() -> None:
    with make([]) as loader, pytest.raises(fl.ArgumentError, match="id 0"):
        loader.select([0])


# ---------------------------------------------------------------- what is not selected is not opened


def test_only_selected_samples_are_read() -> None:
    source = Recorded(20)
    with make(source) as loader:
        loader.select([3, 17, 3, 4])
        list(loader)
        assert sorted(source.reads) == [3, 3, 4, 17]


def test_unselected_files_may_be_gone_or_dangerous(tmp_path: Path) -> None:
    files = make_folder(tmp_path, N)
    with make(tmp_path) as loader:
        loader.select([0, 5, 11])
        for i, file in enumerate(files):
            if i not in (0, 5, 11):
                file.unlink()
                if i % 2:
                    os.mkfifo(file)  # opening it would be an error, or wait for ever
        for _ in range(2):
            assert ids_of(loader) == [[0, 5, 11]]


AUDIT = """
import sys
import fieldloom as fl
opened = set()
def hook(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)):
        name = arguments[0] if isinstance(arguments[0], str) else arguments[0].decode()
        if name.endswith(".jpg"):
            opened.add(name[-8:-4])
with fl.DataLoader(sys.argv[1] if len(sys.argv) > 1 else {path!r}, batch_size=4, size=8, threads=2) as loader:
    loader.select([1, 6])
    sys.addaudithook(hook)
    list(loader)
    list(loader)
print(sorted(opened))
"""


def test_unselected_files_are_never_opened(tmp_path: Path) -> None:
    make_folder(tmp_path, 9)
    done = run_python(AUDIT.format(path=str(tmp_path)))
    assert done.stdout == "['0001', '0006']\n", done.stderr


@settings(max_examples=15)
@given(st.lists(st.integers(0, N - 1), min_size=1, max_size=30), st.booleans(), st.booleans())
def test_any_selection_balances(loader, ids: list[int], weighted: bool, mask: bool) -> None:
    if mask:
        ids = sorted(set(ids))
    loader.select(
        [i in ids for i in range(N)] if mask else ids, np.arange(1.0, len(ids) + 1) if weighted else None
    )
    batches = check_ledger(loader)
    assert [i for batch in batches for i in batch.ids.tolist()] == ids
