"""Every operation of the registry that acts on one image is an operator: documented, and with equal bits."""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from fn_cases import SEED, arrays, augmented, graph
from nvidia.dali import fn as dali
from nvidia.dali import pipeline_def

import fieldloom as fl
from fieldloom.errors import ArgumentError
from fieldloom.pipelines import fn, operator
from fieldloom.pipelines.compiling import recipes
from fieldloom.registry import REGISTRY

N = 3
IMAGES = [np.random.default_rng(k).integers(20, 200, (24 + 4 * k, 40 - 4 * k, 3), np.uint8) for k in range(N)]
TABLE = np.full((N, 17), 0.5, np.float32)
ENTRIES = [entry for entry in REGISTRY if entry.group != "mixing"]
#: What an operator must be told.
MUST: dict[str, Mapping[str, Any]] = {
    "sample_policy": {"probabilities": TABLE, "magnitudes": TABLE},
    "random_resized_crop": {"size": (16, 20)},
    "random_crop": {"size": (16, 20)},
    "center_crop": {"size": (16, 20)},
    "resize": {"size": (16, 20)},
    "normalize": {},
}


def must(entry) -> Mapping[str, Any]:
    """Options of the operator that make it the registry's example where that has a magnitude."""
    step = entry.build(table=TABLE)
    if isinstance(step, fl.Operation) and step.magnitude is not None:
        return {"magnitude": step.magnitude}
    return MUST.get(entry.name, {})


def build(entry):
    """The augmentation with the operator's defaults."""
    cls = type(entry.build(table=TABLE))
    step = entry.build(table=TABLE)
    if cls is fl.Operation:
        return fl.Operation(step.name, step.magnitude)
    if cls is fl.RandomField:
        return step if entry.name == "field_gaussian" else fl.RandomField(*step.kinds)
    if cls is fl.AutoAugment:
        return cls(entry.name.partition("_")[2])
    return step if cls is fl.SamplePolicy else cls()


def test_each_has_one_and_nothing_else_does():
    assert set(dir(fn)) >= {entry.name for entry in ENTRIES}
    assert set(recipes().operations()) == {entry.name for entry in ENTRIES} | {"random_field_warp"}
    for entry in REGISTRY:
        if entry.group == "mixing":
            with pytest.raises(AttributeError, match=f"no operator '{entry.name}'"):
                getattr(fn, entry.name)


def test_a_wrong_name_is_answered_with_a_near_one():
    with pytest.raises(AttributeError, match="no operator 'colour_field'; did you mean 'color_field'"):
        fn.colour_field  # noqa: B018


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_each_is_documented(entry):
    operator = getattr(fn, entry.name)
    assert getattr(fn, entry.name) is operator
    assert operator.__name__ == entry.name
    doc, parameters = inspect.getdoc(operator), inspect.signature(operator).parameters
    assert doc.startswith(entry.says)
    for section in ("Args:", "Returns:", "Raises:", "Exactness:"):
        assert section in doc
    assert max(map(len, doc.splitlines())) <= 112
    for name in ("images", "ids", "epoch", "seed", "strength", "dtype", "layout", "threads"):
        assert name in parameters
    for option in recipes().operations()[entry.name].options:
        assert option.name in parameters
        assert option.name in doc


def test_each_gives_the_bits_of_augment():
    def define(images):
        return tuple(getattr(fn, entry.name)(images, seed=SEED, **must(entry)) for entry in ENTRIES)

    outputs = graph([(IMAGES,)], define, batch_size=N).run()
    for entry, out in zip(ENTRIES, outputs, strict=True):
        size = {"size": (16, 20)} if entry.group == "crops" else {}
        dtype = "float32" if entry.name == "normalize" else "uint8"
        assert out.layout() == "HWC", entry.name
        for number, (one, image) in enumerate(zip(arrays(out), IMAGES, strict=True)):
            want = augmented(image, [build(entry)], number, dtype=dtype, layout="NHWC", **size)
            np.testing.assert_array_equal(one, want, entry.name)


def test_some_do_something():
    """The test above must be able to fail: its images change."""
    for entry in ENTRIES:
        if entry.name in ("equalize", "invert", "field_gaussian", "solarize"):
            done = augmented(IMAGES[0], [build(entry)], 0, dtype="uint8", layout="NHWC")
            assert (done != IMAGES[0]).mean() > 0.2, entry.name


