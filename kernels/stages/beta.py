"""Gamma and Beta variates by counter: the same bits on every machine, no generator state.

Marsaglia and Tsang's rejection, two tries to a block of four words, at most `TRIES` (each fails with a
probability below 0.05, so all of them about once in 10^20 draws; then the law's own scale is taken). For a
shape below 1 the variate of shape + 1 is multiplied by U^(1/shape), in logarithms: at shape 0.1 one in a
hundred thousand variates is smaller than float32 can hold, and the ratio of two such would be 0 / 0.

Source: Marsaglia and Tsang, "A simple method for generating gamma variables" (ACM TOMS 26, 2000).
"""

from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from numpy import float32 as f32
from numpy import uint32 as u32

from fieldloom.kernels.elementary import exp2, log
from fieldloom.kernels.intrinsics import INLINE, entry, fma, sqrt
from fieldloom.kernels.philox import normal_pair, unit

if TYPE_CHECKING:
    from fieldloom.kernels.keys import Keys

#: Rejections at most, and the blocks of random words that a gamma variate may take.
TRIES = 16
GAMMA_DRAWS = 1 + TRIES // 2


@njit(**INLINE)
def _inner_unit(word):  # type: ignore[no-untyped-def]
    """A word as a float32 within (0, 1): its logarithm is finite."""
    return fma(f32(word >> u32(8)), f32(2.0**-24), f32(2.0**-25))


@njit(**INLINE)
def _try(x, word, d, c):  # type: ignore[no-untyped-def]
    """One proposal from a normal x: the variate, or 0 where it is refused."""
    root = fma(c, x, f32(1))
    if root <= f32(0):
        return f32(0)
    v = root * root * root
    bound = fma(f32(0.5) * x, x, fma(-d, v, fma(d, log(v), d)))
    return d * v if log(_inner_unit(word)) < bound else f32(0)


@entry
def _propose(words, d, c, out):  # type: ignore[no-untyped-def]
    """Fill zeros of `out` from two tries each; returns how many are left."""
    left = 0
    for i in range(len(out)):
        if out[i] == f32(0):
            first, second = normal_pair(words[i, 0], words[i, 1])
            value = _try(first, words[i, 2], d, c)
            if value == f32(0):
                value = _try(second, words[i, 3], d, c)
            out[i] = value
            left += value == f32(0)
    return left


@entry
def _logarithms(values, words, inverse, out):  # type: ignore[no-untyped-def]
    """Base-2 logarithms of values * U^inverse; `inverse` 0 leaves U out."""
    per_octave = f32(1.44269504)
    for i in range(len(out)):
        whole = log(values[i])
        if inverse != f32(0):
            whole = fma(log(_inner_unit(words[i, 0])), inverse, whole)
        out[i] = whole * per_octave


@entry
def _powers(logarithms, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] = exp2(min(logarithms[i], f32(127)))


@entry
def _shares(a, b, out):  # type: ignore[no-untyped-def]
    """2^a / (2^a + 2^b)."""
    for i in range(len(out)):
        out[i] = f32(1) / (f32(1) + exp2(min(b[i] - a[i], f32(127))))


@entry
def _first_units(words, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] = unit(words[i, 0])


@entry
def _scales(shape):  # type: ignore[no-untyped-def]
    d = shape - f32(0.333333333)
    return d, f32(1) / (f32(3) * sqrt(d))


def _at_least_one(shape: float, keys: "Keys", slot: int, first_draw: int, view: int) -> np.ndarray:
    """Gamma variates of a shape >= 1, from blocks first_draw + 1 on."""
    out = np.zeros(len(keys), np.float32)
    d, c = map(np.float32, _scales(np.float32(shape)))
    for block in range(TRIES // 2):
        if not _propose(keys.words(slot, first_draw + 1 + block, view), d, c, out):
            return out
    out[out == 0] = d
    return out


def _log2_gamma(shape: float, keys: "Keys", slot: int, first_draw: int, view: int) -> np.ndarray:
    small = shape < 1
    values = _at_least_one(shape + small, keys, slot, first_draw, view)
    words = keys.words(slot, first_draw, view) if small else np.zeros((0, 4), np.uint32)
    out = np.empty_like(values)
    _logarithms(values, words, np.float32(1 / shape if small else 0), out)
    return out


def gamma(shape: float, keys: "Keys", slot: int, first_draw: int = 0, view: int = 0) -> np.ndarray:
    """Gamma(shape, 1) variates, one a sample.

    Args:
        shape: Above 0, about 1e-3 to 1e4.
        keys: The batch's keys; each variate depends on its own sample's alone.
        slot: Random slot.
        first_draw: First of the GAMMA_DRAWS blocks of the slot that may be taken.
        view: Which view of the samples.

    Returns:
        float32 (n,), above 0 (variates below 2^-126 become that).

    Exactness: the same bits on every machine; relative rounding error below 1e-5.
    """
    if shape >= 1:
        return _at_least_one(shape, keys, slot, first_draw, view)
    out = np.empty(len(keys), np.float32)
    _powers(_log2_gamma(shape, keys, slot, first_draw, view), out)
    return out


def beta(a: float, b: float, keys: "Keys", slot: int, first_draw: int = 0, view: int = 0) -> np.ndarray:
    """Beta(a, b) variates, one a sample; Beta(1, 1) is the uniform law, from one word.

    Args:
        a: Above 0; `b` likewise.
        b: See `a`.
        keys: The batch's keys; each variate depends on its own sample's alone.
        slot: Random slot.
        first_draw: First of the 2 GAMMA_DRAWS blocks of the slot that may be taken.
        view: Which view of the samples.

    Returns:
        float32 (n,) in [0, 1].

    Exactness: the same bits on every machine; rounding error below 1e-5.
    """
    out = np.empty(len(keys), np.float32)
    if a == b == 1:
        _first_units(keys.words(slot, first_draw, view), out)
    else:
        first = _log2_gamma(a, keys, slot, first_draw, view)
        _shares(first, _log2_gamma(b, keys, slot, first_draw + GAMMA_DRAWS, view), out)
    return out
