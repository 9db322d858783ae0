"""The process that loads damaged files. It may die: whoever started it watches.

Run as `python -m fieldloom.perf.fuzzing.child SEED FIRST LAST CHUNK`. Standard output gets one JSON line
before each chunk, `{"begin": first}`, and one behind it, `{"end": first, "outcomes": [[number, outcome,
text], ...]}`.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .cases import Case, case, form_of

#: Outcome of a file that gave pixels.
VALUE = "value"
#: Outcome of a file that gave other pixels when it was decoded by itself.
DIFFERS = "differs"
#: Larger headers are refused, so that a bomb costs no minute of decoding.
MAX_PIXELS = 2**22
BATCH = 16

#: Number of the case, what became of it, and a text if that is a failure.
Outcome = tuple[int, str, str]


def outcomes(cases: Sequence[Case]) -> list[Outcome]:
    """What becomes of damaged images in one loader, in batches, through all of its stages."""
    import fieldloom as fl

    found: dict[int, tuple[str, str]] = {}
    failed: list[int] = []
    with fl.DataLoader(
        [(one.data, 0) for one in cases], batch_size=BATCH, size=8, threads=2, seed=cases[0].number,
        augment=[fl.RandomResizedCrop()], on_bad_sample="skip", max_pixels=MAX_PIXELS, device="cpu",
    ) as loader:  # fmt: skip
        iterator = iter(loader)
        for first in range(0, len(cases), BATCH):
            try:
                batch = next(iterator)
            except Exception:
                failed += range(first, min(first + BATCH, len(cases)))
                continue
            for sample, image in zip(batch.ids.tolist(), batch.images, strict=True):
                same = bool((loader.replay(sample, 0) == image).all())
                found[sample] = (VALUE, "") if same else (DIFFERS, "alone it has other pixels")
        for bad in loader.ledger.bad:
            found[bad.sample] = bad.error, ""
    if len(cases) == 1 and failed:
        return [(cases[0].number, *_failure(cases[0]))]
    for k in failed:  # which of the batch it was
        found[k] = outcomes([cases[k]])[0][1:]
    return [(one.number, *found[k]) for k, one in enumerate(cases)]


def _failure(one: Case) -> tuple[str, str]:
    """What a loader raises for this file alone."""
    import fieldloom as fl

    try:
        with fl.DataLoader(
            [(one.data, 0)], batch_size=1, size=8, threads=1, seed=one.number,
            augment=[fl.RandomResizedCrop()], max_pixels=MAX_PIXELS, device="cpu",
        ) as loader:  # fmt: skip
            next(iter(loader))
    except fl.FieldloomError as error:
        return type(error).__name__, ""
    except Exception as error:
        return f"raises {type(error).__name__}", f"{type(error).__name__}: {error}"
    return "raises in a batch only", "alone it raises nothing"


def shard_outcome(one: Case) -> Outcome:
    """What becomes of a damaged tar shard: opened as a data set, every sample loaded."""
    import fieldloom as fl

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shard.tar"
        path.write_bytes(one.data)
        try:
            with fl.DataLoader(
                path, batch_size=BATCH, size=8, threads=1, on_bad_sample="skip", max_pixels=MAX_PIXELS,
                device="cpu",
            ) as loader:  # fmt: skip
                delivered = sum(len(batch) for batch in loader)
                bad = loader.ledger.bad
        except fl.FieldloomError as error:
            return one.number, type(error).__name__, ""
        except Exception as error:
            return one.number, f"raises {type(error).__name__}", f"{type(error).__name__}: {error}"
    return one.number, VALUE if delivered else bad[0].error if bad else "no sample", ""


def run(seed: int, first: int, last: int, chunk: int) -> None:
    """Load the cases from `first` to `last - 1`, in chunks of so many files."""
    for start in range(first, last, chunk):
        _tell({"begin": start})
        cases = [case(seed, number) for number in range(start, min(start + chunk, last))]
        images = [one for one in cases if form_of(one.number) != "tar"]
        found = outcomes(images) if images else []
        found += [shard_outcome(one) for one in cases if form_of(one.number) == "tar"]
        _tell({"end": start, "outcomes": found})


def _tell(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")  # Pillow warns of what it finds in damaged files
    run(*(int(value) for value in sys.argv[1:5]))
