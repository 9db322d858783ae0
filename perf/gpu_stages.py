"""The table of the stages: time of each kernel a batch and an image, bandwidth, registers, equality of bits.

Bytes are those that must move: each image that a kernel reads and each that it writes, once. A program reads
and writes its image once a step, much of it in the cache.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from fieldloom.perf.gpu_timing import copy_bandwidth, device_us, host_us, sets_beyond_cache
from fieldloom.perf.spread import spread

Work = Callable[[], Any]
#: Samples whose bits are held against the CPU twin: a group of mixing partners.
COMPARED = 8


def recipes() -> dict[str, list[Any]]:
    """What is measured, by name."""
    import fieldloom as fl

    return {
        "RandAugment(2, 9)": [fl.RandAugment(n=2, magnitude=9)],
        "TrivialAugmentWide": [fl.TrivialAugmentWide()],
        "AugMix": [fl.AugMix()],
        "GaussianBlur": [fl.GaussianBlur(sigma=(0.1, 2.0), p=1.0)],
        "PASTA": [fl.PASTA(p=1.0)],
        "MixUp": [fl.MixUp()],
        "CutMix": [fl.CutMix()],
        "FMix": [fl.FMix()],
        "ResizeMix": [fl.ResizeMix()],
        "RandomErasing, noise": [fl.RandomErasing(p=1.0, fill="noise")],
    }


#: What a short run measures.
FEW = ("RandAugment(2, 9)", "PASTA", "MixUp", "CutMix", "FMix")


def compile_pass(recipe: list[Any], size: int, dtype: str) -> Any:
    """The pass of a row, normalized as for training."""
    import fieldloom as fl
    from fieldloom.kernels.fusedpass import FusedPass
    from fieldloom.recipe import Format, compile_recipe

    mixes = (fl.MixUp, fl.CutMix, fl.FMix, fl.ResizeMix)
    at = next((k for k, step in enumerate(recipe) if isinstance(step, mixes)), len(recipe))
    return FusedPass(compile_recipe([*recipe[:at], fl.Normalize(), *recipe[at:]], Format(size, dtype)))


def bytes_of(stages: Any, size: int, out_bytes: int) -> dict[str, int]:
    """Bytes that the kernels of a batch must move, by kernel.

    Args:
        stages: Its StageRecords.
        size: Height and width.
        out_bytes: Of the output.
    """
    from fieldloom.kernels.stages.records import BLEND, BOX, IDENTITY, MASK_PLANES, PASTE

    area = size * size
    planes, spectrum = 3 * area, 2 * 4 * 3 * size * (size // 2 + 1)
    finish = stages.finish
    box = finish["box"].astype(np.int64)
    shown = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    of_masks = np.where(finish["mode"] == MASK_PLANES, area * (finish["ways"] - 1), 0)
    of_others = np.select(
        [np.isin(finish["mode"], (BLEND, MASK_PLANES)), finish["mode"] == BOX, finish["mode"] == PASTE],
        [planes * (finish["ways"] - 1), 3 * shown, planes], 0,
    )  # fmt: skip
    active = int(stages.spectra.sum())
    return {
        "program": 2 * planes * int((stages.program["op"] != IDENTITY).sum()),
        "spectrum_rows": active * (planes + spectrum),
        "spectrum_columns": active * 2 * spectrum,
        "spectrum_back": active * (planes + spectrum),
        "masks": area * len(stages.masks),
        "finish": planes * len(finish) + int(of_others.sum()) + int(of_masks.sum()) + out_bytes,
    }


class Case:
    """One recipe's pass, on so many sets of buffers that the cache holds none of them."""

    def __init__(self, device: Any, recipe: list[Any], n: int, size: int, dtype: str) -> None:
        import torch

        from fieldloom.kernels.device import DevicePass
        from fieldloom.sources.dense import DensePixels

        self.n, self.size = n, size
        self.fused = compile_pass(recipe, size, dtype)
        self.device_pass = DevicePass(self.fused, device)
        self.launcher: Any = self.device_pass.launcher
        self.keys, self.windows, self.stages = self._drawn(n)
        out_bytes = self.device_pass.empty(1).nbytes * n
        self.moved = bytes_of(self.stages, size, out_bytes)
        generator = torch.Generator(device).manual_seed(0)
        self.images = [
            _pictures(n, size, device, generator)
            for _ in range(sets_beyond_cache(device, 3 * n * size**2 + out_bytes))
        ]
        self.sources = [
            DensePixels.of_tensor(each).sources(np.arange(n), self.windows.rects) for each in self.images
        ]
        self.prepared = [
            self.device_pass.prepare(
                self.fused.records(self.keys, self.windows, sources), 0, None, self.stages
            )
            for sources in self.sources
        ]

    def _drawn(self, n: int) -> tuple[Any, Any, Any]:
        from fieldloom.kernels.keys import Keys
        from fieldloom.kernels.stages.staged import Groups

        keys = Keys(0, 0, np.arange(n), np.zeros(n, np.int64))
        windows = self.fused.windows(keys, np.full((n, 2), self.size))
        groups = Groups(np.arange(n), np.arange(n) % 10) if self.fused.plan.mixing is not None else None
        return keys, windows, self.fused.stages(keys, groups)

    def kernels(self) -> list[str]:
        """Names of the stages' kernels that the batch launches, in order."""
        return [name for name in map(_kernel, self.prepared[0].launches) if name in self.moved]

    def kernel_us(self, kernel: str) -> list[float]:
        """Device time of one kernel of the batch."""
        if kernel == "program":
            return self._program_us()
        return device_us([self._only(prepared, kernel) for prepared in self.prepared])

    def batch_us(self) -> list[float]:
        """Device time of the whole batch, fused pass included."""
        return device_us([self._all(prepared) for prepared in self.prepared])

    def _program_us(self) -> list[float]:
        """A program changes what it reads, and would soon meet flat images: each call gets fresh ones."""
        copies = [self._fresh(prepared) for prepared in self.prepared]
        works = [
            _both(copy, self._only(prepared, "program"))
            for copy, prepared in zip(copies, self.prepared, strict=True)
        ]
        both, alone = device_us(works), device_us(copies)
        return [max(a - b, 1e-3) for a, b in zip(both, alone, strict=True)]

    def _fresh(self, prepared: Any) -> Work:
        """Puts back what the program of a batch begins with."""
        self._all(prepared, until="program")()
        working = self._working(prepared)
        kept = working.clone()
        return lambda: working.copy_(kept)

    def _working(self, prepared: Any) -> Any:
        """The 8-bit planes of a batch in its scratch memory."""
        finish = next(one for one in prepared.launches if _kernel(one) == "finish")
        first = int(finish.args["working"][0]) - prepared.scratch.data_ptr()
        return prepared.scratch[first:][: 3 * self.size**2 * self.n * self.fused.plan.views]

    def _only(self, prepared: Any, kernel: str) -> Work:
        launches = [one for one in prepared.launches if _kernel(one) == kernel]
        return lambda: self.device_pass.enqueue(launches)

    def _all(self, prepared: Any, until: str | None = None) -> Work:
        end = [*map(_kernel, prepared.launches), until].index(until)
        return lambda: self.device_pass.enqueue(prepared.launches[:end])

    def equal_bits(self) -> bool:
        """Whether a few samples have the bits of the CPU twin."""
        import torch

        from fieldloom.kernels.fusedpass import Sources

        keys, windows, stages = self._drawn(min(COMPARED, self.n))
        host = list(self.images[0][: len(keys)].cpu().numpy())
        expected = self.fused(keys, windows, Sources.of_arrays(host), stages=stages)
        self._all(self.prepared[0])()
        views = self.fused.plan.views
        found = self.prepared[0].out.view(views, self.n, -1)[:, : len(keys)].contiguous().cpu()
        return found.view(torch.uint8).numpy().tobytes() == expected.tobytes()

    def enqueue_us(self) -> list[float]:
        """Host time of a whole batch: draws, records, upload, launches."""

        def work() -> None:
            keys, windows, stages = self._drawn(self.n)
            self.device_pass(keys, windows, self.sources[0], stages=stages)

        return host_us(work)


