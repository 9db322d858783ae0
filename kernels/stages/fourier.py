"""Discrete Fourier transforms of many lines side by side, of any length, from fma alone: CPU twin.

Stockham's form: each stage takes one factor of the length and writes its results in order, so no line is
permuted. Element t of line l lies at [t * lanes + l] of two planes, real and imaginary; every loop runs over
lines, which are contiguous, and a line's result does not depend on the lines beside it. Fours are taken out
first, then a two, then odd primes by the direct sum, O(length times prime).

The inverse is the same transform with real and imaginary parts exchanged. Nothing is divided by the length.

Source: Stockham, "High-speed convolution and correlation" (AFIPS 1966).
Exactness: equal bits on both twins; within 1e-6 of the largest value of numpy.fft's float64.
"""

import numpy as np
from numba import njit
from numpy import float32 as f32

from fieldloom.kernels.intrinsics import INLINE, KERNEL, fma

#: Factors of a length at most: 2^a 3^b ... up to 2048 has six (4^5 2, or 3^6 2).
MAX_FACTORS = 8


def factors(n: int) -> list[int]:
    """The stages of a transform of length n: fours, at most one two, then odd primes from 3 up."""
    found: list[int] = []
    for radix in (4, 2):
        while n % radix == 0:
            found.append(radix)
            n //= radix
    prime = 3
    while n > 1:
        if prime * prime > n:
            prime = n
        while n % prime == 0:
            found.append(prime)
            n //= prime
        prime += 2
    return found


def roots(n: int) -> np.ndarray:
    """cos and -sin of 2 pi t / n, float32 (2, n): what all stages of a transform of length n multiply by."""
    phase = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(phase), -np.sin(phase)]).astype(np.float32)


@njit(**INLINE)
def _two(ar, ai, br, bi, ur, ui, yr, yi, zr, zi):  # type: ignore[no-untyped-def]
    for i in range(ar.shape[0]):
        yr[i] = ar[i] + br[i]
        yi[i] = ai[i] + bi[i]
        r, m = ar[i] - br[i], ai[i] - bi[i]
        zr[i] = fma(r, ur, -(m * ui))
        zi[i] = fma(r, ui, m * ur)


@njit(**INLINE)
def _four_even(ar, ai, br, bi, cr, ci, dr, di, ur, ui, yr, yi, zr, zi):  # type: ignore[no-untyped-def]
    """Results 0 and 2 of four."""
    for i in range(ar.shape[0]):
        sr, si, tr, ti = ar[i] + cr[i], ai[i] + ci[i], br[i] + dr[i], bi[i] + di[i]
        yr[i] = sr + tr
        yi[i] = si + ti
        r, m = sr - tr, si - ti
        zr[i] = fma(r, ur, -(m * ui))
        zi[i] = fma(r, ui, m * ur)


@njit(**INLINE)
def _four_odd(ar, ai, br, bi, cr, ci, dr, di, ur, ui, vr, vi, yr, yi, zr, zi):  # type: ignore[no-untyped-def]
    """Results 1 and 3 of four."""
    for i in range(ar.shape[0]):
        sr, si, tr, ti = ar[i] - cr[i], ai[i] - ci[i], br[i] - dr[i], bi[i] - di[i]
        r, m = sr + ti, si - tr
        yr[i] = fma(r, ur, -(m * ui))
        yi[i] = fma(r, ui, m * ur)
        r, m = sr - ti, si + tr
        zr[i] = fma(r, vr, -(m * vi))
        zi[i] = fma(r, vi, m * vr)


@njit(**INLINE)
def _fold(ar, ai, br, bi, pr, pi, mr, mi):  # type: ignore[no-untyped-def]
    """Sum and difference of opposite inputs."""
    for i in range(ar.shape[0]):
        pr[i] = ar[i] + br[i]
        pi[i] = ai[i] + bi[i]
        mr[i] = ar[i] - br[i]
        mi[i] = ai[i] - bi[i]


@njit(**INLINE)
def _sum(pr, pi, yr, yi):  # type: ignore[no-untyped-def]
    for i in range(pr.shape[0]):
        yr[i] = yr[i] + pr[i]
        yi[i] = yi[i] + pi[i]


@njit(**INLINE)
def _begin(ar, ai, er, ei, odd_r, odd_i):  # type: ignore[no-untyped-def]
    for i in range(ar.shape[0]):
        er[i], ei[i] = ar[i], ai[i]
        odd_r[i], odd_i[i] = f32(0), f32(0)


@njit(**INLINE)
def _accumulate(pr, pi, mr, mi, cosine, sine, er, ei, odd_r, odd_i):  # type: ignore[no-untyped-def]
    for i in range(pr.shape[0]):
        er[i] = fma(cosine, pr[i], er[i])
        ei[i] = fma(cosine, pi[i], ei[i])
        odd_r[i] = fma(sine, mr[i], odd_r[i])
        odd_i[i] = fma(sine, mi[i], odd_i[i])


@njit(**INLINE)
def _part(er, ei, odd_r, odd_i, ur, ui, vr, vi, yr, yi, zr, zi):  # type: ignore[no-untyped-def]
    """Opposite outputs from their even and odd parts."""
    for i in range(er.shape[0]):
        r, m = er[i] - odd_i[i], ei[i] + odd_r[i]
        yr[i] = fma(r, ur, -(m * ui))
        yi[i] = fma(r, ui, m * ur)
        r, m = er[i] + odd_i[i], ei[i] - odd_r[i]
        zr[i] = fma(r, vr, -(m * vi))
        zi[i] = fma(r, vi, m * vr)


