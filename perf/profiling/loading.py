"""From what stands on the command line to what is profiled: `PATH`, or `module:object`."""

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from fieldloom.errors import ArgumentError, MissingError

from ..image_list import open_images
from .foreign import target_of
from .ours import OurTarget
from .settings import Settings
from .target import Target

#: Files that hold a data set, and are no image.
_DATA_SETS = (
    ".tar",
    ".tgz",
    ".gz",
    ".zip",
    ".zst",
    ".csv",
    ".tsv",
    ".json",
    ".jsonl",
    ".parquet",
    ".h5",
    ".npz",
)


def open_target(text: str, settings: Settings) -> Target:
    """What to profile.

    Args:
        text: A path that `fieldloom.sources.open_source` accepts, a flat folder of images or one image; or
            `module:object` (or `file.py:object`): an iterable of batches, or a function that makes one.
        settings: How our loader loads a path.

    Raises:
        ArgumentError: The object cannot be imported, or is no iterable.
        MissingError: There is nothing at the path.
        SourceError: It is no data set.
    """
    if os.path.lexists(text):
        one_image = os.path.isfile(text) and not text.lower().endswith(_DATA_SETS)
        source = open_images(text) if one_image or os.path.isdir(text) else text
        return OurTarget(source, settings, text)
    if "://" in text or any(sign in text for sign in "*?{["):  # a remote folder, a pattern of shards
        return OurTarget(text, settings, text)
    if ":" in text:
        return as_target(load_object(text), text, settings)
    return OurTarget(open_images(text), settings, text)


def as_target(made: Any, name: str, settings: Settings) -> Target:
    """The target for an object of whatever loader; a `fieldloom.DataLoader` is taken by its data set.

    Of a loader of ours the data set, recipe, batch size, threads, seed, prefetch, device, output format and
    what it does with bad samples are taken over; its selection, sampler and place among ranks are not.
    """
    import fieldloom as fl

    if isinstance(made, fl.DataLoader):
        return _ours(made, name, settings)
    target = target_of(made, name)
    if isinstance(target.iterable, fl.DataLoader):
        return _ours(target.iterable, name, settings)
    return target


def _ours(loader: Any, name: str, settings: Settings) -> OurTarget:
    size = loader.plan.height, loader.plan.width
    recipe: Any = getattr(loader, "_augment", settings.recipe)
    own = Settings(
        recipe, loader.batch_size, size[0] if size[0] == size[1] else size, loader.seed, loader.threads,
        loader.device, loader.prefetch_factor, loader.plan.dtype, loader._layout,
        loader._common["on_bad_sample"],
    )  # fmt: skip
    source = loader.source
    loader.close()
    return OurTarget(source, own, name)


def load_object(text: str) -> Any:
    """The object that `module:object` or `file.py:object` names; the working folder is searched first.

    Raises:
        ArgumentError: There is no such module or object.
    """
    module_name, _, path = text.rpartition(":")
    if not module_name or not path:
        raise ArgumentError.make(
            f"cannot use {text!r}",
            why="it is neither a path nor module:object",
            remedy="Write for example training.data:make_loader.",
        )
    module = _load_file(module_name, text) if module_name.endswith(".py") else _load_module(module_name, text)
    found: Any = module
    for name in path.split("."):
        if not hasattr(found, name):
            known = ", ".join(sorted(n for n in vars(module) if not n.startswith("_"))[:12])
            raise ArgumentError.make(
                f"cannot use {text!r}",
                why=f"{module_name} has no {name!r}",
                remedy=f"It has: {known}." if known else "Check the name.",
            )
        found = getattr(found, name)
    return found


def _load_module(name: str, text: str) -> Any:
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # What the user's module imports itself may be missing too: then that is the message.
        raise ArgumentError.make(
            f"cannot import {text!r}",
            why=f"there is no module {error.name!r}",
            remedy="Run it from the folder that holds the module, or install what it needs.",
        ) from error


def _load_file(file: str, text: str) -> Any:
    path = Path(file)
    if not path.is_file():
        raise MissingError.make(
            f"cannot import {text!r}", why="there is no such file", remedy="Check the path.", file=file
        )
    # Under its own name, so that worker processes that are spawned find its classes.
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return _load_module(path.stem, text)
