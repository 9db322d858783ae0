"""Measuring a loader: figures add up, the whole report is JSON, options do what they say."""

import io
import json
import tarfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import fieldloom as fl
from fieldloom.errors import ArgumentError, MissingError
from fieldloom.perf.cli import main
from fieldloom.perf.image_list import open_images, spread
from fieldloom.perf.process_tree import children
from fieldloom.perf.profiling.counting import n_bytes, n_images
from fieldloom.perf.profiling.foreign import TorchTarget, target_of
from fieldloom.perf.profiling.hot import find_hot
from fieldloom.perf.profiling.loading import as_target, load_object, open_target
from fieldloom.perf.profiling.ours import OurTarget, StageClock
from fieldloom.perf.profiling.probes import Meter, tree_megabytes
from fieldloom.perf.profiling.profile import Plan, profile
from fieldloom.perf.profiling.report import evidence_of, report_of
from fieldloom.perf.profiling.settings import Settings
from fieldloom.perf.profiling.sweep import Point, is_axis, parse_sweep
from fieldloom.perf.profiling.target import IterableTarget
from fieldloom.perf.profiling.timeline import Timeline, watching
from fieldloom.perf.profiling.training import parse_step
from fieldloom.timings import Timings
from helpers import Recorded, encode, make_folder

QUICK = Settings(batch_size=4, size=16, threads=1, recipe="imagenet", device="cpu")


def ours(source: Any, settings: Settings = QUICK) -> OurTarget:
    return OurTarget(source, settings, "data")


def test_stage_clock_adds_up_over_epochs() -> None:
    clock, first, second = StageClock(), Timings(read=1.0), Timings(read=0.25, consumer=2.0)
    clock.see(first)
    clock.see(first)
    first.read = 1.5  # an epoch goes on behind its last look
    clock.see(second)
    assert clock.seconds() == {"read": 1.75, "decode": 0, "augment": 0, "deliver": 0, "consumer": 2.0}


def test_profile_measures_what_was_asked_for(tmp_path: Path) -> None:
    make_folder(tmp_path, 10)
    told: list[tuple[str, float]] = []
    plan = Plan(batches=7, n_rounds=3, ablate=False)
    result = profile(ours(str(tmp_path)), plan, lambda text, part, rate: told.append((text, part)))
    # Epochs of 4 + 4 + 2 images follow each other; four batches pass before, one of them the first.
    assert [r.images for r in result.rounds] == [10, 6, 8]
    parts = [part for text, part in told if text.startswith("measuring")]
    assert parts == sorted(parts)
    assert len(parts) == 7
    assert parts[-1] == pytest.approx(1)
    for r in result.rounds:
        assert r.wall_s > 0
        assert r.stages["consumer"] <= r.wall_s * 1.01
        assert r.waited_s <= r.wall_s
        assert r.bytes == r.images * (3 * 16 * 16 * 4 + 8 + 8 + 4)
    # The producing thread runs ahead of the rounds, whose epochs are short here.
    assert sum(result.stages[name] for name in ("read", "decode", "augment")) > 0
    assert sum(r.source_bytes for r in result.rounds) > 0
    assert next(span.name for span in result.timeline.spans if span.track == "consumer") == "wait"
    assert {"read", "decode", "augment"} <= {s.name for s in result.timeline.spans if s.track == "producer"}


def test_report_is_json_with_all_figures(tmp_path: Path) -> None:
    make_folder(tmp_path, 6)
    report = report_of(profile(ours(str(tmp_path)), Plan(batches=4, n_rounds=2)))
    report = json.loads(json.dumps(report, allow_nan=False))
    assert report["images_per_s"] > 0
    assert len(report["images_per_s_rounds"]) == 2
    assert report["time_to_first_batch_s"] > 0
    assert set(report["stages"]) == {"read", "decode", "augment", "deliver", "consumer"}
    costs = {row["name"]: row for row in report["stage_costs"]}
    expected = ["read", "header", "decode", "augment", "handoff", "other", "producer waits", "consumer waits"]
    assert list(costs) == expected
    assert sum(row["cpu_share"] or 0.0 for row in costs.values()) == pytest.approx(1)
    assert costs["decode"]["cpu_ms"] > 0
    assert report["verdict"].startswith(report["bound"])
    assert report["settings"]["threads"] == 1
    assert report["settings"]["recipe"] == "imagenet"
    assert [row["name"] for row in report["limits"]] == ["decoding alone", "memory bandwidth"]
    assert all(row["percent"] > 0 for row in report["limits"])
    assert report["queue"]["capacity"] == 2
    assert report["machine"]["cores"] >= 1
    assert report["n_samples"] == 6
    assert report["training"] is None


