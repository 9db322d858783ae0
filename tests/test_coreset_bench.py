"""The coreset benchmark measures what it says, on a small task."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from fieldloom.kernels.submodular.facility import facility_location
from fieldloom.perf import coreset_bench, coreset_peers


def test_residuals_are_gradients_of_the_loss() -> None:
    vectors, labels = coreset_bench.residuals(40, 4, 4)
    assert np.bincount(labels).tolist() == [10] * 4
    np.testing.assert_allclose(vectors.sum(1), 0, atol=1e-6)
    assert (np.sign(vectors) == np.where(np.eye(4)[labels], -1, 1)).all()


def test_naive_is_what_lazy_equals() -> None:
    vectors, _ = coreset_bench.residuals(60, 1, 5)
    assert coreset_bench.naive(vectors, 9) == facility_location(vectors, 9).indices.tolist()


def test_report(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(coreset_bench, "_compile_seconds", lambda: 0.0)
    monkeypatch.setitem(coreset_peers.PEERS, "absent", ("no_such_module", None))
    file = tmp_path / "coreset.json"
    options = ["--class-size", "60", "--rounds", "2", "--largest", "0", "--slice", "1", "--json", str(file)]
    result = CliRunner().invoke(coreset_bench.main, options)
    assert result.exit_code == 0, result.output
    report = json.loads(file.read_text())
    assert report["job"]["wall_s"]["n"] == 2
    assert report["job"]["peak_mb"] > report["job"]["resident_before_mb"]
    assert report["imagenet"]["classes_measured"] == 1
    assert "an extrapolation" in report["imagenet"]["extrapolated_to_1000_classes"]["note"]
    assert report["methods"]["rows"][1]["picks_that_differ_from_naive"] == 0
    peers = {row["name"]: row for row in report["peers"]["rows"]}
    assert peers["absent"]["left_out"] == "not installed"
    assert peers["fieldloom"]["value"] == pytest.approx(report["methods"]["rows"][1]["value"], abs=1e-3)
    assert "absent: left out, not installed" in result.output
