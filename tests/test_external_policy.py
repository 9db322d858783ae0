"""Policies controlled from outside: the arrays they take and mean, and chosen operations on batches."""

import math

import numpy as np
import pytest
import torch
from kernel_cases import keys, photo
from pillow_steps import by_pillow, by_program

from fieldloom import ArgumentError
from fieldloom.kernels.stages.operations import operation_index
from fieldloom.kernels.stages.policy_draws import draw_operations, draw_program
from fieldloom.policies import (
    MADAUG_OPERATIONS,
    SamplePolicy,
    apply_policy,
    compile_policy,
    expand_operations,
)
from fieldloom.policies.spaces import SPACES

N, K = 20, len(MADAUG_OPERATIONS)
IMAGES = np.stack([photo(21, 34, seed=i) for i in range(N)])
RNG = np.random.default_rng(5)
WEIGHTS, LEVELS = RNG.random((N, K)), RNG.random((N, K))
MEAN_FILL = (125, 123, 114)


def with_one(row: int, column: int, value: float) -> dict:
    weights = WEIGHTS.copy()
    weights[row, column] = value
    return {"probabilities": weights}


def drawn_by(policy: SamplePolicy, n: int = N, epoch: int = 3):
    return draw_operations(compile_policy(policy, 1), keys(n, epoch=epoch), 64, 80)


# ---------------------------------------------------------------- SamplePolicy


def test_the_published_operations_and_their_ranges() -> None:
    assert MADAUG_OPERATIONS == (
        "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "autocontrast", "invert", "equalize",
        "solarize", "posterize", "contrast", "color", "brightness", "sharpness", "cutout", "horizontal_flip",
        "identity",
    )  # fmt: skip
    ends = {
        "shear_x": 0.3, "translate_x": 0.45 * 80, "translate_y": 0.45 * 64, "rotate": 30, "solarize": 256,
        "posterize": 8, "contrast": 1.9, "color": 1.9, "brightness": 1.9, "sharpness": 1.9,
        "cutout": 0.2 * 64,
    }  # fmt: skip
    middles = {"shear_x": 0, "solarize": 128, "posterize": 6, "color": 1.0, "cutout": 0.1 * 64}
    for level, table in ((1.0, ends), (0.5, middles)):
        for name, want in table.items():
            one = np.eye(K)[MADAUG_OPERATIONS.index(name)]
            values = drawn_by(SamplePolicy(one, np.full(K, level), k=1)).values
            assert np.abs(values) == pytest.approx(want, rel=1e-6, abs=1e-9), name
            if name in ("shear_x", "translate_x", "rotate") and level == 1:
                assert len(np.unique(values)) == 2, "a mirror sign"


def test_updates_reach_what_was_compiled_before() -> None:
    policy = SamplePolicy(WEIGHTS, LEVELS, k=2)
    item = compile_policy(policy, 1)
    before = draw_program((item,), keys(N), 24, 24)
    policy.update(torch.tensor(WEIGHTS[::-1].copy(), requires_grad=True), LEVELS.tolist())
    after = draw_program((item,), keys(N), 24, 24)
    assert before.tobytes() != after.tobytes()
    fresh = compile_policy(SamplePolicy(WEIGHTS[::-1], LEVELS, k=2), 1)
    assert draw_program((fresh,), keys(N), 24, 24).tobytes() == after.tobytes()
    policy.update(WEIGHTS[::-1], LEVELS[::-1])
    fresh = compile_policy(SamplePolicy(WEIGHTS[::-1], LEVELS[::-1], k=2), 1)
    assert draw_program((fresh,), keys(N), 24, 24).tobytes() != after.tobytes()
    assert (
        draw_program((item,), keys(N), 24, 24).tobytes() == draw_program((fresh,), keys(N), 24, 24).tobytes()
    )
    with pytest.raises(ArgumentError, match="update with 3 rows: it was made with 20"):
        policy.update(WEIGHTS[:3], LEVELS[:3])


