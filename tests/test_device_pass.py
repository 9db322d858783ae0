"""`DevicePass` without a device: its launches run on the CPU under the shim, its memory is torch's."""

import contextlib
import sys
import types
from typing import Any

import numpy as np
import pytest
import torch
from cuda_shim import ShimLauncher, has_compiler
from kernel_cases import PRESETS, cut, keys, noise, photo

from fieldloom.errors import ArgumentError, DeviceError, DeviceMemoryError, KernelBuildError
from fieldloom.kernels import cuda, device, launcher
from fieldloom.kernels.device import DevicePass
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.plan import Crop, Flip, PassPlan

pytestmark = pytest.mark.skipif(not has_compiler, reason="g++ compiles the CUDA source for the CPU")

SIZES = [(40, 52), (33, 20), (90, 140), (1, 1), (2, 7), (31, 1)]
RECIPE = {"transforms": PRESETS["all"], "warps": (Flip(0.5, True, 0x104),)}


def batch_of(plan: PassPlan, *, strided: bool = False) -> tuple[FusedPass, Any, Any, list[np.ndarray]]:
    """A ragged batch: its pass, keys, windows and crops."""
    fused, batch = FusedPass(plan), keys(len(SIZES))
    images = [photo(h, w, seed) if min(h, w) > 8 else noise(h, w, seed) for seed, (h, w) in enumerate(SIZES)]
    windows = fused.windows(batch, np.array(SIZES))
    crops = cut(images, windows)
    if strided:
        crops = [
            image[y : y + h, x : x + w] for image, (y, x, h, w) in zip(images, windows.rects, strict=True)
        ]
    return fused, batch, windows, crops


def bits(tensor: torch.Tensor) -> np.ndarray:
    """As `FusedPass` holds it: 16-bit floats as uint16."""
    return tensor.view(torch.uint16).numpy() if tensor.dtype.itemsize == 2 else tensor.numpy()


def check(plan: PassPlan, *, strided: bool = False) -> ShimLauncher:
    fused, batch, windows, crops = batch_of(plan, strided=strided)
    shim = ShimLauncher(fused)
    one_pass = DevicePass(fused, "cpu", shim)
    sources = Sources.of_arrays(crops)
    expected = fused(batch, windows, sources)
    out = one_pass(batch, windows, sources)
    assert out.dtype == getattr(torch, plan.dtype)
    np.testing.assert_array_equal(bits(out), expected)
    assert bits(one_pass(batch, windows, sources, one_pass.empty(len(batch)))).tobytes() == expected.tobytes()
    return shim


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "uint8"])
@pytest.mark.parametrize("planar", [True, False], ids=["NCHW", "NHWC"])
def test_bits_of_the_cpu_by_type_and_layout(dtype: str, planar: bool) -> None:
    check(PassPlan(32, 24, dtype=dtype, planar=planar, **RECIPE))


@pytest.mark.parametrize("border", ["reflect", "edge", "constant"])
def test_bits_of_the_cpu_by_border(border: str) -> None:
    check(PassPlan(24, 32, border=border, fill=(9, 99, 199), **RECIPE))


@pytest.mark.parametrize("preset", ["rfa_rotate", "gaussian_no_fold"])
def test_bits_of_the_cpu_by_preset(preset: str) -> None:
    check(PassPlan(32, 32, transforms=PRESETS[preset]))


def test_sources_with_long_rows() -> None:
    check(PassPlan(16, 16, crop=Crop("random_resized", slot=3), **RECIPE), strided=True)


def test_launches_the_prefilter_only_where_a_crop_shrinks() -> None:
    shim = check(PassPlan(24, 24, **RECIPE))
    assert shim.launched == ["prefilter", "lattice", "fused"] * 2
    plan = PassPlan(96, 160)
    fused, batch = FusedPass(plan), keys(2)
    windows = fused.windows(batch, np.array([[40, 40], [50, 60]]))
    shim = ShimLauncher(fused)
    DevicePass(fused, "cpu", shim)(batch, windows, Sources.of_arrays([noise(40, 40), noise(50, 60)]))
    assert shim.launched == ["lattice", "fused"]


def test_records_drawn_ahead_and_cut_give_the_same_bits() -> None:
    """What the resident path does: records of many batches at once, then a slice for each."""
    fused, batch, windows, crops = batch_of(PassPlan(24, 24, **RECIPE))
    sources = Sources.of_arrays(crops)
    one_pass = DevicePass(fused, "cpu", ShimLauncher(fused))
    samples = fused.records(batch, windows, sources)
    parts = [one_pass.run(samples[first : first + 4], batch.seed) for first in range(0, len(samples), 4)]
    np.testing.assert_array_equal(torch.cat(parts).numpy(), fused(batch, windows, sources))


def test_an_empty_batch_launches_nothing() -> None:
    fused = FusedPass(PassPlan(8, 8))
    shim = ShimLauncher(fused)
    windows = fused.windows(keys(0), np.zeros((0, 2)))
    assert DevicePass(fused, "cpu", shim)(keys(0), windows, Sources.of_arrays([])).shape == (0, 3, 8, 8)
    assert shim.launched == []


