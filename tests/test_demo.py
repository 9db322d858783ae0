"""`fieldloom demo` from nothing: photographs, figures, a sheet, and what to try next."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from fieldloom.perf.cli import main


def test_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["demo", "--images", "16", "--seconds", "0.3", "--size", "64", "--batch-size", "8"]
    result = CliRunner().invoke(main, [*arguments, "--threads", "1", "--json", "demo.json"])
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "demo-data").glob("*/*.jpg"))) == 16
    for text in ("on the CPU with 1 threads", "compiling kernels", "images/s", "CPU ms", "fieldloom preview"):
        assert text in result.output
    assert "\x1b" not in result.output
    assert "\r" not in result.output
    assert max(map(len, result.output.splitlines())) <= 100
    with Image.open("demo.png") as sheet:
        assert sheet.size[0] > 1000
        assert sheet.size[1] > 1500
    report = json.loads(Path("demo.json").read_text())
    assert set(report["recipes"]) == {"imagenet", "rfa"}
    assert all(recipe["images_per_s"] > 0 for recipe in report["recipes"].values())
