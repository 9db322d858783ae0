"""Graphs, images and comparisons that the tests of DALI operators share."""

from pathlib import Path

import numpy as np
from kernel_cases import noise, photo
from nvidia.dali import fn as dali
from nvidia.dali import pipeline_def
from PIL import Image

import fieldloom as fl

SEED, BATCH = 0x1234_5678_9ABC, 6
RECIPE = [
    fl.RandomResizedCrop(),
    fl.HorizontalFlip(),
    fl.RandomField("translate", p=1.0),
    fl.ColorField(p=1.0),
    fl.RandAugment(),
    fl.Normalize(),
]
RAGGED = [photo(40 + 3 * i, 60 - 4 * i, seed=i) for i in range(BATCH)]
UNIFORM = [noise(32, 40, seed=i) for i in range(BATCH)]
IDS = np.array([7, 0, 2**32 - 1, 12, 5, 99])

EXECUTORS = {
    "default": {},
    "not dynamic": {"exec_dynamic": False},
    "synchronous": {"exec_async": False, "exec_pipelined": False},
    "prefetch 1": {"prefetch_queue_depth": 1},
}
FORMS = [("float32", "CHW"), ("float16", "HWC"), ("uint8", "HWC"), ("uint8", "CHW")]


def column(values, dtype=np.int64):
    return np.asarray(values, dtype)[:, None]


def write_files(folder, n, n_classes=3):
    """JPEG files of ever different sizes, stored in every EXIF orientation, in a folder for each class."""
    paths = []
    for k in range(n):
        path = Path(folder) / f"class{k % n_classes}" / f"{k:04}.jpg"
        path.parent.mkdir(exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = k % 8 + 1
        Image.fromarray(photo(50 + 5 * k, 90 - 4 * k, seed=k)).save(path, exif=exif, quality=90)
        paths.append(str(path))
    return sorted(paths)


def graph(batches, define, build=None, batch_size=BATCH, **options):
    """A pipeline of what `define` makes of the nodes of `batches` (tuples of inputs)."""

    @pipeline_def(batch_size=batch_size, num_threads=2, device_id=None, **options)
    def one():
        nodes = dali.external_source(source=iter(batches), num_outputs=len(batches[0]), batch=True)
        return define(*nodes)

    return one(**(build or {}))


def arrays(tensors):
    return [np.asarray(tensors[i]) for i in range(len(tensors))]


def run(batches, define, **options):
    """Arrays of the first output of each batch."""
    pipe = graph(batches, define, **options)
    return [arrays(pipe.run()[0]) for _ in batches]


def augmented(image, recipe, id_=0, *, epoch=0, layout="NCHW", seed=SEED, **options):
    """What the library gives outside of any graph."""
    options = {"size": image.shape[:2], "dtype": "float32"} | options
    return fl.augment(
        image, augment=recipe, id=int(id_), epoch=int(epoch), seed=seed, layout=layout, **options
    ).numpy()


def check(found, recipe, images, ids, epochs=None, **options):
    epochs = np.zeros(len(ids), int) if epochs is None else epochs
    assert len(found) == len(images)
    for one, image, id_, epoch in zip(found, images, ids, epochs, strict=True):
        want = augmented(image, recipe, id_, epoch=epoch, **options)
        assert one.dtype == want.dtype
        np.testing.assert_array_equal(one.view(np.uint8), want.view(np.uint8))
