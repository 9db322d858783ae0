"""fieldloom's operators for any DALI graph: `from fieldloom.pipelines import fn`.

    @pipeline_def(batch_size=64, num_threads=4, device_id=None)
    def train():
        files, labels = dali.fn.readers.file(file_root=path, random_shuffle=True, name="Reader")
        images = dali.fn.decoders.image(files, output_type=types.RGB)
        images = fn.fused(images, [fl.RandomResizedCrop(), fl.RandomField("translate"), fl.Normalize()])
        return images, labels

`fused` does a whole recipe in one pass. Every operation of the registry that acts on one image is an operator
of its own: `fn.random_field_warp`, `fn.color_field`, `fn.equalize`, ... (`dir(fn)` lists them).

**Random numbers.** A sample's are a function of its seed, epoch, id and occurrence: `fieldloom.augment` with
the same gives the same bits. All operators take these options:

* `ids`: a node of one integer for each sample, 0 to 2**32 - 1. With `epoch`, what a sample gets depends on
  nothing else: not on the order, the batch size, the shard or the executor. With
  `readers.file(files=..., labels=range(n))` the labels are ids; `source_ids` makes ids of files' names. None:
  samples are numbered in the order in which this operator sees them, so what a file gets depends on shuffling
  and sharding, and under a condition on how many samples came this way.
* `epoch`: an integer 0 to 2**32 - 1, or a node of one for each sample. None with `epoch_size`: the number of
  samples before this one, divided by it (and the rest is the automatic id). None with `ids` alone: how often
  this operator has seen the id before. None without any: 0, since numbers do not come again.
* Several processes count each for themselves. Without `ids` they draw the same numbers for their samples:
  give each another seed. With `ids` alone, a file that another process reads in the next epoch (as DALI's
  shards go around) gets the same numbers again: give `epoch` or `epoch_size`.
* `seed`: 0 to 2**64 - 1, or a node that is equal for all samples of a batch. None: the pipeline's, else 0.
* `occurrences`: a node; which repeat of its id within the epoch a sample is, 0 to 255.
* `strength`: a number from 0 to 4, or a node; scales what is drawn, as `DataLoader.select(strength=...)`.

What is counted lives in the operator and is lost with it: a pipeline that is built again, or restored from
DALI's checkpoint, counts from 0 (`positions` from `first`). `reset()` of the pipeline changes nothing. Give
`ids` and `epoch` where that matters. Two operators of one kind with one seed draw the same numbers for the
same samples, which keeps pairs of images together; give one of them another seed where that is not wanted.

**Output.** `size`: int or (height, width); None: each image keeps its own. `dtype`: "float32", "float16" or
"uint8", also as DALI's, NumPy's or torch's type. `layout`: "CHW" or "HWC". `border`, `fill`: as the loader's.
Single operations keep size, "uint8" and "HWC" unless told otherwise, so that other operators can follow.

**Devices.** On the device of `images`. On the CPU, `threads` threads of its own share a batch (None: as many
as the pipeline's). On a GPU it needs CuPy and a CUDA build of torch, and works on DALI's stream without
waiting; ids and the like stay on the CPU.

**Errors.** While the graph is built: `ArgumentError`. While it runs: DALI's RuntimeError with our message in
it, after which DALI calls the pipeline invalid: build another. (Its default executor gives the batches that
follow all the same. Their ids and epochs are right where they are given; what is counted lacks the samples of
batches that did not get as far as the operator.)
"""

import hashlib
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
from nvidia.dali import fn as _dali
from nvidia.dali.data_node import DataNode

from fieldloom.errors import ArgumentError
from fieldloom.pipelines import fn_host
from fieldloom.pipelines.compiling import recipes
from fieldloom.pipelines.fn_graph import HOST, augmented, operator, with_pixels
from fieldloom.pipelines.fn_keys import KeyOptions, Samples, check_nodes, whole
from fieldloom.pipelines.fn_operations import make_operator
from fieldloom.pipelines.fn_passes import Form, Passes
from fieldloom.pipelines.fn_pixels import LAYOUTS, PixelOperation