def test_decoded_images_have_no_decoder() -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 20, 20, 3), np.uint8)
    report = report_of(profile(ours((images, [0] * 8)), Plan(batches=4, n_rounds=1)))
    assert [row["name"] for row in report["stage_costs"]][:2] == ["read", "augment"]
    assert report["bound"] in {"read", "augment", "mixed"}


def test_bad_images_do_not_stop_the_parts() -> None:
    source = [(b"no image at all", 0), *((Recorded(4).read(i).tobytes(), 0) for i in range(3))]
    found = ours(source).ablate(0.05)
    assert found.notes == ("1 of 4 images are not sound",)
    assert {stage.name for stage in found.stages} >= {"read", "header", "decode", "augment"}


def tar_of(path: Path, n: int) -> Path:
    with tarfile.open(path, "w") as tar:
        for i in range(n):
            for name, data in ((f"{i:03}.jpg", encode(i)), (f"{i:03}.cls", str(i % 2).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    "kind",
    [
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("folder", "flat", "image", "pattern")),
        *("shard", "packed", "table"),
    ],
)
def test_all_kinds_of_paths(tmp_path: Path, kind: str) -> None:
    files = make_folder(tmp_path / "data", 6)
    path = str(tmp_path / "data")
    if kind == "flat":
        path = str(files[0].parent)
    elif kind == "image":
        path = str(files[0])
    elif kind in {"shard", "pattern"}:
        tar_of(tmp_path / "x-000000.tar", 6)
        path = str(tmp_path / ("x-000000.tar" if kind == "shard" else "x-{000000..000000}.tar"))
    elif kind == "packed":
        packed = tmp_path / "packed"
        assert CliRunner().invoke(main, ["pack", path, str(packed)]).exit_code == 0
        path = str(packed)
    elif kind == "table":
        rows = [f"{file},{i % 2}" for i, file in enumerate(files)]
        (tmp_path / "data.csv").write_text("\n".join(["path,label", *rows]) + "\n")
        path = str(tmp_path / "data.csv")
    result = profile(open_target(path, QUICK), Plan(batches=3, n_rounds=1))
    report = report_of(result)
    assert report["target"]["stored"] == ("pixels" if kind == "packed" else "encoded")
    assert report["read_mb_per_s"] > 0
    assert {row["name"] for row in report["stage_costs"]} >= {"read", "augment"}


def test_a_training_step_is_waited_for_behind_each_batch(tmp_path: Path) -> None:
    make_folder(tmp_path, 8)
    seen: list[int] = []

    def step(batch: Any) -> None:
        seen.append(len(batch.ids))
        time.sleep(0.02)

    result = profile(ours(str(tmp_path)), Plan(batches=3, n_rounds=1, step=step, ideal=True, ablate=False))
    assert result.training is not None
    assert seen[:3] == [4, 4, 4]
    assert sum(r.batches for r in result.trained) == 3
    assert result.training.step_ms >= 20
    assert result.training.ideal_per_s is not None
    assert result.training.ideal_per_s <= 4 / 0.02
    assert report_of(result)["training"]["needed_images_per_s"] <= 4 / 0.02


def test_steps_as_text() -> None:
    parse_step("0")(None)
    assert parse_step("math:sqrt")(4.0) == 2  # any function of one argument
    for text in ("-1", "nan", "math:pi", "nothing", "math:nothing"):
        with pytest.raises(ArgumentError):
            parse_step(text)


def test_ideal_needs_a_step() -> None:
    with pytest.raises(ArgumentError, match="training step"):
        profile(IterableTarget([torch.zeros(2, 3)], "list"), Plan(ideal=True))


