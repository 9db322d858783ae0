"""Write a report as JSON: to a file, or to the standard output."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Path that means the standard output; a command's own text goes to stderr then.
STDOUT = Path("-")


def write_json(path: Path | None, report: Mapping[str, Any]) -> None:
    """Write `report`; nothing if no path was given."""
    if path is None:
        return
    text = json.dumps(report, indent=2) + "\n"
    if path == STDOUT:
        print(text, end="")
    else:
        path.write_text(text, encoding="utf-8")
