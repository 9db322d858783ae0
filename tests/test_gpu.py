"""On a CUDA GPU: bits, order between streams, no waiting, no leaks, damaged files.

Skipped, with a count, where there is no GPU. These tests were written without one at hand.
"""

import gc
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kernel_cases import PRESETS, cut, keys, noise, photo

import fieldloom as fl
from fieldloom.errors import DeviceError
from fieldloom.kernels.device import DevicePass
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.plan import Crop, Flip, PassPlan
from fieldloom.pipelines.upload import upload
from helpers import FULL, check_ledger, encoded_list, pixels

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
    pytest.mark.timeout(600),
]

SIZES = [(40, 52), (33, 20), (90, 140), (500, 375), (1, 1), (2, 7), (31, 1)]
STACK = np.stack([pixels(32, 32, i) for i in range(64)])
LABELS = list(range(64))


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()


def check(plan: PassPlan) -> None:
    """The device's bits are the CPU's."""
    fused, batch = FusedPass(plan), keys(len(SIZES))
    images = [photo(h, w, seed) if min(h, w) > 8 else noise(h, w, seed) for seed, (h, w) in enumerate(SIZES)]
    windows = fused.windows(batch, np.array(SIZES))
    crops = cut(images, windows)
    expected = fused(batch, windows, Sources.of_arrays(crops))
    device = torch.device("cuda", torch.cuda.current_device())
    memory, pointers = upload(crops, device)
    host = Sources.of_arrays(crops)
    there = Sources(pointers, host.heights, host.widths, host.widths.astype(np.int64) * 3, memory)
    out = DevicePass(fused, device)(batch, windows, there)
    assert bits(out) == expected.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "uint8"])
@pytest.mark.parametrize("planar", [True, False], ids=["NCHW", "NHWC"])
@pytest.mark.parametrize("border", ["reflect", "edge", "constant"])
def test_bits_by_type_layout_and_border(dtype: str, planar: bool, border: str) -> None:
    warps = (Flip(0.5, True, 0x104),)
    plan = PassPlan(
        64, 48, dtype=dtype, planar=planar, border=border, fill=(9, 99, 199), warps=warps,
        transforms=PRESETS["all"],
    )  # fmt: skip
    check(plan)


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("side", [32, 224])
def test_bits_by_preset(preset: str, side: int) -> None:
    crop = Crop("random_resized", slot=3)
    check(PassPlan(side, side, crop=crop, transforms=PRESETS[preset], mean=(0.5,) * 3, std=(0.25,) * 3))


@pytest.mark.parametrize("source", [(STACK, LABELS), ([*STACK], LABELS)], ids=["stack", "list"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "channels_last"])
def test_a_loader_gives_the_bits_of_the_cpu(source: Any, layout: str) -> None:
    options: dict[str, Any] = {
        "batch_size": 12,
        "size": 24,
        "augment": FULL,
        "shuffle": True,
        "layout": layout,
    }
    with (
        fl.DataLoader(source, device="cuda", **options) as ours,
        fl.DataLoader(source, device="cpu", **options) as theirs,
    ):
        for one, other in zip(check_ledger(ours), theirs, strict=True):
            assert one.images.is_cuda
            assert one.images.stride() == other.images.stride()
            for name in ("images", "targets", "ids", "weights"):
                assert bits(getattr(one, name)) == bits(getattr(other, name)), name


def test_images_that_are_on_the_gpu_already() -> None:
    there = torch.from_numpy(STACK).cuda()
    options: dict[str, Any] = {"batch_size": 16, "size": 24, "augment": FULL}
    with fl.DataLoader((there, torch.tensor(LABELS).cuda()), **options) as ours:
        assert ours.device == str(there.device)
        del there  # the loader keeps it
        with fl.DataLoader((STACK, LABELS), device="cpu", **options) as theirs:
            for one, other in zip(ours, theirs, strict=True):
                assert bits(one.images) == bits(other.images)


def test_files_decode_within_a_level_or_so() -> None:
    """GPU and CPU decoders differ by rounding: geometry and order must not."""
    options: dict[str, Any] = {"batch_size": 8, "size": 24, "dtype": "uint8"}
    with (
        fl.DataLoader(encoded_list(20), device="cuda", **options) as ours,
        fl.DataLoader(encoded_list(20), device="cpu", **options) as theirs,
    ):
        for one, other in zip(ours, theirs, strict=True):
            assert one.ids.tolist() == other.ids.tolist()
            distance = (one.images.cpu().int() - other.images.int()).abs().float()
            assert distance.mean() < 2