def test_a_sweep_measures_each_point(tmp_path: Path) -> None:
    make_folder(tmp_path, 8)
    plan = Plan(batches=2, n_rounds=1, ablate=False, sweep=parse_sweep(["threads=1,2", "batch=2,70000"]))
    report = report_of(profile(ours(str(tmp_path)), plan))
    assert [(p["threads"], p["batch"]) for p in report["sweep"]] == [(1, 2), (1, 70000), (2, 2), (2, 70000)]
    assert report["sweep"][0]["images_per_s"] > 0
    assert len(report["sweep"][0]["images_per_s_rounds"]) == 2
    assert "65536" in report["sweep"][1]["error"]  # a point that cannot be run stops nothing


@pytest.mark.parametrize("text", ["threads=1,x", "threads=", "color=1", "threads"])
def test_sweeps_that_make_no_sense(text: str) -> None:
    with pytest.raises(ArgumentError):
        parse_sweep([text])
    with pytest.raises(ArgumentError):
        parse_sweep(["threads=1", "threads=2"])
    with pytest.raises(ArgumentError, match="81 points"):
        parse_sweep([f"{name}={','.join(map(str, range(1, 10)))}" for name in ("threads", "batch")])


def test_axes_are_told_from_paths() -> None:
    assert is_axis("threads=1,2")
    assert not is_axis("data/threads=1")
    assert not is_axis("color=1")
    assert not is_axis("photos")


def test_a_sweep_of_a_function_calls_it_with_its_own_names() -> None:
    def make(num_workers: int = 1, batch_size: int = 2) -> list[torch.Tensor]:
        return [torch.zeros(batch_size, 3)] * num_workers

    target = target_of(make, "make")
    assert len(target.vary({"threads": 5, "batch": 7}).iterable) == 5
    with pytest.raises(ArgumentError, match="prefetch"):
        target.vary({"prefetch": 2})
    with pytest.raises(ArgumentError, match="made already"):
        target_of([torch.zeros(2)], "list").vary({"threads": 2})


def test_a_sweep_runs_the_points_that_can_be_had() -> None:
    loader = torch.utils.data.DataLoader(torch.zeros(8, 3), batch_size=2)
    points = tuple(parse_sweep(["threads=0,1", "prefetch=2"]))
    plan = Plan(batches=4, n_rounds=1, ablate=False, sweep=points)
    none, some = profile(target_of(loader, "loader"), plan).points
    assert "num_workers is 0" in none.error
    assert some.images_per_s
    with pytest.raises(ArgumentError, match="num_workers is 0"):
        profile(target_of(loader, "loader"), replace(plan, sweep=points[:1]))


def test_a_sweep_of_torchs_loader_keeps_the_rest() -> None:
    old = torch.utils.data.DataLoader(torch.zeros(8, 3), batch_size=2, shuffle=True, drop_last=True)
    new = TorchTarget(old, "loader").vary({"batch": 3}).iterable
    assert new.batch_size == 3
    assert new.drop_last
    assert type(new.sampler) is type(old.sampler)
    with pytest.raises(ArgumentError, match="its num_workers is 0"):
        TorchTarget(old, "loader").vary({"prefetch": 3})


def test_counting_images_and_bytes() -> None:
    images, labels = torch.zeros(4, 3, 8, 8), torch.zeros(4)
    for batch in ([images, labels], (images, labels), {"x": images, "y": labels}, images):
        assert n_images(batch) == 4
    assert n_images([{"data": images}, {"data": images}]) == 8  # DALI's: one dict a pipeline
    assert n_images([images[0]] * 5) == 5
    assert n_images("text") == 1
    assert n_images({"path": ["a", "b"], "epoch": 3, "image": images}) == 4  # names stand before it
    assert n_images((["a", "b", "c", "d"], images)) == 4
    assert n_images((tuple(images), tuple(labels))) == 4  # as detection collates: tuples of single images
    assert n_images([{"meta": None, "x": images}]) == 4
    assert n_images(({}, [], "x")) == 0
    assert n_bytes([images, labels]) == 4 * (3 * 8 * 8 + 1) * 4
    assert n_bytes({"x": np.zeros(3, np.uint8), "name": "y"}) == 3
    batch = fl.augment(np.zeros((8, 8, 3), np.uint8), size=8)
    assert n_bytes(batch) == batch.nbytes


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_is_watched(tmp_path: Path) -> None:
    make_folder(tmp_path, 12)
    settings = Settings(batch_size=4, size=16, threads=1, recipe="imagenet", device="cuda")
    report = report_of(profile(ours(str(tmp_path), settings), Plan(batches=12, n_rounds=2)))
    report = json.loads(json.dumps(report, allow_nan=False))
    assert report["gpu"]["name"]
    assert report["gpu"]["memory_mb"] > 0
    assert report["gpu"]["torch_peak_mb"] > 0
    costs = {row["name"]: row for row in report["stage_costs"]}
    assert costs["copy"]["wall_ms"] > 0
    assert costs["decode"]["cpu_ms"] is not None


