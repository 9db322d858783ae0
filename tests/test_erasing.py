"""Where random erasing erases: the published law, its limits, its keys."""

import math

import numpy as np
import pytest
from kernel_cases import keys, ks_distance

from fieldloom.kernels.keys import Keys
from fieldloom.kernels.philox import slot_of
from fieldloom.kernels.stages.erasing import Erase, draw_erasing, erase_levels

N = 60_000
#: Exceeded once in 1000 by a right law.
KS_LIMIT = 1.95
SLOT = slot_of(2, "erase")


def erase(p: float = 1.0, scale=(0.02, 1 / 3), ratio=(0.3, 1 / 0.3)) -> Erase:  # type: ignore[no-untyped-def]
    return Erase(p, scale, ratio, slot=SLOT)


def sides(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]


def test_area_and_aspect_laws() -> None:
    # Large images and mild aspects: no box is refused, and whole pixels hardly show.
    boxes = draw_erasing(erase(scale=(0.02, 0.3), ratio=(0.5, 2.0)), keys(N), 8000, 8000)
    h, w = (side.astype(np.float64) for side in sides(boxes))
    area = np.sort(h * w / 8000**2)
    assert ks_distance(area, (area - 0.02) / 0.28) < KS_LIMIT
    aspect = np.sort(np.log2(h / w))
    assert ks_distance(aspect, (aspect + 1) / 2) < KS_LIMIT


def test_aspect_is_height_over_width() -> None:
    h, w = sides(draw_erasing(erase(scale=(0.02, 0.1), ratio=(2, 3)), keys(1000), 8000, 8000))
    assert 1.99 < (h / w).min() < (h / w).max() < 3.01


def test_places_are_uniform() -> None:
    boxes = draw_erasing(erase(scale=(0.04, 0.04), ratio=(1, 1)), keys(N), 100, 300)
    h, w = sides(boxes)
    assert set(h) == set(w) == {35}  # sqrt(0.04 * 30000) = 34.6
    for start, last in ((boxes[:, 0], 65), (boxes[:, 1], 265)):
        counts = np.bincount(start, minlength=last + 1)
        assert len(counts) == last + 1
        expected = N / (last + 1)
        chi2 = ((counts - expected) ** 2 / expected).sum()
        assert chi2 < last + 3.7 * math.sqrt(2 * last)  # about once in 1000
    assert abs(np.corrcoef(boxes[:, 0], boxes[:, 1])[0, 1]) < 3.3 / math.sqrt(N)


def test_boxes_that_do_not_fit_are_drawn_again() -> None:
    boxes = draw_erasing(erase(scale=(0.3, 0.6), ratio=(1, 1)), keys(N), 20, 45)
    h, w = sides(boxes)
    assert (h < 20).all()
    assert (w < 45).all()
    # Sides below 19.5 px: areas up to 380 of 270 .. 540 px, so 0.41 of the tries succeed.
    erased = (h > 0).mean()
    failed = (1 - (19.5**2 - 270) / 270) ** 10
    assert abs(erased - (1 - failed)) < 3.3 * math.sqrt(failed / N)
    assert (boxes[h == 0] == 0).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2), (3, 200), (8192, 2)])
def test_tiny_images(size: tuple[int, int]) -> None:
    boxes = draw_erasing(erase(), keys(2000), *size)
    assert (boxes >= 0).all()
    assert (boxes[:, 2:] <= size).all()
    h, w = sides(boxes)
    assert ((h > 0) == (w > 0)).all()
    # A box has a pixel, is smaller than the image on both sides, and at most 3.3 times as long as wide.
    assert boxes.any() == (size in {(2, 2), (3, 200)})


def test_probability_and_strength() -> None:
    strength = np.repeat(np.array([0, 0.5, 1, 9], np.float32), N // 4)
    boxes = draw_erasing(erase(0.3), keys(N), 64, 64, strength).reshape(4, -1, 4)
    for part, p in zip(boxes, (0, 0.15, 0.3, 1), strict=True):
        assert abs(part.any(1).mean() - p) <= 3.3 * math.sqrt(p * (1 - p) * 4 / N)
    whole = draw_erasing(erase(), keys(N), 64, 64)
    erased = boxes.reshape(-1, 4).any(1)
    np.testing.assert_array_equal(boxes.reshape(-1, 4)[erased], whole[erased])  # only the gate moves


def test_depend_on_the_samples_own_key_alone() -> None:
    whole = draw_erasing(erase(0.5), keys(300), 64, 64)
    np.testing.assert_array_equal(draw_erasing(erase(0.5), keys(9, first=100), 64, 64), whole[100:109])
    turned = np.random.default_rng(0).permutation(300)
    batch = keys(300)
    same = Keys(batch.seed, batch.epoch, batch.ids[turned], batch.occurrences[turned])
    np.testing.assert_array_equal(draw_erasing(erase(0.5), same, 64, 64), whole[turned])
    assert draw_erasing(erase(), keys(0), 64, 64).shape == (0, 4)
    assert (draw_erasing(erase(), keys(300), 64, 64, view=1) != draw_erasing(erase(), keys(300), 64, 64)).any(
        1
    ).mean() > 0.99


def test_the_color_of_a_box_has_words_of_its_own() -> None:
    """Block 0 of the slot is the stage's; sharing it with the gate would tie colors to gates."""
    used = []

    class Watched(Keys):
        def words(self, slot: int, draw: int = 0, view: int = 0) -> np.ndarray:
            used.append(draw)
            return Keys.words(self, slot, draw, view)

        def units(self, slot: int, draw: int = 0, view: int = 0) -> np.ndarray:
            used.append(draw)
            return Keys.units(self, slot, draw, view)

    batch = keys(5000)
    draw_erasing(erase(), Watched(batch.seed, batch.epoch, batch.ids, batch.occurrences), 1, 1)
    assert len(used) == len(set(used)) == 11
    assert 0 not in used


def test_levels() -> None:
    mean, std = (0.5, 0.25, 0.125), (0.5, 0.5, 1.0)
    own = Erase(1, (0.1, 0.2), (1, 1), fill=(1, 2, 3))
    fill, spread = erase_levels(own, mean, std)
    assert fill.tolist() == [1, 2, 3]
    assert spread.tolist() == [127.5, 127.5, 255]
    assert erase_levels(erase(), mean, std)[0].tolist() == [127.5, 63.75, 31.875]
    fill, spread = erase_levels(erase(), (0, 0, 0), (1, 1, 1))
    np.testing.assert_allclose(fill, [123.675, 116.28, 103.53], rtol=1e-6)
    np.testing.assert_allclose(spread, [58.395, 57.12, 57.375], rtol=1e-6)
