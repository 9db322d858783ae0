"""Nothing comes: the loader says what hangs, ends when it is told to, and can begin again."""

import contextlib
import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stuck_sources import Hanging

import fieldloom as fl
from fieldloom import producer
from fieldloom.pipelines.threads import DaemonPool
from helpers import check_closed, check_ledger, run_python

STORED = ("encoded", "pixels", "windows")


@contextlib.contextmanager
def opened(source: Hanging, **options) -> Iterator[fl.DataLoader]:
    """A loader over it; whatever hangs is let go in the end."""
    options = {"batch_size": 4, "size": 16, "threads": 2, "timeout_s": 0.3, **options}
    with check_closed(slack=2):
        loader = fl.DataLoader(source, **options)
        try:
            yield loader
        finally:
            source.release.set()
            loader.close()
            del loader


def until_stalled(iterator: Iterator[fl.Batch]) -> tuple[list[int], fl.errors.WorkerStalled]:
    """What comes before the watchdog barks (more than once on a slow machine), and its bark."""
    ids: list[int] = []
    while True:
        try:
            ids += next(iterator).ids.tolist()
        except fl.errors.WorkerStalled as error:
            if error.sample is not None:
                return ids, error


@pytest.mark.parametrize("stored", STORED)
def test_the_sample_in_hand_is_named_and_the_loader_goes_on(stored: str) -> None:
    source = Hanging(stored=stored)
    with opened(source) as loader:
        iterator = iter(loader)
        ids, error = until_stalled(iterator)
        assert ids == list(range(8))
        assert isinstance(error, TimeoutError)
        assert isinstance(error, fl.errors.WorkerError)
        assert (error.sample, error.file) == (9, "record 9")
        assert "no batch 2 within 0.3 s sample 9 (record 9): stage read has had this sample" in str(error)
        assert "Hanging waits for" in error.remedy
        assert "timeout_s" in error.remedy
        with pytest.raises(fl.errors.WorkerStalled):
            next(iterator)
        source.release.set()
        rest = []
        while len(rest) < 16:
            with contextlib.suppress(fl.errors.WorkerStalled):
                rest += next(iterator).ids.tolist()
        assert rest == list(range(8, 24))
        assert loader.ledger.balanced()


def test_a_stand_in_that_hangs_is_named() -> None:
    source = Hanging(12, stuck=[k for k in range(12) if k != 9], bad=[9])
    with opened(source, on_bad_sample="substitute", batch_size=1) as loader:
        loader.set_epoch(0)
        source.release.set()
        iterator = iter(loader)
        for _ in range(9):
            while True:
                with contextlib.suppress(fl.errors.WorkerStalled):
                    next(iterator)
                    break
    source = Hanging(12, stuck=(), bad=[3])
    with opened(source, on_bad_sample="substitute", batch_size=12) as loader:
        wait = source._hang
        reads: list[int] = []

        def second(i: int) -> None:
            reads.append(i)
            if reads.count(i) == 2:
                source.release.wait()
            wait(i)

        source._hang = second
        _, error = until_stalled(iter(loader))
        assert "stage substitute" in error.why
        assert reads.count(error.sample) == 2
        assert error.file == f"record {error.sample}"


