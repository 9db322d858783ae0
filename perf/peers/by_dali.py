"""The jobs by DALI's own operators. Its only warp on the CPU, `water`, is one sine for all images."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .work import JITTER, MEAN, STD, Epoch, Work, endless, images


@contextmanager
def make(work: Work) -> Iterator[Epoch]:
    """A pipeline of DALI's operators."""
    import torch
    from nvidia.dali import fn, types
    from nvidia.dali.pipeline import Pipeline

    pipe = Pipeline(work.batch, work.threads, None, seed=1)
    with pipe:
        pixels = _memory(work, fn) if work.in_memory else _decoded(work, fn, types)
        if work.warps:
            pixels = fn.water(pixels)
        if work.jitters:
            pixels = _jitter(fn, pixels)
        pipe.set_outputs(_finish(work, fn, types, pixels))
    pipe.build()

    def epoch(n: int) -> int:
        done = 0
        while done < n:
            (out,) = pipe.run()
            torch.from_dlpack(out.as_tensor())
            done += len(out)
        return done

    yield epoch


def _decoded(work: Work, fn: Any, types: Any) -> Any:
    paths, labels = zip(*work.files, strict=True)
    encoded, _ = fn.readers.file(
        files=list(paths), labels=list(labels), random_shuffle=True, initial_fill=1024, name="reader"
    )
    crops = fn.decoders.image_random_crop(encoded, random_area=[0.08, 1.0], output_type=types.RGB)
    return fn.resize(crops, resize_x=work.size, resize_y=work.size)


def _memory(work: Work, fn: Any) -> Any:
    stack = images(work.array)
    order = endless(len(stack))

    def batch() -> list[np.ndarray]:
        return [stack[next(order)] for _ in range(work.batch)]

    return fn.external_source(source=batch, layout="HWC", no_copy=True)


def _jitter(fn: Any, pixels: Any) -> Any:
    b, c, s, h = JITTER
    return fn.color_twist(
        pixels,
        brightness=fn.random.uniform(range=(1 - b, 1 + b)), contrast=fn.random.uniform(range=(1 - c, 1 + c)),
        saturation=fn.random.uniform(range=(1 - s, 1 + s)), hue=fn.random.uniform(range=(-360 * h, 360 * h)),
    )  # fmt: skip


def _finish(work: Work, fn: Any, types: Any, pixels: Any) -> Any:
    form: dict[str, Any] = {
        "dtype": types.FLOAT, "output_layout": "CHW",
        "mean": [255 * m for m in MEAN], "std": [255 * s for s in STD],
    }  # fmt: skip
    if work.small:
        pixels = fn.erase(
            pixels, anchor=fn.random.uniform(range=(-4, 28), shape=(2,)), shape=(8.0, 8.0), axes=(0, 1),
            fill_value=0,
        )  # fmt: skip
        pixels = fn.paste(pixels, ratio=1.25, fill_value=0)  # 4 pixels of padding on each side
        form |= {
            "crop": (work.size, work.size), "crop_pos_x": fn.random.uniform(range=(0, 1)),
            "crop_pos_y": fn.random.uniform(range=(0, 1)),
        }  # fmt: skip
    if work.small or not work.in_memory:
        form["mirror"] = fn.random.coin_flip()
    out = fn.crop_mirror_normalize(pixels, **form)
    if work.mixes:
        partners = fn.permute_batch(out, indices=fn.batch_permutation())
        weight = fn.random.uniform(range=(0, 1))
        out = out * weight + partners * (1.0 - weight)
    return out
