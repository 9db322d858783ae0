"""The single operations by name: what each takes, and their parameters as STEP records, many at once."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fieldloom.errors import ArgumentError

from .records import (
    AUTOCONTRAST,
    BILINEAR,
    BLUR,
    BRIGHTNESS,
    COLOR,
    CONTRAST,
    EQUALIZE,
    FILL_BOX,
    FINE_BITS,
    IDENTITY,
    INVERT,
    NEAREST,
    NOISE,
    POSTERIZE,
    SHARPNESS,
    SOLARIZE,
    SOLARIZE_ADD,
    STEP,
)


@dataclass(frozen=True, slots=True)
class Operation:
    """What one operation takes.

    Attributes:
        op: The STEP's code; NEAREST stands for both kinds of resampling.
        parameter: Unit and meaning of its value; empty for operations without one.
        low: Smallest legal value; `high` the largest.
        high: See `low`.
        whole: The value is a whole number.
    """

    op: int
    parameter: str = ""
    low: float = 0.0
    high: float = 0.0
    whole: bool = False


# Bounds: a shear of 2 and a shift of one largest side keep 16.16 fixed point within 32 bits on any image; a
# Gaussian of 6 pixels is the widest whose kernel of 15 pixels to each side is still one (2.5 sigma).
_SHEAR = "source pixels by which each {0} is shifted against the one before; the first stays"
_SHIFT = "pixels by which the content moves {0}"
_FACTOR = "Pillow's factor: 0 {0}, 1 the image itself, beyond: away from it"

#: Every operation, in the order that `make_steps` counts in.
OPERATIONS: dict[str, Operation] = {
    "identity": Operation(IDENTITY),
    "shear_x": Operation(NEAREST, _SHEAR.format("row"), -2, 2),
    "shear_y": Operation(NEAREST, _SHEAR.format("column"), -2, 2),
    "translate_x": Operation(NEAREST, _SHIFT.format("left"), -8192, 8192),
    "translate_y": Operation(NEAREST, _SHIFT.format("up"), -8192, 8192),
    "rotate": Operation(NEAREST, "degrees counter-clockwise about the center", -360, 360),
    "brightness": Operation(BRIGHTNESS, _FACTOR.format("black"), -1e6, 1e6),
    "color": Operation(COLOR, _FACTOR.format("gray"), -1e6, 1e6),
    "contrast": Operation(CONTRAST, _FACTOR.format("its mean luma everywhere"), -1e6, 1e6),
    "sharpness": Operation(SHARPNESS, _FACTOR.format("smoothed"), -1e6, 1e6),
    "posterize": Operation(POSTERIZE, "bits kept", 0, 8, whole=True),
    "solarize": Operation(SOLARIZE, "threshold 0..256; values from it on are inverted", 0, 256),
    "solarize_add": Operation(SOLARIZE_ADD, "levels added to values below 128", 0, 255, whole=True),
    "invert": Operation(INVERT),
    "autocontrast": Operation(AUTOCONTRAST),
    "equalize": Operation(EQUALIZE),
    "grayscale": Operation(COLOR),
    "cutout": Operation(FILL_BOX, "side of the filled square in pixels", 0, 8192),
    "gaussian_blur": Operation(BLUR, "standard deviation in pixels", 0, 6),
    "gaussian_noise": Operation(NOISE, "standard deviation in levels 0..255", 0, 255),
    "horizontal_flip": Operation(NEAREST),
    "vertical_flip": Operation(NEAREST),
}
_INDICES = {name: index for index, name in enumerate(OPERATIONS)}
_CODES = np.array([operation.op for operation in OPERATIONS.values()], np.int32)
_LOW = np.array([operation.low for operation in OPERATIONS.values()])
_HIGH = np.array([operation.high for operation in OPERATIONS.values()])
_HAS_VALUE = np.array([bool(operation.parameter) for operation in OPERATIONS.values()])
#: Threshold of `solarize_add`.
_ADD_BELOW = 128


def operation_index(name: str) -> int:
    """An operation's index in the order of OPERATIONS.

    Raises:
        ArgumentError: There is no operation of this name; the closest one is named.
    """
    if isinstance(name, str) and name in _INDICES:
        return _INDICES[name]
    close = difflib.get_close_matches(str(name).lower(), _INDICES, 1, 0.5)
    remedy = f"Did you mean {close[0]!r}?" if close else f"Pass one of {', '.join(_INDICES)}."
    raise ArgumentError.make(f"operation {name!r}", why="not known", remedy=remedy)


def check_values(operations: np.ndarray, values: np.ndarray) -> None:
    """Refuse values out of their operations' ranges; those of operations without a value are not looked at.

    Args:
        operations: Indices, (m,).
        values: float64 (m,), in native units.

    Raises:
        ArgumentError: Names the first such operation, its value and its range (NaN lies in none).
    """
    good = (values >= _LOW[operations]) & (values <= _HIGH[operations]) | ~_HAS_VALUE[operations]
    if not good.all():
        first = int(np.argmin(good))
        name = list(OPERATIONS)[operations[first]]
        taken = OPERATIONS[name]
        raise ArgumentError.make(
            f"{name} magnitude={float(values[first])!r}",
            why=f"not a number from {taken.low:g} to {taken.high:g}",
            remedy=f"Its unit: {taken.parameter}.",
        )


def make_steps(
    operations: np.ndarray,
    values: np.ndarray,
    height: int,
    width: int,
    *,
    fill: tuple[float, float, float] = (0, 0, 0),
    bilinear: bool = False,
    centers: np.ndarray | None = None,
    slot: int | np.ndarray = 0,
) -> np.ndarray:
    """Native parameters as STEP records, by a few array operations a kind.

    Args:
        operations: Integers (m,): indices in the order of OPERATIONS.
        values: float64 (m,): native parameters within their ranges (`check_values`); not looked at where an
            operation takes none.
        height: Image height; `width` its width.
        width: See `height`.
        fill: RGB 0..255, rounded, of what lies outside the image and of cutouts.
        bilinear: Geometry interpolates; False takes the nearest pixel. Flips are exact either way.
        centers: float64 (m, 2): y and x of cutouts in pixels from the top left corner; None: the middle.
        slot: Random slot of `gaussian_noise`, one or (m,).

    Returns:
        STEP (m,).

    Source: Pillow's conventions throughout; shears are about the top left, ImageTransform.AFFINE
    (1, m, 0, 0, 1, 0); `rotate` uses the matrix of Image.rotate.
    Exactness: nearest geometry has Pillow's own fixed-point coefficients.
    """
    operations, values = np.asarray(operations), np.asarray(values, np.float64)
    steps = np.zeros(len(operations), STEP)
    steps["op"] = _CODES[operations]
    steps["fill"][:, :3] = np.floor(np.asarray(fill, np.float64) + 0.5)
    count = np.bincount(operations, minlength=len(OPERATIONS))

    def rows(name: str) -> np.ndarray:
        index = _INDICES[name]
        return np.flatnonzero(operations == index) if count[index] else np.empty(0, np.int64)

    for name in ("brightness", "color", "contrast", "sharpness", "gaussian_blur", "gaussian_noise"):
        at = rows(name)
        # Within what the kernels convert to integers, whatever a caller who did not check it brings.
        steps["value"][at] = np.clip(values[at], -1e6, 1e6)
    for name, whole in _WHOLE.items():
        at = rows(name)
        steps["whole"][at, 0] = whole(values[at])
    steps["whole"][rows("solarize_add"), 1] = _ADD_BELOW
    at = rows("gaussian_noise")
    steps["whole"][at, 0] = np.broadcast_to(slot, len(operations))[at]
    at = rows("cutout")
    if len(at):
        middle = np.broadcast_to((height / 2, width / 2), (len(at), 2)) if centers is None else centers[at]
        steps["whole"][at, :4] = _boxes(values[at], middle, height, width)
    for name, matrix in _MATRICES.items():
        at = rows(name)
        if len(at):
            fine = bilinear and name not in _FLIPS
            affine = np.zeros((len(at), 6))
            affine[:, 0] = affine[:, 4] = 1
            matrix(affine, values[at], height, width)
            if name in _SHIFTS and not fine:
                # Pillow adds a shift in floating point and cuts then: whole pixels, with no 16th bit rounded.
                affine[:, _SHIFTS[name]] = np.floor(affine[:, _SHIFTS[name]] + 0.5)
            steps["whole"][at] = _fine(affine) if fine else _fixed(affine)
            steps["op"][at] = BILINEAR if fine else NEAREST
    return steps


_WHOLE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "posterize": lambda bits: np.floor(bits + 0.5),
    "solarize": np.ceil,  # x < t of a whole x is x < ceil(t)
    "solarize_add": lambda levels: np.floor(levels + 0.5),
}
_SHIFTS = {"translate_x": 2, "translate_y": 5}
_FLIPS = ("horizontal_flip", "vertical_flip")


def _rotation(affine: np.ndarray, degrees: np.ndarray, height: int, width: int) -> None:
    """The matrix of PIL.Image.rotate, rounded as there, about (width / 2, height / 2)."""
    angle = -np.radians(np.mod(degrees, 360.0))
    cosine, sine = np.round(np.cos(angle), 15), np.round(np.sin(angle), 15)
    affine[:, 0] = affine[:, 4] = cosine
    affine[:, 1], affine[:, 3] = sine, -sine
    x, y = width / 2, height / 2
    affine[:, 2] = cosine * -x + sine * -y + x
    affine[:, 5] = -sine * -x + cosine * -y + y


def _entry(column: int) -> Callable[..., None]:
    def write(affine: np.ndarray, values: np.ndarray, _height: int, _width: int) -> None:
        affine[:, column] = values

    return write


def _flip_x(affine: np.ndarray, _values: np.ndarray, _height: int, width: int) -> None:
    affine[:, 0], affine[:, 2] = -1, width


def _flip_y(affine: np.ndarray, _values: np.ndarray, height: int, _width: int) -> None:
    affine[:, 4], affine[:, 5] = -1, height


# Source x of output (x, y) in pixels from the corner: a0 x + a1 y + a2; source y: a3 x + a4 y + a5.
_MATRICES: dict[str, Callable[..., None]] = {
    "shear_x": _entry(1),
    "shear_y": _entry(3),
    "translate_x": _entry(2),
    "translate_y": _entry(5),
    "rotate": _rotation,
    "horizontal_flip": _flip_x,
    "vertical_flip": _flip_y,
}


def _at_centers(affine: np.ndarray) -> np.ndarray:
    """The same with the offsets of output pixels' centers folded in."""
    out = affine.copy()
    out[:, 2] = affine[:, 2] + affine[:, 0] * 0.5 + affine[:, 1] * 0.5
    out[:, 5] = affine[:, 5] + affine[:, 3] * 0.5 + affine[:, 4] * 0.5
    return out