def test_arrays_are_copied_and_need_no_common_scale() -> None:
    weights = WEIGHTS.copy()
    policy = SamplePolicy(weights, LEVELS)
    weights[:] = np.eye(K)[6]
    scaled = SamplePolicy(WEIGHTS * 1e-200 * np.arange(1, N + 1)[:, None], LEVELS)
    assert (drawn_by(policy).ranges == drawn_by(scaled).ranges).all()


def test_one_row_is_for_all() -> None:
    row = SamplePolicy(WEIGHTS[0], LEVELS[0], jitter=0.1)
    table = SamplePolicy(np.tile(WEIGHTS[0], (N, 1)), np.tile(LEVELS[0], (N, 1)), jitter=0.1)
    assert (drawn_by(row).values == drawn_by(table).values).all()
    assert len(drawn_by(row, 500).values) == 500


def test_columns_follow_the_names() -> None:
    policy = SamplePolicy([0, 1, 0], [0, 0, 0], k=1, operations=("invert", "equalize", "color"))
    assert (drawn_by(policy).operations == operation_index("equalize")).all()


def test_fraction_and_curriculum() -> None:
    one = np.eye(K)[6]
    still = operation_index("identity")
    for fraction, epoch, share in ((0.25, 5, 0.25), ("tanh", 8, math.tanh(0.2) + 0.01)):
        policy = SamplePolicy(one, one, k=1, fraction=fraction, tau=40)
        acted = (drawn_by(policy, 20_000, epoch).operations != still).mean()
        assert abs(acted - share) < 3.9 * math.sqrt(share * (1 - share) / 20_000)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"probabilities": WEIGHTS[:, :5]}, r"probabilities of shape \(20, 5\): not \(n_samples, 17\)"),
        ({"magnitudes": LEVELS[:5]}, "magnitudes of 5 rows: probabilities have 20"),
        (with_one(3, 2, np.nan), r"probabilities with nan at \[3, 2\]"),
        (with_one(4, 1, -0.5), r"probabilities with -0.5 at \[4, 1\]"),
        (with_one(0, 0, np.inf), r"probabilities with inf at \[0, 0\]"),
        (
            {"probabilities": WEIGHTS * (np.arange(N) != 6)[:, None]},
            "probabilities of row 6, which are all 0",
        ),
        ({"magnitudes": LEVELS + 0.5}, "magnitudes with .* not a number from 0 to 1"),
        ({"probabilities": [["a"] * K] * N}, "probabilities that are no numbers"),
        ({"probabilities": [[1, 2], [3]]}, "probabilities that are no numbers"),
        ({"k": 0}, "k=0"),
        ({"jitter": 1.5}, "jitter=1.5"),
        ({"fraction": "linear"}, "fraction='linear'"),
        ({"fraction": 1.5}, "fraction=1.5"),
        ({"fraction": np.array([0.1, 0.2])}, r"fraction=array"),
        ({"tau": 0}, "tau=0"),
        ({"operations": ("invert", "blur")}, "operations with 'blur': not known"),
        ({"operations": ("invert", "invert")}, "operations with 'invert': named twice"),
        ({"operations": "invert"}, "operations='invert'"),
        ({"interpolation": "cubic"}, "interpolation='cubic'"),
        ({"fill": "red"}, "fill='red'"),
    ],
)
def test_wrong_sample_policies(options: dict, words: str) -> None:
    with pytest.raises(ArgumentError, match=f"SamplePolicy {words}"):
        SamplePolicy(**{"probabilities": WEIGHTS, "magnitudes": LEVELS, **options})


# ---------------------------------------------------------------- apply_policy


def chosen(k: int = 3, space: str = "madaug") -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    return rng.integers(0, len(SPACES[space].ranges), (N, k)), rng.random((N, k))


def unsigned(space: str) -> np.ndarray:
    """Operations whose magnitude follows from the arguments alone."""
    ranges = SPACES[space].ranges
    return np.array([i for i, r in enumerate(ranges) if not r.signed and r.operation != "cutout"])


