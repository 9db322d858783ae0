"""Patterns of shard names: "train-{000..146}.tar" and "{train,extra}.tar"."""

import itertools
import re
from collections.abc import Iterator

from fieldloom.errors import ArgumentError

#: More names than this from one pattern are a slip.
MAX_NAMES = 1_000_000

_GROUP = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,18})\.\.(\d{1,18})")


def expand_braces(pattern: str) -> list[str]:
    """All names that a pattern stands for, the last group running fastest.

    "{000..146}" counts and keeps the width of the first number; "{a,b}" lists. Groups cannot stand inside
    each other. A pattern without braces stands for itself.

    Raises:
        ArgumentError: A brace has no partner, a group is neither, or there are more than `MAX_NAMES` names.

    Example:
        >>> expand_braces("{a,b}-{08..10}.tar")[:4]
        ['a-08.tar', 'a-09.tar', 'a-10.tar', 'b-08.tar']
    """
    parts = _GROUP.split(pattern)  # text, group, text, group, ..., text
    if any(brace in text for text in parts[::2] for brace in "{}"):
        raise _refused(pattern, "its braces do not match, or stand inside each other")
    groups, n_names = [], 1
    for group in parts[1::2]:
        count, names = _members(pattern, group)
        n_names *= count
        if n_names > MAX_NAMES:
            raise _refused(pattern, f"it stands for more than {MAX_NAMES} names")
        groups.append(list(names))
    names_of = itertools.product(*groups)
    return ["".join(itertools.chain(*zip(parts[::2], (*chosen, ""), strict=True))) for chosen in names_of]


def _members(pattern: str, group: str) -> tuple[int, Iterator[str]]:
    """How many, and which; counted first, so that no range takes memory before it is refused."""
    found = _RANGE.fullmatch(group)
    if found is None:
        if "," not in group:
            raise _refused(pattern, f"{{{group}}} is neither {{first..last}} nor {{one,other}}")
        return group.count(",") + 1, iter(group.split(","))
    first, last = int(found[1]), int(found[2])
    if last < first:
        raise _refused(pattern, f"{{{group}}} counts downwards")
    return last - first + 1, (f"{i:0{len(found[1])}d}" for i in range(first, last + 1))


def _refused(pattern: str, why: str) -> ArgumentError:
    return ArgumentError.make(
        f"cannot read the pattern {pattern!r}", why=why, remedy='Write it as "train-{000..146}.tar".'
    )
