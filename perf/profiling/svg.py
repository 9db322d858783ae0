"""Small charts as SVG: bars, lines, tracks. Colors are classes: the page decides on light and dark."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

#: Inner width of a chart in its own units; the page scales it.
WIDTH = 860
_LEFT, _RIGHT = 144, 16


@dataclass(frozen=True, slots=True)
class Bar:
    """One horizontal bar: its name, value, the words at its end, and the class of its color."""

    name: str
    value: float
    shown: str
    color: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of (x, y) points, x ascending."""

    name: str
    points: Sequence[tuple[float, float]]
    color: str


@dataclass(frozen=True, slots=True)
class Block:
    """A span on a track: the track's number, times in seconds, what it is, and the class of its color."""

    track: int
    start_s: float
    end_s: float
    title: str
    color: str


def chart(height: float, body: Sequence[str], label: str) -> str:
    """An SVG element; `label` is read out by screen readers."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(label)}">'
        + "".join(body)
        + "</svg>"
    )


def text(x: float, y: float, words: str, kind: str = "t", anchor: str = "start") -> str:
    """Words at a place; `kind` is a class."""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def bars(rows: Sequence[Bar], label: str, most: float | None = None) -> str:
    """Horizontal bars with their names on the left and their values at their ends."""
    step, thick = 30, 18
    most = most or max((row.value for row in rows), default=0.0) or 1.0
    room = WIDTH - _LEFT - 210
    body = []
    for index, row in enumerate(rows):
        y = index * step + 6
        long = max(room * min(row.value / most, 1.0), 1.5)
        body.append(text(_LEFT - 10, y + 13.5, row.name, "t", "end"))
        body.append(
            f'<rect x="{_LEFT}" y="{y}" width="{long:.1f}" height="{thick}" rx="3" class="{row.color}">'
            f"<title>{escape(row.name)}: {escape(row.shown)}</title></rect>"
        )
        body.append(text(_LEFT + long + 8, y + 13.5, row.shown, "v"))
    return chart(len(rows) * step + 8, body, label)


def lines(series: Sequence[Line], label: str, x_name: str, y_name: str, ticks: Sequence[float] = ()) -> str:
    """Lines over common axes that begin at zero; markers where points are few."""
    points = [point for line in series for point in line.points]
    if not points:
        return ""
    height, top, bottom = 250, 26, 40
    xs = [x for x, _ in points]
    x_low = min(xs) if ticks else 0.0
    x_high = max([*xs, x_low + 1e-9])
    steps = nice_steps(max(y for _, y in points))
    y_high = steps[-1]

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = (x - x_low) / (x_high - x_low), y / y_high
        return _LEFT + across * (WIDTH - _LEFT - _RIGHT - 60), height - bottom - up * (height - top - bottom)

    body = [text(_LEFT - 10, 14, y_name, "s", "end")]
    for step in steps:
        _, y = place(x_low, step)
        body.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT - 60}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>')
        body.append(text(_LEFT - 10, y + 4, f"{step:,.6g}", "s", "end"))
    for tick in ticks or nice_steps(x_high):
        x, _ = place(tick, 0)
        if x <= WIDTH - _RIGHT - 50:
            body.append(text(x, height - bottom + 18, f"{tick:,.6g}", "s", "middle"))
    body.append(text((_LEFT + WIDTH - _RIGHT - 60) / 2, height - 4, x_name, "s", "middle"))
    for line in series:
        placed = [place(x, y) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        body.append(f'<polyline points="{path}" class="line {line.color}"/>')
        if len(placed) <= 24:
            for (x, y), (at, value) in zip(placed, line.points, strict=True):
                body.append(
                    f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="dot {line.color}">'
                    f"<title>{escape(line.name)}, {x_name} {at:,.6g}: {value:,.0f}</title></circle>"
                )
    if len(series) > 1:
        ends = [place(*line.points[-1]) for line in series]
        for line, (x, _), y in zip(series, ends, apart([y for _, y in ends]), strict=True):
            body.append(text(x + 9, y + 4, line.name, "s"))
    return chart(height, body, label)


def apart(heights: Sequence[float], room: float = 14.0) -> list[float]:
    """The same heights in the same order from top to bottom, at least `room` from each other.

    Example:
        >>> apart([50.0, 100.0, 98.0])
        [50.0, 112.0, 98.0]
    """
    found, last = list(heights), float("-inf")
    for index in sorted(range(len(found)), key=lambda k: heights[k]):
        last = found[index] = max(found[index], last + room)
    return found


def nice_steps(most: float, n: int = 4) -> list[float]:
    """0 and some round numbers, the last of them at `most` or above.

    Example:
        >>> nice_steps(640)
        [0.0, 200.0, 400.0, 600.0, 800.0]
    """
    if most <= 0:
        return [0.0, 1.0]
    rough = most / n
    scale = 10.0 ** len(str(int(rough))) / 10 if rough >= 1 else 1.0
    while rough < scale:
        scale /= 10
    step = next((m * scale for m in (1, 2, 2.5, 5, 10) if m * scale >= rough * (1 - 1e-9)), 10 * scale)
    count = max(1, -(-int(most * 1e9) // int(step * 1e9)))
    return [k * step for k in range(count + 1)]


def tracks(names: Sequence[str], blocks: Sequence[Block], end_s: float, label: str) -> str:
    """Spans on tracks over one time axis."""
    step, thick, top = 26, 18, 4
    height = top + step * len(names) + 34
    room = WIDTH - _LEFT - _RIGHT
    end_s = max(end_s, 1e-9)
    body = []
    for tick in nice_steps(1e3 * end_s, 6):
        x = _LEFT + room * tick / 1e3 / end_s
        if x <= WIDTH - _RIGHT + 1:
            low = top + step * len(names)
            body.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{low}" class="grid"/>')
            body.append(text(x, low + 16, f"{tick:,.6g}", "s", "middle"))
    body.append(text(_LEFT + room / 2, height - 2, "milliseconds", "s", "middle"))
    for index, name in enumerate(names):
        body.append(text(_LEFT - 10, top + index * step + 16, name, "t", "end"))
    for block in blocks:
        x = _LEFT + room * block.start_s / end_s
        wide = max(room * (min(block.end_s, end_s) - block.start_s) / end_s, 0.6)
        y = top + block.track * step + (step - thick) / 2
        body.append(
            f'<rect x="{x:.2f}" y="{y:.1f}" width="{wide:.2f}" height="{thick}" class="{block.color}">'
            f"<title>{escape(block.title)}</title></rect>"
        )
    return chart(height, body, label)