@operator
def fused(
    images: DataNode,
    augment: Any,
    *,
    ids: DataNode | None = None,
    epoch: int | DataNode | None = None,
    seed: int | DataNode | None = None,
    occurrences: DataNode | None = None,
    strength: float | DataNode | None = None,
    epoch_size: int | None = None,
    size: int | tuple[int, int] | None = 224,
    dtype: Any = "float32",
    layout: str = "CHW",
    border: str = "reflect",
    fill: float | tuple[float, float, float] = 0.0,
    sizes: DataNode | None = None,
    masks: DataNode | Sequence[DataNode] | None = None,
    ignore: int = 255,
    threads: int | None = None,
    direct: bool | None = None,
) -> Any:
    """Augment images by a whole recipe, in one pass.

    Args:
        images: uint8 HWC with 3 channels, ragged or uniform, EXIF orientation applied; on the CPU or a GPU.
        augment: A recipe: a list of augmentations, a preset's name, or a `PassPlan` or `FusedPass`, which
            brings its own output form. Mixes and several views are refused: a graph hands on one image each.
        ids: Which random numbers, like the next five: see this module.
        epoch: See `ids`.
        seed: See `ids`.
        occurrences: See `ids`.
        strength: See `ids`.
        epoch_size: See `ids`.
        size: The output, like the next four: see this module.
        dtype: See `size`.
        layout: See `size`.
        border: See `size`.
        fill: See `size`.
        sizes: None: the images are whole, and the crop is drawn and read in place. A node of integers for
            each sample that begin with (height, width) of the whole image as displayed: the images are
            already the windows of `crop_windows` with the same arguments.
        masks: Index masks (segmentation ids) that follow the geometry of their images, by nearest neighbor: a
            node, or several. uint8 or int32, (height, width) or (height, width, 1), of their images' sizes,
            cut like them, and on their device. All geometry of the recipe must be the pass's own: no
            RandAugment.
        ignore: Id of what lies outside the image, with border "constant".
        threads: Threads that share the images of a batch; None: as many as the pipeline's. They end when the
            pipeline is garbage, which is when the collector runs: DALI's operators are cycles.
        direct: Hand outputs of one size over without a copy, by an operator of DALI that is not public (the
            CPU alone; see `fieldloom.pipelines.fn_direct`). None: as the environment's FIELDLOOM_DALI_DIRECT
            says, 1 or 0, and 0 without it. Where a test at first use fails, outputs are copied as ever.

    Returns:
        A node of `dtype` and `layout`; with masks a tuple of it and a node for each of them, (height, width)
        with layout HW, of the masks' type.

    Raises:
        ArgumentError: While the graph is built: an argument is of a wrong type or range, or contradicts
            another.
        DeviceError: Likewise: the images are on a GPU, and what that needs is missing.

    Exactness: equal bit for bit to `fieldloom.augment` and the loader, for the same pixels, seed, epoch, id
    and occurrence.
    """
    passes = Passes(augment, Form(size, dtype, layout, border, fill))
    keys = KeyOptions(ids, epoch, seed, occurrences, strength, epoch_size)
    return augmented(
        images, passes, keys, sizes=sizes, masks=masks, ignore=ignore, threads=threads, direct=direct
    )


@operator
def crop_windows(
    sizes: DataNode,
    augment: Any,
    *,
    ids: DataNode | None = None,
    epoch: int | DataNode | None = None,
    seed: int | DataNode | None = None,
    occurrences: DataNode | None = None,
    epoch_size: int | None = None,
    size: int | tuple[int, int] = 224,
) -> tuple[DataNode, DataNode]:
    """Draw the windows that `fused` will need, so that only their pixels are decoded.

    Args:
        sizes: Integers for each sample that begin with (height, width) of the whole image as displayed, such
            as `fn.peek_image_shape` gives.
        augment: As for `fused`, like all that follows.
        ids: See `augment`.
        epoch: See `augment`.
        seed: See `augment`.
        occurrences: See `augment`.
        epoch_size: See `augment`.
        size: See `augment`.

    Returns:
        start, shape: int32 (2,) each, (y, x) and (height, width) in pixels, for
        `fn.decoders.image_slice(encoded, start=start, shape=shape, axes=(0, 1))`.

    Raises:
        ArgumentError: While the graph is built: an argument is of a wrong type or range.
    """
    passes = Passes(augment, Form(size))
    given, keys = KeyOptions(ids, epoch, seed, occurrences, None, epoch_size).inputs()
    nodes = {"sizes": sizes, **given}
    check_nodes(nodes, lambda name: HOST)
    windows: Any = _dali.python_function(
        *nodes.values(), function=fn_host.Windows(list(nodes), keys, passes.one), batch_processing=True,
        num_outputs=2,
    )  # fmt: skip
    start, shape = windows
    return start, shape


