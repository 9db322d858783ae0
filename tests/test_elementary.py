"""log, exp2, sin and cos of pi x: the accuracy that their docstring states, against float64."""

import numpy as np
from numba import njit

from fieldloom.kernels.elementary import exp2, log, sincospi


@njit
def logs(x):  # type: ignore[no-untyped-def]
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i] = log(x[i])
    return out


@njit
def powers(x):  # type: ignore[no-untyped-def]
    out = np.empty_like(x)
    for i in range(len(x)):
        out[i] = exp2(x[i])
    return out


@njit
def sines(x):  # type: ignore[no-untyped-def]
    out = np.empty((2, len(x)), np.float32)
    for i in range(len(x)):
        out[0, i], out[1, i] = sincospi(x[i])
    return out


def test_log() -> None:
    rng = np.random.default_rng(0)
    units = (np.arange(0, 2**24, 7, np.int64) / 2**24 + 2.0**-25).astype(np.float32)  # what Box-Muller asks
    around_one = (1 + rng.uniform(-0.4, 0.4, 200_000)).astype(np.float32)
    anywhere = np.exp2(rng.uniform(-126, 127, 200_000)).astype(np.float32)
    for x in (units, around_one, anywhere):
        exact = np.log(x.astype(np.float64))
        some = exact != 0
        error = abs(logs(x)[some] / exact[some] - 1)
        assert error.max() < 1e-7
    assert logs(np.ones(1, np.float32))[0] == 0


def test_exp2() -> None:
    x = np.linspace(-126, 127.49, 500_001, dtype=np.float32)
    error = powers(x) / np.exp2(x.astype(np.float64)) - 1
    assert abs(error).max() < 2e-7
    whole = np.arange(-126, 128).astype(np.float32)
    # Against float64: NumPy's own float32 exp2(127) is one unit off.
    np.testing.assert_array_equal(powers(whole), np.exp2(whole.astype(np.float64)))
    assert powers(np.array([-1e9, -127], np.float32)).tolist() == [2.0**-126] * 2


def test_sincospi() -> None:
    x = np.concatenate([np.linspace(-2, 2, 400_001), np.linspace(-1000, 1000, 100_001)]).astype(np.float32)
    sine, cosine = sines(x)
    angle = np.pi * np.remainder(x.astype(np.float64), 2)
    assert abs(sine - np.sin(angle)).max() < 1e-7
    assert abs(cosine - np.cos(angle)).max() < 1e-7
    quarter = np.array([0, 0.5, 1, 1.5, -0.5, 2], np.float32)
    np.testing.assert_array_equal(sines(quarter), [[0, 1, 0, -1, -1, 0], [1, 0, -1, 0, 0, 1]])
