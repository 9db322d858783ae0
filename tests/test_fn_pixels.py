"""A user's own per-pixel operation: both twins, all kinds of batches, and in graphs."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import nvrtc
import pytest
import torch
from cuda_shim import has_compiler
from fn_cases import IDS, RAGGED, SEED, arrays, column, graph
from numpy import float32 as f32
from nvidia.dali import types
from pixel_shim import PixelShim

from fieldloom.errors import ArgumentError
from fieldloom.kernels.keys import Keys
from fieldloom.pipelines import PixelOperation, fn
from fieldloom.pipelines.fn_pixels_device import PIXEL_ARGS, PIXEL_IMAGE, DevicePixels, PixelModule

N = 4


def dim(r, g, b, y, x, u):
    """Darker to a corner, more so for some images; and channels change places."""
    k = f32(1.5) - u[0] * (x * x + y * y) - u[1] * x
    return g * k, b * k - u[2], math.sqrt(abs(r)) * f32(20)


DIM = """
__device__ void pixel(float& r, float& g, float& b, float y, float x, const float* u) {
  float k = 1.5f - u[0] * (x * x + y * y) - u[1] * x;
  float red = r;
  r = g * k;
  g = b * k - u[2];
  b = __fsqrt_rn(fabsf(red)) * 20.0f;
}
"""
OPERATION = PixelOperation(dim, DIM)
BYTES = np.random.default_rng(1).integers(0, 256, (N, 17, 23, 3), np.uint8)
needs_compiler = pytest.mark.skipif(not has_compiler, reason="g++ compiles the CUDA source for the CPU")


def by_numpy(image, units):
    """The definition in NumPy, float32 throughout, channels last."""
    height, width = image.shape[:2]
    r, g, b = np.moveaxis(image.astype(f32), -1, 0)
    y = (f32(2) * np.arange(height, dtype=f32) + f32(1))[:, None] / f32(height) - f32(1)
    x = (f32(2) * np.arange(width, dtype=f32) + f32(1)) / f32(width) - f32(1)
    k = f32(1.5) - units[0] * (x * x + y * y) - units[1] * x
    out = np.stack([g * k, b * k - units[2], np.sqrt(np.abs(r)) * f32(20)], -1)
    if image.dtype == np.uint8:
        out = np.clip(np.floor(out + f32(0.5)), 0, 255).astype(np.uint8)
    return out


def units(ids, *, seed=0, epoch=0):
    return OPERATION.units(Keys(seed, epoch, np.asarray(ids), np.zeros(len(ids), np.int64)))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_is_what_it_says(dtype):
    images = BYTES.astype(dtype)
    drawn = units(range(N))
    out = OPERATION(images)
    assert out.dtype == dtype
    for one, image, u in zip(out, images, drawn, strict=True):
        np.testing.assert_array_equal(one, by_numpy(image, u))
    np.testing.assert_array_equal(images, BYTES)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_kinds_and_layouts_of_batches_agree(dtype):
    images = BYTES.astype(dtype)
    want = OPERATION(images, ids=[5, 9, 2**32 - 1, 0], seed=SEED, epoch=3)
    keys = {"ids": [5, 9, 2**32 - 1, 0], "seed": SEED, "epoch": 3}
    planar = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    tensor = torch.from_numpy(planar)
    with ThreadPoolExecutor(3) as pool:
        for batch, options in (
            (planar, {}),
            (images.transpose(0, 3, 1, 2), {}),
            (tensor, {}),
            (tensor.contiguous(memory_format=torch.channels_last), {}),
            (planar[:, :, ::-1][:, :, ::-1], {"executor": pool}),
            (planar, {"layout": "CHW"}),
        ):
            out = OPERATION(batch, **keys, **options)
            assert type(out) is type(batch)
            np.testing.assert_array_equal(np.asarray(out).transpose(0, 2, 3, 1), want)
    ids = torch.tensor(keys["ids"])
    np.testing.assert_array_equal(OPERATION(torch.from_numpy(images), **keys | {"ids": ids}).numpy(), want)


def test_numbers_depend_on_the_keys_alone():
    image = np.repeat(BYTES[:1], N, 0)
    one = OPERATION(image, ids=[3, 4, 3, 5])
    np.testing.assert_array_equal(one[0], one[2])
    assert len({sample.tobytes() for sample in one}) == 3
    assert (OPERATION(image, epoch=1) != OPERATION(image)).any()
    assert (OPERATION(image, seed=1) != OPERATION(image)).any()
    assert (OPERATION(image, occurrences=[1] * N) != OPERATION(image)).any()
    assert (PixelOperation(dim, position=1)(image) != OPERATION(image)).any()


def hostile(r, g, b, y, x, u):
    return r * f32(np.nan), g * f32(np.inf) - f32(1e9), f32(254.5) + b * f32(0)


def test_bytes_are_rounded_and_clipped_and_nan_is_black():
    out = PixelOperation(hostile)(np.array([[[[1, 1, 1], [1, 0, 1]]]], np.uint8))
    assert out.tolist() == [[[[0, 255, 255], [0, 0, 255]]]]


@needs_compiler
def test_records_have_the_source_s_layout():
    shim = PixelShim(PixelModule(DIM, "uint8"))
    assert shim.struct_sizes() == [PIXEL_IMAGE.itemsize, PIXEL_ARGS.itemsize]


@needs_compiler
@pytest.mark.parametrize("layout", ["HWC", "CHW"])
@pytest.mark.parametrize("dtype", ["uint8", pytest.param("float32", marks=pytest.mark.slow)])
def test_the_twin_gives_equal_bits(dtype, layout):
    rng = np.random.default_rng(2)
    sizes = [(1, 1), (17, 23), (64, 50), (3, 1400)]
    shapes = [(*size, 3) if layout == "HWC" else (3, *size) for size in sizes]
    images = [(rng.random(shape) * 255).astype(dtype) for shape in shapes]
    images[1] = images[1][::-1] if layout == "HWC" else images[1][:, ::-1]
    drawn = units(range(N), seed=SEED)
    want = [np.empty(shape, dtype) for shape in shapes]
    OPERATION.on_host(images, want, drawn, layout)
    shims = []
    device = DevicePixels(DIM, "cpu", lambda module: shims.append(PixelShim(module)) or shims[-1])
    for _ in range(2):
        out = [np.full(shape, 7, dtype) for shape in shapes]
        device(images, out, drawn, layout)
        for one, other in zip(out, want, strict=True):
            np.testing.assert_array_equal(one.view(np.uint8), other.view(np.uint8))
    assert len(shims) == 1
    assert shims[0].launched == [(5, N, 1)] * 2


@needs_compiler
@pytest.mark.slow
def test_hostile_values_in_the_twin():
    code = """__device__ void pixel(float& r, float& g, float& b, float y, float x, const float* u) {
      r = r * __builtin_nanf(""); g = g * __builtin_inff() - 1e9f; b = 254.5f + b * 0.0f; }"""
    image, out = np.array([[[1, 1, 1], [1, 0, 1]]], np.uint8), np.empty((1, 2, 3), np.uint8)
    DevicePixels(code, "cpu", PixelShim)([image], [out], np.zeros((1, 4), np.float32), "HWC")
    assert out.tolist() == [[[0, 255, 255], [0, 0, 255]]]


@pytest.mark.skipif(nvrtc.nvrtc() is None, reason="needs NVRTC (the extra `test`)")
@pytest.mark.parametrize("architecture", [75, 90, 120])
@pytest.mark.parametrize("element", ["uint8", "float32"])
def test_nvrtc_compiles_it(element, architecture):
    module = PixelModule(DIM, element)
    compiled = nvrtc.compile_cuda(module.source(), f"sm_{architecture}", module.definitions())
    assert compiled.warnings() == []
    assert set(compiled.kernels) == set(module.kernels)
    assert compiled.kernels["per_pixel"].spill_bytes == 0


@needs_compiler
def test_an_empty_batch():
    assert OPERATION(BYTES[:0]).shape == (0, 17, 23, 3)
    DevicePixels(DIM, "cpu", PixelShim)([], [], np.zeros((0, 4), np.float32), "HWC")


# ---------------------------------------------------------------- in graphs


def test_in_a_graph():
    def define(images, ids):
        return fn.per_pixel(images, dim, ids=ids, epoch=3, seed=SEED), fn.per_pixel(images, OPERATION)

    out, counted = graph([(RAGGED, column(IDS))], define).run()
    assert out.layout() == "HWC"
    first = Keys(SEED, 3, IDS, np.zeros(len(IDS), np.int64))
    for k, image in enumerate(RAGGED):
        np.testing.assert_array_equal(np.asarray(out[k]), by_numpy(image, OPERATION.units(first)[k]))
        np.testing.assert_array_equal(np.asarray(counted[k]), by_numpy(image, units(range(6))[k]))


def test_behind_a_recipe():
    def define(images):
        images = fn.fused(images, "rfa_translate", size=16, seed=SEED)
        return fn.per_pixel(images, OPERATION, layout="CHW", seed=SEED), images

    out, warped = graph([(RAGGED,)], define).run()
    assert (out.layout(), out.dtype) == ("CHW", types.FLOAT)
    want = OPERATION(np.stack(arrays(warped)), seed=SEED)
    np.testing.assert_array_equal(np.stack(arrays(out)), want)


def text(r, g, b, y, x, u):
    return "red", g, b


def wide(r, g, b, y, x, u):
    return r * 0.5, g, b


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"function": 3}, "function of type int"),
        ({"function": lambda r: r}, "Numba cannot compile it"),
        ({"function": lambda r, g, b, y, x, u: r}, "returns float32: expected three numbers"),
        ({"function": text}, "expected three numbers"),
        ({"function": wide, "cuda": DIM}, r"returns Tuple.*float64.*Write each literal as np.float32"),
        ({"function": dim, "cuda": 5}, "cuda of type int"),
        ({"function": dim, "cuda": "void nothing() {}"}, "defines no function `pixel`"),
        ({"function": dim, "position": 255}, "position=255"),
    ],
)
def test_wrong_operations(options, message):
    with pytest.raises(ArgumentError, match=message):
        PixelOperation(**options)
    if "cuda" in options:
        with pytest.raises(ArgumentError, match=message):
            graph([(RAGGED,)], lambda images: fn.per_pixel(images, **options))


def test_double_precision_is_fine_without_a_twin():
    np.testing.assert_array_equal(PixelOperation(wide)(BYTES)[..., 1:], BYTES[..., 1:])


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (BYTES[0], {}, r"images of shape \(17, 23, 3\)"),
        (BYTES[..., :2], {}, "three channels"),
        (BYTES.astype(np.float64), {}, "type float64"),
        (BYTES, {"layout": "CHW"}, "three channels"),
        (list(BYTES), {}, "images of type list: not an array"),
        (BYTES, {"layout": "WHC"}, "layout='WHC'"),
        (BYTES, {"ids": [1]}, "4 images and 1 ids"),
        (BYTES, {"ids": [-1, 0, 0, 0]}, r"ids\[0\]=-1"),
        (BYTES, {"seed": -1}, "seed=-1"),
    ],
)
def test_wrong_batches(images, options, message):
    with pytest.raises(ArgumentError, match=message):
        OPERATION(images, **options)


def test_wrong_options_of_the_operator():
    for options, message in (
        ({"function": OPERATION, "cuda": DIM}, "cuda beside a PixelOperation"),
        ({"function": OPERATION, "layout": "NCHW"}, "layout='NCHW'"),
        ({"function": OPERATION, "threads": 0}, "threads=0"),
    ):
        with pytest.raises(ArgumentError, match=message):
            graph([(RAGGED,)], lambda images, options=options: fn.per_pixel(images, **options))
    with pytest.raises(RuntimeError, match="three channels, first or last"):
        graph([(RAGGED,)], lambda images: fn.per_pixel(images, OPERATION, layout="CHW")).run()


def test_a_gpu_needs_the_twin():
    with pytest.raises(ArgumentError, match="without a CUDA twin"):
        PixelOperation(dim).on_device([], [], np.zeros((0, 4), np.float32), "HWC", "cuda:0")
