"""Policies as published: magnitudes, tables, options, and whole images against Pillow."""

import math
import zlib

import numpy as np
import pytest
import torch
from kernel_cases import keys, noise, photo
from pillow_steps import EXACT, by_pillow, by_program

from fieldloom import ArgumentError, policies
from fieldloom.kernels.stages.augmix_draws import chain_weights, draw_chains
from fieldloom.kernels.stages.operations import OPERATIONS, operation_index
from fieldloom.kernels.stages.policies import Range
from fieldloom.kernels.stages.policy_draws import draw_operations, draw_program, n_steps
from fieldloom.kernels.stages.policy_values import Columns
from fieldloom.policies import (
    POLICIES,
    AugMix,
    AutoAugment,
    Cutout,
    GaussianBlur,
    GaussianNoise,
    Grayscale,
    Operation,
    RandAugment,
    SamplePolicy,
    ThreeAugment,
    TrivialAugmentWide,
    compile_policy,
)
from fieldloom.policies.autoaugment import sub_policies
from fieldloom.policies.spaces import AUGMIX, AUGMIX_MORE, SPACES

HEIGHT, WIDTH = 200, 300
NAMES = list(OPERATIONS)
IDENTITY_INDEX = operation_index("identity")
STANDARD = [
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "color",
    "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize",
]  # fmt: skip


def magnitude(range_: Range, level: float, negative: bool = False, size=(HEIGHT, WIDTH)) -> float:
    columns = Columns((range_,), *size)
    return columns.values(np.zeros(1, np.int64), np.array([level]), np.array([negative]))[0]


def torchvision_values(name: str, bins: int, wide: bool) -> tuple[list[float], bool]:
    """torchvision's table of an operation in our native units for the plus side, and whether it is signed."""
    if name.startswith("translate"):
        side = WIDTH if name == "translate_x" else HEIGHT
        table = torch.linspace(0.0, 32.0 if wide else 150.0 / 331.0 * side, bins)
        # Of 32 * 15 / 30 pixels, torch makes 15.999999 on some processors, and cuts that to 15.
        return [int(v + 1e-4) for v in table.tolist()], True
    if name.startswith("shear"):
        return torch.linspace(0.0, 0.99 if wide else 0.3, bins).tolist(), True
    if name == "rotate":
        return torch.linspace(0.0, 135.0 if wide else 30.0, bins).tolist(), True
    if name in ("brightness", "color", "contrast", "sharpness"):
        return [1.0 + v for v in torch.linspace(0.0, 0.99 if wide else 0.9, bins).tolist()], True
    if name == "posterize":
        steps = (torch.arange(bins) / ((bins - 1) / (6 if wide else 4))).round().int()
        return (8 - steps).tolist(), False
    assert name == "solarize"
    return torch.linspace(255.0, 0.0, bins).tolist(), False


@pytest.mark.parametrize("bins", [10, 31, 5, 9])
@pytest.mark.parametrize("space", ["standard", "wide"])
def test_torchvision_magnitudes_in_every_bin(space: str, bins: int) -> None:
    assert [range_.operation for range_ in SPACES[space].ranges] == STANDARD
    for range_ in SPACES[space].ranges:
        if range_.operation in ("identity", "autocontrast", "equalize"):
            continue
        want, signed = torchvision_values(range_.operation, bins, space == "wide")
        assert range_.signed == signed
        neutral = 1.0 if range_.operation in ("brightness", "color", "contrast", "sharpness") else 0.0
        for i, value in enumerate(want):
            # torch.linspace differs in its last bits between processors.
            assert magnitude(range_, i / (bins - 1)) == pytest.approx(value, rel=3e-7, abs=1e-12)
            if signed:
                mirrored = magnitude(range_, i / (bins - 1), True)
                assert mirrored == pytest.approx(2 * neutral - value, rel=3e-7, abs=1e-6)


