"""Index masks (segmentation ids) along the geometry of their images, by nearest neighbor: CPU twin.

A mask is read where stage 2 reads its image: from the same lattice, widened along x and then along y, so
positions have the same bits. For output pixel (y, x), on each axis:

1. p = what `fused` interpolates: a position in the image that stage 2 reads, which box reduction may have
   made smaller than the window by a whole factor r. With border "reflect" p is mirrored about the centers of
   that image's outer pixels, once, as `fused` does it.
2. X = r p + (r - 1) / 2, the same position in pixels of the unreduced window (one fma; exact for r = 1).
3. The nearest pixel is floor(X + 1/2): halves go up. For a plain resize that is Pillow's NEAREST and
   torchvision's "nearest-exact"; for r = 1 it is the pixel that weighs the most in the bilinear gather.
4. A nearest pixel outside the window becomes `ignore` with border "constant", else the closest in the window.

So each id of the output stands in the window (or is `ignore`), and no id is made by arithmetic. The tent
prefilter has no counterpart: it moves nothing.

The lattice's positions are those that the image's pass left behind, if the caller had it keep them
(`FusedPass.empty_positions`), or they are computed again, without the colors' transforms: equal bits.

Cost, counted for 224 x 224 pixels: on pitch 4, 57 widened rows of 2 planes, 2 operations a value. A pixel
takes 4 operations of interpolation, up to 8 for the border, 2 fma, 2 additions, 2 floors, 4 selections, 2
conversions and 3 for the offset, all in vectors of 8, hence some 4 cycles; then one load and one store by
themselves, 1 to 2 cycles. At 3 GHz that is 0.08 to 0.1 ms. Measured, CPU time an image in ms (64 images of
375 x 500 pixels, random resized crops, border "reflect", medians of 9 interleaved rounds, a core of an EPYC):

    ======================  ==================  ===========================  =====
    transforms (pitch)      uint8               uint8, positions kept        image
    ======================  ==================  ===========================  =====
    none (8)                0.065               0.064                        0.21
    rfa_translate (4)       0.107               0.079                        0.27
    rfa_all (2)             0.43                0.12                         0.59
    two warps, colors (2)   0.25                0.12                         0.98
    ======================  ==================  ===========================  =====

int32 costs 0.03 to 0.08 ms more: four times the bytes of the window. Keeping positions costs at most 0.02 ms.

Exactness: the bits of the CUDA twin (indexmap.cu). Differs from `reference_indexmap` only where the position
lies within float32's rounding of two pixels' common edge.
"""

from concurrent.futures import Executor

import numba as nb
import numpy as np
from numba import njit, types
from numba.extending import overload
from numpy import float32 as f32
from numpy import int32 as i32
from numpy import uint32 as u32
from numpy import uint64 as u64

from fieldloom.errors import ArgumentError

from .cpu import NO_POSITIONS, share
from .fused import clip, lerp, widen
from .intrinsics import INLINE, as_bytes, entry, floor, fma, load_u32
from .lattice import lattice
from .records import COLOR, FILL, HSV, REFLECT, SX, SY
from .shrink import reduced_shape

#: Element types of masks.
ELEMENTS = ("uint8", "int32")


@njit(**INLINE)
def _unreduce(p, size, reduced, by, reflects):  # type: ignore[no-untyped-def]
    """Turn positions `p` of an axis into nearest pixels of the window, whole float32 numbers, in place."""
    # The border's test stands outside of the loops, or they would not vectorize.
    last = f32(i32(reduced - 1))
    if reflects:
        for x in range(size):
            u = abs(p[x])
            p[x] = fma(last, f32(2), -u) if u > last else u
    scale = f32(i32(by))
    shift, half = f32(0.5) * f32(i32(by - 1)), f32(0.5)
    for x in range(size):
        p[x] = floor(fma(p[x], scale, shift) + half)


@njit(**INLINE)
def _locate(px, py, x_max, y_max, stride, n_bytes, offset):  # type: ignore[no-untyped-def]
    """Byte offsets of the nearest pixels within the window."""
    zero = f32(0)
    for x in range(offset.shape[0]):
        column, row = i32(clip(px[x], zero, x_max)), i32(clip(py[x], zero, y_max))
        offset[x] = u32(row) * u32(stride) + u32(column) * u32(n_bytes)


