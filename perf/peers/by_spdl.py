"""The jobs by SPDL's pipeline of threads, around torchvision's transforms."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .by_torchvision import compose, load
from .work import Epoch, Work, endless, mix_batch, through


@contextmanager
def make(work: Work) -> Iterator[Epoch]:
    """Threads decode and transform; batches are stacked in one more stage."""
    import torch
    from spdl.pipeline import PipelineBuilder

    transform = compose(work, separable=True)
    order = endless(len(work.files))

    def paths() -> Iterator[str]:
        while True:
            yield work.files[next(order)][0]

    def one(path: str) -> Any:
        return transform(load(path))

    def stack(tensors: list[Any]) -> Any:
        batch = torch.stack(tensors)
        return mix_batch(batch) if work.mixes else batch

    pipeline = (
        PipelineBuilder()
        .add_source(paths())
        .pipe(one, concurrency=work.threads)
        .aggregate(work.batch)
        .pipe(stack)
        .add_sink(2)
        .build(num_threads=work.threads + 1)
    )
    with pipeline.auto_stop():
        yield through(pipeline, len)