def test_any_iterable_can_be_profiled() -> None:
    batches = [np.zeros((5, 2, 2, 3), np.uint8)] * 6
    report = report_of(profile(target_of(batches, "list"), Plan(batches=9, n_rounds=3)))
    assert report["n_images"] == 45
    assert report["target"] == {"kind": "iterable", "name": "list", "threads": None, "batch_size": None}
    assert report["queue"] is None


def generated() -> Iterator[np.ndarray]:
    yield from (np.zeros((5, 2)) for _ in range(8))


def test_what_can_be_used_once_ends_early() -> None:
    result = profile(target_of(generated(), "once"), Plan(batches=90, n_rounds=3, ablate=False))
    assert sum(r.batches for r in result.rounds) == 3  # of 8, five pass before
    with pytest.raises(ArgumentError, match="gives no batches"):
        profile(target_of([], "nothing"), Plan(batches=1))


def test_a_function_that_gives_an_iterator_is_called_for_each_epoch() -> None:
    result = profile(target_of(generated, "made"), Plan(batches=20, n_rounds=1))
    assert sum(r.batches for r in result.rounds) == 20
    assert result.rounds[0].restarts == 3  # 25 batches, 8 each
    swept = profile(target_of(generated, "made"), Plan(batches=2, n_rounds=1, ablate=False))
    assert swept.rates


def test_batches_without_images_are_no_measurement() -> None:
    with pytest.raises(ArgumentError, match=r"its 3 batches held no images"):
        profile(target_of([np.zeros((0, 3))] * 4, "empty"), Plan(batches=3, n_rounds=1))


def needs(folder: str) -> list[str]:
    return [folder]


def test_a_function_that_wants_arguments_is_refused() -> None:
    with pytest.raises(
        ArgumentError, match=r"cannot call it without arguments: missing .*'folder'.*defaults"
    ):
        target_of(needs, "it")


def test_a_short_epoch_is_begun_again_for_its_parts() -> None:
    """What the profiler itself calls is no part of a loader."""

    def count(seen: list[int] = []) -> bool:  # noqa: B006 - counts its calls
        seen.append(1)
        return len(seen) < 3

    assert find_hot(count, 10.0).functions == ()
    report = report_of(profile(target_of([np.zeros((5, 2))] * 3, "list"), Plan(seconds=0.2)))
    assert not any("perf_counter" in row["function"] for row in report["hot"])


def counted_batches() -> Iterator[dict[str, Any]]:
    while True:
        yield {"path": ["a"] * 500, "image": np.zeros((500, 2))}


def test_what_the_profiler_costs_itself_is_no_hot_function() -> None:
    report = report_of(profile(target_of(counted_batches, "made"), Plan(seconds=0.3)))
    names = [row["function"] for row in report["hot"]]
    assert not any("counting.py" in name or "foreign_ablation.py" in name for name in names)
    assert any("counted_batches" in name for name in names)
    assert not any("isinstance" in name for name in names)


def test_what_a_sweep_has_tried_is_not_advised() -> None:
    result = profile(
        target_of(torch.utils.data.DataLoader(torch.zeros(8, 3), 2), "loader"), Plan(batches=3, n_rounds=1)
    )

    def tried(**rates: float) -> bool:
        points = tuple(Point({"threads": int(name[1:])}, rate, (rate,), 1.0) for name, rate in rates.items())
        return evidence_of(replace(result, points=points)).threads_tried

    assert tried(t0=9.0, t1=5.0, t2=8.0)
    assert not tried(t0=9.0, t1=10.0)
    assert not tried(t0=9.0)
    assert not tried(t2=1e12)


