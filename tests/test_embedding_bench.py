"""The comparison of the ways to embed the pass: it does the same work in each, and reports it."""

import json

import pytest
from click.testing import CliRunner

from fieldloom.perf import embedding_bench
from fieldloom.perf.embedding_ways import OVERHEAD_WAYS
from fieldloom.perf.photos import write_photo_folder


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return run(tmp_path_factory.mktemp("bench"), "--no-overhead")


def run(folder, *more):
    write_photo_folder(folder / "photos", n=12)
    options = ["--rounds", "2", "--batch-size", "5", "--size", "32", "--images", "20", *more]
    arguments = [str(folder / "photos"), "--json", str(folder / "report.json"), *options]
    done = CliRunner().invoke(embedding_bench.main, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    return json.loads((folder / "report.json").read_text()), done.output


def test_every_way_is_measured_in_every_round(report):
    values, text = report
    assert values["setting"]["files"] == 24
    assert values["setting"]["distinct_files"] == 12
    assert set(values["ways"]) == set(embedding_bench.WAYS)
    for way in values["ways"].values():
        assert way["what"] in text
        for figure in ("cpu_ms_per_image", "wall_ms_per_image", "cpu_over_outside", "wall_over_outside"):
            assert way[figure]["n"] == 2
            assert 0 < way[figure]["min"] <= way[figure]["median"] <= way[figure]["max"]
    assert values["ways"]["outside"]["cpu_over_outside"]["max"] == 1


@pytest.mark.slow
def test_the_overhead_of_each_way_is_printed(tmp_path):
    values, text = run(tmp_path)
    assert set(values["overhead"]) == {"fused", "normalize"}
    common = {"bare", "source", "outside", "python_function", "direct"}
    assert set(values["overhead"]["fused"]) == common
    assert set(values["overhead"]["normalize"]) == common | {"numba_function"} == set(OVERHEAD_WAYS)
    for ways in values["overhead"].values():
        for way in ways.values():
            assert way["what"] in text
            assert way["wall_ms_per_batch"]["n"] == 2
            assert way["wall_ms_per_batch"]["min"] > 0
        assert ways["bare"]["wall_over_bare"]["max"] == 1


def test_the_ways_give_equal_bits(report):
    assert report[0]["equal_bits"] is True