@pytest.mark.parametrize("tenths", [0, 1, 3, 5, 7, 9, 10])
def test_timm_magnitudes(tenths: int) -> None:
    t = tenths / 10
    flat = {
        "rotate": 30 * t, "posterize": int(tenths * 4 / 10), "solarize": int(tenths * 256 / 10),
        "solarize_add": int(tenths * 110 / 10), "shear_x": 0.3 * t, "translate_x": 0.45 * t * WIDTH,
        "translate_y": 0.45 * t * HEIGHT, **dict.fromkeys(("color", "brightness"), 0.1 + 1.8 * t),
    }  # fmt: skip
    rising = flat | {
        "posterize": 4 - flat["posterize"], "solarize": 256 - flat["solarize"],
        **dict.fromkeys(("contrast", "sharpness"), 1 + 0.9 * t),
    }  # fmt: skip
    del rising["color"], rising["brightness"]
    for space, table in (("timm", flat), ("timm_increasing", rising)):
        assert len(SPACES[space].ranges) == 15
        for name, want in table.items():
            assert magnitude(SPACES[space].range_of(name), t) == pytest.approx(want, rel=1e-6, abs=1e-7), name
    factor = magnitude(SPACES["timm_increasing"].range_of("color"), t, True)
    assert factor == pytest.approx(max(0.1, 1 - 0.9 * t), rel=1e-6)


def test_other_published_magnitudes() -> None:
    uda, fixmatch, three = SPACES["uda"], SPACES["fixmatch"], SPACES["timm_3a"]
    assert len(uda.ranges) == 15
    assert len(fixmatch.ranges) == 14
    for m in range(1, 10):
        t = m / 10
        assert magnitude(uda.range_of("cutout"), t) == 2 * m
        assert magnitude(uda.range_of("translate_x"), t, True) == -m
        assert magnitude(uda.range_of("rotate"), t) == 3 * m
        assert magnitude(uda.range_of("posterize"), t) == 4 - int(m * 4 / 10)
        assert magnitude(uda.range_of("solarize"), t) == 256 - int(m * 256 / 10)
        assert magnitude(uda.range_of("color"), t) == pytest.approx(m * 1.8 / 10 + 0.1)
    ends = {"posterize": (4, 8), "rotate": (-30, 30), "translate_x": (-90, 90), "color": (0.05, 0.95)}
    for name, (low, high) in ends.items():
        assert magnitude(fixmatch.range_of(name), 0) == pytest.approx(low)
        assert magnitude(fixmatch.range_of(name), 1) == pytest.approx(high)
    assert magnitude(fixmatch.range_of("posterize"), 0.99) == 7
    assert [magnitude(three.range_of("color"), t) for t in (0, 1)] == [0.5, 0]


@pytest.mark.parametrize("strength", [0.1, 1.0, 1.7, 2.5, 3.0, 10.0])
def test_augmix_magnitudes(strength: float) -> None:
    space = {range_.operation: range_ for range_ in (*AUGMIX, *AUGMIX_MORE)}
    assert len(AUGMIX) == 9
    assert len(space) == 13
    t = strength / 10
    assert magnitude(space["posterize"], t) == 4 - int(strength * 4 / 10)
    assert magnitude(space["rotate"], t, True) == -int(strength * 30 / 10)
    assert magnitude(space["solarize"], t) == 256 - int(strength * 256 / 10)
    assert magnitude(space["shear_y"], t) == pytest.approx(strength * 0.3 / 10)
    assert magnitude(space["translate_x"], t) == int(strength * (WIDTH / 3) / 10 + 1e-6)
    assert magnitude(space["color"], t) == pytest.approx(strength * 1.8 / 10 + 0.1)


def test_augmix_strengths_go_from_a_tenth_to_the_severity() -> None:
    item = AugMix(severity=3, depth=3).item(0)
    drawn = draw_chains(item, Columns(item.ranges, 32, 32), keys(2000), None, 0)
    shears = drawn.ranges == [range_.operation for range_ in item.ranges].index("shear_x")
    strengths = abs(drawn.values[shears]) / 0.03
    assert 0.1 <= strengths.min() < 0.15
    assert 2.95 < strengths.max() <= 3


# ---------------------------------------------------------------- AutoAugment


