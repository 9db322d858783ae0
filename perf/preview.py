"""A sheet of what a recipe makes of a user's own images: one row a sample, one column an epoch."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

import fieldloom as fl
from fieldloom.errors import DecodeError

from .image_list import spread
from .sheet import Column, Row, contact_sheet

#: Longer side of the original in the sheet, pixels.
_ORIGINAL_PX = 512


@dataclass(frozen=True, slots=True)
class Preview:
    """A sheet, and what it shows: `report` names recipe, seed, epochs and samples, ready for JSON."""

    sheet: Image.Image
    report: dict[str, Any]


def preview(
    source: Any,
    *,
    recipe: str = "rfa",
    samples: int = 8,
    epochs: int = 5,
    size: int | tuple[int, int] = 224,
    seed: int = 0,
    device: str = "auto",
    batch_size: int = 64,
    threads: int | None = 1,
) -> Preview:
    """Draw the sheet. Every cell is exactly what a shuffling loader with this seed delivers in that epoch.

    Args:
        source: As for `DataLoader`.
        recipe: A preset's name; values are not normalized, because people look at the result.
        samples: Rows; samples are spread evenly over the data set.
        epochs: Columns beside the original: epochs 0, 1, ...
        size: Output size.
        seed: See `DataLoader`.
        device: See `DataLoader`.
        batch_size: See `DataLoader`; changes nothing in the pictures (of a recipe that mixes, if it is a
            multiple of 8), nor does `threads`.
        threads: See `batch_size`.

    Raises:
        FieldloomError: The source, the recipe or one of the samples cannot be used.
    """
    augment = visible(fl.preset(recipe))
    with fl.DataLoader(
        source, batch_size=batch_size, size=size, seed=seed, device=device, threads=threads,
        augment=augment, layout="NHWC", shuffle=True,  # partners of mixes from anywhere, not next door
    ) as loader:  # fmt: skip
        ids = spread(len(loader.source), samples)
        names = [loader.source.name(id) for id in ids]
        rows = []
        for id, name in zip(ids, names, strict=True):
            cells = [_levels(loader.replay(id, epoch)) for epoch in range(epochs)]
            original = _original(loader.source.read(id), id, name)
            rows.append(Row([original, *cells], f"{id}   {name}"))
        height, width = loader.plan.height, loader.plan.width
    columns = [Column("Original"), *(Column(f"Epoch {epoch}") for epoch in range(epochs))]
    subtitle = f"Recipe {recipe}, {width} x {height} px, seed {seed}. Below each row: sample id and file."
    cell = 192 / max(width, height)
    sheet = contact_sheet(
        "fieldloom preview",
        subtitle,
        columns,
        rows,
        cell=(max(round(cell * width), 96), max(round(cell * height), 96)),
    )
    shown = [{"id": id, "file": name} for id, name in zip(ids, names, strict=True)]
    report = {"recipe": recipe, "seed": seed, "size": [height, width], "epochs": list(range(epochs))}
    return Preview(sheet, {**report, "samples": shown})


def visible(recipe: Sequence[Any]) -> list[Any]:
    """The recipe without normalization; operations keep their places, which number their random draws."""
    none = fl.Normalize((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    return [none if isinstance(item, fl.Normalize) else item for item in recipe]


def _levels(tensor: Any) -> NDArray[np.uint8]:
    """Float32 0..1 -> uint8; float32 because the kernels are compiled for it already."""
    return (tensor.cpu().numpy() * 255 + 0.5).astype(np.uint8)


def _original(data: NDArray[np.uint8], id: int, name: str) -> NDArray[np.uint8]:
    """The whole image, upright and small; its header and size were checked by the replay before."""
    try:
        with Image.open(io.BytesIO(data.tobytes())) as image:
            image.draft("RGB", (_ORIGINAL_PX, _ORIGINAL_PX))
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DecodeError.make("cannot show", why=str(error), sample=id, file=name) from error
    upright.thumbnail((_ORIGINAL_PX, _ORIGINAL_PX))
    return np.asarray(upright)