def test_a_sweep_whose_rounds_overlap_names_no_best() -> None:
    result = profile(target_of([np.zeros((5, 2))] * 3, "list"), Plan(batches=3, n_rounds=1, ablate=False))
    now = result.images_per_s

    def said(*rates: float) -> str:
        point = Point({"threads": 3}, sum(rates) / len(rates), rates, 1.0)
        return evidence_of(replace(result, points=(point,))).best

    assert said(2 * now, 0.9 * now) == "No point of the sweep is clearly faster."
    assert said(2 * now, 2.2 * now).startswith("The sweep's fastest: threads=3, ")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no_such_module:x", "no module 'no_such_module'"),
        ("math:nothing", "math has no 'nothing'"),
        ("math:pi", "float, which is not iterable"),
        ("absent.py:x", "no such file"),
        ("math:", "neither a path nor"),
    ],
)
def test_objects_that_cannot_be_had(text: str, says: str) -> None:
    with pytest.raises((ArgumentError, MissingError), match=says):
        open_target(text, QUICK)


def test_an_object_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_loaders.py").write_text("class A:\n    batches = [[1, 2]]\n")
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    assert load_object(f"{tmp_path / 'my_loaders.py'}:A.batches") == [[1, 2]]


def test_a_loader_of_ours_is_taken_by_its_data() -> None:
    images = np.zeros((6, 8, 8, 3), np.uint8)
    options = {"prefetch": 5, "dtype": torch.float16, "layout": "NHWC", "on_bad_sample": "skip"}
    with fl.DataLoader((images, [0] * 6), batch_size=3, size=8, threads=2, device="cpu", **options) as loader:
        target = as_target(loader, "mine", Settings())
    assert isinstance(target, OurTarget)
    assert target.settings.batch_size == 3
    assert target.settings.size == 8
    assert target.settings.threads == 2
    assert target.settings.recipe == ()
    own = target.settings
    assert (own.prefetch, own.dtype, own.layout, own.on_bad_sample) == (5, "float16", "NHWC", "skip")
    with target.open() as again:
        assert next(iter(again)).images.dtype == torch.float16


def test_reads_are_timed_on_one_object_and_left_as_they_were() -> None:
    source, other, timeline = Recorded(3), Recorded(3), Timeline()
    with watching(timeline, source) as reads:
        other.read(0)
        data = source.read(1)
        seconds, size = reads()
    assert size == data.nbytes
    assert seconds > 0
    assert [span.name for span in timeline.spans] == ["read file"]
    source.read(2)
    assert reads() == (seconds, size)
    assert source.read.__func__ is Recorded.read  # type: ignore[attr-defined]


def test_probes_see_this_process_and_its_children() -> None:
    import subprocess
    import sys

    meter = Meter()
    code = "import sys, time\nwhile time.process_time() < 0.4: pass\nsys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    assert child.pid in children()
    deadline = time.monotonic() + 60
    while meter.usage().cpu_s < 0.3 and time.monotonic() < deadline:
        time.sleep(0.05)
    living = meter.usage().cpu_s
    child.communicate()
    assert meter.usage().cpu_s >= living >= 0.3  # what ended is not lost
    assert tree_megabytes() > 10


def decode_slowly() -> bool:
    time.sleep(0.002)
    return True


def read_slowly() -> bool:
    time.sleep(0.002)
    return True


@pytest.mark.parametrize(("call", "kind"), [(decode_slowly, "decode"), (read_slowly, "read")])
def test_hot_functions_go_by_the_names_of_their_callers(call: Any, kind: str) -> None:
    found = find_hot(call, 0.05)
    assert found.shares[kind] > 0.8
    assert sum(found.shares.values()) == pytest.approx(1)
    assert "time.sleep" in found.functions[0][0]
    assert find_hot(lambda: sum(range(20000)), 0.05).shares["augment"] > 0.8


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