def test_refuses_more_samples_than_a_grid_holds() -> None:
    fused = FusedPass(PassPlan(8, 8))
    one_pass = DevicePass(fused, "cpu", ShimLauncher(fused))
    with pytest.raises(ArgumentError, match="a batch of 65536 samples: a CUDA grid holds 65535"):
        one_pass.run(np.zeros(65536, np.uint8), 0)


def test_out_of_memory_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    fused = FusedPass(PassPlan(8, 8))
    one_pass = DevicePass(fused, "cpu", ShimLauncher(fused))

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr(torch, "empty", full)
    with pytest.raises(DeviceMemoryError, match=r"cannot allocate 0 MiB on cpu: CUDA out of memory\. Lower"):
        one_pass.empty(1)


def test_staging_takes_what_the_values_were() -> None:
    values, target = np.arange(12, dtype=np.int32).reshape(3, 4), torch.zeros(48, dtype=torch.uint8)
    device.stage(values, target)
    values[:] = 0
    assert target.view(torch.int32).tolist() == list(range(12))


class FakeNvrtc(types.ModuleType):
    """NVRTC's wrapper in CuPy, which compiles or refuses."""

    def __init__(self, refuses: bool) -> None:
        super().__init__("cupy.cuda.nvrtc")
        self.refuses, self.options, self.alive = refuses, (), 0

    def createProgram(self, *_: object) -> str:
        self.alive += 1
        return "program"

    def compileProgram(self, _: str, options: tuple[str, ...]) -> None:
        self.options = options
        if self.refuses:
            raise RuntimeError("NVRTC_ERROR_COMPILATION (6)")

    def getProgramLog(self, _: str) -> str:
        return "fieldloom.cu(7): error: no"

    def getCUBIN(self, _: str) -> bytes:
        return b"machine code"

    def destroyProgram(self, _: str) -> None:
        self.alive -= 1


def install(monkeypatch: pytest.MonkeyPatch, nvrtc: FakeNvrtc) -> None:
    cupy, cupy_cuda = types.ModuleType("cupy"), types.ModuleType("cupy.cuda")
    cupy.cuda, cupy_cuda.nvrtc = cupy_cuda, nvrtc  # type: ignore[attr-defined]
    for name, module in (("cupy", cupy), ("cupy.cuda", cupy_cuda), ("cupy.cuda.nvrtc", nvrtc)):
        monkeypatch.setitem(sys.modules, name, module)
    launcher.build.cache_clear()


VARIANT = cuda.Variant(1, True, 0, 1, 4)


def test_compiles_with_our_options_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flushing subnormals, which CuPy's own RawModule asks for, would part the twins."""
    nvrtc = FakeNvrtc(refuses=False)
    install(monkeypatch, nvrtc)
    assert launcher.build(VARIANT, "sm_90") == b"machine code"
    assert nvrtc.options == (*cuda.OPTIONS, *VARIANT.definitions(), "--gpu-architecture=sm_90")
    assert nvrtc.alive == 0
    launcher.build.cache_clear()


def test_a_refused_source_shows_the_compilers_log(monkeypatch: pytest.MonkeyPatch) -> None:
    nvrtc = FakeNvrtc(refuses=True)
    install(monkeypatch, nvrtc)
    with pytest.raises(KernelBuildError, match=r"for sm_75 with -DDTYPE=1") as caught:
        launcher.build(VARIANT, "sm_75")
    assert "fieldloom.cu(7): error: no" in str(caught.value)
    assert nvrtc.alive == 0


def test_launches_take_grid_block_struct_and_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []

    class Device(contextlib.nullcontext):
        compute_capability = "90"

        def __init__(self, index: int) -> None:
            super().__init__(self)
            self.index = index

    class Module:
        def load(self, binary: bytes) -> None:
            assert binary == b"machine code"

        def get_function(self, name: str) -> Any:
            return lambda grid, block, args, *, shared_mem, stream: calls.append(
                (name, grid, block, args, shared_mem, stream)
            )

    install(monkeypatch, FakeNvrtc(refuses=False))
    cupy_cuda: Any = sys.modules["cupy.cuda"]
    cupy_cuda.Device, cupy_cuda.Module = Device, Module
    cupy_cuda.Stream = types.SimpleNamespace(from_external=lambda handle: handle.__cuda_stream__())
    launcher._load.cache_clear()
    one = launcher.CupyLauncher([VARIANT], 3)
    args = np.zeros(1, cuda.LATTICE_ARGS)
    for stream in (16, 32):
        one.launch(cuda.Launch("lattice", (5, 1, 1), 7, args), stream)
    assert [call[:3] + call[4:] for call in calls] == [
        ("lattice", (5, 1, 1), (256, 1, 1), 28, (0, 16)), ("lattice", (5, 1, 1), (256, 1, 1), 28, (0, 32)),
    ]  # fmt: skip
    assert all(call[3] == (args,) and call[3][0].size == 1 for call in calls)
    launcher._load.cache_clear()
    launcher.build.cache_clear()


def test_without_cupy_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match=r"CuPy cannot be imported .* pip install \"fieldloom\[cuda13\]\""):
        launcher.CupyLauncher([VARIANT], 0)