@pytest.mark.parametrize("space", ["madaug", "standard", "wide"])
def test_chosen_operations_equal_pillow(space: str) -> None:
    known = unsigned(space)
    operations = known[chosen()[0] % len(known)]
    magnitudes = chosen()[1]
    got = apply_policy(IMAGES, operations, magnitudes, space=space)
    for i, image in enumerate(IMAGES):
        names = [SPACES[space].ranges[j] for j in operations[i]]
        values = [
            float(np.float32(r.low + (r.high - r.low) * m)) for r, m in zip(names, magnitudes[i], strict=True)
        ]
        rounded = [
            {"trunc": np.trunc, "nearest": np.rint, "": float}[r.rounding](v)
            for r, v in zip(names, values, strict=True)
        ]
        want = by_pillow(image, np.array([operation_index(r.operation) for r in names]), np.array(rounded))
        assert np.array_equal(got[i], want), [r.operation for r in names]


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_images_of_every_kind_give_the_same(interpolation: str) -> None:
    operations, magnitudes = chosen()
    names = [[MADAUG_OPERATIONS[j] for j in row] for row in operations]
    planar = np.ascontiguousarray(IMAGES.transpose(0, 3, 1, 2))
    options = {"interpolation": interpolation, "fill": MEAN_FILL, "seed": 3}
    want = apply_policy(IMAGES, operations, magnitudes, **options)
    assert want.shape == IMAGES.shape
    assert (apply_policy(planar, names, magnitudes, **options).transpose(0, 2, 3, 1) == want).all()
    tensors = (torch.from_numpy(IMAGES), torch.from_numpy(operations), torch.from_numpy(magnitudes))
    out = apply_policy(*tensors, **options)
    assert isinstance(out, torch.Tensor)
    assert (out.numpy() == want).all()
    strided = torch.from_numpy(planar).permute(0, 2, 3, 1)
    assert (apply_policy(strided, operations, magnitudes.astype(np.float16), **options).shape) == want.shape
    out = apply_policy(torch.from_numpy(planar), operations, magnitudes, **options)
    assert (out.numpy().transpose(0, 2, 3, 1) == want).all()
    assert IMAGES.tobytes() == planar.transpose(0, 2, 3, 1).tobytes(), "arguments are left alone"


def test_draws_depend_on_seed_epoch_and_id_alone() -> None:
    operations, magnitudes = chosen()
    operations[:] = MADAUG_OPERATIONS.index("rotate")
    ids = np.arange(100, 100 + N)
    whole = apply_policy(IMAGES, operations, magnitudes, ids=ids)
    for part in (slice(0, 7), slice(7, N)):
        piece = apply_policy(IMAGES[part], operations[part], magnitudes[part], ids=ids[part])
        assert (piece == whole[part]).all()
    for other in ({"seed": 1}, {"epoch": 1}, {"ids": ids + 1}):
        assert (apply_policy(IMAGES, operations, magnitudes, **{"ids": ids, **other}) != whole).any()


def test_each_step_has_its_own_sign() -> None:
    n = 400
    image = np.tile(np.arange(40, dtype=np.uint8)[None, :, None], (n, 1, 1, 3))  # one row, value = x
    out = apply_policy(image, [["translate_x", "translate_x"]] * n, np.full((n, 2), 0.75))
    shift = 0.45 * 0.5 * 40  # 9 pixels each: 18 left, none, 18 right
    kinds = np.rint((out[:, 0, 20, 0].astype(int) - 20) / shift).astype(int)
    assert set(kinds) == {-2, 0, 2}
    assert abs((kinds == 0).sum() - n / 2) < 3.9 * math.sqrt(n / 4)


def test_probabilities() -> None:
    n = 4000
    images = np.zeros((n, 1, 1, 3), np.uint8)
    p = np.tile([0.2, 1.0], (n, 1))
    out = apply_policy(images, [["invert", "identity"]] * n, np.zeros((n, 2)), probabilities=p)
    assert abs((out[:, 0, 0, 0] == 255).mean() - 0.2) < 3.9 * math.sqrt(0.16 / n)
    assert (apply_policy(images, [["invert"]] * n, np.zeros((n, 1)), probabilities=0) == 0).all()