def test_autoaugment_tables() -> None:
    digests = {}
    for policy in ("imagenet", "cifar10", "svhn"):
        pairs = sub_policies(policy)
        assert len(pairs) == 25
        text = ";".join(f"{e.range.operation} {e.p:.1f} {round(9 * e.level)}" for pair in pairs for e in pair)
        digests[policy] = zlib.crc32(text.encode())
    # Compared once, entry by entry, with torchvision/transforms/autoaugment.py.
    assert digests == DIGESTS
    first, second = sub_policies("imagenet")[0]
    assert (first.range.operation, first.p, second.range.operation, second.p) == (
        "posterize", 0.4, "rotate", 0.6,
    )  # fmt: skip
    assert magnitude(first.range, first.level) == 8 - round(8 / 2.25)
    assert magnitude(second.range, second.level) == 30
    solarize, invert = sub_policies("cifar10")[14]
    assert (solarize.p, invert.p) == (0.5, 0.0)
    assert magnitude(solarize.range, solarize.level) == pytest.approx(255 * 7 / 9)
    shear, translate = sub_policies("svhn")[22]
    assert magnitude(shear.range, shear.level) == pytest.approx(0.3)
    assert magnitude(translate.range, translate.level, True) == -int(150 / 331 * HEIGHT * 3 / 9)


DIGESTS = {"cifar10": 1284522519, "imagenet": 1211520416, "svhn": 2857082496}


# ---------------------------------------------------------------- options

_UNIFORM = np.ones(17)
WRONG = [
    (RandAugment, {"n": 0}, "n=0"),
    (RandAugment, {"n": 2.5}, "n=2.5"),
    (RandAugment, {"magnitude": 31}, "magnitude=31"),
    (RandAugment, {"magnitude": -1}, "magnitude=-1"),
    (RandAugment, {"magnitude": 11, "space": "timm"}, "magnitude=11"),
    (RandAugment, {"magnitude": 3, "space": "uda"}, "magnitude=3 with space='uda'"),
    (RandAugment, {"noise": 0.5, "space": "fixmatch"}, "noise=0.5 with space='fixmatch'"),
    (RandAugment, {"noise": math.nan}, "noise=nan"),
    (RandAugment, {"space": "rand"}, "space='rand'"),
    (RandAugment, {"bins": 1}, "bins=1"),
    (RandAugment, {"p": 1.5}, "p=1.5"),
    (RandAugment, {"operations": ()}, r"operations=\(\)"),
    (RandAugment, {"operations": "rotate"}, "operations='rotate'"),
    (RandAugment, {"operations": ("rotate", "invert")}, "operations with 'invert'"),
    (RandAugment, {"interpolation": "bicubic"}, "interpolation='bicubic'"),
    (RandAugment, {"fill": 300}, "fill=300"),
    (TrivialAugmentWide, {"bins": True}, "bins=True"),
    (TrivialAugmentWide, {"interpolation": None}, "interpolation=None"),
    (AutoAugment, {"policy": "coco"}, "policy='coco'"),
    (AugMix, {"severity": 0}, "severity=0"),
    (AugMix, {"severity": 11}, "severity=11"),
    (AugMix, {"width": 9}, "width=9"),
    (AugMix, {"depth": 0}, "depth=0"),
    (AugMix, {"alpha": 0}, "alpha=0"),
    (AugMix, {"views": 0}, "views=0"),
    (AugMix, {"all_operations": 1}, "all_operations=1"),
    (ThreeAugment, {"sigma": (2, 1)}, r"sigma=\(2, 1\)"),
    (ThreeAugment, {"sigma": (0.1, 9)}, "sigma="),
    (Operation, {"name": "equalise"}, "Did you mean 'equalize'"),
    (Operation, {"name": "equalize", "magnitude": 1}, "has no magnitude"),
    (Operation, {"name": "rotate"}, "magnitude=None"),
    (Operation, {"name": "rotate", "magnitude": (30, -30)}, r"magnitude=\(30, -30\)"),
    (Operation, {"name": "rotate", "magnitude": (-5, 5), "signed": True}, "magnitude="),
    (Operation, {"name": "posterize", "magnitude": 9}, "magnitude=9"),
    (Operation, {"name": "posterize", "magnitude": (4, 7.5)}, "is whole"),
    (Operation, {"name": "invert", "p": -0.1}, "p=-0.1"),
    (Cutout, {"size": -1}, "size=-1"),
    (Cutout, {"size": 2, "of_side": True}, "size=2"),
    (GaussianBlur, {"sigma": 7}, "sigma=7"),
    (GaussianBlur, {"p": "0.5"}, "p='0.5'"),
    (GaussianNoise, {"std": (0, 2)}, r"std=\(0, 2\)"),
    (Grayscale, {"p": None}, "p=None"),
    (SamplePolicy, {"probabilities": _UNIFORM, "magnitudes": _UNIFORM, "k": 18}, "k=18"),
]


