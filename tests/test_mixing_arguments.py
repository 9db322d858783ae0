"""Mixes, choices and erasing as users write them: what is refused, and what the kernels get."""

from typing import Any

import numpy as np
import pytest
import torch

from fieldloom.errors import ArgumentError
from fieldloom.kernels.philox import slot_of
from fieldloom.kernels.stages import mixing as kernel
from fieldloom.kernels.stages.records import ERASE_CONSTANT, ERASE_PIXEL, ERASE_REGION
from fieldloom.mixing import (
    MIXES,
    CutMix,
    FMix,
    MaskMix,
    MixUp,
    OneOf,
    RandomErasing,
    ResizeMix,
    compile_erasing,
    compile_mixing,
    mix_batch,
)

HALVES = np.full((2, 2, 3, 4), 0.5, np.float32)
BUILT = (MixUp(), CutMix(), FMix(), ResizeMix(), MaskMix(HALVES))


def compiled(item: Any, size: tuple[int, int] = (12, 20), epochs: int | None = None) -> kernel.Mixing:
    return compile_mixing(item, 3, epochs, *size, 8)


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize("cls", [MixUp, CutMix, FMix, ResizeMix, MaskMix])
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("p", 1.5), ("p", "x"), ("p", True), ("partner", "nobody"), ("partner", 3), ("labels", "none"),
        ("labels", 1.5), ("labels", None), ("stop_at", -0.1), ("stop_at", 2), ("stop_at", "half"),
    ],
)  # fmt: skip
def test_shared_options(cls: type, option: str, value: object) -> None:
    given = {"masks": HALVES} if cls is MaskMix else {}
    with pytest.raises(ArgumentError, match=f"{cls.__name__} {option}"):
        cls(**given, **{option: value})


@pytest.mark.parametrize(
    ("cls", "option", "value"),
    [
        (MixUp, "alpha", 0), (MixUp, "alpha", float("nan")), (CutMix, "alpha", -1), (CutMix, "minmax", 0.5),
        (CutMix, "minmax", (0.6, 0.2)), (CutMix, "minmax", (0.2, 1.2)), (FMix, "alpha", "x"),
        (FMix, "decay", 0), (FMix, "decay", 11), (FMix, "max_soft", 0.6), (FMix, "reformulate", 1),
        (ResizeMix, "scale", (0.8, 0.1)), (ResizeMix, "scale", (0, 1.1)), (ResizeMix, "antialias", None),
        (RandomErasing, "p", 2), (RandomErasing, "scale", (0.5, 0.1)), (RandomErasing, "scale", (0, 2)),
        (RandomErasing, "ratio", (0, 1)), (RandomErasing, "ratio", 1), (RandomErasing, "fill", "blue"),
        (RandomErasing, "fill", (1, 2)), (RandomErasing, "fill", 256),
    ],
)  # fmt: skip
def test_own_options(cls: type, option: str, value: object) -> None:
    with pytest.raises(ArgumentError, match=f"{cls.__name__} {option}"):
        cls(**{option: value})


@pytest.mark.parametrize(
    "masks",
    [
        "x", None, 3, np.zeros((2, 3, 4)), np.full((1, 1, 3, 3), 1.0), np.full((1, 5, 3, 3), 0.2),
        np.zeros((0, 2, 3, 3)), np.full((1, 2, 3, 3), 0.6), np.full((1, 2, 3, 3), np.nan),
        np.stack([np.full((1, 3, 3), 1.5), np.full((1, 3, 3), -0.5)], 1),
    ],
)  # fmt: skip
def test_masks_that_are_none(masks: object) -> None:
    with pytest.raises(ArgumentError, match="MaskMix masks"):
        MaskMix(masks)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"mixes": []}, "mixes"), ({"mixes": MixUp()}, "mixes"), ({"mixes": [MixUp]}, r"mixes\[0\].*parenth"),
        ({"mixes": [MixUp(), 3]}, r"mixes\[1\]"), ({"mixes": [OneOf([MixUp()])]}, r"mixes\[0\]"),
        ({"p": [1.0]}, "p="), ({"p": [0.5, 0.6]}, "p="), ({"p": (-1, 2)}, "p="), ({"p": 0.5}, "p="),
        ({"alternate": "days"}, "alternate"), ({"alternate": "epochs", "every": (0, 1)}, "every"),
        ({"alternate": "epochs", "every": (1,)}, "every"), ({"alternate": "epochs", "every": 2}, "every"),
        ({"every": (0, 1)}, "every"), ({"every": (1, 1)}, "every"),
        ({"alternate": "epochs", "p": (0.5, 0.5)}, "alternate"),
        ({"mixes": [FMix(decay=2), FMix(decay=3)]}, "decay"),
    ],
)  # fmt: skip
def test_choices(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ArgumentError, match=f"OneOf.*{named}"):
        OneOf(**{"mixes": [MixUp(), CutMix()], **given})


