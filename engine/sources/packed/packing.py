"""`pack`: write a data set once, decoded and shrunk, so that every epoch reads it fast."""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import ArgumentError, SampleError
from fieldloom.options import choice, flag, whole_number
from fieldloom.sources.base import Source
from fieldloom.sources.labels import check_labels, check_num_classes
from fieldloom.sources.opening import open_source
from fieldloom.sources.packed.packedformat import KINDS, MAX_LISTED
from fieldloom.sources.packed.packshrink import Packed, Shrinker
from fieldloom.sources.packed.packwriter import PackWriter, in_place
from fieldloom.sources.packed.source import PackedSource

#: Bytes of a data file at most (of one that holds more than one sample).
FILE_BYTES = 1 << 30
#: Samples in work for each thread: enough that none waits for the one that writes.
AHEAD = 4


def pack(
    source: Any,
    path: str | os.PathLike[str],
    *,
    kind: str = "raw",
    side: int = 256,
    quality: int = 90,
    threads: int | None = None,
    overwrite: bool = False,
    on_bad_sample: str = "raise",
    num_classes: int | None = None,
    max_pixels: int = 2**27,
    file_bytes: int = FILE_BYTES,
    on_progress: Callable[[int, int], None] | None = None,
) -> PackedSource:
    """Write images and targets of a data set into a folder that `DataLoader` opens.

    Images are turned by their EXIF orientation, converted to RGB, and shrunk so that the shorter side is
    `side` (Pillow's antialiased bilinear filter, sizes rounded as torchvision's `Resize` rounds them; smaller
    images stay as they are). The same samples and options give the same bytes, whatever `threads` is. Nothing
    is at `path` before all is written.

    Args:
        source: Whatever `DataLoader` takes.
        path: The folder to write. Its parent exists.
        kind: "raw" keeps pixels: nothing to decode later, 3 bytes a pixel. "jpeg" keeps JPEG files; one that
            need not be shrunk is kept byte for byte.
        side: Shorter side in pixels, 1 to 65535; 0 keeps sizes.
        quality: 1 to 100, of JPEG files that are encoded again.
        threads: Threads that decode; None takes the processors available.
        overwrite: Replace the packed data set at `path`.
        on_bad_sample: "raise", or "skip": leave it out, so that later samples move up. What was left out is
            listed in `PackedSource.skipped`.
        num_classes: Labels are below it; else one more than the largest label, or the number of class names.
        max_pixels: Images with more pixels are bad samples.
        file_bytes: Size of a data file at most, unless one sample alone is larger.
        on_progress: Is told how many samples are done, and how many there are.

    Returns:
        The packed data set, open.

    Raises:
        ArgumentError: An option is out of range; `path` is taken, or within the source; the source has masks,
            which are not packed, or no targets.
        SampleError: A sample is bad, and `on_bad_sample` is "raise".
        SourceError: The source cannot be read, or the folder cannot be written.
    """
    kind = choice("pack", "kind", kind, KINDS)
    side = whole_number("pack", "side", side, 0, 65535)
    quality = whole_number("pack", "quality", quality, 1, 100)
    n_threads = len(os.sched_getaffinity(0)) if threads is None else threads
    n_threads = whole_number("pack", "threads", n_threads, 1, 256)
    overwrite = flag("pack", "overwrite", overwrite)
    skips = choice("pack", "on_bad_sample", on_bad_sample, ("raise", "skip")) == "skip"
    max_pixels = whole_number("pack", "max_pixels", max_pixels, 1, 2**30)
    file_bytes = whole_number("pack", "file_bytes", file_bytes, 1, 2**50)
    target = os.fsdecode(path)
    _check_apart(source, target)
    opened = open_source(source, num_classes=num_classes)
    if getattr(opened, "has_masks", False):
        raise ArgumentError.make(
            "cannot pack this source",
            why="its samples have masks, and a packed data set has images and targets",
            remedy="Load it as it is.",
        )
    shrinker = Shrinker(opened, kind, side, quality, max_pixels, check_num_classes(num_classes))
    facts: dict[str, Any] = {"kind": kind, "side": side, "quality": quality}
    with in_place(target, overwrite=overwrite) as folder:
        writer = PackWriter(folder, file_bytes)
        try:
            kept = _Kept(opened, check_num_classes(num_classes))
            for i, sample in _in_order(shrinker, len(opened), n_threads, skips=skips):
                if isinstance(sample, SampleError):
                    kept.skip(i, sample)
                else:
                    writer.add(sample)
                    kept.keep(i, sample)
                if on_progress is not None:
                    on_progress(i + 1, len(opened))
            targets = kept.targets()
            writer.finish(targets, facts | kept.facts(targets))
        finally:
            writer.close()
    return PackedSource(target)


