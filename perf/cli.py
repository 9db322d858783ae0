"""The command line: a table of commands, each imported when it is asked for; `--help` is there at once."""

import click

from fieldloom import __version__

from .command_group import CommandGroup

#: Name -> module that holds its `command`, in the order in which people meet them.
COMMANDS = {
    "demo": "fieldloom.perf.commands.demo",
    "pack": "fieldloom.perf.commands.pack",
    "preview": "fieldloom.perf.commands.preview",
    "profile": "fieldloom.perf.commands.profile",
    "doctor": "fieldloom.perf.commands.doctor",
}

_EPILOG = """\b
Examples:
  fieldloom demo
  fieldloom preview photos/train -o sheet.png --recipe rfa --samples 6
  fieldloom profile photos/train --html profile.html
  fieldloom doctor

Exit codes: 0 done, 1 the data is bad, 2 the call is wrong, 130 Ctrl-C."""


@click.group(
    cls=CommandGroup,
    table=COMMANDS,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="fieldloom")
def main() -> None:
    """Load and augment images for PyTorch: DALI decodes, fused random-field kernels augment."""
