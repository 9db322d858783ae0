"""Index masks in graphs: they go where their images go."""

import numpy as np
import pytest
from fn_cases import BATCH, EXECUTORS, IDS, RAGGED, RECIPE, SEED, UNIFORM, arrays, check, column, graph
from nvidia.dali import fn as dali
from nvidia.dali import pipeline_def, types
from nvidia.dali.data_node import DataNode

import fieldloom as fl
from fieldloom.errors import ArgumentError
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.keys import Keys
from fieldloom.pipelines import fn
from fieldloom.pipelines.stage import cut
from fieldloom.recipe import Format, compile_recipe

MOVES = [*RECIPE[:4], fl.Normalize()]


def masks_of(images, dtype=np.uint8, high=250):
    rng = np.random.default_rng(3)
    return [rng.integers(0, high, image.shape[:2]).astype(dtype) for image in images]


def expected(recipe, images, masks, ids, epoch, *, ignore=255, **form):
    """One sample at a time, by the kernels alone."""
    for image, mask, id_ in zip(images, masks, ids, strict=True):
        own = {"size": image.shape[:2]} | form
        one = FusedPass(compile_recipe(recipe, Format(**own)))
        keys = Keys(SEED, epoch, np.array([id_]), np.zeros(1, np.int64))
        windows = one.windows(keys, np.array([image.shape[:2]]))
        whole = Sources.of_arrays([mask])
        ids_ = cut(whole, windows, mask.itemsize)
        yield one.index_maps(keys, windows, ids_, str(mask.dtype), ignore=ignore)[0]


