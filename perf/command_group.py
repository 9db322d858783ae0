"""A click group whose commands end with one clean line and an exit code, never with a traceback."""

import importlib
from collections.abc import Mapping
from typing import Any

import click

from fieldloom.errors import FieldloomError, SampleError, SourceError, TooManyBadSamples

#: Exit codes: the data is bad, the call is wrong, Ctrl-C.
DATA, USAGE, INTERRUPTED = 1, 2, 130


class CommandGroup(click.Group):
    """Lists its commands in the order of their definition, and turns errors into exit codes.

    Args:
        table: Name -> module whose `command` it is, imported when that command is asked for.
        *args: As for `click.Group`.
        **options: As for `click.Group`.
    """

    def __init__(self, *args: Any, table: Mapping[str, str] | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._table = dict(table or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names as defined: the order in which people meet them."""
        return [*self._table, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; its module is imported now."""
        if cmd_name in self._table:
            command: click.Command = importlib.import_module(self._table[cmd_name]).command
            return command
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command.

        Errors of ours print their own text: exit code 1 for data errors, 2 for the others. A file that
        cannot be written is 1, Ctrl-C is 130.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("\nInterrupted.", err=True)
            ctx.exit(INTERRUPTED)
        except FieldloomError as error:
            click.echo(f"Error: {_one_line(str(error))}", err=True)
            ctx.exit(DATA if isinstance(error, (SampleError, SourceError, TooManyBadSamples)) else USAGE)
        except BrokenPipeError:
            raise  # `| head` has read enough: click ends quietly
        except OSError as error:
            if error.filename is None:
                raise
            click.echo(f"Error: {_one_line(str(error.filename))}: {error.strerror}.", err=True)
            ctx.exit(DATA)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] != "nvidia":
                raise
            click.echo("Error: DALI is not installed. Run: pip install 'fieldloom[cpu]'", err=True)
            ctx.exit(USAGE)


def _one_line(text: str) -> str:
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())
