"""The fused pass as an operator of DALI graphs: for use inside anybody's `@pipeline_def`, on CPU data.

    @pipeline_def(batch_size=64, num_threads=4, device_id=None)
    def train():
        encoded, ids = fn.external_source(source=..., num_outputs=2)
        sizes = fn.peek_image_shape(encoded)
        start, shape = crop_windows(sizes, ids, plan, seed=1)
        crops = fn.decoders.image_slice(encoded, start=start, shape=shape, axes=(0, 1), output_type=types.RGB)
        return fused(crops, ids, plan, seed=1, sizes=sizes), ids

Both are DALI's `python_function` with batch processing, which runs on every executor; the kernels let go
of the interpreter lock and share a batch among threads of their own. DALI copies what such a function
returns and runs one of them at a time in a process, whatever the number of pipelines: where the pass is
the last step, a `fieldloom.pipelines.stage.FusedStage` on the pipeline's outputs saves both: some 6 % of
the CPU time an image (perf/results/embedding-cpu.json, `python -m fieldloom.perf.embedding_bench`).

An error inside surfaces from `pipeline.run()` as DALI's RuntimeError with our message in it, and ends that
pipeline, as every operator's error does.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from nvidia.dali import fn
from nvidia.dali.data_node import DataNode
from nvidia.dali.pipeline import Pipeline, do_not_convert

from fieldloom.errors import ArgumentError
from fieldloom.kernels.draws import Keys
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.plan import PassPlan
from fieldloom.pipelines.stage import FusedStage, check_sizes, compiled, make_keys, not_rgb

#: Per-sample arrays of one input, as DALI hands them over; views of its memory.
Samples = Sequence[np.ndarray]


@do_not_convert
def fused(
    images: DataNode,
    ids: DataNode,
    plan: PassPlan | FusedPass,
    *,
    seed: int = 0,
    epoch: int | DataNode = 0,
    occurrences: DataNode | None = None,
    sizes: DataNode | None = None,
    threads: int | None = None,
) -> DataNode:
    """Augment images within a graph.

    Args:
        images: uint8 HWC with 3 channels on the CPU, ragged or uniform, EXIF orientation applied.
        ids: Sample ids, an integer for each sample, () or (1,), from 0 to 2**32 - 1.
        plan: What to do, or the same already compiled; `fieldloom.recipe.compile_recipe` makes plans.
        seed: 0 to 2**64 - 1.
        epoch: 0 to 2**32 - 1; or a node as `ids`, equal for all samples of a batch.
        occurrences: Which repeat of its id within the epoch each sample is, a node as `ids`, 0 to 255.
        sizes: None: the images are whole, and the crop is drawn and read in place. A node of integers
            for each sample that begin with (height, width) of the whole image as displayed: the images
            are already the windows of `crop_windows` with the same arguments.
        threads: Threads that share the images of a batch; None: as many as the pipeline's. They end when
            the pipeline is garbage, which is when the collector runs: DALI's operators are cycles.

    Returns:
        The plan's dtype, (3, height, width) with layout CHW, or (height, width, 3) with layout HWC where
        the plan is not planar.

    Raises:
        ArgumentError: While the graph is built: an argument is of a wrong type or range, the plan's
            dtype is bfloat16 (DALI has none), or a node is not on the CPU.

    Exactness: equal bit for bit to `FusedPass`, and so to `fieldloom.augment` and the loader, for the same
    pixels, seed, epoch, ids and occurrences.
    """
    if threads is None:
        pipe = Pipeline.current()  # None outside a graph, which DALI's operator will say
        threads = max(pipe.num_threads or 1, 1) if pipe else 1
    stage = FusedStage(plan, threads)
    form = stage.fused_pass.plan
    if form.dtype == "bfloat16":
        raise ArgumentError.make(
            "dtype=bfloat16 inside a DALI graph",
            why="DALI has no such type",
            remedy='Take "float16" or "float32" and convert the tensor, or use FusedStage on the outputs.',
        )
    nodes, keys = _nodes(seed, epoch, images=images, ids=ids, occurrences=occurrences, sizes=sizes)
    layout = "CHW" if form.planar else "HWC"
    out: Any = fn.python_function(
        *nodes, function=_Fused(stage, keys), batch_processing=True, num_outputs=1, output_layouts=layout
    )
    return out


@do_not_convert
def crop_windows(
    sizes: DataNode,
    ids: DataNode,
    plan: PassPlan | FusedPass,
    *,
    seed: int = 0,
    epoch: int | DataNode = 0,
    occurrences: DataNode | None = None,
) -> tuple[DataNode, DataNode]:
    """Draw the windows that `fused` will need, so that only their pixels are decoded.

    Args:
        sizes: Integers for each sample that begin with (height, width) of the whole image as displayed,
            such as `fn.peek_image_shape` gives.
        ids: As for `fused`; `plan`, `seed`, `epoch` and `occurrences` likewise.
        plan: See `ids`.
        seed: See `ids`.
        epoch: See `ids`.
        occurrences: See `ids`.

    Returns:
        start, shape: int32 (2,) each, (y, x) and (height, width) in pixels, for
        `fn.decoders.image_slice(encoded, start=start, shape=shape, axes=(0, 1))`.

    Raises:
        ArgumentError: While the graph is built: an argument is of a wrong type or range.
    """
    nodes, keys = _nodes(seed, epoch, ids=ids, occurrences=occurrences, sizes=sizes)
    windows: Any = fn.python_function(
        *nodes, function=_CropWindows(compiled(plan), keys), batch_processing=True, num_outputs=2
    )
    start, shape = windows
    return start, shape


class _KeyInputs:
    """Names of an operator's inputs, and the constants among its keys."""

    def __init__(self, names: list[str], seed: int, epoch: int | None) -> None:
        self._names, self._seed, self._epoch = names, seed, epoch

    def take(self, batches: Sequence[Samples]) -> tuple[dict[str, Samples], Keys]:
        """Inputs by name, and the batch's keys."""
        inputs = dict(zip(self._names, batches, strict=True))
        ids = _scalars("ids", inputs["ids"])
        occurrences = _scalars("occurrences", inputs["occurrences"]) if "occurrences" in inputs else None
        epoch = self._epoch
        if epoch is None:
            epochs = np.unique(_scalars("epoch", inputs["epoch"]))
            if len(epochs) != 1:
                raise ArgumentError.make(
                    f"epochs {epochs.tolist()} in one batch",
                    why="a batch is drawn for one epoch",
                    remedy="End batches with the epoch: last_batch_policy or the source's own.",
                )
            epoch = epochs[0]
        return inputs, make_keys(ids, seed=self._seed, epoch=epoch, occurrences=occurrences)


