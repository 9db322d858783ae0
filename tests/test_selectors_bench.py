"""The benchmark of selectors measures what it says, on a small task."""

import json
from pathlib import Path

from click.testing import CliRunner

from fieldloom.perf import selectors_bench
from fieldloom.selectors import SELECTORS, EntropyFilter


def test_report(tmp_path: Path) -> None:
    file = tmp_path / "selectors.json"
    options = ["--light", "2000", "--heavy", "200", "--width", "8", "--rounds", "2", "--json", str(file)]
    result = CliRunner().invoke(selectors_bench.main, options)
    assert result.exit_code == 0, result.output
    report = json.loads(file.read_text())
    rows = report["light"] | report["heavy"]
    assert rows["RS2(0.3)"]["samples_selected"] == 600
    assert rows["Coreset(0.1)"]["samples_selected"] == 20
    assert all(row["cpu_s"]["n"] == 2 for row in rows.values())
    assert "processor" in report["machine"]
    assert "MaxLoss" in result.output


def test_every_selector_is_measured() -> None:
    builds = selectors_bench.LIGHT | selectors_bench.HEAVY
    assert {type(build(10)) for build in builds.values()} | {EntropyFilter} == set(SELECTORS), "one as EL2N"
