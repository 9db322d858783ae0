"""The loader inside Lightning, Accelerate and Ray Train, by the examples: ranks, steps and states."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import fieldloom as fl

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
N = 96
DATA = (np.random.default_rng(0).integers(0, 256, (N, 24, 24, 3), np.uint8), np.arange(N) % 8)
#: What their newest releases warn of, in each other's code or torch's.
THEIRS = ("DeprecationWarning", "FutureWarning", "UserWarning", "ResourceWarning")


def theirs(test: Callable[..., None]) -> Callable[..., None]:
    for warning in THEIRS:
        test = pytest.mark.filterwarnings(f"ignore::{warning}")(test)
    return test


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def launched(name: str, *options: str, torchrun: bool = True) -> str:
    """Output of an example that runs in processes of its own."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"] if torchrun else []
    done = subprocess.run(
        [sys.executable, *launch, str(EXAMPLES / f"{name}.py"), *options],
        capture_output=True, text=True, timeout=550, check=False,
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@theirs
def test_lightning_and_accelerate_move_batches_as_a_whole() -> None:
    """Both call `to` of whatever has it; whether they are installed or not, the name must be there."""
    with fl.DataLoader(DATA, 8, size=8, device="cpu", threads=1) as loader:
        batch = next(iter(loader))
    fabric = pytest.importorskip("lightning.fabric.utilities.apply_func")
    moved = fabric.move_data_to_device(batch, torch.device("meta"))
    assert type(moved) is fl.Batch
    assert moved.images.device.type == "meta"
    operations = pytest.importorskip("accelerate.utils.operations")
    moved = operations.send_to_device(batch, torch.device("meta"))
    assert type(moved) is fl.Batch
    assert moved.targets.device.type == "meta"


@pytest.mark.slow
@pytest.mark.timeout(300)
@theirs
def test_lightning_goes_on_with_the_next_batch(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    module = example("lightning_fit")
    whole = module.fit(DATA, tmp_path)
    assert [len(whole.seen[epoch]) for epoch in (0, 1)] == [N, N]
    for step in (4, 8):
        resumed = module.fit(DATA, tmp_path / "again", resume=tmp_path / f"step={step}.ckpt")
        ids = [i for epoch in (0, 1) for i in whole.seen[epoch]]
        assert [i for epoch in sorted(resumed.seen) for i in resumed.seen[epoch]] == ids[16 * step :]
        for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
            assert torch.equal(one, other)


@pytest.mark.slow
@pytest.mark.timeout(300)
@theirs
def test_lightning_goes_on_between_epochs(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    module = example("lightning_fit")
    whole = module.fit(DATA, tmp_path, every=6)
    resumed = module.fit(DATA, tmp_path / "again", resume=tmp_path / "step=6.ckpt")
    assert resumed.seen == {1: whole.seen[1]}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_lightnings_ranks() -> None:
    pytest.importorskip("lightning")
    out = launched("lightning_fit", "--devices", "2")
    assert out.count("2 rank(s), 96 different samples") == 2


@pytest.mark.slow
@pytest.mark.timeout(300)
@theirs
def test_accelerate_goes_on_with_the_next_batch(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    module = example("accelerate_fit")
    whole = module.fit(DATA, str(tmp_path), save_at=8)
    assert len(whole) == 12
    assert module.fit(DATA, str(tmp_path)) == whole[8:]


@theirs
def test_accelerate_passes_the_loader_through() -> None:
    accelerate = pytest.importorskip("accelerate")
    with fl.DataLoader(DATA, 8, size=8, device="cpu", threads=1) as loader:
        assert accelerate.Accelerator(cpu=True).prepare(loader) is loader


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_accelerates_ranks() -> None:
    pytest.importorskip("accelerate")
    out = launched("accelerate_fit")
    assert "2 rank(s), 96 different samples an epoch" in out


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("options", [[], ["--fail"]], ids=["through", "failed once"])
def test_rays_workers(options: list[str]) -> None:
    pytest.importorskip("ray")
    out = launched("ray_train", *options, torchrun=False)
    assert "epoch 1: 2 ranks, 96 different samples" in out
