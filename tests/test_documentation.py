"""What documentation owes: its code runs, the names in it exist, and everything public is described."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import fieldloom as fl
from fieldloom.perf.photos import write_photo_folder

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
TESTS = {path.name: path.read_text() for path in (ROOT / "tests").glob("test_*.py")}


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text())


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_some_test_runs_the_code_of_each_page(page: Path) -> None:
    """It reads the page by name, and executes what it finds."""
    running = [
        name
        for name, text in TESTS.items()
        if page.name in text and re.search(r"\bexec\(|run_python\(", text)
    ]
    assert running, f"no test runs the code of {page.name}"


def test_the_code_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_photo_folder(tmp_path / "photos/train", 8)
    found = blocks(ROOT / "README.md")
    assert found
    for block in found:
        short = block.replace("range(90)", "range(2)").replace(
            "batch_size=64, size=224", "batch_size=4, size=32"
        )
        assert short != block, "the README trains for 90 epochs: here 2 must do"
        names: dict[str, object] = {}
        exec(compile(short, "README.md", "exec"), names)
        assert names["epoch"] == 1
        assert tuple(names["images"].shape[1:]) == (3, 32, 32)


@pytest.mark.parametrize("block", blocks(ROOT / "docs/gallery.md"))
def test_the_code_of_gallery_md_makes_recipes(block: str) -> None:
    """One augmentation, or a list of them, that a loader takes."""
    halves = np.repeat([[0.0, 1.0]], 6, axis=1).repeat(12, axis=0).astype(np.float32)
    names = {
        "fl": fl, "images": np.zeros((4, 12, 12, 3), np.uint8),
        "table": np.full((4, 17), 0.5, np.float32), "masks": np.stack([halves, 1 - halves])[None],
    }  # fmt: skip
    exec(compile(f"made = (\n{block})", "gallery.md", "exec"), names)
    made = names["made"] if isinstance(names["made"], list) else [names["made"]]
    with fl.DataLoader((names["images"], [0] * 4), size=12, augment=made, device="cpu") as loader:
        assert loader.plan.height == 12


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_in_pages_exist(page: Path) -> None:
    for name in set(re.findall(r"\bfl\.([A-Za-z_]\w*)", page.read_text())):
        assert hasattr(fl, name), f"{page.name} speaks of fl.{name}"


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"], ids=lambda p: p.name
)
def test_files_in_pages_exist(page: Path) -> None:
    """Links to files, and the paths of ours that a text names."""
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
    known = r"`((?:engine|kernels|pipelines|perf|tests|examples|docs)/[\w./-]+\.\w+)`"
    for target in re.findall(known, text):
        assert (ROOT / target).exists(), f"{page.name} names {target}"


def modules() -> list[ModuleType]:
    found = [fl]
    for info in pkgutil.walk_packages(fl.__path__, "fieldloom."):
        if not info.name.endswith("__main__"):
            found.append(importlib.import_module(info.name))
    return found


def test_everything_public_is_described() -> None:
    """Modules, classes, functions, methods and properties that have a public name, in every package."""
    bare: list[str] = []
    for module in modules():
        if not (module.__doc__ or "").strip():
            bare.append(module.__name__)
        for name, value in vars(module).items():
            if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
                continue
            if inspect.isclass(value) or inspect.isfunction(value):
                bare += _undescribed(f"{module.__name__}.{name}", value)
    assert not bare, bare


def _undescribed(path: str, value: object) -> list[str]:
    bare = [] if (inspect.getdoc(value) or "").strip() else [path]
    if inspect.isclass(value):
        for name, member in vars(value).items():
            inner = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            public = not name.startswith("_") and inspect.isfunction(inner)
            # Inherited descriptions count: an override keeps its contract.
            if public and not (inspect.getdoc(getattr(value, name)) or "").strip():
                bare.append(f"{path}.{name}")
    return bare


@pytest.mark.parametrize("name", fl.__all__)
def test_every_argument_of_the_public_names_is_described(name: str) -> None:
    value = getattr(fl, name)
    if not callable(value) or (inspect.isclass(value) and issubclass(value, BaseException)):
        return
    text = " ".join(filter(None, [inspect.getdoc(value), inspect.getdoc(getattr(value, "__init__", None))]))
    assert text.strip()
    for parameter in inspect.signature(value).parameters.values():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) or parameter.name == "self":
            continue
        assert re.search(rf"\b{parameter.name}\b", text), f"{name}: nothing is said of {parameter.name}"
