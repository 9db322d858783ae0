"""What commands print: rich on a terminal, plain lines everywhere else."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table


def open_console(*, stderr: bool = False) -> Console:
    """A console; numbers in running text are not colored."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True)


@contextmanager
def step(console: Console, text: str) -> Iterator[None]:
    """A spinner while a step lasts; one plain line where nobody watches."""
    if not console.is_terminal:
        console.print(f"{text} ...", markup=False)
        yield
        return
    with console.status(f"{text} ..."):
        yield


@contextmanager
def bar(console: Console, text: str) -> Iterator[Callable[[float, float], None]]:
    """A progress bar that is told (part done 0..1, images/s); one plain line where nobody watches."""
    if not console.is_terminal:
        console.print(f"{text} ...", markup=False)
        yield lambda part, rate: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[rate]:>7,.0f} images/s"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(text, total=1.0, rate=0.0)
        yield lambda part, rate: progress.update(task, completed=part, rate=rate)


@contextmanager
def phases(console: Console) -> Iterator[Callable[[str, float, float], None]]:
    """A progress bar that is told (what is done, part done 0..1, images/s); else a line each."""
    said = ""
    if not console.is_terminal:

        def say(text: str, part: float, rate: float) -> None:
            nonlocal said
            if text != said:
                console.print(f"{text} ...", markup=False)
            said = text

        yield say
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=1.0, rate="")

        def tell(text: str, part: float, rate: float) -> None:
            shown = f"{rate:>7,.0f} images/s" if rate else ""
            progress.update(task, description=text, completed=part, rate=shown)

        yield tell


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, n_numbers: int) -> Table:
    """A table: a name, `n_numbers` numbers, then text."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, heading in enumerate(headings):
        side: Literal["left", "right"] = "right" if 1 <= index <= n_numbers else "left"
        made.add_column(heading, justify=side, no_wrap=index <= n_numbers)
    for row in rows:
        made.add_row(*row)
    return made
