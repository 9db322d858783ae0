"""Operators made from the registry's operations: a signature, a docstring, and one call of the pass."""

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from fieldloom.errors import ArgumentError
from fieldloom.pipelines.compiling import Named
from fieldloom.pipelines.fn_graph import operator as in_graphs
from fieldloom.pipelines.fn_keys import KeyOptions
from fieldloom.pipelines.fn_passes import Form, Passes

#: What all operators take, besides what the operation itself does.
_KEYS = ("ids", "epoch", "seed", "occurrences", "strength", "epoch_size")
_FORM: dict[str, Any] = {"size": None, "dtype": "uint8", "layout": "HWC", "border": "reflect", "fill": 0.0}
#: Defaults of groups for which keeping size or levels makes no sense.
_OTHER: dict[str, dict[str, Any]] = {"crops": {"size": 224}, "output": {"dtype": "float32"}}


def make_operator(named: Named, augmented: Callable[..., Any]) -> Callable[..., Any]:
    """An operator of one operation.

    Args:
        named: The operation.
        augmented: Puts a pass into a graph; `fieldloom.pipelines.fn.augmented`.
    """
    own = {option.name: option for option in named.options}
    # An operation's own option wins: Cutout's size is its side, Operation's fill what lies outside the image.
    form = {k: v for k, v in (_FORM | _OTHER.get(named.group, {})).items() if k not in own}

    def operator(images: Any, **options: Any) -> Any:
        unknown = sorted(set(options) - {*own, *form, *_KEYS, "threads"})
        if unknown:
            raise ArgumentError.make(
                f"fn.{named.name} {unknown[0]}={options[unknown[0]]!r}",
                why="there is no such option",
                remedy=f"Known are {', '.join([*own, *_KEYS, *form, 'threads'])}.",
            )
        missing = [
            name for name, option in own.items() if option.default is option.empty and name not in options
        ]
        if missing:
            raise ArgumentError.make(
                f"fn.{named.name} without {missing[0]}", why="it has no default", remedy=f"Pass {missing[0]}."
            )
        step = named.build(**{name: value for name, value in options.items() if name in own})
        chosen = {**_FORM, **form, **{name: options[name] for name in form if name in options}}
        keys = KeyOptions(**{name: options[name] for name in _KEYS if name in options})
        return augmented(images, Passes([step], Form(**chosen)), keys, threads=options.get("threads"))

    keyword, either = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    more = [inspect.Parameter(name, keyword, default=None) for name in _KEYS]
    more += [inspect.Parameter(name, keyword, default=value) for name, value in form.items()]
    parameters = [
        inspect.Parameter("images", either), *(option.replace(kind=keyword) for option in own.values()),
        *more, inspect.Parameter("threads", keyword, default=None),
    ]  # fmt: skip
    operator.__name__ = operator.__qualname__ = named.name
    operator.__module__ = "fieldloom.pipelines.fn"
    operator.__doc__ = _doc(named, list(form))
    operator.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return in_graphs(operator)


def _doc(named: Named, form: list[str]) -> str:
    shown = [
        f"{option.name}={option.default!r}" if option.default is not option.empty else option.name
        for option in named.options
    ]
    options = f"its own options are {', '.join(shown)}" if shown else "it has no options of its own"
    text = (
        f"**options: By keyword: {options}. Shared by all operators ({__package__}.fn says more): "
        f"{', '.join([*_KEYS, *form])}, threads."
    )
    listed = "\n".join(textwrap.wrap(text, 106, initial_indent=" " * 8, subsequent_indent=" " * 12))
    body = "\n".join(f"    {line}".rstrip() for line in named.doc.splitlines())
    return f"""{named.says}

    Args:
        images: uint8 HWC with 3 channels, ragged or uniform; on the CPU or a GPU.
{listed}

    Returns:
        A node: each image's own size, uint8 and HWC unless told otherwise.

    Raises:
        ArgumentError: While the graph is built: an option is unknown, or of a wrong type or range.

    The operation itself:

{body}
    """
