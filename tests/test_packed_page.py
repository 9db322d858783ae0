"""docs/packed.md: its code runs, its commands work, its figures are those of the results file."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import fieldloom as fl
import fieldloom.sources
from fieldloom.perf.cli import main
from fieldloom.sources.packed.packedformat import KINDS, VERSION
from helpers import make_folder

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/packed.md").read_text()
RESULTS = json.loads((ROOT / "perf/results/packed-cpu.json").read_text())


def test_code_runs_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "photos" / "train", 6)
    (tmp_path / "packed").mkdir()
    names: dict[str, Any] = {"fl": fl}
    blocks = re.findall(r"```(python|sh)\n(.*?)```", PAGE, re.DOTALL)
    assert [language for language, _ in blocks] == ["sh", "python", "python", "sh", "python"]
    for language, block in blocks:
        if language == "sh":
            program, *arguments = block.split()
            assert program == "fieldloom"
            result = CliRunner().invoke(main, arguments)
            assert result.exit_code == 0, result.output
        else:
            short = block.replace("side=256", "side=256, overwrite=True").replace("imagenet", "cifar")
            exec(compile(short, "packed.md", "exec"), names)
    assert len(names["packed"]) == 6


@pytest.mark.parametrize("name", ["raw J1", "jpeg J1", "FFCV raw J1", "FFCV raw J1, channels last"])
def test_figures_are_those_of_the_results(name: str) -> None:
    job = RESULTS["jobs"][name]
    row = next(line for line in PAGE.splitlines() if f"`{name}`" in line)
    assert f"| {job['cpu_ms_per_image']['median']:.2f} |" in row
    assert f"| {job['peak_mb']:.0f} |" in row


def test_targets_that_the_page_quotes() -> None:
    assert f"{RESULTS['start']['peak_mb_above']:.0f} MB" in PAGE
    start = RESULTS["start"]
    assert f"{start['cpu_s']['median']:.1f} s of CPU time" in PAGE
    assert f"{start['seconds']['min']:.1f} to {start['seconds']['max']:.1f} s" in PAGE
    assert f"{RESULTS['ratios']['raw J1 over FFCV raw J1, channels last']['median']:.2f} times" in PAGE
    assert f"{RESULTS['ratios']['raw J3c minus pass J3c, ms']['median']:.2f} ms more" in PAGE
    assert f"{RESULTS['setting']['distinct_images']} distinct photographs" in PAGE
    assert f"Version {VERSION};" in PAGE
    assert all(f"--as {kind}" in PAGE for kind in KINDS)
    assert fieldloom.sources.PackedSource.__name__ in PAGE
