"""The CUDA source of index masks, run on the CPU under a shim: the Numba twin's bits; `DevicePass`; NVRTC."""

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import nvrtc
import pytest
import torch
from cuda_shim import has_compiler
from index_cases import RAGGED, IndexLauncher, batch_of, ids, index_library
from kernel_cases import PRESETS, warp
from test_cuda_compile import ARCHITECTURES
from variants import BORDERS, COVERING, fixed, rich_plan

from fieldloom.errors import ArgumentError
from fieldloom.kernels import device
from fieldloom.kernels.device import DevicePass
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.indexlaunches import INDEX_ARGS, IndexVariant
from fieldloom.kernels.plan import Affine, Crop, Flip, PassPlan
from fieldloom.kernels.stages.policies import Chains, Range

needs_compiler = pytest.mark.skipif(not has_compiler, reason="needs g++")
needs_nvrtc = pytest.mark.skipif(
    nvrtc.nvrtc() is None, reason="needs NVRTC (pip install nvidia-cuda-nvrtc, or the extra `test`)"
)
VARIANTS = [IndexVariant(border, rows) for border in range(3) for rows in (1, 2, 4)]
#: Twelve pairs of border and pitch, of which these four hold each pitch and each border.
QUICK = (COVERING[0], COVERING[5], COVERING[10], COVERING[15])


def check_twin(plan: PassPlan, masks: list[np.ndarray], ignore: int = 77) -> np.ndarray:
    """Both twins give the same ids; returns them."""
    batch = batch_of(plan, masks)
    one_pass = DevicePass(batch.fused, "cpu", IndexLauncher(batch.fused))
    got = one_pass.index_maps(batch.keys, batch.windows, batch.sources, batch.element, ignore=ignore)
    want = batch.run(ignore=ignore)
    assert got.dtype == getattr(torch, batch.element)
    np.testing.assert_array_equal(got.numpy(), want)
    return want


def ragged(element: str = "uint8", sizes: tuple[tuple[int, int], ...] = RAGGED) -> list[np.ndarray]:
    return [ids(*size, k, element) for k, size in enumerate(sizes)]


@needs_compiler
@pytest.mark.parametrize("element", ["uint8", "int32"])
@pytest.mark.parametrize("row", QUICK, ids=lambda row: "-".join(map(str, row)))
def test_equal_bits(row: tuple[str, int, int, str, bool], element: str) -> None:
    # Neither side is a multiple of 32 or of 8 rows of threads.
    check_twin(rich_plan(45, 71, row), ragged(element))


@needs_compiler
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("element", ["uint8", "int32"])
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("pitch", [8, 4, 2, 1])
def test_all_variants(pitch: int, border: str, element: str) -> None:
    check_twin(rich_plan(37, 43, ("uint8", pitch, 0, border, True)), ragged(element))
    for zoom in (0.7, 0.3, 0.1, 0.02):
        affine = Affine((-90, 90), (0.3, 0.3), (zoom, zoom), (-30, 30), 1.0, 0x205)
        check_twin(fixed(pitch, PassPlan(33, 47, warps=(affine,), border=border)), ragged(element))
    for size in ((1, 1), (1, 2), (2, 1), (1, 300), (300, 1), (8, 32), (9, 33), (64, 64)):
        if pitch <= min(size):
            check_twin(rich_plan(*size, ("uint8", pitch, 0, border, True)), ragged(element))


@needs_compiler
@pytest.mark.parametrize("border", BORDERS)
def test_shrinking_windows(border: str) -> None:
    affine = Affine((-90, 90), (0.3, 0.3), (0.1, 0.4), (-30, 30), 1.0, 0x205)
    got = check_twin(fixed(4, PassPlan(33, 47, warps=(affine,), border=border)), ragged("int32"))
    assert (got == 77).any() == (border == "constant")


@needs_compiler
def test_struct_has_numpys_size() -> None:
    assert index_library(VARIANTS[0]).args_size() == INDEX_ARGS.itemsize


# ---------------------------------------------------------------- DevicePass


@needs_compiler
def test_colors_cost_no_launch_and_records_are_left_alone() -> None:
    plan = fixed(4, PassPlan(33, 40, crop=Crop("random_resized", slot=3), transforms=PRESETS["all"]))
    batch = batch_of(plan, ragged("int32"))
    shim = IndexLauncher(batch.fused)
    one_pass = DevicePass(batch.fused, "cpu", shim)
    images = [np.repeat(window[..., None].astype(np.uint8), 3, 2) for window in batch.maps]
    samples = batch.fused.records(batch.keys, batch.windows, Sources.of_arrays(images))
    one_pass.run(samples, batch.keys.seed)  # places copies, whose addresses must not reach the masks
    before, shim.launched = samples.tobytes(), []
    out = torch.full((len(samples), 33, 40), -5, dtype=torch.int32)
    got = one_pass.index_maps(batch.keys, batch.windows, batch.sources, "int32", out, samples)
    assert got is out
    assert shim.launched == ["lattice", "index_int32"]
    assert samples.tobytes() == before
    np.testing.assert_array_equal(got.numpy(), batch.run())


