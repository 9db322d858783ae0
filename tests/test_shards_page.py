"""docs/shards.md: its code runs, its figures are those of the results file."""

import json
import re
from pathlib import Path
from typing import Any

import fsspec
import pytest
from shard_files import image, sample, write_shards, write_tar

import fieldloom as fl
from fieldloom.sources import ShardSource
from fieldloom.sources.remotestore import FIRST_WAIT_S

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/shards.md").read_text()
RESULTS = json.loads((ROOT / "perf/results/start-sharded-cpu.json").read_text())


def test_code_runs_in_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    paths = write_shards(tmp_path / "data", 20)
    labels = [{"label": i, "tags": [i % 5]} for i in range(6)]
    write_tar(tmp_path / "json/train.tar", [m for i in range(6) for m in sample(i, {"json": labels[i]})])
    memory = fsspec.filesystem("memory")
    for folder in ("/bucket", "/pets"):  # one store a process: another test may have left something there
        if memory.exists(folder):
            memory.rm(folder, recursive=True)
    memory.pipe({f"/bucket/{path.name}": path.read_bytes() for path in paths})
    memory.pipe({f"/bucket/{name}.jpg": image(1) for name in "ab"} | {"/pets/cat/1.jpg": image(2)})
    names: dict[str, Any] = {"fl": fl, "ShardSource": ShardSource}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 4
    try:
        for block in blocks:
            exec(compile(block, "shards.md", "exec"), names)
    finally:
        memory.rm("/bucket", recursive=True)
        memory.rm("/pets", recursive=True)


def test_figures_are_those_of_the_results() -> None:
    text = " ".join(PAGE.split())
    runs = [run for run in RESULTS["start"] if run["n"] == 10_000_000]
    seconds = [run["seconds"] for run in runs]
    cpu, peak = (max(run[name] for run in runs) for name in ("cpu_s", "peak_mb_above"))
    assert f"within {cpu:.1f} s of CPU time and {peak:.0f} MB" in text
    assert f"{min(seconds):.1f} to {max(seconds):.1f} s in {len(runs)} runs" in text
    assert f"(load {RESULTS['load'][0]:.1f})" in text
    assert f"took {RESULTS['index']['make_us_a_sample']:.0f} µs a sample" in text
    pread, mapped = (RESULTS["reads"]["us"][name]["median"] for name in ("pread", "map"))
    assert f"{pread:.0f} instead of {mapped:.0f} µs for {RESULTS['reads']['bytes'] // 1000} kB" in text
    assert f"{FIRST_WAIT_S} s and then twice that" in text


def test_the_architecture_quotes_the_same() -> None:
    pread, mapped = (RESULTS["reads"]["us"][name]["median"] for name in ("pread", "map"))
    lines = (ROOT / "ARCHITECTURE.md").read_text().splitlines()
    row = next(line for line in lines if line.startswith("| members of shards"))
    assert f"{pread:.0f} instead of {mapped:.0f} µs" in row
