"""A ready DALI pipeline for training, with our kernels in it."""

import inspect
import math
import os
import re
from difflib import get_close_matches
from typing import Any

import numpy as np

from fieldloom.errors import ArgumentError, DecodeError, SampleError
from fieldloom.kernels.philox import PLAN_POSITION, slot_of
from fieldloom.pipelines.compiling import Files, recipes
from fieldloom.pipelines.header import check_header, looks_like
from fieldloom.pipelines.stage import make_keys

#: Ways to decode.
DECODE = ("windows", "whole")


def train_pipeline(
    data: Any,
    augment: Any = "imagenet",
    *,
    batch_size: int = 64,
    size: int | tuple[int, int] = 224,
    seed: int = 0,
    threads: int = 2,
    device: str | int = "cpu",
    shuffle: bool = True,
    shard: int = 0,
    shards: int = 1,
    dtype: Any = "float32",
    layout: str = "CHW",
    border: str = "reflect",
    fill: float | tuple[float, float, float] = 0.0,
    decode: str = "windows",
    with_ids: bool = False,
    check: bool = False,
    prefetch: int = 2,
    reader: str = "Reader",
    direct: bool | None = None,
    first_batch: int | None = None,
    **options: Any,
) -> Any:
    """A built `nvidia.dali.Pipeline`: reads files, decodes what the recipe needs of them, and augments.

    For loops that drive DALI pipelines themselves, such as `DALIGenericIterator([pipe], ["images", "labels"],
    reader_name="Reader")`. `fieldloom.DataLoader` gives the same images with less to go wrong: **DALI by
    itself ends the process (a segmentation fault) on some files that are no images, or whose header is
    broken,** and its pipeline is dead after a damaged body. Pass `check=True` where the files are not known
    to be good.

    Args:
        data: A folder of class folders, a list of (path, label) pairs, or of paths (labels are their places).
        augment: A recipe: a list of augmentations or a preset's name; no mixes.
        batch_size: Images of a batch; the reader repeats its last file to fill the last batch of an epoch.
        size: Output side in pixels, or (height, width).
        seed: 0 to 2**64 - 1: of the order, and of everything that is drawn.
        threads: Threads of the decoder, and of the kernels.
        device: "cpu", "cuda", "cuda:N" or N: a GPU decodes and augments.
        shuffle: Another order in every epoch.
        shard: This process's part of `shards`, from 0 on.
        shards: Parts of each epoch's order; all have as many batches.
        dtype: "float32", "float16" or "uint8".
        layout: "CHW" or "HWC".
        border: As for the loader, like `fill`.
        fill: See `border`.
        decode: "windows": only the pixels of each crop; "whole": whole images.
        with_ids: Hand on the samples' ids as a third output.
        check: Read every file once, now, and check its header, some 0.1 ms each where files are in memory.
        prefetch: Batches that DALI works on ahead.
        reader: Name of the reader, which iterators ask for its length.
        direct: As for `fieldloom.pipelines.fn.fused`.
        first_batch: Batches that came before, of a pipeline that goes on: from `checkpoint=`, which saves the
            order but not their number, and so needs it; or from the start of an epoch, in which case files
            come in the order of the first epochs, and images are those of this one.
        **options: More arguments of `nvidia.dali.Pipeline`, such as `enable_checkpointing`.

    Returns:
        The pipeline. Outputs: images; labels, int64 (1,) or rows as given; ids, int32 (1,), if asked for.

    Raises:
        ArgumentError: An option is of a wrong type or range.
        SourceError: The folder cannot be used.
        SampleError: With `check`: the first file that is bad, by number and name.
        DeviceError: A GPU was asked for, and something that it needs is missing.

    Exactness: an image is `fieldloom.augment(decoded, id=..., epoch=..., seed=seed)` for its id, the file's
    place in the folder as the loader counts it, and the number of epochs before. Both are functions of how
    many samples came since the pipeline was built (and of `first_batch`), and of nothing else.
    """
    # Crops of ever different sizes fragment malloc's arenas (see ARCHITECTURE.md); read once, when DALI
    # starts.
    os.environ.setdefault("DALI_MALLOC_POOL_THRESHOLD", "16384")
    from nvidia.dali import fn as dali
    from nvidia.dali import types
    from nvidia.dali.pipeline import Pipeline

    from fieldloom.pipelines import fn
    from fieldloom.pipelines.fn_keys import whole

    counts = {"batch_size": batch_size, "threads": threads, "shards": shards, "prefetch": prefetch}
    batch_size, threads, shards, prefetch = (whole(*each, least=1) for each in counts.items())
    if whole("shard", shard, least=0) >= shards:
        raise ArgumentError.make(f"shard={shard!r} of {shards}", why=f"not from 0 to {shards - 1}")
    if decode not in DECODE:
        raise ArgumentError.make(f"decode={decode!r}", why="not known", remedy='Pass "windows" or "whole".')
    _check_flags(shuffle=shuffle, with_ids=with_ids, check=check)
    if not isinstance(reader, str) or not reader:
        raise ArgumentError.make(f"reader={reader!r}", why="not a name")
    _check_options(options)
    index = _device_index(device)
    files = recipes().files(data)
    if check:
        check_files(files)
    n = len(files.names)
    if n < shards:
        raise ArgumentError.make(
            f"{shards} shards of {n} files", why="each needs one at least", remedy="Lower shards."
        )
    order = _order(seed, n) if shuffle else np.arange(n)
    share = math.ceil(n / shards)
    batches = math.ceil(share / batch_size)  # the reader fills up shards and batches
    first = _first(first_batch, batches, options)

    pipe = Pipeline(batch_size, threads, index, prefetch_queue_depth=prefetch, **options)
    with pipe:
        encoded, ids = dali.readers.file(
            files=[files.names[i] for i in order], labels=order.tolist(), name=reader, pad_last_batch=True,
            shuffle_after_epoch=shuffle, shard_id=shard, num_shards=shards,
        )  # fmt: skip
        _, epoch = fn.positions(ids, epoch_size=batches * batch_size, first=first * batch_size)
        keys: dict[str, Any] = {"ids": ids, "epoch": epoch, "seed": seed}
        where = "cpu" if index is None else "mixed"
        form: dict[str, Any] = {
            "size": size,
            "dtype": dtype,
            "layout": layout,
            "border": border,
            "fill": fill,
        }
        rgb = types.RGB  # type: ignore[attr-defined]
        if decode == "windows":
            sizes = dali.peek_image_shape(encoded)
            start, shape = fn.crop_windows(sizes, augment, size=size, **keys)
            crops = dali.decoders.image_slice(
                encoded, device=where, start=start, shape=shape, axes=(0, 1), output_type=rgb
            )
            images = fn.fused(crops, augment, sizes=sizes, direct=direct, **keys, **form)
        else:
            pixels = dali.decoders.image(encoded, device=where, output_type=rgb)
            images = fn.fused(pixels, augment, direct=direct, **keys, **form)
        labels = dali.python_function(ids, function=_Targets(files.targets), batch_processing=True)
        pipe.set_outputs(images, labels, *([ids] if with_ids else []))
    pipe.build()
    return pipe


