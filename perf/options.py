"""Command line options that several commands share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


class Size(click.ParamType):
    """`224`, or `HEIGHTxWIDTH`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A number or a pair; whether it is in range, the loader says."""
        if not isinstance(value, str):
            return value
        try:
            sides = [int(part) for part in value.lower().split("x")]
        except ValueError:
            sides = []
        if len(sides) not in (1, 2):
            self.fail(f"{value!r} is neither a number of pixels nor HEIGHTxWIDTH.", param, ctx)
        return sides[0] if len(sides) == 1 else (sides[0], sides[1])


class OutputFile(click.Path):
    """A file to write; that its folder is there is checked before the work, not behind it."""

    def __init__(self, *, allow_dash: bool = False) -> None:
        super().__init__(dir_okay=False, writable=True, allow_dash=allow_dash, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, or a usage error."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not path.parent.is_dir():
            self.fail(f"there is no folder {str(path.parent)!r}.", param, ctx)
        return path


def batch_size(command: Callable[..., Any]) -> Callable[..., Any]:
    """--batch-size."""
    return click.option("--batch-size", default=64, show_default=True, help="Samples of a batch.")(command)


def device(command: Callable[..., Any]) -> Callable[..., Any]:
    """--device."""
    return click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")(
        command
    )


def size(command: Callable[..., Any]) -> Callable[..., Any]:
    """--size."""
    return click.option(
        "--size", type=Size(), default=224, show_default=True, help="Output size in pixels, or HEIGHTxWIDTH."
    )(command)


def seed(command: Callable[..., Any]) -> Callable[..., Any]:
    """--seed."""
    return click.option("--seed", default=0, show_default=True, help="Decides order and augmentations.")(
        command
    )


def threads(command: Callable[..., Any]) -> Callable[..., Any]:
    """--threads."""
    return click.option(
        "--threads", type=int, help="Threads of each stage; all cores, at most 8, if left out."
    )(command)


def recipe(command: Callable[..., Any]) -> Callable[..., Any]:
    """--recipe."""
    return click.option(
        "--recipe",
        default="rfa",
        show_default=True,
        help="A preset: imagenet, imagenet_randaugment, imagenet_fmix, rfa, cifar, trivial, rfa_shear ...",
    )(command)


def json_file(command: Callable[..., Any]) -> Callable[..., Any]:
    """--json."""
    return click.option(
        "--json",
        "json_file",
        type=OutputFile(allow_dash=True),
        help="Write the figures as JSON (- is stdout).",
    )(command)
