"""A profile as one JSON object: what the table, the page and the file all show."""

import math
from typing import Any

from .. import machine
from ..spread import spread
from .profile import Profile
from .stages import MEANINGS
from .verdict import Evidence, Verdict, judge

#: Points of "images/s over time" that are kept.
_MOST_POINTS = 60


def evidence_of(result: Profile) -> Evidence:
    """What the verdict is found from."""
    rounds = result.trained or result.rounds
    wall = sum(r.wall_s for r in rounds)
    parts: dict[str, float] = dict(result.ablation.parts)
    if result.target["kind"] == "fieldloom":  # its own timers know what waited for what
        parts = {name: result.stages[name] for name in ("read", "decode", "augment")}
    elif parts and result.target.get("restarts_workers"):
        parts["restart"] = restart_ms(result)
    others = [r.others_cores for r in result.rounds if r.others_cores is not None]
    training = result.training
    return Evidence(
        parts=parts,
        waited_share=sum(r.waited_s for r in rounds) / wall,
        busy_cores=sum(r.cpu_s for r in result.rounds) / result.wall_s,
        threads=result.workers,
        cores=result.cores,
        kind=result.target["kind"],
        cpu_shares=result.ablation.cpu_shares(result.cpu_ms_per_image),
        images_per_s=result.images_per_s,
        needed_per_s=training.needed_per_s if training and math.isfinite(training.needed_per_s) else None,
        others_cores=max(others) if others else None,
        best=_best_point(result),
        trained=training is not None,
        ablated=result.memory_gb_per_s is not None,
        threads_tried=_threads_tried(result),
    )


def restart_ms(result: Profile) -> float:
    """Milliseconds an image that the beginnings of epochs are waited for, beyond what any batch takes.

    With w workers a batch comes every 1/w of the time that one worker needs for it, but the first of an epoch
    takes all of that time: this is no fault of starting.
    """
    restarts, batches = sum(r.restarts for r in result.rounds), sum(r.batches for r in result.rounds)
    if not 0 < restarts < batches:  # nothing to compare it to
        return 0.0
    restarted = sum(r.restarted_s for r in result.rounds)
    others = (sum(r.waited_s for r in result.rounds) - restarted) / (batches - restarts)
    return 1e3 * max(restarted - restarts * others * max(result.workers or 1, 1), 0.0) / result.n_images


def verdict_of(result: Profile) -> Verdict:
    """What holds the loader back."""
    return judge(evidence_of(result))


def _best_point(result: Profile) -> str:
    good = [point for point in result.points if point.images_per_s]
    if not good:
        return ""
    best = max(good, key=lambda point: point.images_per_s or 0.0)
    # The present setting may be a point too, and was measured in the same minutes then.
    now = {"threads": result.workers, "batch": result.target["batch_size"], "prefetch": result.capacity}
    same = [p for p in good if all(now[axis] == value for axis, value in p.axes.items())]
    before, rates = (same[0].images_per_s, same[0].rates) if same else (result.images_per_s, result.rates)
    gain = (best.images_per_s or 0.0) / (before or result.images_per_s) - 1
    if gain < 0.05 or min(best.rates) <= max(rates):  # rounds that overlap say nothing
        return "No point of the sweep is clearly faster."
    return f"The sweep's fastest: {best.label()}, {best.images_per_s:,.0f} images/s ({100 * gain:+.0f} %)."


def _threads_tried(result: Profile) -> bool:
    """Whether the sweep had more threads than now, and none of these points was faster than all others."""
    now, more, others = result.workers, 0.0, 0.0
    for point in result.points:
        rate = point.images_per_s or 0.0
        if now is not None and point.axes.get("threads", now) > now:
            more = max(more, rate)
        else:
            others = max(others, rate)
    return 0 < more <= max(others, result.images_per_s if not others else 0.0)


def stage_rows(result: Profile) -> list[dict[str, Any]]:
    """Each stage: what it costs alone, its share of the processor time, how long it was waited for."""
    ablation, images = result.ablation, result.n_images
    shares = ablation.cpu_shares(result.cpu_ms_per_image)
    waited = {name: 1e3 * seconds / images for name, seconds in result.stages.items()}
    rows = [
        {
            "name": stage.name, "meaning": MEANINGS.get(stage.name, ""), "wall_ms": stage.wall_ms,
            "cpu_ms": stage.cpu_ms, "cpu_share": shares.get(stage.name),
            "waited_ms": waited.pop(stage.name, None), "how": stage.how,
        }
        for stage in ablation.stages
    ]  # fmt: skip
    for name in ("read", "decode", "augment"):  # without ablation the timers stand alone
        if name in waited and (waited[name] > 0 or not ablation.stages):
            rows.append(_timer(name, MEANINGS[name], waited.pop(name)))
    known = sum(stage.cpu_ms or 0.0 for stage in ablation.stages)
    if ablation.stages and not any(row["name"] == "other" for row in rows):
        rest = max(result.cpu_ms_per_image - known, 0.0)
        share = max(1 - sum(shares.values()), 0.0)
        rows.append(
            {
                **_timer("other", MEANINGS["other"], None),
                "cpu_ms": rest,
                "cpu_share": share,
                "how": "what is left",
            }
        )
    if "deliver" in waited:
        rows.append(_timer("producer waits", "for room: the consumer is slower", waited["deliver"]))
    waits = 1e3 * sum(r.waited_s for r in result.rounds) / images
    rows.append(_timer("consumer waits", "for a batch: the loader is slower", waits))
    return rows


def _timer(name: str, meaning: str, waited_ms: float | None) -> dict[str, Any]:
    return {
        "name": name, "meaning": meaning, "wall_ms": None, "cpu_ms": None, "cpu_share": None,
        "waited_ms": waited_ms, "how": "timer",
    }  # fmt: skip


