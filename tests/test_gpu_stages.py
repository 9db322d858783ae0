"""On a CUDA GPU: recipes with stages give the bits of the CPU; and the same checks by the shim, without one.

The cases of a GPU are skipped, with a count, where there is none; they were written without one at hand.
"""

from typing import Any

import numpy as np
import pytest
import torch
from cuda_shim import ShimLauncher, has_compiler
from kernel_cases import noise, photo
from stage_pass import run_on_device, run_staged
from staged_loaders import LABELS, OPTIONS, RECIPES, SOURCES, STACK, N, assert_equal, bits

import fieldloom as fl
from fieldloom.kernels.fusedpass import FusedPass
from fieldloom.kernels.keys import Keys
from fieldloom.recipe import Format, compile_recipe
from fieldloom.registry import REGISTRY, Entry
from helpers import check_ledger

pytestmark = pytest.mark.timeout(600)

ON_GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")]
GPU = pytest.param("cuda", marks=ON_GPU)
SHIM = pytest.param("cpu", marks=pytest.mark.skipif(not has_compiler, reason="needs g++"))
both = pytest.mark.parametrize("device", [GPU, SHIM])


def gpu(test: Any) -> Any:
    """A test that has no meaning without a GPU."""
    for mark in ON_GPU:
        test = mark(test)
    return test


#: dtype, layout, size: rows of whole words, ragged ones, sides that are prime.
FORMATS: dict[str, tuple[str, str, tuple[int, int]]] = {
    "float32": ("float32", "NCHW", (37, 51)),
    "float16": ("float16", "NHWC", (64, 48)),
    "bfloat16": ("bfloat16", "NCHW", (31, 64)),
    "uint8": ("uint8", "NHWC", (33, 29)),
}
#: An operation of each stage, and each way of mixing.
FEW = ("pasta", "randaugment", "augmix", "random_erasing", "cutmix", "fmix_soft", "resizemix", "mask_mix")


def given(n: int, size: tuple[int, int]) -> dict[str, np.ndarray]:
    """Tables and masks that the registry's codes name."""
    right = np.broadcast_to(np.linspace(0, 1, size[1], dtype=np.float32), size)
    masks = np.stack([1 - right, right / 2, right / 2])[None]
    return {"table": np.full((n, 17), 0.5, np.float32), "masks": masks}


def images(n: int) -> list[np.ndarray]:
    """Of many sizes."""
    return [(photo, noise)[k % 2](20 + 7 * k, 90 - 3 * k, k) for k in range(n)]


def check(
    device: str, recipe: list[Any], form: Format, pictures: list[np.ndarray], *, first: int = 0
) -> None:
    """The device's bits are the CPU's."""
    fused, n = FusedPass(compile_recipe(recipe, form)), len(pictures)
    keys = Keys(0x1234_5678_9ABC, 3, np.arange(n) * 5, np.arange(n) % 2)
    want = run_staged(fused, pictures, keys, first=first)
    launcher = ShimLauncher(fused) if device == "cpu" else None
    at = torch.device(device, torch.cuda.current_device()) if device == "cuda" else torch.device(device)
    out = run_on_device(fused, pictures, keys, at, launcher, first=first)
    assert tuple(out.shape) == want.shape
    assert bits(out) == want.tobytes()


def cases() -> list[Any]:
    """(device, entry, format): every entry in every format on a GPU, a few elsewhere."""
    found = []
    for name in FORMATS:
        for entry in REGISTRY:
            if name == "uint8" and entry.name == "normalize":
                continue  # it refuses uint8, by its own test
            found.append(pytest.param("cuda", entry, name, marks=ON_GPU, id=f"cuda-{entry.name}-{name}"))
    few = [entry for entry in REGISTRY if entry.name in FEW]
    assert len(few) == len(FEW)
    return found + [
        pytest.param(*SHIM.values, e, "float16", marks=SHIM.marks, id=f"shim-{e.name}") for e in few
    ]


