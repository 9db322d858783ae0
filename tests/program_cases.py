"""Images, magnitudes and runs that the tests of programs share."""

import numpy as np
from kernel_cases import noise, photo

from fieldloom.kernels.draws import new_samples
from fieldloom.kernels.stages.operations import OPERATIONS, make_steps, operation_index
from fieldloom.kernels.stages.program import run_programs

#: Magnitudes of each operation, the odd ones too: extrapolation, ties, thresholds between whole numbers.
_FACTORS = (0, 1, 0.5, 0.1, 1.9, -0.3, -2, 7, 1e6, -1e6)
_SHEARS = (0, 0.3, -0.3, 0.99, -1.7, 0.1, 0.25)
_SHIFTS = (0, 3, -3, 500, 2.4, 2.5, -2.5, -2.6)
VALUES: dict[str, tuple[float, ...]] = {
    "shear_x": _SHEARS,
    "shear_y": _SHEARS,
    "translate_x": _SHIFTS,
    "translate_y": _SHIFTS,
    "rotate": (0, 90, 180, 270, -90, 360, 30, 45, -17.3, 5.5, 133.7, -300),
    "brightness": _FACTORS,
    "color": _FACTORS,
    "contrast": _FACTORS,
    "sharpness": _FACTORS,
    "posterize": tuple(range(9)),
    "solarize": (*range(0, 257, 16), 1, 255, 10.5, 254.25),
    "solarize_add": (0, 1, 110, 255),
    "cutout": (0, 1, 3, 4.5, 1000),
    "gaussian_blur": (0, 0.1, 0.5, 1, 2.3, 5, 6),
    "gaussian_noise": (0, 1, 25.5, 255),
}

SHAPES = ((1, 1), (1, 7), (7, 1), (2, 3), (3, 3), (16, 12), (31, 45))


def images() -> list[np.ndarray]:
    """Random, photographic, constant and dull ones, of ragged sizes down to one pixel."""
    found = [noise(*shape, k) for k, shape in enumerate(SHAPES)]
    found += [photo(60, 53), photo(64, 64, 1) // 3 + 20, np.full((9, 10, 3), 77, np.uint8)]
    found.append(np.stack([np.full((5, 6), 3), noise(5, 6)[..., 0], np.tile([9, 200], (5, 3))], -1))
    return [image.astype(np.uint8) for image in found]


def steps_of(name: str, values: object, image: np.ndarray, **options: object) -> np.ndarray:
    """One STEP for each value."""
    values = np.atleast_1d(np.asarray(values, np.float64))
    operations = np.full(len(values), operation_index(name))
    return make_steps(operations, values, *image.shape[:2], **options)  # type: ignore[arg-type]


def samples_of(n: int, first: int = 0) -> np.ndarray:
    """SAMPLE records of ids first, first + 1, ..., as of some epoch and view."""
    samples = new_samples(n)
    samples["sample"], samples["epoch"], samples["stream"] = np.arange(first, first + n), 7, 5 << 24 | 1 << 16
    return samples


def run(
    image: np.ndarray, programs: np.ndarray, *, seed: int = 0x1234_5678_9ABC, first: int = 0
) -> np.ndarray:
    """One image under n programs, STEP (n, m): uint8 (n, h, w, 3)."""
    n = len(programs)
    planes = np.repeat(image.transpose(2, 0, 1)[None], n, 0)
    low, high = np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32)
    run_programs(programs, samples_of(n, first), planes, low, high, 0, n)
    return planes.transpose(0, 2, 3, 1)


def random_programs(rng: np.random.Generator, n: int, m: int, height: int, width: int) -> np.ndarray:
    """Programs of any operations at any legal magnitudes, none so large that all is clipped: STEP (n, m)."""
    table = list(OPERATIONS.values())
    operations = rng.integers(0, len(table), n * m)
    low = np.array([max(each.low, -400) for each in table])[operations]
    high = np.array([min(each.high, 400) for each in table])[operations]
    steps = [
        make_steps(
            operations[part], rng.uniform(low[part], high[part]), height, width, fill=(1, 22, 233),
            bilinear=bilinear, centers=rng.uniform(0, [height, width], (len(part), 2)), slot=0x90A,
        )
        for bilinear, part in enumerate(np.array_split(np.arange(n * m), 2))
    ]  # fmt: skip
    return np.concatenate(steps)[rng.permutation(n * m)].reshape(n, m)