def test_too_many_masks() -> None:
    with pytest.raises(ArgumentError, match="GiB"):
        compiled(MaskMix(np.full((200, 2, 1, 1), 0.5)), (8192, 8192))


# ---------------------------------------------------------------- compiled


def test_every_mix_compiles() -> None:
    assert {type(item) for item in BUILT} | {OneOf} == set(MIXES)
    for item in BUILT:
        mixing = compiled(item)
        (one,) = mixing.items
        assert mixing.weights == (1.0,)
        assert mixing.alternate is None
        assert (one.p, one.partner, one.labels, one.stop_epoch) == (1.0, "random", "same", None)
        assert one.slot == slot_of(3, "mix")
        assert one.partner_slot == slot_of(3, "partner")
        assert one.mask_slot == slot_of(3, "mask")


def test_options_reach_the_kernels() -> None:
    shared = {"p": 0.5, "partner": "same_class", "labels": 0.25}
    assert compiled(MixUp(0.2, **shared)).items[0].alpha == 0.2
    cutmix = compiled(CutMix(0.3, (0.2, 0.6), **shared)).items[0]
    assert isinstance(cutmix, kernel.CutMix)
    assert (cutmix.alpha, cutmix.minmax) == (0.3, (0.2, 0.6))
    fmix = compiled(FMix(0.4, 2.0, 0.1, True, **shared)).items[0]
    assert isinstance(fmix, kernel.FMix)
    assert (fmix.alpha, fmix.decay, fmix.max_soft, fmix.reformulate) == (0.4, 2.0, 0.1, True)
    paste = compiled(ResizeMix((0.2, 0.3), True, **shared)).items[0]
    assert isinstance(paste, kernel.ResizeMix)
    assert (paste.low, paste.high, paste.antialias) == (0.2, 0.3, True)
    for one in (cutmix, fmix, paste):
        assert (one.p, one.partner, one.labels) == (0.5, "same_class", 0.25)


def test_stop_at() -> None:
    for epochs, stop in ((90, 45), (5, 3), (1, 1)):
        assert compiled(MixUp(stop_at=0.5), epochs=epochs).items[0].stop_epoch == stop
    assert (
        compiled(MixUp(stop_at=0.07), epochs=100).items[0].stop_epoch == 7
    )  # 0.07 * 100 is 7.000000000000001
    assert compiled(MixUp(stop_at=0), epochs=30).items[0].stop_epoch == 0
    with pytest.raises(ArgumentError, match=r"MixUp stop_at.*\n?.*epochs="):
        compiled(MixUp(stop_at=0.5))
    with pytest.raises(ArgumentError, match="stop_at"):
        compiled(OneOf([CutMix(), MixUp(stop_at=0.5)]))


def test_choice_compiles() -> None:
    mixing = compiled(OneOf([MixUp(), CutMix(), FMix(decay=2)], p=[0.5, 0.25, 0.25]))
    assert mixing.weights == (0.5, 0.25, 0.25)
    assert mixing.slot == slot_of(3, "mix_choice")
    assert (mixing.alternate, mixing.ways, mixing.decay) == (None, 2, 2.0)
    assert compiled(OneOf([MixUp(), CutMix()])).weights == (0.5, 0.5)
    turns = compiled(OneOf([MixUp(), FMix()], alternate="groups", every=(2, 3)))
    assert (turns.alternate, turns.every) == ("groups", (2, 3))
    assert compiled(OneOf([MixUp(), FMix()], alternate="epochs")).every == (1, 1)
    assert compile_mixing(MixUp(), 0, None, 4, 4, 32).group == 32


def test_equal_recipes_are_equal() -> None:
    assert OneOf([MixUp(0.2), CutMix()]) == OneOf((MixUp(0.2), CutMix()))
    assert MixUp(0.2) != MixUp(0.3)
    assert hash(FMix()) == hash(FMix())


# ---------------------------------------------------------------- masks


def test_masks_are_resized_like_torchs() -> None:
    rng = np.random.default_rng(0)
    masks = rng.dirichlet(np.ones(3), (4, 5, 7)).transpose(0, 3, 1, 2).astype(np.float32)
    for size in ((12, 20), (5, 7), (3, 4), (1, 1)):
        one = compiled(MaskMix(masks), size).items[0]
        assert isinstance(one, kernel.UserMasks)
        want = torch.nn.functional.interpolate(torch.from_numpy(masks), size, mode="bilinear").numpy()
        assert abs(one.table / 255 - want[:, 1:]).max() <= 1.01 / 255
        assert one.table.sum(1, dtype=np.int64).max() <= 255
        np.testing.assert_allclose(one.shares[:, 1:], one.table.mean((2, 3)) / 255)
        np.testing.assert_allclose(one.shares.sum(1), 1)


