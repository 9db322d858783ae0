"""A profile as one page: figures, pictures and the whole JSON, without any network."""

import json
from html import escape
from pathlib import Path
from typing import Any

from . import svg
from .report_style import COLORS, style
from .report_text import headline, read_figure
from .timeline import CONSUMER, PRODUCER, Span, Timeline

Report = dict[str, Any]

#: The timeline shows this many batches, and this many threads that read.
_BATCHES, _READERS = 8, 4
#: Colors of lines that are no stages, in this order.
_SERIES = ("read", "decode", "augment", "header", "handoff", "copy", "compute", "other")


def write_html(path: Path, report: Report, timeline: Timeline) -> None:
    """Write the page."""
    path.write_text(page(report, timeline), encoding="utf-8")


def page(report: Report, timeline: Timeline) -> str:
    """The page of a `report_of` and its timeline: one HTML document that loads nothing.

    The JSON is in it too, in the element with the id "report".
    """
    sections = [
        _verdict(report), _tiles(report), _stages(report), _timeline(timeline), _throughput(report),
        _limits(report), _training(report), _sweep(report), _against(report), _more(report),
    ]  # fmt: skip
    name = escape(f"{report['target']['name']}: where the time goes")
    machine = report["machine"]
    about = (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Python "
        f"{machine['python']}, fieldloom {machine['versions'].get('fieldloom', '')}, {machine['date']}"
    )
    # "<" written as an escape: no text in the report can end the element.
    data = json.dumps(report, indent=1).replace("<", "\\u003c")
    # The policy makes a promise of it: nothing is fetched, and no script of anybody runs.
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{name}</title><style>{style()}</style></head>\n<body><main>"
        f'<h1>{name}</h1><p class="sub">{escape(headline(report))}<br>{escape(about)}</p>\n'
        + "\n".join(section for section in sections if section)
        + f'\n</main><script type="application/json" id="report">{data}</script></body></html>\n'
    )


def _section(title: str, *body: str, note: str = "") -> str:
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{said}{''.join(body)}</section>"


def _verdict(report: Report) -> str:
    return f'<section class="verdict"><p>{escape(report["verdict"])}</p></section>'


def _tiles(report: Report) -> str:
    rates = report["images_per_s_rounds"]
    cores = report["machine"]["cores"]
    read, disk = read_figure(report)
    tiles = [
        (
            f"{report['images_per_s']:,.0f}",
            "images/s",
            f"{min(rates):,.0f} to {max(rates):,.0f}, n = {len(rates)}",
        ),
        (f"{report['cpu_ms_per_image']:.2f} ms", "CPU time an image", "process and children"),
        (
            f"{report['time_to_first_batch_s']:.2f} s",
            "to the first batch",
            f"after {report['warm_up_s']:.1f} s warm-up",
        ),
        (f"{report['peak_memory_mb']:,.0f} MB", "peak memory", "process and children"),
        (f"{report['busy_cores']:.1f} of {cores}", "cores busy", _others(report)),
        (read, "read", disk),
        (f"{report['output_mb_per_s']:,.0f} MB/s", "delivered", "tensors"),
    ]
    if report["queue"] is not None:
        capacity = report["queue"]["capacity"]
        tiles.append(
            (
                f"{report['queue']['mean_waiting']:.1f}",
                "batches waiting",
                f"of {capacity}" if capacity else "",
            )
        )
    gpu = report["gpu"]
    if gpu:
        use = "?" if gpu["use_percent"] is None else f"{gpu['use_percent']:.0f} %"
        tiles.append((use, "GPU use", gpu["name"]))
        tiles.append((f"{gpu['memory_mb']:,.0f} MB", "GPU memory", "all programs on it"))
    shown = "".join(
        f'<div class="tile"><span>{escape(what)}</span><b>{escape(value)}</b><i>{escape(more)}</i></div>'
        for value, what, more in tiles
    )
    return f'<section><div class="tiles">{shown}</div></section>'


def _others(report: Report) -> str:
    others = report["others_cores"]
    return "" if others is None else f"others: {others:.1f}"


