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


if __name__ == "__main__":
    main(prog_name="python -m fieldloom.perf")
