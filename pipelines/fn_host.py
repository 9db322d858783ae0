"""The functions behind the operators on CPU data. DALI never calls one of them twice at a time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fieldloom.errors import ArgumentError
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.keys import Keys
from fieldloom.pipelines.compiling import recipes
from fieldloom.pipelines.fn_keys import Drawn, KeyInputs, Samples
from fieldloom.pipelines.fn_passes import Passes
from fieldloom.pipelines.fn_pixels import PixelOperation, layout_of
from fieldloom.pipelines.stage import check_sizes, cut, not_rgb, place

if TYPE_CHECKING:
    from fieldloom.pipelines.fn_direct import HandOver

#: Free output arrays that are kept where outputs are handed over.
KEPT = 3


@dataclass(slots=True)
class Part:
    """Samples of a batch that one call of one pass makes.

    Attributes:
        where: Their places in the batch.
        keys: Their keys.
        fused_pass: What makes them.
    """

    where: np.ndarray
    keys: Keys
    fused_pass: FusedPass


class Arena:
    """Memory for the outputs of a batch, used again by the next.

    DALI copies what a Python function returns before it calls it again, and fresh memory costs as much as
    the copy: page faults.
    """

    def __init__(self) -> None:
        self._memory = np.empty(0, np.uint8)

    def take(self, forms: Sequence[tuple[tuple[int, ...], Any]]) -> list[np.ndarray]:
        """Uninitialized arrays of (shape, element type), valid until the next call."""
        sizes = [int(np.prod(shape)) * np.dtype(element).itemsize for shape, element in forms]
        starts = np.cumsum([0, *(-(-size // 64) * 64 for size in sizes)])
        if len(self._memory) < starts[-1]:
            self._memory = np.empty(int(starts[-1]), np.uint8)
        return [
            self._memory[start : start + size].view(element).reshape(shape)
            for start, size, (shape, element) in zip(starts.tolist(), sizes, forms, strict=False)
        ]


class Augment:
    """The function of an operator that augments.

    Args:
        names: Names of the inputs, in order.
        keys: Makes keys of them.
        passes: What to do.
        threads: Threads that share a batch; 1 starts none.
        ignore: Id of masks outside the image, with border "constant".
        hand: What hands outputs over, of one size; it then gets them, and tokens are returned. None: they are
            returned, and DALI copies them.
    """

    def __init__(
        self,
        names: list[str],
        keys: KeyInputs,
        passes: Passes,
        threads: int,
        ignore: int,
        hand: "HandOver | None" = None,
    ) -> None:
        self._names, self._keys, self._passes, self._ignore = names, keys, passes, ignore
        self._hand, self._buffers = hand, None if hand is None else recipes().buffers(KEPT)
        self._pool = ThreadPoolExecutor(threads, "fieldloom-fused") if threads > 1 else None
        self._arena = Arena()

    def __call__(self, *batches: Samples) -> Any:
        """Lists of outputs, one for images and one for each input of masks."""
        inputs = dict(zip(self._names, batches, strict=True))
        masks = [inputs[name] for name in self._names if name.startswith("masks")]
        images = inputs["images"]
        if not images:  # a branch of a condition that no sample takes
            return tuple([] for _ in range(1 + len(masks))) if masks and self._hand is None else []
        check_images(images)
        kinds = [mask_kind(each, images) for each in masks]
        drawn = self._keys.take(inputs, len(images))
        sources = Sources.of_arrays(images)
        maps = [Sources.of_arrays(each) for each in masks]
        sizes = check_sizes(pairs(inputs["sizes"]), len(images)) if "sizes" in inputs else None
        own = () if self._passes.fixed else (sources.heights, sources.widths)
        parts = [
            Part(where, drawn.of(where), self._passes.of(*images[where[0]].shape[:2]))
            for where in drawn.groups(*own)
        ]
        shapes = [
            (shape, element)
            for part in parts
            for shape, element in (
                (part.fused_pass.shape(len(part.where)), part.fused_pass.element),
                *((part.fused_pass.maps_shape(len(part.where)), kind) for kind in kinds),
            )
        ]
        if self._buffers is not None and len(parts) == 1:
            arrays = [self._buffers.take(*shape) for shape in shapes]
        else:
            arrays = self._arena.take(shapes)
        rows = [arrays[k : k + 1 + len(masks)] for k in range(0, len(arrays), 1 + len(masks))]

        def run(number: int, executor: ThreadPoolExecutor | None) -> None:
            part, (out, *out_maps) = parts[number], rows[number]
            whole = None if sizes is None else sizes[part.where]
            windows, pixels = place(part.fused_pass, some(sources, part.where), part.keys, whole)
            samples = part.fused_pass.records(part.keys, windows, pixels)
            kept = part.fused_pass.empty_positions(len(part.where)) if masks else None
            part.fused_pass(part.keys, windows, pixels, out, executor, samples, positions=kept)
            for kind, ids, map_ in zip(kinds, maps, out_maps, strict=True):
                read = some(ids, part.where)
                if whole is None:
                    read = cut(read, windows, np.dtype(kind).itemsize)
                part.fused_pass.index_maps(
                    part.keys, windows, read, kind, map_, executor, samples, self._ignore, kept
                )

        self._each(run, len(parts))
        images_out = [
            row[0].view(np.float16) if part.fused_pass.plan.dtype == "float16" else row[0]
            for part, row in zip(parts, rows, strict=True)
        ]
        columns = [images_out, *([row[1 + k] for row in rows] for k in range(len(masks)))]
        if self._hand is not None:
            self._hand.waiting.append(tuple(self._whole(parts, column) for column in columns))
            return list(np.zeros((len(images), 1), np.uint8))
        done = [scattered(parts, column) for column in columns]
        return tuple(done) if masks else done[0]

    def _whole(self, parts: list[Part], arrays: list[np.ndarray]) -> np.ndarray:
        """All samples of a batch as one array, in order; of several parts a copy."""
        if len(parts) == 1:
            return arrays[0]
        n = sum(len(part.where) for part in parts)
        whole: np.ndarray = self._buffers.take((n, *arrays[0].shape[1:]), arrays[0].dtype)  # type: ignore[union-attr]
        for part, array in zip(parts, arrays, strict=True):
            whole[part.where] = array
        return whole

    def _each(self, run: Callable[[int, ThreadPoolExecutor | None], None], n: int) -> None:
        """One part shares its samples among the threads; several are shared out whole."""
        if n == 1 or self._pool is None:
            for number in range(n):
                run(number, self._pool)
        else:
            for _ in self._pool.map(run, range(n), [None] * n):
                pass


class Windows:
    """The function of an operator that draws crop windows."""

    def __init__(self, names: list[str], keys: KeyInputs, fused_pass: FusedPass) -> None:
        self._names, self._keys, self._pass = names, keys, fused_pass

    def __call__(self, *batches: Samples) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Starts and shapes, int32 (2,) each."""
        inputs = dict(zip(self._names, batches, strict=True))
        n = len(inputs["sizes"])
        if not n:
            return [], []
        sizes = check_sizes(pairs(inputs["sizes"]), n)
        drawn = self._keys.take(inputs, n)
        rects = np.empty((n, 4), np.int32)
        for where in drawn.groups():
            rects[where] = self._pass.windows(drawn.of(where), sizes[where]).rects
        return list(np.ascontiguousarray(rects[:, :2])), list(np.ascontiguousarray(rects[:, 2:]))