@pytest.mark.parametrize(("policy", "options", "words"), WRONG, ids=lambda v: getattr(v, "__name__", None))
def test_wrong_options(policy: type, options: dict, words: str) -> None:
    with pytest.raises(ArgumentError, match=words) as caught:
        policy(**options)
    assert "operation 'equalise'" in str(caught.value) or policy.__name__ in str(caught.value)


def test_every_policy_is_public_and_described() -> None:
    assert set(POLICIES) == set(policies.Policy.__args__)
    for policy in POLICIES:
        assert policy.__name__ in policies.__all__
        for section in ("Launches: one for the whole program", "Source: ", "Exactness: "):
            assert section in policy.__doc__, policy
        assert (WRONG[0][0] is policy) or any(case[0] is policy for case in WRONG)


# ---------------------------------------------------------------- what a policy becomes


def items(policy, position: int = 4):
    return (compile_policy(policy, position),)


@pytest.mark.parametrize(
    ("policy", "steps"),
    [(RandAugment(3), 3), (TrivialAugmentWide(), 1), (AutoAugment(), 2), (AugMix(), 16),
     (AugMix(depth=5, width=2), 15), (ThreeAugment(), 1), (Grayscale(), 1),
     (SamplePolicy(_UNIFORM, _UNIFORM, k=4), 4)],
)  # fmt: skip
def test_length_of_programs(policy, steps: int) -> None:
    assert n_steps(items(policy)) == steps
    assert draw_program(items(policy), keys(5), 24, 24).shape == (5, steps)


def test_options_reach_the_draws() -> None:
    batch = keys(3000)

    def drawn(policy):
        return draw_operations(items(policy)[0], batch, HEIGHT, WIDTH)

    only = drawn(RandAugment(operations=("rotate", "invert", "rotate"), space="timm", p=1.0, magnitude=5))
    counts = np.bincount(only.operations.ravel(), minlength=len(NAMES))
    assert counts[operation_index("rotate")] + counts[operation_index("invert")] == 6000
    assert 3800 < counts[operation_index("rotate")] < 4200
    assert set(np.abs(only.values[only.operations == operation_index("rotate")])) == {15.0}
    assert (drawn(RandAugment(magnitude=0, operations=("rotate",))).operations == IDENTITY_INDEX).all()
    loose = np.abs(drawn(RandAugment(magnitude=20, noise=math.inf, operations=("rotate",))).values)
    assert loose.max() < 20
    assert len(np.unique(loose)) > 5000
    beyond = drawn(RandAugment(magnitude=9, noise=3, top=12, space="timm", operations=("rotate",))).values
    assert np.abs(beyond).max() == pytest.approx(36)
    tenths = drawn(RandAugment(space="uda", operations=("rotate",)))
    assert set(np.abs(tenths.values.ravel())) == set(range(3, 30, 3))
    bits = drawn(Operation("posterize", (2, 5))).values.ravel()
    assert np.bincount(bits.astype(np.int64)).tolist()[:2] == [0, 0]
    assert (np.bincount(bits.astype(np.int64))[2:] > 600).all()
    factors = drawn(Operation("contrast", (0.2, 0.5), signed=True)).values
    assert ((np.abs(factors - 1) >= 0.2 - 1e-6) & (np.abs(factors - 1) <= 0.5 + 1e-6)).all()
    assert 0.45 < (factors < 1).mean() < 0.55
    sides = drawn(Cutout((0.1, 0.5), of_side=True)).values
    assert (sides.min(), sides.max()) == (20, 100)
    assert set(drawn(Cutout(9)).values.ravel()) == {9.0}
    gray, solarize, blur = (operation_index(n) for n in ("grayscale", "solarize", "gaussian_blur"))
    three = drawn(ThreeAugment())
    for index in (gray, solarize, blur):
        assert 900 < (three.operations == index).sum() < 1100
    assert set(three.values[three.operations == solarize]) == {128.0}
    std = drawn(GaussianNoise((0.1, 0.2), p=1)).values
    assert 25.5 <= std.min() < std.max() <= 51
    assert 1400 < (drawn(GaussianBlur()).operations == blur).sum() < 1600


