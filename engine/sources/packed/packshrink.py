"""From one sample of any source to the bytes that a packed data set stores of it."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldloom.errors import ArgumentError, DecodeError, LimitError, SampleError
from fieldloom.sources.base import Source, checked_pixels
from fieldloom.sources.rows import check_targets

#: Largest side of a JPEG.
MAX_JPEG_SIDE = 65535


@dataclass(slots=True)
class Packed:
    """One sample, ready to be written.

    Attributes:
        data: What is stored, uint8 (n_bytes,).
        height: Pixels as displayed; `width` likewise.
        width: See `height`.
        total: Sum of its contents.
        target: Its target, where targets come with the samples: a class index, or numbers of one axis.
        fields: Names of what else the source gives.
    """

    data: NDArray[np.uint8]
    height: int
    width: int
    total: int
    target: Any = None
    fields: tuple[str, ...] = ()


class Shrinker:
    """Decodes, shrinks and seals samples; called by several threads.

    Args:
        source: Where they come from.
        kind: "raw" or "jpeg".
        side: Shorter side of what larger images are shrunk to; 0 keeps sizes.
        quality: Of JPEG files that are made here.
        max_pixels: Larger images are refused before they are decoded.
        num_classes: If given, labels that come with the samples are below it.
    """

    def __init__(
        self,
        source: Source,
        kind: str,
        side: int,
        quality: int,
        max_pixels: int,
        num_classes: int | None = None,
    ) -> None:
        from fieldloom.sources.packed import rowsums

        self._source, self._kind, self._side, self._quality = source, kind, side, quality
        self._max_pixels, self._sums, self._num_classes = max_pixels, rowsums, num_classes

    def __call__(self, i: int) -> Packed:
        """Sample `i`.

        Raises:
            SampleError: It is bad, and alone concerned.
            SourceError: The source cannot be read.
            ArgumentError: It has no target, and targets come with the samples.
        """
        source, target = self._source, None
        fields: tuple[str, ...] = ()
        if getattr(source, "more", False):
            whole = source.sample(i)
            image, target, fields = whole.image, whole.target, tuple(whole.fields)
        else:
            image = source.read(i) if source.stored == "encoded" else source.pixels(i)
        try:
            if source.targets is None:
                target = self._target(target, i)
            packed = self._encoded(image) if source.stored == "encoded" else self._image(image, i)
        except SampleError as error:
            raise error.located(i, source.name(i)) from None
        packed.target, packed.fields = target, fields
        return packed

    def _target(self, value: Any, i: int) -> NDArray[Any]:
        """A target that came with its sample, as it is stored: what is refused is refused here and now."""
        from fieldloom.collate import checked_target  # brings Numba

        target = checked_target(value)
        if target is None:
            raise ArgumentError.make(
                "cannot pack this source",
                why=f"sample {i} has no target, and a packed data set has images and targets",
                remedy="Load it as it is, or give each sample a target.",
            )
        if target.dtype.kind == "f" and not target.ndim:
            return target
        known: NDArray[Any] = check_targets(
            target[None] if target.ndim else [target[()]], self._num_classes, str
        )
        return known[0]

    def _encoded(self, data: NDArray[np.uint8]) -> Packed:
        from fieldloom.pipelines.header import check_header
        from fieldloom.pipelines.outside import decode_outside

        data = np.ascontiguousarray(data)
        header = check_header(data, max_pixels=self._max_pixels)
        image = decode_outside(data)  # of a JPEG that is kept, too: what cannot be decoded is not packed
        size = header.height, header.width
        if self._kind == "jpeg" and header.codec == "jpeg" and shrunk_size(*size, self._side) == size:
            return self._file(data, *size)
        return self._stored(image)

    def _image(self, image: NDArray[np.uint8], i: int) -> Packed:
        image = checked_pixels(image, self._source, i)
        height, width = image.shape[:2]
        if height * width > self._max_pixels:
            raise LimitError.make(
                "cannot pack",
                why=f"it has {height} x {width} = {height * width} pixels, max_pixels is {self._max_pixels}",
                remedy="Leave it out, or raise max_pixels.",
            )
        return self._stored(image)

    def _stored(self, image: NDArray[np.uint8]) -> Packed:
        image = shrink(image, self._side)
        height, width = image.shape[:2]
        if self._kind == "raw":
            rows = np.zeros((height, self._sums.row_bytes(width)), np.uint8)
            rows[:, : 3 * width] = image.reshape(height, 3 * width)
            total = self._sums.image_sum(rows, width)
            self._sums.seal_rows(rows, total)
            return Packed(rows.reshape(-1), height, width, total)
        if max(height, width) > MAX_JPEG_SIDE:
            raise DecodeError.make(
                "cannot pack",
                why=f"it has {height} x {width} pixels, and a JPEG at most {MAX_JPEG_SIDE} a side",
                remedy="Pack as raw, or leave it out.",
            )
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=self._quality)
        return self._file(np.frombuffer(file.getbuffer(), np.uint8), height, width)

    def _file(self, data: NDArray[np.uint8], height: int, width: int) -> Packed:
        words = np.zeros(-(-len(data) // 4), np.uint32)
        words.view(np.uint8)[: len(data)] = data
        return Packed(data, height, width, self._sums.bytes_sum(words, len(data)))


def shrunk_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width with the shorter one `side`, rounded as torchvision's Resize rounds; never larger."""
    short, long = min(height, width), max(height, width)
    if not side or short <= side:
        return height, width
    other = side * long // short
    return (side, other) if height <= width else (other, side)


def shrink(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """An image shrunk by Pillow's antialiased bilinear filter, as torchvision's Resize does it.

    Args:
        image: uint8 (height, width, 3).
        side: See `shrunk_size`.
    """
    height, width = shrunk_size(image.shape[0], image.shape[1], side)
    if (height, width) == image.shape[:2]:
        return image
    from PIL import Image

    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized)