@njit(**KERNEL)
def _stage_two(xr, xi, yr, yi, cos, sin, step, run):  # type: ignore[no-untyped-def]
    groups = xr.size // (2 * run)
    for p in range(groups):
        a, b, o = p * run, (p + groups) * run, 2 * p * run
        k = p * step
        _two(
            xr[a : a + run], xi[a : a + run], xr[b : b + run], xi[b : b + run], cos[k], sin[k],
            yr[o : o + run], yi[o : o + run], yr[o + run : o + 2 * run], yi[o + run : o + 2 * run],
        )  # fmt: skip


@njit(**KERNEL)
def _stage_four(xr, xi, yr, yi, cos, sin, step, run):  # type: ignore[no-untyped-def]
    groups = xr.size // (4 * run)
    for p in range(groups):
        a, b, c, d = p * run, (p + groups) * run, (p + 2 * groups) * run, (p + 3 * groups) * run
        ar, ai, br, bi = xr[a : a + run], xi[a : a + run], xr[b : b + run], xi[b : b + run]
        cr, ci, dr, di = xr[c : c + run], xi[c : c + run], xr[d : d + run], xi[d : d + run]
        o = 4 * p * run
        k = p * step
        even, other = o + 2 * run, o + 3 * run
        _four_even(
            ar, ai, br, bi, cr, ci, dr, di, cos[2 * k], sin[2 * k],
            yr[o : o + run], yi[o : o + run], yr[even : even + run], yi[even : even + run],
        )  # fmt: skip
        odd = o + run
        _four_odd(
            ar, ai, br, bi, cr, ci, dr, di, cos[k], sin[k], cos[3 * k], sin[3 * k],
            yr[odd : odd + run], yi[odd : odd + run], yr[other : other + run], yi[other : other + run],
        )  # fmt: skip


@njit(**KERNEL)
def _stage_odd(xr, xi, yr, yi, cos, sin, radix, step, run, spare):  # type: ignore[no-untyped-def]
    groups, half, n = xr.size // (radix * run), (radix - 1) // 2, cos.size
    pr, pi, mr, mi = spare[0], spare[1], spare[2], spare[3]
    er, ei, odd_r, odd_i = spare[4][:run], spare[5][:run], spare[6][:run], spare[7][:run]
    for p in range(groups):
        first_r, first_i = xr[p * run : (p + 1) * run], xi[p * run : (p + 1) * run]
        o = radix * p * run
        total_r, total_i = yr[o : o + run], yi[o : o + run]
        for i in range(run):
            total_r[i], total_i[i] = first_r[i], first_i[i]
        for j in range(1, half + 1):
            a, b, at = (p + j * groups) * run, (p + (radix - j) * groups) * run, (j - 1) * run
            _fold(
                xr[a : a + run], xi[a : a + run], xr[b : b + run], xi[b : b + run],
                pr[at : at + run], pi[at : at + run], mr[at : at + run], mi[at : at + run],
            )  # fmt: skip
            _sum(pr[at : at + run], pi[at : at + run], total_r, total_i)
        for j in range(1, half + 1):
            _begin(first_r, first_i, er, ei, odd_r, odd_i)
            for k in range(1, half + 1):
                root, at = j * k % radix * (n // radix), (k - 1) * run
                _accumulate(
                    pr[at : at + run], pi[at : at + run], mr[at : at + run], mi[at : at + run],
                    cos[root], sin[root], er, ei, odd_r, odd_i,
                )  # fmt: skip
            u, v = j * p * step, (radix - j) * p * step
            y, z = o + j * run, o + (radix - j) * run
            _part(
                er, ei, odd_r, odd_i, cos[u], sin[u], cos[v], sin[v],
                yr[y : y + run], yi[y : y + run], yr[z : z + run], yi[z : z + run],
            )  # fmt: skip


@njit(**KERNEL)
def transform(xr, xi, yr, yi, lanes, stages, table, spare):  # type: ignore[no-untyped-def]
    """Transform lines x side by side, forward: X_k = sum over t of x_t exp(-2 pi i k t / n).

    Args:
        xr: Real parts, float32 (n * lanes,); `xi` the imaginary ones. Overwritten.
        xi: See `xr`.
        yr: As large as `xr`; `yi` likewise.
        yi: See `yr`.
        lanes: Lines.
        stages: `factors(n)`, an integer array.
        table: `roots(n)`.
        spare: Scratch float32 (8, n * lanes); unused where n has no odd factor.

    Returns:
        True where the result lies in y, False where it lies in x.
    """
    cos, sin = table[0], table[1]
    run, swapped = lanes, False
    for radix in stages:
        step = run // lanes  # not a variable from 1 on: Numba would compile the stages for that literal, too
        if radix == 4:
            _stage_four(xr, xi, yr, yi, cos, sin, step, run)
        elif radix == 2:
            _stage_two(xr, xi, yr, yi, cos, sin, step, run)
        else:
            _stage_odd(xr, xi, yr, yi, cos, sin, radix, step, run, spare)
        xr, xi, yr, yi = yr, yi, xr, xi
        run *= radix
        swapped = not swapped
    return swapped