@njit(**INLINE)
def _ignore_outside(px, py, x_max, y_max, ignore, out):  # type: ignore[no-untyped-def]
    zero = f32(0)
    for x in range(out.shape[0]):
        inside = (px[x] >= zero) & (px[x] <= x_max) & (py[x] >= zero) & (py[x] <= y_max)
        out[x] = out[x] if inside else ignore


def read_row(source, offset, n_bytes, out):  # type: ignore[no-untyped-def]
    """Load the ids at byte offsets from an address; `n_bytes` is the window's extent in memory."""
    raise NotImplementedError  # exists as an overload only: the element type of `out` picks the code


@overload(read_row, jit_options=INLINE)  # type: ignore[arg-type]
def _read_by_type(source, offset, n_bytes, out):  # type: ignore[no-untyped-def]
    def read_bytes(source, offset, n_bytes, out):  # type: ignore[no-untyped-def]
        memory = nb.carray(as_bytes(source), (n_bytes,), np.uint8)
        for x in range(out.shape[0]):
            out[x] = memory[u64(offset[x])]

    def read_words(source, offset, n_bytes, out):  # type: ignore[no-untyped-def]
        for x in range(out.shape[0]):
            out[x] = i32(load_u32(source, u64(offset[x])))

    return read_bytes if out.dtype == types.uint8 else read_words


@njit(**INLINE)
def _follow(sample, nodes, pitch, border, ignore, height, width, out):  # type: ignore[no-untyped-def]
    """One mask from its window and its lattice into flat `out` (height * width,)."""
    padded = (nodes.shape[2] - 1) * pitch
    upper, lower = np.empty((2, padded), np.float32), np.empty((2, padded), np.float32)
    px, py = np.empty(padded, np.float32), np.empty(padded, np.float32)
    offset = np.empty(padded, np.uint32)
    rows, columns = reduced_shape(sample)
    source, stride, n_bytes = u64(sample.source), sample.stride, out.itemsize
    extent = (sample.height - 1) * stride + sample.width * n_bytes
    x_max, y_max = f32(i32(sample.width - 1)), f32(i32(sample.height - 1))
    reflects = border == REFLECT
    step = f32(1) / f32(i32(pitch))
    for y in range(height):
        within = y % pitch
        if within == 0:
            for plane in range(2):
                if y == 0:
                    widen(nodes[plane], 0, pitch, lower[plane])
                upper[plane, :] = lower[plane]
                widen(nodes[plane], y // pitch + 1, pitch, lower[plane])
        ty = (f32(i32(within)) + f32(0.5)) * step
        ux, dx, uy, dy = upper[SX], lower[SX], upper[SY], lower[SY]
        for x in range(padded):
            px[x] = lerp(ux[x], dx[x], ty)
            py[x] = lerp(uy[x], dy[x], ty)
        _unreduce(px, padded, columns, sample.reduce[1], reflects)
        _unreduce(py, padded, rows, sample.reduce[0], reflects)
        _locate(px, py, x_max, y_max, stride, n_bytes, offset)
        row = out[y * width : (y + 1) * width]
        read_row(source, offset, extent, row)
        if border == FILL:
            _ignore_outside(px, py, x_max, y_max, ignore, row)


@entry
def _index_maps(samples, transforms, basis, seed_low, seed_high, pitch, border, ignore, height, width, positions, first, last, out):  # type: ignore[no-untyped-def]  # noqa: E501  # fmt: skip
    """Masks of samples first .. last - 1; `ignore` has the type of `out` (n, height * width).

    `positions` has the lattices (n, 2, nodes_y, nodes_x); where it is empty they are made here.
    """
    nodes_y, nodes_x = (height + pitch - 1) // pitch + 1, (width + pitch - 1) // pitch + 1
    own = np.empty((2, nodes_y, nodes_x), np.float32)  # without colors the lattice fills two planes
    known = positions.shape[0] > 0
    for k in range(first, last):
        sample = samples[k]
        nodes = own
        if known:
            nodes = positions[k]
        else:
            lattice(
                sample, transforms, basis, seed_low, seed_high, pitch, height, width, f32(0.5), f32(1), nodes
            )
        _follow(sample, nodes, pitch, border, ignore, height, width, out[k])


def run(
    samples: np.ndarray,
    *,
    transforms: np.ndarray,
    basis: np.ndarray,
    seed: int,
    pitch: int,
    border: int,
    ignore: int,
    height: int,
    width: int,
    out: np.ndarray,
    executor: Executor | None = None,
    positions: np.ndarray | None = None,
) -> None:
    """Masks of a batch into `out`.

    Args:
        samples: What `map_records` gave, (n,); their sources must stay alive until this returns.
        transforms: TRANSFORM records of the recipe.
        basis: Table that the records point into, float32.
        seed: 64-bit seed.
        pitch: Lattice pitch in output pixels, a power of two.
        border: REFLECT, EDGE or FILL.
        ignore: Id of what lies outside, with FILL.
        height: Output height in pixels; `width` its width.
        width: See `height`.
        out: C-contiguous uint8 or int32 of n * height * width elements.
        executor: Pool for the samples; None runs them in the calling thread.
        positions: What `cpu.run` left for the same samples; None: they are computed again.
    """
    kept = NO_POSITIONS if positions is None else positions
    flat = out.reshape(len(samples), height * width)
    low, high = np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32)
    other = out.dtype.type(ignore)

    def task(first: int, last: int) -> None:
        _index_maps(
            samples, transforms, basis, low, high, pitch, border, other, height, width, kept,
            first, last, flat,
        )  # fmt: skip

    share(task, len(samples), executor)