def limits_of(result: Profile) -> list[dict[str, Any]]:
    """What the machine would allow, and how near the loader comes."""
    rate, ablation = result.images_per_s, result.ablation
    rows = []
    if ablation.floor_images_per_s:
        what = "decoding alone" if result.target["kind"] == "fieldloom" else "reading and decoding alone"
        rows.append(_limit(what, ablation.floor_images_per_s, rate, cpu_ms=ablation.floor_cpu_ms))
    if result.memory_gb_per_s:
        out = sum(r.bytes for r in result.rounds) / result.n_images
        # Encoded bytes are read, crops are written and read, outputs are written: the least that must move.
        moved = out + (ablation.encoded_bytes or 0.0) + 2 * (ablation.crop_bytes or 0.0)
        if moved > 0:
            most = result.memory_gb_per_s * 1e9 / moved
            rows.append(
                _limit(
                    "memory bandwidth", most, rate, gb_per_s=result.memory_gb_per_s, mb_an_image=moved / 1e6
                )
            )
    return rows


def _limit(name: str, most: float, rate: float, **more: float | None) -> dict[str, Any]:
    return {"name": name, "images_per_s": most, "percent": 100 * rate / most, **more}


def report_of(result: Profile) -> dict[str, Any]:
    """Everything, ready for JSON."""
    verdict, wall, images = verdict_of(result), result.wall_s, result.n_images
    source_bytes = sum(r.source_bytes for r in result.rounds) or sum(r.read_bytes for r in result.rounds)
    others = [r.others_cores for r in result.rounds if r.others_cores is not None]
    return {
        "target": result.target,
        "images_per_s": result.images_per_s,
        "images_per_s_rounds": result.rates,
        "images_per_s_spread": spread(result.rates),
        "time_to_first_batch_s": result.time_to_first_batch_s,
        "warm_up_s": result.warm_up_s,
        "cpu_ms_per_image": result.cpu_ms_per_image,
        "wall_ms_per_image": 1e3 * wall / images,
        "busy_cores": sum(r.cpu_s for r in result.rounds) / wall,
        "others_cores": max(others) if others else None,
        "read_mb_per_s": source_bytes / 1e6 / wall,
        "disk_mb_per_s": sum(r.disk_bytes for r in result.rounds) / 1e6 / wall,
        "output_mb_per_s": sum(r.bytes for r in result.rounds) / 1e6 / wall,
        "stages": result.stages,
        "stage_costs": stage_rows(result),
        "hot": [{"function": name, "share": share} for name, share in result.ablation.hot],
        "queue": _queue(result),
        "limits": limits_of(result),
        "verdict": verdict.text,
        "bound": verdict.bound,
        "bound_share": verdict.share,
        "training": _training(result),
        "sweep": [_point(point) for point in result.points],
        "against": [_comparison(c) for c in result.comparisons],
        "peak_memory_mb": result.peak_mb,
        "gpu": result.gpu or None,
        "n_samples": result.target.get("n_samples"),
        "n_images": images,
        "wall_s": wall,
        "throughput": _throughput(result.timeline.counters.get("images", [])),
        "notes": list(result.ablation.notes),
        "settings": result.target,
        "machine": machine.describe(),
    }


def _queue(result: Profile) -> dict[str, Any] | None:
    found = [(r.queued, r.batches) for r in result.rounds if r.queued is not None]
    if not found:
        return None
    mean = sum(queued * n for queued, n in found) / sum(n for _, n in found)
    return {"mean_waiting": mean, "capacity": result.capacity}


def _training(result: Profile) -> dict[str, Any] | None:
    training = result.training
    if training is None:
        return None
    needed = training.needed_per_s
    ideal = training.ideal_per_s
    return {
        "step_ms": training.step_ms,
        "needed_images_per_s": needed if math.isfinite(needed) else None,
        "loader_images_per_s": result.images_per_s,
        "images_per_s": training.images_per_s,
        "waited_share": training.waited_share,
        "hides": training.hides,
        "ideal_images_per_s": ideal,
        "lost_to_loading": max(1 - training.images_per_s / ideal, 0.0) if ideal else None,
    }


def _point(point: Any) -> dict[str, Any]:
    return {
        **point.axes, "images_per_s": point.images_per_s, "images_per_s_rounds": list(point.rates),
        "cpu_ms_per_image": point.cpu_ms, "error": point.error or None,
    }  # fmt: skip


def _comparison(found: Any) -> dict[str, Any]:
    ratio = found.cpu_ms / found.ours_cpu_ms if found.cpu_ms and found.ours_cpu_ms else None
    return {
        "peer": found.peer, "images_per_s": found.images_per_s, "images_per_s_rounds": list(found.rates),
        "cpu_ms_per_image": found.cpu_ms, "ours_images_per_s": found.ours_per_s,
        "ours_cpu_ms_per_image": found.ours_cpu_ms, "cpu_ratio": ratio, "does": found.does,
        "error": found.error or None,
    }  # fmt: skip


def _throughput(rows: list[tuple[float, float]]) -> list[list[float]]:
    """(seconds, images/s) over windows of equal length, from (seconds, images so far) of each batch."""
    if len(rows) < 2:
        return []
    window_s = (rows[-1][0] - rows[0][0]) / min(_MOST_POINTS, len(rows) - 1)
    found, (begin, before) = [], rows[0]
    for t, images in rows[1:]:
        if t - begin >= window_s * (1 - 1e-9) and t > begin:
            found.append([round(t, 4), round((images - before) / (t - begin), 3)])
            begin, before = t, images
    return found
