"""Rows of the matrix on faults: signals, processes, broken caches, broken states, broken hooks."""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fieldloom as fl
from helpers import Recorded, check_ledger, load_in_a_process, pixels

PATH = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}
IMAGES = np.stack([pixels(8, 8, i) for i in range(12)])
SCRIPT = """
import signal, sys, time
import fieldloom as fl
from helpers import FULL, encoded_list
signal.signal(signal.SIGINT, signal.default_int_handler)
loader = fl.DataLoader(encoded_list(24) * 40, batch_size=4, size=16, threads=2, augment=FULL)
next(iter(loader))
"""


@contextlib.contextmanager
def running(code: str):
    """A process that has printed "ready"."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT + code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **PATH},
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


# ---------------------------------------------------------------- processes


def children_of(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def shared_memory() -> set[str]:
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()


@pytest.mark.fault
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="looks into /proc")
def test_a_killed_process_leaves_nothing_behind() -> None:
    """There are threads alone: no worker process to be killed, stopped or orphaned, no shared memory."""
    before = shared_memory()
    with running("print('ready', flush=True)\nwhile True:\n    for batch in loader: pass") as process:
        time.sleep(0.3)
        assert children_of(process.pid) == []
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        assert process.returncode == -signal.SIGKILL
    left = {name for name in shared_memory() - before if "fieldloom" in name or "dali" in name.lower()}
    assert left == set()


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.parametrize("pause_s", [0.0, 0.3])
def test_ctrl_c_twice(pause_s: float) -> None:
    code = """
print("ready", flush=True)
try:
    with loader:
        while True:
            for batch in loader:
                pass
except KeyboardInterrupt:
    sys.exit(130)
"""
    with running(code) as process:
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        time.sleep(pause_s)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        assert process.returncode in (130, 1, -signal.SIGINT)


@pytest.mark.slow
def test_a_loader_in_a_spawned_process() -> None:
    """Made there it works, whatever this process runs; handed over it is refused by name."""
    spawned = multiprocessing.get_context("spawn")
    with fl.DataLoader((IMAGES, [0] * 12), batch_size=4, size=8, threads=1) as loader:
        iterator = iter(loader)
        next(iterator)
        results = spawned.Queue()
        process = spawned.Process(target=load_in_a_process, args=(IMAGES, results))
        process.start()
        there = results.get(timeout=100)
        process.join(60)
        assert process.exitcode == 0
        loader.set_epoch(0)
        assert there == [batch.images.numpy().tobytes() for batch in loader]
        with pytest.raises(fl.StateError, match="cannot pickle a DataLoader"):
            spawned.Process(target=load_in_a_process, args=(loader, results)).start()


# ---------------------------------------------------------------- hooks

NAN = float("nan")


class Odd(Recorded):
    """Targets come with the samples, and are what the test says."""

    more = True

    def __init__(self, target: object) -> None:
        super().__init__(8)
        self._target = target
        self._n, self.targets = 8, None

    def __len__(self) -> int:
        return self._n

    def sample(self, i: int) -> fl.sources.sample.Sample:
        return fl.sources.sample.Sample(self.read(i), self._target if i == 5 else 1)


@pytest.mark.parametrize("target", [NAN, "1", np.ones((2, 2)), np.array([1, 2]), 2**70])
def test_a_hook_that_gives_a_wrong_target(target: object) -> None:
    with fl.DataLoader(Odd(target), batch_size=4, size=8, threads=1) as loader:
        iterator = iter(loader)
        next(iterator)
        with pytest.raises(fl.FieldloomError, match="sample 5"):
            next(iterator)


@pytest.mark.parametrize(("target", "batch"), [(-1, [1, -1]), (1.5, [1.0, 1.5]), (None, [1, -1])])
def test_targets_of_hooks_may_be_any_numbers(target: object, batch: list[float]) -> None:
    with fl.DataLoader(Odd(target), batch_size=8, size=8, threads=1) as loader:
        (only,) = loader
        assert only.targets[4:6].tolist() == batch
        assert [type(value) for value in only.targets[4:6].tolist()] == [type(value) for value in batch]


@pytest.mark.parametrize("row", [[NAN, 0.0], [np.inf, 1.0]])
def test_rows_of_targets_that_are_no_numbers(row: list[float]) -> None:
    source = Recorded(4)
    source.targets = np.array([[0, 1], row, [1, 0], [1, 1]], np.float32)
    with pytest.raises(fl.FieldloomError, match="sample 1"), fl.DataLoader(source, size=8):
        pass


# ---------------------------------------------------------------- kernel caches

KERNELS = """
import numpy as np, fieldloom as fl
images = np.arange(4 * 8 * 8 * 3, dtype=np.uint8).reshape(4, 8, 8, 3)
with fl.DataLoader(
    (images, [0] * 4), batch_size=4, size=8, threads=1, dtype={dtype!r}, device="cpu"
) as loader:
    print(float(next(iter(loader)).images.float().sum()))
