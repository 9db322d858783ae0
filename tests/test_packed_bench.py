"""The packed benchmark measures what it says, on a small task."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fieldloom.perf.__main__ import main
from helpers import make_folder


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_report(tmp_path: Path) -> None:
    make_folder(tmp_path / "images", 12)
    file = tmp_path / "packed.json"
    options = [
        "--rounds",
        2,
        "--size",
        16,
        "--batch-size",
        4,
        "--images",
        20,
        "--start",
        1000,
        "--json",
        file,
    ]
    result = CliRunner().invoke(main, ["packed", str(tmp_path / "images"), *map(str, options)])
    assert result.exit_code == 0, result.output
    report = json.loads(file.read_text())
    assert report["setting"]["images"] == 24
    assert {"raw J1", "raw J3c", "jpeg J1", "pass J1", "pass J3c", "DALI J1 from files"} <= set(
        report["jobs"]
    )
    assert all(job["cpu_ms_per_image"]["n"] == 2 for job in report["jobs"].values())
    assert report["left_out"] == ["FFCV raw J1"]
    assert report["start"]["n"] == 1000
    assert [row["what"] for row in report["targets"]] == [
        "CPU time, raw J3c minus pass J3c, ms",
        "first batch of 1000 samples, s",
        "memory of 1000 samples, MB",
    ]
