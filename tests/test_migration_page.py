"""docs/migration.md: our code in it runs, its links lead somewhere, no argument of torch's is left out."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import fieldloom as fl
from helpers import encode, pixels

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/migration.md").read_text()
BLOCKS = re.findall(r"```python\n# fieldloom\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def names(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What the page's code finds: a small folder, pairs, a model."""
    for i in range(64):
        path = tmp_path / "photos/train" / f"class{i % 4}" / f"{i:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(pixels(24, 32, i)))
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1000))
    steps: list[int] = []

    def train_step(images: torch.Tensor, targets: torch.Tensor) -> None:
        steps.append(len(images))
        assert model(images).shape == (len(targets), 1000)

    files = [(path, int(path.parent.name[-1]) % 10) for path in sorted(tmp_path.rglob("*.jpg"))]
    known = {
        "fl": fl, "torch": torch, "F": nn.functional, "model": model, "files": files, "steps": steps,
        "train_step": train_step, "checkpoint": tmp_path / "checkpoint.pt",
        "loader": fl.DataLoader(files, 16, size=8, shuffle=True, threads=1, device="cpu"),
    }  # fmt: skip
    first = known["loader"]
    next(iter(first))
    yield known
    first.close()
    if not known["loader"]._closed:
        known["loader"].close()


@pytest.mark.parametrize("block", BLOCKS, ids=[block.split("\n")[0][:50] for block in BLOCKS])
def test_code_runs(
    block: str, names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    short = re.sub(r"(?<!_)size=(224|64),", "size=16, device='cpu',", block)
    short = short.replace("range(90)", "range(2)").replace("threads=8", "threads=1")
    short = short.replace("soft_targets(10,", "soft_targets(1000,")
    exec(compile(short, "migration.md", "exec"), names)
    if "train_step" in block:
        assert sum(names["steps"]) == 64 * (2 if "range(90)" in block else 1)
    if "load_state_dict" in block:
        assert names["batch"].index == 3


def test_there_is_code_for_every_loader() -> None:
    assert len(BLOCKS) == 7
    assert PAGE.count("```python") == len(BLOCKS)


def test_every_argument_of_torchs_loader_is_in_the_table() -> None:
    table = "".join(line for line in PAGE.splitlines() if line.startswith("| `"))
    for name in inspect.signature(torch.utils.data.DataLoader.__init__).parameters:
        assert name == "self" or f"`{name}`" in table or f"`{name}=" in table, name


def test_every_name_of_ours_exists() -> None:
    for name in set(re.findall(r"\bfl\.([A-Za-z]+)", PAGE)):
        assert hasattr(fl, name), name


def test_links_lead_somewhere() -> None:
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in PAGE.splitlines()
        if line.startswith("#")
    }
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        file, _, anchor = target.partition("#")
        if file:
            assert (ROOT / "docs" / file).resolve().exists(), target
        else:
            assert anchor in anchors, target