"""


def compiled(cache: Path, dtype: str = "uint8") -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", KERNELS.format(dtype=dtype)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
    )  # fmt: skip


def printed(process: subprocess.Popen) -> str:
    out, report = process.communicate(timeout=500)
    assert process.returncode == 0, report
    return out


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A cache of kernels, compiled by two processes at once, and what their kernels give."""
    folder = tmp_path_factory.mktemp("numba")
    first, second = compiled(folder), compiled(folder)
    result = printed(first)
    assert printed(second) == result
    return folder, result


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_processes_that_compile_at_once(cache: tuple[Path, str], tmp_path: Path) -> None:
    folder, result = cache
    assert printed(compiled(folder)) == result
    # Different variants of the same kernels: neither may run the other's.
    one, two = compiled(tmp_path, "uint8"), compiled(tmp_path, "float32")
    assert printed(one) == result
    scaled = printed(two)
    assert float(scaled) == pytest.approx(float(result) / 255, rel=0.01)
    for dtype, expected in (("uint8", result), ("float32", scaled)):
        assert printed(compiled(tmp_path, dtype)) == expected


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    """One bit of the machine code."""
    middle = len(data) // 2
    return data[:middle] + bytes((data[middle] ^ 4,)) + data[middle + 1 :]


DAMAGES = {
    "cut indices": ("*.nbi", cut), "cut kernels": ("*.nbc", cut), "empty indices": ("*.nbi", lambda _: b""),
    "flipped kernels": ("*.nbc", flipped), "texts": ("*.nb?", lambda _: b"no space left on device"),
}  # fmt: skip


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_kernel_cache_is_compiled_anew(
    cache: tuple[Path, str], damage: str, tmp_path: Path
) -> None:
    folder, result = cache
    shutil.copytree(folder, tmp_path / "cache")
    pattern, change = DAMAGES[damage]
    files = list((tmp_path / "cache").rglob(pattern))
    assert files
    for file in files:
        file.write_bytes(change(file.read_bytes()))
    assert printed(compiled(tmp_path / "cache")) == result


@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    """The folder is lost after the kernels were imported: they are compiled, and used without a cache."""
    code = """
import contextlib
from numba.core import caching
@contextlib.contextmanager
def full(self, path):
    raise OSError(28, "No space left on device")
    yield
caching.IndexDataCacheFile._open_for_write = full
""" + KERNELS.format(dtype="uint8")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=800, check=False,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "97920.0\n"


# ---------------------------------------------------------------- states


def loader_of(seed: int = 3, **options) -> fl.DataLoader:
    return fl.DataLoader(
        (IMAGES, [0] * 12), batch_size=4, size=8, seed=seed, shuffle=True, threads=1, **options
    )


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state.json"
    with loader_of() as loader:
        next(iter(loader))
        loader.save_state(path)
        loader.load_state(path)
        assert loader.state_dict()["batch"] == 1
    return path


def test_a_state_with_any_bit_flipped_is_refused(state: Path) -> None:
    data = state.read_bytes()
    same = json.loads(data)
    with loader_of() as loader:
        refused = 0
        for at in range(len(data)):
            for bit in (0, 2, 5):
                changed = data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :]
                state.write_bytes(changed)
                try:
                    loader.load_state(state)
                except fl.StateError:
                    refused += 1
                else:  # white space is nobody's loss
                    assert json.loads(changed) == same
        assert refused > 2.5 * len(data)
        state.write_bytes(data)
        loader.load_state(state)


def test_a_state_cut_anywhere_is_refused(state: Path) -> None:
    data = state.read_bytes()
    with loader_of() as loader:
        for end in range(len(data)):
            state.write_bytes(data[:end])
            with pytest.raises(fl.StateError):
                loader.load_state(state)


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"', "{}", "\ufeff{}", "NaN"])
def test_a_file_that_is_no_state(state: Path, content: str) -> None:
    state.write_text(content)
    with loader_of() as loader, pytest.raises(fl.StateError, match="cannot read the state"):
        loader.load_state(state)


def test_a_state_of_a_newer_version_says_so(state: Path) -> None:
    held = json.loads(state.read_text()) | {"format": 99, "something": "new"}
    state.write_text(json.dumps(held))
    with loader_of() as loader, pytest.raises(fl.StateError, match=r"a state of format 99.*Load it with"):
        loader.load_state(state)


def test_a_state_beyond_its_epoch_is_refused() -> None:
    with loader_of() as loader:
        next(iter(loader))
        state = loader.state_dict() | {"batch": 10**6}
        with pytest.raises(fl.StateError, match="1000000: its epoch has 3 batches"):
            loader.load_state_dict(state)
        assert len(check_ledger(loader)) == 3
