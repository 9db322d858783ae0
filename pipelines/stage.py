"""The fused pass over images that some DALI pipeline has decoded: whole ones, or windows of them."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from fieldloom.errors import ArgumentError
from fieldloom.kernels.draws import Keys, Windows
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.plan import PassPlan
from fieldloom.pipelines.crops import Crops

#: Largest strength of a sample, as the loader's.
MAX_STRENGTH = 4.0


class FusedStage:
    """A fused pass with threads of its own.

    Stands behind a pipeline, on its outputs; `fieldloom.pipelines.operator.fused` puts one into a graph.
    Several threads may call it at once.

    Args:
        plan: What to do, or the same already compiled.
        threads: Threads that share the images of a batch; 1 starts none.

    Attributes:
        fused_pass: The compiled plan.

    Raises:
        ArgumentError: An argument is of a wrong type or out of its range.

    Example:
        >>> import numpy as np
        >>> stage = FusedStage(PassPlan(6, 8, dtype="uint8", planar=False))
        >>> image = np.full((12, 16, 3), 7, np.uint8)
        >>> stage(Sources.of_arrays([image]), np.array([5])).shape
        (1, 6, 8, 3)
    """

    def __init__(self, plan: PassPlan | FusedPass, threads: int = 1) -> None:
        if not isinstance(threads, int) or isinstance(threads, bool) or threads < 1:
            raise ArgumentError.make(f"threads={threads!r}", why="it must be an integer >= 1")
        self.fused_pass = compiled(plan)
        self._pool = ThreadPoolExecutor(threads, "fieldloom-fused") if threads > 1 else None

    def __call__(
        self,
        images: Any,
        ids: np.ndarray,
        *,
        seed: int = 0,
        epoch: int = 0,
        occurrences: np.ndarray | None = None,
        sizes: np.ndarray | None = None,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Augment a batch.

        Args:
            images: DALI `TensorListCPU`, uint8 HWC with 3 channels, ragged or uniform; or `Sources`.
            ids: Sample ids, integers (n,) from 0 to 2**32 - 1.
            seed: 0 to 2**64 - 1.
            epoch: 0 to 2**32 - 1.
            occurrences: Which repeat of each id within the epoch, integers (n,) from 0 to 255; None: 0.
            sizes: None: the images are whole, and the crops are drawn and read in place. Integers (n, 2),
                height and width of the whole images as displayed: the images are already the windows
                that `FusedPass.windows` draws for the same keys and sizes.
            out: Where to write, as `FusedPass.empty` makes it; None makes one.

        Returns:
            (n, 3, height, width), or (n, height, width, 3) where the plan is not planar. bfloat16 is held
            as uint16, which NumPy has in its stead.

        Raises:
            ArgumentError: The arrays do not fit together, or a value is out of its range.
        """
        sources = images if isinstance(images, Sources) else sources_of(images)
        keys = make_keys(ids, seed=seed, epoch=epoch, occurrences=occurrences)
        if len(keys) != len(sources.pointers):
            raise _misfit(f"{len(sources.pointers)} images and {len(keys)} ids")
        windows, sources = place(self.fused_pass, sources, keys, sizes)
        result = self.fused_pass(keys, windows, sources, out, self._pool)
        return result.view(np.float16) if self.fused_pass.plan.dtype == "float16" else result

    def close(self) -> None:
        """End the threads. Idempotent; without it they end when the stage is garbage."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def place(
    fused_pass: FusedPass, images: Sources, keys: Keys, sizes: np.ndarray | None
) -> tuple[Windows, Sources]:
    """Windows of a batch, and where their pixels lie.

    Args:
        fused_pass: What will be done.
        images: Whole images; or, with `sizes`, the windows of them.
        keys: The batch's keys.
        sizes: None, or height and width of the whole images, integers (n, 2).

    Raises:
        ArgumentError: `sizes` are no sizes, or the images are not the windows drawn for these keys.
    """
    if sizes is None:
        windows = fused_pass.windows(keys, np.stack([images.heights, images.widths], 1))
        return windows, cut(images, windows)
    windows = fused_pass.windows(keys, check_sizes(sizes, len(keys)))
    _check_windows(images, windows)
    return windows, images


def compiled(plan: PassPlan | FusedPass) -> FusedPass:
    """The plan as a pass.

    Raises:
        ArgumentError: It is neither.
    """
    if isinstance(plan, PassPlan):
        plan = FusedPass(plan)
    if isinstance(plan, FusedPass):
        if plan.plan.mixing is not None or plan.plan.views > 1:
            raise ArgumentError.make(
                "a recipe that mixes samples or makes several views",
                why="a DALI graph hands on one image, and no label, for each",
                remedy="Leave that out of the recipe, or use fieldloom.DataLoader.",
            )
        return plan
    raise ArgumentError.make(
        f"plan of type {type(plan).__name__}",
        why="not a PassPlan or FusedPass",
        remedy="fieldloom.recipe.compile_recipe(augment, Format(...)) makes a plan of a recipe.",
    )


def make_keys(
    ids: np.ndarray, *, seed: int = 0, epoch: int = 0, occurrences: np.ndarray | None = None
) -> Keys:
    """Keys of a batch, checked: a value out of range would draw another sample's numbers.

    Raises:
        ArgumentError: Names the option, its value and its range.
    """
    ids = _integers("ids", ids, 2**32)
    repeats = (
        np.zeros(len(ids), np.int64) if occurrences is None else _integers("occurrences", occurrences, 256)
    )
    if len(repeats) != len(ids):
        raise _misfit(f"{len(ids)} ids and {len(repeats)} occurrences")
    return Keys(_integer("seed", seed, 2**64), _integer("epoch", epoch, 2**32), ids, repeats)


def check_sizes(sizes: np.ndarray, n: int) -> np.ndarray:
    """Sizes of whole images as int64 (n, 2).

    Raises:
        ArgumentError: They are not n pairs of positive integers.
    """
    array = np.asarray(sizes)
    if array.shape != (n, 2) or array.dtype.kind not in "iu" or (n and array.min() < 1):
        raise _misfit(
            f"{n} ids and sizes of shape {array.shape} and type {array.dtype}", "(n, 2) and at least 1"
        )
    return array.astype(np.int64)


def sources_of(images: Any) -> Sources:
    """A pointer table over DALI's `TensorListCPU`, which it keeps alive.

    Raises:
        ArgumentError: Not on the CPU, or not uint8 HWC with 3 channels.
    """
    from nvidia.dali import types
    from nvidia.dali.backend import TensorListCPU

    if not isinstance(images, TensorListCPU):
        raise ArgumentError.make(
            f"images of type {type(images).__name__}",
            why="not a DALI TensorListCPU",
            remedy="Pass an output of pipeline.run(); as_cpu() moves one from the GPU.",
        )
    shapes = images.shape()
    if images.dtype != types.UINT8 or any(len(s) != 3 or s[2] != 3 or 0 in s for s in shapes):  # type: ignore[attr-defined]
        raise not_rgb(f"{images.dtype}, shapes {shapes[:3]}...")
    crops = Crops(len(shapes))
    sizes = np.array([shape[:2] for shape in shapes], np.int32).reshape(-1, 2)
    crops.set_tensors(list(range(len(shapes))), images, sizes)
    return Sources(crops.pointers, crops.heights, crops.widths, crops.strides, crops)


def cut(images: Sources, windows: Windows, pixel_bytes: int = 3) -> Sources:
    """The windows' rects within whole images: other pointers into the same pixels."""
    rects = windows.rects
    offsets = rects[:, 0] * images.strides + pixel_bytes * rects[:, 1].astype(np.int64)
    pointers = images.pointers + offsets.astype(np.uint64)
    return Sources(pointers, rects[:, 2], rects[:, 3], images.strides, images)


