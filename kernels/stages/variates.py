"""Exponential and normal variates from random words: the same bits on every machine."""

import numpy as np
from numba import njit
from numpy import float32 as f32
from numpy import uint32 as u32

from fieldloom.kernels.elementary import log
from fieldloom.kernels.intrinsics import INLINE, entry, fma
from fieldloom.kernels.philox import normal_pair


@njit(**INLINE)
def _exponential(word):  # type: ignore[no-untyped-def]
    # 23 bits: with 24 the largest would round to 1, and a time of 0 divides by nothing.
    return -log(fma(f32(word >> u32(9)), f32(2.0**-23), f32(2.0**-24)))


@entry
def _exponentials(words, out):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] = _exponential(words[i])


@entry
def _normals(first, second, out):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] = normal_pair(first[i], second[i])[0]


def exponentials(words: np.ndarray) -> np.ndarray:
    """Exponential variates of mean 1, one a word.

    Args:
        words: uint32 of any shape.

    Returns:
        float32 of that shape, within (5e-8, 16.7).
    """
    words = np.ascontiguousarray(words, np.uint32)
    out = np.empty(words.shape, np.float32)
    _exponentials(words.reshape(-1), out.reshape(-1))
    return out


def normals(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Standard normal variates, one for two words.

    Args:
        first: uint32 of any shape; `second` of the same.
        second: See `first`.

    Returns:
        float32 of that shape; |z| < 5.9.
    """
    first, second = np.ascontiguousarray(first, np.uint32), np.ascontiguousarray(second, np.uint32)
    out = np.empty(first.shape, np.float32)
    _normals(first.reshape(-1), second.reshape(-1), out.reshape(-1))
    return out
