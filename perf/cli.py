"""The command line. Commands import what they need when they run, so that `--help` is there at once."""

from pathlib import Path
from typing import Any

import click

from fieldloom import __version__

from . import options
from .command_group import CommandGroup
from .json_file import STDOUT, write_json

_EPILOG = """\b
Examples:
  fieldloom demo
  fieldloom preview photos/train -o sheet.png --recipe rfa --samples 6
  fieldloom profile photos/train --batch-size 128 --json profile.json

Exit codes: 0 done, 1 the data is bad, 2 the call is wrong, 130 Ctrl-C."""


@click.group(
    cls=CommandGroup,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="fieldloom")
def main() -> None:
    """Load and augment images for PyTorch: DALI decodes, fused random-field kernels augment."""


@main.command("demo")
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
def demo_command(
    data: Path, output: Path, images: int, seconds: float, json_file: Path | None, **settings: Any
) -> None:
    """Run the main job on photographs drawn here, and write demo.png.

    Draws some 200 JPEG photographs, loads and augments them, prints images/s and CPU time an image, and
    writes a contact sheet. Needs no data, no network and no GPU.
    """
    from .demo import DemoPlan, demo
    from .profile import Settings
    from .terminal import open_console

    plan = DemoPlan(data, output, Settings(**settings), images, seconds)
    write_json(json_file, demo(plan, open_console(stderr=json_file == STDOUT)))


@main.command("preview")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=options.OutputFile(),
    default=Path("sheet.png"),
    show_default=True,
    help="Contact sheet to write.",
)
@options.recipe
@click.option(
    "--samples", type=click.IntRange(1, 64), default=8, show_default=True, help="Rows of the sheet."
)
@click.option(
    "--epochs", type=click.IntRange(1, 16), default=5, show_default=True, help="Versions of each sample."
)
@options.batch_size
@options.size
@options.seed
@options.threads
@options.device
@options.json_file
def preview_command(
    path: Path, output: Path, json_file: Path | None, size: int | tuple[int, int], **choices: Any
) -> None:
    """Draw a sheet of what a recipe makes of your images.

    PATH is a folder with one folder a class, a folder of images, or one image. Each row shows a sample as
    it is, and exactly what a DataLoader with this seed delivers of it in the first epochs.
    """
    from .image_list import open_images
    from .preview import preview
    from .terminal import open_console, step

    console = open_console(stderr=json_file == STDOUT)
    with step(console, "drawing the sheet (the first run compiles kernels, some 20 s)"):
        result = preview(open_images(path), size=size, **choices)
        result.sheet.save(output, format="PNG")
    console.print(f"Wrote {output}: {len(result.report['samples'])} samples.", markup=False)
    write_json(json_file, {**result.report, "sheet": str(output)})


@main.command("profile")
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
def profile_command(
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
    from .image_list import open_images
    from .profile import Settings, profile
    from .profile_report import show
    from .terminal import bar, open_console

    console = open_console(stderr=json_file == STDOUT)
    with bar(console, f"profiling {path} (the first run compiles kernels, some 20 s)") as on_progress:
        result = profile(
            open_images(path), Settings(**settings), seconds=seconds, batches=batches, n_rounds=rounds,
            step_s=step_ms / 1e3, on_progress=on_progress,
        )  # fmt: skip
    show(console, result)
    write_json(json_file, result.report())
