"""Measuring and judging a loader: figures add up, and the verdict names the stage that was made slow."""

import doctest
import json
from pathlib import Path

import pytest

from fieldloom.errors import MissingError
from fieldloom.perf import verdict
from fieldloom.perf.image_list import open_images, spread
from fieldloom.perf.profile import Settings, StageClock, profile
from fieldloom.perf.verdict import judge
from fieldloom.timings import Timings
from helpers import make_folder

QUICK = Settings(batch_size=4, size=16, threads=1)


@pytest.mark.parametrize(
    ("stages", "bound", "says"),
    [
        ({"decode": 8.0, "augment": 1.0, "read": 0.5}, "decode", "84 % of the time goes to waiting for JPEG"),
        ({"decode": 1.0, "augment": 8.0, "read": 0.5}, "augment", "the fused pass"),
        ({"decode": 1.0, "augment": 1.0, "read": 8.0}, "read", "local disk"),
        ({"decode": 3.0, "augment": 3.1, "read": 3.0}, "mixed", "read 33 %, decode 33 %, augment 34 %"),
        ({"decode": 3.0, "augment": 1.0, "consumer": 0.5}, "consumer", "95 % of the time"),
        ({"decode": 3.0, "augment": 1.0, "deliver": 6.0, "consumer": 0.5}, "consumer", "the loader keeps up"),
        ({}, "unknown", "Measure more"),
    ],
)
def test_verdict(stages: dict[str, float], bound: str, says: str) -> None:
    found = judge({"consumer": 9.5, **stages}, wall_s=10, cpu_s=19, threads=2, cores=2)
    assert found.bound == bound
    assert found.text.startswith(bound)
    assert says in found.text
    assert 0 <= found.share <= 1


@pytest.mark.parametrize("stage", ["read", "decode", "augment"])
@pytest.mark.parametrize(
    ("threads", "cores", "cpu_s", "knob"),
    [
        (1, 8, 10.0, "Raise threads (1 of 8 cores now)"),
        (2, 2, 20.0, "All 2 cores are busy"),
        (2, 2, 9.0, "not all"),
    ],
)
def test_verdict_names_the_next_knob(stage: str, threads: int, cores: int, cpu_s: float, knob: str) -> None:
    text = judge({stage: 9.0, "consumer": 9.5}, wall_s=10, cpu_s=cpu_s, threads=threads, cores=cores).text
    assert ("threads" if stage == "read" else knob) in text


def test_stage_clock_adds_up_over_epochs() -> None:
    clock, first, second = StageClock(), Timings(read=1.0), Timings(read=0.25, consumer=2.0)
    clock.see(first)
    clock.see(first)
    first.read = 1.5  # an epoch goes on behind its last look
    clock.see(second)
    assert clock.seconds() == {"read": 1.75, "decode": 0, "augment": 0, "deliver": 0, "consumer": 2.0}


def test_profile_measures_what_was_asked_for(tmp_path: Path) -> None:
    make_folder(tmp_path, 10)
    parts: list[float] = []
    result = profile(
        str(tmp_path), QUICK, batches=7, n_rounds=3, on_progress=lambda part, rate: parts.append(part)
    )
    # Epochs of 4 + 4 + 2 images follow each other; four batches pass before, one of them the first.
    assert [r.images for r in result.rounds] == [10, 6, 8]
    assert parts == sorted(parts)
    assert len(parts) == 7
    assert parts[-1] == pytest.approx(1)
    for r in result.rounds:
        work = sum(r.stages[name] for name in ("read", "decode", "augment"))
        assert r.wall_s > 0
        assert work > 0  # of the producing thread, which runs ahead of the round
        assert r.stages["consumer"] <= r.wall_s * 1.01


def test_report_is_json_with_all_figures(tmp_path: Path) -> None:
    make_folder(tmp_path, 6)
    report = json.loads(json.dumps(profile(str(tmp_path), QUICK, seconds=0.2, n_rounds=2).report()))
    assert report["images_per_s"] > 0
    assert len(report["images_per_s_rounds"]) == 2
    assert report["time_to_first_batch_s"] > 0
    assert set(report["stages"]) == {"read", "decode", "augment", "deliver", "consumer"}
    assert report["verdict"].startswith(report["bound"])
    assert report["settings"]["threads"] == 1
    assert report["settings"]["recipe"] == "rfa"
    assert report["machine"]["cores"] >= 1
    assert report["n_samples"] == 6


def test_a_training_step_is_waited_for_behind_each_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder(tmp_path, 8)
    slept: list[float] = []
    monkeypatch.setattr("fieldloom.perf.profile.time.sleep", slept.append)
    profile(str(tmp_path), QUICK, batches=3, n_rounds=1, step_s=0.25)
    assert slept == [0.25] * len(slept)
    assert len(slept) >= 3


def test_a_path_may_be_a_class_folder_a_flat_folder_or_an_image(tmp_path: Path) -> None:
    files = make_folder(tmp_path / "classes", 4)
    assert open_images(tmp_path / "classes") == str(tmp_path / "classes")
    flat = files[0].parent
    assert open_images(flat) == [(str(file), 0) for file in sorted(flat.iterdir())]
    assert open_images(files[0]) == [(str(files[0]), 0)]
    with pytest.raises(MissingError):
        open_images(tmp_path / "absent")


@pytest.mark.parametrize(("n", "count"), [(200, 8), (3, 8), (8, 8), (1, 1), (1000, 7)])
def test_spread_is_even_and_in_range(n: int, count: int) -> None:
    ids = spread(n, count)
    assert len(ids) == min(n, count)
    assert sorted(set(ids)) == ids
    assert ids[0] >= 0
    assert ids[-1] < n
    assert len({i * len(ids) // n for i in ids}) == len(ids)


def test_the_example_of_the_verdict() -> None:
    assert doctest.testmod(verdict) == (0, 2)
