"""Recipes and operations for DALI graphs: what `fieldloom.pipelines.compiling` asks the engine for."""

import ast
import dataclasses
import inspect
import os
from collections.abc import Callable
from typing import Any

from fieldloom.errors import ArgumentError
from fieldloom.kernels.plan import PassPlan
from fieldloom.kernels.stages.policies import NEUTRAL
from fieldloom.pipelines.compiling import Files, Named

from .augmentations import RandomField
from .buffers import BufferPool
from .policies import Operation
from .recipe import Format, compile_recipe
from .registry import REGISTRY, Entry

_KEYWORD = inspect.Parameter.KEYWORD_ONLY


class GraphRecipes:
    """See `fieldloom.pipelines.compiling.Recipes`."""

    def __init__(self) -> None:
        self._operations: dict[str, Named] = {}

    def plan(self, augment: Any, *, size: Any, dtype: str, layout: str, border: str, fill: Any) -> PassPlan:
        """Compile a recipe."""
        return compile_recipe(augment, Format(size, dtype, layout, border, fill))

    def operations(self) -> dict[str, Named]:
        """Every entry of the registry but the mixes, which need a second image, and `random_field_warp`."""
        if not self._operations:
            named = [_named(entry) for entry in REGISTRY if entry.group != "mixing"]
            self._operations = {operation.name: operation for operation in [*named, _warp()]}
        return dict(self._operations)

    def buffers(self, keep: int) -> BufferPool:
        """A pool of output memory."""
        return BufferPool(keep)

    def files(self, data: Any) -> Files:
        """A folder of class folders, a list of (path, label) pairs, or of paths (labels are their places)."""
        from .sources.folder import FolderSource
        from .sources.listing import ListSource
        from .sources.opening import open_source

        if isinstance(data, list | tuple) and data and isinstance(data[0], str | os.PathLike):
            data = [(path, place) for place, path in enumerate(data)]
        source = open_source(data)
        targets = source.targets
        if not isinstance(source, FolderSource | ListSource) or targets is None or not len(source):
            raise ArgumentError.make(
                f"{type(source).__name__} of {len(source)} samples",
                why="DALI's reader takes image files",
                remedy="Pass a folder of class folders, a list of (path, label) pairs or of paths; "
                "fieldloom.DataLoader reads everything else.",
            )
        return Files([source.name(i) for i in range(len(source))], targets, source.read)


def _named(entry: Entry) -> Named:
    """An operation whose options are its class's own, but for what its name says already.

    Strings that stand first in the registry's example are the name's: "translate" of field_translate. Where
    several entries of the registry begin alike, the example's keywords are what tells them apart, and so
    the defaults.
    """
    call = ast.parse(entry.code, mode="eval").body
    assert isinstance(call, ast.Call)
    given = [node.value for node in call.args if isinstance(node, ast.Constant)]
    fixed = [value for value in given if isinstance(value, str)]
    cls = _class_of(entry)
    parameters = list(inspect.signature(cls).parameters.values())
    if parameters and parameters[0].kind is inspect.Parameter.VAR_POSITIONAL:
        options = parameters[1:]
    else:
        options = parameters[len(fixed) :]
    defaults = _example(entry) if _begins_like_an_earlier_one(entry) else {}
    options = [
        option.replace(kind=_KEYWORD, default=defaults.get(option.name, _default(cls, option)))
        for option in options
    ]
    if cls is Operation:
        options = _of_operation(options, fixed[0])
    build = _builder(cls, fixed, {option.name: option.default for option in options})
    return Named(entry.name, entry.group, build, tuple(options), entry.says, inspect.getdoc(cls) or "")


def _of_operation(options: list[inspect.Parameter], name: str) -> list[inspect.Parameter]:
    """A magnitude is a must where the operation has one, and no option where it has none."""
    if name in NEUTRAL:
        return [o.replace(default=o.empty) if o.name == "magnitude" else o for o in options]
    return [option for option in options if option.name not in ("magnitude", "signed")]


def _builder(cls: Callable[..., Any], fixed: list[str], defaults: dict[str, Any]) -> Callable[..., Any]:
    known = {name: value for name, value in defaults.items() if value is not inspect.Parameter.empty}

    def build(**options: Any) -> Any:
        return cls(*fixed, **known | options)

    return build


def _warp() -> Named:
    """`RandomField` of any kinds."""
    kinds = inspect.Parameter("kinds", _KEYWORD, default=("translate",))
    own = [p for p in inspect.signature(RandomField).parameters.values() if p.name != "kinds"]

    def build(kinds: Any = ("translate",), **options: Any) -> RandomField:
        return RandomField(*((kinds,) if isinstance(kinds, str) else kinds), **options)

    says = "Every pixel moves by random fields: any kinds of `RandomField`, one or several."
    return Named(
        "random_field_warp", "random fields", build, (kinds, *own), says, inspect.getdoc(RandomField) or ""
    )


def _class_of(entry: Entry) -> Any:
    import fieldloom

    return getattr(fieldloom, _head(entry).rpartition(".")[2])


def _head(entry: Entry) -> str:
    return entry.code.partition("(")[0]


def _start(entry: Entry) -> tuple[str, ...]:
    """The class, and the strings that stand first."""
    call = ast.parse(entry.code, mode="eval").body
    assert isinstance(call, ast.Call)
    return _head(entry), *(str(node.value) for node in call.args if isinstance(node, ast.Constant))


def _begins_like_an_earlier_one(entry: Entry) -> bool:
    for other in REGISTRY:
        if other is entry:
            return False
        if _start(other) == _start(entry):
            return True
    return False


def _example(entry: Entry) -> dict[str, Any]:
    """The options that the registry's example sets, as checked values."""
    call = ast.parse(entry.code, mode="eval").body
    assert isinstance(call, ast.Call)
    built = entry.build()
    return {str(keyword.arg): getattr(built, str(keyword.arg)) for keyword in call.keywords}


def _default(cls: Any, option: inspect.Parameter) -> Any:
    """A default that can be shown: dataclasses hide those that a factory makes."""
    if dataclasses.is_dataclass(cls):
        for field in dataclasses.fields(cls):
            if field.name == option.name and field.default_factory is not dataclasses.MISSING:
                return field.default_factory()
    return option.default