def check_files(files: Files, max_pixels: int = 10**8) -> None:
    """Refuse files on which DALI would end the process, and those that cannot be decoded anyway.

    Raises:
        SampleError: The first bad one, by number and name.
    """
    for i, name in enumerate(files.names):
        try:
            data = files.read(i)
            header = check_header(data, max_pixels=max_pixels)
            if header.route != "dali":
                _check_parser(data)
        except SampleError as error:
            # Its own remedy may be an option of the loader's.
            remedy = "Repair, convert or remove the file, or use fieldloom.DataLoader."
            raise type(error).make(error.what, why=error.why, remedy=remedy, sample=i, file=name) from error


def _check_parser(data: np.ndarray) -> None:
    """Files that the loader gives to Pillow: whether DALI can at least read their headers."""
    from nvidia import nvimgcodec  # type: ignore[attr-defined]

    try:
        stream = nvimgcodec.CodeStream(data)
        known = stream.width > 0 and stream.height > 0
    except Exception:  # several C++ kinds
        known = False
    if not known:
        raise DecodeError.make(
            "cannot decode",
            why=f"DALI has no decoder for it; it looks like {looks_like(data)}",
        )


class _Targets:
    """Class indices, or rows of numbers, of ids."""

    def __init__(self, targets: np.ndarray) -> None:
        self._targets = targets.reshape(len(targets), -1)

    def __call__(self, ids: Any) -> list[np.ndarray]:
        return [self._targets[int(each[0])] for each in ids]


def _order(seed: int, n: int) -> np.ndarray:
    """Files in an order of the seed: DALI's own shuffling always begins alike."""
    keys = make_keys(np.arange(n), seed=seed)
    words = keys.words(slot_of(PLAN_POSITION, "order")).astype(np.uint64)
    return np.argsort(words[:, 0] << np.uint64(32) | words[:, 1], kind="stable")


def _device_index(device: str | int) -> int | None:
    if isinstance(device, int) and not isinstance(device, bool) and device >= 0:
        return device
    match = re.fullmatch(r"cpu|cuda(?::(\d+))?", device) if isinstance(device, str) else None
    if match is None:
        raise ArgumentError.make(
            f"device={device!r}", why="not known", remedy='Pass "cpu", "cuda", "cuda:N" or N.'
        )
    return None if device == "cpu" else int(match[1] or 0)


def _first(first_batch: Any, batches: int, options: dict[str, Any]) -> int:
    """Batches that came before; `batches` are those of an epoch."""
    from fieldloom.pipelines.fn_keys import whole

    restored = options.get("checkpoint") is not None
    if first_batch is None:
        if restored:
            raise ArgumentError.make(
                "checkpoint without first_batch",
                why="it holds the order of files, not how many batches came, and so not the epoch",
                remedy="Pass first_batch=, the number of batches that were taken before it was made.",
            )
        return 0
    first = whole("first_batch", first_batch, least=0)
    if not restored and first % batches:
        raise ArgumentError.make(
            f"first_batch={first} without a checkpoint",
            why=f"an epoch has {batches} batches, and files are read from the start of one",
            remedy=f"Pass a multiple of {batches}, or checkpoint=.",
        )
    return first


def _check_flags(**flags: Any) -> None:
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise ArgumentError.make(f"{name}={value!r}", why="not True or False")


def _check_options(options: dict[str, Any]) -> None:
    """What is left for DALI's pipeline: refused here, since DALI's own refusal leaves half a pipeline."""
    from nvidia.dali.pipeline import Pipeline

    ours = {"num_threads": "threads", "device_id": "device", "prefetch_queue_depth": "prefetch"}
    known = sorted(set(inspect.signature(Pipeline.__init__).parameters) - {"self", *ours})
    for name, value in options.items():
        if name in ours:
            raise ArgumentError.make(
                f"{name}={value!r}", why=f"here it is {ours[name]}", remedy=f"Pass {ours[name]}=..."
            )
        if name not in known:
            own = inspect.signature(train_pipeline).parameters
            near = get_close_matches(name, [*own, *known], 1)
            raise ArgumentError.make(
                f"{name}={value!r}",
                why="neither an option of train_pipeline nor of nvidia.dali.Pipeline",
                remedy=f"Did you mean {near[0]}?" if near else "",
            )