def _stages(report: Report) -> str:
    costs = [row for row in report["stage_costs"] if row["cpu_ms"]]
    drawn = ""
    if costs:
        rows = [
            svg.Bar(
                row["name"], row["cpu_ms"],
                f"{row['cpu_ms']:.3f} ms · {_percent(row['cpu_share'])}",
                _fill(row["name"]),
            )
            for row in costs
        ]  # fmt: skip
        drawn = svg.bars(rows, "CPU milliseconds an image by stage")
    waits = [row for row in report["stage_costs"] if row["waited_ms"] is not None]
    if waits:
        rows = [
            svg.Bar(row["name"], row["waited_ms"], f"{row['waited_ms']:.3f} ms", _fill(row["name"]))
            for row in waits
        ]
        drawn += '<p class="note">Waited for, milliseconds an image of wall time</p>'
        drawn += svg.bars(rows, "Wall milliseconds an image that each stage was waited for")
    heads = ("stage", "CPU ms", "of CPU", "alone ms", "waited ms", "what", "how")
    table = _table(
        heads,
        [
            (
                row["name"], _number(row["cpu_ms"]), _percent(row["cpu_share"]),
                _number(row["wall_ms"]), _number(row["waited_ms"]), row["meaning"], row["how"],
            )
            for row in report["stage_costs"]
        ],
        words=2,
    )  # fmt: skip
    note = "CPU milliseconds an image, each stage run alone where that is possible"
    return _section("Stages", drawn, table, note=note)


def _fill(name: str) -> str:
    if name.endswith("waits"):
        return "f-wait"
    return f"f-{name if name in COLORS else 'other'}"


def _timeline(timeline: Timeline) -> str:
    consumed = [
        s for s in timeline.spans if s.track == CONSUMER and s.batch is not None and s.batch < _BATCHES
    ]
    if not consumed:
        return ""
    end = max(span.end_s for span in consumed)
    spans = [span for span in timeline.spans if span.start_s < end]
    others = sorted({span.track for span in spans} - {CONSUMER, PRODUCER})[:_READERS]
    names = [CONSUMER, *([PRODUCER] if any(s.track == PRODUCER for s in spans) else []), *others]
    # Of spans within each other the inner is drawn last, on top.
    blocks = [
        svg.Block(
            names.index(s.track), s.start_s, s.end_s,
            _named(s),
            _fill("read" if s.name == "read file" else s.name),
        )
        for s in sorted(spans, key=lambda s: (s.start_s, -s.end_s)) if s.track in names
    ]  # fmt: skip
    shown = dict.fromkeys(("read" if s.name == "read file" else s.name) for s in spans)
    legend = "".join(f'<span><i class="{_fill(name)}"></i>{escape(name)}</span>' for name in shown)
    short = [name.removeprefix("fieldloom-").replace("_", " ") for name in names]
    picture = svg.tracks(short, blocks, end, "What each thread did during the first batches")
    note = "What the consumer waited for, and what the loader's threads did meanwhile"
    return _section(
        f"The first {_BATCHES} batches", picture, f'<div class="legend">{legend}</div>', note=note
    )


def _named(span: Span) -> str:
    of = "" if span.batch is None else f" (batch {span.batch})"
    return f"{span.name}{of}: {1e3 * (span.end_s - span.start_s):.1f} ms"


def _throughput(report: Report) -> str:
    points = [(t, value) for t, value in report["throughput"]]
    if len(points) < 2:
        return ""
    zero = points[0][0]
    line = svg.Line("images/s", [(t - zero, value) for t, value in points], "l-read")
    note = "Images/s while the loader was measured, training steps included"
    return _section("Throughput", svg.lines([line], "Images/s over time", "seconds", "images/s"), note=note)


def _limits(report: Report) -> str:
    if not report["limits"]:
        return ""
    rows = [
        svg.Bar(
            row["name"],
            row["percent"],
            f"{row['percent']:.1f} % of {row['images_per_s']:,.0f} images/s",
            "f-read",
        )
        for row in report["limits"]
    ]
    return _section("Limits", svg.bars(rows, "Percent of each limit that is reached", 100.0),
                    note="How much of what this machine allows the loader reaches")  # fmt: skip


