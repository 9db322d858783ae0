"""A loader on a GPU, without one: the shim runs its kernels, its device memory is ordinary memory.

Streams are pretended by one that notes what was ordered behind what, and events that pass when told to.
"""

import contextlib
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from cuda_shim import ShimLauncher, has_compiler
from staged_loaders import OPTIONS, RECIPES, SOURCES, assert_equal

import fieldloom as fl
from fieldloom import loader as loader_module
from fieldloom.gpu import GpuBackend
from fieldloom.host import HostBackend
from fieldloom.kernels.device import DevicePass
from fieldloom.sources.dense import DensePixels
from fieldloom.sources.resident import ResidentSource
from helpers import FULL, check_ledger, collect, damaged_png, encoded_list, pixels

pytestmark = pytest.mark.skipif(not has_compiler, reason="g++ compiles the CUDA source for the CPU")


class Event:
    def __init__(self) -> None:
        self.passed, self.awaited = False, 0

    def query(self) -> bool:
        return self.passed

    def synchronize(self) -> None:
        self.awaited += 1


class Order:
    """Stands for `StreamOrder`."""

    def __init__(self) -> None:
        self.inside = 0
        self.events: list[Event] = []
        self.handed: list[tuple[Event, int]] = []
        self.adopted: list[torch.Tensor] = []

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    def adopt(self, memory: torch.Tensor) -> None:
        self.adopted.append(memory)

    def mark(self) -> Event:
        assert self.inside
        self.events.append(Event())
        return self.events[-1]

    def hand_over(self, event: Event, tensors: tuple[torch.Tensor, ...]) -> None:
        self.handed.append((event, len(tensors)))


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> Order:
    """Makes every loader one "on a GPU"."""
    one = Order()

    def backend(self: Any) -> GpuBackend:
        device_pass = DevicePass(self._fused_pass, "cpu", ShimLauncher(self._fused_pass))
        return GpuBackend(device_pass, self._layout, one)

    monkeypatch.setattr(loader_module.DataLoader, "_backend", backend)
    return one


