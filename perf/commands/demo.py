"""`fieldloom demo`."""

from pathlib import Path
from typing import Any

import click

from .. import options
from ..json_file import STDOUT, write_json


@click.command("demo")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path("demo-data"),
    show_default=True,
    help="Folder for the photographs that the demo draws.",
)
@click.option(
    "-o",
    "--output",
    type=options.OutputFile(),
    default=Path("demo.png"),
    show_default=True,
    help="Contact sheet to write.",
)
@click.option("--images", type=click.IntRange(8), default=200, show_default=True, help="Photographs to draw.")
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=4.0,
    show_default=True,
    help="How long each recipe is measured.",
)
@options.batch_size
@options.size
@options.seed
@options.threads
@options.device
@options.json_file
def command(
    data: Path, output: Path, images: int, seconds: float, json_file: Path | None, **settings: Any
) -> None:
    """Run the main job on photographs drawn here, and write demo.png.

    Draws some 200 JPEG photographs, loads and augments them, prints images/s and CPU time an image, and
    writes a contact sheet. Needs no data, no network and no GPU.
    """
    from ..demo import DemoPlan, demo
    from ..profiling.settings import Settings
    from ..terminal import open_console

    plan = DemoPlan(data, output, Settings(**settings), images, seconds)
    write_json(json_file, demo(plan, open_console(stderr=json_file == STDOUT)))
