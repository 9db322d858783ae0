"""Every example in a docstring runs."""

import doctest
import importlib
import pkgutil

import pytest

import fieldloom

SKIPPED = ("__main__", "cli")


def modules() -> list[str]:
    names = [info.name for info in pkgutil.walk_packages(fieldloom.__path__, "fieldloom.")]
    for part in ("kernels", "pipelines", "perf", "sources"):
        package = importlib.import_module(f"fieldloom.{part}")
        names += [info.name for info in pkgutil.walk_packages(package.__path__, f"fieldloom.{part}.")]
    return sorted({name for name in names if name.rpartition(".")[2] not in SKIPPED})


@pytest.mark.parametrize("name", modules())
def test_examples(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("fieldloom"):
            raise
        pytest.skip(f"{error.name} is not installed")
    result = doctest.testmod(module)
    assert result.failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [
        t
        for name in ("loader", "replay")
        for t in finder.find(importlib.import_module(f"fieldloom.{name}"))
        if t.examples
    ]
    assert len(found) >= 2
