"""Operators in DALI graphs: the bits of `fl.augment`, whatever the executor, the shapes or the form."""

import itertools

import numpy as np
import pytest
import torch
from fn_cases import (
    BATCH,
    EXECUTORS,
    FORMS,
    IDS,
    RAGGED,
    RECIPE,
    SEED,
    UNIFORM,
    arrays,
    augmented,
    check,
    column,
    graph,
    run,
)
from nvidia.dali import fn as dali
from nvidia.dali import pipeline_def, types

import fieldloom as fl
from fieldloom.pipelines import fn
from fieldloom.recipe import Format, compile_recipe


@pytest.mark.parametrize("images", [RAGGED, UNIFORM], ids=["ragged", "uniform"])
@pytest.mark.parametrize("size", [(24, 32), None], ids=["one size", "own sizes"])
def test_equals_augment(images, size):
    recipe = RECIPE if size else RECIPE[1:]
    (out,) = run(
        [(images, column(IDS))],
        lambda x, ids: fn.fused(x, recipe, ids=ids, epoch=3, seed=SEED, size=size),
    )
    check(out, recipe, images, IDS, np.full(BATCH, 3), **({"size": size} if size else {}))


@pytest.mark.parametrize("recipe", ["rfa", "rfa_translate", fl.HSVField(p=1.0)], ids=str)
def test_recipes_may_be_names_and_single_augmentations(recipe):
    (out,) = run([(UNIFORM,)], lambda x: fn.fused(x, recipe, seed=SEED, size=24))
    check(out, recipe, UNIFORM, range(BATCH), size=24)


@pytest.mark.parametrize("form", FORMS, ids="-".join)
def test_dtype_and_layout(form):
    dtype, layout = form
    pipe = graph([(UNIFORM,)], lambda x: fn.fused(x, "rfa_shear", seed=SEED, dtype=dtype, layout=layout))
    (out,) = pipe.run()
    assert out.layout() == layout
    check(arrays(out), "rfa_shear", UNIFORM, range(BATCH), size=224, dtype=dtype, layout=f"N{layout}")


@pytest.mark.parametrize("dtype", [types.FLOAT16, np.float16, torch.float16, "float16"], ids=str)
def test_dtypes_of_other_libraries(dtype):
    pipe = graph([(UNIFORM,)], lambda x: fn.fused(x, "imagenet", size=8, dtype=dtype))
    assert pipe.run()[0].dtype == types.FLOAT16


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS, ids="-".join)
@pytest.mark.parametrize("build", EXECUTORS.values(), ids=EXECUTORS.keys())
def test_product_of_executors_shapes_and_forms(build, form):
    dtype, layout = form
    recipe = RECIPE[:-1] if dtype == "uint8" else RECIPE
    for images, own, length in itertools.product((RAGGED, UNIFORM), (False, True), (BATCH, 1, 4)):
        used = recipe[1:] if own else recipe
        size = None if own else (24, 32)
        lengths = [BATCH, length, BATCH]
        found = run(
            [(images[:n], column(IDS[:n])) for n in lengths],
            lambda x, ids, used=used, size=size: fn.fused(
                x, used, ids=ids, epoch=1, seed=SEED, size=size, dtype=dtype, layout=layout
            ),
            build=build,
        )
        options = {"dtype": dtype, "layout": f"N{layout}"} | ({} if own else {"size": size})
        for n, out in zip(lengths, found, strict=True):
            check(out, used, images[:n], IDS[:n], np.ones(n, int), **options)


@pytest.mark.parametrize("build", EXECUTORS.values(), ids=EXECUTORS.keys())
def test_every_executor(build):
    lengths = [BATCH, 2, BATCH]
    found = run(
        [(RAGGED[:n], column(IDS[:n])) for n in lengths],
        lambda x, ids: fn.fused(x, RECIPE, ids=ids, epoch=2, seed=SEED, size=24),
        build=build,
    )
    for n, out in zip(lengths, found, strict=True):
        check(out, RECIPE, RAGGED[:n], IDS[:n], np.full(n, 2), size=24)