def measure(
    device: Any, n: int = 256, size: int = 224, dtype: str = "float16", names: Any = None
) -> dict[str, Any]:
    """The table; `names` are keys of `recipes`, None all of them."""
    copy, chosen = copy_bandwidth(device), recipes()
    rows = []
    for name in chosen if names is None else names:
        rows.append(_row(Case(device, chosen[name], n, size, dtype), name, copy["median"]))
    return {"batch": n, "size": size, "dtype": dtype, "copy_gb_per_s": copy, "rows": rows}


def _row(case: Case, name: str, copy: float) -> dict[str, Any]:
    kernels, registers = {}, case.launcher.registers()
    for kernel in case.kernels():
        us, moved = case.kernel_us(kernel), case.moved[kernel]
        bandwidth = spread([1e-3 * moved / each for each in us], 1)
        kernels[kernel] = {
            "us": spread(us, 2), "us_an_image": spread([each / case.n for each in us], 4),
            "mb": round(1e-6 * moved, 2), "gb_per_s": bandwidth,
            "percent_of_copy": round(100 * bandwidth["median"] / copy, 1), "registers": registers.get(kernel),
        }  # fmt: skip
    whole = case.batch_us()
    return {
        "recipe": name, "kernels": kernels, "batch_us": spread(whole, 2),
        "batch_us_an_image": spread([each / case.n for each in whole], 4),
        "enqueue_us": spread(case.enqueue_us(), 1), "bits_equal_cpu": case.equal_bits(),
    }  # fmt: skip


def _pictures(n: int, size: int, device: Any, generator: Any) -> Any:
    """Smooth images, uint8 (n, size, size, 3): what policies count, and how they stretch, depends on them."""
    import torch

    coarse = torch.rand((n, 3, *[max(2, size // 16)] * 2), device=device, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)
    return (255 * smooth).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _kernel(step: Any) -> str:
    """Name of a launch; of other work between launches none."""
    return getattr(step, "kernel", "")


def _both(first: Work, then: Work) -> Work:
    def work() -> None:
        first()
        then()

    return work