def not_rgb(found: str) -> ArgumentError:
    """The error for pixels that the pass does not take."""
    return ArgumentError.make(
        f"images of {found}",
        why="not uint8 of shape (height, width, 3)",
        remedy="Decode with output_type=types.RGB.",
    )


def _check_windows(sources: Sources, windows: Windows) -> None:
    wrong = (sources.heights != windows.rects[:, 2]) | (sources.widths != windows.rects[:, 3])
    if wrong.any():
        i = int(np.argmax(wrong))
        height, width = windows.rects[i, 2:]
        raise ArgumentError.make(
            f"image {i} of {sources.heights[i]} x {sources.widths[i]} pixels",
            why=f"with sizes= it must be the window drawn for its id, {height} x {width}",
            remedy="Decode the windows drawn with the same plan, seed, ids, epoch and occurrences, "
            "or leave sizes out and pass whole images.",
        )


def _integers(name: str, values: np.ndarray, stop: int) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise _misfit(f"{name} of shape {array.shape} and type {array.dtype}", "integers (n,)")
    wrong = (array < 0) | (array >= stop)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ArgumentError.make(f"{name}[{i}]={array[i]}", why=f"it must be from 0 to {stop - 1}")
    return array.astype(np.int64)


def _integer(name: str, value: int, stop: int) -> int:
    if not hasattr(value, "__index__") or isinstance(value, bool) or not 0 <= value < stop:
        raise ArgumentError.make(f"{name}={value!r}", why=f"it must be a whole number from 0 to {stop - 1}")
    return int(value)


def _misfit(found: str, expected: str = "one for each") -> ArgumentError:
    return ArgumentError.make(found, why=f"expected {expected}")
