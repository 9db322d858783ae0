"""A recipe of ours by peers: what they are asked to do, what they deliver, what cannot run is a line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fieldloom as fl
from fieldloom.errors import ArgumentError
from fieldloom.perf.profiling import peers
from fieldloom.perf.profiling.against import PEERS, compare, reason
from fieldloom.perf.profiling.ours import OurTarget
from fieldloom.perf.profiling.peers import make_peer, work_of
from fieldloom.perf.profiling.pillow_transforms import PillowTransform, _elastic
from fieldloom.perf.profiling.settings import Settings
from helpers import encode, make_folder, pixels


def target(folder: Path, recipe: Any = "rfa", **settings: Any) -> OurTarget:
    base = {"batch_size": 3, "size": (24, 32), "threads": 1, "device": "cpu"}
    return OurTarget(str(folder), Settings(recipe=recipe, **{**base, **settings}), "data")


def test_what_a_recipe_asks_for() -> None:
    work = work_of("rfa", 224)
    assert (work.size, work.crop, work.flip, work.warp, work.color) == (
        (224, 224),
        "random",
        True,
        True,
        True,
    )
    assert work.left_out == ()
    work = work_of("imagenet_eval", (10, 20))
    assert (work.size, work.crop, work.flip, work.warp) == ((10, 20), "center", False, False)
    assert work_of([fl.RandomResizedCrop(scale=(0.5, 1.0))], 8).scale == (0.5, 1.0)
    assert work_of("imagenet_randaugment", 8).left_out == ("RandAugment",)
    assert work_of((), 8).normalize is None


@pytest.mark.parametrize("recipe", ["rfa", "imagenet_eval", ()])
def test_pillow_gives_what_ours_gives(recipe: Any) -> None:
    transform = PillowTransform(work_of(recipe, (24, 32)))
    image = transform(np.frombuffer(encode(pixels(40, 50)), np.uint8), 0)
    assert image.shape == (3, 24, 32)
    assert image.dtype == torch.float32
    assert torch.isfinite(image).all()
    assert ("elastic" in transform.does) == (recipe == "rfa")


def test_the_elastic_field_moves_pixels_and_keeps_constants() -> None:
    assert torch.allclose(_elastic(torch.full((3, 48, 64), 0.5)), torch.tensor(0.5), atol=1e-6)
    ramp = torch.linspace(0, 1, 64).expand(3, 48, 64)
    moved = _elastic(ramp) - ramp
    assert 0.5 / 64 < moved.std() < 8 / 64  # about a pixel or a few


@pytest.mark.parametrize("recipe", ["imagenet", "rfa", "imagenet_eval"])
def test_dali_gives_batches_of_the_same_shape(tmp_path: Path, recipe: str) -> None:
    make_folder(tmp_path, 5)
    made, does = make_peer("dali", target(tmp_path, recipe))
    with made.open() as iterable:
        images, labels = next(iter(iterable))
        assert images.as_array().shape == (3, 3, 24, 32)
        assert images.as_array().dtype == np.float32
        assert labels.as_array().shape == (3, 1)
    assert ("water" in does) == (recipe == "rfa")


def test_dali_over_a_source_without_files() -> None:
    source = [(encode(i), i % 2) for i in range(5)]
    mine = OurTarget(source, Settings(size=16, batch_size=2, threads=1, device="cpu"), "bytes")
    made, _ = make_peer("dali", mine)
    with made.open() as iterable:
        images, _ = next(iter(iterable))
        assert images.as_array().shape == (2, 3, 16, 16)


def test_albumentations_by_one_image() -> None:
    pytest.importorskip("albumentations")
    from fieldloom.perf.profiling.albumentations_transforms import AlbumentationsTransform

    transform = AlbumentationsTransform(work_of("rfa", (24, 32)))
    image = transform(np.frombuffer(encode(pixels(40, 50)), np.uint8), 0)
    assert tuple(image.shape) == (3, 24, 32)
    assert "ElasticTransform" in transform.does


def test_peers_run_in_turn_and_failures_are_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(tmp_path, 6)

    def missing(*_: Any) -> Any:
        raise ModuleNotFoundError("No module named 'timm'\nor so")

    monkeypatch.setattr(peers, "_timm", missing)
    told: list[str] = []
    found = compare(
        target(tmp_path, "imagenet"), ["timm", "dali"], seconds=0.1, n_rounds=2,
        tell=lambda text, part, rate: told.append(text),
    )  # fmt: skip
    timm, dali = found
    assert timm.error == "ModuleNotFoundError: No module named 'timm' or so"
    assert timm.images_per_s is None
    assert dali.images_per_s is not None
    assert dali.ours_per_s is not None
    assert len(dali.rates) == 2
    assert told == ["against: fieldloom", "against: dali"] * 2


def test_peers_that_make_no_sense(tmp_path: Path) -> None:
    make_folder(tmp_path, 2)
    with pytest.raises(ArgumentError, match="no peer 'x'"):
        make_peer("x", target(tmp_path))
    images = OurTarget((np.zeros((2, 8, 8, 3), np.uint8), [0, 0]), Settings(size=8), "pixels")
    for peer in PEERS:
        with pytest.raises(ArgumentError, match="holds pixels"):
            make_peer(peer, images)
    assert reason(ValueError()) == "ValueError: no message"


@pytest.mark.slow
@pytest.mark.parametrize("peer", ["torch", "albumentations"])
def test_peers_with_worker_processes(tmp_path: Path, peer: str) -> None:
    if peer == "albumentations":
        pytest.importorskip("albumentations")
    make_folder(tmp_path, 12)
    (found,) = compare(target(tmp_path), [peer], seconds=0.4, n_rounds=2)
    assert found.error == ""
    assert found.images_per_s is not None
    assert found.does
