"""Which random numbers a sample of a graph gets: those asked for, or those counted as the page says."""

import numpy as np
import pytest
from fn_cases import IDS, RAGGED, SEED, UNIFORM, arrays, augmented, check, column, graph, run, write_files
from nvidia.dali import fn as dali
from nvidia.dali import pipeline_def, types
from nvidia.dali.data_node import DataNode

import fieldloom as fl
from fieldloom.errors import ArgumentError
from fieldloom.pipelines import fn
from fieldloom.pipelines.fn_keys import Visits
from fieldloom.pipelines.stage import MAX_STRENGTH
from fieldloom.selection import MAX_STRENGTH as LOADERS

WARP = [fl.RandomField("translate", p=1.0)]
#: What several counted batches of graphs are made of: three of one image each time.
SAME = UNIFORM[:1] * 6
N = len(SAME)


def warped(images, **options):
    return fn.fused(images, WARP, size=16, seed=SEED, **options)


def test_automatic_ids_go_on_from_batch_to_batch():
    lengths = [6, 2, 6]
    found = run([(SAME[:n],) for n in lengths], warped)
    first = 0
    for n, out in zip(lengths, found, strict=True):
        check(out, WARP, SAME[:n], np.arange(first, first + n), size=16)
        first += n


def test_automatic_ids_and_epochs_of_a_known_length():
    found = run([(SAME,)] * 3, lambda x: warped(x, epoch_size=7))
    positions = np.arange(18).reshape(3, 6)
    for out, place in zip(found, positions, strict=True):
        check(out, WARP, SAME, place % 7, place // 7, size=16)


def test_the_epoch_of_an_id_is_how_often_it_came_before():
    ids = np.array([[4, 4, 2**31, 5, 0, 2**31], [4, 0, 1, 2, 2**31, 3], [9, 9, 9, 9, 4, 9]])
    epochs = np.array([[0, 1, 0, 0, 0, 1], [2, 1, 0, 0, 2, 0], [0, 1, 2, 3, 3, 4]])
    found = run([(SAME, column(each)) for each in ids], lambda x, ids: warped(x, ids=ids))
    for out, each, epoch in zip(found, ids, epochs, strict=True):
        check(out, WARP, SAME, each, epoch, size=16)


def test_repeats_beside_counted_epochs():
    repeats = np.array([0, 1, 2, 0, 0, 255])

    def define(images, ids, repeats):
        return warped(images, ids=ids, occurrences=repeats, epoch_size=4)

    (out,) = run([(SAME, column(IDS), column(repeats))], define)
    for k in range(N):
        want = augmented(SAME[k], WARP, IDS[k], epoch=k // 4, occurrence=int(repeats[k]), size=16)
        np.testing.assert_array_equal(out[k], want)


def test_ids_given_and_epochs_by_length():
    found = run([(SAME, column(IDS))] * 2, lambda x, ids: warped(x, ids=ids, epoch_size=8))
    for k, out in enumerate(found):
        check(out, WARP, SAME, IDS, (np.arange(6) + 6 * k) // 8, size=16)


def test_everything_as_nodes():
    seeds = np.full((N, 1), 2**64 - 1, np.uint64)
    epochs, repeats = np.array([0, 1, 2**32 - 1, 3, 3, 3]), np.array([0, 255, 0, 1, 2, 3])
    strengths = np.array([0, 1, 0.25, 4, 1, 1], np.float32)

    def define(images, ids, epochs, seeds, repeats, strengths):
        keys = {"ids": ids, "epoch": epochs, "seed": seeds, "occurrences": repeats}
        return fn.fused(images, WARP, size=16, strength=strengths, **keys)

    batch = (SAME, IDS, column(epochs), seeds, column(repeats), column(strengths, np.float32))
    (out,) = run([batch], define)
    for k in range(N):
        want = fl.augment(
            SAME[k], augment=WARP, size=16, id=int(IDS[k]), epoch=int(epochs[k]), seed=2**64 - 1,
            occurrence=int(repeats[k]), strength=float(strengths[k]),
        )  # fmt: skip
        np.testing.assert_array_equal(out[k], want.numpy())


@pytest.mark.parametrize("strength", [0, 0.5, 2])
def test_a_strength_for_all(strength):
    (out,) = run([(SAME,)], lambda x: warped(x, strength=strength))
    for k in range(N):
        np.testing.assert_array_equal(out[k], augmented(SAME[k], WARP, k, size=16, strength=strength))


def test_strength_has_the_loader_s_limit():
    assert MAX_STRENGTH == LOADERS


@pytest.mark.parametrize("seed", [None, 5])
def test_the_seed_is_the_pipeline_s_or_0(seed):
    options = {} if seed is None else {"seed": seed}
    (out,) = run([(SAME,)], lambda x: fn.fused(x, WARP, size=16), **options)
    check(out, WARP, SAME, range(N), size=16, seed=seed or 0)


def test_positions_serve_several_operators():
    def define(images):
        ids, epochs = fn.positions(images, epoch_size=4)
        keys = {"ids": ids, "epoch": epochs, "seed": SEED}
        return fn.fused(images, WARP, size=16, **keys), fn.color_field(images, p=1.0, **keys), ids, epochs

    pipe = graph([(SAME,)] * 2, define)
    for k in range(2):
        one, two, ids, epochs = pipe.run()
        place = 6 * k + np.arange(6)
        np.testing.assert_array_equal(np.asarray(ids.as_tensor())[:, 0], place % 4)
        np.testing.assert_array_equal(np.asarray(epochs.as_tensor())[:, 0], place // 4)
        check(arrays(one), WARP, SAME, place % 4, place // 4, size=16)
        color = [fl.ColorField(p=1.0)]
        check(arrays(two), color, SAME, place % 4, place // 4, dtype="uint8", layout="NHWC")


def test_positions_go_on_from_a_number():
    pipe = graph([(SAME,)], lambda images: fn.positions(images, epoch_size=4, first=7))
    ids, epochs = (np.asarray(out.as_tensor())[:, 0].tolist() for out in pipe.run())
    assert (ids, epochs) == ([3, 0, 1, 2, 3, 0], [1, 2, 2, 2, 2, 3])


def test_a_branch_counts_what_comes_its_way():
    on = [np.bool_(k in (1, 4, 5)) for k in range(N)]

    @pipeline_def(batch_size=N, num_threads=1, device_id=None, enable_conditionals=True)
    def conditional():
        images, take = dali.external_source(
            source=iter([(SAME, on)] * 2), num_outputs=2, batch=True, layout=["HWC", ""]
        )
        if take:
            out = fn.fused(images, WARP, size=16, seed=SEED, dtype="uint8")
        else:
            out = types.Constant(np.zeros((3, 16, 16), np.uint8), layout="CHW", device="cpu")
        return out

    pipe = conditional()
    for k in range(2):
        out = arrays(pipe.run()[0])
        check([out[1], *out[4:]], WARP, SAME[:3], 3 * k + np.arange(3), size=16, dtype="uint8")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("fn"), 8)


def test_ids_of_files_do_not_depend_on_their_order(files):
    """Also behind DALI's own operators, and equal to `id_of` the path."""

    def epoch(**order):
        @pipeline_def(batch_size=4, num_threads=2, device_id=None)
        def shuffled():
            data, place = dali.readers.file(
                files=files, labels=list(range(len(files))), name="Reader", **order
            )
            images = dali.decoders.image(data, output_type=types.RGB)
            images = dali.resize(images, size=(24, 24))
            ids = fn.source_ids(images)
            return fn.fused(images, WARP, ids=ids, epoch=3, seed=1, size=16), ids, place, images

        pipe, found = shuffled(), {}
        order = []
        for _ in range(len(files) // 4):
            for out, id_, place, image in zip(*map(arrays, pipe.run()), strict=True):
                assert id_[0] == fn.id_of(files[place[0]])
                np.testing.assert_array_equal(out, augmented(image, WARP, id_[0], epoch=3, seed=1, size=16))
                found[int(place[0])] = out
                order.append(int(place[0]))
        return order, found

    (one, first), (two, second) = epoch(), epoch(shuffle_after_epoch=True)
    assert sorted(one) == sorted(two) == list(range(len(files)))
    assert one != two
    for place in range(len(files)):
        np.testing.assert_array_equal(first[place], second[place])


@pytest.mark.parametrize("direct", [False, True])
def test_a_checkpoint_of_dali_s_keeps_what_is_given_and_not_what_is_counted(files, direct):
    @pipeline_def(batch_size=4, num_threads=2, device_id=None, enable_checkpointing=True)
    def saved():
        data, place = dali.readers.file(
            files=files, labels=list(range(len(files))), shuffle_after_epoch=True, name="Reader"
        )
        images = dali.decoders.image(data, output_type=types.RGB)
        return warped(images, ids=place, epoch=1, direct=direct), warped(images, direct=direct), place

    pipe = saved()
    pipe.run()
    state = pipe.checkpoint()
    given, counted, places = (np.asarray(out.as_tensor()) for out in pipe.run())
    again, from_0, same = (np.asarray(out.as_tensor()) for out in saved(checkpoint=state).run())
    np.testing.assert_array_equal(same, places)
    np.testing.assert_array_equal(again, given)
    assert (from_0 != counted).any()


def test_samples_without_a_file_have_no_source():
    with pytest.raises(RuntimeError, match="source_ids of samples without a source"):
        graph([(SAME,)], fn.source_ids).run()


def test_visits_grow():
    visits = Visits()
    for epoch in range(3):
        ids = np.array([0, 5000, 2**24 - 1, 2**24, 2**32 - 1])
        assert visits(ids).tolist() == [epoch] * 5


BUILDING = {
    "no node": ({"ids": IDS}, "ids of type ndarray: not a DataNode"),
    "ids on a gpu": ({"ids": DataNode("x", "gpu")}, "ids on the device 'gpu': it is read on the host"),
    "epoch": ({"epoch": -1}, "epoch=-1"),
    "epoch text": ({"epoch": "3"}, "epoch='3'"),
    "seed": ({"seed": 2**64}, "seed=18446744073709551616"),
    "strength": ({"strength": 4.5}, "strength=4.5: not a number from 0 to 4"),
    "strength text": ({"strength": "much"}, "strength='much'"),
    "epoch size": ({"epoch_size": 0}, "epoch_size=0"),
    "epoch size text": ({"epoch_size": 1.5}, "epoch_size=1.5"),
    "both epochs": ({"epoch": 1, "epoch_size": 5}, "epoch and epoch_size together"),
    "repeats without epoch": ({"occurrences": DataNode("x"), "ids": DataNode("y")}, "without an epoch"),
    "repeats without ids": ({"occurrences": DataNode("x"), "epoch": 1}, "without ids"),
    "size": ({"size": 0}, "size=0"),
    "layout": ({"layout": "HCW"}, "layout='HCW'"),
    "dtype": ({"dtype": "int32"}, "dtype='int32'"),
    "bfloat16": ({"dtype": "bfloat16"}, "DALI has no such type"),
    "dali's int": ({"dtype": types.INT32}, "dtype='int32'"),
    "border": ({"border": "wrap"}, "border='wrap'"),
    "threads": ({"threads": 1.5}, "threads=1.5"),
    "sizes": ({"sizes": DataNode("x"), "size": None}, "sizes with size=None"),
    "recipe": ({"augment": [3]}, r"augment\[0\]=3"),
    "preset": ({"augment": "imagenet_fmix"}, "mixes samples"),
    "plan and form": ({"augment": "plan", "size": 32}, "a plan and size=32"),
}


@pytest.mark.parametrize(("options", "message"), BUILDING.values(), ids=BUILDING.keys())
def test_errors_while_the_graph_is_built(options, message):
    from fieldloom.recipe import Format, compile_recipe

    augment = options.pop("augment", WARP)
    augment = compile_recipe(WARP, Format(16)) if augment == "plan" else augment
    with pytest.raises(ArgumentError, match=message):
        graph([(RAGGED,)], lambda images: fn.fused(images, augment, **options))


RUNNING = {
    "id": ((column(IDS - 1),), "ids", r"ids\[1\]=-1"),
    "float id": ((column(IDS, np.float32),), "ids", "expected one integer for each sample"),
    "epoch": ((column([0, -5, 0, 0, 0, 0]),), "epoch", r"epoch\[1\]=-5"),
    "seeds": ((column(range(6)),), "seed", r"seeds \[0, 1, 2, 3, 4, 5\] in one batch"),
    "seed": ((column([-1] * 6),), "seed", "seed=-1"),
    "strength": ((column([1, 1, np.nan, 1, 1, 1], np.float32),), "strength", r"strength\[2\]=nan"),
    "strengths": ((np.ones((6, 2), np.float32),), "strength", "expected one number for each sample"),
}


@pytest.mark.parametrize(("inputs", "name", "message"), RUNNING.values(), ids=RUNNING.keys())
def test_errors_inside(inputs, name, message):
    pipe = graph([(SAME, *inputs)], lambda x, node: fn.fused(x, WARP, **{name: node}))
    with pytest.raises(RuntimeError, match=message):
        pipe.run()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fn.positions(3), "like of type int"),
        (lambda: fn.positions(DataNode("x"), epoch_size=-1), "epoch_size=-1"),
        (lambda: fn.positions(DataNode("x"), first=-1), "first=-1: not a whole number from 0 on"),
        (lambda: fn.positions(DataNode("x"), first=1.5), "first=1.5"),
        (lambda: fn.source_ids(DataNode("x", "gpu")), "data on the device 'gpu'"),
        (lambda: fn.crop_windows(DataNode("x", "gpu"), WARP), "sizes on the device 'gpu'"),
        (lambda: fn.crop_windows(DataNode("x"), [fl.Normalize], size=3), "a class: add parentheses"),
        (lambda: fn.fused([1], WARP), "images of type list"),
    ],
)
def test_other_operators_check_their_arguments(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()
