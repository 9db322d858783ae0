"""A result of the benchmark of peers as tables in a terminal."""

from typing import Any


def report(result: dict[str, Any]) -> None:
    """Print one table a job, the targets, and who was left out."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for job, found in result["jobs"].items():
        table = Table(title=f"{job}: {found['what']}")
        for column in ("peer", "CPU ms/image", "spread", "images/s", "peak MB"):
            table.add_column(column, justify="left" if column == "peer" else "right")
        measured = {peer: row for peer, row in found["peers"].items() if "cpu_ms_per_image" in row}
        for peer, row in sorted(measured.items(), key=lambda item: item[1]["cpu_ms_per_image"]["median"]):
            cpu = row["cpu_ms_per_image"]
            table.add_row(
                peer, f"{cpu['median']:.3f}", f"{cpu['min']:.3f}-{cpu['max']:.3f}",
                f"{row['images_per_s']['median']:.0f}", f"{row['peak_mb']:.0f}",
            )  # fmt: skip
        console.print(table)
        for peer, row in found["peers"].items():
            if "error" in row:
                console.print(f"{peer} failed: {row['error']}", highlight=False)
    for row in result["targets"]:
        mark = "holds" if row["holds"] else "MISSED"
        console.print(f"{row['what']}: {row['figure']} (limit {row['limit']}) {mark}", highlight=False)
    for peer, why in result["left_out"].items():
        console.print(f"left out: {peer}, {why}", highlight=False)
