"""Philox: the published known answers, and independence of everything but the key and the counter."""

import math

import numpy as np
import pytest
from kernel_cases import ks_distance
from numba import njit

from fieldloom.kernels import reference_lattice
from fieldloom.kernels.philox import (
    OPERATION_CODES,
    PLAN_POSITION,
    fill_normals,
    philox_blocks,
    random_units,
    random_words,
    slot_of,
    stream_word,
)

# Random123's kat_vectors for philox4x32-10: counter, key, answer.
KNOWN = [
    ((0,) * 4, (0,) * 2, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@njit
def normals(n, sample, epoch, stream, low, high, first):  # type: ignore[no-untyped-def]
    z = np.empty(n, np.float32)
    fill_normals(z, np.uint32(sample), np.uint32(epoch), np.uint32(stream), low, high, np.uint32(first))
    return z


def blocks(counters: np.ndarray, keys: np.ndarray) -> np.ndarray:
    out = np.empty((len(counters), 4), np.uint32)
    philox_blocks(np.ascontiguousarray(counters, np.uint32), np.ascontiguousarray(keys, np.uint32), out)
    return out


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers(counter: tuple[int, ...], key: tuple[int, ...], answer: tuple[int, ...]) -> None:
    assert tuple(blocks(np.array([counter]), np.array([key]))[0]) == answer
    assert tuple(reference_lattice.philox(np.array([counter]), np.array([key]))[0]) == answer


def test_random_blocks_equal_numpys() -> None:
    rng = np.random.default_rng(0)
    counters = rng.integers(0, 2**32, (100_000, 4), np.uint32)
    keys = rng.integers(0, 2**32, (100_000, 2), np.uint32)
    np.testing.assert_array_equal(blocks(counters, keys), reference_lattice.philox(counters, keys))


def test_words_are_the_block_of_their_counter() -> None:
    seed, occurrence, view, slot = 0x1122_3344_5566_7788, 7, 2, slot_of(3, "flip")
    got = random_words(
        seed, np.array([9]), 5, occurrences=np.array([occurrence]), view=view, slot=slot, draw=6
    )
    counter = np.array([[9, 5, stream_word(occurrence, view, slot), 6]])
    assert stream_word(occurrence, view, slot) == 7 << 24 | 2 << 16 | slot
    np.testing.assert_array_equal(got, blocks(counter, np.array([[0x5566_7788, 0x1122_3344]])))


def test_batch_and_order_do_not_enter() -> None:
    ids = np.random.default_rng(1).permutation(1000)
    whole = random_words(3, np.arange(1000), 2, slot=5)
    np.testing.assert_array_equal(random_words(3, ids, 2, slot=5), whole[ids])
    np.testing.assert_array_equal(random_words(3, ids[:7], 2, slot=5), whole[ids[:7]])


def test_every_part_of_the_counter_makes_another_stream() -> None:
    ids = np.arange(20_000)
    base = random_units(1, ids, 0, slot=slot_of(0, "crop"))
    others = [
        random_units(2, ids, 0, slot=slot_of(0, "crop")),
        random_units(1 << 32 | 1, ids, 0, slot=slot_of(0, "crop")),
        random_units(1, ids + 1, 0, slot=slot_of(0, "crop")),
        random_units(1, ids, 1, slot=slot_of(0, "crop")),
        random_units(1, ids, 0, slot=slot_of(0, "flip")),
        random_units(1, ids, 0, slot=slot_of(1, "crop")),
        random_units(1, ids, 0, slot=slot_of(0, "crop"), view=1),
        random_units(1, ids, 0, slot=slot_of(0, "crop"), occurrences=1),
        random_units(1, ids, 0, slot=slot_of(0, "crop"), draw=1),
    ]
    for other in others:
        # Correlations of independent streams deviate by 1 / sqrt(n).
        correlation = np.corrcoef(base.T, other.T)[:4, 4:]
        assert abs(correlation).max() < 5 / math.sqrt(len(ids))
    assert abs(np.corrcoef(base.T) - np.eye(4)).max() < 5 / math.sqrt(len(ids))


def test_slots_differ_and_fit_their_bits() -> None:
    slots = [slot_of(position, name) for position in range(PLAN_POSITION + 1) for name in OPERATION_CODES]
    assert len(set(slots)) == len(slots)
    assert max(slots) < 1 << 16


def test_units_are_uniform() -> None:
    values = np.sort(random_units(4, np.arange(100_000), 0).astype(np.float64), axis=0)
    assert values.min() >= 0
    assert values.max() < 1
    for word in values.T:
        assert ks_distance(word, word) < 1.95


def test_normals_are_normal_and_equal_the_reference() -> None:
    n, low, high = 400_000, np.uint32(77), np.uint32(5)
    z = normals(n, 12, 3, 0x0100_0406, low, high, 1 << 16)
    want = reference_lattice.normals(
        n, sample=12, epoch=3, stream=0x0100_0406, seed=5 << 32 | 77, first_draw=1 << 16
    )
    # Next to radius 0 float32 rounds 1 - 2^-25: up to 2.4e-4 off, with a probability of some 2^-24.
    error = abs(z - want)
    assert np.quantile(error, 0.999) < 1e-6
    assert error.max() < 3e-4
    z = z.astype(np.float64)
    # Moments within five deviations of theirs; KS at its 0.1 % point.
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs(z.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs((z**3).mean()) < 5 * math.sqrt(15 / n)
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / n)
    assert abs(np.corrcoef(z[::2], z[1::2])[0, 1]) < 5 / math.sqrt(n / 2)
    z.sort()
    assert ks_distance(z, np.array([0.5 + 0.5 * math.erf(v / math.sqrt(2)) for v in z])) < 1.95
