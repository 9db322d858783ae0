"""The pass behind a pipeline's outputs."""

import threading

import numpy as np
import pytest
from kernel_cases import cut, photo
from nvidia.dali import fn, pipeline_def

from fieldloom.errors import ArgumentError
from fieldloom.kernels.draws import Keys
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.plan import Crop, PassPlan
from fieldloom.pipelines.stage import FusedStage

N = 6
IMAGES = [photo(40 + 3 * i, 70 - 4 * i, seed=i) for i in range(N)]
SIZES = np.array([image.shape[:2] for image in IMAGES])
IDS = np.arange(20, 20 + N)
KEYS = Keys(5, 2, IDS, np.zeros(N, np.int64))
PLAN = PassPlan(24, 32, Crop("random_resized", slot=0x101))


def through_dali(images):
    """The images as DALI hands them over."""

    @pipeline_def(batch_size=max(len(images), 1), num_threads=1, device_id=None, prefetch_queue_depth=1)
    def graph():
        return fn.external_source(source=[images], batch=True)

    (out,) = graph().run()
    return out


def expected(plan):
    one_pass = FusedPass(plan)
    windows = one_pass.windows(KEYS, SIZES)
    return one_pass(KEYS, windows, Sources.of_arrays(cut(IMAGES, windows)))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "uint8"])
@pytest.mark.parametrize("planar", [True, False])
def test_whole_images_and_windows_give_the_pass_bit_for_bit(dtype, planar, threads):
    plan = PassPlan(24, 32, PLAN.crop, dtype=dtype, planar=planar)
    stage, want = FusedStage(plan, threads), expected(plan)
    crops = cut(IMAGES, stage.fused_pass.windows(KEYS, SIZES))
    for images, sizes in ((IMAGES, None), (crops, SIZES)):
        for source in (through_dali(images), Sources.of_arrays(images)):
            out = stage(source, IDS, seed=5, epoch=2, sizes=sizes)
            assert out.dtype == (np.float16 if dtype == "float16" else want.dtype)
            np.testing.assert_array_equal(out.view(want.dtype), want)
    stage.close()


def test_writes_where_it_is_told():
    stage = FusedStage(FusedPass(PLAN))
    out = stage.fused_pass.empty(N)
    assert stage(Sources.of_arrays(IMAGES), IDS, seed=5, epoch=2, out=out) is out
    np.testing.assert_array_equal(out, expected(PLAN))


def test_pixels_may_be_rows_of_something_wider():
    wide = [np.concatenate([image, image], axis=1) for image in IMAGES]
    views = [image[:, : size[1]] for image, size in zip(wide, SIZES, strict=True)]
    out = FusedStage(PLAN)(Sources.of_arrays(views), IDS, seed=5, epoch=2)
    np.testing.assert_array_equal(out, expected(PLAN))


def test_an_empty_batch():
    assert FusedStage(PLAN, 2)(Sources.of_arrays([]), np.zeros(0, np.int64)).shape == (0, 3, 24, 32)


def test_close_ends_the_threads_twice():
    before = {thread.ident for thread in threading.enumerate()}
    stage = FusedStage(PLAN, 4)
    stage(Sources.of_arrays(IMAGES * 3), np.arange(3 * N))
    own = [thread for thread in threading.enumerate() if thread.name.startswith("fieldloom-fused")]
    own = [thread for thread in own if thread.ident not in before]  # other stages' may be about to end
    assert own
    stage.close()
    stage.close()
    assert not any(thread.is_alive() for thread in own)


SOURCES = Sources.of_arrays(IMAGES)


@pytest.mark.parametrize(
    ("images", "ids", "options", "message"),
    [
        (IMAGES, IDS, {}, "type list: not a DALI TensorListCPU"),
        (SOURCES, IDS[1:], {}, "6 images and 5 ids"),
        (SOURCES, IDS[:, None], {}, r"ids of shape \(6, 1\)"),
        (SOURCES, IDS / 2, {}, "float64"),
        (SOURCES, IDS - 21, {}, r"ids\[0\]=-1"),
        (SOURCES, IDS, {"occurrences": IDS[1:]}, "6 ids and 5 occurrences"),
        (SOURCES, IDS, {"occurrences": IDS + 231}, r"occurrences\[5\]=256"),
        (SOURCES, IDS, {"seed": 2**64}, "seed="),
        (SOURCES, IDS, {"epoch": 1.0}, r"epoch=1\.0"),
        (SOURCES, IDS, {"sizes": SIZES[1:]}, r"sizes of shape \(5, 2\)"),
        (SOURCES, IDS, {"sizes": 0 * SIZES}, "at least 1"),
        (SOURCES, IDS, {"sizes": SIZES}, "image 0 of 40 x 70 pixels.*window drawn"),
    ],
)
def test_arguments_that_do_not_fit(images, ids, options, message):
    with pytest.raises(ArgumentError, match=message):
        FusedStage(PLAN)(images, ids, **options)


@pytest.mark.parametrize("images", [[np.zeros((4, 4, 1), np.uint8)], [np.zeros((4, 4, 3), np.float32)]])
def test_pixels_that_are_not_rgb_bytes(images):
    with pytest.raises(ArgumentError, match="not uint8 of shape"):
        FusedStage(PLAN)(through_dali(images), IDS[:1])


@pytest.mark.parametrize("threads", [0, True, 1.5])
def test_threads_out_of_range(threads):
    with pytest.raises(ArgumentError, match="threads="):
        FusedStage(PLAN, threads)
