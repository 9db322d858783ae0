"""A result of the benchmark of peers as bars: one drawing a job."""

from pathlib import Path
from typing import Any

from fieldloom.errors import ArgumentError

from .table import PEERS

#: Ours, peers with a random warp (or in jobs without one), and peers whose warp is no random one.
_COLORS = {"ours": "#1f6f8b", "peer": "#9aa5b1", "apart": "#d9c9a3"}


def draw(result: dict[str, Any], folder: Path) -> list[Path]:
    """Draw CPU time an image of each job, shortest first.

    Args:
        result: What `bench.run` gave.
        folder: Gets J1.svg, J2.svg, ...; made if it is not there.

    Returns:
        The files.

    Raises:
        ArgumentError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise ArgumentError.make(
            "cannot draw", why="matplotlib is not installed", remedy="Run: pip install matplotlib"
        ) from error
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "fieldloom"  # equal results, equal files
    folder.mkdir(parents=True, exist_ok=True)
    return [_bars(job, found, result, folder / f"{job}.svg") for job, found in result["jobs"].items()]


def _bars(job: str, found: dict[str, Any], result: dict[str, Any], path: Path) -> Path:
    from matplotlib import pyplot as plt

    rows = [(peer, row["cpu_ms_per_image"]) for peer, row in found["peers"].items() if "images" in row]
    rows.sort(key=lambda item: item[1]["median"], reverse=True)
    warps = job in ("J3", "J4", "J5", "J6e")
    figure, axes = plt.subplots(figsize=(7, 0.8 + 0.34 * len(rows)))
    medians = [cpu["median"] for _, cpu in rows]
    errors = [
        [cpu["median"] - cpu["min"] for _, cpu in rows],
        [cpu["max"] - cpu["median"] for _, cpu in rows],
    ]
    colors = [_COLORS[_kind(peer, warps)] for peer, _ in rows]
    bars = axes.barh([peer for peer, _ in rows], medians, xerr=errors, color=colors, error_kw={"lw": 0.8})
    axes.bar_label(bars, [f" {value:.2f}" for value in medians], fontsize=8, padding=2)
    scale = "log" if max(medians) > 20 * min(medians) else "linear"
    axes.set_xscale(scale)
    note = ", logarithmic scale" if scale == "log" else ""
    axes.set_xlabel(f"CPU ms an image, median and range{note}", fontsize=8)
    machine = result["machine"]
    axes.set_title(
        f"{job}: {found['what']}\n{machine['cores']} cores of {machine['processor']}, {machine['date']}",
        fontsize=9,
    )
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.15)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    return path


def _kind(peer: str, warps: bool) -> str:
    if PEERS[peer].ours:
        return "ours"
    return "apart" if warps and not PEERS[peer].warp else "peer"