@operator
def positions(like: DataNode, *, epoch_size: int | None = None, first: int = 0) -> tuple[DataNode, DataNode]:
    """The automatic ids and epochs as nodes, for several operators, or to be handed on with the batch.

    Args:
        like: Any node on the CPU with as many samples; its values do not matter.
        epoch_size: Samples of an epoch; None: numbers go on, and the epoch stays 0.
        first: Samples that came before: of a pipeline that goes on from a checkpoint.

    Returns:
        ids, epochs: int64 (1,) each. They count what came since the pipeline was built; with an `epoch_size`
        that is the reader's, ids are places within the epoch (of shuffled files: not always the same file's).

    Raises:
        ArgumentError: While the graph is built: an argument is of a wrong type or range.
    """
    KeyOptions(epoch_size=epoch_size).inputs()
    first = whole("first", first, least=0)
    check_nodes({"like": like}, lambda name: HOST)
    counted: Any = _dali.python_function(
        like, function=fn_host.Positions(epoch_size, first), batch_processing=True, num_outputs=2
    )
    ids, epochs = counted
    return ids, epochs


@operator
def source_ids(data: DataNode) -> DataNode:
    """Ids from the names of the files that samples were read from: the same in every order, shard and run.

    Args:
        data: A node on the CPU that comes from a reader of files; operators hand a sample's source on.

    Returns:
        int64 (1,): `id_of` the source as DALI names it: the path as the reader got it, so that files that
        are moved, or named by another `file_root`, get other ids. Names share 32 bits, so that among a
        million files some hundred pairs have one id, and then one sequence of random numbers.

    Raises:
        ArgumentError: While the graph is built: not a node on the CPU. While it runs: a sample has no source.
    """
    check_nodes({"data": data}, lambda name: HOST)
    names = _dali.get_property(data, key="source_info")
    out: Any = _dali.python_function(names, function=_ids_of, batch_processing=True)
    return out


def id_of(source: str | bytes) -> int:
    """The id that `source_ids` gives a file of this name: 32 bits of its BLAKE2b.

    Example:
        >>> id_of("train/cat/1.jpg")
        1309618438
    """
    name = source.encode("utf-8", "surrogateescape") if isinstance(source, str) else source
    return int.from_bytes(hashlib.blake2b(name, digest_size=4).digest(), "little")


def _ids_of(names: Samples) -> list[np.ndarray]:
    if any(name.size == 0 for name in names):
        raise ArgumentError.make(
            "source_ids of samples without a source",
            why="they come from no reader of files, or through an operator that drops it",
            remedy="Pass ids of your own.",
        )
    return [np.array([id_of(name.tobytes())], np.int64) for name in names]


@operator
def per_pixel(
    images: DataNode,
    function: Callable[..., Any] | PixelOperation,
    cuda: str | None = None,
    *,
    layout: str = "HWC",
    ids: DataNode | None = None,
    epoch: int | DataNode | None = None,
    seed: int | DataNode | None = None,
    occurrences: DataNode | None = None,
    epoch_size: int | None = None,
    threads: int | None = None,
) -> Any:
    """A per-pixel operation of your own, on each image of a graph; see docs/own-kernel.md.

    Args:
        images: uint8 or float32 with 3 channels, ragged or uniform; on the CPU or a GPU.
        function: `function(r, g, b, y, x, u) -> (r, g, b)`, which Numba compiles, defined at module level; or
            a `fieldloom.pipelines.PixelOperation`, which says more.
        cuda: CUDA C++ that defines the same as `pixel`; needed on a GPU.
        layout: "HWC" or "CHW", of the images and of the output.
        ids: Which random numbers, like the next four: see this module.
        epoch: See `ids`.
        seed: See `ids`.
        occurrences: See `ids`.
        epoch_size: See `ids`.
        threads: As for `fused`.

    Returns:
        A node of the same shapes, type and layout.

    Raises:
        ArgumentError: While the graph is built: Numba cannot compile the function, or an argument is wrong.
        DeviceError: Likewise: the images are on a GPU, and what that needs is missing.
    """
    if isinstance(function, PixelOperation):
        if cuda is not None:
            raise ArgumentError.make("cuda beside a PixelOperation", why="it has its own twin")
        operation = function
    else:
        operation = PixelOperation(function, cuda)
    if layout not in LAYOUTS:
        raise ArgumentError.make(f"layout={layout!r}", why="not known", remedy='Pass "HWC" or "CHW".')
    keys = KeyOptions(ids, epoch, seed, occurrences, None, epoch_size)
    return with_pixels(images, operation, keys, layout, threads)


def __getattr__(name: str) -> Callable[..., Any]:
    named = None if name.startswith("_") else recipes().operations().get(name)
    if named is None:
        near = [] if name.startswith("_") else get_close_matches(name, __dir__(), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise AttributeError(f"module {__name__!r} has no operator {name!r}{hint}")
    globals()[name] = made = make_operator(named, augmented)
    return made


def __dir__() -> list[str]:
    return sorted({*_OWN, *recipes().operations()})


_OWN = ("crop_windows", "fused", "id_of", "per_pixel", "positions", "source_ids")
