"""Programs of 8-bit operations have Pillow's bits, and those of their definition in plain NumPy."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from kernel_cases import noise, photo
from PIL import Image, ImageOps
from pillow_steps import EXACT, by_pillow
from program_cases import VALUES, images, random_programs, run, samples_of, steps_of

from fieldloom.kernels.stages.operations import OPERATIONS, make_steps, operation_index
from fieldloom.kernels.stages.program import run_programs
from fieldloom.kernels.stages.records import ACCUMULATE, BILINEAR, BLUR, NOISE, RESOLVE, RESTORE, STEP
from fieldloom.kernels.stages.reference_program import run_program

IMAGES = images()
SEED = 0x1234_5678_9ABC
FILL = (10, 200, 30)


def pillow(name: str, image: np.ndarray, value: float, center: object = None) -> np.ndarray:
    centers = None if center is None else np.array([center])
    return by_pillow(image, np.array([operation_index(name)]), np.array([value]), centers, FILL)


# ---------------------------------------------------------------- Pillow


@pytest.mark.parametrize("name", sorted(EXACT))
def test_operations_have_pillows_bits(name: str) -> None:
    values = VALUES.get(name, (0,))
    for image in IMAGES:
        center = (image.shape[0] / 3, image.shape[1] / 2)
        steps = steps_of(name, values, image, fill=FILL, centers=np.array([center] * len(values)))
        for out, value in zip(run(image, steps[:, None]), values, strict=True):
            assert np.array_equal(out, pillow(name, image, value, center)), (image.shape, value)


@pytest.mark.parametrize("name", ["rotate", "shear_x", "shear_y", "translate_x", "translate_y"])
def test_nearest_geometry_has_pillows_bits_at_any_magnitude(name: str) -> None:
    rng = np.random.default_rng(len(name))
    high = {"rotate": 360, "shear_x": 2, "shear_y": 2}.get(name, 70)
    values = np.concatenate([rng.uniform(-high, high, 20), high / 30 * rng.integers(-30, 31, 20)])
    for image in (noise(64, 64), noise(33, 48), photo(97, 61)):
        for out, value in zip(
            run(image, steps_of(name, values, image, fill=FILL)[:, None]), values, strict=True
        ):
            assert np.array_equal(out, pillow(name, image, float(value))), value


#: Where each magnitude stands in Pillow's (a, b, c, d, e, f).
PLACES = {"shear_x": 1, "translate_x": 2, "shear_y": 3, "translate_y": 5}


@pytest.mark.parametrize("name", ["rotate", *PLACES])
def test_bilinear_geometry_lies_within_a_level_of_pillows(name: str) -> None:
    # At random magnitudes, for which no pixel's position is a tie with the image's border. On 1200 rows 16
    # fractional bits would be two levels off.
    rng = np.random.default_rng(len(name) + 1)
    high = {"rotate": 360, "shear_x": 2, "shear_y": 2}.get(name, 20)
    values = rng.uniform(-high, high, 20)
    for image in (noise(64, 64), noise(33, 48), photo(1, 300), noise(9, 1), noise(1200, 2, 3)):
        outs = run(image, steps_of(name, values, image, fill=FILL, bilinear=True)[:, None])
        for out, value in zip(outs, values.tolist(), strict=True):
            picture, how = Image.fromarray(image), Image.Resampling.BILINEAR
            if name == "rotate":
                expected = picture.rotate(value, how, fillcolor=FILL)
            else:
                matrix = [1.0, 0, 0, 0, 1, 0]
                matrix[PLACES[name]] = value
                expected = picture.transform(
                    picture.size, Image.Transform.AFFINE, matrix, how, fillcolor=FILL
                )
            difference = np.abs(out.astype(np.int64) - np.asarray(expected))
            assert difference.max() <= 1, value
            assert (difference > 0).sum() <= max(2, 0.02 * difference.size), value


def test_autocontrast_of_every_range() -> None:
    # 32 640 pairs of extremes, three to an image; Python's floats are Pillow's.
    pairs = np.array(list(itertools.combinations(range(256), 2)), np.int64)
    pixels = np.clip(np.arange(256), pairs[:, :1], pairs[:, 1:])
    planes = pixels.astype(np.uint8).reshape(-1, 3, 1, 256)
    program = np.tile(
        make_steps(np.array([operation_index("autocontrast")]), np.zeros(1), 1, 256), len(planes)
    )
    out = planes.copy()
    run_programs(program[:, None], samples_of(len(planes)), out, np.uint32(0), np.uint32(0), 0, len(planes))
    scale = 255.0 / (pairs[:, 1:] - pairs[:, :1])
    expected = np.clip(np.trunc(pixels * scale + -pairs[:, :1] * scale), 0, 255)
    assert np.array_equal(out.reshape(-1, 256), expected)
    for k in range(0, len(planes), 997):
        image = Image.fromarray(np.ascontiguousarray(planes[k].transpose(1, 2, 0)))
        assert np.array_equal(np.asarray(ImageOps.autocontrast(image)), out[k].transpose(1, 2, 0))


def few_values(shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    """Histograms with empty bins, high peaks, and steps that are 0."""
    return st.sampled_from([(0, 255), (0, 3), (250, 255), (100, 180)]).flatmap(
        lambda ends: arrays(np.uint8, (*shape, 3), elements=st.integers(*ends))
    )


sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@settings(max_examples=60, deadline=None)
@given(st.data(), sizes.flatmap(few_values), st.sampled_from(sorted(EXACT - {"cutout"})))
def test_any_image_and_magnitude(data: st.DataObject, image: np.ndarray, name: str) -> None:
    operation = OPERATIONS[name]
    low, high = max(operation.low, -1000), min(operation.high, 1000)
    whole = st.integers(int(low), int(high)).map(float)
    value = data.draw(whole if operation.whole else whole | st.floats(low, high, width=32))
    out = run(image, steps_of(name, value, image, fill=FILL)[:, None])[0]
    assert np.array_equal(out, pillow(name, image, value))


# ---------------------------------------------------------------- the definition


def test_random_programs_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(11)
    for image in (*IMAGES, photo(45, 70)):
        programs = random_programs(rng, 40, 3, *image.shape[:2])
        # Rounded in float32, these may differ by a level, which later steps may enlarge: only as a last step.
        programs[:, :2]["op"][np.isin(programs[:, :2]["op"], (BILINEAR, BLUR, NOISE))] = 0
        outs = run(image, programs, first=3)
        for k, (out, program) in enumerate(zip(outs, programs, strict=True)):
            expected = run_program(image, program, counter=(3 + k, 7, 5 << 24 | 1 << 16), seed=SEED)
            if program["op"][-1] in (BILINEAR, BLUR, NOISE):
                difference = np.abs(out.astype(np.int64) - expected)
                assert difference.max() <= 1
                assert (difference > 0).sum() <= max(1, 0.002 * difference.size)
            else:
                assert np.array_equal(out, expected), program


@pytest.mark.parametrize("name", ["gaussian_blur", "gaussian_noise"])
def test_blur_and_noise_are_those_of_the_definition(name: str) -> None:
    for image in IMAGES:
        steps = steps_of(name, VALUES[name], image, slot=0x30A)
        for k, out in enumerate(run(image, steps[:, None])):
            expected = run_program(image, steps[k : k + 1], counter=(k, 7, 5 << 24 | 1 << 16), seed=SEED)
            difference = np.abs(out.astype(np.int64) - expected)
            assert difference.max() <= 1
            assert (difference > 0).sum() <= max(1, 0.002 * difference.size), VALUES[name][k]


def test_blur_keeps_gray_and_is_symmetric() -> None:
    gray = np.full((9, 31, 3), 200, np.uint8)
    steps = steps_of("gaussian_blur", VALUES["gaussian_blur"], gray)[:, None]
    assert (run(gray, steps) == 200).all()
    image = noise(20, 26)
    out, turned = run(image, steps), run(image[::-1, ::-1].copy(), steps)
    assert np.array_equal(out, turned[:, ::-1, ::-1])
    assert np.array_equal(out[0], image)
    assert out[-1].std() < out[3].std() < image.std()


def test_noise_is_normal_and_keyed() -> None:
    image = np.full((128, 128, 3), 128, np.uint8)
    programs = np.stack([steps_of("gaussian_noise", 20, image, slot=slot) for slot in (10, 10, 11)])
    out = run(image, programs) - 128.0
    # 49 152 values each: standard errors are 0.09 of the mean, 0.064 of the deviation (+ 1/12 of rounding).
    assert np.abs(out.mean((1, 2, 3))).max() < 0.45
    assert np.abs(out.std((1, 2, 3)) - np.sqrt(400 + 1 / 12)).max() < 0.32
    assert np.abs(np.corrcoef(out.reshape(3, -1)) - np.eye(3)).max() < 0.025
    assert np.abs(np.corrcoef(out[0].reshape(-1, 3).T) - np.eye(3)).max() < 0.04
    # Not by the place in the batch, but by id, slot and seed.
    assert np.array_equal(run(image, programs[1:], first=1), out[1:] + 128)
    assert not np.array_equal(run(image, programs[:1], seed=1)[0], out[0] + 128)


# ---------------------------------------------------------------- chains


def chain(*steps: tuple[int, int] | np.ndarray) -> np.ndarray:
    """A program of (op, first whole number) pairs and STEP records: (1, m)."""
    parts = []
    for step in steps:
        record = np.zeros(1, STEP)
        if isinstance(step, tuple):
            record["op"], record["whole"][0, 0] = step
        parts.append(record if isinstance(step, tuple) else step.reshape(1))
    return np.concatenate(parts)[None]


def test_chains_mix_the_image_with_its_variants() -> None:
    image = photo(30, 41)
    invert, flip = steps_of("invert", 0, image), steps_of("horizontal_flip", 0, image)
    rotate = steps_of("rotate", 20, image, bilinear=True)
    program = chain(
        (ACCUMULATE, 30000), invert, (ACCUMULATE, 1536), (RESTORE, 0), rotate, flip, (ACCUMULATE, 34000),
        (RESOLVE, 0), flip,
    )  # fmt: skip
    turned = run(image, rotate[None])[0][:, ::-1]
    total = (
        30000 * image.astype(np.int64) + 1536 * (255 - image.astype(np.int64)) + 34000 * turned.astype(int)
    )
    assert np.array_equal(run(image, program)[0], (total + 32768 >> 16)[:, ::-1])
    # Beside programs that have none of it, and twice in one program.
    twice = np.concatenate([program, program], 1)
    plain = np.zeros_like(twice)
    plain[:, 3] = invert
    out = run(image, np.concatenate([plain, twice, plain]))
    assert np.array_equal(out[0], 255 - image)
    assert np.array_equal(out[2], 255 - image)
    expected = run_program(image, twice[0])
    assert np.abs(out[1].astype(np.int64) - expected).max() <= 1


def test_weights_that_sum_to_one_keep_the_image() -> None:
    image = noise(16, 16)
    for weights in ((65536,), (1, 65535), (20000, 20000, 25536)):
        steps = [step for w in weights for step in ((RESTORE, 0), (ACCUMULATE, w))]
        assert np.array_equal(run(image, chain(*steps, (RESOLVE, 0)))[0], image)
    assert np.array_equal(run(image, chain((RESOLVE, 0)))[0], image)
    assert np.array_equal(
        run(image, chain((ACCUMULATE, 0), (RESOLVE, 0), (RESOLVE, 0)))[0], np.zeros_like(image)
    )


# ---------------------------------------------------------------- the batch


def test_only_the_range_is_touched_and_any_split_gives_the_same() -> None:
    rng = np.random.default_rng(3)
    programs, samples = random_programs(rng, 12, 4, 20, 24), samples_of(12)
    start = np.stack([noise(20, 24, k).transpose(2, 0, 1) for k in range(12)])
    whole, parts, some = start.copy(), start.copy(), start.copy()
    low, high = np.uint32(1), np.uint32(2)
    run_programs(programs, samples, whole, low, high, 0, 12)
    for first in range(0, 12, 5):
        run_programs(programs, samples, parts, low, high, first, min(first + 5, 12))
    assert np.array_equal(whole, parts)
    run_programs(programs, samples, some, low, high, 4, 6)
    assert np.array_equal(some[4:6], whole[4:6])
    some[4:6] = start[4:6]
    assert np.array_equal(some, start)


def test_nothing_to_do() -> None:
    empty = np.zeros((0, 3, 4, 4), np.uint8)
    run_programs(np.zeros((0, 2), STEP), samples_of(0), empty, np.uint32(0), np.uint32(0), 0, 0)
    image = noise(4, 4)
    assert np.array_equal(run(image, np.zeros((2, 0), STEP))[1], image)
