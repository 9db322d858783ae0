"""Outputs handed over by DALI's private operator: the same bits, no copy, and a way back where it fails."""

import gc
import logging
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from fn_cases import BATCH, EXECUTORS, FORMS, IDS, RAGGED, RECIPE, SEED, UNIFORM, arrays, check, column, graph
from nvidia.dali import fn as dali
from nvidia.dali import pipeline_def, types
from test_fn_masks import MOVES, expected, masks_of

import fieldloom as fl
from fieldloom.errors import ArgumentError
from fieldloom.pipelines import fn, fn_direct


def test_works_with_this_version():
    """If this fails, DALI's operator has changed: nothing breaks, but outputs are copied."""
    assert fn_direct.works()


@pytest.mark.parametrize("images", [RAGGED, UNIFORM], ids=["ragged", "uniform"])
@pytest.mark.parametrize("form", FORMS[::2], ids="-".join)
@pytest.mark.parametrize("build", EXECUTORS.values(), ids=EXECUTORS.keys())
def test_equal_bits(build, form, images):
    dtype, layout = form
    recipe = RECIPE[:-1] if dtype == "uint8" else RECIPE
    lengths = [BATCH, 2, BATCH, 1, BATCH, BATCH]

    def define(x, ids):
        return fn.fused(
            x, recipe, ids=ids, epoch=2, seed=SEED, size=24, dtype=dtype, layout=layout, direct=True
        )

    pipe = graph([(images[:n], column(IDS[:n])) for n in lengths], define, build=build)
    for n in lengths:
        (out,) = pipe.run()
        assert out.layout() == layout
        form = {"dtype": dtype, "layout": f"N{layout}"}
        check(arrays(out), recipe, images[:n], IDS[:n], np.full(n, 2), size=24, **form)


def test_the_test_at_first_use_may_come_within_a_condition():
    """DALI reads the source of such graphs, and asserted that the test's operators stand in it."""
    fn_direct.works.cache_clear()

    @pipeline_def(batch_size=BATCH, num_threads=1, device_id=None, enable_conditionals=True)
    def conditional():
        images, take = dali.external_source(
            source=iter([(UNIFORM, [np.bool_(True)] * BATCH)]), num_outputs=2, batch=True
        )
        if take:
            out = fn.fused(images, MOVES, seed=SEED, size=24, direct=True)
        else:
            out = types.Constant(np.zeros((3, 24, 24), np.float32), layout="CHW", device="cpu")
        return out

    check(arrays(conditional().run()[0]), MOVES, UNIFORM, range(BATCH), size=24)
    assert fn_direct.works()


def test_masks_and_batches_that_span_epochs():
    masks, epochs = masks_of(RAGGED), np.array([3, 4, 3, 3, 4, 4])

    def define(images, masks, ids, epochs):
        keys = {"ids": ids, "epoch": epochs, "seed": SEED}
        return fn.fused(images, MOVES, size=24, masks=masks, direct=True, **keys)

    out, maps = graph([(RAGGED, masks, column(IDS), column(epochs))], define).run()
    assert maps.layout() == "HW"
    check(arrays(out), MOVES, RAGGED, IDS, epochs, size=24)
    for k in range(BATCH):
        (want,) = expected(MOVES, RAGGED[k : k + 1], masks[k : k + 1], IDS[k : k + 1], epochs[k], size=24)
        np.testing.assert_array_equal(np.asarray(maps[k]), want)


@pytest.mark.parametrize("taken", [0, 2, BATCH])
def test_conditionals(taken):
    on = [np.bool_(k < taken) for k in range(BATCH)]

    @pipeline_def(batch_size=BATCH, num_threads=2, device_id=None, enable_conditionals=True)
    def conditional():
        images, ids, take = dali.external_source(
            source=iter([(UNIFORM, column(IDS), on)] * 3), num_outputs=3, batch=True
        )
        if take:
            out = fn.fused(images, MOVES, ids=ids, epoch=1, seed=SEED, size=24, direct=True)
        else:
            out = types.Constant(np.zeros((3, 24, 24), np.float32), layout="CHW", device="cpu")
        return out

    pipe = conditional()
    for _ in range(3):
        out = arrays(pipe.run()[0])
        check(out[:taken], MOVES, UNIFORM[:taken], IDS[:taken], np.ones(taken, int), size=24)
        assert not np.any(out[taken:])