class PerPixel:
    """The function of an operator that does a user's own operation."""

    def __init__(
        self, names: list[str], keys: KeyInputs, operation: PixelOperation, layout: str, threads: int
    ) -> None:
        self._names, self._keys, self._operation, self._layout = names, keys, operation, layout
        self._pool = ThreadPoolExecutor(threads, "fieldloom-fused") if threads > 1 else None
        self._arena = Arena()

    def __call__(self, *batches: Samples) -> list[np.ndarray]:
        """Images of the same shapes and types."""
        inputs = dict(zip(self._names, batches, strict=True))
        images = list(inputs["images"])
        if not images:
            return []
        for image in images:
            layout_of(image.shape, str(image.dtype), self._layout)
        units = units_of(self._keys.take(inputs, len(images)), self._operation)
        out = self._arena.take([(image.shape, image.dtype) for image in images])
        self._operation.on_host(images, out, units, self._layout, self._pool)
        return out


def units_of(drawn: Drawn, operation: PixelOperation) -> np.ndarray:
    """The numbers that the images of a batch draw, float32 (n, 4)."""
    units = np.empty((len(drawn.ids), 4), np.float32)
    for where in drawn.groups():
        units[where] = operation.units(drawn.of(where))
    return units


class Positions:
    """The function of an operator that counts samples."""

    def __init__(self, epoch_size: int | None, first: int = 0) -> None:
        self._keys = KeyInputs({"seed": 0, "epoch": None, "strength": None}, epoch_size, first)

    def __call__(self, batch: Samples) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Ids and epochs, int64 (1,) each."""
        drawn = self._keys.take({}, len(batch))
        return list(drawn.ids[:, None].astype(np.int64)), list(drawn.epochs[:, None].astype(np.int64))


def check_images(images: Samples) -> None:
    """Refuse what is not 8-bit RGB; arrays of NumPy or CuPy.

    Raises:
        ArgumentError: Names the first such image's place, shape and type.
    """
    for i, image in enumerate(images):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
            raise not_rgb(f"shape {image.shape} and type {image.dtype} (the batch's number {i})")


def mask_kind(masks: Samples, images: Samples) -> str:
    """The element type of masks: "uint8" or "int32".

    Raises:
        ArgumentError: They are of another or of several types, or not of their images' sizes.
    """
    kind = str(masks[0].dtype)
    for i, (mask, image) in enumerate(zip(masks, images, strict=True)):
        size = mask.shape[:2] if mask.ndim == 2 or (mask.ndim == 3 and mask.shape[2] == 1) else None
        if size != image.shape[:2] or str(mask.dtype) != kind or kind not in ("uint8", "int32"):
            raise ArgumentError.make(
                f"masks of shape {mask.shape} and type {mask.dtype} (the batch's number {i})",
                why=f"expected ids, uint8 or int32, for the image's {image.shape[0]} x {image.shape[1]}",
                remedy="Decode with output_type=types.GRAY, and cut masks as their images.",
            )
    return kind


def scattered(parts: list[Part], arrays: Sequence[Any]) -> list[Any]:
    """Samples of all parts in the batch's order."""
    done: list[Any] = [None] * sum(len(part.where) for part in parts)
    for part, array in zip(parts, arrays, strict=True):
        for place_, sample in zip(part.where.tolist(), array, strict=True):
            done[place_] = sample
    return done


def pairs(samples: Samples) -> np.ndarray:
    """The first two integers of each sample, (n, 2).

    Raises:
        ArgumentError: A sample has fewer.
    """
    if any(sample.ndim != 1 or len(sample) < 2 for sample in samples):
        raise ArgumentError.make(
            f"sizes of shapes {sorted({sample.shape for sample in samples})}",
            why="expected (height, width, ...) for each sample",
        )
    return np.array([sample[:2] for sample in samples])


def some(images: Sources, where: np.ndarray) -> Sources:
    """Some of them, in place."""
    return Sources(
        images.pointers[where], images.heights[where], images.widths[where], images.strides[where], images
    )