def map_records(
    samples: np.ndarray,
    transforms: np.ndarray,
    pointers: np.ndarray,
    heights: np.ndarray,
    widths: np.ndarray,
    strides: np.ndarray,
    n_bytes: int,
) -> np.ndarray:
    """SAMPLE records of masks from those of their images: other sources, and no color transform.

    Args:
        samples: Records of the images' windows (n,); left as they are.
        transforms: TRANSFORM records of the recipe.
        pointers: uint64 (n,): address of each mask window's first id.
        heights: Pixels (n,); `widths` likewise; `strides` in bytes per row.
        widths: See `heights`.
        strides: See `heights`.
        n_bytes: Bytes of an id.

    Raises:
        ArgumentError: A mask's window is not of its image's size, rows run backwards or reach beyond 4 GiB,
            or ids are not aligned to their size.
    """
    wrong = (samples["height"] != heights) | (samples["width"] != widths)
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ArgumentError.make(
            f"the window of mask {k} of the batch: {heights[k]} x {widths[k]} pixels",
            why=f"that of its image has {samples['height'][k]} x {samples['width'][k]}",
            remedy="Cut masks by the same rects as images.",
        )
    # NumPy calls an array of one row contiguous whatever its stride, which then nothing depends on.
    steps = np.where(np.asarray(heights) > 1, strides, np.asarray(widths, np.int64) * n_bytes)
    short = steps < np.asarray(widths, np.int64) * n_bytes
    unaligned = (np.asarray(pointers, np.uint64) % np.uint64(n_bytes) != 0) | (steps % n_bytes != 0)
    wrong = short | unaligned | (steps * heights >= 2**32)
    if wrong.any():
        k = int(np.argmax(wrong))
        raise ArgumentError.make(
            f"mask {k} of the batch: rows {strides[k]} bytes apart at address {pointers[k]}",
            why=f"{widths[k]} ids of {n_bytes} bytes make a row; rows are aligned, and 4 GiB at most in all",
            remedy="Pass masks as C-contiguous arrays.",
        )
    out = samples.copy()
    out["source"], out["stride"], out["copy"] = pointers, steps, 0
    moving = np.uint32(0)
    for index, kind in enumerate(transforms["kind"].tolist()):
        moving |= np.uint32(0 if kind in (COLOR, HSV) else 1 << index)
    out["active"] &= moving
    return out


def element_type(element: str, ignore: int) -> np.dtype:
    """The type of a mask's ids.

    Args:
        element: "uint8" or "int32".
        ignore: Id of what lies outside the window, with border "constant".

    Raises:
        ArgumentError: Another element, or an `ignore` that it cannot hold.
    """
    if element not in ELEMENTS:
        raise ArgumentError.make(
            f"masks of element={element!r}", why="not known", remedy='Pass "uint8" or "int32".'
        )
    limits = np.iinfo(element)
    if not limits.min <= ignore <= limits.max:
        raise ArgumentError.make(
            f"ignore={ignore!r}",
            why=f"ids of type {element} lie in {limits.min} to {limits.max}",
            remedy='Pass an id in that range, or masks of element="int32".',
        )
    return np.dtype(element)


__all__ = ["ELEMENTS", "element_type", "map_records", "run"]
