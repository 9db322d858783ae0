"""A contact sheet: rows of images under headings, as one picture for people to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]

_PAPER, _CELL_PAPER = (252, 252, 249), (240, 239, 234)
_INK, _SOFT = (28, 34, 40), (116, 122, 126)
_MARGIN, _GAP = 36, 12
_TITLE_PX, _HEADING_PX, _SMALL_PX = 30, 17, 13


@dataclass(frozen=True, slots=True)
class Column:
    """What stands above a column: a heading, and a smaller line below it."""

    heading: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: an image (uint8 RGB, of any size) a column, and a line below the row."""

    images: Sequence[Pixels]
    caption: str = ""


def contact_sheet(
    title: str,
    subtitle: str,
    columns: Sequence[Column],
    rows: Sequence[Row],
    *,
    cell: tuple[int, int] = (192, 192),
    foot: Sequence[str | Pixels] = (),
) -> Image.Image:
    """Lay out a sheet.

    Args:
        title: Large, at the top; `subtitle` smaller, below it.
        subtitle: See `title`.
        columns: Headings.
        rows: Images; each is shrunk or enlarged into its cell with its aspect ratio kept.
        cell: Width and height of a cell in pixels.
        foot: Texts and small images (in their own size), side by side at the bottom.

    Returns:
        RGB image of the size that `sheet_size` gives.
    """
    width, height = sheet_size(columns, rows, cell=cell, foot=bool(foot))
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN - 1, _MARGIN - 4), _plain(title), _INK, _font(_TITLE_PX))
    _text(draw, _MARGIN, _MARGIN + 38, subtitle, _SMALL_PX + 1, _SOFT, width - 2 * _MARGIN)
    top = _MARGIN + 78
    for index, column in enumerate(columns):
        x = _MARGIN + index * (cell[0] + _GAP)
        _text(draw, x, top, column.heading, _HEADING_PX, _INK, cell[0])
        _text(draw, x, top + 23, column.caption, _SMALL_PX, _SOFT, cell[0])
    y = top + _head_height(columns)
    for row in rows:
        for index, image in enumerate(row.images):
            _place(sheet, image, _MARGIN + index * (cell[0] + _GAP), y, cell)
        y += cell[1]
        if row.caption:
            _text(draw, _MARGIN, y + 5, row.caption, _SMALL_PX, _SOFT, width - 2 * _MARGIN)
        y += _row_gap(row)
    _foot(sheet, draw, foot, y - _GAP + 20)
    return sheet


def sheet_size(
    columns: Sequence[Column], rows: Sequence[Row], *, cell: tuple[int, int], foot: bool = False
) -> tuple[int, int]:
    """Width and height of a sheet in pixels."""
    width = 2 * _MARGIN + len(columns) * cell[0] + (len(columns) - 1) * _GAP
    body = sum(cell[1] + _row_gap(row) for row in rows) - _GAP
    return width, 2 * _MARGIN + 78 + _head_height(columns) + body + (28 if foot else 0)


def _head_height(columns: Sequence[Column]) -> int:
    return 50 if any(column.caption for column in columns) else 32


def _row_gap(row: Row) -> int:
    return _GAP + (20 if row.caption else 0)


def _place(sheet: Image.Image, image: Pixels, x: int, y: int, cell: tuple[int, int]) -> None:
    """Put an image into the middle of its cell."""
    height, width = image.shape[:2]
    shrink = min(cell[0] / width, cell[1] / height)
    size = (max(round(width * shrink), 1), max(round(height * shrink), 1))
    if size != cell:
        sheet.paste(_CELL_PAPER, (x, y, x + cell[0], y + cell[1]))
    picture = Image.fromarray(np.ascontiguousarray(image))
    if size != (width, height):
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    sheet.paste(picture, (x + (cell[0] - size[0]) // 2, y + (cell[1] - size[1]) // 2))


def _foot(sheet: Image.Image, draw: ImageDraw.ImageDraw, foot: Sequence[str | Pixels], y: int) -> None:
    x = _MARGIN
    for part in foot:
        if isinstance(part, str):
            draw.text((x, y), _plain(part), _SOFT, _font(_SMALL_PX))
            x += round(draw.textlength(_plain(part), _font(_SMALL_PX))) + 8
        else:
            sheet.paste(Image.fromarray(part), (x, y + 9 - part.shape[0] // 2))
            x += part.shape[1] + 8


def _text(
    draw: ImageDraw.ImageDraw, x: int, y: int, text: str, size: int, color: tuple[int, int, int], room: int
) -> None:
    """Draw a line that is cut to `room` pixels."""
    font, text = _font(size), _plain(text)
    if draw.textlength(text, font) > room:
        while text and draw.textlength(text + "...", font) > room:
            text = text[:-1]
        text += "..."
    draw.text((x, y), text, color, font)


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _plain(text: str) -> str:
    """File names may hold line breaks and surrogates, and the font has no letters but Latin ones."""
    return text.encode("unicode_escape", "surrogateescape").decode("ascii", "replace")
