"""The public loop: what every name of the contract gives, for every kind of source."""

import copy
import io
import os
import pickle
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

import fieldloom as fl
from helpers import (
    FULL,
    Recorded,
    check_closed,
    check_ledger,
    encoded_list,
    ids_of,
    make_folder,
    pixels,
    run_python,
)

IMAGES = np.stack([pixels(seed=i) for i in range(10)])
LABELS = [i % 3 for i in range(10)]
SOURCE = (IMAGES, LABELS)


def small(source=SOURCE, **options):
    return fl.DataLoader(source, **{"batch_size": 4, "size": 16, "threads": 2, **options})


# ---------------------------------------------------------------- the contract of the issue, word for word


def test_contract(tmp_path: Path) -> None:
    make_folder(tmp_path / "data", 6)
    with fl.DataLoader(str(tmp_path / "data"), batch_size=64, size=224, shuffle=True, drop_last=False, seed=0,
                       device="auto", threads=None,
                       augment=[fl.RandomResizedCrop(), fl.HorizontalFlip(), fl.RandomField("translate"),
                                fl.ColorField(), fl.Normalize()],
                       dtype=torch.float32, layout="NCHW", on_bad_sample="raise") as loader:  # fmt: skip
        n = 0
        for batch in loader:
            images, targets = batch
            assert batch.ids.dtype == torch.int64
            assert batch.weights.dtype == torch.float32
            assert images is batch.images
            assert targets is batch.targets
            assert images.shape == (6, 3, 224, 224)
            assert images.dtype == torch.float32
            assert targets.dtype == torch.int64
            assert torch.equal(targets, torch.from_numpy(loader.source.targets)[batch.ids])
            assert batch.weights.tolist() == [1] * 6
            n += len(batch)
        assert n == 6


@pytest.mark.parametrize("kinds", ["translate", "scale", "shear", "rotate"])
def test_each_field(kinds: str) -> None:
    with small(augment=[fl.RandomField(kinds), fl.ColorField()]) as loader:
        for images, _ in loader:
            assert torch.isfinite(images).all()
            assert images.min() >= 0
            assert images.max() <= 1


def test_all_public_names() -> None:
    assert set(fl.__all__) == {*fl._HOMES, "__version__"}
    for name in fl.__all__:
        assert getattr(fl, name) is not None
    assert set(fl.__all__) <= set(dir(fl))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = fl.nothing


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize("layout", ["NCHW", "NHWC", "channels_last"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "uint8"])
def test_dtypes_and_layouts(dtype: str, layout: str) -> None:
    wanted = getattr(torch, dtype)
    with small(dtype=wanted, layout=layout, size=(12, 20)) as loader, small(size=(12, 20)) as plain:
        for batch, reference in zip(loader, plain, strict=True):
            images = batch.images
            assert images.dtype == wanted
            shape = (len(batch), 12, 20, 3) if layout == "NHWC" else (len(batch), 3, 12, 20)
            assert images.shape == shape
            if layout == "channels_last":
                assert images.is_contiguous(memory_format=torch.channels_last)
            else:
                assert images.is_contiguous()
            if layout == "NHWC":
                images = images.permute(0, 3, 1, 2)
            scale, tolerance = (255, 0.51) if dtype == "uint8" else (1, 0.005)
            assert (images.float() - reference.images * scale).abs().max() <= tolerance


@pytest.mark.parametrize("dtype", [torch.uint8, "uint8", np.uint8, np.dtype("uint8")])
def test_spellings_of_a_dtype(dtype) -> None:
    with small(dtype=dtype) as loader:
        assert next(iter(loader)).images.dtype == torch.uint8


@pytest.mark.parametrize("size", [16, (16, 16), [16, 16], np.int64(16), torch.Size((16, 16))])
def test_spellings_of_a_size(size) -> None:
    with small(size=size) as loader:
        assert next(iter(loader)).images.shape == (4, 3, 16, 16)


