"""The profiler names the right bottleneck in three planted cases: in torch's loader, DALI's and ours."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import planted_loaders
import pytest

from fieldloom.perf.profiling.loading import open_target
from fieldloom.perf.profiling.profile import Plan, profile
from fieldloom.perf.profiling.report import report_of
from fieldloom.perf.profiling.settings import Settings

SMALL, LARGE = (64, 64), (1400, 1400)
#: Case -> (images of the folder, what the loader is, training step, what the profiler must say).
CASES = {
    "slow disk": (SMALL, "slow_read", None, "read"),
    "slow decode": (LARGE, "plain", None, "decode"),
    "slow consumer": (SMALL, "plain", "planted_loaders:step", "consumer"),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], Path]:
    root = tmp_path_factory.mktemp("planted")
    return {size: planted_loaders.make_images(root, *size, n) for size, n in ((SMALL, 240), (LARGE, 96))}


def run(name: str, step: Any = None, seconds: float = 0.6) -> dict[str, Any]:
    target = open_target(f"planted_loaders:{name}", Settings())
    return report_of(profile(target, Plan(seconds=seconds, n_rounds=1, step=step)))


@pytest.mark.parametrize(
    ("maker", "case"), [("ours", "slow disk"), ("torch", "slow decode"), ("dali", "slow consumer")]
)
def test_in_this_process(
    maker: str, case: str, folders: dict[tuple[int, int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    size, kind, step, bound = CASES[case]
    monkeypatch.setenv("FIELDLOOM_PLANTED", str(folders[size]))
    name = "torch_alone" if maker == "torch" else f"{maker}_{kind}"
    report = run(name, planted_loaders.step if step else None)
    assert report["bound"] == bound, report["verdict"]
    assert report["target"]["kind"] == {"ours": "fieldloom"}.get(maker, maker)
    if step is not None:
        assert report["training"]["hides"]
        assert report["images_per_s"] > report["training"]["needed_images_per_s"]


@pytest.mark.parametrize(
    ("kind", "size", "bound"), [("slow_read", SMALL, "read"), ("plain", LARGE, "decode")]
)
def test_an_iterable_of_nobodys_make(
    kind: str, size: tuple[int, int], bound: str, folders: dict[tuple[int, int], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("FIELDLOOM_PLANTED", str(folders[size]))
    report = run(f"generator_{kind}", seconds=0.4)
    assert report["bound"] == bound, report["verdict"]
    assert report["target"]["kind"] == "iterable"
    assert any(
        "planted_loaders.py" in row["function"] or "method" in row["function"] for row in report["hot"]
    )


@pytest.mark.slow
@pytest.mark.parametrize("maker", ["ours", "torch", "dali"])
@pytest.mark.parametrize("case", CASES)
def test_on_the_command_line(maker: str, case: str, folders: dict[tuple[int, int], Path]) -> None:
    """As a user does it, in a process of its own, torch's loader with worker processes."""
    size, kind, step, bound = CASES[case]
    here = Path(__file__).parent
    command = [sys.executable, "-m", "fieldloom", "profile", f"planted_loaders:{maker}_{kind}"]
    command += ["--seconds", "3", "--json", "-", *(["--train-step", step] if step else [])]
    environment = {
        **os.environ,
        "FIELDLOOM_PLANTED": str(folders[size]),
        "PYTHONPATH": str(here),
    }
    out = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert out.returncode == 0, out.stderr
    report = json.loads(out.stdout)
    assert report["bound"] == bound, report["verdict"]
    assert "Traceback" not in out.stderr
