"""The code of docs/sources.md runs, on tiny data of the kinds that it speaks of."""

import os
import re
from pathlib import Path

import pytest

from helpers import encode, make_folder

os.environ["HF_HUB_OFFLINE"] = "1"

PAGE = (Path(__file__).parents[1] / "docs" / "sources.md").read_text()
BLOCKS = re.findall(r"(<!-- needs (\w+) -->\n)?```python\n(.*?)```", PAGE, re.DOTALL)


def prepare(root: Path) -> None:
    files = [str(path.relative_to(root)) for path in make_folder(root / "photos/train", 8)]
    for name in "ab":
        (root / f"photos/{name}.jpg").write_bytes(encode(ord(name)))
    rows = [f"{file},{i % 2},photo {i}\n" for i, file in enumerate(files)]
    (root / "train.csv").write_text("image,label,caption\n" + "".join(rows))
    rows = [f"{file.removeprefix('photos/')},{'cat' if i % 2 else 'dog'},3\n" for i, file in enumerate(files)]
    (root / "odd.csv").write_text("photo_file,species,weight\n" + "".join(rows))


def test_there_is_code() -> None:
    assert len(BLOCKS) == 7


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_code(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, needs, code = BLOCKS[number]
    pytest.importorskip(needs or "fieldloom")
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/sources.md", "exec"), {"__name__": "page"})