@pytest.mark.parametrize("stage", ["decode", "augment"])
def test_stages_of_our_own_are_named(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Hanging(stuck=())
    with opened(source) as loader:
        owner, name = {
            "decode": (loader._production._decoder, "_run"),
            "augment": (loader._production._backend, "augment"),
        }[stage]
        original = getattr(owner, name)

        def hangs(*arguments):
            source.release.wait()
            return original(*arguments)

        monkeypatch.setattr(owner, name, hangs)
        with pytest.raises(
            fl.errors.WorkerStalled, match=f"no batch 0 within 0.3 s: stage {stage} has taken"
        ):
            next(iter(loader))


def test_a_source_that_cannot_name_its_samples() -> None:
    source = Hanging()
    source.name = lambda i: 1 / 0
    with opened(source) as loader:
        _, error = until_stalled(iter(loader))
        assert (error.sample, error.file) == (9, None)


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("how", ["close", "del", "exception"])
def test_a_loader_that_hangs_can_be_left(stored: str, how: str) -> None:
    source = Hanging(stored=stored)
    with opened(source, timeout_s=None) as loader:
        iterator = iter(loader)
        next(iterator)
        assert source.reached.wait(60)
        if how == "close":
            loader.close()
            with pytest.raises(fl.StateError, match="has ended"):
                next(iterator)
        elif how == "del":
            del iterator
            gc.collect()
        else:
            with pytest.raises(KeyError), loader:
                raise KeyError


@pytest.mark.parametrize("stored", ["encoded", "windows"])
def test_a_new_epoch_leaves_threads_that_hang_behind(stored: str) -> None:
    source = Hanging(stuck=(9, 10, 11), stored=stored)
    with opened(source, timeout_s=60) as loader:
        for _ in range(3):
            iterator = iter(loader)
            next(iterator)
            assert source.reached.wait(60)
            source.reached.clear()
        loader.select([k for k in range(24) if k not in source.stuck])
        assert sum(map(len, loader)) == 21
        loader.select(None)
        source.release.set()
        assert len(check_ledger(loader)) == 6


def test_a_new_epoch_behind_a_producing_thread_that_hangs_is_refused_by_name() -> None:
    source = Hanging(stored="pixels")
    with opened(source) as loader:
        iterator = iter(loader)
        until_stalled(iterator)
        for begin in (loader.__iter__, lambda: loader.load_state_dict(loader.state_dict())):
            with pytest.raises(fl.errors.WorkerStalled, match=r"cannot begin another epoch.*sample 9 "):
                begin()
        source.release.set()
        while True:
            with contextlib.suppress(fl.errors.WorkerStalled):
                again = iter(loader)
                break
        loader.set_epoch(0)
        del again
        with contextlib.suppress(fl.errors.WorkerStalled):
            assert next(iter(loader)).ids.tolist() == [0, 1, 2, 3]


def test_the_decoder_is_freed_when_a_thread_that_hangs_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "CLOSE_TIMEOUT_S", 0.01)
    source = Hanging(stored="pixels")
    with opened(source) as loader:
        iterator = iter(loader)
        until_stalled(iterator)
        decoder = loader._production._decoder
        loader.close()
        assert not decoder._closed
        source.release.set()
        iterator.thread.join(60)
        assert decoder._closed


# ---------------------------------------------------------------- threads that die


class Killed(BaseException):
    """What no handler expects."""


def test_a_producing_thread_that_dies_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Hanging(stuck=())
    with opened(source, timeout_s=None) as loader:
        monkeypatch.setattr(threading, "excepthook", lambda _: None)
        put = fl.handoff.Handoff.put
        dies, n_put = [True], [0]

        def put_three(queue, item) -> None:
            n_put[0] += 1
            if dies[0] and n_put[0] > 3:
                raise Killed
            put(queue, item)

        monkeypatch.setattr(fl.handoff.Handoff, "put", put_three)
        iterator = iter(loader)
        assert [next(iterator).index for _ in range(3)] == [0, 1, 2]
        with pytest.raises(fl.errors.WorkerDied, match="the producing thread ended in stage"):
            next(iterator)
        assert next(iterator, None) is None
        dies[0] = False
        assert len(check_ledger(loader)) == 6


def test_an_exception_sent_to_the_producing_thread() -> None:
    """Whatever it meets there: the consumer hears of it, or the epoch goes on; the next one works."""
    source = Hanging(stored="pixels")
    with opened(source, timeout_s=60) as loader:
        iterator = iter(loader)
        next(iterator)
        assert source.reached.wait(60)
        kill(iterator.thread)
        source.release.set()
        with contextlib.suppress(Killed, fl.errors.WorkerDied):
            for _ in iterator:
                pass
        assert len(check_ledger(loader)) == 6


def test_a_reading_thread_that_dies_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    source = Hanging(stuck=())
    with opened(source, timeout_s=60) as loader:
        finish = fl.pipelines.threads.Task.set_result
        dead: list[bool] = []

        def die_once(task, result) -> None:
            if not dead:
                dead.append(True)
                raise Killed
            finish(task, result)

        monkeypatch.setattr(fl.pipelines.threads.Task, "set_result", die_once)
        with pytest.raises(fl.errors.WorkerDied, match="a reading thread ended"):
            list(loader)
        assert len(check_ledger(loader)) == 6


def kill(thread: threading.Thread) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Killed))


# ---------------------------------------------------------------- the pool


