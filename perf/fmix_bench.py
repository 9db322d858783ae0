"""FMix masks: ours against the published NumPy method.

    python -m fieldloom.perf.fmix_bench --json FILE

Both make uint8 masks (0 the sample's own pixels, 255 its partner's) of the same sizes, counts and decay, in
one thread of one process, in rounds that alternate. The NumPy side is written from the paper's formulas:
complex normals times 1 / max(f, 1 / side)^decay on the half spectrum, an inverse real FFT, a sort, and a
threshold at the rank; the code's min-max scaling, which moves no rank, is left out.
"""

import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from fieldloom.kernels.records import SAMPLE
from fieldloom.kernels.stages.masks import mask_tables, run_masks
from fieldloom.kernels.stages.records import MASK
from fieldloom.perf.json_file import STDOUT, write_json
from fieldloom.perf.machine import describe
from fieldloom.perf.options import json_file
from fieldloom.perf.spread import spread


class NumpyMasks:
    """The published method at one size; the constant amplitudes are made once.

    Args:
        side: Height and width in pixels.
        decay: Exponent of the amplitudes.
    """

    def __init__(self, side: int, decay: float) -> None:
        frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
        self._side = side
        self._amplitude = np.maximum(frequency, 1 / side) ** -decay
        self._random = np.random.default_rng(0)

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        """Masks uint8 (n, side, side) with these counts of own pixels."""
        side = self._side
        out = np.full((len(counts), side * side), 255, np.uint8)
        for mask, count in zip(out, counts, strict=True):
            pairs = self._random.standard_normal((*self._amplitude.shape, 2))
            spectrum = self._amplitude * (pairs[..., 0] + 1j * pairs[..., 1])
            order = np.fft.irfft2(spectrum, (side, side)).ravel().argsort()[::-1]
            mask[order[:count]] = 0
        return out.reshape(-1, side, side)


class OurMasks:
    """The kernel at one size; records are made anew for each batch."""

    def __init__(self, side: int, decay: float) -> None:
        self._tables = mask_tables(side, side, decay)
        self._batch = 0

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        """Masks uint8 (n, side, side) with these counts of own pixels."""
        n, side, tables = len(counts), self._tables.width, self._tables
        out = np.empty((n, side, side), np.uint8)
        samples, masks = np.zeros(n, SAMPLE), np.zeros(n, MASK)
        samples["sample"], samples["epoch"] = np.arange(n), self._batch
        masks["sample"], masks["count"] = np.arange(n), counts
        masks["out"] = out.ctypes.data + np.arange(n) * side * side
        self._batch += 1
        seed = np.uint32(0)
        run_masks(masks, samples, tables.floats, tables.waves, tables.pitch, seed, seed, side, side, 0, n)
        return out


def run(*, side: int = 224, decay: float = 3.0, rounds: int = 15, n: int = 64) -> dict[str, Any]:
    """Measure both.

    Args:
        side: Height and width of the masks.
        decay: Exponent of the amplitudes.
        rounds: Rounds, alternating.
        n: Masks of a round.

    Returns:
        The report, ready for JSON: CPU milliseconds a mask of both, and their ratio by rounds.
    """
    ways: dict[str, Any] = {"numpy": NumpyMasks(side, decay), "fieldloom": OurMasks(side, decay)}
    times: dict[str, list[float]] = {name: [] for name in ways}
    random = np.random.default_rng(1)
    for round_ in range(-1, rounds):  # the first round warms up
        counts = random.integers(0, side * side + 1, n)
        for name, way in ways.items():
            start = time.process_time()
            masks = way(counts)
            seconds = time.process_time() - start
            if not np.array_equal((masks == 0).sum((1, 2)), counts):
                raise RuntimeError(f"{name}: the masks' areas are not what was asked for")
            if round_ >= 0:
                times[name].append(1e3 * seconds / n)
    return {
        "benchmark": "fmix",
        "machine": describe(),
        "setting": {"side": side, "decay": decay, "rounds": rounds, "masks_a_round": n, "threads": 1},
        "cpu_ms_per_mask": {name: spread(values) for name, values in times.items()},
        "numpy_over_fieldloom": spread(
            [a / b for a, b in zip(times["numpy"], times["fieldloom"], strict=True)], 1
        ),
    }


@click.command()
@click.option("--side", default=224, show_default=True, help="Height and width of a mask.")
@click.option("--decay", default=3.0, show_default=True, help="Exponent of the spectrum.")
@click.option("--rounds", default=15, show_default=True)
@click.option("--masks", default=64, show_default=True, help="Masks of a round.")
@json_file
def main(side: int, decay: float, rounds: int, masks: int, json_file: Path | None) -> None:
    """Compare FMix masks with the published NumPy method."""
    report = run(side=side, decay=decay, rounds=rounds, n=masks)
    machine, ratio = report["machine"], report["numpy_over_fieldloom"]
    to_stderr = json_file == STDOUT
    click.echo(f"{machine['processor']}, {machine['cores']} cores, NumPy {np.__version__}", err=to_stderr)
    for name, row in report["cpu_ms_per_mask"].items():
        range_ = f"{row['min']:.4f}-{row['max']:.4f}, n={row['n']}"
        click.echo(f"{name:10s} {row['median']:.4f} ms of CPU a mask ({range_})", err=to_stderr)
    click.echo(f"ratio      {ratio['median']} ({ratio['min']}-{ratio['max']})", err=to_stderr)
    write_json(json_file, report)


if __name__ == "__main__":
    main()
