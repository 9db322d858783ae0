"""A folder of synthetic photographs, drawn when it is needed: nothing to download, nothing to license.

The pictures stand in for real ones where it matters to a loader: spectra that fall like 1/f, edges,
gradients and grain, file sizes of some 90 kB, mixed sizes, and cameras that were held every way.
"""

import json
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import ArgumentError
from fieldloom.perf.canvas import Canvas
from fieldloom.perf.scenes import SCENES

DRAWING_VERSION = 1
"""Raised when a picture changes, so that folders drawn before are drawn again."""

_MARKER = ".photos.json"
_PROGRESSIVE, _GRAY = 1, 2  # the two pictures that are stored in their own way
_SIDES = (
    (500, 375),
    (500, 375),
    (500, 375),
    (500, 333),
    (480, 360),
    (640, 480),
    (500, 500),
    (400, 300),
    (320, 240),
)


def draw_photo(index: int, width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Draw picture `index`: its scene is `SCENES[index % 8]`.

    A function of its arguments alone, on any machine with the same NumPy.

    Args:
        index: Which picture, from 0 on.
        width: Width in pixels, 1 to 1024.
        height: Height in pixels, 1 to 1024.
        seed: Another seed gives other pictures, from 0 on.

    Returns:
        RGB, uint8, shape (height, width, 3).
    """
    canvas = Canvas(width, height, np.random.default_rng([seed, index]))
    SCENES[index % len(SCENES)](canvas)
    return _develop(canvas)


def write_photo_folder(path: str | os.PathLike[str], n: int = 200, seed: int = 0, n_classes: int = 8) -> None:
    """Write `n` pictures as JPEG files, in one folder a class.

    Every third file carries an EXIF orientation, 1 to 8 in turn, and is stored so that it displays
    upright. One file is progressive, one is gray. A folder that is already there and complete is left
    alone; one drawn with other arguments is replaced. The folder appears whole or not at all.

    Args:
        path: The folder to make; those above it are made too.
        n: How many pictures.
        seed: See `draw_photo`.
        n_classes: 1 to 8; picture i has label i % n_classes.

    Raises:
        ArgumentError: `n_classes` is out of range, or `path` exists and was not made here.
    """
    if not 1 <= n_classes <= len(SCENES):
        raise ArgumentError.make(f"n_classes={n_classes}", why=f"it must be from 1 to {len(SCENES)}")
    target = Path(path)
    marker = json.dumps({"version": DRAWING_VERSION, "n": n, "seed": seed, "n_classes": n_classes})
    if _is_complete(target, marker, n):
        return
    if (
        target.exists()
        and not (target / _MARKER).is_file()
        and (not target.is_dir() or any(target.iterdir()))
    ):
        raise ArgumentError.make(
            "cannot draw here",
            why="the path is taken, and not by a folder of drawn photographs",
            remedy="Choose another path.",
            file=str(target),
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, because a rename is atomic only within one file system.
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        fresh = Path(scratch) / "fresh"
        for scene in SCENES[:n_classes]:
            (fresh / scene.__name__).mkdir(parents=True)
        # NumPy and Pillow let go of the interpreter lock for most of the work.
        with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
            list(pool.map(lambda i: _write(fresh, i, seed, n_classes), range(n)))
        (fresh / _MARKER).write_text(marker)
        fresh.chmod(0o755)
        if target.exists():
            shutil.move(target, Path(scratch) / "old")
        fresh.rename(target)


def _is_complete(folder: Path, marker: str, n: int) -> bool:
    try:
        return (folder / _MARKER).read_text() == marker and sum(1 for _ in folder.glob("*/*.jpg")) == n
    except OSError:
        return False


def _write(folder: Path, i: int, seed: int, n_classes: int) -> None:
    from PIL import Image

    rng = np.random.default_rng([seed, i, 1])  # not the picture's numbers: those start with [seed, i]
    width, height = _SIDES[rng.integers(len(_SIDES))]
    if rng.uniform() < 0.3:
        width, height = height, width
    label = i % n_classes
    picture = Image.fromarray(draw_photo(i // n_classes * len(SCENES) + label, width, height, seed))
    if i == _GRAY:
        picture = picture.convert("L")
    exif = Image.Exif()
    if i % 3 == 0:
        orientation = 1 + i // 3 % 8
        exif[0x0112] = orientation
        # What undoes the turn that a viewer makes for this orientation: each undoes itself but 6 and 8.
        turn = Image.Transpose
        undo = (None, None, turn.FLIP_LEFT_RIGHT, turn.ROTATE_180, turn.FLIP_TOP_BOTTOM, turn.TRANSPOSE,
                turn.ROTATE_90, turn.TRANSVERSE, turn.ROTATE_270)[orientation]  # fmt: skip
        if undo is not None:
            picture = picture.transpose(undo)
    picture.save(
        folder / SCENES[label].__name__ / f"{i:04d}.jpg",
        quality=int(rng.integers(89, 96)),
        subsampling=0 if i % 5 == 0 else 2,  # full color resolution now and then, as cameras do
        progressive=i == _PROGRESSIVE,
        exif=exif,
    )


def _develop(c: Canvas) -> NDArray[np.uint8]:
    """What lens, sensor and camera add: vignette, exposure, white balance, saturation, contrast, grain."""
    rng = c.rng
    off_center = ((c.x - c.width / 2) ** 2 + (c.y - 0.5) ** 2) / (c.width**2 / 4 + 0.25)
    exposure, warmth = rng.uniform(0.9, 1.12), rng.uniform(-0.05, 0.05)
    gain = exposure * np.array((1 + warmth, 1, 1 - warmth), np.float32)
    rgb = c.rgb * ((1 - rng.uniform(0.05, 0.3) * off_center)[..., None] * gain)
    gray = rgb @ np.full((3, 1), 1 / 3, np.float32)
    rgb -= gray
    rgb *= rng.uniform(0.6, 1.2)
    rgb += gray
    np.clip(rgb, 0, 1, out=rgb)
    rgb += rng.uniform(0, 0.5) * rgb * (rgb * (3 - 2 * rgb) - 1)  # an S curve
    shot = np.sqrt(rgb + 0.05)  # photons: noise grows like a root
    shot *= rng.uniform(0.008, 0.026)
    for channel in range(3):
        rgb[..., channel] += shot[..., channel] * c.texture(0.25)
    rgb *= 255
    rgb += 0.5
    return np.clip(rgb, 0, 255).astype(np.uint8)
