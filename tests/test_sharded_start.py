"""A loader starts on millions of samples in shards in little memory."""

from pathlib import Path

import numpy as np
import pytest

import fieldloom as fl
from fieldloom.perf.packed_start import BATCH, SIDE, first_ids
from fieldloom.perf.sharded_start import measure_index, measure_reads, measure_start, write_sparse


def test_the_sparse_shards_are_shards(tmp_path: Path) -> None:
    filled = first_ids(12_000, 2)
    write_sparse(str(tmp_path / "shards"), 12_000, filled)
    with fl.DataLoader(tmp_path / "shards", BATCH, SIDE, shuffle=True, device="cpu", prefetch=1) as loader:
        batch = next(iter(loader))
        assert batch.ids.tolist() == filled[:BATCH].tolist()
        assert batch.targets.tolist() == (filled[:BATCH] % 1000).tolist()
        hole = int(np.setdiff1d(np.arange(12_000), filled)[0])
        with pytest.raises(fl.DecodeError):
            loader.source.read(hole)


def test_costs_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fieldloom.perf.sharded_start.SAMPLES", 20)
    monkeypatch.setattr("fieldloom.perf.sharded_start.ROUNDS", 2)
    assert set(measure_reads()["us"]) == {"pread", "map", "new map"}
    assert measure_index(30)["samples"] == 30


@pytest.mark.slow
@pytest.mark.parametrize("n", [1_000_000, pytest.param(10_000_000, marks=pytest.mark.timeout(600))])
def test_memory(n: int) -> None:
    """Above that of a tiny loader: targets of 2 bytes, the plan, and rows of the shards that were read."""
    found = measure_start(n)
    assert found["n"] == n
    assert found["shards"] == n // 10_000
    assert found["first_batch"] == [BATCH, 3, SIDE, SIDE]
    assert 2e-6 * n < found["peak_mb_above"] < 200