def test_the_pool_gives_results_and_errors() -> None:
    pool = DaemonPool(2, "fieldloom-test")
    with check_closed():
        assert list(pool.map(lambda a, b: a + b, range(50), range(50))) == [2 * k for k in range(50)]
        with pytest.raises(ZeroDivisionError):
            pool.submit(lambda: 1 / 0).result()
        assert sum(thread.name.startswith("fieldloom-test") for thread in threading.enumerate()) <= 2
        assert not pool.busy()
        pool.shutdown()
        pool.shutdown()
        with pytest.raises(RuntimeError, match="shut down"):
            pool.submit(abs, 1)


def test_the_pool_cancels_what_has_not_begun() -> None:
    release = threading.Event()
    pool = DaemonPool(1, "fieldloom-test")
    with check_closed():
        running, waiting = pool.submit(release.wait), pool.submit(abs, 1)
        pool.forsake()
        assert waiting.cancelled()
        assert pool.submit(abs, -3).result(60) == 3
        pool.shutdown()
        release.set()
        assert running.result(60)


def test_a_pool_that_is_dropped_ends_its_threads() -> None:
    with check_closed():
        assert DaemonPool(2, "fieldloom-test").submit(abs, -1).result() == 1


# ---------------------------------------------------------------- processes

#: What we promise is 5 s; a machine under load takes its time to end a process.
END_S = 10
PATH = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}
SCRIPT = """
import sys, signal
import fieldloom as fl
from stuck_sources import Hanging
signal.signal(signal.SIGINT, signal.default_int_handler)
source = Hanging(stored={stored!r}, how={how!r})
loader = fl.DataLoader(source, batch_size=4, size=16, threads=2)
iterator = iter(loader)
next(iterator)
assert source.reached.wait(60)
print("ready", flush=True)
"""
ENDINGS = {
    "exit": "",
    "close": "loader.close()",
    "with": "with loader: raise SystemExit(0)",
    "del": "del iterator, loader",
    "break": "for batch in iterator: break",
    "exception": "raise RuntimeError('mine')",
    "next": "for batch in iterator: pass",
    "next in with": "with loader:\n    for batch in iterator: pass",
}
CASES = [
    ("pixels", "sleep", "next"),
    *(
        pytest.param(stored, "sleep", ending, marks=pytest.mark.slow)
        for stored in ("encoded", "pixels")
        for ending in ENDINGS
        if (stored, ending) != ("pixels", "next")
    ),
    *(
        pytest.param(stored, how, ending, marks=pytest.mark.slow)
        for stored in STORED
        for how in ("loop", "network")
        for ending in ("exit", "next in with")
    ),
]


@pytest.mark.fault
@pytest.mark.parametrize(("stored", "how", "ending"), CASES)
def test_a_process_whose_source_hangs_ends(stored: str, how: str, ending: str) -> None:
    code = SCRIPT.format(stored=stored, how=how) + ENDINGS[ending]
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **PATH},
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "ready\n"
        if "next" in ending:  # both of the batches before it are there already
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
        _, report = process.communicate(timeout=END_S)
    finally:
        process.kill()
        process.wait()
    if "next" in ending:
        assert report.strip().splitlines()[-1].startswith("KeyboardInterrupt")
    elif ending == "exception":
        assert report.strip().splitlines()[-1] == "RuntimeError: mine"
    else:
        assert (process.returncode, report) == (0, "")


@pytest.mark.fault
@pytest.mark.slow
def test_exit_while_kernels_compile(tmp_path: Path) -> None:
    code = """
import sys, time, threading
import fieldloom as fl
from helpers import FULL, encoded_list
loader = fl.DataLoader(encoded_list(24), batch_size=24, size=16, threads=2, augment=FULL)
iterator = iter(loader)
while loader._production.progress.current != "augment":
    time.sleep(0.01)
time.sleep(1)
print("ready", flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **PATH, "NUMBA_CACHE_DIR": str(tmp_path)},
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "ready\n"
        _, report = process.communicate(timeout=END_S)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, report) == (0, "")


def test_a_stalled_error_pickles_and_prints() -> None:
    done = run_python(
        "import pickle, fieldloom as fl\n"
        "error = fl.errors.WorkerStalled.make('no batch', sample=3, file='a\\udcff', remedy='Wait.')\n"
        "print(str(pickle.loads(pickle.dumps(error))))"
    )
    assert done.returncode == 0, done.stderr
