"""Rows of the matrix on load: sizes of batches, data sets and images, many epochs, many bad samples."""

import contextlib
import json
import resource
import time

import numpy as np
import pytest
import torch

import fieldloom as fl
from fieldloom.perf import soak
from helpers import check_closed, check_ledger, encode, encoded_list, pixels, run_python, text_file


def n_samples(batch_size: int) -> list[int]:
    return sorted({0, 1, batch_size - 1, batch_size, batch_size + 1})


BATCHES = [(b, n) for b in (1, 2, 3, 7, 256) for n in n_samples(b)]


def check_batches(source, batch_size: int, n: int, **options) -> None:
    with fl.DataLoader(source, batch_size=batch_size, size=4, threads=2, **options) as loader:
        lengths = [min(batch_size, n - first) for first in range(0, n, batch_size)]
        assert [len(batch) for batch in check_ledger(loader)] == lengths
        assert len(loader) == len(lengths)
        loader.set_epoch(0)
        together = [i for batch in loader for i in batch.ids.tolist()]
        assert sorted(together) == list(range(n))
    with fl.DataLoader(source, batch_size=batch_size, size=4, drop_last=True, **options) as loader:
        assert [len(batch) for batch in loader] == [batch_size] * (n // batch_size)


@pytest.mark.parametrize(("batch_size", "n"), BATCHES)
def test_batch_sizes_and_data_sets_in_memory(batch_size: int, n: int) -> None:
    images = np.zeros((n, 4, 4, 3), np.uint8)
    check_batches((images, np.zeros(n, np.int64)), batch_size, n, shuffle=True)


@pytest.mark.slow
@pytest.mark.parametrize(("batch_size", "n"), BATCHES)
def test_batch_sizes_and_data_sets_of_files(batch_size: int, n: int) -> None:
    check_batches(encoded_list(n), batch_size, n, augment=[fl.RandomResizedCrop()], shuffle=True)


def test_len_with_skip_and_selection() -> None:
    source = [(encode(i) if i % 5 else text_file(), 0) for i in range(20)]
    with fl.DataLoader(source, batch_size=4, size=8, threads=1, on_bad_sample="skip") as loader:
        assert len(loader) == len(check_ledger(loader)) == 5
        loader.select([0, 1, 2, 5, 10, 15, 3])
        assert len(loader) == 2
        batches = list(loader)
        assert len(batches) == len(loader) == 2
        assert [batch.ids.tolist() for batch in batches] == [[1, 2], [3]]
        assert loader.ledger.balanced()
        assert loader.ledger.skipped == 4


SIZES = [(1, 1), (1, 8192), (8192, 1), (8192, 8192), (17, 4099), (3, 2), (1000, 1), (64, 64), (2, 8191)]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_images_from_1x1_to_8192x8192_in_one_batch(form: str) -> None:
    source = []
    for k, (height, width) in enumerate(SIZES):
        image = np.full((height, width, 3), 20 * k + 15, np.uint8)
        source.append((encode(image, form), k))
    for augment in ([], [fl.RandomResizedCrop(), fl.HorizontalFlip(), fl.RandomField("translate")]):
        with fl.DataLoader(
            source, batch_size=len(SIZES), size=16, dtype="uint8", threads=2, augment=augment
        ) as loader:
            (batch,) = check_ledger(loader)
            for k, image in zip(batch.targets.tolist(), batch.images, strict=True):
                assert (image.int() - (20 * k + 15)).abs().max() <= 2


@pytest.mark.slow
def test_slow_and_fast_consumers_get_the_same() -> None:
    source = encoded_list(40)
    with fl.DataLoader(source, batch_size=4, size=16, threads=2, augment=[fl.RandomResizedCrop()]) as loader:
        fast = [batch.images.clone() for batch in loader]
        loader.set_epoch(0)
        for batch, images in zip(loader, fast, strict=True):
            time.sleep(0.05)
            assert torch.equal(batch.images, images)


@pytest.mark.slow
@pytest.mark.parametrize("action", ["skip", "substitute"])
def test_ten_thousand_bad_samples_in_a_row(action: str) -> None:
    """Memory at its peak is that of the first thousand."""
    good = encode(pixels(16, 16))
    n_good = 2000 if action == "skip" else 30_000  # stand-ins are drawn a few times only
    # Good ones come first as well: DALI and the kernels are loaded for the first of them.
    source = [(good, 1)] * 200 + [(text_file(), 0)] * 10_000 + [(good, 1)] * n_good
    with (
        check_closed(slack=2),
        fl.DataLoader(source, batch_size=50, size=8, threads=2, on_bad_sample=action) as loader,
    ):
        iterator = iter(loader)
        for _ in range(20):
            next(iterator)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        n = sum(len(batch) for batch in iterator)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert loader.ledger.balanced()
        assert n == (2000 if action == "skip" else 39_200)  # behind the first thousand places
        assert len(loader.ledger.bad) == 1000
        assert after - before < 30_000  # kB


# ---------------------------------------------------------------- many epochs


def check_flat(seen: dict) -> None:
    memory, threads, descriptors = seen["memory_mb"], seen["threads"], seen["descriptors"]
    assert memory["end"] - memory["warm"] < max(30, 0.05 * memory["warm"]), memory
    assert threads["end"] <= threads["warm"] + 2, threads  # DALI's and torch's come and go by one
    assert descriptors["end"] <= descriptors["warm"], descriptors


SOAKS = {
    "files": "soak.files(Path(folder), 200, n_images=60)",
    "left early": "soak.files(Path(folder), 2, n_images=60); seen = soak.left_early(Path(folder), 200)",
    "arrays": "soak.arrays(200, n_images=500, side=32)",
    "short epochs": "soak.short(1000)",
}


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", SOAKS)
def test_hundreds_of_epochs_without_growth(kind: str) -> None:
    """200 epochs over files, 200 left early, 200 over arrays with mixing; 1000 of 100 samples."""
    code = (
        "import json, tempfile\nfrom pathlib import Path\nfrom fieldloom.perf import soak\n"
        f"with tempfile.TemporaryDirectory() as folder:\n    seen = {SOAKS[kind]}\n"
        "print(json.dumps(seen))"
    )
    done = run_python(code, timeout_s=1100)
    assert done.returncode == 0, done.stderr
    check_flat(json.loads(done.stdout.splitlines()[-1]))


def test_growth_is_noticed() -> None:
    kept: list[np.ndarray] = []

    def epoch() -> int:
        kept.append(np.ones(4_000_000, np.uint8))
        return 1

    with pytest.raises(AssertionError):
        check_flat(soak.watch(epoch, 40))
    with contextlib.ExitStack() as opened, pytest.raises(AssertionError):
        check_flat(soak.watch(lambda: bool(opened.enter_context(open("/dev/null"))), 20))
