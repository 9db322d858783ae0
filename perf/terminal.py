"""What commands print: rich on a terminal, plain lines everywhere else."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

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


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, n_numbers: int) -> Table:
    """A table: a name, `n_numbers` numbers, then text."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, heading in enumerate(headings):
        made.add_column(heading, justify="right" if 1 <= index <= n_numbers else "left", no_wrap=True)
    for row in rows:
        made.add_row(*row)
    return made
