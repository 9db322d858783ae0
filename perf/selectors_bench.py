"""How long selectors take to choose, without the scoring pass.

`python -m fieldloom.perf.selectors_bench --json FILE`. Two tables: selectors that need no logits on 1.28
million samples in 1000 classes; those that pick by vectors on 50 000 samples in 10 classes. Signals are drawn
here: vectors of a class lie around a center of its own, as a trained network's do.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from fieldloom import selectors as s

from .json_file import STDOUT, write_json
from .machine import describe
from .options import json_file
from .spread import spread

Build = Callable[[int], s.Selector]

#: Selectors of the first table, from the number of samples.
LIGHT: dict[str, Build] = {
    "RS2(0.3)": lambda n: s.RS2(0.3),
    "RS2(0.3, class_balanced=True)": lambda n: s.RS2(0.3, class_balanced=True),
    "RS2(0.3, replacement=True)": lambda n: s.RS2(0.3, replacement=True),
    "InfoBatch(epochs=90)": lambda n: s.InfoBatch(90),
    "MaxLoss(0.3)": lambda n: s.MaxLoss(0.3),
    "MaxLoss(0.3, class_balanced=True)": lambda n: s.MaxLoss(0.3, class_balanced=True),
    "Forgetting(0.3)": lambda n: s.Forgetting(0.3, warmup=1),
    "ProgressiveExpansion(groups, 0, 1, 1000)": lambda n: s.ProgressiveExpansion(
        np.arange(n) % 7, 0, 1, 1000
    ),
    "SampleAdaptive()": lambda n: s.SampleAdaptive(),
    "WeightedSampling(weights)": lambda n: s.WeightedSampling(1 + np.arange(n) % 10),
    "ClassBalanced()": lambda n: s.ClassBalanced(),
}
#: Selectors of the second table.
HEAVY: dict[str, Build] = {
    "EL2N(0.1)": lambda n: s.EL2N(0.1, warmup=0),
    "GraNd(0.1)": lambda n: s.GraNd(0.1, warmup=0),
    "Coreset(0.1)": lambda n: s.Coreset(0.1),
    'Coreset(0.1, features="outer")': lambda n: s.Coreset(0.1, features="outer"),
    "GraphCut(0.1)": lambda n: s.GraphCut(0.1, warmup=0),
    "KCenter(0.1)": lambda n: s.KCenter(0.1, warmup=0),
    "DatasetQuantization(0.1)": lambda n: s.DatasetQuantization(0.1, warmup=0),
}


def light_signals(n: int, n_classes: int) -> s.Signals:
    """Losses and rights of n samples."""
    import torch

    random = np.random.default_rng(0)
    signals = s.Signals(np.arange(n) * n_classes // n, ("loss", "correct"), 0)
    losses = torch.from_numpy(random.exponential(1, n).astype(np.float32))
    signals.store(torch.arange(n), 0, {"loss": losses, "correct": losses < 1})
    return signals


def heavy_signals(n: int, n_classes: int, width: int) -> s.Signals:
    """Logits and embeddings of n samples."""
    import torch

    random = torch.Generator().manual_seed(0)
    targets = torch.arange(n) * n_classes // n
    logits = 2 * torch.randn(n, n_classes, generator=random) + 4 * torch.eye(n_classes)[targets]
    centers = 2 * torch.randn(n_classes, width, generator=random)
    embeddings = (torch.randn(n, width, generator=random) + centers[targets]).relu()
    signals = s.Signals(targets.numpy(), ("logits", "embeddings"), 0)
    signals.store(torch.arange(n), 0, {"logits": logits, "embeddings": embeddings})
    return signals


def measure(builds: dict[str, Build], signals: s.Signals, rounds: int) -> dict[str, Any]:
    """CPU and wall seconds of each selector's first choice.

    At epoch 3, where RS2(0.3) has most to do: its slice spans two permutations.
    """
    rows = {}
    for name, build in builds.items():
        cpu, wall = [], []
        for round_ in range(-1, rounds):  # the first round compiles
            selector = build(signals.n_samples)
            before = time.process_time(), time.perf_counter()
            chosen = selector.select(3, signals)
            after = time.process_time(), time.perf_counter()
            if round_ >= 0:
                cpu.append(after[0] - before[0])
                wall.append(after[1] - before[1])
        n = signals.n_samples if chosen is None else len(chosen.ids)
        rows[name] = {"cpu_s": spread(cpu, 3), "wall_s": spread(wall, 3), "samples_selected": n}
    return rows


def run(
    *, n_light: int = 1_280_000, n_heavy: int = 50_000, width: int = 512, rounds: int = 5
) -> dict[str, Any]:
    """Measure both tables.

    Args:
        n_light: Samples of the first, in 1000 classes (at most one each).
        n_heavy: Samples of the second, in 10 classes.
        width: Numbers of an embedding.
        rounds: Choices of each selector, by a new one each time.

    Returns:
        The report, ready for JSON.
    """
    light, heavy = light_signals(n_light, min(1000, n_light)), heavy_signals(n_heavy, 10, width)
    return {
        "benchmark": "selectors",
        "machine": describe(),
        "setting": {"n_light": n_light, "n_heavy": n_heavy, "embedding": width, "rounds": rounds},
        "light": measure(LIGHT, light, rounds),
        "heavy": measure(HEAVY, heavy, rounds),
    }


@click.command()
@click.option("--light", default=1_280_000, show_default=True, help="Samples of the first table.")
@click.option("--heavy", default=50_000, show_default=True, help="Samples of the second.")
@click.option("--width", default=512, show_default=True, help="Numbers of an embedding.")
@click.option("--rounds", default=5, show_default=True)
@json_file
def main(light: int, heavy: int, width: int, rounds: int, json_file: Path | None) -> None:
    """Measure how long selectors take to choose."""
    report = run(n_light=light, n_heavy=heavy, width=width, rounds=rounds)
    to_stderr = json_file == STDOUT
    for table, n in (("light", light), ("heavy", heavy)):
        click.echo(f"{n} samples: CPU s, wall s, medians of {rounds}", err=to_stderr)
        for name, row in report[table].items():
            click.echo(
                f"  {name:42s} {row['cpu_s']['median']:7.3f} {row['wall_s']['median']:7.3f}", err=to_stderr
            )
    write_json(json_file, report)


if __name__ == "__main__":
    main()