@needs_compiler
def test_views_have_the_same_mask() -> None:
    color = Chains((Range("posterize", 8, 4, rounding="nearest"),), (0.0, 1.0), views=2)
    warps = (Flip(0.5, True, 0x104),)
    got = check_twin(PassPlan(20, 24, warps=warps, program=(color,), views=2), ragged())
    assert len(got) == 2 * len(RAGGED)


@needs_compiler
def test_an_empty_batch_launches_nothing() -> None:
    fused = FusedPass(PassPlan(8, 8))
    shim = IndexLauncher(fused)
    batch = batch_of(fused.plan, [])
    got = DevicePass(fused, "cpu", shim).index_maps(
        batch.keys, batch.windows, Sources.of_arrays([]), "uint8", samples=batch.samples
    )
    assert got.shape == (0, 8, 8)
    assert shim.launched == []


@needs_compiler
def test_refused_arguments() -> None:
    batch = batch_of(PassPlan(8, 8), [ids(8, 8)])
    one_pass = DevicePass(batch.fused, "cpu", IndexLauncher(batch.fused))
    for out in (torch.empty(1, 8, 9, dtype=torch.uint8), torch.empty(1, 8, 8, dtype=torch.int32)):
        with pytest.raises(ArgumentError, match="out of shape"):
            one_pass.index_maps(batch.keys, batch.windows, batch.sources, "uint8", out)
    with pytest.raises(ArgumentError, match="element='float32': not known"):
        one_pass.index_maps(batch.keys, batch.windows, batch.sources, "float32")


@needs_compiler
def test_kernels_of_masks_are_compiled_when_masks_come(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = batch_of(PassPlan(8, 8, transforms=(warp("rotate"),)), [ids(8, 8)])
    shim, made = IndexLauncher(batch.fused), []

    def make(modules: list, index: int) -> IndexLauncher:
        made.append(modules)
        return shim

    monkeypatch.setattr(device, "CupyLauncher", make)
    one_pass = DevicePass(batch.fused, "cpu")
    assert len(made) == 1
    for _ in range(2):
        one_pass.index_maps(batch.keys, batch.windows, batch.sources, "uint8")
    assert made[1:] == [[IndexVariant.of(batch.fused.plan, batch.fused.pitch)]]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("element", ["uint8", "int32"])
@pytest.mark.parametrize("border", BORDERS)
def test_a_gpu_gives_the_bits_of_the_cpu(border: str, element: str) -> None:
    batch = batch_of(rich_plan(45, 71, ("uint8", 4, 0, border, True)), ragged(element))
    there = [torch.from_numpy(window).cuda() for window in batch.maps]
    host = batch.sources
    pointers = np.array([window.data_ptr() for window in there], np.uint64)
    sources = Sources(pointers, host.heights, host.widths, host.strides, there)
    one_pass = DevicePass(batch.fused, torch.device("cuda", torch.cuda.current_device()))
    got = one_pass.index_maps(batch.keys, batch.windows, sources, element, ignore=77)
    np.testing.assert_array_equal(got.cpu().numpy(), batch.run(ignore=77))


# ---------------------------------------------------------------- NVRTC


@needs_nvrtc
def test_compiles_everywhere_without_a_warning_a_spill_or_a_stack() -> None:
    pairs = [(arch, VARIANTS[-1]) for arch in ARCHITECTURES]
    pairs += [(ARCHITECTURES[k % len(ARCHITECTURES)], each) for k, each in enumerate(VARIANTS)]

    def compiled(pair: tuple[int, IndexVariant]) -> nvrtc.Compiled:
        return nvrtc.compile_cuda(pair[1].source(), f"sm_{pair[0]}", pair[1].definitions())

    with ThreadPoolExecutor(4) as pool:
        for (arch, each), one in zip(pairs, pool.map(compiled, pairs), strict=True):
            where = f"sm_{arch} {each}"
            assert one.warnings() == [], where
            assert one.kernels.keys() == set(IndexVariant.kernels), where
            for name, figure in one.kernels.items():
                assert figure.spill_bytes == figure.stack_bytes == 0, f"{name} on {where}: {figure}"


@needs_nvrtc
def test_arithmetic_is_single_precision_and_never_contracted() -> None:
    each = VARIANTS[-1]
    ptx = nvrtc.compile_cuda(each.source(), "compute_90", each.definitions()).code.decode()
    assert ".f64" not in ptx
    operations = set(re.findall(r"\b(?:add|sub|mul|mad|fma|div|sqrt|rcp)\.\S*f32", ptx))
    assert operations
    assert {op for op in operations if not re.fullmatch(r"(?:add|sub|mul|fma)\.rn\.f32", op)} == set()
