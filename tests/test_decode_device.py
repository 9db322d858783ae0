"""Decoding for a device, without one: DALI decodes on the CPU in its stead, uploads stay in host memory."""

from typing import Any

import numpy as np
import pytest
import torch
from test_decode import GOOD, check_pixels, encode, job, jobs

from fieldloom.errors import DeviceError
from fieldloom.pipelines import decode
from fieldloom.pipelines.crops import Crops
from fieldloom.pipelines.decode import CropDecoder
from fieldloom.pipelines.graph import build_graph
from fieldloom.pipelines.upload import ALIGNMENT, upload

CPU = torch.device("cpu")


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A decoder for a device that is the CPU: every branch of a GPU's, but for DALI's own."""

    def graph(source: Any, batch_size: int, threads: int, prefetch: int, device: int | None) -> Any:
        assert device == 3
        pipe = build_graph(source, batch_size, threads, prefetch, None)
        run = pipe.run
        pipe.run = lambda stream: (streams.append(stream), run())[1]
        return pipe

    streams: list[int] = []
    monkeypatch.setattr(decode, "build_graph", graph)
    monkeypatch.setattr(decode, "current_stream", lambda device: 7)
    monkeypatch.setattr("fieldloom.pipelines.crops.upload", lambda images, _: upload(images, CPU))
    with CropDecoder(8, 2, device="cuda:3") as one:
        yield one
    assert set(streams) <= {7}


def test_upload_packs_images_of_any_strides() -> None:
    images = [np.random.default_rng(i).integers(0, 256, (i + 1, 5, 3), np.uint8) for i in range(5)]
    images += [images[4][::2, 1:4], images[3][:, ::-1]]
    memory, pointers = upload(images, CPU)
    base = memory.data_ptr()
    for image, pointer in zip(images, pointers.tolist(), strict=True):
        start = pointer - base
        assert start % ALIGNMENT == 0
        assert start + image.size <= len(memory)
        np.testing.assert_array_equal(memory.numpy()[start : start + image.size].reshape(image.shape), image)


def test_upload_of_nothing() -> None:
    memory, pointers = upload([], CPU)
    assert (len(memory), pointers.shape, pointers.dtype) == (0, (0,), np.uint64)


def test_uploaded_crops_outlive_the_call() -> None:
    images = {1: np.full((3, 4, 3), 5, np.uint8), 2: np.full((2, 2, 3), 9, np.uint8)}
    crops = Crops(3)
    crops.upload(images, CPU)
    assert crops.array(0).shape == (0, 0, 3)
    for i, image in images.items():
        np.testing.assert_array_equal(crops.array(i), image)
    assert crops.strides.tolist() == [0, 12, 6]


def test_routes_of_every_kind_arrive(decoder: CropDecoder) -> None:
    """Formats of DALI, and formats that only Pillow reads, which are uploaded."""
    encoded = [GOOD[0], encode("TIFF"), GOOD[1], encode("GIF", mode="P"), encode("WEBP", turned=8)]
    for done in decoder.decode([job(encoded), job(encoded[1:2]), job([])]):
        check_pixels(done)


def test_a_damaged_body_costs_one_sample(decoder: CropDecoder) -> None:
    bad = [(2, 1), (4, 0), (4, 5)]
    for k, done in enumerate(decoder.decode(jobs(7, bad=bad))):
        check_pixels(done, [i for where, i in bad if where == k])
    assert decoder.n_rebuilt == 2


def test_a_device_that_fails_for_sound_images_is_named(
    decoder: CropDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Isolation would go on, image by image, and nobody would know why the loader is slow."""
    run = decoder._run

    def fail() -> Any:
        run()
        raise RuntimeError("CUDA allocation\nfailed")

    monkeypatch.setattr(decoder, "_run", fail)
    batches = decoder.decode(jobs(9))
    check_pixels(next(batches))
    check_pixels(next(batches))
    with pytest.raises(DeviceError, match=r"failed on cuda:3 for 3 batches of sound .*allocation failed"):
        next(batches)
    monkeypatch.setattr(decoder, "_run", run)
    assert len(list(decoder.decode(jobs(3)))) == 3


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_first_batch_says_so() -> None:
    with CropDecoder(8, 1, device="cuda:99") as one:
        for _ in range(2):
            with pytest.raises(DeviceError, match=r"DALI cannot decode on cuda:99: .*CUDA"):
                next(one.decode(jobs(2)))
