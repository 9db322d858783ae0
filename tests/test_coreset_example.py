"""The example that compares selectors: what it counts is what was read."""

import importlib.util
import json
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "cifar_coreset.py"


def test_it_counts_what_it_reads(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("cifar_coreset", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    example.SIDE = 16
    arguments = ["--images", "60", "--test-images", "16", "--epochs", "2", "--width", "4", "--threads", "1"]
    report = example.main([*arguments, "--json", str(tmp_path / "report.json")])
    rows = {row["method"]: row for row in report["rows"]}
    assert rows.keys() == example.METHODS.keys()
    assert rows["full"]["samples_read"] == 2 * 60
    assert rows["RS2 30 %"]["samples_read"] == rows["random 30 %"]["samples_read"] == 2 * 18
    assert rows["coreset 30 %"]["samples_read"] == 60 + 2 * 18  # one scoring pass
    assert rows["coreset 30 %"]["scoring_s"] > 0
    assert rows["full"]["speedup"] == 1
    assert json.loads((tmp_path / "report.json").read_text())["rows"] == report["rows"]
