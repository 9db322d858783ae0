"""A DALI pipeline of one's own, with fieldloom's random fields in it.

    python examples/dali_pipeline.py [FOLDER]

FOLDER holds one folder of images for each class; without it, 64 photographs are drawn. The graph is
ordinary DALI. Two lines are ours: `fn.crop_windows` draws where each image will be looked at, so that only
those pixels are decoded, and `fn.fused` crops, flips, warps, colors and normalizes in one pass.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nvidia.dali import fn as dali
from nvidia.dali import pipeline_def, types

import fieldloom as fl
from fieldloom.perf.photos import write_photo_folder
from fieldloom.pipelines import fn
from fieldloom.pipelines.header import check_header
from fieldloom.sources import FolderSource

RECIPE = [
    fl.RandomResizedCrop(),
    fl.HorizontalFlip(),
    fl.RandomField("translate"),
    fl.ColorField(),
    fl.Normalize(),
]
SEED = 7


def batches(source: FolderSource, batch_size: int, epoch: int) -> Iterator[tuple[list[np.ndarray], Any, Any]]:
    """Files, ids and the epoch, shuffled; the last batch may be shorter."""
    order = np.random.default_rng([SEED, epoch]).permutation(len(source))
    for first in range(0, len(order), batch_size):
        ids = order[first : first + batch_size]
        files = [source.read(int(i)) for i in ids]
        for file in files:
            check_header(file, max_pixels=10**8)  # DALI crashes on files that are no images: stop here
        yield files, ids[:, None], np.full((len(ids), 1), epoch)


@pipeline_def
def train_pipeline(feed: Iterator[Any], size: int) -> Any:
    """Files become augmented tensors."""
    files, ids, epoch = dali.external_source(source=feed, num_outputs=3, batch=True)

    keys = {"ids": ids, "epoch": epoch, "seed": SEED, "size": size}
    sizes = dali.peek_image_shape(files)
    start, shape = fn.crop_windows(sizes, RECIPE, **keys)
    crops = dali.decoders.image_slice(files, start=start, shape=shape, axes=(0, 1), output_type=types.RGB)  # type: ignore[attr-defined]
    images = fn.fused(crops, RECIPE, sizes=sizes, **keys)

    return images, ids


def main(folder: str, *, batch_size: int = 16, size: int = 224, epochs: int = 2) -> Iterator[tuple[Any, Any]]:
    """Yield (images, targets): float32 (n, 3, size, size) and int64 (n,)."""
    source = FolderSource(folder)
    plan = (batch for epoch in range(epochs) for batch in batches(source, batch_size, epoch))
    pipe = train_pipeline(plan, size, batch_size=batch_size, num_threads=2, device_id=None)
    while True:
        try:
            images, ids = pipe.run()
        except StopIteration:
            return
        # The same pixels as fl.augment(image, augment=RECIPE, id=..., epoch=..., seed=SEED) for each id.
        positions = np.asarray(ids.as_tensor()).ravel()
        yield torch.from_dlpack(images.as_tensor()), torch.from_numpy(source.targets[positions])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        if len(sys.argv) > 1:
            path = sys.argv[1]
        else:
            path = str(Path(scratch) / "photos")
            write_photo_folder(path, n=64)
        for images, targets in main(path):
            shown = f"mean {images.mean():+.3f}, deviation {images.std():.3f}"
            print(f"{tuple(images.shape)} {images.dtype}, {shown}, classes {sorted(set(targets.tolist()))}")
