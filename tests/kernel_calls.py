"""Calls from Python into functions that only kernels call."""

from collections.abc import Callable
from typing import Any

from numba import njit


def from_python(helper: Callable[..., Any]) -> Callable[..., Any]:
    """A function that Python may call; helpers themselves are compiled without what that takes, and crash."""

    @njit
    def call(*arguments):  # type: ignore[no-untyped-def]
        return helper(*arguments)

    return call
