"""The pass inside DALI graphs: the same bits everywhere, clear errors, and nothing left behind."""

import gc
import io
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from kernel_cases import cut, noise, photo
from nvidia.dali import fn, pipeline_def, types
from nvidia.dali.data_node import DataNode
from PIL import Image

import fieldloom as fl
from fieldloom.errors import ArgumentError
from fieldloom.kernels.draws import Keys
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.plan import Crop, PassPlan
from fieldloom.pipelines.operator import crop_windows, fused
from fieldloom.recipe import Format, compile_recipe

SEED, EPOCH, BATCH = 0x1234_5678_9ABC, 3, 8
RECIPE = [
    fl.RandomResizedCrop(),
    fl.HorizontalFlip(),
    fl.RandomField("translate", p=1.0),
    fl.ColorField(p=1.0),
    fl.Normalize(),
]
RAGGED = [photo(40 + 3 * i, 70 - 4 * i, seed=i) for i in range(BATCH)]
UNIFORM = [noise(48, 56, seed=i) for i in range(BATCH)]
IDS = np.array([7, 0, 2**32 - 1, 12, 12, 5, 1, 99])
OCCURRENCES = np.array([0, 0, 0, 0, 1, 255, 2, 0])

EXECUTORS = {
    "default": {},
    "not dynamic": {"exec_dynamic": False},
    "synchronous": {"exec_async": False, "exec_pipelined": False},
    "prefetch 1": {"prefetch_queue_depth": 1},
}


def plan(augment=RECIPE, **form):
    return compile_recipe(augment, Format(**{"size": (24, 32), **form}))


def expected(plan, images, ids=IDS, occurrences=OCCURRENCES, epoch=EPOCH):
    """What the compiled pass gives, by itself and in one thread."""
    one_pass = FusedPass(plan)
    keys = Keys(SEED, epoch, ids[: len(images)], occurrences[: len(images)])
    windows = one_pass.windows(keys, np.array([image.shape[:2] for image in images]))
    return one_pass(keys, windows, Sources.of_arrays(cut(images, windows)))


def column(values):
    return np.asarray(values, np.int64)[:, None]


def batch(images, ids=IDS, occurrences=OCCURRENCES):
    return images, column(ids[: len(images)]), column(occurrences[: len(images)])


def graph(batches, plan, n_inputs=3, build=None, **options):
    """A pipeline with one operator; further inputs are its occurrences, epoch and sizes."""

    @pipeline_def(batch_size=BATCH, num_threads=2, device_id=None)
    def one_operator():
        images, ids, *more = fn.external_source(source=batches, num_outputs=n_inputs, batch=True)
        given = {"seed": SEED, "epoch": EPOCH}
        given.update(zip(("occurrences", "epoch", "sizes"), more, strict=False))
        return fused(images, ids, plan, **given | options)

    return one_operator(**(build or {}))


def run(batches, plan, build=None, **options):
    """Outputs of all batches."""
    pipe = graph(batches, plan, build=build, **options)
    return [bits(pipe.run()[0]) for _ in batches]


def bits(tensors):
    array = np.stack([np.asarray(tensors[i]) for i in range(len(tensors))])
    return array.view(np.uint16) if array.dtype == np.float16 else array


FORMS = {
    "float32 NCHW": (plan(), "CHW", types.FLOAT),
    "float16 NCHW": (plan(dtype="float16"), "CHW", types.FLOAT16),
    "uint8 NHWC": (plan(RECIPE[:-1], dtype="uint8", layout="NHWC"), "HWC", types.UINT8),
    "float16 NHWC": (plan(dtype="float16", layout="NHWC"), "HWC", types.FLOAT16),
    "whole": (plan([fl.Normalize()]), "CHW", types.FLOAT),
    "padded": (plan([fl.RandomCrop(padding=4)], border="constant", fill=9), "CHW", types.FLOAT),
    "center": (plan([fl.Resize(36), fl.CenterCrop()], size=32), "CHW", types.FLOAT),
}


