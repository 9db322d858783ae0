"""Rows of distances that are kept as far as memory allows, and made again where they are not."""

from typing import NamedTuple

import numpy as np

from fieldloom.kernels.intrinsics import entry

from .pairwise import fill_row


class Rows(NamedTuple):
    """Distances of a class: all rows, or room for some.

    Rows are let go in turn, but one that was asked for again gets a second chance: lazy greedy asks for the
    same few candidates over and over.

    Attributes:
        columns: float32 (d, m), the vectors transposed (`scaled_columns`).
        scale: Steps a unit of distance, float32.
        kept: int32 (r, m), distances in steps: all rows in order (r = m), or those of `owners`.
        places: int64 (m,), where a sample's row lies; -1: nowhere.
        owners: int64 (r,), whose row lies at a place; -1: nobody's.
        again: bool (r,), whether it was asked for again.
        hand: int64 (1,), the place that is looked at next.
    """

    columns: np.ndarray
    scale: np.float32
    kept: np.ndarray
    places: np.ndarray
    owners: np.ndarray
    again: np.ndarray
    hand: np.ndarray


def make_rows(columns: np.ndarray, scale: np.float32, kept: np.ndarray) -> Rows:
    """Rows none of which was asked for yet; `kept` is full if it has room for all."""
    n = len(kept)
    places, owners = np.full(columns.shape[1], -1, np.int64), np.full(n, -1, np.int64)
    return Rows(columns, scale, kept, places, owners, np.zeros(n, np.bool_), np.zeros(1, np.int64))


# An entry although kernels call it: Numba caches helpers, too, and would not see a change of `fill_row`.
@entry
def row_of(rows, j):  # type: ignore[no-untyped-def]
    """Distances of sample j to all, int32 (m,), valid until the next call."""
    kept, places, owners, again = rows.kept, rows.places, rows.owners, rows.again
    if kept.shape[0] == kept.shape[1]:
        return kept[j]
    if places[j] >= 0:
        again[places[j]] = True
        return kept[places[j]]
    place = rows.hand[0]
    while again[place]:
        again[place] = False
        place = (place + 1) % kept.shape[0]
    rows.hand[0] = (place + 1) % kept.shape[0]
    if owners[place] >= 0:
        places[owners[place]] = -1
    owners[place], places[j] = j, place
    fill_row(rows.columns, rows.scale, j, kept[place])
    return kept[place]
