"""The page and the trace of a profile: valid, self-contained, and with the figures of the JSON."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldloom.perf.profiling import svg
from fieldloom.perf.profiling.against import Comparison
from fieldloom.perf.profiling.profile import Plan, profile
from fieldloom.perf.profiling.report import report_of
from fieldloom.perf.profiling.report_html import page, write_html
from fieldloom.perf.profiling.report_style import COLORS
from fieldloom.perf.profiling.settings import Settings
from fieldloom.perf.profiling.sweep import parse_sweep
from fieldloom.perf.profiling.target import IterableTarget
from fieldloom.perf.profiling.timeline import Timeline
from fieldloom.perf.profiling.trace import trace_events, write_trace
from fieldloom.perf.profiling.training import parse_step

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


class Checked(HTMLParser):
    """Tags balance; what would be fetched, and the text between tags, are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.classes: set[str] = set()
        self.data = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "xlink:href", "action", "data", "poster", "srcset", "formaction"}:
                self.loads.append(f"{tag} {name}={value}")
            if name.startswith("on"):
                self.loads.append(f"{tag} {name}")
            if name == "class":
                self.classes |= set((value or "").split())
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.data += data
        elif not self.open or self.open[-1] != "style":
            self.words.append(data)


def check(text: str) -> Checked:
    parsed = Checked()
    parsed.feed(text)
    parsed.close()
    assert parsed.open == []
    assert parsed.loads == []
    assert text.startswith("<!DOCTYPE html>")
    assert not re.search(r"https?:|//\w|@import|url\(", text.partition('<script type="application/json"')[0])
    assert parsed.tags.count("script") == 1  # the data, which is no program
    return parsed


@pytest.fixture(scope="module")
def measured() -> tuple[dict[str, Any], Timeline]:
    """A whole report of something quick, with every section filled."""

    def make(threads: int = 1, batch: int = 4) -> list[np.ndarray]:
        return [np.zeros((batch, 3, 8, 8), np.float32)] * 50

    plan = Plan(
        batches=30, n_rounds=2, step=parse_step("1"), ideal=True,
        sweep=parse_sweep(["threads=1,2,4", "batch=8,16"]),
    )  # fmt: skip
    result = profile(IterableTarget(make, "<b>loader</b> & co"), plan)
    report = report_of(result)
    ran = Comparison("dali", 1234.5, (1200.0, 1250.0), 2.345, 2222.0, 1.111, "resize, water")
    failed = Comparison("timm", None, (), None, None, None, "", "ModuleNotFoundError: No module named 'timm'")
    from fieldloom.perf.profiling.report import _comparison

    report["against"] = [_comparison(ran), _comparison(failed)]
    report["notes"] = ["a note with </script> in it"]
    report["hot"] = [{"function": "<lambda> (x.py:1)", "share": 0.5}]
    timeline = result.timeline
    timeline.add("producer", "decode", 0.0, 0.001)
    timeline.add("fieldloom-read_0", "read file", 0.0, 0.001)
    return json.loads(json.dumps(report, allow_nan=False)), timeline


def test_the_page_is_valid_and_loads_nothing(
    measured: tuple[dict[str, Any], Timeline], tmp_path: Path
) -> None:
    write_html(tmp_path / "page.html", *measured)
    parsed = check((tmp_path / "page.html").read_text())
    assert parsed.tags.count("svg") >= 6
    known = {f"{kind}-{name}" for name in COLORS for kind in "fl"}
    assert {name for name in parsed.classes if name[:2] in {"f-", "l-"}} <= known


def test_the_page_has_the_figures_of_the_json(measured: tuple[dict[str, Any], Timeline]) -> None:
    report, timeline = measured
    parsed = check(page(report, timeline))
    assert json.loads(parsed.data) == report
    words = " ".join(parsed.words)
    expected = [
        report["verdict"], f"{report['images_per_s']:,.0f}", f"{report['cpu_ms_per_image']:.2f} ms",
        f"{report['peak_memory_mb']:,.0f} MB", f"{report['time_to_first_batch_s']:.2f} s",
        "<b>loader</b> & co", "2.345", "2.1 x", "No module named 'timm'", "</script>", "<lambda> (x.py:1)",
    ]  # fmt: skip
    expected += [f"{point['images_per_s']:,.0f}" for point in report["sweep"]]
    expected += [f"{row['waited_ms']:,.3f}" for row in report["stage_costs"] if row["waited_ms"] is not None]
    expected += [f"{row['percent']:.1f} %" for row in report["limits"]]
    expected.append(f"{report['training']['ideal_images_per_s']:,.0f} images/s")
    for text in expected:
        assert text in words, text


def test_the_check_of_pages_sees() -> None:
    for bad in (
        '<p><img src="x.png"></p>',
        "<p><b></p></b>",
        '<a href="https://x.org">x</a>',
        "<p onclick='f()'>",
    ):
        with pytest.raises(AssertionError):
            check("<!DOCTYPE html>" + bad + '<script type="application/json"></script>')


def test_a_page_of_little(tmp_path: Path) -> None:
    """Sections without figures are left out, not drawn empty."""
    plan = Plan(batches=1, n_rounds=1, ablate=False)
    result = profile(IterableTarget([np.zeros((2, 2))], "one"), plan)
    report = report_of(result)
    parsed = check(page(report, result.timeline))
    assert "Sweep" not in parsed.words
    assert "Training" not in parsed.words


def test_the_trace_is_what_perfetto_reads(tmp_path: Path) -> None:
    timeline = Timeline()
    zero = timeline._zero
    timeline.add("consumer", "wait", zero, zero + 0.5, 0)
    timeline.add("consumer", "step", zero + 0.5, zero + 0.75, 0)
    timeline.add("fieldloom-read_1", "read file", zero + 0.1, zero + 0.2)
    timeline.count("batches waiting", 2)
    write_trace(tmp_path / "trace.json", timeline.shifted(), "photos")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    spans = [event for event in events if event["ph"] == "X"]
    assert [(e["name"], round(e["ts"]), round(e["dur"])) for e in spans] == [
        ("wait", 0, 500_000), ("read file", 100_000, 100_000), ("step", 500_000, 250_000),
    ]  # fmt: skip
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert {names[e["tid"]] for e in spans} == {"consumer", "fieldloom-read_1"}
    assert [e["args"] for e in events if e["ph"] == "C"] == [{"batches waiting": 2}]
    assert {"process_name", "thread_sort_index"} <= {e["name"] for e in events if e["ph"] == "M"}


def test_spans_beyond_the_limit_are_dropped() -> None:
    timeline = Timeline(limit=3)
    for i in range(9):
        timeline.add("consumer", "wait", i, i + 1)
    assert len(timeline.spans) == 3
    assert trace_events(timeline, "x")[-1]["ph"] == "X"


@pytest.mark.parametrize(
    ("most", "last"), [(640, 800.0), (1, 1.0), (0.37, 0.4), (0, 1.0), (99999, 100000.0), (3e6, 3e6)]
)
def test_steps_of_axes_are_round_and_reach_the_top(most: float, last: float) -> None:
    steps = svg.nice_steps(most)
    assert steps[0] == 0
    assert steps[-1] == pytest.approx(last)
    assert steps[-1] >= most
    assert 2 <= len(steps) <= 7


def test_settings_are_those_of_the_loader() -> None:
    import inspect

    import fieldloom as fl

    known = set(inspect.signature(fl.DataLoader.__init__).parameters)
    assert {name for name in Settings.__dataclass_fields__ if name != "recipe"} <= known
