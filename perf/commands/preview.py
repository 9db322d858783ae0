"""`fieldloom preview`."""

from pathlib import Path
from typing import Any

import click

from .. import options
from ..json_file import STDOUT, write_json


@click.command("preview")
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
def command(
    path: Path, output: Path, json_file: Path | None, size: int | tuple[int, int], **choices: Any
) -> None:
    """Draw a sheet of what a recipe makes of your images.

    PATH is a folder with one folder a class, a folder of images, or one image. Each row shows a sample as
    it is, and exactly what a DataLoader with this seed delivers of it in the first epochs.
    """
    from ..image_list import open_images
    from ..preview import preview
    from ..terminal import open_console, step

    console = open_console(stderr=json_file == STDOUT)
    with step(console, "drawing the sheet (the first run compiles kernels, some 20 s)"):
        result = preview(open_images(path), size=size, **choices)
        result.sheet.save(output, format="PNG")
    console.print(f"Wrote {output}: {len(result.report['samples'])} samples.", markup=False)
    write_json(json_file, {**result.report, "sheet": str(output)})
