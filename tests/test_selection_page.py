"""docs/selection.md: its code runs, its tables are complete, its figures are those of the results file."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fieldloom as fl
from fieldloom.selectors import SELECTORS, Signals

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/selection.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
N = 24


class Model(nn.Module):
    """Three averages of an image, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 4)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images))


@pytest.fixture
def names() -> Iterator[dict[str, Any]]:
    model = Model()
    images = np.random.default_rng(0).integers(0, 256, (N, 8, 8, 3), np.uint8)
    known = {
        "fl": fl, "torch": torch, "np": np, "F": nn.functional, "model": model,
        "data": (images, np.arange(N) % 4),
        "optimizer": torch.optim.SGD(model.parameters(), 0.1),
    }  # fmt: skip
    yield known
    if "loader" in known:
        known["loader"].close()


@pytest.mark.parametrize("block", BLOCKS, ids=[block.split("\n")[0][:60] for block in BLOCKS])
def test_code_runs(block: str, names: dict[str, Any]) -> None:
    short = block.replace("90", "3").replace("shuffle=True", "shuffle=True, size=8, device='cpu'")
    exec(compile(short, "selection.md", "exec"), names)
    if "for batch in loader" in block:
        assert names["loader"].epoch == 3


def test_the_example_of_a_selector_does_what_it_says(names: dict[str, Any]) -> None:
    (block,) = (block for block in BLOCKS if block.startswith("class "))
    assert len(block.strip().splitlines()) <= 15
    exec(compile(block, "selection.md", "exec"), names)
    selector, signals = names["Middle"](), Signals(np.zeros(30, np.int64), ("loss",), 0)
    assert selector.select(0, signals) is None
    signals.store(torch.arange(20), 0, {"loss": torch.arange(20.0)})
    assert selector.select(1, signals).ids.tolist() == list(range(2, 18)) + list(range(20, 30))


def test_every_selector_is_in_the_table() -> None:
    for cls in SELECTORS:
        assert re.search(rf"^\| `{cls.__name__}\(", PAGE, re.MULTILINE), cls


def test_figures_are_those_of_the_results() -> None:
    report = json.loads((ROOT / "perf/results/selectors-cpu.json").read_text())
    for name, row in (report["light"] | report["heavy"]).items():
        assert f"| `{name}` | {row['cpu_s']['median']:.2f} |" in PAGE, name
