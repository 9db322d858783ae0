"""What the project set itself against its peers, and whether it holds in a report."""

from typing import Any

from .table import PEERS

OURS = "fieldloom"


def targets(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Each target, the figure, the limit and whether it holds; those whose jobs were not run are left out."""
    rows: list[dict[str, Any]] = []

    def row(what: str, figure: float | None, limit: float, at_most: bool = False) -> None:
        if figure is not None:
            holds = figure <= limit if at_most else figure >= limit
            rows.append({"what": what, "figure": round(figure, 2), "limit": limit, "holds": holds})

    row(
        "J4: our CPU time over that of DALI's J1 (at most)",
        _ratio(_cpu(report, "J4", OURS), _cpu(report, "J1", "DALI")), 1.0, at_most=True,
    )  # fmt: skip
    for job, limit in (("J4", 3.0), ("J5", 5.0)):
        name, cheapest = cheapest_warp(report, job)
        row(
            f"{job}: times cheaper than the cheapest peer with a random warp ({name})",
            _ratio(cheapest, _cpu(report, job, OURS)), limit,
        )  # fmt: skip
    row(
        "J4: times cheaper than torchvision v2",
        _ratio(_cpu(report, "J4", "torchvision v2"), _cpu(report, "J4", OURS)), 30.0,
    )  # fmt: skip
    return rows


def cheapest_warp(report: dict[str, Any], job: str) -> tuple[str, float | None]:
    """The peer with a random warp that needs the least CPU time for a job, and that time in ms."""
    found = {
        name: cpu
        for name, peer in PEERS.items()
        if peer.warp and not peer.ours and (cpu := _cpu(report, job, name)) is not None
    }
    if not found:
        return "none", None
    name = min(found, key=lambda peer: found[peer])
    return name, found[name]


def _cpu(report: dict[str, Any], job: str, peer: str) -> float | None:
    row = report["jobs"].get(job, {}).get("peers", {}).get(peer, {})
    median: float | None = row.get("cpu_ms_per_image", {}).get("median")
    return median


def _ratio(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a / b
