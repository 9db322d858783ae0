"""The demo's contact sheet: what each kind of field does to the same crops, step by step."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import fieldloom as fl
from fieldloom.kernels.draws import Keys
from fieldloom.kernels.fusedpass import FusedPass
from fieldloom.recipe import Format, compile_recipe

from .displacement import Displacement, displacement_of
from .grid import draw_grid, draw_scale
from .sheet import Column, Row, contact_sheet

COLUMNS = (
    Column("Original", "the middle of a photo"),
    Column("Warp", "a random field moves pixels"),
    Column("The same warp", "as a grid, carried along"),
    Column("Shear field", "a shear at every pixel"),
    Column("Color fields", "brightness to hue"),
    Column("All in one pass", "crop, flip, warp, color"),
)


def recipes(size: int) -> dict[str, list[Any]]:
    """The recipe of each column that shows pixels, in the order of COLUMNS.

    An operation's draws depend on its position in the list. Here warps stand third and color stands
    fourth as in the preset "rfa", so that the last column really contains the fields of those before it.
    Gates are open and weak warps left out (the law's own alpha begins at 0): every row is to show something.
    """
    crop = [fl.Resize(size), fl.CenterCrop()]
    law = fl.PowerLaw(alpha=(1 / 8, 1 / 3))
    warp, color = fl.RandomField("translate", law=law, p=1.0), fl.ColorField(p=1.0)
    return {
        "original": [*crop],
        "warp": [*crop, warp],
        "shear": [*crop, fl.RandomField("shear", law=law, p=1.0)],
        "color": [*crop, fl.RandomField("translate", p=0.0), color],
        "all": [fl.RandomResizedCrop(scale=(0.35, 1.0)), fl.HorizontalFlip(), warp, color],
    }


def replay(image: NDArray[np.uint8], augment: Any, size: int, *, id: int, seed: int) -> NDArray[np.uint8]:
    """One image through a recipe without Normalize, as uint8 (size, size, 3).

    It goes through float32, because the kernels are compiled for that type already.
    """
    out = fl.augment(image, augment=augment, id=id, seed=seed, size=size, layout="NHWC").numpy()
    return (out * 255 + 0.5).astype(np.uint8)


def displacements(
    images: Sequence[NDArray[np.uint8]], ids: Sequence[int], *, size: int, seed: int
) -> list[Displacement]:
    """What the column "Warp" does to each image."""
    fused = FusedPass(compile_recipe(recipes(size)["warp"], Format(size)))
    keys = Keys(seed, 0, np.array(ids), np.zeros(len(ids), np.int64))
    return displacement_of(fused, keys, np.array([image.shape[:2] for image in images]))


def showcase(
    images: Sequence[NDArray[np.uint8]],
    ids: Sequence[int],
    *,
    size: int = 224,
    seed: int = 0,
    cell: int = 192,
) -> Image.Image:
    """Draw the sheet.

    Args:
        images: RGB, uint8 (height, width, 3), as displayed.
        ids: Their sample ids, which decide the fields.
        size: Output size of the passes in pixels.
        seed: See `fieldloom.DataLoader`.
        cell: Size of the sheet's cells in pixels.
    """
    moved = displacements(images, ids, size=size, seed=seed)
    limit_px = max(float(np.hypot(*d.nodes).max()) for d in moved)
    rows = []
    for image, id, displacement in zip(images, ids, moved, strict=True):
        cells = {
            name: replay(image, recipe, size, id=id, seed=seed) for name, recipe in recipes(size).items()
        }
        grid = draw_grid(displacement, limit_px=limit_px)
        rows.append(
            Row([cells["original"], cells["warp"], grid, cells["shear"], cells["color"], cells["all"]])
        )
    return contact_sheet(
        "fieldloom",
        f"Random field augmentations at {size} x {size} px, each cell one pass with one resampling. "
        f"Seed {seed}: every cell can be made again from (seed, epoch, sample id).",
        COLUMNS,
        rows,
        cell=(cell, cell),
        foot=[
            "Grid: displacement 0",
            draw_scale(120, 10),
            f"{limit_px:.0f} px of {size}.   Orange line: the crop's edge; beyond it the image is mirrored."
            "   Red: folds.   Strengths: from the upper part of the published range.",
        ],
    )
