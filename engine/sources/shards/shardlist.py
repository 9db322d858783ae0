"""Which shards a user means: one, a list, a pattern, a folder; here or in a remote store."""

import os
from collections.abc import Sequence

from fieldloom.errors import ArgumentError, SourceError
from fieldloom.sources.shards.braces import expand_braces
from fieldloom.sources.store import is_remote, open_store

#: What `ShardSource` takes.
Shards = str | bytes | os.PathLike[str] | Sequence[str | bytes | os.PathLike[str]]


def list_shards(shards: Shards) -> list[str]:
    """Paths of all shards, in the order given; those of a folder by name.

    Raises:
        ArgumentError: It is no path, a pattern cannot be read, or a shard comes up twice.
        SourceError: A folder holds no .tar files, or cannot be listed.
    """
    if isinstance(shards, (str, bytes, os.PathLike)):
        paths = _expand(shards)
    elif isinstance(shards, (list, tuple)) and all(isinstance(s, (str, bytes, os.PathLike)) for s in shards):
        paths = [path for shard in shards for path in _expand(shard)]
    else:
        raise ArgumentError.make(
            f"shards are a {type(shards).__name__}",
            why="a path, a list of paths, a pattern or a folder is needed",
            remedy='Pass "train-{000..146}.tar", for instance.',
        )
    if len(set(paths)) < len(paths):
        seen: set[str] = set()
        twin = next(path for path in paths if path in seen or seen.add(path))  # type: ignore[func-returns-value]
        raise ArgumentError.make(
            "cannot use the shard twice",
            why="each sample has one id",
            remedy="To see samples more often, select them with weights or repeats.",
            file=twin,
        )
    return paths


def _expand(path: str | bytes | os.PathLike[str]) -> list[str]:
    shown = os.fsdecode(path)
    if is_remote(shown):
        if shown.endswith(".tar") or "{" in shown:
            return expand_braces(shown)
        return _listed(shown.rstrip("/"))
    if os.path.isdir(shown):
        return _listed(shown)
    # A file whose name has braces is that file.
    return expand_braces(shown) if "{" in shown and not os.path.lexists(shown) else [shown]


def _listed(folder: str) -> list[str]:
    names = open_store(folder).files(folder)
    found = [name for name in names if name.lower().endswith(".tar") and not name.startswith(".")]
    if not found:
        raise SourceError.make(
            "cannot use the folder",
            why=f"it holds {len(names)} files and none of them is a .tar",
            remedy="Pass the folder of the shards, or their pattern.",
            file=folder,
        )
    return [f"{folder}/{name}" if is_remote(folder) else os.path.join(folder, name) for name in found]