# ---------------------------------------------------------------- several inputs, conditions


def test_several_inputs_of_one_graph():
    """Two images under one geometry, labels handed through, and windows decided beforehand."""
    labels = column(np.arange(BATCH) % 3, np.int32)
    warp = [fl.RandomField("translate", p=1.0)]

    def define(left, right, labels, ids):
        keys = {"ids": ids, "epoch": 1, "seed": SEED}
        return fn.fused(left, warp, **keys, size=24), fn.fused(right, warp, **keys, size=24), labels

    other = [255 - image for image in RAGGED]
    left, right, out = graph([(RAGGED, other, labels, column(IDS))], define).run()
    check(arrays(left), warp, RAGGED, IDS, np.ones(BATCH, int), size=24)
    check(arrays(right), warp, other, IDS, np.ones(BATCH, int), size=24)
    np.testing.assert_array_equal(np.asarray(out.as_tensor()), labels)


@pytest.mark.parametrize("taken", [0, 2, BATCH])
def test_conditionals(taken):
    on = np.arange(BATCH) < taken

    @pipeline_def(batch_size=BATCH, num_threads=2, device_id=None, enable_conditionals=True)
    def conditional():
        images, ids, on_ = dali.external_source(
            source=iter([(UNIFORM, column(IDS), list(on))]), num_outputs=3, batch=True
        )
        if on_:
            out = fn.equalize(images, ids=ids, epoch=0, seed=SEED)
        else:
            out = fn.random_field_warp(images, ids=ids, epoch=4, seed=SEED, p=1.0)
        return out

    found = arrays(conditional().run()[0])
    form = {"dtype": "uint8", "layout": "NHWC"}
    check(found[:taken], [fl.Operation("equalize")], UNIFORM[:taken], IDS[:taken], **form)
    rest = BATCH - taken
    warp = [fl.RandomField("translate", p=1.0)]
    check(found[taken:], warp, UNIFORM[taken:], IDS[taken:], np.full(rest, 4), **form)


def test_operators_chain_with_each_other_and_with_dalis():
    def define(images):
        images = fn.random_field_warp(images, seed=SEED, p=1.0)
        images = fn.color_field(images, seed=SEED, p=1.0)
        return dali.crop_mirror_normalize(images, dtype=types.FLOAT, output_layout="CHW")

    (out,) = run([(RAGGED,)], define)
    for number, image in enumerate(RAGGED):
        form = {"dtype": "uint8", "layout": "NHWC"}
        one = augmented(image, [fl.RandomField("translate", p=1.0)], number, **form)
        two = augmented(one, [fl.ColorField(p=1.0)], number, **form)
        np.testing.assert_array_equal(out[number], two.transpose(2, 0, 1).astype(np.float32))


def test_plans_bring_their_form():
    plan = compile_recipe(RECIPE, Format((24, 32), "float16", "NHWC"))
    pipe = graph([(RAGGED, column(IDS))], lambda x, ids: fn.fused(x, plan, ids=ids, epoch=0, seed=SEED))
    (out,) = pipe.run()
    assert (out.layout(), out.dtype) == ("HWC", types.FLOAT16)
    check(arrays(out), RECIPE, RAGGED, IDS, size=(24, 32), dtype="float16", layout="NHWC")


def test_the_loader_gives_the_same():
    stack, labels = np.stack(UNIFORM), list(range(BATCH))
    with fl.DataLoader(
        (stack, labels), augment=RECIPE, seed=SEED, batch_size=BATCH, size=24, device="cpu"
    ) as loader:
        epochs = [next(iter(loader)).images.numpy() for _ in range(2)]
    found = run([(UNIFORM, column(labels))] * 2, lambda x, i: fn.fused(x, RECIPE, ids=i, seed=SEED, size=24))
    for out, want in zip(found, epochs, strict=True):
        np.testing.assert_array_equal(np.stack(out), want)
