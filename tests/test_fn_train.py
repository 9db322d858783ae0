"""`train_pipeline`: the loader's images from a DALI pipeline of one's own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fn_cases import write_files
from nvidia.dali.plugin.pytorch import DALIGenericIterator, LastBatchPolicy

import fieldloom as fl
from fieldloom.errors import ArgumentError, DecodeError, MissingError
from fieldloom.pipelines import train_pipeline
from fieldloom.sources import FolderSource

N, SEED, SIZE = 11, 5, 24
RECIPE = [fl.RandomResizedCrop(), fl.HorizontalFlip(), fl.RandomField("translate"), fl.Normalize()]
OPTIONS = {"augment": RECIPE, "batch_size": 4, "size": SIZE, "seed": SEED}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("train")
    write_files(path, N)
    return path


@pytest.fixture(scope="module")
def loaded(folder):
    """By epoch and id, what the loader gives."""
    found = {}
    with fl.DataLoader(folder, shuffle=False, device="cpu", **OPTIONS) as loader:
        for epoch in range(3):
            for batch in loader:
                for id_, image in zip(batch.ids.tolist(), batch.images.numpy(), strict=True):
                    found[epoch, id_] = image
    return found


def epochs(pipe, count, per_epoch):
    """(images, labels, ids) of each batch, by epoch."""
    return [[[np.asarray(o.as_tensor()) for o in pipe.run()] for _ in range(per_epoch)] for _ in range(count)]


@pytest.mark.parametrize(("decode", "direct"), [("windows", False), ("windows", True), ("whole", None)])
@pytest.mark.parametrize("shuffle", [True, False])
def test_gives_the_loader_s_images(folder, loaded, decode, direct, shuffle):
    targets = FolderSource(folder).targets
    pipe = train_pipeline(folder, shuffle=shuffle, decode=decode, direct=direct, with_ids=True, **OPTIONS)
    orders = []
    for epoch, batches in enumerate(epochs(pipe, 3, 3)):
        ids = np.concatenate([batch[2][:, 0] for batch in batches])
        orders.append(ids.tolist())
        assert sorted(ids[:N]) == list(range(N))
        assert ids[N:].tolist() == [ids[N - 1]]  # the reader's padding
        for images, labels, own in batches:
            assert labels.dtype == targets.dtype
            np.testing.assert_array_equal(labels[:, 0], targets[own[:, 0]])
            for image, id_ in zip(images, own[:, 0].tolist(), strict=True):
                np.testing.assert_array_equal(image, loaded[epoch, id_])
    assert (orders[0] == orders[1]) is not shuffle
    assert shuffle or orders[0][:N] == list(range(N))


def test_the_seed_decides_the_order(folder):
    def order(seed):
        pipe = train_pipeline(folder, with_ids=True, **OPTIONS | {"seed": seed})
        return [batch[2][:, 0].tolist() for batch in epochs(pipe, 1, 3)[0]]

    assert order(1) == order(1) != order(2)


def test_shards_share_out_each_epoch(folder, loaded):
    seen = {epoch: [] for epoch in range(3)}
    for shard in range(2):
        pipe = train_pipeline(folder, shard=shard, shards=2, with_ids=True, **OPTIONS)
        for epoch, batches in enumerate(epochs(pipe, 3, 2)):  # 6 of 11, in two batches of 4
            for images, _, ids in batches:
                seen[epoch] += ids[:, 0].tolist()
                for image, id_ in zip(images, ids[:, 0].tolist(), strict=True):
                    np.testing.assert_array_equal(image, loaded[epoch, id_])
    for epoch in range(3):
        assert set(seen[epoch]) == set(range(N))


def test_a_loop_of_dali_s_iterator(folder, loaded):
    pipe = train_pipeline(folder, with_ids=True, **OPTIONS)
    names = ["images", "labels", "ids"]
    iterator = DALIGenericIterator(
        [pipe], names, reader_name="Reader", last_batch_policy=LastBatchPolicy.PARTIAL, auto_reset=True
    )
    for epoch in range(2):
        ids = []
        for (batch,) in iterator:
            assert isinstance(batch["images"], torch.Tensor)
            for image, id_ in zip(batch["images"].numpy(), batch["ids"].ravel().tolist(), strict=True):
                np.testing.assert_array_equal(image, loaded[epoch, id_])
                ids.append(id_)
        assert sorted(ids) == list(range(N))


def test_goes_on_from_a_checkpoint(folder):
    """DALI restores the order; the epoch is counted on from the number of batches."""
    options = OPTIONS | {"augment": RECIPE[:-1], "dtype": "uint8", "with_ids": True}
    pipe = train_pipeline(folder, enable_checkpointing=True, **options)
    before = epochs(pipe, 1, 4)[0]
    state = pipe.checkpoint()
    want = epochs(pipe, 1, 3)[0]
    restored = train_pipeline(folder, enable_checkpointing=True, checkpoint=state, first_batch=4, **options)
    for one, other in zip(epochs(restored, 1, 3)[0], want, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
    (later,) = epochs(train_pipeline(folder, first_batch=3, shuffle=False, **options), 1, 3)
    second = {id_: image for batch in (before[3:], want[:2]) for images, _, ids in batch
              for id_, image in zip(ids[:, 0].tolist(), images, strict=True)}  # fmt: skip
    assert len(second) == N
    for images, _, ids in later:
        for id_, image in zip(ids[:, 0].tolist(), images, strict=True):
            np.testing.assert_array_equal(image, second[id_])


def test_whole_numbers_may_be_numpy_s(folder):
    options = OPTIONS | {"batch_size": np.int64(4), "size": np.int64(8)}
    assert train_pipeline(folder, **options).run()[0].shape() == [(3, 8, 8)] * 4


def test_forms_and_lists(folder):
    source = FolderSource(folder)
    names = [source.name(i) for i in range(N)]
    pairs = [(name, 7 * i) for i, name in enumerate(names)]
    form = {"dtype": "uint8", "layout": "HWC", "shuffle": False}
    options = OPTIONS | {"augment": RECIPE[:-1]}
    one = train_pipeline(pairs, **form, **options).run()
    two = train_pipeline(names, **form, **options).run()
    assert len(one) == len(two) == 2
    assert one[0].layout() == "HWC"
    np.testing.assert_array_equal(np.asarray(one[0].as_tensor()), np.asarray(two[0].as_tensor()))
    assert np.asarray(one[1].as_tensor()).ravel().tolist() == [0, 7, 14, 21]
    assert np.asarray(two[1].as_tensor()).ravel().tolist() == [0, 1, 2, 3]
    rows = [(name, np.eye(3, dtype=np.float32)[i % 3]) for i, name in enumerate(names)]
    (_, targets) = train_pipeline(rows, **form, **options).run()
    np.testing.assert_array_equal(np.asarray(targets.as_tensor()), np.eye(3, dtype=np.float32)[[0, 1, 2, 0]])


def test_presets(folder):
    images, _ = train_pipeline(folder, batch_size=2, size=16).run()
    assert images.shape() == [(3, 16, 16)] * 2


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"no image at all", "looks like text"), (b"GIF89a" + bytes(20), "GIF"), (b"", "empty")],
)
def test_check_names_the_bad_file(folder, tmp_path, data, why):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(data)
    good = FolderSource(folder).name(0)
    with pytest.raises(DecodeError, match=rf"sample 1 \(.*bad.jpg\).*{why}.*or use fieldloom.DataLoader.$"):
        train_pipeline([good, str(bad)], check=True, **OPTIONS)


def test_check_refuses_what_only_pillow_decodes(folder, tmp_path):
    from PIL import Image

    gif = tmp_path / "animation.gif"
    Image.new("RGB", (8, 8)).save(gif)
    with pytest.raises(DecodeError, match="DALI has no decoder for it; it looks like a GIF"):
        train_pipeline([str(gif)], check=True, **OPTIONS)
    tiff = tmp_path / "fine.tiff"
    Image.new("RGB", (8, 8)).save(tiff)
    good = FolderSource(folder).name(0)
    pipe = train_pipeline([good, str(tiff)], check=True, **OPTIONS | {"batch_size": 2})
    assert len(pipe.run()[0]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"threads": "2"}, "threads='2'"),
        ({"shards": 2, "shard": 2}, "shard=2 of 2"),
        ({"shards": 0}, "shards=0"),
        ({"shard": -1}, "shard=-1"),
        ({"shuffle": "no"}, "shuffle='no': not True or False"),
        ({"with_ids": 1}, "with_ids=1"),
        ({"check": None}, "check=None"),
        ({"reader": 3}, "reader=3"),
        ({"batchsize": 4}, "batchsize=4: neither .* Did you mean batch_size?"),
        ({"num_threads": 4}, "num_threads=4: here it is threads"),
        ({"checkpoint": "state"}, "checkpoint without first_batch"),
        ({"first_batch": -1}, "first_batch=-1"),
        ({"first_batch": 4}, "first_batch=4 without a checkpoint: an epoch has 3 batches"),
        ({"shards": N + 1}, "12 shards of 11 files"),
        ({"device": "tpu"}, "device='tpu'"),
        ({"decode": "crops"}, "decode='crops'"),
        ({"seed": -1}, "seed=-1"),
        ({"augment": "imagenet_fmix"}, "mixes samples"),
        ({"augment": "imagenets"}, "did you mean 'imagenet'"),
        ({"dtype": "bfloat16"}, "DALI has no such type"),
        ({"data": (np.zeros((2, 4, 4, 3), np.uint8), [0, 1])}, "ArraySource of 2 samples"),
        ({"data": []}, "of 0 samples"),
    ],
)
def test_wrong_arguments(folder, options, message):
    with pytest.raises(ArgumentError, match=message):
        train_pipeline(**{"data": folder, **OPTIONS, **options})


def test_a_missing_folder():
    with pytest.raises(MissingError):
        train_pipeline("no/such/folder")


@pytest.mark.slow
def test_importing_it_starts_no_dali():
    code = "import sys; from fieldloom.pipelines import train; print('nvidia.dali' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert "segmentation fault" in (train_pipeline.__doc__ or "")
    assert Path(sys.modules["fieldloom.pipelines.train"].__file__ or "").exists()