@pytest.mark.parametrize(("device", "entry", "name"), cases())
def test_every_entry_has_the_bits_of_the_cpu(device: str, entry: Entry, name: str) -> None:
    dtype, layout, size = FORMATS[name]
    recipe = [entry.build(**given(100, size))]
    check(device, recipe, Format(size, dtype, layout), images(16))


@both
@pytest.mark.parametrize("name", RECIPES)
def test_whole_recipes_with_views_and_mixing(device: str, name: str) -> None:
    check(device, RECIPES[name], Format((40, 52), "float16", "NHWC"), images(16), first=24)


@both
@pytest.mark.parametrize("n", [1, 3, 8])
def test_batches_that_are_no_whole_group(device: str, n: int) -> None:
    check(device, RECIPES["views"], Format((40, 52), "float16", "NHWC"), images(n), first=5)


@gpu
@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_whole_recipes_at_training_size(name: str, dtype: str) -> None:
    check("cuda", RECIPES[name], Format(224, dtype), [photo(300, 260, k) for k in range(64)])


@gpu
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (97, 1), (509, 20), (2048, 16), (16, 2048), (512, 768)])
def test_sizes_of_spectra_and_masks(size: tuple[int, int]) -> None:
    pictures = [noise(*size, k) for k in range(8)]
    recipe = [fl.PASTA(), fl.GaussianBlur(sigma=(1, 4)), fl.RandomErasing(p=1.0, fill="noise"), fl.FMix()]
    check("cuda", recipe, Format(size), pictures)


@gpu
@pytest.mark.parametrize("decay", [1.5, 2.0, 3.0, 5.0])
def test_laws_of_masks(decay: float) -> None:
    check(
        "cuda",
        [fl.FMix(decay=decay, max_soft=0.3)],
        Format((130, 224)),
        [noise(130, 224, k) for k in range(8)],
    )


# ---------------------------------------------------------------- loaders (by the shim: test_gpu_backend.py)


@gpu
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "channels_last"])
def test_a_loader_gives_the_bits_of_the_cpu(source: str, name: str, layout: str) -> None:
    options = {**OPTIONS, "augment": RECIPES[name], "layout": layout}
    with (
        fl.DataLoader(SOURCES[source], device="cuda", **options) as ours,
        fl.DataLoader(SOURCES[source], device="cpu", **options) as theirs,
    ):
        for _ in range(2):
            batches = check_ledger(ours)
            assert all(batch.images.is_cuda for batch in batches)
            assert_equal(batches, theirs)


@gpu
def test_a_loader_of_selected_samples_at_given_strengths() -> None:
    with (
        fl.DataLoader((STACK, LABELS), device="cuda", augment=RECIPES["everything"], **OPTIONS) as ours,
        fl.DataLoader((STACK, LABELS), device="cpu", augment=RECIPES["everything"], **OPTIONS) as theirs,
    ):
        for loader in (ours, theirs):
            loader.select(np.arange(N) // 2, weights=np.linspace(1, 3, N), strength=np.linspace(0, 2, N))
        assert_equal(ours, theirs)


@gpu
@pytest.mark.parametrize("name", RECIPES)
def test_replay_gives_the_sample_of_the_epoch(name: str) -> None:
    with fl.DataLoader((STACK, LABELS), device="cuda", augment=RECIPES[name], **OPTIONS) as loader:
        batch = next(iter(loader))
        views = batch.images if batch.images.dim() == 5 else batch.images[None]
        for k in (0, 9, 15):
            again = loader.replay(int(batch.ids[k]), epoch=0)
            assert bits(again) == bits(views[:, k])


@gpu
@pytest.mark.parametrize("name", RECIPES)
def test_the_host_never_waits_in_the_steady_state(name: str) -> None:
    with fl.DataLoader((STACK, LABELS), device="cuda", augment=RECIPES[name], **OPTIONS) as loader:
        for _ in loader:  # compiles, allocates
            pass
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            assert sum(len(batch) for batch in loader) == N
        finally:
            torch.cuda.set_sync_debug_mode("default")
