"""The verdict names the largest part, what a step needs, and a knob that can be turned."""

import doctest
from dataclasses import fields
from typing import Any

import pytest

from fieldloom.perf.profiling import counting, svg, sweep, verdict
from fieldloom.perf.profiling.profile import Profile
from fieldloom.perf.profiling.report import restart_ms, verdict_of
from fieldloom.perf.profiling.rounds import Round
from fieldloom.perf.profiling.stages import Ablation
from fieldloom.perf.profiling.verdict import Evidence, judge


def evidence(parts: dict[str, float], **known: Any) -> Evidence:
    base = {"waited_share": 0.95, "busy_cores": 1.9, "threads": 2, "cores": 2, "images_per_s": 640.0}
    return Evidence(parts, **{**base, **known})


@pytest.mark.parametrize(
    ("parts", "known", "bound", "says"),
    [
        ({"decode": 8.0, "augment": 1.0, "read": 0.5}, {}, "decode", "84 % of the time goes to decoding"),
        ({"decode": 1.0, "augment": 8.0, "read": 0.5}, {}, "augment", "augmenting"),
        ({"decode": 1.0, "augment": 1.0, "read": 8.0}, {}, "read", "local disk"),
        ({"decode": 3.0, "augment": 3.1, "read": 3.0}, {}, "mixed", "decode 33 %, augment 34 %, read 33 %"),
        ({"decode": 3.0}, {"waited_share": 0.05}, "consumer", "95 % of the time"),
        ({"handoff": 3.0}, {}, "handoff", "larger batches"),
        ({"copy": 3.0}, {}, "copy", "uint8"),
        ({"restart": 3.0}, {"kind": "torch"}, "restart", "persistent_workers=True"),
        ({"compute": 3.0}, {}, "compute", "cannot be seen into"),
        ({}, {}, "unknown", "cannot be told apart"),
        ({}, {"ablated": False}, "unknown", "without --no-ablation"),
        ({}, {"best": "The sweep's fastest: x."}, "unknown", "The sweep's fastest: x."),
        ({}, {"images_per_s": 0.0}, "unknown", "no batch was produced"),
        ({"decode": 8.0}, {"cpu_shares": {"decode": 0.71}}, "decode", "(71 % of CPU time)"),
        ({"decode": 8.0}, {"needed_per_s": 900.0}, "decode", "needs 900 images/s, the loader has 640"),
        ({"decode": 8.0}, {"best": "The sweep's fastest: x."}, "decode", "The sweep's fastest: x."),
        ({"decode": 8.0}, {"others_cores": 1.0}, "decode", "Others kept 1.0 of 2 cores busy"),
    ],
)
def test_verdict(parts: dict[str, float], known: dict[str, Any], bound: str, says: str) -> None:
    found = judge(evidence(parts, **known))
    assert found.bound == bound
    assert found.text.startswith(bound)
    assert says in found.text
    assert 0 <= found.share <= 1


@pytest.mark.parametrize("stage", ["read", "decode", "augment", "compute"])
def test_more_threads_are_not_advised_where_a_sweep_found_them_slower(stage: str) -> None:
    found = judge(evidence({stage: 1.0}, threads=1, cores=8, busy_cores=1.0, threads_tried=True))
    assert found.bound == stage
    assert "aise threads" not in found.text
    assert "cores are busy" not in found.text


def test_a_loop_that_only_counts_has_no_step_to_speed_up() -> None:
    found = judge(evidence({"decode": 1.0}, waited_share=0.1, trained=False))
    assert found.bound == "consumer"
    assert "Speed up" not in found.text
    assert "--train-step" in found.text


@pytest.mark.parametrize("stage", ["read", "decode", "augment"])
@pytest.mark.parametrize(
    ("threads", "cores", "busy_cores", "knob"),
    [(1, 8, 1.0, "(1 of 8 cores now)"), (2, 2, 2.0, "All 2 cores are busy"), (2, 2, 0.9, "not all")],
)
@pytest.mark.parametrize(
    ("kind", "word"), [("fieldloom", "threads"), ("torch", "num_workers"), ("dali", "num_threads")]
)
def test_verdict_names_the_next_knob(
    stage: str, threads: int, cores: int, busy_cores: float, knob: str, kind: str, word: str
) -> None:
    known = {"threads": threads, "cores": cores, "busy_cores": busy_cores, "kind": kind}
    text = judge(evidence({stage: 9.0}, **known)).text
    assert (word if stage == "read" else knob) in text
    if threads < cores:
        assert word in text


def test_cores_that_others_take_are_busy_too() -> None:
    seen = evidence({"decode": 9.0}, busy_cores=0.9, others_cores=1.0)
    assert "All 2 cores are busy" in judge(seen).text


@pytest.mark.parametrize("module", [verdict, sweep, counting, svg])
def test_the_examples(module: Any) -> None:
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed


def round_of(images: int, batches: int, waited_s: float, restarts: int, restarted_s: float) -> Round:
    known = {field.name: 0 for field in fields(Round)}
    known |= {"images": images, "batches": batches, "waited_s": waited_s, "wall_s": waited_s, "stages": {}}
    return Round(**{**known, "restarts": restarts, "restarted_s": restarted_s})  # type: ignore[arg-type]


def profile_of(*rounds: Round, restarts_workers: bool) -> Profile:
    known: dict[str, Any] = dict.fromkeys(field.name for field in fields(Profile))
    target = {"kind": "torch", "name": "x", "batch_size": 4, "restarts_workers": restarts_workers}
    parts = Ablation((), parts={"decode": 2.0})
    known |= {"rounds": rounds, "target": target, "ablation": parts, "cores": 2, "workers": 2, "points": ()}
    return Profile(**known)


@pytest.mark.parametrize(("restarts_workers", "bound"), [(True, "restart"), (False, "decode")])
def test_workers_that_start_anew_with_each_epoch(restarts_workers: bool, bound: str) -> None:
    """Ten batches in 2.6 s: the first ones of two epochs took 1 s each, eight 75 ms by two workers."""
    result = profile_of(round_of(40, 10, 2.6, 2, 2.0), restarts_workers=restarts_workers)
    assert restart_ms(result) == pytest.approx(1e3 * (2.0 - 2 * 2 * 0.075) / 40)
    assert verdict_of(result).bound == bound
    assert restart_ms(profile_of(round_of(40, 10, 2.6, 0, 0.0), restarts_workers=True)) == 0
