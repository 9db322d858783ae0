"""The finish stage in plain NumPy float64, from the definition: whole images instead of rows."""

from collections.abc import Mapping

import numpy as np

from fieldloom.kernels.records import FIELD_DRAWS
from fieldloom.kernels.reference_lattice import normals

from .records import BLEND, BOX, ERASE_CONSTANT, ERASE_PIXEL, MASK_PLANES, PASTE


def finish(
    records: np.ndarray,
    samples: np.ndarray,
    working: np.ndarray,
    masks: Mapping[int, np.ndarray],
    *,
    scale: np.ndarray,
    bias: np.ndarray,
    erase_fill: np.ndarray,
    erase_spread: np.ndarray,
    erase_slot: int,
    seed: int,
) -> np.ndarray:
    """Erase, mix and normalize a batch.

    Args:
        records: FINISH (n,).
        samples: SAMPLE (n,), for their counter words.
        working: uint8 (n, 3, height, width).
        masks: By position in the batch, where the mode is MASK_PLANES: uint8 (ways - 1, height, width).
        scale: (3,): output per level.
        bias: (3,): output of black.
        erase_fill: (3,) levels.
        erase_spread: (3,) levels.
        erase_slot: Random slot of erasing.
        seed: 64 bits.

    Returns:
        float64 (n, 3, height, width), before it is converted.
    """
    noise = {"slot": erase_slot, "seed": seed}
    images = [
        erased(image, record, sample, erase_fill, erase_spread, **noise)
        for image, record, sample in zip(working, records, samples, strict=True)
    ]
    mixed = [
        _mixed(k, records[k], images, masks[k] if records[k]["mode"] == MASK_PLANES else None)
        for k in range(len(records))
    ]
    out = np.stack(mixed) if mixed else np.zeros(working.shape)
    per_channel = (np.asarray(v, np.float64)[:, None, None] for v in (scale, bias))
    factor, offset = per_channel
    return out * factor + offset


def erased(
    image: np.ndarray,
    record: np.ndarray,
    sample: np.ndarray,
    fill: np.ndarray,
    spread: np.ndarray,
    *,
    slot: int,
    seed: int,
) -> np.ndarray:
    """One image (3, h, w) with its box erased, float64."""
    out, (_, height, width) = image.astype(np.float64), image.shape
    y0, x0, y1, x1 = record["erase"]
    where = {name: int(sample[name]) for name in ("sample", "epoch")}
    where |= {"stream": int(sample["stream"]) | slot, "seed": seed}
    level, deviation = (np.asarray(v, np.float64)[:, None, None] for v in (fill, spread))
    if y1 <= y0 or x1 <= x0:
        return out
    if record["erase_kind"] == ERASE_CONSTANT:
        color = np.broadcast_to(level, out.shape)
    elif record["erase_kind"] == ERASE_PIXEL:
        z = normals(4 * height * width, first_draw=FIELD_DRAWS, **where).reshape(height, width, 4)
        color = level + deviation * z[:, :, :3].transpose(2, 0, 1)
    else:
        color = np.broadcast_to(
            level + deviation * normals(4, first_draw=0, **where)[:3, None, None], out.shape
        )
    out[:, y0:y1, x0:x1] = color[:, y0:y1, x0:x1]
    return out


def _mixed(k: int, record: np.ndarray, images: list[np.ndarray], masks: np.ndarray | None) -> np.ndarray:
    own = images[k]
    partner = images[record["partner"][0]]
    y0, x0, y1, x1 = record["box"]
    out = own.copy()
    if record["mode"] == BLEND:
        out = own + float(record["weight"]) * (partner - own)
    elif record["mode"] == BOX:
        out[:, y0:y1, x0:x1] = partner[:, y0:y1, x0:x1]
    elif record["mode"] == PASTE and y1 > y0 and x1 > x0:
        shrink = _averaged if record["antialias"] else _nearest
        out[:, y0:y1, x0:x1] = shrink(partner, y1 - y0, x1 - x0)
    elif record["mode"] == MASK_PLANES:
        assert masks is not None
        for j, mask in zip(record["partner"], masks, strict=False):
            out += mask / 255 * (images[j] - own)
    return out


def _nearest(image: np.ndarray, height: int, width: int) -> np.ndarray:
    rows = np.arange(height) * image.shape[1] // height
    columns = np.arange(width) * image.shape[2] // width
    return image[:, rows][:, :, columns]


def _averaged(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Means of 8-bit levels over the rectangles that the output's pixels cover, halves up."""
    levels = np.clip(np.floor(image + 0.5), 0, 255)
    out = np.empty((3, height, width))
    for y in range(height):
        for x in range(width):
            row, last_row = y * image.shape[1] // height, (y + 1) * image.shape[1] // height
            column, last_column = x * image.shape[2] // width, (x + 1) * image.shape[2] // width
            part = levels[:, row:last_row, column:last_column]
            out[:, y, x] = np.floor(part.mean((1, 2)) + 0.5)
    return out
