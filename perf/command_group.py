"""A click group whose commands end with one clean line and an exit code, never with a traceback."""

from typing import Any

import click

from fieldloom.errors import FieldloomError, SampleError, SourceError, TooManyBadSamples

#: Exit codes: the data is bad, the call is wrong, Ctrl-C.
DATA, USAGE, INTERRUPTED = 1, 2, 130


class CommandGroup(click.Group):
    """Lists its commands in the order of their definition, and turns errors into exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names as defined: the order in which people meet them."""
        return list(self.commands)

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
