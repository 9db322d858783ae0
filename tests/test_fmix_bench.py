"""The FMix benchmark measures what it says, on a small task."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from fieldloom.perf import fmix_bench


@pytest.mark.parametrize("make", [fmix_bench.NumpyMasks, fmix_bench.OurMasks])
def test_both_sides_do_the_same_work(make) -> None:  # type: ignore[no-untyped-def]
    masks, counts = make(24, 3.0), np.array([0, 1, 100, 300, 576])
    first, second = masks(counts), masks(counts)
    for out in (first, second):
        assert out.dtype == np.uint8
        assert set(np.unique(out)) == {0, 255}
        np.testing.assert_array_equal((out == 0).sum((1, 2)), counts)
    assert (first[2:4] != second[2:4]).any((1, 2)).all()
    # Low frequencies: neighbors are alike.
    assert (first[2:4, 1:] == first[2:4, :-1]).mean() > 0.9


def test_report(tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "fmix.json"
    options = ["--side", "16", "--rounds", "2", "--masks", "3", "--json", str(file)]
    result = CliRunner().invoke(fmix_bench.main, options)
    assert result.exit_code == 0, result.output
    report = json.loads(file.read_text())
    assert report["setting"]["side"] == 16
    assert report["cpu_ms_per_mask"]["numpy"]["n"] == 2
    assert report["numpy_over_fieldloom"]["median"] > 0
    assert "processor" in report["machine"]
    assert "ratio" in result.output


def test_wrong_areas_are_refused(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(fmix_bench.OurMasks, "__call__", lambda self, counts: np.zeros((3, 8, 8), np.uint8))
    with pytest.raises(RuntimeError, match="fieldloom"):
        fmix_bench.run(side=8, rounds=1, n=3)
