"""`fieldloom doctor`: what it finds is there, what falls back says why, the exit code tells."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from fieldloom.errors import ArgumentError
from fieldloom.perf.cli import main
from fieldloom.perf.profiling import doctor
from fieldloom.perf.profiling.doctor import BROKEN, FALLS_BACK, GOOD, cpu_quota, examine, report_of


def by_name(checks: list[Any]) -> dict[str, Any]:
    return {check.name: check for check in checks}


def test_a_healthy_machine() -> None:
    result = CliRunner().invoke(main, ["doctor", "--json", "-"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["healthy"]
    found = [check["found"] for check in report["checks"]]
    assert any(text.startswith("DALI decodes JPEG, PNG") for text in found)
    assert any("TIFF" in text and text.startswith("Pillow decodes") for text in found)
    assert {"versions", "threads", "DALI", "kernels"} <= {check["name"] for check in report["checks"]}
    assert "Everything that the loader needs works." in result.stderr
    for check in report["checks"]:
        if check["state"] == FALLS_BACK:
            assert check["found"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_asked_for_and_not_there() -> None:
    gpu = by_name(doctor._gpu("auto"))["GPU"]
    assert gpu.state == FALLS_BACK
    assert "CPU" in gpu.found
    assert gpu.remedy
    assert by_name(doctor._gpu("cuda"))["GPU"].state == BROKEN


def test_a_device_that_does_not_exist() -> None:
    with pytest.raises(ArgumentError, match="device='gpu': not known"):
        examine("gpu")


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fieldloom.device.obstacle", lambda decodes: None)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    found = by_name(doctor._gpu("cuda:3"))["GPU"]
    assert found.state == BROKEN
    assert "no such GPU; torch sees 0" in found.found
    assert doctor._gpu("auto") == []


def test_something_broken_is_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def fall_ill() -> list[Any]:
        raise RuntimeError("no codec at all")

    def well() -> list[Any]:
        return [doctor.Check("well", GOOD, "fine")]

    for name in ("_versions", "_threads", "_decoder", "_kernels", "_optional", "_places"):
        monkeypatch.setattr(doctor, name, well)
    monkeypatch.setattr(doctor, "_gpu", lambda device: well())
    monkeypatch.setattr(doctor, "_codecs", fall_ill)
    checks = examine()
    assert [c.found for c in checks if c.state == BROKEN] == ["RuntimeError: no codec at all"]
    assert not report_of(checks)["healthy"]
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    assert "BROKEN" in result.output


def test_the_quota_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cpu_quota(tmp_path) is None
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cpu_quota(tmp_path) is None
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert cpu_quota(tmp_path) == 1.5
    monkeypatch.setattr(doctor, "cpu_quota", lambda: 1.5)
    monkeypatch.setattr(doctor.machine, "cores", lambda: 8)
    (check,) = doctor._threads()
    assert check.state == FALLS_BACK
    assert "threads=2" in check.remedy


def test_packages_that_do_not_load_are_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    def load(name: str) -> Any:
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", load)
    found = by_name(doctor._optional())
    assert "does not load (RuntimeError: operator torchvision::nms" in found["torchvision"].found
    assert found["timm"].found.startswith("not installed")
    assert {check.state for check in found.values()} == {FALLS_BACK}