@pytest.mark.parametrize("images", [RAGGED, UNIFORM], ids=["ragged", "uniform"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_equals_the_pass_bit_for_bit(form, images):
    plan, layout, dtype = form
    pipe = graph([batch(images)], plan)
    (out,) = pipe.run()
    assert (out.layout(), out.dtype) == (layout, dtype)
    np.testing.assert_array_equal(bits(out), expected(plan, images))


@pytest.mark.parametrize("build", EXECUTORS.values(), ids=EXECUTORS.keys())
def test_every_executor_and_partial_batches(build):
    lengths = [BATCH, 3, BATCH, 1, BATCH, 5]
    results = run([batch(RAGGED[:n]) for n in lengths], plan(), build)
    for n, result in zip(lengths, results, strict=True):
        np.testing.assert_array_equal(result, expected(plan(), RAGGED[:n]))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_change_nothing(threads):
    np.testing.assert_array_equal(run([batch(RAGGED)], plan(), threads=threads)[0], expected(plan(), RAGGED))


def test_equals_augment():
    (out,) = run([batch(RAGGED)[:2]], plan(), n_inputs=2)
    for i, image in enumerate(RAGGED):
        alone = fl.augment(image, augment=RECIPE, id=int(IDS[i]), epoch=EPOCH, seed=SEED, size=(24, 32))
        np.testing.assert_array_equal(out[i], alone.numpy())


def test_epoch_as_a_node_and_ids_as_scalars():
    batches = [
        (RAGGED, list(IDS), column(OCCURRENCES), column([epoch] * BATCH)) for epoch in (0, 1, 2**32 - 1)
    ]
    results = run(batches, plan(), n_inputs=4)
    for (*_, epoch), result in zip(batches, results, strict=True):
        np.testing.assert_array_equal(result, expected(plan(), RAGGED, epoch=int(epoch[0, 0])))


def test_a_batch_may_span_epochs():
    epochs = np.array([3, 3, 4, 3, 4, 4, 0, 3])
    (result,) = run([(*batch(RAGGED), column(epochs))], plan(), n_inputs=4)
    for epoch in (0, 3, 4):
        want = expected(plan(), RAGGED, epoch=epoch)
        np.testing.assert_array_equal(result[epochs == epoch], want[epochs == epoch])


def test_a_compiled_pass_serves_several_operators_which_leave_their_input_alone():
    one, other = FusedPass(plan()), plan(RECIPE[:1], dtype="uint8")

    @pipeline_def(batch_size=BATCH, num_threads=2, device_id=None)
    def several():
        images, ids, repeats = fn.external_source(source=[batch(RAGGED)], num_outputs=3, batch=True)
        keys = {"seed": SEED, "epoch": EPOCH, "occurrences": repeats}
        return *(fused(images, ids, plan, **keys) for plan in (one, other, one)), images

    a, b, c, images = several().run()
    np.testing.assert_array_equal(bits(a), expected(one.plan, RAGGED))
    np.testing.assert_array_equal(bits(b), expected(other, RAGGED))
    np.testing.assert_array_equal(bits(c), bits(a))
    for i, image in enumerate(RAGGED):
        np.testing.assert_array_equal(np.asarray(images[i]), image)


def encoded(image):
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=92)
    return np.frombuffer(out.getvalue(), np.uint8)


@pytest.mark.parametrize("form", ["float32 NCHW", "padded", "center"])
@pytest.mark.parametrize("build", [{}, {"exec_dynamic": False}], ids=["default", "not dynamic"])
def test_windows_decoded_within_the_graph_give_what_whole_images_give(form, build):
    chosen = FORMS[form][0]
    source = [(list(map(encoded, RAGGED)), column(IDS), column(OCCURRENCES))]

    @pipeline_def(batch_size=BATCH, num_threads=2, device_id=None)
    def both():
        data, ids, repeats = fn.external_source(source=source, num_outputs=3, batch=True)
        keys = {"seed": SEED, "epoch": EPOCH, "occurrences": repeats}
        sizes = fn.peek_image_shape(data)
        start, shape = crop_windows(sizes, ids, chosen, **keys)
        crops = fn.decoders.image_slice(data, start=start, shape=shape, axes=(0, 1), output_type=types.RGB)
        whole = fn.decoders.image(data, output_type=types.RGB)
        return fused(crops, ids, chosen, sizes=sizes, **keys), fused(whole, ids, chosen, **keys), whole

    windows, whole, images = both(**build).run()
    np.testing.assert_array_equal(bits(windows), bits(whole))
    decoded = [np.asarray(images[i]) for i in range(BATCH)]
    np.testing.assert_array_equal(bits(whole), expected(chosen, decoded))


@pytest.mark.parametrize("taken", [0, 3, BATCH])
def test_conditionals(taken):
    chosen = plan(RECIPE[:1], dtype="uint8")
    source = [(*batch(RAGGED), column(np.arange(BATCH) < taken)[:, 0].astype(bool))]

    @pipeline_def(batch_size=BATCH, num_threads=2, device_id=None, enable_conditionals=True)
    def conditional():
        images, ids, repeats, on = fn.external_source(source=source, num_outputs=4, batch=True)
        if on:
            out = fused(images, ids, chosen, seed=SEED, epoch=EPOCH, occurrences=repeats)
        else:
            out = types.Constant(np.zeros((3, 24, 32), np.uint8), layout="CHW", device="cpu")
        return out

    (out,) = conditional().run()
    want = expected(chosen, RAGGED)
    want[taken:] = 0
    np.testing.assert_array_equal(bits(out), want)


GRAY = [np.ascontiguousarray(image[..., :1]) for image in RAGGED]
INSIDE = {
    "gray": ((GRAY, *batch(RAGGED)[1:]), "not uint8 of shape"),
    "float": (([image.astype(np.float32) for image in RAGGED], *batch(RAGGED)[1:]), "not uint8 of shape"),
    "negative id": (batch(RAGGED, IDS - 1), r"ids\[1\]=-1"),
    "large id": (batch(RAGGED, IDS + 1), r"ids\[2\]=4294967296"),
    "float id": (
        (RAGGED, column(IDS).astype(np.float32), column(OCCURRENCES)),
        "one integer for each sample",
    ),
    "two ids": ((RAGGED, np.zeros((BATCH, 2), np.int64), column(OCCURRENCES)), "one integer for each sample"),
    "occurrence": (batch(RAGGED, occurrences=OCCURRENCES + 1), r"occurrences\[5\]=256"),
    "epoch": ((*batch(RAGGED), column(np.full(BATCH, 2**32))), r"epoch\[0\]=4294967296"),
    "sizes of others": (
        (*batch(RAGGED), column([0] * BATCH), np.full((BATCH, 2), 200)),
        "must be the window drawn for its id",
    ),
    "sizes of one number": ((*batch(RAGGED), column([0] * BATCH), column([5] * BATCH)), "height, width"),
}


@pytest.mark.parametrize(("inputs", "message"), INSIDE.values(), ids=INSIDE.keys())
def test_errors_inside_name_the_cause_and_cost_one_pipeline(inputs, message):
    with pytest.raises(RuntimeError, match=message):
        run([inputs], plan(), n_inputs=len(inputs))
    np.testing.assert_array_equal(run([batch(RAGGED)], plan())[0], expected(plan(), RAGGED))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"plan": plan(dtype="bfloat16")}, "DALI has no such type.*float16"),
        ({"plan": RECIPE}, "compile_recipe"),
        ({"threads": 0}, "threads=0"),
        ({"seed": -1}, "seed=-1"),
        ({"epoch": 2**32}, "epoch=4294967296"),
        ({"epoch": 1.5}, r"epoch=1\.5"),
        ({"occurrences": OCCURRENCES}, "occurrences of type ndarray"),
        ({"occurrences": DataNode("elsewhere", "gpu")}, "read on the host"),
    ],
)
def test_errors_while_the_graph_is_built(options, message):
    chosen = options.pop("plan", PassPlan(24, 32))
    with pytest.raises(ArgumentError, match=message):
        graph([batch(RAGGED)], chosen, **options)


