"""One sample's pixels are a function of (seed, epoch, id, occurrence) and of nothing else."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

import fieldloom as fl
from fieldloom.pipelines.decode import CropDecoder
from fieldloom.pipelines.header import check_header
from helpers import FULL, collect, encode, encoded_list, ids_of, pixels

N = 70
ENCODED = encoded_list(N)
ARRAYS = ([pixels(20 + i % 9, 31 - i % 7, i) for i in range(N)], [i % 3 for i in range(N)])
SOURCES = {"encoded": ENCODED, "arrays": ARRAYS}


def make(source=ENCODED, **options):
    defaults = {"batch_size": 16, "size": 16, "threads": 2, "seed": 5, "augment": FULL, "shuffle": True}
    return fl.DataLoader(source, **{**defaults, **options})


@pytest.fixture(scope="module", params=list(SOURCES))
def truth(request):
    with make(SOURCES[request.param]) as loader:
        return SOURCES[request.param], collect(loader), collect(loader)


@pytest.mark.parametrize(
    ("batch_size", "threads"), [(1, 1), (1, 4), (7, 2), (7, 1), (64, 1), (64, 2), (64, 4)]
)
def test_batch_size_and_threads_do_not_enter(truth, batch_size: int, threads: int) -> None:
    source, first, second = truth
    with make(source, batch_size=batch_size, threads=threads) as loader:
        assert collect(loader) == first
        assert collect(loader) == second


def test_order_is_the_same_for_every_batch_size() -> None:
    orders = []
    for batch_size in (1, 7, 64):
        with make(batch_size=batch_size) as loader:
            orders.append([[i for ids in ids_of(loader) for i in ids] for _ in range(2)])
    assert orders[0] == orders[1] == orders[2]


@pytest.mark.parametrize("stop", [1, 2, 5])
def test_break_and_restart(truth, stop: int) -> None:
    source, first, second = truth
    with make(source) as loader:
        for batch in loader:
            if batch.index + 1 == stop:
                break
        loader.set_epoch(0)
        assert collect(loader) == first
        next(iter(loader))
        loader.set_epoch(1)
        assert collect(loader) == second


def test_epochs_and_seeds_differ(truth) -> None:
    source, first, second = truth
    with make(source, seed=6) as loader:
        other = collect(loader)
    for id in range(N):
        assert len({first[id][0], second[id][0], other[id][0]}) == 3


def test_shuffle_and_prefetch_do_not_enter_the_pixels(truth) -> None:
    source, first, _ = truth
    with make(source, shuffle=False, prefetch=7) as loader:
        assert collect(loader) == first


@settings(max_examples=8)
@given(st.lists(st.integers(0, N - 1), min_size=1, max_size=40, unique=True))
def test_a_selection_changes_neither_pixels_nor_relative_order(ids: list[int]) -> None:
    with make(ARRAYS) as loader:
        order = [i for batch in ids_of(loader) for i in batch]
        loader.set_epoch(0)
        everything = collect(loader)
        loader.select(ids)
        loader.set_epoch(0)
        assert [i for batch in ids_of(loader) for i in batch] == [i for i in order if i in set(ids)]
        loader.set_epoch(0)
        assert collect(loader) == {i: everything[i] for i in ids}


def test_repeats_differ_from_each_other(truth) -> None:
    source, first, _ = truth
    with make(source) as loader:
        loader.select([3, 8, 3, 9, 3])
        out = collect(loader)
        assert {id: len(copies) for id, copies in out.items()} == {3: 3, 8: 1, 9: 1}
        assert len(set(out[3])) == 3
        # Occurrence 0 is the one that an epoch of all samples has.
        assert first[3][0] in out[3]
        assert out[8] == first[8]
        replayed = [loader.replay(3, 0, occurrence).numpy().tobytes() for occurrence in range(3)]
        assert sorted(replayed) == sorted(out[3])


def test_replay_is_the_loader(truth) -> None:
    source, first, second = truth
    with make(source) as loader:
        for id in (0, 1, 33, N - 1):
            assert loader.replay(id, 0).numpy().tobytes() == first[id][0]
            assert loader.replay(id, 1).numpy().tobytes() == second[id][0]
        iterator = iter(loader)
        next(iterator)
        assert loader.replay(7, 1).numpy().tobytes() == second[7][0]  # also while an epoch is under way
        assert len(list(iterator)) == len(loader) - 1


@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "channels_last"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.uint8])
def test_replay_formats(dtype, layout: str) -> None:
    augment = FULL[:-1] if dtype == torch.uint8 else FULL
    options = {"dtype": dtype, "layout": layout, "augment": augment, "size": (12, 20)}
    with make(ARRAYS, **options) as loader:
        for batch in loader:
            for id, image in zip(batch.ids.tolist(), batch.images, strict=True):
                assert torch.equal(loader.replay(id, 0), image)
                alone = fl.augment(ARRAYS[0][id], id=id, epoch=0, seed=5, **options)
                assert torch.equal(alone, image)
                assert alone.shape == image.shape
            break


# ---------------------------------------------------------------- fl.augment on decoded images

TURNED = [(encode(pixels(30, 44, i), turned=1 + i % 8, quality=92), 0) for i in range(16)]
RECIPES = {
    "full": FULL,
    "whole": (),
    "center": (fl.Resize(24), fl.CenterCrop(), fl.Normalize()),
    "padded": (fl.RandomCrop(padding=4), fl.VerticalFlip()),
    "affine": (fl.RandomAffine(30, (0.1, 0.2), (0.8, 1.2), 10), fl.ColorJitter(0.4, 0.4, 0.4, 0.1)),
    "fields": (fl.RandomResizedCrop(), fl.RandomField("scale", "shear", law=fl.Gaussian(0.3), no_fold=True)),
    "hsv": ("rfa_rotate", "rfa_color", fl.ColorField(law=fl.PowerLaw())),
}


def own_decoder(data: bytes) -> np.ndarray:
    array = np.frombuffer(data, np.uint8)
    with CropDecoder(1, 1) as decoder:
        return decoder.decode_one(array, route=check_header(array, max_pixels=10**6).route)


def pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_augment_is_the_loader_for_every_orientation(tmp_path: Path, recipe: str) -> None:
    for i, (data, _) in enumerate(TURNED):
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a" / f"{i:02}.jpg").write_bytes(data)
    options = {
        "seed": 2**64 - 1,
        "size": (16, 20),
        "augment": RECIPES[recipe],
        "border": "constant",
        "fill": 99.0,
    }
    with fl.DataLoader(tmp_path, batch_size=5, threads=2, **options) as loader:
        loader.set_epoch(3)
        for batch in loader:
            for id, image in zip(batch.ids.tolist(), batch.images, strict=True):
                alone = fl.augment(own_decoder(TURNED[id][0]), id=id, epoch=3, **options)
                assert torch.equal(alone, image), (id, "own decoder")
                # Pillow and DALI differ by rounding at most: a turned or shifted image would differ by tens.
                other = fl.augment(pillow(TURNED[id][0]), id=id, epoch=3, **options)
                scale = 255 * 0.225 if recipe in ("full", "center") else 255
                assert (other - image).abs().mean() * scale < 1.5, (id, "Pillow")


def test_kinds_of_sources_agree_on_equal_pixels() -> None:
    """PNG bytes and the arrays in them: the same samples to the last bit."""
    images, labels = ARRAYS
    encoded = [(encode(image, form="PNG"), label) for image, label in zip(images, labels, strict=True)]
    with make(encoded) as one, make(ARRAYS) as two:
        assert collect(one) == collect(two)


@pytest.mark.parametrize(
    ("option", "value"),
    [("id", -1), ("id", 2**32), ("epoch", 1.5), ("seed", 2**64), ("occurrence", 256), ("occurrence", True)],
)
def test_augment_refuses_numbers_out_of_range(option: str, value) -> None:
    with pytest.raises(fl.ArgumentError, match=f"{option}={value!r}.*not a whole number from 0 to"):
        fl.augment(pixels(), **{option: value})


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8, 3)),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((8, 8), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_augment_refuses_other_images(image: np.ndarray) -> None:
    with pytest.raises(fl.ArgumentError, match=r"not uint8 of shape \(height, width, 3\)"):
        fl.augment(image)
