"""Errors: a tree of classes that take one string, keep their parts, and pickle."""

import pickle

import pytest

from fieldloom import errors
from fieldloom.errors import DecodeError, FieldloomError
from helpers import run_python

CLASSES = [
    value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, FieldloomError)
]


@pytest.mark.parametrize("kind", CLASSES)
def test_each_class_pickles_with_its_parts(kind) -> None:
    error = kind.make("cannot do", why="no reason", remedy="Try again.", sample=3, file="x.jpg")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == str(error) == "cannot do sample 3 (x.jpg): no reason. Try again."
    assert vars(copy) == vars(error)
    assert str(kind("one string")) == "one string"


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        ("ArgumentError", ValueError),
        ("MissingError", FileNotFoundError),
        ("DeviceError", RuntimeError),
        ("StateError", ValueError),
        ("WorkerError", RuntimeError),
        ("WorkerStalled", TimeoutError),
    ],
)
def test_builtin_bases(kind: str, base: type) -> None:
    assert issubclass(getattr(errors, kind), base)


def test_the_drawn_tree_is_the_real_one() -> None:
    drawn = {
        line.split("─ ")[1].split()[0].split("(")[0] for line in errors.__doc__.splitlines() if "─ " in line
    }
    assert drawn == {kind.__name__ for kind in CLASSES} - {"FieldloomError"}


def test_parts_that_are_missing() -> None:
    assert str(FieldloomError.make("it failed")) == "it failed."
    assert str(FieldloomError.make("it failed", sample=3)) == "it failed sample 3."
    assert str(FieldloomError.make("it failed", file="a")) == "it failed a."


def test_located() -> None:
    error = DecodeError.make("cannot decode", why="it is cut", remedy="Remove it.").located(4, "a\nb.jpg")
    assert str(error) == "cannot decode sample 4 (a\\nb.jpg): it is cut. Remove it."
    assert (error.sample, error.file) == (4, "a\nb.jpg")


def test_bare_keeps_no_frame() -> None:
    import weakref

    class Big:
        pass

    def fail():
        big = Big()
        alive.append(weakref.ref(big))
        try:
            raise ValueError("inner")
        except ValueError as inner:
            raise DecodeError.make("outer") from inner

    alive: list = []
    kept = []
    try:
        fail()
    except DecodeError as error:
        kept.append(error.bare())
    assert alive[0]() is None
    assert isinstance(kept[0].__cause__, ValueError)


def test_errors_are_made_where_no_file_can_be_opened() -> None:
    """Python reads a codec from disk at its first use, and an error may say that no descriptor is left."""
    code = (
        "import builtins, io, os, sys\n"
        "from fieldloom.errors import SourceError\n"
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "sys.stdout.write(str(SourceError.make('cannot open', file='a\\nb')))"
    )
    out = run_python(code)
    assert out.stdout == r"cannot open a\nb.", out.stderr
