"""Beginnings and ends: nothing of ours outlives its loader, however the loop was left."""

import gc
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import fieldloom as fl
from helpers import FULL, check_closed, check_ledger, collect, encoded_list, pixels, run_python

ENCODED = encoded_list(24)
ARRAYS = (np.stack([pixels(16, 16, i) for i in range(24)]), [0] * 24)


def make(source=ENCODED, **options):
    return fl.DataLoader(source, **{"batch_size": 4, "size": 16, "threads": 2, "augment": FULL, **options})


def take(loader, n: int = 3) -> None:
    for k, _ in enumerate(loader):
        if k == n - 1:
            break


@pytest.mark.parametrize("source", [ENCODED, ARRAYS], ids=["encoded", "arrays"])
@pytest.mark.parametrize("close", [True, False])
def test_create_take_drop(source, close: bool) -> None:
    take(make(source))  # what starts once and stays: DALI's own threads
    with check_closed(slack=2):
        for _ in range(10):
            loader = make(source)
            take(loader)
            if close:
                loader.close()
        del loader


@pytest.mark.slow
def test_a_hundred_loaders() -> None:
    take(make())
    with check_closed(slack=2):
        for _ in range(100):
            take(make())


def test_collected_without_close() -> None:
    with check_closed(slack=2):
        loader = make()
        iterator = iter(loader)
        next(iterator)
        del loader
        gc.collect()
        assert len(next(iterator)) == 4, "an iterator lives without its loader"
        del iterator


def test_exhausted_without_close() -> None:
    with check_closed(slack=2):
        assert len(list(make())) == 6


def test_a_cycle_through_the_loader() -> None:
    with check_closed(slack=2):
        loader = make()
        loader.myself = loader
        loader.mine = iter(loader)
        next(loader.mine)
        del loader


def test_an_exception_in_the_loop() -> None:
    def loop(loader):
        for batch in loader:
            if batch.index == 1:
                raise KeyError("mine")

    with check_closed(slack=2), make() as loader:
        with pytest.raises(KeyError, match="mine") as caught:
            loop(loader)
        # The traceback still holds the iterator; a new epoch is possible nevertheless.
        assert len(check_ledger(loader)) == 6
        del caught


def test_two_loaders_alive_together() -> None:
    with check_closed(slack=2), make(seed=1) as one, make(ARRAYS, seed=2) as two:
        alone = collect(one), collect(two)
        one.set_epoch(0)
        two.set_epoch(0)
        for _ in range(3):
            for a, b in zip(one, two, strict=True):
                assert a.ids.tolist() == b.ids.tolist()
        one.set_epoch(0)
        two.set_epoch(0)
        assert (collect(one), collect(two)) == alone


def test_several_threads_read_one_iterator() -> None:
    with check_closed(slack=2), make(ARRAYS) as loader:
        iterator, got = iter(loader), []

        def read() -> None:
            got.extend(batch.index for batch in iterator)

        with ThreadPoolExecutor(4) as pool:
            for task in [pool.submit(read) for _ in range(4)]:
                task.result()  # the end is an end for each of them
        assert sorted(got) == list(range(6))


@pytest.mark.slow
def test_training_and_validation_for_50_epochs() -> None:
    with check_closed(slack=2), make(shuffle=True) as train, make(augment=[fl.CenterCrop()]) as test:
        for epoch in range(50):
            assert train.epoch == test.epoch == epoch
            assert sum(map(len, train)) == sum(map(len, test)) == 24


def test_many_short_epochs() -> None:
    with check_closed(), make(ARRAYS, batch_size=24) as loader:
        for _ in range(100):
            assert len(list(loader)) == 1


def test_a_slow_consumer_does_not_make_the_loader_run_ahead() -> None:
    reads = []
    with make(ARRAYS, batch_size=1, prefetch=2) as loader:
        original = loader.source.pixels
        loader.source.pixels = lambda i: reads.append(i) or original(i)
        iterator = iter(loader)
        next(iterator)
        time.sleep(0.3)
        assert len(reads) <= 1 + 2 + 2  # one taken, `prefetch` waiting, one in work, one about to be


# ---------------------------------------------------------------- processes

PATH = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}
SCRIPT = """
import os, sys, time
import fieldloom as fl
from helpers import FULL, encoded_list
loader = fl.DataLoader(encoded_list(24) * 10, batch_size=4, size=16, threads=2, augment=FULL)
iterator = iter(loader)
next(iterator)
"""


def run(code: str, timeout_s: float = 60):
    return run_python(SCRIPT + code, timeout_s, env={**os.environ, **PATH})


@pytest.mark.parametrize(
    "code",
    [
        "",
        pytest.param("del loader", marks=pytest.mark.slow),
        pytest.param("loader.close()", marks=pytest.mark.slow),
        pytest.param(
            "two = iter(fl.DataLoader(encoded_list(9), batch_size=1, size=8)); next(two)",
            marks=pytest.mark.slow,
        ),
        "two = iter(fl.DataLoader(encoded_list(9), batch_size=1, size=8))",
        "loader.loop = iterator; del iterator",
        pytest.param("sys.exit(0)", marks=pytest.mark.slow),
        pytest.param("time.sleep(0.3)", marks=pytest.mark.slow),
    ],
)
def test_interpreter_exit_with_a_live_iterator(code: str) -> None:
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_interpreter_exit_by_an_exception() -> None:
    done = run("for batch in iterator: raise RuntimeError('mine')")
    assert done.returncode == 1
    assert done.stderr.strip().endswith("RuntimeError: mine")
    assert done.stderr.count("Traceback") == 1


@pytest.mark.fault
@pytest.mark.parametrize("caught", [True, False])
def test_ctrl_c(caught: bool) -> None:
    code = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs with it ignored
def loop():
    print("ready", flush=True)
    while True:
        for batch in loader:
            pass
"""
    code += "try:\n    loop()\nexcept KeyboardInterrupt:\n    sys.exit(130)" if caught else "loop()"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT + code],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **PATH},
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, report = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode in ((130,) if caught else (130, 1, -signal.SIGINT))
    if caught:
        assert report == ""
    else:
        assert report.strip().splitlines()[-1].startswith("KeyboardInterrupt")


@pytest.mark.fault
def test_few_descriptors() -> None:
    """`ulimit -n 64`: enough, because files are closed as soon as they are read."""
    code = """
import resource, tempfile, pathlib
from helpers import make_folder
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
with tempfile.TemporaryDirectory() as folder:
    make_folder(pathlib.Path(folder), 200)
    with fl.DataLoader(folder, batch_size=16, size=8, threads=4) as other:
        assert sum(map(len, other)) == 200
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
