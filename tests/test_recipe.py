"""From a list of augmentations to the plan of one pass."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import fieldloom as fl
from fieldloom.errors import ArgumentError
from fieldloom.kernels import plan as kernel
from fieldloom.presets import OPERATIONS, RECIPES
from fieldloom.recipe import Format, compile_recipe
from helpers import pixels


def compiled(*augment, **form) -> kernel.PassPlan:
    return compile_recipe(augment, Format(**form))


def test_nothing() -> None:
    plan = compile_recipe(None, Format())
    assert plan == compiled() == kernel.PassPlan(224, 224)
    assert plan.crop.kind == "whole"


def test_formats() -> None:
    plan = compiled(size=(12, 20), dtype="uint8", layout="channels_last", border="constant", fill=(1, 2, 3))
    assert (plan.height, plan.width, plan.dtype, plan.planar) == (12, 20, "uint8", False)
    assert (plan.border, plan.fill) == ("constant", (1.0, 2.0, 3.0))
    assert compiled(layout="NCHW").planar
    assert compiled(fill=128).fill == (128.0, 128.0, 128.0)


def test_crops() -> None:
    assert compiled(fl.RandomResizedCrop((0.2, 0.9), (1, 2))).crop.scale == (0.2, 0.9)
    assert compiled(fl.RandomCrop(4)).crop.padding == 4
    assert compiled(fl.Resize(256), fl.CenterCrop()).crop.resize == 256
    assert compiled(fl.Resize(256), fl.RandomCrop()).crop.kind == "random"
    assert compiled(fl.Resize()).crop.kind == "whole"


def test_color_and_normalize() -> None:
    plan = compiled(
        fl.ColorField(0.1, 0.2, 0.3, 0.05), fl.ColorJitter(0.1, 0.2, 0.3, 0.05), fl.Normalize(0.5, 0.25)
    )
    assert plan.transforms[0].amplitudes == (0.1, 0.2, 0.3, 0.1)
    assert plan.transforms[1].amplitudes == (0.1, 0.2, 0.3, 0.1)
    assert (plan.mean, plan.std) == ((0.5,) * 3, (0.25,) * 3)


def test_fields_share_their_strength() -> None:
    """The paper's rule: n composed fields have each alpha / sqrt(n)."""
    for kinds in (("translate",), ("scale", "shear"), ("translate", "scale", "shear", "rotate")):
        (transform,) = compiled(fl.RandomField(*kinds)).transforms
        assert transform.kinds == kinds
        assert transform.amplitudes == (pytest.approx(len(kinds) ** -0.5),) * len(kinds)


def test_gaussian_amplitudes() -> None:
    """Sigma in fractions of the side; the lattice counts half sides. Without one, length / 5."""

    def amplitude(kind: str, law) -> float:
        return compiled(fl.RandomField(kind, law=law)).transforms[0].amplitudes[0]

    assert amplitude("translate", fl.Gaussian(0.3, 0.05)) == pytest.approx(0.1)
    assert amplitude("scale", fl.Gaussian(0.3, 0.05)) == pytest.approx(0.05)
    assert amplitude("translate", fl.Gaussian(0.3)) == pytest.approx(2 * 0.06)
    assert amplitude("rotate", fl.Gaussian(0.3)) == pytest.approx(2 * 0.06 / math.pi)


def test_hsv_amplitudes() -> None:
    """A Gaussian HSV field has its own deviation, not 1 (which would be noise in all colors)."""

    def amplitudes(law):
        return compiled(fl.HSVField(law=law)).transforms[0].amplitudes

    assert amplitudes(fl.PowerLaw()) == (1.0, 1.0, 1.0)
    assert amplitudes(fl.Gaussian(0.3, 0.05)) == (0.05, 0.05, 0.05)
    assert amplitudes(fl.Gaussian(0.3)) == pytest.approx((0.06, 0.06, 0.06))
    image = pixels()
    out = fl.augment(image, augment=[fl.HSVField(law=fl.Gaussian(0.3, 0.0), p=1.0)], size=(24, 32))
    assert (out.numpy().transpose(1, 2, 0) * 255 - image).__abs__().max() < 0.1


