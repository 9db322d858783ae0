"""Compiled plans as operators of DALI graphs, with keys that the graph gives: no draw depends on any history.

    @pipeline_def(batch_size=64, num_threads=4, device_id=None)
    def train():
        encoded, ids = fn.external_source(source=..., num_outputs=2)
        sizes = fn.peek_image_shape(encoded)
        start, shape = crop_windows(sizes, ids, plan, seed=1)
        crops = fn.decoders.image_slice(encoded, start=start, shape=shape, axes=(0, 1), output_type=types.RGB)
        return fused(crops, ids, plan, seed=1, sizes=sizes), ids

`fieldloom.pipelines.fn` has the same for recipes, with more options and with keys that are counted where none
are given. Both are DALI's `python_function` with batch processing, which runs on every executor; the kernels
let go of the interpreter lock and share a batch among threads of their own. DALI copies what such a function
returns and runs one of them at a time in a process, whatever the number of pipelines: where the pass is the
last step, a `fieldloom.pipelines.stage.FusedStage` on the pipeline's outputs saves both
(perf/results/embedding-cpu.json, `python -m fieldloom.perf.embedding_bench`).
"""

from nvidia.dali.data_node import DataNode

from fieldloom.kernels.fusedpass import FusedPass
from fieldloom.kernels.plan import PassPlan
from fieldloom.pipelines import fn
from fieldloom.pipelines.fn_graph import operator
from fieldloom.pipelines.stage import compiled


@operator
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
    """Augment images within a graph, by a plan.

    Args:
        images: uint8 HWC with 3 channels, ragged or uniform, EXIF orientation applied; on the CPU or a GPU.
        ids: Sample ids, an integer for each sample, () or (1,), from 0 to 2**32 - 1.
        plan: What to do, or the same already compiled; `fieldloom.recipe.compile_recipe` makes plans.
        seed: 0 to 2**64 - 1.
        epoch: 0 to 2**32 - 1; or a node as `ids`.
        occurrences: Which repeat of its id within the epoch each sample is, a node as `ids`, 0 to 255.
        sizes: As for `fieldloom.pipelines.fn.fused`, like `threads`.
        threads: See `sizes`.

    Returns:
        The plan's dtype, (3, height, width) with layout CHW, or (height, width, 3) with layout HWC where
        the plan is not planar.

    Raises:
        ArgumentError: While the graph is built: an argument is of a wrong type or range, or the plan's dtype
            is bfloat16 (DALI has none).

    Exactness: equal bit for bit to `FusedPass`, and so to `fieldloom.augment` and the loader, for the same
    pixels, seed, epoch, ids and occurrences.
    """
    out: DataNode = fn.fused(
        images, compiled(plan), ids=ids, seed=seed, epoch=epoch, occurrences=occurrences, sizes=sizes,
        threads=threads,
    )  # fmt: skip
    return out


@operator
def crop_windows(
    sizes: DataNode,
    ids: DataNode,
    plan: PassPlan | FusedPass,
    *,
    seed: int = 0,
    epoch: int | DataNode = 0,
    occurrences: DataNode | None = None,
) -> tuple[DataNode, DataNode]:
    """Draw the windows that `fused` will need; as `fieldloom.pipelines.fn.crop_windows`, by a plan.

    Args:
        sizes: As for that, like all that follows.
        ids: See `sizes`.
        plan: See `sizes`.
        seed: See `sizes`.
        epoch: See `sizes`.
        occurrences: See `sizes`.

    Returns:
        start, shape: int32 (2,) each.

    Raises:
        ArgumentError: While the graph is built: an argument is of a wrong type or range.
    """
    return fn.crop_windows(sizes, compiled(plan), ids=ids, seed=seed, epoch=epoch, occurrences=occurrences)
