"""`fieldloom pack`: what it prints, and how it ends."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from packed_cases import flip

from fieldloom.perf.cli import main
from fieldloom.sources import PackedSource
from helpers import make_folder, text_file


def call(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["pack", *map(str, arguments)])


def test_pack_and_check(tmp_path: Path) -> None:
    make_folder(tmp_path / "images", 6)
    result = call(tmp_path / "images", tmp_path / "packed", "--side", 16, "--threads", 2)
    assert result.exit_code == 0, result.output
    assert "6 samples" in result.output
    source = PackedSource(tmp_path / "packed")
    assert (source.kind, source.side) == ("raw", 16)
    result = call("--check", tmp_path / "packed")
    assert result.exit_code == 0, result.output
    assert "6 samples, 0.0 MB as raw: all checksums match" in result.output
    flip(tmp_path / "packed" / "data-00000.bin", 99)
    result = call("--check", tmp_path / "packed")
    assert result.exit_code == 1
    assert "1 of 6 samples do not match" in result.output
    result = call(tmp_path / "images", tmp_path / "packed")
    assert result.exit_code == 2
    assert "--overwrite" in result.output
    result = call(tmp_path / "images", tmp_path / "packed", "--overwrite", "--as", "jpeg", "--quality", 50)
    assert result.exit_code == 0, result.output
    assert PackedSource(tmp_path / "packed").kind == "jpeg"


def test_skipped_samples_are_listed(tmp_path: Path) -> None:
    files = make_folder(tmp_path / "images", 6)
    files[2].write_bytes(text_file())
    result = call(tmp_path / "images", tmp_path / "packed")
    assert result.exit_code == 1
    assert not (tmp_path / "packed").exists()
    result = call(tmp_path / "images", tmp_path / "packed", "--on-bad-sample", "skip")
    assert result.exit_code == 0, result.output
    assert "skipped 1 samples" in result.output
    assert files[2].name in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("x",), 2, "Missing argument 'DST'"),
        (("--check", "x", "y"), 2, "--check takes one folder"),
        (("--check", "absent"), 1, "there is no fieldloom.json"),
        (("absent", "y"), 1, "no such folder"),
        (("x", "y", "--side", "-1"), 2, "--side"),
        (("x", "y", "--as", "png"), 2, "--as"),
    ],
)
def test_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call(*arguments)
    assert result.exit_code == code, result.output
    assert says in result.output
    assert "Traceback" not in result.output


def test_help() -> None:
    result = call("--help")
    assert result.exit_code == 0
    for word in ("SRC", "DST", "--check", "--as [raw|jpeg]", "fieldloom pack photos/train packed/train"):
        assert word in result.output
