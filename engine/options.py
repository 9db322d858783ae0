"""Checks of option values: each returns the value in its own type, or raises an error that names it.

`owner` is the object or the name whose option it is; the error begins with it.
"""

import numbers
import os
from pathlib import Path
from typing import Any

from fieldloom.errors import ArgumentError


def is_number(value: object) -> bool:
    """A real number, and no bool."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def is_whole(value: object) -> bool:
    """An integer of any library, and no bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def number(owner: object, option: str, value: Any, low: float, high: float) -> float:
    """`value` as a float in [low, high], or an error that names the option, the value and the range."""
    if not is_number(value) or not low <= value <= high:
        raise ArgumentError.make(
            f"{_named(owner)}{option}={value!r}",
            why=f"not a number from {low:g} to {high:g}",
            remedy=f"Pass {option} in that range.",
        )
    return float(value)


def pair(owner: object, option: str, value: Any, low: float, high: float) -> tuple[float, float]:
    """A range (a, b) with low <= a <= b <= high."""
    good = isinstance(value, (list, tuple)) and len(value) == 2 and all(map(is_number, value))
    if not good or not low <= value[0] <= value[1] <= high:
        raise ArgumentError.make(
            f"{_named(owner)}{option}={value!r}",
            why=f"not a range (a, b) with {low:g} <= a <= b <= {high:g}",
            remedy=f"Pass {option}=(a, b).",
        )
    return float(value[0]), float(value[1])


def whole_number(owner: object, option: str, value: Any, low: int, high: int) -> int:
    """`value` as an int from low to high."""
    if not is_whole(value) or not low <= int(value) <= high:
        raise ArgumentError.make(
            f"{_named(owner)}{option}={value!r}",
            why=f"not a whole number from {low} to {high}",
            remedy=f"Pass {option} in that range.",
        )
    return int(value)


def flag(owner: object, option: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise ArgumentError.make(
            f"{_named(owner)}{option}={value!r}", why="not True or False", remedy="Pass a bool."
        )
    return value


def choice(owner: object, option: str, value: object, known: tuple[str, ...]) -> str:
    """One of the known names."""
    if not isinstance(value, str) or value not in known:
        raise ArgumentError.make(
            f"{_named(owner)}{option}={value!r}", why="not known", remedy=f"Pass one of {', '.join(known)}."
        )
    return value


def color(owner: object, option: str, value: Any) -> tuple[float, float, float]:
    """RGB 0..255 from three numbers, or from one."""
    values = value if isinstance(value, (list, tuple)) else (value, value, value)
    if len(values) != 3 or not all(is_number(v) and 0 <= v <= 255 for v in values):
        raise ArgumentError.make(
            f"{_named(owner)}{option}={value!r}",
            why="not a number from 0 to 255, nor three",
            remedy="Pass RGB, for instance 128.",
        )
    return float(values[0]), float(values[1]), float(values[2])


def thread_count(threads: Any) -> int:
    """Threads of a stage; None takes the processors available, at most 8."""
    if threads is None:
        affinity = getattr(os, "sched_getaffinity", None)
        return max(1, min((len(affinity(0)) if affinity else os.cpu_count()) or 1, 8))
    return whole_number("", "threads", threads, 1, 256)


def log_file(path: str | Path | None) -> Path | None:
    """The log, if lines can be written to it: that is better known now than at the first bad sample."""
    if path is None:
        return None
    try:
        checked = Path(path)
        checked.open("a").close()
    except (OSError, TypeError, ValueError) as error:
        raise ArgumentError.make(
            f"bad_sample_log={path!r}", why=str(error), remedy="Pass a file that can be written."
        ) from None
    return checked


def _named(owner: object) -> str:
    name = owner if isinstance(owner, str) else type(owner).__name__
    return f"{name} " if name else ""
