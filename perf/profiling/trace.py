"""A timeline as a trace file for Perfetto (ui.perfetto.dev) and chrome://tracing."""

import json
import os
from pathlib import Path
from typing import Any

from .timeline import CONSUMER, PRODUCER, Timeline


def trace_events(timeline: Timeline, name: str) -> list[dict[str, Any]]:
    """Trace events, times in microseconds.

    Args:
        timeline: Spans and counters.
        name: What the process is called.

    Source: the "Trace Event Format"; complete events ("X"), counters ("C") and names ("M").
    """
    process = os.getpid()
    tracks = [CONSUMER, PRODUCER, *sorted({s.track for s in timeline.spans} - {CONSUMER, PRODUCER})]
    numbers = {track: index for index, track in enumerate(tracks, 1)}
    base: dict[str, Any] = {"pid": process, "ts": 0}
    events: list[dict[str, Any]] = [
        {**base, "ph": "M", "name": "process_name", "tid": 0, "args": {"name": name}}
    ]
    for track, number in numbers.items():
        named = {**base, "ph": "M", "tid": number}
        events.append({**named, "name": "thread_name", "args": {"name": track}})
        events.append({**named, "name": "thread_sort_index", "args": {"sort_index": number}})
    for span in timeline.spans:
        event: dict[str, Any] = {
            "ph": "X", "pid": process, "tid": numbers[span.track], "name": span.name, "cat": "loader",
            "ts": round(1e6 * span.start_s, 3), "dur": round(1e6 * (span.end_s - span.start_s), 3),
        }  # fmt: skip
        if span.batch is not None:
            event["args"] = {"batch": span.batch}
        events.append(event)
    for counter, rows in timeline.counters.items():
        events += [
            {"ph": "C", "pid": process, "name": counter, "ts": round(1e6 * t, 3), "args": {counter: value}}
            for t, value in rows
        ]
    return events


def write_trace(path: Path, timeline: Timeline, name: str) -> None:
    """Write a trace file."""
    content = {"displayTimeUnit": "ms", "traceEvents": trace_events(timeline, name)}
    path.write_text(json.dumps(content), encoding="utf-8")