def cpu_loader(source: Any, **options: Any) -> fl.DataLoader:
    """One on the CPU after all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            loader_module.DataLoader,
            "_backend",
            lambda self: HostBackend(self._fused_pass, self._layout, self.threads, 2),
        )
        return fl.DataLoader(source, **options)


def on_cpu(source: Any, **options: Any) -> list[fl.Batch]:
    with cpu_loader(source, **options) as loader:
        return list(loader)


def check_equal(source: Any, **options: Any) -> None:
    options = {"batch_size": 4, "size": 16, "augment": FULL, "seed": 3, "shuffle": True, **options}
    with fl.DataLoader(source, **options) as loader:
        batches = check_ledger(loader)
    for ours, theirs in zip(batches, on_cpu(source, **options), strict=True):
        for name in ("images", "targets", "ids", "weights"):
            one, other = getattr(ours, name), getattr(theirs, name)
            assert (one.dtype, one.stride()) == (other.dtype, other.stride()), name
            assert torch.equal(one, other), name
        assert (ours.epoch, ours.index) == (theirs.epoch, theirs.index)


STACK = np.stack([pixels(20, 28, i) for i in range(11)])
LABELS = list(range(11))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "channels_last"])
def test_a_stack_of_images(order: Order, layout: str) -> None:
    check_equal((STACK, LABELS), layout=layout)
    assert len(order.adopted) == 1


@pytest.mark.parametrize(
    "view",
    [
        STACK[:, ::-1, 2:20],
        STACK[:, 3:, 2:20],
        STACK[::-1],
        np.broadcast_to(STACK[:1], STACK.shape),
        STACK[..., ::-1],
        STACK.transpose(0, 2, 1, 3),
    ],
    ids=["flipped", "cut", "backwards", "repeated", "BGR", "turned"],
)
def test_stacks_of_any_strides(order: Order, view: np.ndarray) -> None:
    check_equal((view, LABELS))


def test_images_of_many_sizes(order: Order) -> None:
    check_equal(([pixels(12 + i, 30 - i, i) for i in range(11)], LABELS), dtype="float16")


def test_files(order: Order) -> None:
    check_equal(encoded_list(11), dtype="bfloat16")


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", RECIPES)
def test_recipes_with_stages(order: Order, source: str, name: str) -> None:
    options = {**OPTIONS, "augment": RECIPES[name]}
    with fl.DataLoader(SOURCES[source], **options) as ours, cpu_loader(SOURCES[source], **options) as theirs:
        for _ in range(2):
            assert_equal(check_ledger(ours), theirs)
        assert torch.equal(ours.replay(7, epoch=0), theirs.replay(7, epoch=0))
    assert {n for _, n in order.handed} == {3 if name == "policies" else 5}


def test_strengths_of_recipes_with_stages(order: Order) -> None:
    options = {**OPTIONS, "augment": RECIPES["everything"]}
    with (
        fl.DataLoader(SOURCES["stack"], **options) as loader,
        cpu_loader(SOURCES["stack"], **options) as other,
    ):
        for each in (loader, other):
            each.select(np.arange(44) // 2, weights=np.linspace(1, 3, 44), strength=np.linspace(0, 2, 44))
        assert_equal(check_ledger(loader), other)


@pytest.mark.parametrize("action", ["skip", "substitute"])
def test_bad_samples(order: Order, action: str) -> None:
    source = encoded_list(9)
    source[2], source[6] = (damaged_png(), 2), (b"<html>", 0)
    check_equal(source, on_bad_sample=action)


def test_selection_with_weights(order: Order) -> None:
    with fl.DataLoader((STACK, LABELS), batch_size=4, size=8) as loader:
        loader.select([1, 1, 5], [1.0, 2.0, 3.0])
        (batch,) = loader
    assert batch.weights.tolist() == [0.5, 1.0, 1.5]
    assert batch.targets.tolist() == [1, 1, 5]


def test_replay(order: Order) -> None:
    for source in ((STACK, LABELS), encoded_list(6)):
        with fl.DataLoader(source, batch_size=4, size=16, augment=FULL, layout="channels_last") as loader:
            batch = next(iter(loader))
            for i in range(4):
                assert torch.equal(loader.replay(i, epoch=0), batch.images[i])


def test_every_batch_waits_for_its_own_event(order: Order) -> None:
    with fl.DataLoader((STACK, LABELS), batch_size=4, size=8) as loader:
        collect(loader)
    assert [event for event, _ in order.handed] == order.events
    assert {n for _, n in order.handed} == {3}


def test_sources_are_held_until_their_event_has_passed(order: Order) -> None:
    class Owner:
        pass

    fused = fl.DataLoader((STACK, LABELS), size=8)._production._pass
    backend = GpuBackend(DevicePass(fused, "cpu", ShimLauncher(fused)), "NCHW", order)
    owners, kept = [], []
    with backend.working():
        for k in range(5):
            owner = Owner()
            owners.append(weakref.ref(owner))
            empty = torch.zeros(0, dtype=torch.int64)
            batch = fl.Batch(torch.zeros(0), empty, empty, torch.zeros(0), 0, k)
            kept.append(backend.deliver(batch, owner))
            del owner
            if k == 2:
                for event in order.events[-3:]:
                    event.passed = True
    gc.collect()
    assert [owner() is None for owner in owners] == [True, True, True, False, False]
    assert not any(event.awaited for event in order.events)  # asked, never awaited
    backend.close()
    assert [event.awaited for event in order.events[-5:]] == [0, 0, 0, 1, 1]
    assert all(owner() is None for owner in owners)


def test_the_producing_thread_works_on_the_stream(order: Order) -> None:
    with fl.DataLoader((STACK, LABELS), batch_size=4, size=8) as loader:
        iterator = iter(loader)
        next(iterator)
        del iterator
    assert order.inside == 0


def test_dense_pixels_are_reached_by_arithmetic() -> None:
    for view in (STACK, STACK[::-1], STACK[:, 2:, 3:]):
        dense = DensePixels.of_array(view)
        assert dense is not None
        ids, rects = np.array([3, 0, 10]), np.array([[1, 2, 4, 5], [0, 0, 1, 1], [6, 7, 2, 3]], np.int32)
        sources = dense.sources(ids, rects)
        for k, (i, (y, x, _, _)) in enumerate(zip(ids, rects, strict=True)):
            assert sources.pointers[k] == view[i, y, x].ctypes.data
    for other in (STACK[:, ::-1], STACK[..., ::-1], STACK[..., :1], STACK[:0], STACK.transpose(0, 2, 1, 3)):
        assert DensePixels.of_array(other) is None


def test_the_loader_takes_no_image_of_a_stack_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    from fieldloom.sources import ArraySource

    monkeypatch.setattr(ArraySource, "pixels", lambda self, i: pytest.fail("one by one"))
    with fl.DataLoader((STACK, LABELS), batch_size=4, size=16, augment=FULL) as loader:
        assert sum(len(batch) for batch in loader) == 11


def test_resident_images_are_checked() -> None:
    good = torch.zeros(3, 4, 5, 3, dtype=torch.uint8)
    source = ResidentSource(good, torch.tensor([0, 1, 2]))
    assert (len(source), source.device, source.dense.pointer) == (3, "cpu", good.data_ptr())
    assert source.pixels(1).shape == (4, 5, 3)
    for images, words in (
        (good.float(), "type torch.float32"),
        (good.permute(0, 3, 1, 2), "permute"),
        (good[:, ::2], "contiguous"),
        (good[:2], "2 images and 3 labels"),
    ):
        with pytest.raises(fl.ArgumentError, match=words):
            ResidentSource(images, [0, 1, 2])


@pytest.mark.parametrize("together", [1, 3, 7, 4096])
@pytest.mark.parametrize("drop_last", [True, False])
def test_drawing_batches_together_changes_no_bit(
    monkeypatch: pytest.MonkeyPatch, together: int, drop_last: bool
) -> None:
    monkeypatch.setattr("fieldloom.supply.DRAWN_TOGETHER", together)
    options: dict[str, Any] = {"batch_size": 3, "size": 16, "augment": FULL, "shuffle": True}
    with (
        fl.DataLoader((STACK, LABELS), drop_last=drop_last, **options) as stack,
        fl.DataLoader(([*STACK], LABELS), drop_last=drop_last, **options) as single,
    ):
        for loader in (stack, single):
            loader.select([3, 3, 9, 1, 0, 10, 3, 5], [1, 2, 3, 4, 5, 6, 7, 8])
        for one, other in zip(stack, single, strict=True):
            for name in ("images", "targets", "ids", "weights"):
                assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_an_empty_stack() -> None:
    with fl.DataLoader((STACK[:0], []), size=8) as loader:
        assert list(loader) == []