def test_slots_are_fixed_by_position_and_name() -> None:
    def slots(*augment) -> list[int]:
        plan = compiled(*augment)
        return [w.slot for w in plan.warps] + [t.slot for t in plan.transforms]

    flip, field = fl.HorizontalFlip(), fl.RandomField("scale")
    assert slots(flip, field) == slots(fl.HorizontalFlip(0.9), fl.RandomField("shear", p=0.1))
    assert slots(flip, field)[1] != slots(field)[0]
    assert len(set(slots(flip, flip, flip, field, field))) == 5
    assert len(set(slots(flip, field, fl.ColorField(), fl.ColorJitter(), fl.RandomAffine()))) == 5


def test_equal_operations_at_two_positions_draw_apart() -> None:
    image = pixels()
    outs = [fl.augment(image, id=i, augment=[fl.HorizontalFlip()] * 2, size=24) for i in range(32)]
    once = [fl.augment(image, id=i, augment=[fl.HorizontalFlip()], size=24) for i in range(32)]
    assert any(not torch.equal(a, b) for a, b in zip(outs, once, strict=True))
    assert len({out.numpy().tobytes() for out in outs}) == 2, "flipped or not, nothing else"


@pytest.mark.parametrize("name", [*OPERATIONS, *RECIPES])
def test_presets(name: str) -> None:
    assert compile_recipe(name, Format()) == compile_recipe(fl.preset(name), Format())
    assert compile_recipe([name], Format()) == compile_recipe(list(fl.preset(name)), Format())
    with fl.DataLoader((np.stack([pixels()] * 8), [0] * 8), batch_size=8, augment=name, size=16) as loader:
        assert torch.isfinite(next(iter(loader)).images).all()


def test_published_presets() -> None:
    for kind in ("translate", "scale", "shear", "rotate"):
        (field,) = fl.preset(f"rfa_{kind}")
        assert field == fl.RandomField(kind, law=fl.PowerLaw((7, 10), (0, 1 / 3)), p=0.8)
    # 0 behind Normalize, as published, to half a level.
    cutout, normalize = fl.preset("cifar")[-2:]
    assert abs(np.array(cutout.fill) - 255 * np.array(normalize.mean)).max() < 0.5
    assert fl.preset("rfa_color") == (fl.HSVField(fl.PowerLaw((7, 10), (0, 1 / 3)), 0.8),)
    with pytest.raises(ArgumentError, match="did you mean 'imagenet_eval'"):
        fl.preset("imagenet-eval")


PIECES = [fl.HorizontalFlip(), fl.VerticalFlip(), fl.RandomAffine(), fl.RandomField("scale"), fl.ColorField(),
          fl.ColorJitter(0.1), fl.HSVField(), fl.Normalize(), fl.Resize(), fl.Resize(30), fl.CenterCrop(),
          fl.RandomCrop(), fl.RandomResizedCrop(), "rfa_color", "imagenet"]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=6))
def test_any_list_compiles_or_is_refused_with_words(augment) -> None:
    try:
        plan = compile_recipe(augment, Format(16))
    except ArgumentError as error:
        words = error.remedy
    else:
        words = "none are needed"
        flips = sum(isinstance(a, (fl.HorizontalFlip, fl.VerticalFlip, fl.RandomAffine)) for a in augment)
        assert len(plan.warps) == flips + augment.count("imagenet")
    assert words


def test_evaluation_is_a_plain_center_crop() -> None:
    image = pixels(40, 48)
    out = fl.augment(image, augment=[fl.CenterCrop()], size=(24, 32), dtype="uint8", layout="NHWC").numpy()
    assert np.array_equal(out, image[8:32, 8:40])


def test_presets_may_stand_inside_a_list() -> None:
    nested = [fl.RandomResizedCrop(), fl.preset("rfa_color"), [fl.HorizontalFlip()], fl.Normalize()]
    flat = [fl.RandomResizedCrop(), fl.HSVField(), fl.HorizontalFlip(), fl.Normalize()]
    assert compile_recipe(nested, Format(8)) == compile_recipe(flat, Format(8))