class _Fused:
    """The function of one `fused` operator. DALI never calls it twice at a time."""

    def __init__(self, stage: FusedStage, keys: _KeyInputs) -> None:
        self._stage, self._keys = stage, keys
        self._out = stage.fused_pass.empty(0)

    def __call__(self, *batches: Samples) -> list[np.ndarray]:
        if not batches[0]:  # a branch of a condition that no sample takes
            return []
        inputs, keys = self._keys.take(batches)
        images = inputs["images"]
        for i, image in enumerate(images):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
                raise not_rgb(f"shape {image.shape} and type {image.dtype} (the batch's number {i})")
        # DALI copies what it gets before it calls again. Fresh memory costs as much as the copy: page faults.
        if len(self._out) < len(images):
            self._out = self._stage.fused_pass.empty(len(images))
        return list(
            self._stage(
                Sources.of_arrays(images), keys.ids, seed=keys.seed, epoch=keys.epoch,
                occurrences=keys.occurrences, out=self._out[: len(images)],
                sizes=_pairs(inputs["sizes"]) if "sizes" in inputs else None,
            )
        )  # fmt: skip


class _CropWindows:
    """The function of one `crop_windows` operator."""

    def __init__(self, fused_pass: FusedPass, keys: _KeyInputs) -> None:
        self._pass, self._keys = fused_pass, keys

    def __call__(self, *batches: Samples) -> tuple[list[np.ndarray], list[np.ndarray]]:
        if not batches[0]:
            return [], []
        inputs, keys = self._keys.take(batches)
        rects = self._pass.windows(keys, check_sizes(_pairs(inputs["sizes"]), len(keys))).rects
        return list(np.ascontiguousarray(rects[:, :2])), list(np.ascontiguousarray(rects[:, 2:]))


def _nodes(seed: int, epoch: int | DataNode, **inputs: DataNode | None) -> tuple[list[DataNode], _KeyInputs]:
    """An operator's inputs without those left out, and what names them again."""
    constant = None if isinstance(epoch, DataNode) else epoch
    # Checks both while the graph is built, where an error costs no pipeline.
    make_keys(np.zeros(0, np.int64), seed=seed, epoch=0 if constant is None else constant)
    given: dict[str, Any] = {name: node for name, node in inputs.items() if node is not None}
    if constant is None:
        given["epoch"] = epoch
    for name, node in given.items():
        if not isinstance(node, DataNode):
            raise ArgumentError.make(
                f"{name} of type {type(node).__name__}",
                why="not a DataNode",
                remedy="Pass an output of another operator, for instance of fn.external_source.",
            )
        if node.device != "cpu":
            raise ArgumentError.make(
                f"{name} on the device {node.device!r}",
                why="this operator works on CPU data",
                remedy='Decode with device="cpu", or move the node with .cpu().',
            )
    return list(given.values()), _KeyInputs(list(given), seed, constant)


def _scalars(name: str, samples: Samples) -> np.ndarray:
    if any(sample.size != 1 or sample.dtype.kind not in "iu" for sample in samples):
        found = sorted({f"{sample.dtype}{list(sample.shape)}" for sample in samples})
        raise ArgumentError.make(f"{name} of {', '.join(found)}", why="expected one integer for each sample")
    return np.array([sample.item() for sample in samples])


def _pairs(samples: Samples) -> np.ndarray:
    if any(sample.ndim != 1 or len(sample) < 2 for sample in samples):
        raise ArgumentError.make(
            f"sizes of shapes {sorted({sample.shape for sample in samples})}",
            why="expected (height, width, ...) for each sample",
        )
    return np.array([sample[:2] for sample in samples])
