"""A loader starts on millions of packed samples in little memory."""

from pathlib import Path

import numpy as np
import pytest

import fieldloom as fl
from fieldloom.perf.packed_start import BATCH, SIDE, first_ids, measure_start, write_sparse


def test_the_sparse_data_set_is_a_packed_one(tmp_path: Path) -> None:
    filled = first_ids(1000, 2)
    write_sparse(str(tmp_path / "packed"), 1000, filled)
    with fl.DataLoader(tmp_path / "packed", BATCH, SIDE, shuffle=True, device="cpu", prefetch=1) as loader:
        batch = next(iter(loader))
        assert batch.ids.tolist() == filled[:BATCH].tolist()
        assert batch.targets.tolist() == (filled[:BATCH] % 1000).tolist()
        hole = int(np.setdiff1d(np.arange(1000), filled)[0])
        with pytest.raises(fl.DecodeError):
            loader.source.pixels(hole)


@pytest.mark.slow
@pytest.mark.parametrize("n", [1_000_000, pytest.param(10_000_000, marks=pytest.mark.timeout(600))])
def test_memory(n: int) -> None:
    """Above that of a tiny loader: targets of 2 bytes, and the plan."""
    found = measure_start(n, rounds=1)
    assert found["n"] == n
    assert found["first_batch"] == [BATCH, 3, SIDE, SIDE]
    assert 2e-6 * n < found["peak_mb_above"] < 200
