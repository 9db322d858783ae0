"""The wheel and the source distribution hold what the tree holds, and the installed wheel works."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
PACKAGE_DIRS: dict[str, str] = SETUPTOOLS["package-dir"]

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    out = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stdout + out.stderr
    return out.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both distributions, the wheel built from the sdist, in a copy: a build leaves files in its tree."""
    tree = tmp_path_factory.mktemp("build") / "tree"
    litter = shutil.ignore_patterns(
        ".venv", ".git", "build", "dist", "*.egg-info", "demo-data", ".*_cache", "__pycache__"
    )
    shutil.copytree(ROOT, tree, ignore=litter)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", tree / "dist", tree, cwd=tree)
    return tree / "dist"


@pytest.fixture(scope="module")
def python(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel in it, and the dependencies of this one."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=False, symlinks=True)
    executable = home / "bin" / "python"
    site = Path(
        run(executable, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).strip()
    )
    # A folder that a .pth file names is searched, but .pth files in it are not run: the editable install
    # of this environment, which is one, stays invisible.
    (site / "dependencies.pth").write_text(
        sysconfig.get_path("purelib") + "\n" + sysconfig.get_path("platlib")
    )
    wheel = next(dist.glob("*.whl"))
    run(sys.executable, "-m", "pip", "--python", executable, "install", "-q", "--no-deps", "--no-index",
        "--ignore-installed", wheel, cwd=home)  # fmt: skip
    return executable


def test_wheel_holds_the_packages_and_nothing_else(dist: Path) -> None:
    expected = set()
    for package, folder in PACKAGE_DIRS.items():
        patterns = ["*.py", *SETUPTOOLS["package-data"].get(package, [])]
        names = {path.name for pattern in patterns for path in (ROOT / folder).glob(pattern)}
        expected |= {f"{package.replace('.', '/')}/{name}" for name in names}
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
        assert held == expected
        assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.namelist())


def test_sdist_holds_all_that_the_tests_need(dist: Path) -> None:
    with tarfile.open(next(dist.glob("*.tar.gz"))) as sdist:
        held = {name.partition("/")[2] for name in sdist.getnames()}
    needed = {"Makefile", "LICENSE", "README.md", "pyproject.toml", ".ci/run"}
    needed |= {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*") if path.suffix == ".py"
    }
    needed |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "kernels").glob("*.cu")}
    assert needed <= held
    assert not [name for name in held if "__pycache__" in name or name.endswith(".pyc")]


@pytest.mark.parametrize("package", sorted(PACKAGE_DIRS))
def test_installed_package_imports(python: Path, package: str) -> None:
    place = run(python, "-c", f"import {package}; print({package}.__file__)", cwd=python.parent).strip()
    assert Path(place).is_relative_to(python.parent.parent)


def test_installed_command_line(python: Path) -> None:
    for command in ([python.parent / "fieldloom"], [python, "-m", "fieldloom"]):
        assert "0.1.0" in run(*command, "--version", cwd=python.parent)
