"""What a fuzzing campaign says in the terminal; the campaign itself is in `fuzzing`."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .fuzzing.campaign import run

__all__ = ["report", "run"]


def report(result: dict[str, Any], keep: Path | None = None) -> None:
    """Print a table of outcomes by format, and each failure."""
    console = Console()
    outcomes = list(result["by_outcome"])
    table = Table("format", *outcomes, title=f"{result['files']} damaged files, seed {result['seed']}")
    for form, counts in result["by_format"].items():
        table.add_row(form, *(str(counts.get(outcome, 0)) for outcome in outcomes))
    console.print(table)
    for failure in result["failures"]:
        console.print(
            f"{failure['number']} {failure.get('format', '')}: {failure.get('mutation', '')}: "
            f"{failure['outcome']} {failure['text'][-300:]}",
            markup=False,
        )
    console.print(
        f"{len(result['failures'])} failures in {result['seconds']} s"
        + (f"; their files are in {keep}" if result["failures"] and keep else "")
    )