def test_whole_weights_stay_whole() -> None:
    masks = np.zeros((1, 4, 2, 2))
    masks[0, [0, 1, 2, 3], [0, 0, 1, 1], [0, 1, 0, 1]] = 1
    one = compiled(MaskMix(masks), (2, 2)).items[0]
    assert isinstance(one, kernel.UserMasks)
    assert one.table.tolist() == [[[[0, 255], [0, 0]], [[0, 0], [255, 0]], [[0, 0], [0, 255]]]]
    halves = compiled(MaskMix(np.array([0, 0.5, 0.5]).reshape(1, 3, 1, 1)), (2, 2)).items[0]
    assert isinstance(halves, kernel.UserMasks)
    assert (halves.table.sum(1) == 255).all()  # each by itself would round up, to 256 together


def test_masks_are_the_mixs_own() -> None:
    masks = HALVES.copy()
    mix = MaskMix(masks)
    masks[:] = 7
    assert (mix.masks == 0.5).all()
    with pytest.raises(ValueError, match="read-only"):
        mix.masks[:] = 7
    given = MaskMix(torch.full((1, 2, 2, 2), 0.5, requires_grad=True))
    assert (given.masks == 0.5).all()


# ---------------------------------------------------------------- masks of a network


def test_mix_batch_is_the_sum() -> None:
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(5, 3, 6, 8, generator=rng)
    weights = torch.rand(5, 3, 6, 8, generator=rng).softmax(1)
    partners = torch.tensor([[1, 2], [0, 4], [3, 3], [4, 0], [2, 1]])
    mixed, labels = mix_batch(images, weights, partners)
    for i in range(5):
        parts = [images[i], images[partners[i, 0]], images[partners[i, 1]]]
        want = sum(w * part for w, part in zip(weights[i], parts, strict=True))
        torch.testing.assert_close(mixed[i], want)
    torch.testing.assert_close(labels, weights.mean((2, 3)))
    torch.testing.assert_close(labels.sum(1), torch.ones(5))


def test_mix_batch_resizes_and_has_gradients() -> None:
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    raw = torch.rand(2, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    partners = torch.tensor([[1], [0]], dtype=torch.int32)

    def mixed(images: torch.Tensor, raw: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return mix_batch(images, raw.softmax(1), partners)

    assert torch.autograd.gradcheck(mixed, (images, raw))
    constant = torch.tensor([0.25, 0.75]).reshape(1, 2, 1, 1).expand(2, 2, 3, 3)
    out, labels = mix_batch(images.float(), constant, partners)
    torch.testing.assert_close(out, 0.25 * images.float() + 0.75 * images.float().flip(0))
    assert labels.tolist() == [[0.25, 0.75]] * 2


@pytest.mark.parametrize(
    ("images", "weights", "partners"),
    [
        ((2, 3, 4), (2, 2, 4, 4), (2, 1)), ((2, 3, 4, 4), (2, 1, 4, 4), (2, 0)),
        ((2, 3, 4, 4), (3, 2, 4, 4), (2, 1)), ((2, 3, 4, 4), (2, 2, 4, 4), (2, 2)),
        ((2, 3, 4, 4), (2, 2, 4, 4), (2,)),
    ],
)  # fmt: skip
def test_mix_batch_refuses(images: tuple, weights: tuple, partners: tuple) -> None:
    with pytest.raises(ArgumentError, match="mix_batch"):
        mix_batch(torch.zeros(images), torch.zeros(weights), torch.zeros(partners, dtype=torch.int64))


def test_mix_batch_refuses_partners_that_are_no_places() -> None:
    for wrong in (torch.float32, torch.bool):
        with pytest.raises(ArgumentError, match="partners"):
            mix_batch(torch.zeros(2, 3, 4, 4), torch.zeros(2, 2, 4, 4), torch.zeros((2, 1), dtype=wrong))


# ---------------------------------------------------------------- erasing


def test_erasing_compiles() -> None:
    kinds = {"mean": ERASE_CONSTANT, "noise": ERASE_PIXEL, "color noise": ERASE_REGION}
    for fill, kind in kinds.items():
        one = compile_erasing(RandomErasing(0.5, (0.1, 0.2), (0.5, 2), fill), 4)
        assert (one.p, one.scale, one.ratio) == (0.5, (0.1, 0.2), (0.5, 2.0))
        assert (one.kind, one.fill, one.slot) == (kind, None, slot_of(4, "erase"))
    for fill, color in ((128, (128, 128, 128)), ((1, 2, 3), (1, 2, 3))):
        one = compile_erasing(RandomErasing(fill=fill), 0)
        assert (one.kind, one.fill) == (ERASE_CONSTANT, color)
