"""Ways to damage any file: pure functions of a generator of random numbers and the bytes."""

from collections.abc import Callable

import numpy as np

#: (random numbers, bytes) -> damaged bytes.
Mutation = Callable[[np.random.Generator, bytes], bytes]

#: Numbers at which parsers break: borders of their types.
BORDERS = (
    0,
    1,
    2,
    3,
    7,
    8,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
)


def flip_bits(rng: np.random.Generator, data: bytes) -> bytes:
    """One to eight bits, anywhere."""
    out = bytearray(data)
    for at in rng.integers(0, len(out), int(rng.integers(1, 9))):
        out[at] ^= 1 << int(rng.integers(8))
    return bytes(out)


def overwrite(rng: np.random.Generator, data: bytes) -> bytes:
    """A run of up to 64 bytes becomes random, zero or 255."""
    start, stop = _run(rng, data, 64)
    fill = (rng.bytes(stop - start), bytes(stop - start), b"\xff" * (stop - start))[int(rng.integers(3))]
    return data[:start] + fill + data[stop:]


def truncate(rng: np.random.Generator, data: bytes) -> bytes:
    """The end is missing."""
    return data[: int(rng.integers(0, len(data)))]


def insert(rng: np.random.Generator, data: bytes) -> bytes:
    """Up to 64 random bytes in between."""
    at = int(rng.integers(0, len(data) + 1))
    return data[:at] + rng.bytes(int(rng.integers(1, 65))) + data[at:]


def delete(rng: np.random.Generator, data: bytes) -> bytes:
    """A run of up to 64 bytes is gone."""
    start, stop = _run(rng, data, 64)
    return data[:start] + data[stop:]


def repeat(rng: np.random.Generator, data: bytes) -> bytes:
    """A run of up to 256 bytes comes twice or more often."""
    start, stop = _run(rng, data, 256)
    return data[:stop] + data[start:stop] * int(rng.integers(1, 5)) + data[stop:]


def header_field(rng: np.random.Generator, data: bytes) -> bytes:
    """One to three numbers of the first 200 bytes become borders of their types."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        size, order = int(rng.choice((1, 2, 4))), ("big", "little")[int(rng.integers(2))]
        at = int(rng.integers(0, max(1, min(200, len(out) - size))))
        out[at : at + size] = border(rng, size).to_bytes(size, order)  # type: ignore[arg-type]
    return bytes(out)


def border(rng: np.random.Generator, size: int) -> int:
    """A border number that fits `size` bytes."""
    return int(rng.choice(BORDERS)) & ((1 << 8 * size) - 1)


def _run(rng: np.random.Generator, data: bytes, longest: int) -> tuple[int, int]:
    start = int(rng.integers(0, len(data)))
    return start, min(len(data), start + int(rng.integers(1, longest + 1)))


ANY: dict[str, Mutation] = {
    "bits": flip_bits, "run": overwrite, "truncation": truncate, "insertion": insert, "deletion": delete,
    "repetition": repeat, "header": header_field,
}  # fmt: skip
