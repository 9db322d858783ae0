"""The benchmark of peers: it measures the work that it names, and says who could not do it."""

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldloom.perf.peers import bench
from fieldloom.perf.peers.page import page
from fieldloom.perf.peers.table import JOBS, PEERS
from fieldloom.perf.peers.targets import cheapest_warp, targets
from fieldloom.perf.peers.work import Work
from fieldloom.perf.process_tree import children, children_cpu_seconds, shared_megabytes
from helpers import make_folder

FOUND = [name for name, peer in PEERS.items() if not peer.missing()]


def row(cpu: float) -> dict[str, Any]:
    return {"cpu_ms_per_image": {"median": cpu, "min": cpu, "max": cpu, "n": 1}, "images": 10}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    make_folder(folder, 12)
    return folder


def test_the_table_names_jobs_and_modules_that_exist() -> None:
    for name, peer in PEERS.items():
        assert set(peer.jobs) <= set(JOBS), name
        if not peer.missing():
            assert callable(peer.make()), name
    assert {peer.module for peer in PEERS.values()} == {
        path.stem for path in Path(bench.__file__).parent.glob("by_*.py")
    }


@pytest.mark.parametrize("job", ["J4", pytest.param("J6e", marks=pytest.mark.slow)])
def test_a_run(files: Path, job: str) -> None:
    said: list[str] = []
    peers = ["DALI", "FFCV"]
    result = bench.run(files, jobs=[job], peers=peers, rounds=2, seconds=0.1, n_files=24, tell=said.append)
    rows = result["jobs"][job]["peers"]
    assert rows["DALI"]["cpu_ms_per_image"]["n"] == 2
    assert rows["DALI"]["cpu_ms_per_image"]["median"] > 0
    assert rows["DALI"]["images"] >= 2 * bench.FEWEST * result["jobs"][job]["batch"]
    assert ("FFCV" in result["left_out"]) == (importlib.util.find_spec("ffcv") is None)
    assert len(said) == 1
    json.dumps(result)


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS)
def test_every_peer_that_is_installed(files: Path, job: str) -> None:
    result = bench.run(files, jobs=[job], rounds=1, seconds=0.05, n_files=12)
    for peer in FOUND:
        if job in PEERS[peer].jobs:
            assert "error" not in result["jobs"][job]["peers"][peer], peer


@pytest.mark.slow
@pytest.mark.parametrize("peer", [name for name in FOUND if name != "SPDL + torchvision v2"])
def test_peers_deliver_what_the_job_asks(peer: str, files: Path, tmp_path: Path) -> None:
    """A process that fails is an error in the report; here it would be seen at once."""
    job = "J5n" if "J5n" in PEERS[peer].jobs else PEERS[peer].jobs[0]
    np.save(tmp_path / "images.npy", np.zeros((8, 24, 24, 3), np.uint8))
    paths = [(str(path), 0) for path in sorted(files.rglob("*.jpg"))]
    process = bench.PeerProcess(peer, Work(job, paths, str(tmp_path / "images.npy"), 4, 24, 1))
    try:
        assert "first_s" in process.run(1)
        found = process.run(8)
        assert found["n"] >= 8
        assert found["cpu_s"] >= 0
    finally:
        process.close()


def test_a_peer_that_dies_is_a_row(monkeypatch: pytest.MonkeyPatch, files: Path) -> None:
    monkeypatch.setattr(bench, "PeerProcess", _Dying)
    result = bench.run(files, jobs=["J1"], peers=["DALI"], rounds=1, n_files=12)
    assert result["jobs"]["J1"]["peers"]["DALI"] == {"error": "its process ended with status -9"}


class _Dying(bench.PeerProcess):
    def __init__(self, peer: str, work: Work, python: str) -> None:
        super().__init__(peer, work, python)
        self._process.kill()


def test_targets_are_held_against_what_was_measured() -> None:
    jobs = {
        "J1": {"fieldloom": row(1.0), "DALI": row(2.0)},
        "J4": {
            "fieldloom": row(1.5),
            "DALI": row(0.1),
            "Albumentations": row(4.0),
            "torchvision v2": row(60.0),
        },
    }
    report = {"jobs": {job: {"peers": peers} for job, peers in jobs.items()}}
    assert cheapest_warp(report, "J4") == ("Albumentations", 4.0)  # DALI's warp is not random
    found = {entry["what"]: (entry["figure"], entry["holds"]) for entry in targets(report)}
    assert found == {
        "J4: our CPU time over that of DALI's J1 (at most)": (0.75, True),
        "J4: times cheaper than the cheapest peer with a random warp (Albumentations)": (2.67, False),
        "J4: times cheaper than torchvision v2": (40.0, True),
    }


def test_cpu_time_of_living_children() -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass\nprint('done', flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "done\n"
        time.sleep(0.05)
        pids = children()
        cpu_s, resident_mb = children_cpu_seconds(pids), shared_megabytes(pids)
        child.communicate("\n")
    assert cpu_s >= 0.25
    assert resident_mb > 1


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")
def test_drawings(tmp_path: Path) -> None:
    from fieldloom.perf.peers.plots import draw

    peers = {"fieldloom": row(1.0), "DALI": row(3.0), "Kornia": row(40.0), "timm": {"error": "no"}}
    result = {
        "machine": {"cores": 2, "processor": "one", "date": "2026-01-01"},
        "jobs": {"J3": {"what": "a warp", "peers": peers}},
    }
    (path,) = draw(result, tmp_path / "drawings")
    first = path.read_text()
    assert path.name == "J3.svg"
    assert "Kornia" in first
    assert "timm" not in first
    assert draw(result, tmp_path / "drawings")[0].read_text() == first


PAGE = Path(__file__).parents[1] / "docs/peers.md"


@pytest.mark.skipif(not PAGE.exists(), reason="no result was drawn yet")
def test_the_page_is_that_of_its_result() -> None:
    name = "peers-cpu.json"
    result = json.loads((PAGE.parents[1] / "perf/results" / name).read_text())
    assert PAGE.read_text() == page(result, name)
    assert {path.stem for path in PAGE.with_suffix("").glob("*.svg")} == set(result["jobs"])
