"""Choosing a device: what was asked for, held against what is there (all of it pretended here)."""

import logging
import sys
import types
from typing import Any

import pytest
import torch

import fieldloom as fl
from fieldloom import device
from fieldloom.device import choose_device
from fieldloom.errors import ArgumentError, DeviceError


class Pretended:
    """A machine with so many GPUs for torch and DALI, and a CuPy or none."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, gpus: int, *, cupy: bool = True, dali: int = 1
    ) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: gpus - 1)

        def import_cupy() -> None:
            if not cupy:
                raise DeviceError.make("x", why="CuPy cannot be imported", remedy="Install it.")

        monkeypatch.setattr(device, "import_cupy", import_cupy)
        backend = types.SimpleNamespace(GetCUDADeviceCount=lambda: dali)
        monkeypatch.setitem(sys.modules, "nvidia.dali", types.SimpleNamespace(backend=backend))
        monkeypatch.setattr(device, "_told", set())


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ("auto", "cuda:1"),
        ("cpu", "cpu"),
        ("cuda", "cuda:1"),
        ("cuda:0", "cuda:0"),
        (torch.device("cuda:1"), "cuda:1"),
    ],
)
def test_with_two_gpus(monkeypatch: pytest.MonkeyPatch, asked: Any, chosen: str) -> None:
    Pretended(monkeypatch, 2)
    assert choose_device(asked, decodes=True) == chosen


@pytest.mark.parametrize("name", ["tpu", "cuda:", "cuda:-1", "cuda:x", "CPU", "", None, 0])
def test_other_names_are_refused(name: Any) -> None:
    with pytest.raises(ArgumentError, match='Pass "auto", "cpu", "cuda" or "cuda:N"'):
        choose_device(name, decodes=True)


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    Pretended(monkeypatch, 2)
    with pytest.raises(
        DeviceError, match=r"device='cuda:99': there is no such GPU; torch sees 2\. Pass cuda:0 to"
    ):
        choose_device("cuda:99", decodes=True)


def test_without_cuda(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    Pretended(monkeypatch, 0)
    with caplog.at_level(logging.INFO, "fieldloom"):
        assert choose_device("auto", decodes=True) == "cpu"
    assert not caplog.records  # nothing is wrong with a machine that has no GPU
    for name in ("cuda", "cuda:0"):
        with pytest.raises(DeviceError, match=f"device='{name}': .*(without CUDA|no CUDA GPU)"):
            choose_device(name, decodes=True)


@pytest.mark.parametrize(
    ("there", "words"), [({"cupy": False}, "CuPy cannot be imported"), ({"dali": 0}, "DALI finds no GPU")]
)
def test_a_gpu_of_which_something_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, there: dict[str, Any], words: str
) -> None:
    Pretended(monkeypatch, 1, **there)
    with pytest.raises(DeviceError, match=words):
        choose_device("cuda", decodes=True)
    for _ in range(3):
        assert choose_device("auto", decodes=True) == "cpu"
    (line,) = caplog.messages  # once a process
    assert words in line
    assert "\n" not in line


def test_images_in_memory_need_no_dali(monkeypatch: pytest.MonkeyPatch) -> None:
    Pretended(monkeypatch, 1, dali=0)
    assert choose_device("cuda", decodes=False) == "cuda:0"


def test_resident_images_choose_their_device(monkeypatch: pytest.MonkeyPatch) -> None:
    Pretended(monkeypatch, 2)
    assert choose_device("auto", decodes=False, resident="cuda:0") == "cuda:0"
    for name in ("cpu", "cuda:1"):
        with pytest.raises(DeviceError, match=r"cannot read images on cuda:0.*Pass device='cuda:0'"):
            choose_device(name, decodes=False, resident="cuda:0")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_loader_says_what_is_missing() -> None:
    with pytest.raises(DeviceError, match=r"device='cuda': .* Pass device=\"cpu\""):
        fl.DataLoader([], device="cuda")
    with fl.DataLoader([]) as loader:
        assert loader.device == "cpu"