def _fixed(affine: np.ndarray) -> np.ndarray:
    """ImagingTransformAffine's 16.16 coefficients, int64 (m, 8)."""
    whole = np.zeros((len(affine), 8), np.int64)
    whole[:, :6] = np.floor(_at_centers(affine) * 65536.0 + 0.5)
    return whole


def _fine(affine: np.ndarray) -> np.ndarray:
    """Coefficients in 2^-FINE_BITS, offsets split into whole pixels and the rest, int64 (m, 8)."""
    exact: Any = np.floor(_at_centers(affine) * 2.0**FINE_BITS + 0.5).astype(np.int64)
    whole = np.zeros((len(affine), 8), np.int64)
    whole[:, :6] = exact
    for offset, rest in ((2, 6), (5, 7)):
        whole[:, offset] = exact[:, offset] >> FINE_BITS
        whole[:, rest] = exact[:, offset] & ((1 << FINE_BITS) - 1)
    return whole


def _boxes(sides: np.ndarray, centers: np.ndarray, height: int, width: int) -> np.ndarray:
    """Squares of rounded sides about centers, cut to the image: y0, x0, y1, x1."""
    whole = np.floor(sides + 0.5)
    begin = np.floor(centers - whole[:, None] / 2 + 0.5)
    limit = np.array([height, width])
    return np.concatenate([np.clip(begin, 0, limit), np.clip(begin + whole[:, None], 0, limit)], 1)