def test_expanded_views_are_single_operations() -> None:
    for images in (IMAGES, torch.from_numpy(IMAGES.transpose(0, 3, 1, 2).copy())):
        views = expand_operations(images, LEVELS, seed=9)
        assert views.shape == (N, K, *images.shape[1:])
        for j in range(K):
            one = apply_policy(images, np.full((N, 1), j), LEVELS[:, j : j + 1], seed=9)
            assert (views[:, j] == one).all()
    assert (views[:, 16] == images).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": IMAGES.astype(np.float32)}, "images of shape .* float32"),
        ({"images": IMAGES[0]}, "images of shape"),
        ({"images": np.zeros((N, 4, 5, 1), np.uint8)}, "images of shape"),
        ({"images": [[1]]}, "images of shape"),
        ({"images": np.zeros((N, 0, 5, 3), np.uint8)}, "images of 0 x 5 pixels"),
        ({"operations": np.full((N, 1), 17)}, r"operations with 17 at \[0, 0\]"),
        ({"operations": np.full((N, 1), -1)}, "operations with -1"),
        ({"operations": np.zeros((3, 1), int)}, r"operations of shape \(3, 1\)"),
        ({"operations": np.zeros((N, 1))}, "operations of shape .* float64"),
        ({"operations": [["blur"]] * N}, "operations with 'blur'"),
        ({"operations": [["invert"], ["invert", "rotate"]] * (N // 2)}, "operations that are no array"),
        ({"images": torch.zeros(N, 3, 4, 5, requires_grad=True)}, "images of shape .* float32"),
        ({"magnitudes": np.full((N, 1), 1.1)}, r"magnitudes with 1.1 at \[0, 0\]"),
        ({"magnitudes": np.full((N, 1), np.nan)}, "magnitudes with nan"),
        ({"magnitudes": np.zeros((N, 2))}, r"magnitudes of shape \(20, 2\): not \(20, 1\)"),
        ({"probabilities": np.zeros(3)}, "probabilities of shape"),
        ({"probabilities": 2}, "probabilities with 2.0"),
        ({"ids": [1]}, "ids of shape"),
        ({"ids": np.arange(N) - 1}, "ids with -1"),
        ({"seed": -1}, "seed=-1"),
        ({"epoch": 2**32}, "epoch=4294967296"),
        ({"space": "timm"}, "space='timm'"),
        ({"fill": 256}, "fill=256"),
    ],
)
def test_wrong_arguments(change: dict, words: str) -> None:
    good = {"images": IMAGES, "operations": np.zeros((N, 1), int), "magnitudes": np.zeros((N, 1))}
    options = {**good, **change}
    with pytest.raises(ArgumentError, match=f"apply_policy {words}"):
        apply_policy(options.pop("images"), options.pop("operations"), options.pop("magnitudes"), **options)


def test_wrong_expansions() -> None:
    with pytest.raises(
        ArgumentError, match=r"expand_operations magnitudes of shape \(20, 3\): not \(20, 17\)"
    ):
        expand_operations(IMAGES, LEVELS[:, :3])
    with pytest.raises(ArgumentError, match="expand_operations ids of shape"):
        expand_operations(IMAGES, LEVELS, ids=[1, 2])
    with pytest.raises(ArgumentError, match="images of shape"):
        expand_operations(IMAGES[0], np.zeros((21, 17)))


def test_empty_batches() -> None:
    empty = np.zeros((0, 4, 5, 3), np.uint8)
    assert apply_policy(empty, np.zeros((0, 2), int), np.zeros((0, 2))).shape == empty.shape
    assert expand_operations(empty, np.zeros((0, 17))).shape == (0, 17, 4, 5, 3)


def test_a_sample_policy_runs_as_its_program() -> None:
    policy = SamplePolicy(WEIGHTS, LEVELS, k=2, jitter=0.3, fill=MEAN_FILL)
    item, batch = compile_policy(policy, 0), keys(N)
    got = by_program(IMAGES, draw_program((item,), batch, 21, 34), batch)
    drawn = draw_operations(item, batch, 21, 34)
    for i, image in enumerate(IMAGES):
        want = by_pillow(image, drawn.operations[i], drawn.values[i], drawn.centers[i], MEAN_FILL)
        assert np.array_equal(got[i], want)
