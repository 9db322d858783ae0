"""A compiled pass: the recipe's constant tables, and what turns a batch of sources into its output."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fieldloom.errors import ArgumentError

from . import cpu, indexmap
from .draws import Keys, Windows, affines, crop_windows, draw_transforms, new_samples
from .laws import Basis, basis
from .plan import FieldColor, FieldWarp, Jitter, PassPlan
from .records import (
    BORDERS,
    COLOR,
    CONSTANT,
    GAUSSIAN,
    GEOMETRIC,
    HSV,
    N_FIELDS,
    POWER,
    TRANSFORM,
)
from .shrink import set_filters
from .stages.staged import Groups, StageRecords

if TYPE_CHECKING:
    from .stages.host import HostStages


#: Scales and bias that leave pixel values as they are: what the stages work on.
BYTE_SCALES = np.array([[1, 1, 1], [255, 255, 255]], np.float32)
NO_BIAS = np.zeros(3, np.float32)


@dataclass(slots=True)
class Sources:
    """Where the pixels of a batch lie: uint8 RGB, or the ids of masks; rows contiguous.

    Attributes:
        pointers: uint64 (n,), address of each source's first byte.
        heights: Pixels (n,); `widths` likewise; `strides` in bytes per row.
        widths: See `heights`.
        strides: See `heights`.
        owner: Whatever keeps those bytes alive.
    """

    pointers: np.ndarray
    heights: np.ndarray
    widths: np.ndarray
    strides: np.ndarray
    owner: Any = None

    @classmethod
    def of_arrays(cls, arrays: Sequence[np.ndarray]) -> "Sources":
        """Sources over uint8 HWC arrays, or masks (height, width), whose rows are contiguous."""
        n = len(arrays)
        pointers = np.fromiter((a.__array_interface__["data"][0] for a in arrays), np.uint64, n)
        heights = np.fromiter((a.shape[0] for a in arrays), np.int32, n)
        widths = np.fromiter((a.shape[1] for a in arrays), np.int32, n)
        strides = np.fromiter((a.strides[0] for a in arrays), np.int64, n)
        return cls(pointers, heights, widths, strides, list(arrays))

    def cut(self, where: slice) -> "Sources":
        """Some of them, in place."""
        return Sources(
            self.pointers[where], self.heights[where], self.widths[where], self.strides[where], self.owner
        )


class FusedPass:
    """One PassPlan with its tables. Immutable after construction, so that threads may share it.

    Example:
        >>> import numpy as np
        >>> from fieldloom.kernels.plan import PassPlan
        >>> image = np.full((6, 8, 3), 7, np.uint8)
        >>> whole = FusedPass(PassPlan(6, 8, dtype="uint8"))
        >>> keys = Keys(seed=0, epoch=0, ids=np.array([5]), occurrences=np.array([0]))
        >>> windows = whole.windows(keys, np.array([[6, 8]]))
        >>> whole(keys, windows, Sources.of_arrays([image])).shape
        (1, 3, 6, 8)
    """

    def __init__(self, plan: PassPlan) -> None:
        self.plan = plan
        self.pitch = plan.pitch()
        self._tables: list[np.ndarray] = [np.zeros(1, np.float32)]
        self._bases: dict[object, tuple[int, int, int, int, Basis]] = {}
        rows = [row for transform in plan.transforms for row in self._rows(transform)]
        self.transforms = np.array(rows, TRANSFORM) if rows else np.zeros(0, TRANSFORM)
        self.basis = np.concatenate(self._tables)
        mean, std = np.asarray(plan.mean, np.float64), np.asarray(plan.std, np.float64)
        top = 255.0 if plan.dtype == "uint8" else 1.0
        per_unit = top / std
        self.scales = np.stack([per_unit / 255, per_unit]).astype(np.float32)
        if plan.dtype == "uint8" and plan.std == (1.0, 1.0, 1.0):
            self.scales[0] = 1  # 255 / 255 must not round
        self.bias = (-mean * per_unit).astype(np.float32)
        self.fill = np.asarray(plan.fill, np.float32)
        self._stages = self._host_stages() if plan.staged else None
        self._why_no_maps = plan.maps_follow()

    def _host_stages(self) -> "HostStages":
        from .stages.host import HostStages  # here, because most recipes need none of it

        return HostStages(self.plan, self.scales[0], self.bias)

    def _put(self, table: np.ndarray) -> int:
        offset = sum(t.size for t in self._tables)
        self._tables.append(np.ascontiguousarray(table, np.float32).ravel())
        return offset

    def _basis(self, law: Any) -> tuple[int, int, int, int, Basis]:
        key = law if not hasattr(law, "n_modes") else law.n_modes()
        if key not in self._bases:
            nodes = [-(-side // self.pitch) + 1 for side in (self.plan.height, self.plan.width)]
            b = basis(law, nodes[0], nodes[1], self.pitch, self.plan.height, self.plan.width)
            log_k = self._put(b.log_k) if b.log_k is not None else 0
            bonus = self._put(b.bonus) if b.bonus is not None else 0
            self._bases[key] = (self._put(b.by), self._put(b.bx.T), log_k, bonus, b)
        return self._bases[key]

    def _rows(self, transform: FieldWarp | FieldColor | Jitter) -> list[tuple[int, ...]]:
        if isinstance(transform, Jitter):
            return [(COLOR, CONSTANT, transform.slot, 0, 0, 0, 0, 0, 0, 0, 0, 0)]
        law = POWER if hasattr(transform.law, "n_modes") else GAUSSIAN
        by, bx, log_k, bonus, b = self._basis(transform.law)
        ky, kx = b.by.shape[1], b.bx.shape[1]
        if isinstance(transform, FieldColor):
            kind = HSV if transform.hsv else COLOR
            return [(kind, law, transform.slot, 0, ky, kx, by, bx, log_k, bonus, 0, 0)]
        rows: list[tuple[int, ...]] = []
        first = 0
        for name in transform.kinds:
            kind = GEOMETRIC[name]
            rows.append(
                (kind, law, transform.slot, first, ky, kx, by, bx, log_k, bonus, int(transform.no_fold), 0)
            )
            first += N_FIELDS[kind]
        return rows

    def windows(self, keys: Keys, sizes: np.ndarray) -> Windows:
        """Crops of a batch of images of `sizes` (height, width as displayed), integers (n, 2)."""
        return crop_windows(self.plan, keys, sizes)

    def records(self, keys: Keys, windows: Windows, sources: Sources) -> np.ndarray:
        """SAMPLE records: everything the kernels need to know about each sample."""
        samples = new_samples(len(keys))
        samples["source"], samples["stride"] = sources.pointers, sources.strides
        samples["height"], samples["width"] = sources.heights, sources.widths
        set_filters(samples, affines(self.plan, keys, windows))
        draw_transforms(self.plan, keys, samples)
        return samples

    def stages(self, keys: Keys, groups: Groups | None = None) -> StageRecords | None:
        """What the stages behind the pass do with a batch; None in a plan without any.

        Args:
            keys: Keys of the batch.
            groups: Where mixing partners are found; a plan that mixes needs it.

        Raises:
            ArgumentError: The plan mixes, and there are no groups.
        """
        if not self.plan.staged:
            return None
        from .stages.drawing import draw_stages

        return draw_stages(self.plan, keys, groups)

    def shape(self, n: int) -> tuple[int, ...]:
        """Shape of the output for n samples: (views * n, 3, height, width), or with channels last."""
        height, width, n = self.plan.height, self.plan.width, n * self.plan.views
        return (n, 3, height, width) if self.plan.planar else (n, height, width, 3)

    @property
    def element(self) -> Any:
        """Element type of output arrays; 16-bit floats are held as uint16."""
        return cpu.OUTPUTS[self.plan.dtype][1]

    def empty(self, n: int) -> np.ndarray:
        """An output array for n samples."""
        return np.empty(self.shape(n), self.element)

    def __call__(
        self,
        keys: Keys,
        windows: Windows,
        sources: Sources,
        out: np.ndarray | None = None,
        executor: Executor | None = None,
        samples: np.ndarray | None = None,
        stages: StageRecords | None = None,
        positions: np.ndarray | None = None,
    ) -> np.ndarray:
        """Augment a batch.

        Args:
            keys: Seed, epoch, ids and occurrences.
            windows: What `windows` gave for the same keys.
            sources: Pixels of each `windows.rects`.
            out: Where to write, as `empty` makes it; None makes one.
            executor: Pool that shares the samples among threads; None stays in this one.
            samples: What `records` gave for these arguments, where that is known already.
            stages: What `stages` gave for these keys, likewise; a plan that mixes needs it.
            positions: Where to leave what `index_maps` can use, as `empty_positions` makes it.

        Returns:
            `out`.
        """
        out = self.empty(len(keys)) if out is None else out
        samples = self.records(keys, windows, sources) if samples is None else samples
        if self._stages is None:
            self._run(
                samples, keys.seed, self.scales, self.bias, self.plan.dtype, self.plan.planar, out, executor,
                positions=positions,
            )  # fmt: skip
            return out
        stages = self.stages(keys) if stages is None else stages
        assert stages is not None
        working = self._stages.working(len(keys))
        then = self._stages.first(samples, stages, working, keys.seed)
        self._run(
            samples, keys.seed, BYTE_SCALES, NO_BIAS, "uint8", True, working[: len(keys)], executor, then,
            positions,
        )  # fmt: skip
        self._stages.rest(samples, stages, working, keys.seed, out, executor)
        return out

    def index_maps(
        self,
        keys: Keys,
        windows: Windows,
        maps: Sources,
        element: str,
        out: np.ndarray | None = None,
        executor: Executor | None = None,
        samples: np.ndarray | None = None,
        ignore: int = 255,
        positions: np.ndarray | None = None,
    ) -> np.ndarray:
        """Masks of a batch: ids along the geometry of their images, by nearest neighbor (`indexmap.py`).

        Args:
            keys: Seed, epoch, ids and occurrences, as for the images.
            windows: What `windows` gave for the same keys.
            maps: Ids of each `windows.rects`, of the masks; aligned to their own size.
            element: Type of the ids: "uint8" or "int32".
            out: C-contiguous, of the shape and type below; None makes one.
            executor: Pool that shares the samples among threads; None stays in this one.
            samples: What `records` gave for the images, where that is known already; left as it is.
            ignore: Id of pixels outside the window, with border "constant" (other borders repeat or mirror).
            positions: What the images' call left in it; spares computing the lattices again, which is what
                strong fields cost.

        Returns:
            `out`: (views * n, height, width), view by view like the images.

        Raises:
            ArgumentError: The plan moves pixels behind the pass or mixes (`PassPlan.maps_follow`), or an
                argument breaks what is said above.

        Exactness: every id stands in the window or is `ignore`; positions are the image's own, bit by bit.

        Example:
            >>> import numpy as np
            >>> from fieldloom.kernels.plan import Flip, PassPlan
            >>> mirrored = FusedPass(PassPlan(1, 3, warps=(Flip(1.0, True, 0x104),)))
            >>> keys = Keys(seed=0, epoch=0, ids=np.array([5]), occurrences=np.array([0]))
            >>> windows = mirrored.windows(keys, np.array([[1, 3]]))
            >>> ids = Sources.of_arrays([np.array([[7, 8, 9]], np.uint8)])
            >>> mirrored.index_maps(keys, windows, ids, "uint8").tolist()
            [[[9, 8, 7]]]
        """
        dtype = indexmap.element_type(element, ignore)
        records = self.map_records(keys, windows, maps, dtype, samples)
        shape = self.maps_shape(len(keys))
        out = np.empty(shape, dtype) if out is None else out
        if out.shape != shape or out.dtype != dtype or not out.flags.c_contiguous:
            raise ArgumentError.make(
                f"out of shape {out.shape} and type {out.dtype}",
                why=f"masks are C-contiguous, of shape {shape} and type {dtype}",
                remedy="Leave it out, or pass such an array.",
            )
        n, plan = len(keys), self.plan
        like = self.empty_positions(n)
        if positions is not None and (positions.shape, positions.dtype) != (like.shape, like.dtype):
            raise ArgumentError.make(
                f"positions of shape {positions.shape} and type {positions.dtype}",
                why=f"those of {n} samples have {like.shape} and {like.dtype}",
                remedy="Pass what the images' call was given.",
            )
        indexmap.run(
            records, transforms=self.transforms, basis=self.basis, seed=keys.seed, pitch=self.pitch,
            border=BORDERS[plan.border], ignore=ignore, height=plan.height, width=plan.width, out=out[:n],
            executor=executor, positions=positions,
        )  # fmt: skip
        for view in range(1, plan.views):
            out[view * n : (view + 1) * n] = out[:n]
        return out

    def empty_positions(self, n: int) -> np.ndarray:
        """Array for the positions at the lattices' nodes of n samples: float32 (n, 2, nodes_y, nodes_x)."""
        nodes = [-(-side // self.pitch) + 1 for side in (self.plan.height, self.plan.width)]
        return np.empty((n, 2, *nodes), np.float32)

    def maps_shape(self, n: int) -> tuple[int, int, int]:
        """Shape of the masks of n samples."""
        return n * self.plan.views, self.plan.height, self.plan.width

    def map_records(
        self, keys: Keys, windows: Windows, maps: Sources, dtype: np.dtype, samples: np.ndarray | None
    ) -> np.ndarray:
        """SAMPLE records of masks of a type; other arguments as for `index_maps`.

        Raises:
            ArgumentError: As `index_maps` has it.
        """
        if self._why_no_maps is not None:
            raise ArgumentError.make(
                "masks with this recipe", why=self._why_no_maps, remedy="Leave that out of the recipe."
            )
        samples = self.records(keys, windows, maps) if samples is None else samples
        return indexmap.map_records(
            samples, self.transforms, maps.pointers, maps.heights, maps.widths, maps.strides, dtype.itemsize
        )

    def _run(
        self, samples: np.ndarray, seed: int, scales: np.ndarray, bias: np.ndarray, dtype: str, planar: bool,
        out: np.ndarray, executor: Executor | None, then: cpu.Task | None = None,
        positions: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        cpu.run(
            samples, transforms=self.transforms, basis=self.basis, seed=seed, pitch=self.pitch,
            border=BORDERS[self.plan.border], fill=self.fill, center=self.plan.center, scales=scales,
            bias=bias, dtype=dtype, planar=planar, height=self.plan.height, width=self.plan.width, out=out,
            executor=executor, then=then, positions=positions,
        )  # fmt: skip
