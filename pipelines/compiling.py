"""Where DALI operators get their recipes compiled: by the engine, which lies above and says so itself.

This package may not import the engine. The engine registers what compiles when `fieldloom` is imported, which
always happens before any module of this package can be.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fieldloom.errors import ArgumentError

if TYPE_CHECKING:
    from inspect import Parameter

    import numpy as np

    from fieldloom.kernels.plan import PassPlan


@dataclass(frozen=True, slots=True)
class Named:
    """An operation that a graph may name.

    Attributes:
        name: Such as "equalize".
        group: Its group in the registry, such as "single operations".
        build: Takes `options` by keyword, and makes the augmentation.
        options: What the user may pass, with defaults.
        says: One line on what it does.
        doc: The docstring of the augmentation it makes.
    """

    name: str
    group: str
    build: Callable[..., Any]
    options: "tuple[Parameter, ...]"
    says: str
    doc: str


@dataclass(frozen=True, slots=True)
class Files:
    """A data set of files.

    Attributes:
        names: Paths, by sample id.
        targets: Class indices (n,), or rows of numbers (n, k).
        read: Gives the bytes of a file, by sample id; raises SampleError.
    """

    names: list[str]
    targets: "np.ndarray"
    read: "Callable[[int], np.ndarray]"


class Recipes(Protocol):
    """What the engine offers."""

    def plan(self, augment: Any, *, size: Any, dtype: str, layout: str, border: str, fill: Any) -> "PassPlan":
        """Compile a recipe; raises ArgumentError where it is wrong."""
        ...

    def operations(self) -> dict[str, Named]:
        """Every operation of the registry that acts on one image."""
        ...

    def buffers(self, keep: int) -> Any:
        """Output memory that is used again once nobody looks at it; `take(shape, dtype)` gives some."""
        ...

    def files(self, data: Any) -> Files:
        """Image files as the loader numbers them: a folder of class folders, or a list."""
        ...


class _Hook:
    """The one registration of the process."""

    load: Callable[[], Recipes] | None = None
    loaded: Recipes | None = None


def register(load: Callable[[], Recipes]) -> None:
    """Say who compiles; called once, by the engine. `load` is called when a recipe is first needed."""
    _Hook.load, _Hook.loaded = load, None


def recipes() -> Recipes:
    """What was registered.

    Raises:
        ArgumentError: Nothing was.
    """
    if _Hook.loaded is None:
        if _Hook.load is None:
            raise ArgumentError.make(
                "a recipe in a DALI graph",
                why="nothing that compiles it is registered",
                remedy="Import fieldloom, not its folders.",
            )
        _Hook.loaded = _Hook.load()
    return _Hook.loaded
