"""The layout's rules: imports point down, packages are complete, and nothing unsafe is in the tree."""

import ast
import fnmatch
import importlib.util
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGE_DIRS: dict[str, str] = PROJECT["tool"]["setuptools"]["package-dir"]
FOLDERS = ("engine", "kernels", "pipelines", "perf")
LAYERS = {"fieldloom.kernels": 0, "fieldloom.pipelines": 1, "fieldloom": 2, "fieldloom.perf": 3}
UPWARD = {("engine/__main__.py", "fieldloom.perf")}  # `python -m fieldloom` is the command line
FREE = "fieldloom.errors"  # imports nothing, and may be imported by all
FORBIDDEN_NAMES = {"utils", "util", "common", "misc", "helpers"}
OTHERS_NAMES = (
    "PIL pillow albumentations build click cupy cv2 dali ffcv fsspec hypothesis jax kornia llvmlite mypy "
    "numba numpy nvidia nvimgcodec pandas psutil pytest rich ruff scipy setuptools skimage timm torch "
    "torchvision tqdm webdataset"
)
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
MACHINE_PATH = re.compile(r"(?<![\w.<>{}/-])/(?:tmp|root|home|work|mnt|Users|var|scratch)/\w")


def modules() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def name_of(path: Path) -> str:
    """A file's module name, through the packaging table."""
    folder = path.parent.relative_to(ROOT).as_posix()
    package = {value: key for key, value in PACKAGE_DIRS.items()}[folder]
    return package if path.stem == "__init__" else f"{package}.{path.stem}"


def layer_of(module: str) -> int:
    package = max((name for name in LAYERS if f"{module}.".startswith(f"{name}.")), key=len)
    return LAYERS[package]


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """(module, line) of what a file imports, also inside functions; names of ours are resolved fully."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                anchor = name_of(path).split(".")
                anchor = anchor[: len(anchor) - node.level + (path.stem == "__init__")]
                base = ".".join([*anchor, *([base] if base else [])])
            # `from fieldloom import kernels` imports a package, `from fieldloom import errors` a module.
            yield from (
                (f"{base}.{alias.name}" if base == "fieldloom" else base, node.lineno) for alias in node.names
            )


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_down(path: Path) -> None:
    here = path.relative_to(ROOT).as_posix()
    own = name_of(path)
    for module, line in imports(path):
        if not f"{module}.".startswith("fieldloom.") or module == FREE:
            continue
        if any(here == file and f"{module}.".startswith(f"{package}.") for file, package in UPWARD):
            continue
        assert own != FREE, f"{here}:{line} imports {module}; errors import nothing"
        assert layer_of(module) <= layer_of(own), f"{here}:{line} imports {module}, which lies above"


def test_the_import_rule_sees_an_upward_import(tmp_path: Path) -> None:
    """The test above must be able to fail."""
    for code, expected in (
        ("from fieldloom import DataLoader", 2),
        ("import fieldloom.perf.cli", 3),
        ("def f():\n    from fieldloom.pipelines.crops import x", 1),
    ):
        (tmp_path / "x.py").write_text(code)
        assert [layer_of(module) for module, _ in imports(tmp_path / "x.py")] == [expected]


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_module_names(path: Path) -> None:
    assert path.stem not in FORBIDDEN_NAMES, "name the concept"
    assert path.stem not in OTHERS_NAMES.split(), "an installed package has that name"
    assert not (path.parent.name == "engine" and path.stem in FOLDERS), "would hide the package of that name"


def test_packages_are_in_both_tables() -> None:
    """A folder that is missing there works in the editable install, and is absent from the wheel."""
    folders = {path.parent.relative_to(ROOT).as_posix() for path in modules()}
    assert folders == set(PACKAGE_DIRS.values())
    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(PACKAGE_DIRS)
    for package, folder in PACKAGE_DIRS.items():
        assert (ROOT / folder / "__init__.py").is_file(), package


def test_data_files_are_packaged() -> None:
    table = PROJECT["tool"]["setuptools"]["package-data"]
    for package, folder in PACKAGE_DIRS.items():
        for path in (ROOT / folder).iterdir():
            if path.is_file() and path.suffix != ".py" and not path.name.startswith("."):
                assert any(fnmatch.fnmatch(path.name, pattern) for pattern in table.get(package, [])), path


@pytest.mark.parametrize("package", sorted(PACKAGE_DIRS))
def test_package_refuses_a_second_import_name(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`import engine` from the root would make every class twice, each unequal to its twin."""
    folder = ROOT / PACKAGE_DIRS[package]
    spec = importlib.util.spec_from_file_location("other", folder / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "other", module)  # so that its relative imports find it
    try:
        with pytest.raises(ImportError, match=re.escape(f"import {package}")):
            spec.loader.exec_module(module)
    finally:
        for name in [name for name in sys.modules if name.startswith("other.")]:
            del sys.modules[name]


def unsafe(tree: ast.AST) -> Iterator[str]:
    """What would run code that comes with data."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in PICKLES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PICKLES:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in {"eval", "exec", "torch.load", "builtins.eval", "builtins.exec"}:
                yield called
            for keyword in node.keywords:
                constant = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
                if keyword.arg == "allow_pickle" and constant is not False:
                    yield "allow_pickle"
                if keyword.arg == "shell" and constant is not False:
                    yield "shell"


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_runs_code_from_data(path: Path) -> None:
    assert list(unsafe(ast.parse(path.read_bytes()))) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "eval('1')",
        "exec(text)",
        "torch.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=flag)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_the_safety_rule_sees(code: str) -> None:
    assert list(unsafe(ast.parse(code)))
    assert not list(unsafe(ast.parse("model.eval(); np.load(path, allow_pickle=False); re.compile('x')")))


def test_no_path_of_one_machine() -> None:
    """Sources, documents and results must mean the same on every machine."""
    kinds = {".py", ".cu", ".md", ".toml", ".json", ".in", ".yml", ".cfg", ""}
    places = [ROOT / name for name in (*FOLDERS, "docs", "examples", "tests", ".ci")]
    files = [path for place in places if place.is_dir() for path in place.rglob("*")]
    files += [path for path in ROOT.iterdir() if not path.name.startswith(".")]
    for path in files:
        if (
            path.is_file()
            and path.suffix in kinds
            and path != Path(__file__)
            and "__pycache__" not in path.parts
        ):
            found = MACHINE_PATH.search(path.read_text())
            assert found is None, f"{path.relative_to(ROOT)}: {found}"