def test_windows_operator_checks_its_plan():
    with pytest.raises(ArgumentError, match="not a PassPlan"):
        crop_windows(DataNode("sizes"), DataNode("ids"), Crop())


def test_threads_end_with_the_pipeline():
    def ours():
        # DALI's own threads leave dummies in Python's table.
        return sum(thread.name.startswith("fieldloom-fused") for thread in threading.enumerate())

    pipe = graph([batch(RAGGED)] * 4, plan(), threads=3)
    pipe.run()
    assert ours() > 0
    del pipe
    gc.collect()
    deadline = time.monotonic() + 20
    while ours() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ours() == 0


def test_outputs_outlive_the_pipeline():
    """On the default executor, whose tensors are reference-counted, and although buffers are used again."""
    pipe = graph([batch(RAGGED), batch(UNIFORM), batch(RAGGED[::-1])], plan())
    (first,) = pipe.run()
    array = np.asarray(first.as_tensor())
    pipe.run()
    pipe.run()
    del pipe, first
    gc.collect()
    np.testing.assert_array_equal(array, expected(plan(), RAGGED))


def test_pipelines_come_and_go_without_growth():
    from fieldloom.perf.usage import resident_megabytes

    big = plan(size=224)

    def once():
        run([batch(UNIFORM)] * 3, big)
        gc.collect()

    for _ in range(4):
        once()
    before = resident_megabytes()
    for _ in range(12):
        once()
    # Twelve pipelines' buffers are some 12 * 4 * 4.8 MB.
    assert resident_megabytes() - before < 60


def test_the_interpreter_ends_with_batches_under_way():
    code = """
        import numpy as np
        from nvidia.dali import fn, pipeline_def
        from fieldloom.kernels.plan import PassPlan
        from fieldloom.pipelines.operator import fused

        @pipeline_def(batch_size=16, num_threads=2, device_id=None, prefetch_queue_depth=3)
        def endless():
            images, ids = fn.external_source(
                source=lambda: (np.zeros((16, 300, 300, 3), np.uint8), np.arange(16)[:, None]),
                num_outputs=2, batch=True,
            )
            return fused(images, ids, PassPlan(224, 224), threads=2)

        pipe = endless()
        pipe.run()
        print("done")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
