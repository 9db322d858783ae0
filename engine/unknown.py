"""Options that `DataLoader` does not have, and what was probably meant."""

import difflib
import inspect
from collections.abc import Callable
from typing import Any

from fieldloom.errors import ArgumentError

#: What other loaders call our options.
_ALIASES = {"transform": "augment", "transforms": "augment", "image_size": "size"}


def refuse_unknown(unknown: dict[str, Any], constructor: Callable[..., None]) -> None:
    """Say which option a constructor does not have, and which was probably meant.

    Raises:
        ArgumentError: There is one.
    """
    if not unknown:
        return
    name = next(iter(unknown))
    parameters = inspect.signature(constructor).parameters.values()
    known = [p.name for p in parameters if p.name != "self" and p.kind is not p.VAR_KEYWORD]
    close = [_ALIASES[name]] if name in _ALIASES else difflib.get_close_matches(name, known, 1)
    raise ArgumentError.make(
        f"DataLoader has no option {name!r}" + (f" (did you mean {close[0]!r}?)" if close else ""),
        remedy=f"Its options are {', '.join(known)}.",
    )
