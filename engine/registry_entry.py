"""An entry of the registry: an operation, an example of it, and what the tests need to know."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Groups in the order of execution.
GROUPS = (
    "crops", "flips and affines", "random fields", "color", "frequency", "policies", "single operations",
    "erasing", "mixing", "output",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One operation.

    Attributes:
        name: Unique; the name of its picture.
        group: One of GROUPS.
        code: How a user writes it, such as "fl.HorizontalFlip(p=1.0)"; `masks` and `table` in it are given by
            whoever builds it.
        wrong: Option -> a value that it must refuse; empty where there are no options.
        says: One line for the gallery.
    """

    name: str
    group: str
    code: str
    wrong: Mapping[str, Any]
    says: str

    def build(self, **given: Any) -> Any:
        """The augmentation that `code` writes."""
        return _value(ast.parse(self.code, mode="eval").body, given)


def _value(node: ast.expr, given: Mapping[str, Any]) -> Any:
    """Literals, lists and calls of public names: what the codes consist of, and nothing else is run."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="fl"), attr=name)):
            import fieldloom

            arguments = [_value(a, given) for a in node.args]
            return getattr(fieldloom, name)(
                *arguments, **{str(k.arg): _value(k.value, given) for k in node.keywords}
            )
        case ast.List():
            return [_value(element, given) for element in node.elts]
        case ast.Name(id=name):
            return given[name]
        case _:
            return ast.literal_eval(node)
