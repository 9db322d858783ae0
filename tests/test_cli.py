"""The command line: pleasant help, JSON, clean errors with their exit codes."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

import fieldloom
from fieldloom.errors import DeviceError
from fieldloom.perf import preview as preview_module
from fieldloom.perf.__main__ import main as perf_main
from fieldloom.perf.cli import main
from fieldloom.presets import RECIPES
from fieldloom.recipe import Format, compile_recipe
from helpers import make_folder


def call(*arguments: Any, command: Any = main) -> Result:
    return CliRunner().invoke(command, [str(a) for a in arguments])


def test_help_lists_the_commands_in_order() -> None:
    result = call("--help")
    assert result.exit_code == 0
    places = [result.output.index(f"\n  {name} ") for name in ("demo", "preview", "profile", "doctor")]
    assert places == sorted(places)
    assert "Examples:\n    fieldloom demo\n" in result.output
    for line in result.output.splitlines():
        assert len(line) <= 80


@pytest.mark.parametrize("command", ["demo", "preview", "profile"])
def test_every_command_has_help(command: str) -> None:
    result = call(command, "-h")
    assert result.exit_code == 0
    assert "--seed" in result.output
    assert "--json" in result.output


def test_version() -> None:
    assert call("--version").output == f"fieldloom, version {fieldloom.__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from fieldloom.perf.cli import main; main(['--help'], standalone_mode=False); "
        "print([m for m in ('numba', 'torch', 'nvidia.dali', 'rich', 'PIL') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.endswith("[]\n")


def test_profile_writes_json(tmp_path: Path) -> None:
    make_folder(tmp_path / "data", 6)
    target = tmp_path / "profile.json"
    result = call(
        "profile", tmp_path / "data", "--batches", 3, "--batch-size", 2, "--size", 16, "--json", target
    )
    assert result.exit_code == 0, result.output
    report = json.loads(target.read_text())
    assert {"images_per_s", "time_to_first_batch_s", "stages", "verdict", "settings"} <= set(report)
    assert report["n_images"] == 6
    assert "\x1b" not in result.output  # nobody watches: no colors, no cursor
    assert "\r" not in result.output
    for name in ("images/s", "first batch", "decode", "peak memory", report["bound"]):
        assert name in result.output


def test_json_dash_leaves_only_json_on_stdout(tmp_path: Path) -> None:
    make_folder(tmp_path, 4)
    result = call("profile", tmp_path, "--batches", 1, "--rounds", 1, "--size", "16x24", "--json", "-")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["settings"]["size"] == [16, 24]
    assert "images/s" in result.stderr


def test_profile_of_everything(tmp_path: Path) -> None:
    """All options at once, sweep axes behind the path, on a data set of ours."""
    make_folder(tmp_path / "data", 8)
    arguments = ["--batches", 2, "--rounds", 1, "--batch-size", 2, "--size", 16, "--threads", 1]
    arguments += [
        "--recipe",
        "imagenet",
        "--train-step",
        1,
        "--ideal",
        "--against",
        "dali",
        "--against",
        "timm",
    ]
    arguments += ["--html", tmp_path / "page.html", "--trace", tmp_path / "trace.json"]
    arguments += ["--json", tmp_path / "x.json", "--sweep", "threads=1,2", "batch=2"]
    result = call("profile", tmp_path / "data", *arguments)
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "x.json").read_text())
    assert [point["threads"] for point in report["sweep"]] == [1, 2]
    assert report["training"]["ideal_images_per_s"] > 0
    dali, timm = report["against"]
    assert dali["images_per_s"] > 0
    assert dali["cpu_ratio"] > 0
    assert (timm["images_per_s"] is None) == (importlib.util.find_spec("timm") is None)
    assert "The step waits" in result.output or "The loader hides" in result.output
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]


def test_profile_of_an_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "batches_of_mine.py").write_text(
        "import numpy as np\nbatches = [np.zeros((4, 2))] * 9\ndef step(batch): pass\n"
    )
    target = f"{tmp_path / 'batches_of_mine.py'}:batches"
    result = call("profile", target, "--batches", 5, "--train-step", "batches_of_mine:step", "--json", "-")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["n_images"] == 20


def test_preview_shows_what_the_loader_delivers(tmp_path: Path) -> None:
    make_folder(tmp_path / "data", 5)
    target = tmp_path / "sheet.png"
    result = call(
        "preview", tmp_path / "data", "-o", target, "--samples", 3, "--epochs", 2, "--size", 32, "--json", "-"
    )
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["epochs"] == [0, 1]
    assert len(report["samples"]) == 3
    with Image.open(target) as sheet:
        assert sheet.mode == "RGB"
        assert sheet.width < sheet.height


@pytest.mark.parametrize("recipe", [*RECIPES])
def test_preview_draws_what_the_recipe_draws(recipe: str) -> None:
    shown, whole = (
        compile_recipe(augment, Format()) for augment in (preview_module.visible(RECIPES[recipe]), recipe)
    )
    assert replace(shown, mean=whole.mean, std=whole.std) == whole
    assert set(shown.mean + shown.std) == {0.0, 1.0}


@pytest.mark.parametrize("recipe", ["imagenet_eval", "rfa_color"])
def test_preview_of_one_image(tmp_path: Path, recipe: str) -> None:
    file = make_folder(tmp_path, 1, n_classes=1)[0]
    result = call("preview", file, "-o", tmp_path / "x.png", "--recipe", recipe, "--size", 24, "--epochs", 1)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("profile", "{tmp}/absent"), 1, "there is no such file"),
        (("preview", "{tmp}/text.jpg", "-o", "{tmp}/x.png"), 1, "cannot decode sample 0"),
        (("profile", "{tmp}/empty"), 1, "holds no class folders"),
        (("profile", "{tmp}/data", "--recipe", "rfaa"), 2, "did you mean 'rfa'"),
        (("profile", "{tmp}/data", "--device", "cuda"), 2, 'Pass device="cpu", or install'),
        (("profile", "{tmp}/data", "--batch-size", "0"), 2, "batch_size=0"),
        (("profile", "{tmp}/data", "--size", "9999"), 2, "size=9999"),
        (("profile", "{tmp}/data", "--size", "big"), 2, "neither a number of pixels nor HEIGHTxWIDTH"),
        (("preview", "{tmp}/data", "-o", "{tmp}/absent/x.png"), 2, "there is no folder"),
        (("demo", "--data", "{tmp}/data"), 2, "the path is taken"),
        (("profile",), 2, "Missing argument"),
        (("profile", "{tmp}/data", "{tmp}/data"), 2, "Give one PATH or MODULE:OBJECT"),
        (("profile", "{tmp}/data", "--sweep", "color=1"), 2, "it is none of threads=1,2"),
        (("profile", "{tmp}/data", "--ideal"), 2, "--train-step"),
        (("profile", "{tmp}/data", "--train-step", "soon"), 2, "neither a path nor module:object"),
        (("profile", "no_such_module:x"), 2, "there is no module"),
        (("profile", "math:pi"), 2, "not iterable"),
        (("profile", "string:digits", "--against", "dali"), 2, "not a loader of ours"),
        (("explode",), 2, "No such command"),
    ],
)
def test_errors_are_one_clean_line(tmp_path: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    make_folder(tmp_path / "data", 2)
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "empty").mkdir()
    result = call(*(a.format(tmp=tmp_path) for a in arguments))
    assert result.exit_code == code, result.output
    assert says in result.stderr
    assert "Traceback" not in result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert result.stderr.splitlines()[-1] == errors[0]


def test_a_line_break_in_a_message_stays_on_its_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_folder(tmp_path, 2)

    def fail(*_: Any, **__: Any) -> None:
        raise DeviceError("first\nsecond \udce9")

    monkeypatch.setattr(preview_module, "preview", fail)
    result = call("preview", tmp_path, "-o", tmp_path / "x.png")
    assert result.exit_code == 2
    assert result.stderr == "Error: first second \\udce9\n"


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    make_folder(tmp_path, 2)

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(preview_module, "preview", interrupt)
    result = call("preview", tmp_path, "-o", tmp_path / "x.png")
    assert result.exit_code == 130
    assert result.stderr == "\nInterrupted.\n"


def test_the_loader_benchmark_gets_its_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from fieldloom.perf import loader_bench

    seen: dict[str, Any] = {}

    def run(path: str, **options: Any) -> dict[str, Any]:
        seen.update(options, path=path)
        return {"benchmark": "loader"}

    monkeypatch.setattr(loader_bench, "run", run)
    monkeypatch.setattr(loader_bench, "report", lambda result: None)
    target = tmp_path / "result.json"
    result = call("loader", tmp_path, "--rounds", 5, "--images", 7, "--json", target, command=perf_main)
    assert result.exit_code == 0, result.output
    assert json.loads(target.read_text()) == {"benchmark": "loader"}
    expected = {
        "path": str(tmp_path),
        "rounds": 5,
        "batch_size": 64,
        "size": 224,
        "threads": 2,
        "n_images": 7,
    }
    assert seen == expected