@pytest.mark.parametrize("images", [RAGGED, UNIFORM], ids=["ragged", "uniform"])
@pytest.mark.parametrize("size", [(24, 32), None], ids=["one size", "own sizes"])
def test_masks_follow_their_images(images, size):
    recipe = MOVES if size else MOVES[1:]
    form = {"size": size} if size else {}
    small, large = masks_of(images), masks_of(images, np.int32, 2**31 - 1)

    def define(images, small, large, ids):
        return fn.fused(images, recipe, ids=ids, epoch=3, seed=SEED, size=size, masks=[small, large])

    batch = (images, small, [mask[..., None] for mask in large], column(IDS))
    out, one, two = graph([batch], define).run()
    assert (one.layout(), two.layout(), one.dtype, two.dtype) == ("HW", "HW", types.UINT8, types.INT32)
    check(arrays(out), recipe, images, IDS, np.full(BATCH, 3), **form)
    for found, masks in ((one, small), (two, large)):
        want = expected(recipe, images, masks, IDS, 3, **form)
        for a, b in zip(arrays(found), want, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_mask_of_the_image_itself_agrees_with_it():
    """Where nothing interpolates, mask and image hold the same numbers."""
    flips = [fl.HorizontalFlip(), fl.VerticalFlip()]

    def define(images, masks):
        return fn.fused(images, flips, size=None, dtype="uint8", layout="HWC", masks=masks)

    out, ids = graph([(UNIFORM, [image[..., 0].copy() for image in UNIFORM])], define).run()
    changed = 0
    for image, mask, before in zip(arrays(out), arrays(ids), UNIFORM, strict=True):
        np.testing.assert_array_equal(image[..., 0], mask)
        changed += (image != before).any()
    assert changed


@pytest.mark.parametrize("build", EXECUTORS.values(), ids=EXECUTORS.keys())
def test_executors_and_partial_batches(build):
    lengths = [BATCH, 1, BATCH]
    masks = masks_of(RAGGED)

    def define(images, masks, ids):
        return fn.fused(images, MOVES, ids=ids, epoch=1, seed=SEED, size=24, masks=masks)

    pipe = graph([(RAGGED[:n], masks[:n], column(IDS[:n])) for n in lengths], define, build=build)
    for n in lengths:
        out, maps = pipe.run()
        check(arrays(out), MOVES, RAGGED[:n], IDS[:n], np.ones(n, int), size=24)
        for a, b in zip(
            arrays(maps), expected(MOVES, RAGGED[:n], masks[:n], IDS[:n], 1, size=24), strict=True
        ):
            np.testing.assert_array_equal(a, b)


def test_windows_of_images_and_of_masks():
    """Images and masks cut alike, from the same windows, and read as such."""
    masks = masks_of(RAGGED)

    def define(images, masks, sizes, ids):
        keys = {"ids": ids, "epoch": 2, "seed": SEED, "size": 24}
        start, shape = fn.crop_windows(sizes, MOVES, **keys)
        crops, maps = (
            dali.slice(x, start=start, shape=shape, axes=(0, 1)) for x in (images, masks)
        )  # fmt: skip
        return fn.fused(crops, MOVES, sizes=sizes, masks=maps, **keys)

    sizes = np.array([image.shape[:2] for image in RAGGED])
    out, maps = graph([(RAGGED, masks, sizes, column(IDS))], define).run()
    check(arrays(out), MOVES, RAGGED, IDS, np.full(BATCH, 2), size=24)
    for a, b in zip(arrays(maps), expected(MOVES, RAGGED, masks, IDS, 2, size=24), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("ignore", [255, 7])
def test_what_lies_outside_is_ignored(ignore):
    away = [fl.RandomAffine(degrees=0, translate=(0.5, 0.5))]
    zeros = [np.zeros(image.shape[:2], np.uint8) for image in UNIFORM]

    def define(images, masks):
        return fn.fused(images, away, size=None, border="constant", seed=SEED, masks=masks, ignore=ignore)

    _, maps = graph([(UNIFORM, zeros)], define).run()
    assert {int(v) for mask in arrays(maps) for v in np.unique(mask)} == {0, ignore}


@pytest.mark.parametrize("taken", [0, 2])
def test_conditionals(taken):
    on = [np.bool_(k < taken) for k in range(BATCH)]
    masks = [mask[..., None] for mask in masks_of(UNIFORM)]

    @pipeline_def(batch_size=BATCH, num_threads=2, device_id=None, enable_conditionals=True)
    def conditional():
        images, maps, take = dali.external_source(
            source=iter([(UNIFORM, masks, on)]), num_outputs=3, batch=True, layout=["HWC", "HWC", ""]
        )
        flat = dali.squeeze(maps, axes=2)
        if take:
            out, flat = fn.fused(
                images, [fl.HorizontalFlip(p=1.0)], size=None, dtype="uint8", layout="HWC", masks=maps
            )
        else:
            out = images
        return out, flat

    out, maps = conditional().run()
    for k in range(BATCH):
        step = -1 if k < taken else 1
        np.testing.assert_array_equal(np.asarray(out[k]), UNIFORM[k][:, ::step])
        np.testing.assert_array_equal(np.asarray(maps[k]), masks[k][:, ::step, 0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masks": 3}, r"masks\[0\] of type int"),
        ({"masks": [DataNode("x", "gpu")]}, r"masks\[0\] on the device 'gpu'"),
        ({"masks": DataNode("x"), "augment": [fl.RandAugment()]}, "a policy moves pixels"),
        ({"masks": DataNode("x"), "ignore": 0.5}, "ignore=0.5"),
    ],
)
def test_errors_while_the_graph_is_built(options, message):
    augment = options.pop("augment", MOVES)
    with pytest.raises(ArgumentError, match=message):
        graph([(RAGGED,)], lambda images: fn.fused(images, augment, **options))


FLOATS = [np.zeros(image.shape[:2], np.float32) for image in UNIFORM]


@pytest.mark.parametrize(
    ("masks", "options", "message"),
    [
        (FLOATS, {}, "type float32.*expected ids, uint8 or int32"),
        ([mask[:-1] for mask in masks_of(UNIFORM)], {}, "for the image's 32 x 40"),
        (UNIFORM, {}, r"masks of shape \(32, 40, 3\)"),
        (masks_of(UNIFORM), {"ignore": 256}, "256"),
    ],
)
def test_errors_inside(masks, options, message):
    pipe = graph([(UNIFORM, masks)], lambda x, masks: fn.fused(x, MOVES, masks=masks, size=8, **options))
    with pytest.raises(RuntimeError, match=message):
        pipe.run()
