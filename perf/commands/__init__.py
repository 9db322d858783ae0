"""The commands of the command line, one a file: its `command` is a `click.Command`.

A file imports click and options at its top and everything else when it runs, so that `--help` is there at
once. `fieldloom.perf.cli` lists the commands.
"""

if __name__ != "fieldloom.perf.commands":
    raise ImportError(
        "this folder is the package fieldloom.perf.commands: install the project (pip install -e .) "
        "and import fieldloom.perf.commands"
    )
