"""The GPU benchmark without a GPU: everything but the clock. Figures here are made up, and go nowhere."""

from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from cuda_shim import ShimLauncher, has_compiler

from fieldloom.kernels import device as kernels_device
from fieldloom.kernels.keys import Keys
from fieldloom.kernels.stages.staged import Groups
from fieldloom.perf import gpu_bench, gpu_kernels, gpu_peers, gpu_resident, gpu_stages, gpu_training
from fieldloom.perf.__main__ import main

CPU = torch.device("cpu")


@pytest.fixture
def no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is the CPU, and every call takes a microsecond."""

    def run(work: Any, **_: Any) -> list[float]:
        for one in work if isinstance(work, list) else [work]:
            one()
        return [1.0, 2.0, 3.0]

    for module in (gpu_kernels, gpu_stages, gpu_peers):
        monkeypatch.setattr(module, "device_us", run)
    for module in (gpu_kernels, gpu_stages):
        monkeypatch.setattr(module, "host_us", run)
        monkeypatch.setattr(module, "copy_bandwidth", lambda _: {"median": 1.0})
        monkeypatch.setattr(module, "sets_beyond_cache", lambda *_: 2)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_line_says_so() -> None:
    for arguments in (["gpu"], ["gpu", "--device", "cuda:0", "--quick"]):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        assert line.startswith("Error: device='cuda")


def test_the_table_has_every_variant() -> None:
    rows = list(gpu_kernels.variants())
    assert len(set(rows)) == len(rows) == 4 * 3 * 3 * 3


def launch_by_shim(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a table's passes launch is run on the CPU."""

    class Launcher(ShimLauncher):
        def __init__(self, modules: Any, _: int) -> None:
            super().__init__(type("Fused", (), {"plan": self.plan}))

        def registers(self) -> dict[str, int]:
            return {"fused": 1}

    compile_pass = module.compile_pass

    def remember(*args: Any) -> Any:
        fused = compile_pass(*args)
        Launcher.plan = fused.plan
        return fused

    monkeypatch.setattr(module, "compile_pass", remember)
    monkeypatch.setattr(kernels_device, "CupyLauncher", Launcher)


@pytest.mark.skipif(not has_compiler, reason="g++ compiles the CUDA source for the CPU")
def test_the_kernel_table(no_clock: None, monkeypatch: pytest.MonkeyPatch) -> None:
    launch_by_shim(gpu_kernels, monkeypatch)
    rows = [
        ("float32", "reflect", 1.0, 15.0),
        ("uint8", "constant", 4.0, 45.0),
        ("bfloat16", "edge", 1.3, 0.0),
    ]
    table = gpu_kernels.measure(CPU, n=8, size=16, rows=rows)
    assert [row["bits_equal_cpu"] for row in table["rows"]] == [True] * 3
    for row in table["rows"]:
        assert {"lattice", "fused", "batch"} <= set(row["us"])
        assert row["percent_of_copy"] > 0
    assert "prefilter" in table["rows"][1]["us"]


@pytest.mark.skipif(not has_compiler, reason="g++ compiles the CUDA source for the CPU")
def test_the_table_of_stages(no_clock: None, monkeypatch: pytest.MonkeyPatch) -> None:
    launch_by_shim(gpu_stages, monkeypatch)
    table = gpu_stages.measure(CPU, n=16, size=20)
    rows = {row["recipe"]: row for row in table["rows"]}
    assert list(rows) == list(gpu_stages.recipes())
    assert set(gpu_stages.FEW) <= set(rows)
    assert all(row["bits_equal_cpu"] for row in rows.values())
    for name, kernels in {
        "RandAugment(2, 9)": ["program", "finish"], "AugMix": ["program", "finish"],
        "PASTA": ["spectrum_rows", "spectrum_columns", "spectrum_back", "finish"],
        "FMix": ["masks", "finish"], "CutMix": ["finish"],
    }.items():  # fmt: skip
        assert list(rows[name]["kernels"]) == kernels
    for row in rows.values():
        for figures in row["kernels"].values():
            assert figures["us"]["n"] == figures["gb_per_s"]["n"] == 3
            assert figures["us_an_image"]["median"] <= figures["us"]["median"] / 16 + 1e-4
            assert figures["percent_of_copy"] > 0