def _training(report: Report) -> str:
    found = report["training"]
    if found is None:
        return ""
    rows = [
        svg.Bar("loader alone", report["images_per_s"], f"{report['images_per_s']:,.0f} images/s", "f-read"),
        svg.Bar(
            "loader and step", found["images_per_s"], f"{found['images_per_s']:,.0f} images/s", "f-decode"
        ),
    ]
    if found["needed_images_per_s"] is not None:
        needed = found["needed_images_per_s"]
        rows.append(svg.Bar("step alone", needed, f"{needed:,.0f} images/s", "f-step"))
    if found["ideal_images_per_s"] is not None:
        ideal = found["ideal_images_per_s"]
        lost = f"{ideal:,.0f} images/s, {100 * found['lost_to_loading']:.0f} % lost"
        rows.append(svg.Bar("perfect loader", ideal, lost, "f-augment"))
    hides = "hides behind the step" if found["hides"] else "does not hide behind the step"
    note = (
        f"A step takes {found['step_ms']:.1f} ms and waits for {_percent(found['waited_share'])} "
        f"of the time: the loader {hides}"
    )
    return _section("Training", svg.bars(rows, "Images/s of loader and training step"), note=note)


def _sweep(report: Report) -> str:
    points = [point for point in report["sweep"] if point["images_per_s"] is not None]
    if not report["sweep"]:
        return ""
    axes = [name for name in ("threads", "batch", "prefetch") if name in report["sweep"][0]]
    across, others = axes[0], axes[1:]
    groups: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        name = " ".join(f"{axis} {point[axis]}" for axis in others) or "images/s"
        groups.setdefault(name, []).append((point[across], point["images_per_s"]))
    series = [
        svg.Line(name, sorted(rows), f"l-{_SERIES[k % len(_SERIES)]}")
        for k, (name, rows) in enumerate(groups.items())
    ]
    ticks = sorted({float(point[across]) for point in points})
    drawn = svg.lines(series, "Images/s of each setting", across, "images/s", ticks) if points else ""
    table = _table(
        (*axes, "images/s", "rounds", "CPU ms an image", ""),
        [
            (
                *(str(point[axis]) for axis in axes), _number(point["images_per_s"], 0),
                ", ".join(f"{rate:,.0f}" for rate in point["images_per_s_rounds"]),
                _number(point["cpu_ms_per_image"]), point["error"] or "",
            )
            for point in report["sweep"]
        ],
        words=1,
    )  # fmt: skip
    return _section("Sweep", drawn, table)


def _against(report: Report) -> str:
    if not report["against"]:
        return ""
    ran = [row for row in report["against"] if row["images_per_s"] is not None]
    drawn = ""
    if ran:
        ours = ran[0]["ours_cpu_ms_per_image"]
        rows = [svg.Bar("fieldloom", ours, f"{ours:.2f} ms", "f-read")]
        rows += [
            svg.Bar(row["peer"], row["cpu_ms_per_image"], f"{row['cpu_ms_per_image']:.2f} ms", "f-other")
            for row in ran
        ]
        drawn = svg.bars(rows, "CPU milliseconds an image, this loader and its peers")
    table = _table(
        ("peer", "images/s", "CPU ms an image", "of ours", "does"),
        [
            (
                row["peer"], _number(row["images_per_s"], 0), _number(row["cpu_ms_per_image"]),
                "" if row["cpu_ratio"] is None else f"{row['cpu_ratio']:.1f} x", row["error"] or row["does"],
            )
            for row in report["against"]
        ],
        words=1,
    )  # fmt: skip
    return _section(
        "Against", drawn, table, note="CPU milliseconds an image, interleaved rounds in this process"
    )


def _more(report: Report) -> str:
    hot: list[tuple[str, ...]] = [(f"{100 * row['share']:.0f} %", row["function"]) for row in report["hot"]]
    found = ""
    if hot:
        found += _table(("of the time", "Python function"), hot, words=1)
    found += "".join(f'<p class="note">{escape(note)}.</p>' for note in report["notes"])
    return _section("Functions and notes", found) if found else ""


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]], words: int) -> str:
    """A table whose last `words` columns are text."""

    def cell(tag: str, index: int, value: str) -> str:
        kind = ' class="w"' if index >= len(heads) - words else ""
        return f"<{tag}{kind}>{escape(value)}</{tag}>"

    head = "".join(cell("th", k, name) for k, name in enumerate(heads))
    body = "".join(f"<tr>{''.join(cell('td', k, str(v)) for k, v in enumerate(row))}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
