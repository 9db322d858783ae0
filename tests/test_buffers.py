"""Memory is used again only when nothing whatever refers to it."""

import random
import threading

import numpy as np
import pytest
import torch

from fieldloom.buffers import BufferPool

SHAPE = (4, 3, 5, 5)


def address(array) -> int:
    return array.__array_interface__["data"][0]


def test_free_memory_is_used_again() -> None:
    pool = BufferPool(keep=2)
    array = pool.take(SHAPE, np.float32)
    place = address(array)
    del array
    assert address(pool.take(SHAPE, np.float32)) == place


ALIASES = {
    "itself": lambda a: a,
    "view": lambda a: a[1:, ::2],
    "element view": lambda a: a[0, 0, 0, :1],
    "bytes": lambda a: a.view(np.uint8),
    "tensor": torch.from_numpy,
    "tensor view": lambda a: torch.from_numpy(a)[2:],
    "permuted": lambda a: torch.from_numpy(a).permute(0, 2, 3, 1),
    "detached": lambda a: torch.from_numpy(a).detach(),
    "numpy of tensor": lambda a: torch.from_numpy(a).numpy(),
    "view of numpy of tensor": lambda a: torch.from_numpy(a)[1].numpy()[0],
    "bfloat16": lambda a: torch.from_numpy(a.view(np.uint16)).view(torch.bfloat16),
    "storage": lambda a: torch.from_numpy(a).untyped_storage(),
    "memoryview": memoryview,
    "dlpack": torch.from_dlpack,
    "graph": lambda a: (torch.from_numpy(a) * torch.ones(1, requires_grad=True)).grad_fn,
}


@pytest.mark.parametrize("kind", ALIASES)
def test_never_while_something_refers_to_it(kind: str) -> None:
    pool = BufferPool(keep=4)
    array = pool.take(SHAPE, np.float32)
    array[:] = 1
    place = address(array)
    alias = ALIASES[kind](array)
    del array
    others = [pool.take(SHAPE, np.float32) for _ in range(3)]
    assert place not in map(address, others)
    del alias
    again = pool.take(SHAPE, np.float32)
    if kind != "graph":
        assert address(again) == place


def test_pool_shrinks_to_keep() -> None:
    pool = BufferPool(keep=2)
    arrays = [pool.take(SHAPE, np.uint8) for _ in range(10)]
    assert len({address(a) for a in arrays}) == 10
    del arrays
    array = pool.take(SHAPE, np.uint8)
    assert len(pool._arrays) <= 3
    del array


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (1, 3, 1, 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.uint8])
def test_shapes_and_types(shape, dtype) -> None:
    pool = BufferPool(keep=1)
    for _ in range(3):
        array = pool.take(shape, dtype)
        assert (array.shape, array.dtype) == (shape, dtype)
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert address(array) % np.dtype(dtype).alignment == 0


def test_sizes_that_change() -> None:
    """A last, smaller batch takes part of a large array; a much smaller one does not hold it."""
    pool = BufferPool(keep=3)
    large = pool.take((64,), np.uint8)
    place = address(large)
    del large
    part = pool.take((40,), np.uint8)
    assert address(part) == place
    del part
    assert address(pool.take((3,), np.uint8)) != place


def test_under_threads() -> None:
    """Producers and consumers that keep arrays for a while: nobody ever sees another's writing."""
    pool, wrong = BufferPool(keep=3), []

    def work(name: int) -> None:
        rng, kept = random.Random(name), []
        for i in range(400):
            array = pool.take((rng.randint(1, 8), 16), np.int64)
            mark = name * 1000 + i
            array.fill(mark)
            kept.append((torch.from_numpy(array)[: rng.randint(1, 8)], mark))
            del array
            while len(kept) > rng.randint(0, 4):
                tensor, mark = kept.pop(rng.randrange(len(kept)))
                if not (tensor == mark).all():
                    wrong.append(mark)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
