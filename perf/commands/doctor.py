"""`fieldloom doctor`."""

from pathlib import Path

import click

from .. import options
from ..command_group import DATA
from ..json_file import STDOUT, write_json

_MARKS = {"ok": "ok", "falls back": "-", "broken": "BROKEN"}


@click.command("doctor")
@options.device
@options.json_file
@click.pass_context
def command(ctx: click.Context, device: str, json_file: Path | None) -> None:
    """Look at what is installed here: what works, what falls back, and why.

    Decodes an image of each format, compiles the kernels, and looks for a GPU. The exit code is 1 if
    something that the loader needs is broken; with --device cuda a GPU belongs to it.
    """
    from ..profiling.doctor import examine, report_of
    from ..terminal import open_console, step, table

    console = open_console(stderr=json_file == STDOUT)
    with step(console, "looking (the first run compiles kernels, some 20 s)"):
        report = report_of(examine(device))
    rows = [
        (check["name"], _MARKS[check["state"]], f"{check['found']}. {check['remedy']}".rstrip(" ."))
        for check in report["checks"]
    ]
    console.print(table(("What", "", "Found"), rows, n_numbers=1))
    console.print("Everything that the loader needs works." if report["healthy"] else "Something is broken.")
    write_json(json_file, report)
    if not report["healthy"]:
        ctx.exit(DATA)
