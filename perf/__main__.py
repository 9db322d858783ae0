"""`python -m fieldloom.perf`: the benchmarks behind the figures that the documentation claims."""

from pathlib import Path

import click

from . import options
from .command_group import CommandGroup
from .json_file import write_json


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Benchmarks: the same work as each peer, on the same files, in one run."""


@main.command("loader")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Interleaved rounds.")
@options.batch_size
@click.option("--size", type=click.IntRange(1), default=224, show_default=True, help="Output size in pixels.")
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True, help="Threads of each job.")
@click.option(
    "--images",
    type=click.IntRange(1),
    default=2000,
    show_default=True,
    help="Images of an epoch; the data set is repeated as often as that takes.",
)
@options.json_file
def loader(
    path: Path, rounds: int, batch_size: int, size: int, threads: int, images: int, json_file: Path | None
) -> None:
    """Measure whole loaders, ours and others, on an ImageFolder."""
    from .loader_bench import report, run

    result = run(str(path), rounds=rounds, batch_size=batch_size, size=size, threads=threads, n_images=images)
    report(result)
    write_json(json_file, result)


@main.command("randaugment")
@click.option("--rounds", type=click.IntRange(1), default=9, show_default=True, help="Interleaved rounds.")
@options.json_file
def randaugment(rounds: int, json_file: Path | None) -> None:
    """Measure RandAugment on images in memory, by us and by others."""
    from .randaugment_bench import report, run

    result = run(rounds)
    report(result)
    write_json(json_file, result)


@main.command("peers")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--jobs", default="", help="Comma-separated jobs, J1 to J6e; all if left out.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Interleaved rounds.")
@click.option(
    "--seconds", type=click.FloatRange(0.1), default=6.0, show_default=True, help="Length of a peer's round."
)
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True, help="Threads of each peer.")
@click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="PEER=PATH",
    help="Interpreter of another environment, where a peer cannot live in this one.",
)
@click.option("--plots", type=click.Path(path_type=Path), help="Folder that gets the figures as drawings.")
@options.json_file
def peers(
    path: Path, jobs: str, rounds: int, seconds: float, threads: int, pythons: tuple[str, ...],
    plots: Path | None, json_file: Path | None,
) -> None:  # fmt: skip
    """Measure jobs J1 to J6 by everybody who is installed, on an ImageFolder."""
    from .peers.bench import run
    from .peers.plots import draw
    from .peers.report import report
    from .peers.table import JOBS

    chosen = tuple(jobs.split(",")) if jobs else tuple(JOBS)
    result = run(
        path, jobs=chosen, rounds=rounds, seconds=seconds, threads=threads,
        pythons=dict(pair.split("=", 1) for pair in pythons),
        tell=lambda line: click.echo(line, err=True),
    )  # fmt: skip
    report(result)
    write_json(json_file, result)
    if plots is not None:
        draw(result, plots)


@main.command("plots")
@click.argument("result", type=click.Path(path_type=Path, exists=True))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("docs/peers.md"), show_default=True
)
def plots(result: Path, output: Path) -> None:
    """Write a result file of `peers` as a page, and its drawings into a folder of the page's name."""
    import json

    from .peers.page import page
    from .peers.plots import draw

    found = json.loads(result.read_text())
    output.write_text(page(found, result.name), encoding="utf-8")
    for path in (output, *draw(found, output.with_suffix(""))):
        click.echo(path)


@main.command("packed")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True, help="Interleaved rounds.")
@options.batch_size
@click.option("--size", type=click.IntRange(1), default=224, show_default=True, help="Output size in pixels.")
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True, help="Threads of each job.")
@click.option(
    "--images",
    type=click.IntRange(1),
    default=2000,
    show_default=True,
    help="Images of an epoch; the data set is repeated as often as that takes.",
)
@click.option("--ffcv", type=click.Path(exists=True, dir_okay=False), help="A Python that has FFCV.")
@click.option(
    "--start",
    "n_start",
    type=click.IntRange(0),
    default=10_000_000,
    show_default=True,
    help="Samples of the sparse data set whose start is measured; 0 leaves that out.",
)
@options.json_file
def packed(
    path: Path,
    rounds: int,
    batch_size: int,
    size: int,
    threads: int,
    images: int,
    ffcv: str | None,
    n_start: int,
    json_file: Path | None,
) -> None:
    """Measure packed data sets, ours and FFCV's, made from an ImageFolder."""
    from .packed_bench import report, run

    result = run(
        str(path), rounds=rounds, batch_size=batch_size, size=size, threads=threads, n_images=images,
        ffcv=ffcv, n_start=n_start,
    )  # fmt: skip
    report(result)
    write_json(json_file, result)


@main.command("gpu")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="An ImageFolder for the loaders; photographs are drawn if left out.",
)
@click.option("--device", default="cuda", show_default=True, help="cuda or cuda:N.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Interleaved rounds.")
@click.option("--quick", is_flag=True, help="A few rows of each table: to see that everything runs.")
@options.json_file
def gpu(data: Path | None, device: str, rounds: int, quick: bool, json_file: Path | None) -> None:
    """Measure kernels, loaders and others' work on a CUDA GPU."""
    from .gpu_bench import report, run

    result = run(data, device=device, rounds=rounds, quick=quick)
    report(result)
    write_json(json_file, result)


@main.command("fuzz")
@click.option("--files", type=click.IntRange(1), default=20000, show_default=True, help="Damaged files.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of all of them.")
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Processes at a time.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/fuzz"),
    show_default=True,
    help="Folder for files that failed.",
)
@options.json_file
def fuzz(files: int, seed: int, jobs: int, keep: Path, json_file: Path | None) -> None:
    """Load damaged images and tar shards: a value or a named error, never a crash or a hang."""
    from .fuzz import report, run

    result = run(files, seed=seed, jobs=jobs, keep=keep)
    report(result, keep)
    write_json(json_file, result)
    if result["failures"]:
        raise SystemExit(1)


@main.command("soak")
@click.option("--epochs", type=click.IntRange(2), default=200, show_default=True, help="Epochs of each kind.")
@options.json_file
def soak(epochs: int, json_file: Path | None) -> None:
    """Run many epochs and watch memory, threads and file descriptors."""
    from .soak import report, run

    result = run(epochs)
    report(result)
    write_json(json_file, result)


if __name__ == "__main__":
    main(prog_name="python -m fieldloom.perf")