def test_bytes_of_stages_count_what_is_read_and_written() -> None:
    n, size, plane = 16, 20, 20 * 20
    moved = {}
    for name, recipe in gpu_stages.recipes().items():
        fused = gpu_stages.compile_pass(recipe, size, "float16")
        keys = Keys(0, 0, np.arange(n), np.zeros(n, np.int64))
        groups = Groups(np.arange(n), np.arange(n)) if fused.plan.mixing is not None else None
        stages = fused.stages(keys, groups)
        assert stages is not None
        moved[name] = gpu_stages.bytes_of(stages, size, 2 * 3 * plane * n)
    plain = 3 * plane * n * (1 + 2)  # 8 bits in, 16 out
    assert moved["RandAugment(2, 9)"]["finish"] == moved["RandomErasing, noise"]["finish"] == plain
    assert moved["MixUp"]["finish"] == plain + 3 * plane * n
    assert moved["FMix"]["finish"] == plain + 4 * plane * n
    assert plain < moved["CutMix"]["finish"] < moved["MixUp"]["finish"]
    assert moved["FMix"]["masks"] == plane * n
    assert moved["GaussianBlur"]["program"] == 2 * 3 * plane * n
    assert 2 * 3 * plane * n < moved["RandAugment(2, 9)"]["program"] <= 2 * 2 * 3 * plane * n
    assert moved["PASTA"]["spectrum_columns"] == n * 3 * 2 * (2 * 4 * 20 * 11)
    assert moved["PASTA"]["program"] == moved["MixUp"]["masks"] == 0


def test_peers_run_or_say_why_not(no_clock: None) -> None:
    rows = gpu_peers.measure(CPU, n=2, size=32)
    assert [row["peer"] for row in rows] == list(gpu_peers.PEERS)
    assert all(("us_batch" in row) != ("left_out" in row) for row in rows)
    assert "us_batch" in rows[-1]


def test_a_speed_run_delivers_an_epoch() -> None:
    images = torch.arange(7 * 8 * 8 * 3, dtype=torch.int64).remainder(251).to(torch.uint8).view(7, 8, 8, 3)
    batches = list(gpu_resident.speed_run(images, torch.arange(7), 3, pad=1))
    assert [tuple(x.shape) for x, _ in batches] == [(3, 3, 8, 8), (3, 3, 8, 8), (1, 3, 8, 8)]
    assert sorted(int(label) for _, labels in batches for label in labels) == list(range(7))


def test_resident_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: None)
    rows = gpu_resident.measure("cpu", rounds=1, n=1030, side=8)
    assert len(rows) == 6
    assert all(np.isfinite(row["images_per_s"]["median"]) for row in rows)


def test_the_small_network_classifies() -> None:
    assert gpu_training._small()(torch.zeros(2, 3, 32, 32)).shape == (2, 1000)


def made_up(percent: float) -> dict[str, Any]:
    row = {
        "dtype": "float16", "border": "reflect", "shrink": 1.0, "degrees": 0.0, "percent_of_copy": percent,
        "bits_equal_cpu": True, "us": {k: {"median": 10.0} for k in ("lattice", "fused", "batch")},
    }  # fmt: skip
    return {
        "gpu": {"name": "none", "cuda_of_torch": "none"},
        "kernels": {"rows": [row, row | {"dtype": "float32"}]},
        "stages": {"rows": [{"bits_equal_cpu": True}]},
        "peers": [
            {"peer": "Kornia elastic + jitter", "us_batch": {"median": 100.0}},
            {"peer": "DALI remap", "left_out": "ImportError: x"},
        ],
        "loaders": {"j3c_over_dali_j1": 0.9},
        "resident": [{"batch": 512, "job": "field + crop + flip", "images_per_s": {"median": 3e6}}],
        "training": {"failed": "RuntimeError: y"},
    }


def test_targets_are_held_against_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    result = made_up(60.0)
    result["targets"] = gpu_bench.targets(result)
    assert [row["holds"] for row in result["targets"]] == [True, True, False, True, False, False, True]
    gpu_bench.report(result)
    said = capsys.readouterr().out
    assert "MISSED" in said
    assert "training failed: RuntimeError: y" in said
    assert "left out: DALI remap" in said


def test_stages_whose_bits_differ_miss_their_target() -> None:
    rows = [{"bits_equal_cpu": True}, {"bits_equal_cpu": False}]
    (row,) = (r for r in gpu_bench.targets(made_up(60.0) | {"stages": {"rows": rows}}) if "bits" in r["what"])
    assert (row["figure"], row["holds"]) == (1, False)


def test_a_failed_part_leaves_the_others() -> None:
    parts = ("kernels", "stages", "peers", "loaders", "resident")
    result = made_up(60.0) | {part: {"failed": "x"} for part in parts}
    assert len(gpu_bench.targets(result)) == 1
