"""Which Python code takes the time: cProfile, its functions sorted into reading, decoding and the rest."""

import cProfile
import pstats
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from .probes import thread_seconds

#: Functions, mostly built in, that read; names as cProfile gives them.
_READS = re.compile(
    r"(method '(read|readinto|read1|recv|recv_into|readline)' of '(_io|_socket|_ssl|zipfile|tarfile)"
    r"|built-in method (_?io\.open|posix\.(open|read|stat|lstat|fstat|pread|scandir)|numpy\.fromfile)"
    r"|\b(fromfile|memmap)\b)"
)
_DECODES = re.compile(
    r"('ImagingDecoder'|imdecode|imread|decode_(jpeg|image|png|webp)|method 'convert' of 'ImagingCore'"
    r"|built-in method PIL\._imaging\.(map_buffer|new)|nvimgcodec|turbojpeg)",
    re.IGNORECASE,
)
#: Built-in functions that wait.
_WAITS = re.compile(r"built-in method (time\.sleep|select\.)|method '(acquire|poll|wait|join)' of")
_WAITS_FOR_OTHERS = re.compile(r"built-in method select\.|method '(acquire|poll|wait|join)' of")
#: What people call their own functions.
_NAMED_READ = re.compile(r"read|fetch|download|urlopen|get_bytes|get_object|from_disk", re.IGNORECASE)
_NAMED_DECODE = re.compile(r"decode|decompress|imread", re.IGNORECASE)

_Function = tuple[str, int, str]
#: The profiler's own files: what they cost is no part of a loader.
_OWN = str(Path(__file__).parent)


@dataclass(frozen=True, slots=True)
class Hot:
    """Where the time of some calls went.

    Attributes:
        wall_s: Seconds, without the profiler's own overhead.
        cpu_s: Processor seconds of the thread.
        ran_s: Seconds for which it ran, or would have run had a processor been free; the rest it waited.
        shares: "read", "decode" and "augment" (everything else) -> share of the time, sums to 1.
        functions: (function, share) by own time, largest first.
        calls: Calls that were made.
        waits: Share of the time that went to waiting for other threads or processes.
    """

    wall_s: float
    cpu_s: float
    ran_s: float
    shares: dict[str, float]
    functions: tuple[tuple[str, float], ...]
    calls: int
    waits: float = 0.0


def find_hot(
    call: Callable[[], Any],
    seconds: float,
    *,
    most: int = 10**9,
    between: Callable[[], None] = lambda: None,
) -> Hot:
    """Call something for `seconds`, half of it under a profiler; at least once each.

    `call` returns False when there is nothing left to do. Only the calling thread is seen. Where another
    profiler is active (a debugger, a coverage tool) shares come from the processor time alone: what waits
    counts as reading. `between` runs behind each call, unseen.
    """
    wall = cpu = ran = 0.0
    calls = 0
    more = True
    while more and calls < most and (not calls or wall < seconds / 2):
        start, cpu_start, ran_start = time.perf_counter(), time.thread_time(), thread_seconds()
        more = call() is not False
        wall += time.perf_counter() - start
        cpu += time.thread_time() - cpu_start
        ran += thread_seconds() - ran_start
        calls += more
        between()
    profiler = cProfile.Profile()
    try:
        profiler.enable()
    except ValueError:
        return _by_waiting(wall, cpu, ran, calls)
    try:
        start, done = time.perf_counter(), 0
        while more and done < most and (not done or time.perf_counter() - start < seconds / 2):
            more = call() is not False
            done += 1
            profiler.disable()
            between()
            profiler.enable()
    finally:
        profiler.disable()
    if not done:  # it ended before: the profiler has seen nobody but this function
        return _by_waiting(wall, cpu, ran, calls)
    stats = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    shares, functions = _sorted(stats)
    whole = sum(row[2] for row in stats.values()) or 1.0
    waits = sum(row[2] for function, row in stats.items() if _WAITS_FOR_OTHERS.search(function[2])) / whole
    return Hot(wall, cpu, ran, shares, functions, calls, waits)


def _by_waiting(wall: float, cpu: float, ran: float, calls: int) -> Hot:
    """Without a profile: what waits counts as reading."""
    blocked = max(1 - ran / wall, 0.0) if wall else 0.0
    return Hot(wall, cpu, ran, {"read": blocked, "decode": 0.0, "augment": 1 - blocked}, (), calls)


def _sorted(stats: dict[_Function, Any]) -> tuple[dict[str, float], tuple[tuple[str, float], ...]]:
    """Shares of the three kinds, and the five functions that take most."""
    kinds = dict.fromkeys(("read", "decode", "augment"), 0.0)
    own: dict[str, float] = {}
    for function, (_, _, seconds, _, callers) in stats.items():
        own_clock = function[2] == "<built-in method time.perf_counter>" and not callers
        if own_clock or "_lsprof.Profiler" in function[2] or function[0].startswith(_OWN):
            continue
        label = _label(function)
        own[label] = own.get(label, 0.0) + seconds
        kind = _kind_of(function[2])
        if kind is not None or not callers:
            kinds[kind or "augment"] += seconds
            continue
        # Nothing in the name tells: the nearest caller whose name does.
        total = sum(edge[2] for edge in callers.values()) or 1.0
        for caller, edge in callers.items():
            named = _named_above(caller, stats)
            waits = "read" if _WAITS.search(function[2]) else "augment"
            kinds[named or waits] += seconds * edge[2] / total
    whole = sum(kinds.values()) or 1.0
    largest = sorted(own.items(), key=lambda item: -item[1])[:5]
    return (
        {name: seconds / whole for name, seconds in kinds.items()},
        tuple((label, seconds / whole) for label, seconds in largest),
    )


def _kind_of(name: str) -> str | None:
    if _READS.search(name):
        return "read"
    if _DECODES.search(name):
        return "decode"
    if not name.startswith("<"):
        return _kind_by_name(name)
    return None


def _kind_by_name(name: str) -> str | None:
    return "decode" if _NAMED_DECODE.search(name) else "read" if _NAMED_READ.search(name) else None


def _named_above(function: _Function, stats: dict[_Function, Any], depth: int = 4) -> str | None:
    """The kind that a function's name, or that of its main caller, speaks of."""
    for _ in range(depth):
        if not function[2].startswith("<"):
            kind = _kind_by_name(function[2])
            if kind is not None:
                return kind
        callers = stats[function][4] if function in stats else {}
        if not callers:
            return None
        function = max(callers, key=lambda caller: callers[caller][3])
    return None


def _label(function: _Function) -> str:
    file, line, name = function
    if file == "~":
        return name.strip("<>")
    return f"{name} ({PurePath(file).name}:{line})"
