"""docs/profiling.md: its code and its commands run, its table names every verdict."""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fieldloom.perf.cli import main
from fieldloom.perf.commands.profile import command
from fieldloom.perf.profiling.verdict import _SPENT
from helpers import make_folder

PAGE = (Path(__file__).parents[1] / "docs/profiling.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = re.findall(r"^\$ fieldloom (.*?)(?: #.*)?$", PAGE, re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder as the page has it: `loaders.py`, and photographs."""
    (tmp_path / "loaders.py").write_text(CODE[0])
    (tmp_path / "training").mkdir()
    (tmp_path / "training/data.py").write_text(CODE[0])
    make_folder(tmp_path / "photos/train", 6)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("loaders", "data"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield tmp_path
    for name in ("loaders", "data"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("text", COMMANDS)
def test_commands_run(text: str, folder: Path) -> None:
    arguments = shlex.split(text.replace("--seconds 1", "--seconds 0.1"))
    if arguments[0] == "profile" and "--seconds" not in arguments:
        arguments += ["--seconds", "0.1", "--size", "32"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    if "--html" in arguments:
        assert (folder / arguments[arguments.index("--html") + 1]).exists()
    if "--sweep" in arguments:
        assert "threads=1 batch=16" in result.output


def test_code_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(CODE) == 2
    sys.path.insert(0, str(folder))
    names: dict[str, Any] = {}
    exec(compile(CODE[1].replace("seconds=1.0", "seconds=0.1"), "profiling.md", "exec"), names)
    assert capsys.readouterr().out.startswith(names["report"]["bound"])
    json.dumps(names["report"], allow_nan=False)


def test_every_verdict_is_in_the_table() -> None:
    for bound in {*_SPENT, "consumer", "mixed"} - {"header", "copy", "other"}:
        assert re.search(rf"^\| `{bound}` \|", PAGE, re.MULTILINE), bound


def test_options_that_are_named_exist() -> None:
    known = {option for parameter in command.params for option in parameter.opts}
    for option in set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", PAGE)):
        assert option in known, option
