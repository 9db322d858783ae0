"""`fieldloom profile`."""

from pathlib import Path
from typing import Any

import click

from .. import options
from ..json_file import STDOUT, write_json


@click.command("profile")
@click.argument("path", type=click.Path(path_type=Path))
@options.recipe
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=10.0,
    show_default=True,
    help="How long to measure.",
)
@click.option("--batches", type=click.IntRange(1), help="Measure this many batches instead.")
@click.option(
    "--rounds", type=click.IntRange(1), default=3, show_default=True, help="Rounds to cut that into."
)
@click.option(
    "--step-ms",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Pretend that a training step takes this long: does the loader keep up?",
)
@options.batch_size
@options.size
@options.seed
@options.threads
@options.device
@options.json_file
def command(
    path: Path,
    seconds: float,
    batches: int | None,
    rounds: int,
    step_ms: float,
    json_file: Path | None,
    **settings: Any,
) -> None:
    """Measure the loader on your images, and say what holds it back.

    PATH is a folder with one folder a class, a folder of images, or one image. Prints images/s, the time
    to the first batch, CPU time an image, where the time goes, and the next knob to turn.
    """
    from ..image_list import open_images
    from ..profile import Settings, profile
    from ..profile_report import show
    from ..terminal import bar, open_console

    console = open_console(stderr=json_file == STDOUT)
    with bar(console, f"profiling {path} (the first run compiles kernels, some 20 s)") as on_progress:
        result = profile(
            open_images(path), Settings(**settings), seconds=seconds, batches=batches, n_rounds=rounds,
            step_s=step_ms / 1e3, on_progress=on_progress,
        )  # fmt: skip
    show(console, result)
    write_json(json_file, result.report())
