"""The CUDA source under the address, undefined-behavior and thread sanitizers, and proof that they look.

A block of one thread has the address sanitizer watch every array at its exact size; a block of eight real
threads and a barrier has the thread sanitizer watch `__syncthreads()`; a thread a block has it watch blocks
that touch each other's memory.
"""

import contextlib
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import sanitized
from cuda_shim import has_compiler
from kernel_cases import keys, noise
from sanitized import MissingSanitizer, batch_of
from variants import COVERING, rich_plan, variant

from fieldloom.kernels import cuda

pytestmark = pytest.mark.skipif(not has_compiler, reason="needs g++")

Row = tuple[str, int, int, str, bool]
RAGGED = ((1, 1), (1, 9), (9, 1), (2, 2), (2, 3), (33, 31), (40, 90), (7, 64))
#: No colors, pitch 8, and all colors, pitch 1, fill: little code for the races, all of it for addresses.
PLAIN, FULL = COVERING[0], COVERING[3]
assert PLAIN[2] == 0
assert FULL[2] == 3

#: What a slip of the pen would do to the source: (right, wrong, what the sanitizer calls it).
SLIPS = {
    "last row": ("at_least(height - 2, 0)", "at_least(height - 1, 0)", "heap-buffer-overflow"),
    "last column": ("at_least(width - 2, 0)", "at_least(width + 1, 0)", "heap-buffer-overflow"),
    "halo": ("-k * step", "-(k + 4) * step", "stack-buffer-overflow|dynamic-stack|stack-buffer-underflow"),
    "tile edge": ("if (y < height && x < width)", "if (y < height)", "heap-buffer-overflow"),
    "noise": ("k < 4 && 4 * i + k < n_noise", "k < 4", "heap-buffer-overflow"),
    "output edge": ("if (y + j >= a.height) break;", "", "heap-buffer-overflow"),
    "third word": ("(offset & 3u) == 3u ?", "(offset & 3u) != 0u ?", "heap-buffer-overflow"),
    "cast": ("__fadd_rd(clip(v + 0.5f, 255.0f), MAGIC)", "float(int(v * 1e12f))", "outside the range"),
}
QUICK_SLIPS = ("last row",)


def barriers() -> list[tuple[str, str]]:
    """The source without one barrier, for each of them: (where, source)."""
    source, found = cuda.source(), []
    for barrier in re.finditer(r"__syncthreads\(\);", source):
        kernel = re.findall(r"^\S.* (\w+)\([^()]*(?:\) \{)?$", source[: barrier.start()], re.MULTILINE)[-1]
        rank = sum(name.startswith(kernel) for name, _ in found)
        found.append((f"{kernel}-{rank}", source[: barrier.start()] + source[barrier.end() :]))
    return found


BARRIERS = dict(barriers())
#: One in the prefilter, one in the fields' synthesis, and that of the reduction.
QUICK_BARRIERS = ("prefilter-0", "block_largest-0", "draw_field-1")
assert BARRIERS.keys() >= set(QUICK_BARRIERS), list(BARRIERS)


def slip(name: str) -> str:
    right, wrong, _ = SLIPS[name]
    source = cuda.source()
    assert source.count(right) == 1, right
    return source.replace(right, wrong)


def report(sanitizer: str, row: Row, source: str) -> str:
    """What the sanitizer says of a batch of ragged sources; skips where it is missing."""
    # 18 x 36: neither whole cells nor whole warps. Eight samples, so that gates are on and off.
    batch = batch_of(rich_plan(18, 36, row), [noise(*size, k) for k, size in enumerate(RAGGED)], keys(8))
    try:
        return sanitized.run(sanitized.build(sanitizer, variant(*row), source), batch)
    except MissingSanitizer as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Compile side by side what the quick tests need."""
    clean = cuda.source()
    wanted = [("address", FULL, clean), ("thread", PLAIN, clean), ("blocks", PLAIN, clean)]
    wanted += [("address", FULL, slip(name)) for name in QUICK_SLIPS]
    wanted += [("thread", PLAIN, BARRIERS[name]) for name in QUICK_BARRIERS]

    def build(sanitizer: str, row: Row, source: str) -> None:
        # A sanitizer that is missing is reported by the tests.
        with contextlib.suppress(MissingSanitizer):
            sanitized.build(sanitizer, variant(*row), source)

    with ThreadPoolExecutor(4) as pool:
        for task in [pool.submit(build, *each) for each in wanted]:
            task.result()


# ---------------------------------------------------------------- addresses and undefined behavior


def test_addresses_are_clean() -> None:
    assert report("address", FULL, cuda.source()) == ""


@pytest.mark.slow
@pytest.mark.parametrize("row", COVERING, ids=lambda row: "-".join(map(str, row)))
def test_addresses_of_all_pairs_are_clean(row: Row) -> None:
    assert report("address", row, cuda.source()) == ""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK_SLIPS else pytest.mark.slow) for name in SLIPS]
)
def test_slips_are_found(name: str) -> None:
    row = next(r for r in COVERING if r[0] == "uint8" and r[2]) if name == "cast" else FULL
    row = PLAIN if name == "output edge" else row  # more than one row of pixels a thread
    assert re.search(SLIPS[name][2], report("address", row, slip(name)))


# ---------------------------------------------------------------- races


def test_threads_do_not_race() -> None:
    assert report("thread", PLAIN, cuda.source()) == ""


@pytest.mark.slow
@pytest.mark.parametrize("row", COVERING, ids=lambda row: "-".join(map(str, row)))
def test_threads_of_all_pairs_do_not_race(row: Row) -> None:
    assert report("thread", row, cuda.source()) == ""


def test_blocks_do_not_race() -> None:
    assert report("blocks", PLAIN, cuda.source()) == ""


@pytest.mark.slow
@pytest.mark.parametrize("row", COVERING, ids=lambda row: "-".join(map(str, row)))
def test_blocks_of_all_pairs_do_not_race(row: Row) -> None:
    assert report("blocks", row, cuda.source()) == ""


@pytest.mark.slow
def test_blocks_that_race_are_found() -> None:
    right, wrong = "int(blockIdx.x) * 32", "int(blockIdx.x) * 31"
    source = cuda.source()
    assert source.count(right) == 1
    assert "data race" in report("blocks", PLAIN, source.replace(right, wrong))


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK_BARRIERS else pytest.mark.slow) for name in BARRIERS],
)
def test_a_missing_barrier_is_found(name: str) -> None:
    # So none is missing, and none is superfluous.
    assert "data race" in report("thread", PLAIN, BARRIERS[name])