def _check_apart(source: Any, path: str) -> None:
    """A data set that is packed into its own folder would find the result among its classes next time."""
    if not isinstance(source, (str, bytes, os.PathLike)) or not os.path.isdir(source):
        return
    root, place = os.path.realpath(os.fsdecode(source)), os.path.realpath(path)
    if place != root and os.path.commonpath([root, place]) == root:
        raise ArgumentError.make(
            "cannot pack there",
            why=f"it lies within the source {os.fsdecode(source)}, which would then hold it",
            remedy="Take a folder beside the source.",
            file=path,
        )


def _in_order(
    shrinker: Shrinker, n: int, threads: int, *, skips: bool
) -> Iterator[tuple[int, Packed | SampleError]]:
    """Samples in their order, made by several threads; bad ones as their error, or raised."""
    pool = ThreadPoolExecutor(threads, "fieldloom-pack")
    ahead: deque[tuple[int, Future[Packed]]] = deque()
    ids = iter(range(n))
    try:
        while True:
            for i in itertools.islice(ids, threads * AHEAD - len(ahead)):
                ahead.append((i, pool.submit(shrinker, i)))
            if not ahead:
                return
            i, future = ahead.popleft()
            try:
                yield i, future.result()
            except SampleError as error:
                if not skips:
                    raise
                yield i, error.bare()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Kept:
    """What is known of the samples besides their pixels, collected as they pass."""

    def __init__(self, source: Source, num_classes: int | None) -> None:
        self._source, self._num_classes = source, num_classes
        self._own: list[NDArray[Any]] = []  # targets that came with the samples
        self._skipped: list[dict[str, Any]] = []
        self._dropped: list[int] = []
        self._left_out: set[str] = set()

    def keep(self, i: int, sample: Packed) -> None:
        self._left_out.update(sample.fields)
        if self._source.targets is None:
            if self._own and sample.target.shape != self._own[0].shape:
                shapes = f"{sample.target.shape} of sample {i}, {self._own[0].shape} before"
                raise ArgumentError.make(
                    "cannot pack these targets",
                    why=f"they differ in shape: {shapes}",
                    remedy="Give each sample a class index, or equally many numbers.",
                )
            self._own.append(sample.target)

    def skip(self, i: int, error: SampleError) -> None:
        self._dropped.append(i)
        if len(self._skipped) < MAX_LISTED:
            self._skipped.append(
                {"sample": i, "file": error.file, "error": type(error).__name__, "message": str(error)}
            )

    def targets(self) -> NDArray[Any]:
        """Targets of the samples that were kept: int16 or int32 (n,), or float32 (n, k)."""
        if self._source.targets is None:
            column = _column(self._own)
        else:
            whole = np.asarray(self._source.targets)
            column = np.delete(whole, self._dropped, axis=0) if self._dropped else whole
        if column.dtype.kind not in "iu":
            rows: NDArray[Any] = np.asarray(column, np.float32)
            return rows if rows.ndim == 2 else rows[:, None]
        labels = check_labels(column, self._num_classes, lambda i: f"packed sample {i}")
        top = int(labels.max(initial=0))
        return labels.astype(np.int16 if top < 2**15 else np.int32)

    def facts(self, targets: NDArray[Any]) -> dict[str, Any]:
        """Fields of `Meta`."""
        classes = None if self._source.classes is None else [str(name) for name in self._source.classes]
        n_classes = None
        if targets.ndim == 1:
            known = max(len(classes or ()), int(targets.max(initial=-1)) + 1)
            n_classes = known if self._num_classes is None else self._num_classes
        return {
            "n_classes": n_classes, "classes": classes, "names": dict(getattr(self._source, "names", {})),
            "n_skipped": len(self._dropped), "skipped": self._skipped, "left_out": sorted(self._left_out),
        }  # fmt: skip


def _column(rows: list[NDArray[Any]]) -> NDArray[Any]:
    """Targets that came one by one as one array."""
    if not rows:
        return np.zeros(0, np.int64)
    column = np.stack(rows)
    whole = column.ndim == 1 and column.dtype.kind in "iu"
    return column if whole else column.astype(np.float32)
