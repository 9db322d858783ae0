"""`fieldloom pack`."""

from pathlib import Path
from typing import Any

import click


@click.command("pack")
@click.argument("source", metavar="SRC")
@click.argument("path", metavar="DST", type=click.Path(path_type=Path), required=False)
@click.option("--check", is_flag=True, help="Check every byte of the packed data set SRC; no DST then.")
@click.option(
    "--as",
    "kind",
    type=click.Choice(["raw", "jpeg"]),
    default="raw",
    show_default=True,
    help="Keep pixels (nothing to decode later, some ten times the bytes), or JPEG files.",
)
@click.option(
    "--side",
    type=click.IntRange(0, 65535),
    default=256,
    show_default=True,
    help="Shrink images whose shorter side is longer than this; 0 keeps sizes.",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    default=90,
    show_default=True,
    help="Of JPEG files that are encoded again.",
)
@click.option("--threads", type=click.IntRange(1, 256), help="Threads; all cores if left out.")
@click.option("--overwrite", is_flag=True, help="Replace the packed data set at DST.")
@click.option(
    "--on-bad-sample",
    type=click.Choice(["raise", "skip"]),
    default="raise",
    show_default=True,
    help="Stop at an image that cannot be used, or leave it out and list it.",
)
@click.option("--num-classes", type=click.IntRange(1), help="Check labels against this number of classes.")
@click.option(
    "--max-pixels",
    type=click.IntRange(1, 2**30),
    default=2**27,
    show_default=True,
    help="Images with more pixels cannot be used.",
)
def command(source: str, path: Path | None, check: bool, overwrite: bool, **options: Any) -> None:
    """Decode and shrink a data set once, so that every epoch reads it fast.

    SRC is whatever the loader opens: a folder of class folders, tar shards, a manifest ... DST is the folder
    to write; its parent exists, and nothing is there before all is written. The loader opens DST by its
    path. Images and targets are kept, in the order of SRC.

    \b
    Examples:
      fieldloom pack photos/train packed/train
      fieldloom pack photos/train packed/train --as jpeg --side 512 --quality 95
      fieldloom pack --check packed/train
    """  # noqa: D301 - \b is click's mark for lines that are not wrapped
    from ..terminal import bar, open_console

    if check != (path is None):
        raise click.UsageError("--check takes one folder." if check else "Missing argument 'DST'.")
    console = open_console()
    with bar(console, f"{'checking' if check else 'packing'} {source}") as told:
        on_progress = _Rate(told)
        if path is None:
            from fieldloom.sources import PackedSource

            packed = PackedSource(source)
            packed.verify(on_progress)
        else:
            from fieldloom.sources import pack

            packed = pack(source, path, overwrite=overwrite, on_progress=on_progress, **options)
    _say(console, packed, path, check=check)


class _Rate:
    """From (done, total) to (part, images/s); not more often than somebody can see."""

    def __init__(self, told: Any) -> None:
        import time

        self._told, self._clock = told, time.monotonic
        self._start = self._shown = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        now = self._clock()
        if now - self._shown >= 0.1 or done == total:
            self._shown = now
            self._told(done / total, done / max(now - self._start, 1e-9))


def _say(console: Any, packed: Any, path: Path | None, *, check: bool) -> None:
    text = f"{len(packed)} samples, {packed.n_bytes / 1e6:.1f} MB as {packed.kind}"
    console.print(f"{text}: all checksums match" if check else f"{path}: {text}", markup=False)
    if packed.left_out:
        console.print(f"fields that are not kept: {', '.join(packed.left_out)}", markup=False)
    if packed.n_skipped and not check:
        console.print(f"skipped {packed.n_skipped} samples; fieldloom.json lists them:", markup=False)
        for row in packed.skipped[:10]:
            message = row["message"].encode("unicode_escape", "surrogateescape").decode("ascii", "replace")
            console.print(f"  {message}", markup=False)