def test_fill_interpolation_and_slots_reach_the_steps() -> None:
    steps = draw_program(items(RandAugment(fill=(1, 2, 3))), keys(50), 24, 24)
    assert (steps["fill"][..., :3][steps["op"] > 0] == [1, 2, 3]).all()
    for interpolation, op in (("nearest", 1), ("bilinear", 2)):
        policy = Operation("rotate", (5, 10), interpolation=interpolation)
        assert (draw_program(items(policy), keys(5), 24, 24)["op"] == op).all()
    noisy = draw_program(items(GaussianNoise(0.1, p=1), 7), keys(5), 24, 24)
    assert (noisy["whole"][:, 0, 0] == 7 << 8 | 10).all()
    flat = np.eye(17)[14]
    cut = draw_program(items(SamplePolicy(flat, flat, k=1, fill=9)), keys(5), 24, 24)
    assert (cut["fill"][:, 0, :3] == [125, 123, 114]).all()


# ---------------------------------------------------------------- whole images

_ROWS = np.random.default_rng(3).random((2, 60, 17))
WHOLE = {
    "randaugment": RandAugment(fill=(11, 22, 33)),
    "strong": RandAugment(4, 30, fill=128),
    "timm": RandAugment(3, noise=0.5, space="timm", interpolation="nearest"),
    "timm_increasing": RandAugment(
        3, noise=math.inf, space="timm_increasing", interpolation="nearest", p=1.0
    ),
    "uda": RandAugment(space="uda", fill=(125, 123, 114)),
    "fixmatch": RandAugment(3, space="fixmatch"),
    "trivial": TrivialAugmentWide(),
    "imagenet": AutoAugment("imagenet"),
    "cifar10": AutoAugment("cifar10"),
    "svhn": AutoAugment("svhn", fill=7),
    "cutout": Cutout((3, 20), fill=(9, 8, 7)),
    "posterize": Operation("posterize", (0, 8)),
    "sharpness": Operation("sharpness", (0, 3), p=0.8),
    "flips": Operation("vertical_flip", p=0.5),
    "gray": Grayscale(0.5),
    "per_sample": SamplePolicy(*_ROWS, k=3, jitter=0.3, fill=(125, 123, 114)),
}


def pictures(n: int, height: int, width: int) -> np.ndarray:
    makers = (photo, noise, lambda h, w, seed: photo(h, w, seed) // 3 + 60)
    return np.stack([makers[i % 3](height, width, seed=i) for i in range(n)])


@pytest.mark.parametrize("name", WHOLE)
def test_whole_policies_equal_pillow_bit_for_bit(name: str) -> None:
    policy, batch = WHOLE[name], keys(60)
    for height, width in ((37, 52), (24, 24)):
        images = pictures(60, height, width)
        item = items(policy)[0]
        drawn = draw_operations(item, batch, height, width)
        assert {NAMES[i] for i in np.unique(drawn.operations)} <= EXACT
        got = by_program(images, draw_program((item,), batch, height, width), batch)
        fill = tuple(int(v) for v in item.fill)
        for i, image in enumerate(images):
            centers = None if drawn.centers is None else drawn.centers[i]
            want = by_pillow(image, drawn.operations[i], drawn.values[i], centers, fill)
            assert np.array_equal(got[i], want), [NAMES[j] for j in drawn.operations[i]]
        assert (got != images).any()


@pytest.mark.parametrize(
    "policy",
    [
        AugMix(interpolation="nearest"),
        AugMix(5, 2, 4, 0.5, all_operations=True, interpolation="nearest"),
    ],
)
def test_augmix_equals_its_weighted_sum_of_pillow_chains(policy: AugMix) -> None:
    images, batch = pictures(30, 37, 52), keys(30)
    (item,) = items(policy)
    got = by_program(images, draw_program((item,), batch, 37, 52), batch)
    drawn = draw_chains(item, Columns(item.ranges, 37, 52), batch, None, 0)
    weights, longest = chain_weights(item, batch, 0), item.longest
    for i, image in enumerate(images):
        total = weights[i, 0] * image.astype(np.int64)
        for chain in range(item.width):
            part = slice(chain * longest, (chain + 1) * longest)
            total += weights[i, 1 + chain] * by_pillow(
                image, drawn.operations[i, part], drawn.values[i, part]
            )
        assert np.array_equal(got[i], total + 32768 >> 16)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1)])
def test_tiny_images_run(size: tuple[int, int]) -> None:
    images, batch = pictures(8, *size), keys(8)
    for policy in (*WHOLE.values(), AugMix(), ThreeAugment(), GaussianNoise()):
        assert by_program(images, draw_program(items(policy), batch, *size), batch).shape == images.shape