def test_without_augmentation_the_pixels_are_the_source() -> None:
    with small(size=(24, 32), dtype=torch.uint8, layout="NHWC") as loader:
        out = torch.cat([images for images, _ in loader])
    assert np.array_equal(out.numpy(), IMAGES)


def test_normalize_is_the_formula() -> None:
    with small(augment=[fl.Normalize()], size=(24, 32)) as loader:
        out = torch.cat([images for images, _ in loader]).numpy()
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    wanted = ((IMAGES / 255 - mean) / std).transpose(0, 3, 1, 2)
    assert np.abs(out - wanted).max() < 1e-5


def test_batches_belong_to_the_user() -> None:
    """Writing into a batch changes neither the data set, nor later batches, nor the selection."""
    with small() as loader:
        loader.select(range(10), np.arange(1.0, 11))
        before = [(b.images.clone(), b.targets.clone(), b.ids.clone(), b.weights.clone()) for b in loader]
        for batch in loader:
            for tensor in (batch.images, batch.targets, batch.ids, batch.weights):
                tensor.fill_(7)
        after = [(b.images, b.targets, b.ids, b.weights) for b in loader]
    for a, b in zip(before, after, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_kept_batches_are_never_overwritten() -> None:
    with small(batch_size=1, prefetch=1) as loader:
        kept = [(b.images, b.images.clone(), int(b.ids)) for _ in range(5) for b in loader]
    assert len({images.data_ptr() for images, _, _ in kept}) == 50
    assert all(torch.equal(images, copy) for images, copy, _ in kept)


# ---------------------------------------------------------------- sources


def folder(tmp_path: Path, n: int):
    make_folder(tmp_path, n)
    return tmp_path


def pairs(tmp_path: Path, n: int):
    return [(path, i % 3) for i, path in enumerate(make_folder(tmp_path, n))]


KINDS = {
    "folder": folder,
    "pairs": pairs,
    "encoded": lambda _, n: encoded_list(n),
    "dense": lambda _, n: (IMAGES[np.arange(n) % 10], np.arange(n) % 3),
    "ragged": lambda _, n: ([pixels(20 + i % 9, 31 - i % 7, i) for i in range(n)], [i % 3 for i in range(n)]),
    "tensor": lambda _, n: (torch.from_numpy(IMAGES[np.arange(n) % 10]), torch.arange(n) % 3),
    "gray": lambda _, n: (IMAGES[np.arange(n) % 10, :, :, 0], [i % 3 for i in range(n)]),
    "custom": lambda _, n: Recorded(n),
    "custom pixels": lambda _, n: Recorded(n, stored="pixels"),
}


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_and_sizes_of_sources(tmp_path: Path, kind: str, n: int) -> None:
    if n == 0 and kind == "folder":
        pytest.skip("an empty folder is an error")
    source = KINDS[kind](tmp_path, n)
    with small(source, augment=FULL) as loader:
        assert len(loader) == -(-n // 4)
        for _ in range(2):
            batches = check_ledger(loader)
            assert [len(b) for b in batches] == {0: [], 1: [1], 3: [3], 4: [4], 5: [4, 1]}[n]
            for batch in batches:
                assert torch.equal(batch.targets, torch.from_numpy(loader.source.targets)[batch.ids])
    with small(source, drop_last=True) as loader:
        assert len(loader) == n // 4 == len(check_ledger(loader))


def test_empty_list() -> None:
    with small([]) as loader:
        assert list(loader) == list(loader) == []
        assert len(loader) == 0
        assert loader.epoch == 2


@pytest.mark.parametrize(
    "view",
    [
        IMAGES[:, ::-1],
        IMAGES[:, :, ::-1],
        IMAGES[..., ::-1],
        IMAGES[:, 3:20, 5:29],
        IMAGES[:, ::2, ::2],
        np.asfortranarray(IMAGES),
        np.broadcast_to(IMAGES[:, :1], IMAGES.shape),
        np.broadcast_to(IMAGES[:1, :1, :1], IMAGES.shape),
        IMAGES[:, :, :1],
        IMAGES[:, :1],
        IMAGES[:, :1, :1],
    ],
    ids=[
        "flipped",
        "mirrored",
        "bgr",
        "cut",
        "strided",
        "fortran",
        "rows-equal",
        "one-pixel",
        "1-wide",
        "1-high",
        "1x1",
    ],
)
def test_arrays_of_any_strides(view: np.ndarray) -> None:
    plain = np.ascontiguousarray(view)
    with small((view, LABELS), augment=FULL) as one, small((plain, LABELS), augment=FULL) as two:
        for a, b in zip(one, two, strict=True):
            assert torch.equal(a.images, b.images)


def test_read_only_source() -> None:
    frozen = IMAGES.copy()
    frozen.flags.writeable = False
    with small((frozen, LABELS), augment=FULL) as loader:
        assert len(list(loader)) == 3


# ---------------------------------------------------------------- epochs and order


def test_order_without_shuffle() -> None:
    with small() as loader:
        assert ids_of(loader) == ids_of(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_shuffle_differs_by_epoch_and_comes_back() -> None:
    with small(shuffle=True) as loader:
        epochs = [list(chain(*ids_of(loader))) for _ in range(4)]
        assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
        assert len(set(map(tuple, epochs))) == 4
        loader.set_epoch(1)
        assert list(chain(*ids_of(loader))) == epochs[1]
        assert loader.epoch == 2


def test_epoch_advances_and_batches_name_it() -> None:
    with small() as loader:
        assert loader.epoch == 0
        for wanted in (0, 1):
            for index, batch in enumerate(loader):
                assert (batch.epoch, batch.index) == (wanted, index)
        loader.set_epoch(7)
        assert {batch.epoch for batch in loader} == {7}
        assert loader.epoch == 8


def test_last_epoch() -> None:
    with small() as loader:
        loader.set_epoch(2**32 - 1)
        assert len(list(loader)) == 3
        with pytest.raises(fl.StateError, match=r"4294967296.*set_epoch"):
            iter(loader)
        loader.set_epoch(0)
        assert len(list(loader)) == 3


def test_drop_last() -> None:
    with small(drop_last=True) as loader:
        assert ids_of(loader) == [[0, 1, 2, 3], [4, 5, 6, 7]]
        assert len(loader) == 2
        assert loader.ledger.planned == loader.ledger.delivered == 8


def test_batch_larger_than_the_data_set() -> None:
    with small(batch_size=1000) as loader:
        assert ids_of(loader) == [list(range(10))]
    with small(batch_size=1000, drop_last=True) as loader:
        assert ids_of(loader) == []


def test_len_of_a_batch() -> None:
    with small() as loader:
        assert [len(batch) for batch in loader] == [4, 4, 2]


def test_ledger_and_timings_begin_anew_at_once() -> None:
    with small() as loader:
        list(loader)
        assert loader.ledger.delivered == loader.timings.images == 10
        loader.select([3, 3, 4])
        iterator = iter(loader)
        assert (loader.ledger.epoch, loader.ledger.planned) == (1, 3)
        assert loader.timings.images <= 3
        assert next(iterator).ids.tolist() == [3, 3, 4]


# ---------------------------------------------------------------- states


def test_break_and_start_again() -> None:
    with small(encoded_list(10)) as loader:
        for _ in range(5):
            for batch in loader:
                assert batch.ids.tolist() == [0, 1, 2, 3]
                break
        assert len(list(loader)) == 3


def test_next_after_the_end() -> None:
    with small() as loader:
        iterator = iter(loader)
        assert len(list(iterator)) == 3
        for _ in range(2):
            with pytest.raises(StopIteration):
                next(iterator)
    with pytest.raises(StopIteration):
        next(iterator)


@pytest.mark.parametrize("n", [1, 4, 10])
def test_two_iterators_at_once(n: int) -> None:
    """Also where everything was produced long ago and only waits: what is lost is never lost silently."""
    with small((IMAGES[:n], LABELS[:n])) as loader:
        first = iter(loader)
        if n == 1:
            first.thread.join()
        second = iter(loader)
        for _ in range(2):
            with pytest.raises(fl.StateError, match="one iterator at a time"):
                next(first)
        assert len(list(second)) == -(-n // 4)


@pytest.mark.parametrize("n", [1, 10])
def test_next_after_close(n: int) -> None:
    loader = small((IMAGES[:n], LABELS[:n]))
    iterator = iter(loader)
    if n == 1:
        iterator.thread.join()
    loader.close()
    with pytest.raises(fl.StateError, match="closed"):
        next(iterator)


def test_close() -> None:
    with check_closed():
        loader = small(encoded_list(6), augment=FULL)
        batch = next(iter(loader))
        kept = batch.images.clone()
        loader.close()
        loader.close()
        assert torch.equal(batch.images, kept)
        with pytest.raises(fl.StateError, match=r"cannot iterate a closed loader.*Create a new one"):
            iter(loader)
        with pytest.raises(fl.StateError, match="cannot replay"):
            loader.replay(0, 0)
        assert len(loader) == 2
        assert "6 samples" in repr(loader)


def test_context_manager_closes_on_errors() -> None:
    def loop(loader):
        with loader:
            for _ in loader:
                raise ZeroDivisionError

    with check_closed():
        loader = small(encoded_list(9))
        with pytest.raises(ZeroDivisionError):
            loop(loader)
    with pytest.raises(fl.StateError):
        iter(loader)


def test_never_iterated() -> None:
    with check_closed():
        small(encoded_list(3)).close()
        del_me = small(encoded_list(3))
        del del_me


def test_pickle_and_copy() -> None:
    with small() as loader:
        for act in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(fl.StateError, match=r"cannot pickle a DataLoader.*Pickle its arguments"):
                act(loader)


def test_repr() -> None:
    with small() as loader:
        assert repr(loader) == "DataLoader(10 samples, batch_size=4, size=16x16, float32, epoch 0)"


def test_unknown_option() -> None:
    with pytest.raises(
        fl.ArgumentError,
        match=r"no option 'batchsize' \(did you mean 'batch_size'\?\)\. Its options are source",
    ):
        small(batchsize=3)
    with pytest.raises(fl.ArgumentError, match=r"'transform' \(did you mean 'augment'\?\)"):
        small(transform=3)
    with pytest.raises(fl.ArgumentError, match="no option 'zzzzz'"):
        small(zzzzz=3)


FORK = """
import os, sys
import numpy as np, fieldloom as fl
images = np.zeros((9, 8, 8, 3), np.uint8)
{encoded}
loader = fl.DataLoader(source, batch_size=2, size=8, threads=2)
iterator = iter(loader)
next(iterator)
pid = os.fork()
if pid == 0:
    for act in (lambda: iter(loader), lambda: next(iterator), lambda: loader.replay(0, 0)):
        try:
            act()
        except fl.StateError as error:
            assert "process" in str(error), error
        else:
            os._exit(3)
    loader.close()
    del iterator, loader
    sys.exit(0)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
assert status == 0, status
assert len(list(iterator)) == 4
loader.close()
print("fine")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("kind", ["pixels", "encoded"])
def test_fork(kind: str) -> None:
    encoded = "source = (images, [0] * 9)"
    if kind == "encoded":
        encoded = "from helpers import encoded_list; source = encoded_list(9)"
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    done = run_python(FORK.format(encoded=encoded), env={**os.environ, "PYTHONPATH": path})
    assert done.stdout == "fine\n", done.stderr
    assert "Traceback" not in done.stderr


def test_reports_can_be_printed() -> None:
    """Names from the file system never break a report, whatever the terminal's encoding."""
    error = fl.DecodeError.make("cannot decode", sample=3, file="a\nb\udcff.jpg")
    io.TextIOWrapper(io.BytesIO(), "ascii").write(str(error))
    assert "a\\nb\\udcff.jpg" in str(error)