def test_tensors_that_are_kept_keep_their_pixels():
    batches = [(RAGGED, column(IDS)), (UNIFORM, column(IDS)), (RAGGED[::-1], column(IDS))] * 3
    pipe = graph(
        batches, lambda x, ids: fn.fused(x, MOVES, ids=ids, seed=SEED, size=24, epoch=0, direct=True)
    )
    kept = [np.asarray(pipe.run()[0].as_tensor()) for _ in batches]
    del pipe
    gc.collect()
    for out, (images, _) in zip(kept, batches, strict=True):
        check(list(out), MOVES, images, IDS, size=24)


def test_outputs_that_nobody_keeps_use_their_memory_again():
    pipe = graph(
        [(UNIFORM,)] * 20,
        lambda x: fn.fused(x, MOVES, size=24, direct=True),
        build={"prefetch_queue_depth": 1},
    )
    places = {np.asarray(pipe.run()[0].as_tensor()).ctypes.data for _ in range(20)}
    assert len(places) <= 6


def test_own_sizes_are_copied_as_ever():
    recipe = [fl.HorizontalFlip(p=1.0)]
    (out,) = graph([(RAGGED,)], lambda x: fn.fused(x, recipe, seed=SEED, size=None, direct=True)).run()
    check(arrays(out), recipe, RAGGED, range(BATCH))


def test_the_environment_decides_where_the_argument_does_not(monkeypatch):
    monkeypatch.delenv(fn_direct.SWITCH, raising=False)
    assert not fn_direct.use_direct(None)
    monkeypatch.setenv(fn_direct.SWITCH, "1")
    assert fn_direct.use_direct(None)
    assert not fn_direct.use_direct(False)
    monkeypatch.setenv(fn_direct.SWITCH, "yes")
    with pytest.raises(ArgumentError, match="FIELDLOOM_DALI_DIRECT=yes"):
        fn_direct.use_direct(None)
    with pytest.raises(ArgumentError, match="direct=1"):
        fn_direct.use_direct(1)


@pytest.mark.parametrize("failure", ["gone", "copies"])
def test_without_the_operator_outputs_are_copied(monkeypatch, caplog, failure):
    def other(tokens, hand, layouts):
        if failure == "gone":
            raise RuntimeError("no such operator")
        return dali.python_function(
            tokens, function=lambda x: list(hand.waiting.popleft()[0].copy()), batch_processing=True
        )

    monkeypatch.setattr(fn_direct, "adopt", other)
    fn_direct.works.cache_clear()
    try:
        with caplog.at_level(logging.WARNING, "fieldloom"):
            pipe = graph([(UNIFORM,)], lambda x: fn.fused(x, MOVES, seed=SEED, size=24, direct=True))
            check(arrays(pipe.run()[0]), MOVES, UNIFORM, range(BATCH), size=24)
        assert "DALI outputs are copied" in caplog.text
    finally:
        fn_direct.works.cache_clear()


@pytest.mark.slow
def test_the_interpreter_ends_with_batches_under_way():
    code = """
        import numpy as np
        from nvidia.dali import fn as dali, pipeline_def
        from fieldloom.pipelines import fn

        @pipeline_def(batch_size=16, num_threads=2, device_id=None, prefetch_queue_depth=3)
        def endless():
            images = dali.external_source(source=lambda: np.zeros((16, 300, 300, 3), np.uint8), batch=True)
            return fn.fused(images, [], direct=True)

        pipe = endless()
        kept = pipe.run()
        print("done")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
