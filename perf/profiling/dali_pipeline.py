"""A recipe's work by DALI's own operators."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .peers import Work, shuffled


def pipeline_for(source: Any, work: Work, batch: int, threads: int) -> Any:
    """A built DALI pipeline on the CPU over a source of encoded images, without end.

    Files are read by DALI's own reader where the source names files, else by `threads` threads of ours.
    """
    from nvidia.dali import fn as operators
    from nvidia.dali import types as dali_types
    from nvidia.dali.pipeline import Pipeline

    fn: Any = operators
    types: Any = dali_types
    pipe = Pipeline(batch, threads, None, seed=1)
    with pipe:
        encoded, labels = _read(fn, source, batch, threads)
        height, width = work.size
        if work.crop == "random":
            images = fn.decoders.image_random_crop(
                encoded, random_area=list(work.scale), output_type=types.RGB
            )
            images = fn.resize(images, resize_x=width, resize_y=height)
        else:
            images = fn.decoders.image(encoded, output_type=types.RGB)
            images = fn.resize(images, resize_shorter=max(work.size))
        if work.warp:
            images = fn.water(images, fill_value=0)
        if work.color:
            images = fn.color_twist(
                images, brightness=fn.random.uniform(range=(0.6, 1.4)),
                contrast=fn.random.uniform(range=(0.6, 1.4)), saturation=fn.random.uniform(range=(0.6, 1.4)),
                hue=fn.random.uniform(range=(-36.0, 36.0)),
            )  # fmt: skip
        mean, std = work.normalize or ((0.0,) * 3, (1.0,) * 3)
        images = fn.crop_mirror_normalize(
            images, dtype=types.FLOAT, output_layout="CHW", crop=work.size,
            mirror=fn.random.coin_flip() if work.flip else 0,
            mean=[255 * m for m in mean], std=[255 * s for s in std],
        )  # fmt: skip
        pipe.set_outputs(images, labels)
    pipe.build()
    return pipe


def _read(fn: Any, source: Any, batch: int, threads: int) -> tuple[Any, Any]:
    from fieldloom.sources import FolderSource, ListSource

    if isinstance(source, (FolderSource, ListSource)) and source.targets is not None:
        names = [source.name(i) for i in range(len(source))]
        return fn.readers.file(
            files=names, labels=source.targets.tolist(), random_shuffle=True, initial_fill=1024, name="reader"
        )
    return fn.external_source(source=_batches(source, batch, threads), num_outputs=2)


def _batches(source: Any, batch: int, threads: int) -> Iterator[tuple[list[Any], Any]]:
    order = shuffled(len(source))
    known = source.targets is not None and source.targets.ndim == 1
    targets = source.targets if known else np.zeros(len(source), np.int64)
    with ThreadPoolExecutor(threads) as pool:
        first = 0
        while True:
            ids = np.take(order, np.arange(first, first + batch), mode="wrap")
            first = (first + batch) % len(order)
            yield list(pool.map(source.read, ids.tolist())), targets[ids][:, None]
