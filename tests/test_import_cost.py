"""What `import fieldloom` loads: NumPy and its own few files, until something heavy is used."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "nvidia.dali", "nvidia.nvimgcodec", "cupy", "numba", "PIL", "rich", "click")


def run(code: str) -> str:
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    return out.stdout.strip()


@pytest.mark.parametrize("name", ["fieldloom", "fieldloom.kernels", "fieldloom.sources", "fieldloom.errors"])
def test_import_loads_nothing_heavy(name: str) -> None:
    """No limit in seconds: that would fail on a busy machine. These modules are where the seconds go."""
    assert run(f"import sys, {name}; print([m for m in {HEAVY} if m in sys.modules])") == "[]"


@pytest.mark.parametrize(
    "name", ["fieldloom", "fieldloom.kernels", "fieldloom.sources", "fieldloom.pipelines"]
)
def test_import_works_where_nothing_heavy_is_installed(name: str) -> None:
    block = f"import sys; sys.modules.update(dict.fromkeys({HEAVY}))"  # None there makes the import fail
    assert run(f"{block}; import {name}; print({name}.__name__)") == name
