"""Taking a DALI graph apart: its readers, readers and decoders, and the whole, each as a pipeline."""

import time
import warnings
from typing import Any

from .probes import Meter
from .stages import Ablation, Stage

_ORDER = ("read", "decode", "augment")


def ablate_pipeline(pipe: Any, seconds: float, n_pipelines: int = 1) -> Ablation:
    """Measure prefixes of a pipeline's graph.

    The graph's operators are put into new pipelines of the same threads and batch size, whose outputs are
    what all readers (then all decoders, then all others) give. What is fed from Python is then asked for by
    these pipelines, so a pipeline with such a source is used up afterwards.

    Args:
        pipe: A pipeline that was built.
        seconds: How long that may take, roughly.
        n_pipelines: How many of its kind work at once.
    """
    operators = list(getattr(pipe, "_ops", None) or ())
    if not operators:
        return Ablation((), notes=("this pipeline does not show its operators",))
    kinds = {name: [op for op in operators if _kind(op) == name] for name in _ORDER}
    present = [name for name in _ORDER if kinds[name]]
    ends: list[Any] = []
    stages: list[Stage] = []
    parts: dict[str, float] = {}
    notes: list[str] = []
    wall = cpu = 0.0
    for name in present:
        # What comes last is the graph itself; before it, a stage's outputs stand for the stage.
        last = name == present[-1]
        ends = list(pipe._graph_outputs) if last else ends + _outputs(kinds[name])
        try:
            wall_ms, cpu_ms = _run(pipe, ends, seconds / len(present))
        except Exception as error:  # DALI's, of any kind: a graph that cannot be cut
            notes.append(f"DALI did not run the graph up to {name}: {' '.join(str(error).split())[:120]}")
            continue
        more_ms, how = max(wall_ms - wall, 0.0), "the graph up to here, less the one before"
        stages.append(Stage(name, more_ms, max(cpu_ms - cpu, 0.0), how))
        parts[name] = more_ms / n_pipelines
        wall, cpu = max(wall, wall_ms), max(cpu, cpu_ms)
    floor = next((s for s in stages if s.name == "decode"), None)
    before = sum(s.wall_ms or 0.0 for s in stages if s.name in ("read", "decode"))
    return Ablation(
        tuple(stages), parts,
        floor_images_per_s=n_pipelines * 1e3 / before if floor is not None and before > 0 else None,
        floor_cpu_ms=None if floor is None else floor.cpu_ms, notes=tuple(notes),
    )  # fmt: skip


def _kind(operator: Any) -> str:
    name = str(getattr(type(operator._op), "schema_name", None) or type(operator._op).__name__).lower()
    if "reader" in name or "externalsource" in name or "input" in name:
        return "read"
    return "decode" if "decode" in name else "augment"


def _outputs(operators: list[Any]) -> list[Any]:
    found: list[Any] = []
    for operator in operators:
        made = operator.outputs
        found += list(made) if isinstance(made, (list, tuple)) else [made]
    return found


def _run(pipe: Any, outputs: list[Any], seconds: float) -> tuple[float, float]:
    """Milliseconds an image, wall and processor time, of a graph that ends at `outputs`."""
    from nvidia.dali.pipeline import Pipeline

    batch = int(pipe.max_batch_size)
    part = Pipeline(
        batch, int(pipe.num_threads), pipe.device_id, seed=0,
        prefetch_queue_depth=pipe.prefetch_queue_depth,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that some outputs are not used is what is meant
        part.set_outputs(*outputs)
        part.build()
    for _ in range(3):
        _once(part)
    meter, runs, start = Meter(), 0, time.perf_counter()
    while not runs or time.perf_counter() - start < seconds:
        _once(part)
        runs += 1
    usage = meter.usage()
    return 1e3 * usage.wall_s / (runs * batch), 1e3 * usage.cpu_s / (runs * batch)


def _once(part: Any) -> None:
    try:
        part.run()
    except StopIteration:
        part.reset()
        part.run()
