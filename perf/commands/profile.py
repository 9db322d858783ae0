"""`fieldloom profile`."""

from pathlib import Path
from typing import Any

import click

from .. import options
from ..json_file import STDOUT, write_json


@click.command("profile")
@click.argument("target", nargs=-1, required=True, metavar="PATH | MODULE:OBJECT")
@options.recipe
@click.option(
    "--seconds",
    type=click.FloatRange(0, 86400, min_open=True),
    default=10.0,
    show_default=True,
    help="How long to measure.",
)
@click.option("--batches", type=click.IntRange(1), help="Measure this many batches instead.")
@click.option(
    "--rounds", type=click.IntRange(1), default=3, show_default=True, help="Rounds to cut that into."
)
@click.option(
    "--train-step",
    "--step-ms",
    "train_step",
    metavar="MS | MODULE:FUNCTION",
    help="A training step behind each batch: milliseconds, or a function of the batch. Does the loader hide?",
)
@click.option("--ideal", is_flag=True, help="Also run the step on cached batches: a perfect loader.")
@click.option(
    "--sweep",
    multiple=True,
    metavar="NAME=N,N...",
    help="Also measure other settings: --sweep threads=1,2,4 batch=32,64 (and prefetch).",
)
@click.option(
    "--against",
    multiple=True,
    type=click.Choice(["torch", "dali", "albumentations", "timm"]),
    help="Also measure a peer with the same recipe on the same data; may be given several times.",
)
@click.option("--no-ablation", is_flag=True, help="Do not run the loader's parts alone.")
@options.batch_size
@options.size
@options.seed
@options.threads
@options.device
@options.json_file
@click.option("--html", type=options.OutputFile(), help="Write a page with pictures; needs no network.")
@click.option("--trace", type=options.OutputFile(), help="Write a trace for ui.perfetto.dev.")
def command(
    target: tuple[str, ...],
    seconds: float,
    batches: int | None,
    rounds: int,
    train_step: str | None,
    ideal: bool,
    sweep: tuple[str, ...],
    against: tuple[str, ...],
    no_ablation: bool,
    json_file: Path | None,
    html: Path | None,
    trace: Path | None,
    **settings: Any,
) -> None:
    """Say where a loader's time goes, and what to change.

    PATH is a data set that our loader reads: a folder with one folder a class, a folder of images, one image,
    shards, a packed set. MODULE:OBJECT (or FILE.py:OBJECT) is any iterable of batches, or a function that
    returns one: a torch DataLoader, a DALI iterator, a generator. Recipe, batch size, size, seed, threads
    and device are those of our loader, and do nothing for others.
    """
    from ..profiling.loading import open_target
    from ..profiling.profile import Plan, profile
    from ..profiling.report import report_of
    from ..profiling.report_text import show
    from ..profiling.settings import Settings
    from ..profiling.sweep import is_axis, parse_sweep
    from ..profiling.training import parse_step
    from ..terminal import open_console, phases

    # `--sweep threads=1,2 batch=32,64`: what follows the option's one value arrives among the arguments.
    axes = [text for text in target if sweep and is_axis(text)]
    named = [text for text in target if text not in axes]
    if len(named) != 1:
        raise click.UsageError(f"Give one PATH or MODULE:OBJECT, not {len(named)}: {' '.join(named)}")
    points = parse_sweep([*sweep, *axes])
    opened = open_target(named[0], Settings(**settings))
    plan = Plan(
        seconds=seconds, batches=batches, n_rounds=rounds, sweep=points,
        step=None if train_step is None else parse_step(train_step), ideal=ideal,
        against=tuple(dict.fromkeys(against)), ablate=not no_ablation,
    )  # fmt: skip
    console = open_console(stderr=json_file == STDOUT)
    with phases(console) as tell:
        result = profile(opened, plan, tell)
    report = report_of(result)
    show(console, report)
    write_json(json_file, report)
    if html is not None:
        from ..profiling.report_html import write_html

        write_html(html, report, result.timeline)
        console.print(f"Wrote {html}.", markup=False)
    if trace is not None:
        from ..profiling.trace import write_trace

        write_trace(trace, result.timeline, named[0])
        console.print(f"Wrote {trace}: open it at ui.perfetto.dev.", markup=False)
