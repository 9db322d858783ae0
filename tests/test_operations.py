"""Single operations by name: legal values, steps from arrays, and the public function."""

import numpy as np
import pytest
import torch
from kernel_cases import noise
from pillow_steps import EXACT, by_pillow
from program_cases import VALUES

from fieldloom.errors import ArgumentError
from fieldloom.kernels.stages.operations import OPERATIONS, check_values, make_steps, operation_index
from fieldloom.kernels.stages.records import BILINEAR, IDENTITY, NEAREST, STEP
from fieldloom.policies.operations import apply_operation

IMAGE = noise(20, 30)
TAKING = [name for name, operation in OPERATIONS.items() if operation.parameter]
MIDDLE = {name: (OPERATIONS[name].low + OPERATIONS[name].high) // 2 for name in TAKING}


def magnitude(name: str) -> float | None:
    return VALUES[name][-1] if name in TAKING else None


# ---------------------------------------------------------------- the table


def test_values_of_the_tests_are_legal_and_cover_all_that_take_one() -> None:
    assert VALUES.keys() == set(TAKING)
    for name, values in VALUES.items():
        check_values(np.full(len(values), operation_index(name)), np.array(values, np.float64))


@pytest.mark.parametrize("name", TAKING)
def test_values_out_of_range_are_refused(name: str) -> None:
    operation, index = OPERATIONS[name], operation_index(name)
    for value in (operation.low - 0.01, operation.high + 0.01, np.nan, np.inf):
        with pytest.raises(ArgumentError, match=f"^{name} magnitude="):
            check_values(np.array([0, index, index]), np.array([np.nan, operation.low, value]))


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(ArgumentError, match="Did you mean 'solarize'"):
        operation_index("Solarise")
    with pytest.raises(ArgumentError, match="Pass one of identity, shear_x"):
        operation_index("zzzz")
    with pytest.raises(ArgumentError, match="3: not known"):
        operation_index(3)  # type: ignore[arg-type]


# ---------------------------------------------------------------- steps


def test_steps_of_a_mixed_batch_are_those_of_single_ones() -> None:
    rng = np.random.default_rng(2)
    names = list(OPERATIONS)
    operations = rng.integers(0, len(names), 200)
    values = np.array([float(rng.choice(VALUES.get(names[k], (0,)))) for k in operations])
    centers, slots = rng.uniform(0, 20, (200, 2)), rng.integers(0, 999, 200)
    for bilinear in (False, True):
        whole = make_steps(
            operations, values, 20, 30, fill=(1, 2, 3), bilinear=bilinear, centers=centers, slot=slots
        )
        assert whole.dtype == STEP
        single = [
            make_steps(
                operations[k : k + 1], values[k : k + 1], 20, 30, fill=(1, 2, 3), bilinear=bilinear,
                centers=centers[k : k + 1], slot=int(slots[k]),
            )
            for k in range(200)
        ]  # fmt: skip
        assert np.array_equal(whole, np.concatenate(single))


def test_no_steps() -> None:
    assert make_steps(np.empty(0, np.int64), np.empty(0), 4, 5).shape == (0,)


def test_the_whole_range_fits_the_largest_image() -> None:
    for name in ("shear_x", "shear_y", "translate_x", "translate_y", "rotate"):
        for value in (OPERATIONS[name].low, OPERATIONS[name].high, min(45.0, OPERATIONS[name].high)):
            whole = make_steps(np.array([operation_index(name)]), np.array([value]), 8192, 8192)["whole"][0]
            w = whole.astype(np.int64)
            for y, x in ((0, 0), (0, 8191), (8191, 0), (8191, 8191)):
                assert abs(w[0] * x + w[1] * y + w[2]) < 2**31
                assert abs(w[3] * x + w[4] * y + w[5]) < 2**31


def test_flips_are_nearest_and_identity_is_nothing() -> None:
    names = ["identity", "horizontal_flip", "vertical_flip", "rotate"]
    steps = make_steps(np.array([operation_index(name) for name in names]), np.zeros(4), 4, 5, bilinear=True)
    assert steps["op"].tolist() == [IDENTITY, NEAREST, NEAREST, BILINEAR]


# ---------------------------------------------------------------- the public function


@pytest.mark.parametrize("name", sorted(EXACT - {"cutout"}))
def test_operations_are_pillows(name: str) -> None:
    for value in VALUES.get(name, (0,)):
        out = apply_operation(name, IMAGE, value if name in TAKING else None, fill=(9, 8, 7))
        expected = by_pillow(IMAGE, np.array([operation_index(name)]), np.array([value]), fill=(9, 8, 7))
        assert np.array_equal(out, expected), value


@pytest.mark.parametrize("name", OPERATIONS)
def test_batches_arrays_and_tensors_agree_and_inputs_stay(name: str) -> None:
    batch = np.stack([noise(11, 9, k) for k in range(3)])
    before = batch.copy()
    out = apply_operation(name, batch, magnitude(name), seed=5)
    assert np.array_equal(batch, before)
    assert out.shape == batch.shape
    assert out.flags.c_contiguous
    assert not np.shares_memory(out, batch)
    assert np.array_equal(apply_operation(name, batch[0], magnitude(name), seed=5), out[0])
    # Views with other strides, and tensors.
    turned = np.asfortranarray(batch)
    assert np.array_equal(apply_operation(name, turned, magnitude(name), seed=5), out)
    tensor = apply_operation(name, torch.from_numpy(batch), magnitude(name), seed=5)
    assert isinstance(tensor, torch.Tensor)
    assert tensor.dtype == torch.uint8
    assert np.array_equal(tensor.numpy(), out)
    assert apply_operation(name, batch[:0], magnitude(name)).shape == (0, 11, 9, 3)


@pytest.mark.parametrize("name", ["gaussian_noise", "cutout"])
def test_randomness_is_the_seeds_and_the_index(name: str) -> None:
    batch = np.repeat(noise(16, 18)[None], 4, 0)
    one, two = apply_operation(name, batch, 5, seed=1), apply_operation(name, batch, 5, seed=2**64 - 1)
    assert not np.array_equal(one, two)
    assert not np.array_equal(one[0], one[1])
    assert np.array_equal(one, apply_operation(name, batch, 5, seed=1))
    assert np.array_equal(one[:2], apply_operation(name, batch[:2], 5, seed=1))


def test_cutouts_lie_anywhere_and_are_cut_at_the_border() -> None:
    batch = np.full((400, 10, 20, 3), 255, np.uint8)
    gone = apply_operation("cutout", batch, 4)[..., 0] == 0
    assert gone.any((1, 2)).all()
    assert gone.any(0).all()
    areas = set(gone.sum((1, 2)).tolist())
    assert max(areas) == 16
    assert min(areas) < 10
    assert (apply_operation("cutout", batch[0], 8192, fill=3) == 3).all()


BAD = {
    "a magnitude that is none": (("invert", IMAGE, 0), "it takes none"),
    "no magnitude": (("rotate", IMAGE), "without a magnitude"),
    "a bool": (("rotate", IMAGE, True), "not a number from -360 to 360"),
    "a text": (("rotate", IMAGE, "5"), "not a number"),
    "NaN": (("brightness", IMAGE, float("nan")), "magnitude=nan"),
    "beyond": (("gaussian_blur", IMAGE, 6.5), "from 0 to 6"),
    "half a bit": (("posterize", IMAGE, 3.5), "not a whole number from 0 to 8"),
    "floats": (("invert", IMAGE / 255.0), "type float64"),
    "floats with a graph": (("invert", torch.zeros(2, 2, 3, requires_grad=True)), "type float32"),
    "a list": (("invert", [[1]]), "type list"),
    "planes first": (("invert", IMAGE.transpose(2, 0, 1)), "channels last"),
    "two channels": (("invert", IMAGE[..., :2]), "shape"),
    "no pixels": (("invert", IMAGE[:0]), "sides from 1 to 8192"),
    "too large": (("invert", np.zeros((1, 8193, 3), np.uint8)), "sides from 1 to 8192"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused(case: str) -> None:
    arguments, message = BAD[case]
    with pytest.raises(ArgumentError, match=message):
        apply_operation(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [{"fill": 256}, {"fill": (1, 2)}, {"interpolation": "cubic"}, {"seed": -1}, {"seed": 1.5}],
    ids=str,
)
def test_bad_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(options))):
        apply_operation("rotate", IMAGE, 3, **options)  # type: ignore[arg-type]