def test_own_options_and_forms():
    def define(images):
        return (
            fn.cutout(images, size=9, fill=7, seed=SEED),
            fn.random_field_warp(images, kinds=("scale", "shear"), law=fl.Gaussian(0.5), p=1.0, seed=SEED),
            fn.random_field_warp(images, kinds="rotate", seed=SEED, dtype="float32", layout="CHW", size=16),
            fn.normalize(images, mean=0.5, std=0.25, layout="CHW", dtype="float16"),
        )

    cut, warped, turned, normal = map(arrays, graph([(IMAGES,)], define, batch_size=N).run())
    form = {"dtype": "uint8", "layout": "NHWC"}
    for k, image in enumerate(IMAGES):
        np.testing.assert_array_equal(cut[k], augmented(image, [fl.Cutout(9, fill=7)], k, **form))
        both = fl.RandomField("scale", "shear", law=fl.Gaussian(0.5), p=1.0)
        np.testing.assert_array_equal(warped[k], augmented(image, [both], k, **form))
        np.testing.assert_array_equal(turned[k], augmented(image, "rfa_rotate", k, size=16))
        grey = augmented(image, [fl.Normalize(0.5, 0.25)], k, dtype="float16")
        np.testing.assert_array_equal(normal[k], grey)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("equalize", {"magnitude": 3}, "fn.equalize magnitude=3: there is no such option.*Known are p,"),
        ("posterize", {}, "fn.posterize without magnitude: it has no default"),
        ("posterize", {"magnitude": 99}, "magnitude=99"),
        ("sample_policy", {}, "without probabilities"),
        ("color_field", {"hue": 2}, "ColorField hue=2"),
        ("augmix", {"views": 3}, "several views"),
        ("random_field_warp", {"kinds": "twist"}, "'twist' is not a kind"),
        ("random_field_warp", {"law": 3}, "law=3"),
        ("gaussian_blur", {"layout": "HCW"}, "layout='HCW'"),
        ("gaussian_blur", {"dtype": "int8"}, "dtype='int8'"),
        ("resize", {"side": 20}, "without a crop"),
        ("normalize", {"dtype": "uint8"}, "Normalize with dtype=uint8"),
    ],
)
def test_wrong_options_while_the_graph_is_built(name, options, message):
    with pytest.raises(ArgumentError, match=message):
        graph([(IMAGES,)], lambda images: getattr(fn, name)(images, **options), batch_size=N)


@pytest.mark.parametrize("name", ["equalize", "fused", "per_pixel", "crop_windows", "plan"])
def test_errors_keep_their_kind_in_conditions(name):
    """DALI makes an error of its own of those it does not know, when it has rewritten the graph."""
    calls = {
        "equalize": lambda images: fn.equalize(images, magnitude=3),
        "fused": lambda images: fn.fused(images, [3]),
        "per_pixel": lambda images: fn.per_pixel(images, 3),
        "crop_windows": lambda images: fn.crop_windows(images, "imagenet", epoch=-1),
        "plan": lambda images: operator.fused(images, images, 3),
    }
    call = calls[name]

    @pipeline_def(batch_size=N, num_threads=1, device_id=None, enable_conditionals=True)
    def conditional():
        images, on = dali.external_source(source=iter([]), num_outputs=2, batch=True)
        if on:
            images = call(images)
        return images

    with pytest.raises(ArgumentError) as raised:
        conditional()
    assert raised.value.why


def test_in_conditions():
    """DALI rewrites functions of graphs with conditions, but not ours."""

    @pipeline_def(batch_size=N, num_threads=1, device_id=None, enable_conditionals=True)
    def conditional():
        images, on = dali.external_source(
            source=iter([(IMAGES, [np.bool_(k == 1) for k in range(N)])]), num_outputs=2, batch=True,
            layout=["HWC", ""],
        )  # fmt: skip
        if on:
            images = fn.invert(images)
        return images

    out = arrays(conditional().run()[0])
    for k, image in enumerate(IMAGES):
        np.testing.assert_array_equal(out[k], 255 - image if k == 1 else image)
