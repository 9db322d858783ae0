"""What a PATH on the command line may be: an ImageFolder, a flat folder of images, or one image."""

import os
from pathlib import Path
from typing import Any

from fieldloom.errors import MissingError
from fieldloom.sources import IMAGE_EXTENSIONS


def open_images(path: str | os.PathLike[str]) -> Any:
    """The `source` for a DataLoader.

    Returns:
        A folder with class folders as its path; one image, or a folder that holds images directly and no
        folders, as (path, 0) pairs in the order of their names. Whatever is wrong with a path is left to
        the loader, whose errors name it.

    Raises:
        MissingError: There is nothing at `path`; said here, before anything is compiled.
    """
    place = Path(path)
    if not os.path.lexists(place):
        raise MissingError.make(
            "cannot open", why="there is no such file or folder", remedy="Check the path.", file=str(place)
        )
    if place.is_file():
        return [(str(place), 0)]
    if place.is_dir():
        entries = [entry for entry in place.iterdir() if not entry.name.startswith(".")]
        files = sorted(str(entry) for entry in entries if _is_image(entry))
        if files and not any(entry.is_dir() for entry in entries):
            return [(file, 0) for file in files]
    return str(place)


def spread(n: int, count: int) -> list[int]:
    """Up to `count` ids of n, evenly spread: with equal classes in order, as many classes as possible."""
    count = min(n, count)
    return [(2 * i + 1) * n // (2 * count) for i in range(count)]


def _is_image(path: Path) -> bool:
    return path.suffix[1:].lower() in IMAGE_EXTENSIONS and path.is_file()
