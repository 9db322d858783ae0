"""The example that trains with torch's loader or ours: alone, resumed, and on two ranks."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from fieldloom.perf.photos import write_photo_folder

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "train_imagefolder.py"
SHORT = ["--size", "24", "--batch-size", "8", "--epochs", "2"]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_imagefolder", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "photos"
    write_photo_folder(folder, n=60, n_classes=2)
    return folder


def test_every_fifth_of_each_class_is_held_out(example: ModuleType, tmp_path: Path) -> None:
    for i in range(60):
        (tmp_path / f"class{i % 2}").mkdir(exist_ok=True)
        (tmp_path / f"class{i % 2}/{i:02}.jpg").touch()
    options = example.argparse.Namespace(data=tmp_path, test=None)
    training, testing = example.split(options)
    assert (len(training), len(testing)) == (48, 12)
    assert [label for _, label in testing] == [0] * 6 + [1] * 6
    assert not {path for path, _ in training} & {path for path, _ in testing}


def test_pillows_transforms_are_the_usual_ones(example: ModuleType) -> None:
    from PIL import Image

    image = Image.new("RGB", (40, 30), (124, 116, 104))  # ImageNet's mean
    for train in (True, False):
        made = example.PillowTransform(16, train=train)(image)
        assert made.shape == (3, 16, 16)
        assert made.abs().max() < 0.02
    boxes = [example.PillowTransform(16, train=True).random_box(40, 30) for _ in range(200)]
    assert all(0 <= x < x2 <= 40 and 0 <= y < y2 <= 30 for x, y, x2, y2 in boxes)
    areas = [(x2 - x) * (y2 - y) / 1200 for x, y, x2, y2 in boxes]
    assert min(areas) > 0.3
    assert max(areas) > 0.7


@pytest.mark.slow
def test_both_loaders_train(example: ModuleType, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs.json"
    arguments = ["--data", str(photos), "--loader", "torch", "fieldloom", "--json", str(out), *SHORT]
    runs = example.main(arguments)
    assert [run["loader"] for run in runs] == ["torch", "fieldloom"]
    found = json.loads(out.read_text())
    assert found["images"] == [48, 12]
    assert found["accuracy"]["torch"]["n"] == 1
    # Two kinds of pictures that differ at sight: chance is 0.5 with a standard deviation of 0.14.
    assert all(run["accuracy"] >= 0.5 for run in runs)


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [1, 6, 9])
def test_a_resumed_run_ends_like_one_that_went_through(
    example: ModuleType, photos: Path, tmp_path: Path, stop_after: int, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = tmp_path / "whole.pt", tmp_path / "parts.pt"
    common = ["--data", str(photos), "--save-every", "1", *SHORT]
    example.main([*common, "--checkpoint", str(whole)])
    stopped = [*common, "--checkpoint", str(parts), "--stop-after", str(stop_after)]
    epoch, step = divmod(stop_after - 1, 6)
    assert example.main(stopped)[0]["stopped"] == [epoch, step + 1]
    example.main([*common, "--checkpoint", str(parts), "--resume"])
    assert "resumed at epoch" in capsys.readouterr().out
    one, other = (torch.load(path, weights_only=True) for path in (whole, parts))
    for name, value in one["model"].items():
        assert torch.equal(value, other["model"][name]), name
    assert one["schedule"]["last_epoch"] == other["schedule"]["last_epoch"] == 12


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("loader", ["torch", "fieldloom"])
def test_two_ranks_see_different_samples_in_equal_steps(photos: Path, tmp_path: Path, loader: str) -> None:
    checkpoint = tmp_path / "run.pt"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    common = [str(EXAMPLE), "--data", str(photos), "--loader", loader, *SHORT]
    common += ["--checkpoint", str(checkpoint), "--save-every", "1"]

    def run(*options: str) -> str:
        done = subprocess.run(
            [*launch, *common, *options], capture_output=True, text=True, timeout=280, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    out = run()
    assert re.findall(r"epoch (\d)/2: .*; 2 rank\(s\), 6 steps each, 48 different samples", out) == ["1", "2"]
    if loader == "torch":
        return
    checkpoint.unlink()
    assert "stopped at epoch 0, step 4" in run("--stop-after", "4")
    out = run("--resume")
    assert "resumed at epoch 0, step 4" in out
    assert re.findall(r"epoch (\d)/2: .*; 2 rank\(s\), (\d) steps each, (\d+)", out) == [
        ("1", "2", "16"), ("2", "6", "48"),
    ]  # fmt: skip


def test_ranks_that_meet_the_same_sample_are_caught(
    example: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert example.compare_ranks([1, 2, 3], 2) == "1 rank(s), 2 steps each, 3 different samples"
    for other, message in ((([3, 4], 2), "the same sample"), (([4, 5], 3), "steps differ")):
        monkeypatch.setattr(example.dist, "is_initialized", lambda: True)
        monkeypatch.setattr(example, "world_size", lambda: 2)
        monkeypatch.setattr(
            example.dist,
            "all_gather_object",
            lambda seen, own, o=other: seen.__setitem__(slice(0, 2), [own, o]),
        )
        with pytest.raises(AssertionError, match=message):
            example.compare_ranks([1, 2, 3], 2)