def test_a_slow_consumer_never_sees_other_pixels() -> None:
    """Its stream lags far behind the host: memory must not be given out again before it has read."""
    options: dict[str, Any] = {"batch_size": 8, "size": 64, "augment": FULL, "prefetch": 1}
    with fl.DataLoader((STACK, LABELS), device="cpu", **options) as theirs:
        expected = [batch.images.clone() for batch in theirs]
    slow = torch.cuda.Stream()
    with fl.DataLoader((STACK, LABELS), device="cuda", **options) as ours:
        for _ in range(5):
            ours.set_epoch(0)
            copies = []
            with torch.cuda.stream(slow):
                for batch in ours:
                    torch.cuda._sleep(20_000_000)  # cycles: milliseconds on the device, none on the host
                    copies.append(batch.images.clone())
                    del batch
            slow.synchronize()
            assert [bits(copy) for copy in copies] == [bits(image) for image in expected]


def test_the_host_never_waits_in_the_steady_state() -> None:
    with fl.DataLoader((STACK, LABELS), 8, 64, device="cuda", augment=FULL) as loader:
        for _ in loader:  # compiles, allocates
            pass
        torch.cuda.synchronize()
        # torch's own waits raise; those of other libraries are what the profiler below counts.
        torch.cuda.set_sync_debug_mode("error")
        try:
            assert sum(len(batch) for batch in loader) == 64
        finally:
            torch.cuda.set_sync_debug_mode("default")
        activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
        with torch.profiler.profile(activities=activities) as profile:
            for _ in loader:
                pass
        calls = [event.name for event in profile.events() if "Synchronize" in event.name]
        # The profiler itself waits for the device when it ends.
        assert len(calls) <= 1, calls


def test_a_hundred_loaders_leave_no_memory() -> None:
    def use(source: Any) -> None:
        loader = fl.DataLoader(source, 8, 64, device="cuda", augment=FULL)
        next(iter(loader))

    for source in ((STACK, LABELS), encoded_list(16)):
        for _ in range(5):
            use(source)
        gc.collect()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        before, free_before = torch.cuda.memory_allocated(), torch.cuda.mem_get_info()[0]
        for _ in range(100):
            use(source)
        gc.collect()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        assert torch.cuda.memory_allocated() <= before
        assert torch.cuda.mem_get_info()[0] >= free_before - 64 * 2**20


def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(DeviceError, match="torch sees"):
        fl.DataLoader([], device="cuda:99")


def test_every_gpu_is_honored() -> None:
    for index in range(torch.cuda.device_count()):
        with fl.DataLoader(encoded_list(8), 4, 32, device=f"cuda:{index}", augment=FULL) as loader:
            assert {batch.images.device.index for batch in loader} == {index}


def test_kernels_compile_in_a_second() -> None:
    code = """
        import time, torch
        torch.zeros(1, device="cuda")
        from fieldloom.kernels import cuda, launcher
        launcher.import_cupy()
        start = time.perf_counter()
        launcher.CupyLauncher([cuda.Variant(1, True, 0, 1, 4)], 0)
        print(time.perf_counter() - start)
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    print(f"cold start of the kernels: {float(out.stdout):.2f} s")  # a figure to read, not a limit


@pytest.mark.parametrize("action", ["skip", "substitute"])
def test_damaged_files_cost_themselves_only(action: str) -> None:
    """In a process of its own: what a GPU decoder makes of damaged bodies might end it."""
    code = f"""
        import numpy as np
        import fieldloom as fl
        from helpers import check_ledger, damaged_png, encoded_list, text_file
        source = encoded_list(64)
        cut = source[5][0][: len(source[5][0]) * 2 // 3] + b"\\xff\\xd9"
        source[5], source[20], source[41] = (cut, 0), (damaged_png(), 0), (text_file(), 0)
        loader = fl.DataLoader(source, 8, 32, device="cuda", on_bad_sample={action!r})
        for _ in range(2):
            ids = [i for batch in check_ledger(loader) for i in batch.ids.tolist()]
            assert 20 not in ids and 41 not in ids
            assert len(ids) == (64 if {action!r} == "substitute" else 64 - len(loader.ledger.bad))
            assert set(range(64)) - set(ids) <= {{5, 20, 41}}
        loader.close()
        print("done")
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    out = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, env=_with_tests_on_the_path()
    )
    assert out.stdout.endswith("done\n"), (out.returncode, out.stderr[-2000:])


def _with_tests_on_the_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}


def test_leaving_early() -> None:
    loader = fl.DataLoader((STACK, LABELS), 4, 224, device="cuda", augment=FULL)
    for _ in range(20):
        next(iter(loader))
    loader.close()
