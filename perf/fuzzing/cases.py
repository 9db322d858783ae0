"""From a number to a damaged file: a pure function of the seed."""

from dataclasses import dataclass

import numpy as np

from .formats import OWN
from .mutations import ANY
from .seeds import SEEDS

#: Of a hundred cases in a row, how many are of each format.
SHARES = {"jpeg": 40, "png": 25, "webp": 25, "tar": 10}


@dataclass(frozen=True, slots=True)
class Case:
    """One damaged file.

    Attributes:
        number: Its number in the campaign.
        form: "jpeg", "png", "webp" or "tar": what it was.
        mutation: What was done to it; several are joined by " + ".
        data: The bytes.
    """

    number: int
    form: str
    mutation: str
    data: bytes


def form_of(number: int) -> str:
    """Format of a case."""
    place = number * 37 % 100  # 37 is prime to 100: formats come mixed
    for form, share in SHARES.items():
        if place < share:
            return form
        place -= share
    raise AssertionError("shares add up to 100")


def case(seed: int, number: int) -> Case:
    """The case of that number in the campaign of that seed."""
    rng = np.random.default_rng([seed, number])
    form = form_of(number)
    sound = SEEDS[form]()
    data = sound[int(rng.integers(len(sound)))]
    kinds = [*ANY, *OWN[form], *OWN[form], "splice"]  # what a format means breaks more than random bytes do
    names = []
    first = True
    for _ in range(1 + int(rng.random() < 0.25) + int(rng.random() < 0.1)):
        if not data:
            break
        kind = kinds[int(rng.integers(len(kinds)))]
        if kind == "splice":
            data = splice(rng, data, form)
        elif kind in ANY:
            data = ANY[kind](rng, data)
        elif first:  # only a sound file can be taken apart
            data = OWN[form][kind](rng, data)
        else:
            kind, data = "bits", ANY["bits"](rng, data)
        names.append(kind)
        first = False
    return Case(number, form, " + ".join(names), data)


def splice(rng: np.random.Generator, data: bytes, form: str) -> bytes:
    """The head of this file and the tail of another, once in four of another format."""
    if rng.random() < 0.25:
        form = list(SEEDS)[int(rng.integers(len(SEEDS)))]
    others = SEEDS[form]()
    other = others[int(rng.integers(len(others)))]
    return data[: int(rng.integers(len(data) + 1))] + other[int(rng.integers(len(other))) :]
