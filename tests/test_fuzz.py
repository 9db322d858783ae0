"""Fuzzing: cases are a pure function of the seed, children are watched, and a small campaign is clean."""

import json
import sys
from pathlib import Path

import pytest

from fieldloom.perf.fuzzing import campaign
from fieldloom.perf.fuzzing.cases import SHARES, case, form_of
from fieldloom.perf.fuzzing.formats import OWN
from fieldloom.perf.fuzzing.mutations import ANY
from fieldloom.perf.fuzzing.seeds import SEEDS
from fieldloom.pipelines.header import check_header


def test_seeds_are_sound() -> None:
    for form in ("jpeg", "png", "webp"):
        codecs = {check_header(data, max_pixels=2**20).codec for data in SEEDS[form]()}
        assert codecs == {form}


def test_cases_are_a_function_of_seed_and_number() -> None:
    for number in range(60):
        assert case(3, number) == case(3, number)
    assert sum(case(3, k).data != case(4, k).data for k in range(60)) > 55
    forms = [form_of(k) for k in range(1000)]
    assert {form: forms.count(form) // 10 for form in SHARES} == SHARES


def test_every_mutation_occurs_and_changes_something() -> None:
    seen = {form: set() for form in SHARES}
    sound = {form: set(SEEDS[form]()) for form in SHARES}
    unchanged = 0
    for number in range(3000):
        one = case(0, number)
        seen[one.form].update(one.mutation.split(" + "))
        unchanged += one.data in sound[one.form]
    assert unchanged < 60
    for form in SHARES:
        assert seen[form] == {*ANY, *OWN[form], "splice"}


def test_a_small_campaign_is_clean(tmp_path: Path) -> None:
    """A value or a named error; the same pixels alone as in a batch."""
    result = campaign.run(150, seed=7, jobs=1, keep=tmp_path)
    assert result["failures"] == []
    assert result["files"] == 150
    assert result["by_outcome"]["value"] > 20
    assert result["by_outcome"]["DecodeError"] > 50
    assert sum(sum(row.values()) for row in result["by_format"].values()) == 150
    assert sum(sum(row.values()) for row in result["by_mutation"].values()) == 150
    assert not list(tmp_path.iterdir())
    json.dumps(result)


#: Children that fail at case 5, told apart by how.
FAKES = {
    "crash": ("os.kill(os.getpid(), signal.SIGSEGV)", "crash -11"),
    "exit": ("sys.exit(3)", "crash 3"),
    "hang": ("time.sleep(1e6)", "hang"),
    "raises": ("outcome = 'raises KeyError'", "raises KeyError"),
    "differs": ("outcome = 'differs'", "differs"),
}
FAKE = """
import json, os, signal, sys, time
seed, first, last, chunk = map(int, sys.argv[1:5])
for start in range(first, last, chunk):
    print(json.dumps({{"begin": start}}), flush=True)
    found = []
    for k in range(start, min(start + chunk, last)):
        outcome = "DecodeError"
        if k == 5 and ({alone} or chunk > 1):
            {action}
        found.append((k, outcome, ""))
    print(json.dumps({{"end": start, "outcomes": found}}), flush=True)
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Replaces the child by a script that does what it is told."""

    def use(action: str, alone: bool = True) -> None:
        script = tmp_path / "child.py"
        script.write_text(FAKE.format(action=action, alone=alone))
        popen = campaign.subprocess.Popen
        monkeypatch.setattr(
            campaign.subprocess,
            "Popen",
            lambda command, **rest: popen([sys.executable, script, *command[3:]], **rest),
        )
        monkeypatch.setattr(campaign, "CHUNK_TIMEOUT_S", 3.0)
        monkeypatch.setattr(campaign, "FILE_TIMEOUT_S", 3.0)

    return use


@pytest.mark.parametrize("kind", FAKES)
def test_what_kills_or_holds_a_child_is_found_and_kept(kind: str, fake, tmp_path: Path) -> None:
    action, outcome = FAKES[kind]
    fake(action)
    result = campaign.run(12, jobs=1, keep=tmp_path / "kept")
    assert [(f["number"], f["outcome"]) for f in result["failures"]] == [(5, outcome)]
    assert result["files"] == 12
    assert result["by_outcome"] == {"DecodeError": 11, outcome: 1}
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.read_bytes() == case(0, 5).data


def test_a_crash_that_needs_a_whole_chunk_is_reported(fake, tmp_path: Path) -> None:
    fake(FAKES["crash"][0], alone=False)
    result = campaign.run(12, jobs=1)
    assert [(f["number"], f["outcome"]) for f in result["failures"]] == [(0, "crash -11, together only")]
    assert result["files"] == 12
