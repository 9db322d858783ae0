"""A loader's state as data: what it holds, how it is compared, and how it is kept in files."""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fieldloom.errors import StateError

FORMAT = 1
#: What must be the same where a state is loaded, and how it is called there.
SAME = {
    "recipe_version": "version of the random numbers",
    "seed": "seed",
    "n_samples": "samples of the data set",
    "global_batch": "batch_size * world size",
    "shuffle": "shuffle",
    "drop_last": "drop_last",
    "recipe": "recipe and output format (hash)",
}
#: Everything a state says of itself.
FIELDS = ("format", *SAME, "epoch", "batch", "plan")


def compare(state: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """Check a state against the loader that is to take it.

    Raises:
        StateError: It is not a state, is of a newer format, or lists each field that differs.
    """
    if not isinstance(state, Mapping) or any(field not in state for field in FIELDS):
        missing = [f for f in FIELDS if not isinstance(state, Mapping) or f not in state]
        raise StateError.make(
            "this is not a loader's state",
            why=f"it lacks {', '.join(missing)}",
            remedy="Pass what state_dict() gave.",
        )
    if state["format"] != FORMAT:
        raise StateError.make(
            f"a state of format {state['format']!r}",
            why=f"this version reads format {FORMAT}",
            remedy="Load it with the version that saved it.",
        )
    different = [
        f"{name} was {state[field]!r} and is {here[field]!r}"
        for field, name in SAME.items()
        if state[field] != here[field]
    ]
    if different:
        raise StateError.make(
            "this state belongs to another loader",
            why="; ".join(different),
            remedy="Create the loader with the same data and options, or start anew.",
        )
    for field, low in (("epoch", 0), ("batch", 0)):
        value = state[field]
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise StateError.make(
                f"a state with {field}={value!r}", why="not a whole number >= 0", remedy="It is damaged."
            )


def save(state: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a state: JSON at `path`, and arrays, if any, in an .npz beside it that is named by its hash."""
    path = Path(path)
    plain = {key: value for key, value in state.items() if key != "arrays"}
    arrays = state.get("arrays", {})
    plain["arrays"] = None
    if arrays:
        memory = io.BytesIO()
        columns: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
        np.savez(memory, **columns)
        data = memory.getvalue()
        plain["arrays"] = f"{path.stem}-{hashlib.sha256(data).hexdigest()[:16]}.npz"
        _replace(path.parent / plain["arrays"], data)
    _replace(path, json.dumps(plain | {"check": _check(plain)}, indent=1).encode())


def _check(plain: Mapping[str, Any]) -> str:
    """Hash of all other fields of a file: one flipped bit may leave a state that looks sound."""
    text = json.dumps({key: value for key, value in plain.items() if key != "check"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _replace(path: Path, data: bytes) -> None:
    """All or nothing: a crash leaves the file that was there."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(data)
    beside.replace(path)


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `save` wrote.

    Raises:
        StateError: A file is missing, damaged or not a state.
    """
    path = Path(path)
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(state, dict):
            raise TypeError(f"it holds a {type(state).__name__}")
        if state.get("format", FORMAT) == FORMAT and state.pop("check", None) != _check(state):
            raise ValueError("its contents do not fit their hash")
        name = state["arrays"]
        state["arrays"] = {}
        if name is not None:
            data = (path.parent / Path(str(name)).name).read_bytes()
            if hashlib.sha256(data).hexdigest()[:16] not in str(name):
                raise ValueError(f"{name} is damaged: its hash differs from its name")
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                state["arrays"] = {key: file[key] for key in file.files}
    except (OSError, ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise StateError.make(
            f"cannot read the state {str(path)!r}", why=str(error), remedy="Load another checkpoint."
        ) from error
    return state
