"""Every option out of its range is refused with a class and words: the option, the value, the range."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import fieldloom as fl
from fieldloom import ArgumentError, DeviceError, LabelError
from helpers import pixels

IMAGES = np.stack([pixels(8, 8, i) for i in range(4)])
NAN = math.nan

OPTIONS = [
    *(
        ("batch_size", v, "whole number from 1 to 65536")
        for v in (0, -1, 1.5, "32", True, None, 65537, NAN, [4])
    ),
    *(("batch_size", v, "whole number") for v in (np.float32(4), np.bool_(True), torch.tensor(4.5))),
    *(("threads", v, "whole number from 1 to 256") for v in (0, -1, 2.0, "2", True, 257)),
    *(("seed", v, "whole number from 0 to 18446744073709551615") for v in (-1, 2**64, 0.0, "0", None, True)),
    *(("prefetch", v, "whole number from 1 to 64") for v in (0, 65, "2", None)),
    *(("max_pixels", v, "whole number from 1 to") for v in (0, -5, 1e6, None)),
    *(("shuffle", v, "not True or False") for v in (1, 0, "yes")),
    *(("drop_last", v, "not True or False") for v in (1, "no")),
    *(
        ("size", v, "whole number of pixels from 1 to 8192")
        for v in (0, -1, (0, 3), (3,), (1, 2, 3), "224", 224.0)
    ),
    *(("size", v, "whole number of pixels from 1 to 8192") for v in (None, (True, 8), 8193, (8, "8"), [])),
    *(("dtype", v, "one of float32, float16") for v in ("float64", torch.int64, np.float64, 3, None, "f32")),
    *(("layout", v, "one of NCHW, NHWC, channels_last") for v in ("nchw", "CHW", None, 3, ["NCHW"])),
    *(("border", v, "one of") for v in ("wrap", None, 0, np.zeros(2))),
    *(
        ("fill", v, "number from 0 to 255")
        for v in (-1, 256, NAN, "0", (1, 2), (1, 2, "3"), (1, 2, 3, 4), None, True)
    ),
    *(("on_bad_sample", v, "one of raise, skip, substitute") for v in ("ignore", None, True, "Skip", 3)),
    *(("max_bad", v, "not a number >= 0") for v in (-1, -0.1, NAN, "3", True, [1])),
    *(("num_classes", v, "") for v in (0, -1, 2.0, "2", True)),
    *(("device", v, 'Pass "auto", "cpu", "cuda"') for v in ("tpu", "", None, 0, "CPU", "gpu")),
]


def build(**options):
    return fl.DataLoader((IMAGES, [0, 1, 0, 1]), **{"batch_size": 2, "size": 8, **options})


@pytest.mark.parametrize(("option", "value", "words"), OPTIONS, ids=lambda v: repr(v)[:24])
def test_options_of_the_loader(option: str, value, words: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        build(**{option: value})
    text = str(caught.value)
    shown = value if option != "dtype" else str(value).removeprefix("torch.")
    assert option in text
    assert words in text
    if option != "dtype":
        assert f"{option}={shown!r}" in text
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:99", torch.device("cuda:1")])
def test_devices_that_are_not_there(device) -> None:
    with pytest.raises(DeviceError, match=r"device='cuda.*Pass device=\"cpu\"") as caught:
        build(device=device)
    assert isinstance(caught.value, RuntimeError)


def test_accepted_spellings() -> None:
    options = {
        "batch_size": np.int32(2),
        "threads": np.uint8(2),
        "seed": np.uint64(2**64 - 1),
        "max_bad": np.int64(3),
    }
    with build(device=torch.device("cpu"), fill=(1, 2.5, np.float32(3)), **options) as loader:
        assert (loader.batch_size, loader.threads, loader.seed) == (2, 2, 2**64 - 1)
        assert all(type(v) is int for v in (loader.batch_size, loader.threads, loader.seed))
        assert len(list(loader)) == 2


@pytest.mark.parametrize("value", [-1, 2**32, 1.0, "1", True, None])
def test_set_epoch(value) -> None:
    with build() as loader, pytest.raises(ArgumentError, match=r"epoch=.*whole number from 0 to 4294967295"):
        loader.set_epoch(value)


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ((4, 0), "sample=4"),
        ((-1, 0), "sample=-1"),
        ((0, -1), "epoch=-1"),
        ((0, 0, 256), "occurrence=256"),
        ((1.0, 0), "sample=1.0"),
    ],
)
def test_replay(arguments, option: str) -> None:
    with build() as loader, pytest.raises(ArgumentError, match=re.escape(option)):
        loader.replay(*arguments)


@pytest.mark.parametrize("label", [-1, 2, 10**9, 1.5, NAN, "1", None, True])
def test_labels(label) -> None:
    with pytest.raises(LabelError, match=r"sample 2 .*from 0 to 1") as caught:
        fl.DataLoader((IMAGES, [0, 1, label, 1]), size=8, num_classes=2)
    assert caught.value.sample == 2


@pytest.mark.parametrize(
    "source", [None, 3, {}, object(), IMAGES, (IMAGES,), [IMAGES], "no/such/folder", [("a.jpg",)]]
)
def test_sources(source) -> None:
    with pytest.raises((ArgumentError, fl.SourceError)):
        fl.DataLoader(source, size=8)


# ---------------------------------------------------------------- augmentations

P = (1.5, -0.1, NAN, "0.5", None, True)
AUGMENTATIONS = [
    *((fl.HorizontalFlip, "p", v, "number from 0 to 1") for v in P),
    *((fl.VerticalFlip, "p", v, "number from 0 to 1") for v in P),
    *((fl.RandomAffine, "p", v, "number from 0 to 1") for v in P),
    *((fl.ColorField, "p", v, "number from 0 to 1") for v in P),
    *((fl.HSVField, "p", v, "number from 0 to 1") for v in P),
    *((fl.ColorJitter, "p", v, "number from 0 to 1") for v in P),
    *(
        (fl.RandomResizedCrop, "scale", v, "a <= b <= 1")
        for v in ((1, 0.1), (0, 1), (0.1, 1.1), (-1, 1), 0.5, "12")
    ),
    *(
        (fl.RandomResizedCrop, "scale", v, "range")
        for v in (None, (NAN, 1), ("0.1", "1"), (0.1, 0.2, 0.3), {0.1: 1})
    ),
    *(
        (fl.RandomResizedCrop, "ratio", v, "a <= b <= 100")
        for v in ((2, 1), (0, 1), "12", (1, math.inf), (True, True))
    ),
    *(
        (fl.RandomCrop, "padding", v, "whole number from 0 to 4096")
        for v in (-1, 1.5, "4", True, 4097, (1, 1))
    ),
    *((fl.Resize, "side", v, "whole number from 1 to 65536") for v in (0, -1, 1.5, "256", True, (8, 8))),
    *((fl.RandomAffine, "degrees", v, "180") for v in (-1, 181, NAN, (20, 10), (-181, 0), "10", None, True)),
    *((fl.RandomAffine, "shear", v, "80") for v in (-1, 90, (3, -3), "1")),
    *(
        (fl.RandomAffine, "translate", v, "from 0 to 1")
        for v in (0.1, (0.1,), (2, 0), (-0.1, 0), ("a", 0), "ab", NAN)
    ),
    *((fl.RandomAffine, "scale", v, "range") for v in (1.0, (1.2, 0.8), (0, 1), (1, 1000))),
    *(
        (fl.ColorField, option, v, "number from 0 to 4")
        for option in ("brightness", "contrast", "saturation")
        for v in (-0.1, 5, NAN, "0.1", (0, 1))
    ),
    *((fl.ColorField, "hue", v, "number from 0 to 0.5") for v in (-0.1, 0.6, NAN)),
    *((fl.ColorField, "law", v, "not a field law") for v in (None, "gaussian", fl.Gaussian)),
    (fl.ColorField, "law", fl.Gaussian(0.3, 0.1), "Leave sigma out"),
    *((fl.HSVField, "law", v, "not a field law") for v in (None, 0.3)),
    *(
        (fl.ColorJitter, option, v, "number from 0 to 1")
        for option in ("brightness", "contrast", "saturation")
        for v in (-0.1, 1.1, NAN, "0.1", (0.8, 1.2))
    ),
    *((fl.ColorJitter, "hue", v, "number from 0 to 0.5") for v in (-0.1, 0.6, "0")),
    *(
        (fl.Normalize, "mean", v, "")
        for v in ((1, 2), "abc", None, (1, 2, "3"), (1, 2, NAN), (True, 1, 1), True)
    ),
    *((fl.Normalize, "std", v, "") for v in (0, (1, 1, 0), (1, 1, -1), (NAN, 1, 1), (1, 1, 1, 1))),
    *((fl.Gaussian, "length", v, "") for v in (0, -1, NAN, math.inf, 5)),
    *((fl.Gaussian, "sigma", v, "") for v in (-1, NAN, 5)),
    *(
        (fl.PowerLaw, option, v, "low <= high")
        for option in ("gamma", "alpha")
        for v in ((9, 7), (-1, 1), (NAN, 1), (1,), None, 3)
    ),
    *((fl.PowerLaw, "modes", v, "1 to 16") for v in (0, 17, 2.5)),
]


@pytest.mark.parametrize(
    ("kind", "option", "value", "words"), AUGMENTATIONS, ids=lambda v: getattr(v, "__name__", repr(v)[:20])
)
def test_options_of_augmentations(kind, option: str, value, words: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        kind(**{option: value})
    text = str(caught.value)
    assert kind.__name__ in text
    assert option in text
    assert words in text
    shown = str(caught.value)
    if kind not in (fl.Normalize, fl.RandomAffine):
        assert repr(value) in shown


@pytest.mark.parametrize(
    ("kinds", "options", "words"),
    [
        ((), {}, "no kind"),
        (("translat",), {}, "'translat' is not a kind"),
        (("scale", "scale"), {}, "one twice"),
        ((["translate"],), {}, "not a kind"),
        ((3,), {}, "3 is not a kind"),
        (("scale",), {"p": 2}, "p=2: not a number from 0 to 1"),
        (("scale",), {"no_fold": 1}, "no_fold=1: not True or False"),
        (("scale",), {"law": "power"}, "law='power': not a field law"),
    ],
)
def test_random_field(kinds, options, words: str) -> None:
    with pytest.raises(ArgumentError, match=re.escape(words)):
        fl.RandomField(*kinds, **options)


@given(st.floats(0, 1), st.floats(0, 1))
def test_pairs_in_range_pass(a: float, b: float) -> None:
    low, high = sorted((max(a, 1e-4), max(b, 1e-4)))
    crop = fl.RandomResizedCrop(scale=[low, high])
    assert crop.scale == (low, high)
    assert isinstance(crop.scale, tuple)


def test_augmentations_are_frozen_values() -> None:
    assert fl.HorizontalFlip() == fl.HorizontalFlip(0.5) != fl.HorizontalFlip(0.4)
    assert len({fl.RandomField("scale"), fl.RandomField("scale"), fl.RandomField("shear")}) == 2
    with pytest.raises(AttributeError):
        fl.HorizontalFlip().p = 0.1
    assert "translate" in repr(fl.RandomField("translate"))


# ---------------------------------------------------------------- recipes

CROP, FLIP, COLOR, NORM = fl.RandomResizedCrop(), fl.HorizontalFlip(), fl.ColorField(), fl.Normalize()
RECIPES = {
    "two crops": ([CROP, fl.CenterCrop()], "2 crops"),
    "two resizes": ([fl.Resize(9), fl.Resize(9), fl.CenterCrop()], "2 resizes"),
    "crop behind a flip": ([FLIP, CROP], "HorizontalFlip before RandomResizedCrop.*front"),
    "resize behind a flip": ([FLIP, fl.Resize()], "HorizontalFlip before Resize"),
    "flip between": ([fl.Resize(9), FLIP, fl.CenterCrop()], "HorizontalFlip before CenterCrop"),
    "normalize first": ([NORM, CROP], "Normalize"),
    "normalize not last": ([CROP, NORM, FLIP], "Normalize at position 1 of 3.*last"),
    "two normalize": ([NORM, NORM], "Normalize at position 0"),
    "hsv behind color": ([COLOR, fl.HSVField()], "HSVField behind another color"),
    "hsv behind jitter": ([fl.ColorJitter(), fl.HSVField()], "HSVField behind another color"),
    "two hsv": ([fl.HSVField(), fl.HSVField()], "two HSVFields"),
    "resize without crop": ([fl.Resize(256)], r"Resize\(side=256\) without a crop.*CenterCrop"),
    "resize before a resizing crop": ([fl.Resize(256), CROP], r"Resize\(side=256\)"),
    "resize behind the crop": ([fl.CenterCrop(), fl.Resize(256)], "CenterCrop before|without a crop|Resize"),
    "whole resize and crop": ([fl.Resize(), fl.CenterCrop()], r"Resize\(\) with a crop"),
    "class": ([fl.RandomResizedCrop], "RandomResizedCrop.*add parentheses"),
    "class alone": (fl.HorizontalFlip, "add parentheses"),
    "function": ([lambda image: image], r"augment\[0\].*not an augmentation"),
    "none inside": ([CROP, None], r"augment\[1\]=None"),
    "nested": ([[CROP, 3]], r"augment\[1\]=3"),
    "number": (3, "augment=3.*not a list"),
    "unknown preset": ("imagenett", "preset 'imagenett'.*did you mean 'imagenet'"),
    "unknown preset inside": (["rfa_colour"], "did you mean 'rfa_color'"),
    "no such word": ("zzz", "Known are rfa_translate"),
    "too many": ([fl.RandomField("scale")] * 20, "20 field and color transforms"),
    "far too many": ([FLIP] * 300, "300 operations"),
}


@pytest.mark.parametrize("case", RECIPES)
def test_recipes(case: str) -> None:
    augment, words = RECIPES[case]
    with pytest.raises(ArgumentError, match=f"(?s){words}"):
        build(augment=augment)


def test_normalize_into_bytes() -> None:
    with pytest.raises(ArgumentError, match="Normalize with dtype=uint8"):
        build(augment=[NORM], dtype=torch.uint8)
