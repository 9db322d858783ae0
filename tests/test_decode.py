"""Batches of windows: exact pixels, order, and nothing lost but what is bad."""

import gc
import io
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image, ImageOps

from fieldloom.errors import ArgumentError, DecodeError, StateError
from fieldloom.pipelines.decode import CropDecoder
from fieldloom.pipelines.header import check_header
from fieldloom.pipelines.job import DecodeJob

BATCH = 64


def encode(form="JPEG", seed=0, size=(60, 80), mode="RGB", turned=None, **options):
    rng = np.random.default_rng(seed)
    smooth = Image.fromarray(rng.integers(0, 256, (9, 11, 3), np.uint8)).resize(size[::-1])
    if turned is not None:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = turned
    out = io.BytesIO()
    smooth.convert(mode).save(out, form, **options)
    return np.frombuffer(out.getvalue(), np.uint8)


def whole(data):
    """The whole image by an independent route."""
    with Image.open(io.BytesIO(bytes(data))) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def window_in(header, seed):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, header.height + 1), rng.integers(1, header.width + 1)
    return (
        rng.integers(0, header.height - height + 1),
        rng.integers(0, header.width - width + 1),
        height,
        width,
    )


def job(encoded, payload=None, seed=0):
    headers = [check_header(data, max_pixels=10**8) for data in encoded]
    windows = [window_in(header, (seed, i)) for i, header in enumerate(headers)]
    array = np.array(windows, np.int32).reshape(-1, 4)
    return DecodeJob.from_headers(list(encoded), headers, array, payload)


def damaged(form="PNG"):
    """An image of 60 x 80 pixels whose header is whole and whose body is not."""
    data = bytearray(encode(form))
    if form == "JPEG":
        return np.frombuffer(bytes(data[: len(data) * 2 // 3]), np.uint8)
    at = data.index(b"IDAT") + 40
    data[at : at + 60] = bytes(60)
    check_header(bytes(data), max_pixels=10**8)
    return np.frombuffer(bytes(data), np.uint8)


GOOD = [encode(seed=i, size=(50 + i, 90 - i)) for i in range(12)]


def jobs(n_jobs, n=8, bad=()):
    """`n_jobs` jobs of n images with payload 0, 1, ...; `bad` holds (job, index) pairs."""
    for k in range(n_jobs):
        one = job([GOOD[(k + i) % len(GOOD)] for i in range(n)], k, seed=k)
        for i in (i for where, i in bad if where == k):
            one.encoded[i] = damaged(["PNG", "JPEG"][i % 2])
            one.windows[i], one.sizes[i] = (0, 0, 60, 80), (60, 80)
        yield one


def check_pixels(done, skip=()):
    for i, data in enumerate(done.job.encoded):
        if i in skip:
            assert i in done.failures
            assert isinstance(done.failures[i], DecodeError)
            assert (done.crops.pointers[i], done.crops.heights[i], done.crops.strides[i]) == (0, 0, 0)
            assert done.crops.array(i).shape == (0, 0, 3)
            continue
        y, x, height, width = done.job.windows[i]
        pixels = done.crops.array(i)
        np.testing.assert_array_equal(pixels, whole(data)[y : y + height, x : x + width])
        assert done.crops.pointers[i] == pixels.ctypes.data
        assert (done.crops.heights[i], done.crops.widths[i]) == (height, width)
        assert done.crops.strides[i] == pixels.strides[0] == 3 * width
    assert set(done.failures) == set(skip)


@pytest.fixture(scope="module")
def decoder():
    with CropDecoder(BATCH, 2) as one:
        yield one


KINDS = [
    {},
    {"progressive": True},
    {"mode": "L"},
    {"mode": "CMYK"},
    {"size": (1, 1)},
    {"size": (1, 8192)},
    {"size": (8192, 1)},
    {"subsampling": 2},
    *({"turned": turned} for turned in range(1, 9)),
    {"form": "PNG"},
    {"form": "PNG", "mode": "L"},
    {"form": "PNG", "mode": "LA"},
    {"form": "PNG", "mode": "RGBA"},
    {"form": "PNG", "mode": "P"},
    {"form": "PNG", "mode": "1"},
    *({"form": "PNG", "turned": turned} for turned in (3, 6)),
    {"form": "WEBP"},
    {"form": "WEBP", "lossless": True, "mode": "RGBA"},
    {"form": "WEBP", "turned": 8},
    {"form": "TIFF"},
    {"form": "BMP"},
    {"form": "PPM"},
    {"form": "GIF", "mode": "P"},
    {"form": "JPEG2000"},
]


def test_windows_of_every_kind_in_one_batch(decoder):
    encoded = [encode(seed=i, **kind) for i, kind in enumerate(KINDS)]
    batches = [job(encoded, seed=seed) for seed in range(5)]
    for done in decoder.decode(batches):
        check_pixels(done)


def test_alone_gives_the_same_bits_as_in_a_batch(decoder):
    encoded = [encode(seed=i, **kind) for i, kind in enumerate(KINDS)]
    (done,) = decoder.decode([job(encoded)])
    for i, data in enumerate(encoded):
        alone = decoder.decode_one(data, done.job.windows[i], done.job.routes[i])
        np.testing.assert_array_equal(alone, done.crops.array(i))
        np.testing.assert_array_equal(decoder.decode_one(data, route=done.job.routes[i]), whole(data))


@pytest.mark.parametrize("n", [0, 1, 7, BATCH])
def test_batch_sizes(decoder, n):
    batches = [job([GOOD[i % 12] for i in range(n)], k) for k in range(4)]
    done = list(decoder.decode(batches))
    assert [one.job.payload for one in done] == [0, 1, 2, 3]
    for one in done:
        assert len(one.crops) == n
        check_pixels(one)


def test_empty_jobs_and_jobs_without_dali_keep_their_place(decoder):
    outside = encode("BMP")
    mixed = [job([], 0), job([outside], 1), job(GOOD[:3], 2), job([outside, GOOD[0], outside], 3), job([], 4)]
    done = list(decoder.decode(mixed))
    assert [one.job.payload for one in done] == [0, 1, 2, 3, 4]
    for one in done:
        check_pixels(one)


def test_no_jobs_then_some(decoder):
    assert list(decoder.decode([])) == []
    assert len(list(decoder.decode(jobs(3)))) == 3


def test_few_jobs_are_taken_ahead(decoder):
    taken = []

    def watched():
        for one in jobs(20):
            taken.append(one.payload)
            yield one

    for done in decoder.decode(watched()):
        assert len(taken) <= done.job.payload + 4


BAD = {
    "first image": [(0, 0)],
    "in the middle": [(3, 4)],
    "several in a job": [(2, 0), (2, 3), (2, 7)],
    "jobs in a row": [(1, 1), (2, 2), (3, 3)],
    "a whole job": [(2, i) for i in range(8)],
    "the last job": [(6, 7)],
    "all": [(k, i) for k in range(7) for i in range(8)],
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_damaged_bodies_cost_only_themselves(decoder, bad):
    done = list(decoder.decode(jobs(7, bad=bad)))
    assert [one.job.payload for one in done] == list(range(7))
    for k, one in enumerate(done):
        check_pixels(one, [i for where, i in bad if where == k])


def test_damaged_images_outside_dali(decoder):
    data = bytes(encode("BMP"))
    one = job([GOOD[0], encode("BMP"), GOOD[1]])
    one.encoded[1] = np.frombuffer(data[: len(data) // 2], np.uint8)
    (done,) = decoder.decode([one])
    check_pixels(done, [1])


def test_many_bad_images_in_a_row_leave_nothing_behind(decoder):
    bad = damaged()
    one = DecodeJob([bad] * BATCH, np.array([[0, 0, 60, 80]] * BATCH, np.int32), ["dali"] * BATCH)
    list(decoder.decode([one] * 3))
    before = resources()
    assert sum(len(done.failures) for done in decoder.decode([one] * 30)) == 30 * BATCH
    # Fewer is fine: threads of a pipeline that an earlier test dropped may have been ending still.
    assert all(now <= then for now, then in zip(resources(), before, strict=True))
    assert len(list(decoder.decode(jobs(2)))) == 2


@pytest.mark.parametrize("window", [(-1, 0, 4, 4), (0, 0, 0, 4), (50, 0, 12, 4), (0, 78, 4, 3)])
@pytest.mark.parametrize("route", ["dali", "pillow"])
def test_window_outside_one_image(decoder, route, window):
    with pytest.raises(DecodeError, match="window"):
        decoder.decode_one(encode(), np.array(window, np.int32), route)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_damaged_image_alone(decoder, form):
    with pytest.raises(DecodeError, match="pixel data are damaged"):
        decoder.decode_one(damaged(form))
    with pytest.raises(DecodeError):
        decoder.decode_one(np.frombuffer(b"text", np.uint8))


def test_text_among_images_never_reaches_dali(decoder):
    batch = [GOOD[i % 12] for i in range(63)]
    text = np.frombuffer(b"not an image\n" * 40, np.uint8)
    with pytest.raises(DecodeError, match="looks like text"):
        job([*batch[:30], text, *batch[30:]])
    (done,) = decoder.decode([job(batch)])
    check_pixels(done)


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_leaving_early_then_starting_again(decoder, taken):
    run = decoder.decode(jobs(9))
    for _ in range(taken):
        next(run)
    run.close()
    second = list(decoder.decode(jobs(4, n=5)))
    assert [(one.job.payload, len(one.crops)) for one in second] == [(k, 5) for k in range(4)]
    for one in second:
        check_pixels(one)


def test_a_later_run_takes_over(decoder):
    first = decoder.decode(jobs(9))
    next(first)
    second = decoder.decode(jobs(3, n=2))
    with pytest.raises(StateError, match="taken over"):
        next(first)
    assert [len(one.crops) for one in second] == [2, 2, 2]


@pytest.mark.parametrize(
    "error", [ValueError("mine"), RuntimeError("Failed to decode sample #3"), KeyboardInterrupt()]
)
@pytest.mark.parametrize("after", [0, 1, 4])
def test_what_the_iterator_raises_comes_out_unchanged(decoder, error, after):
    def failing():
        yield from jobs(after)
        raise error

    seen = []

    def consume():
        for done in decoder.decode(failing()):
            seen.append(done.job.payload)

    with pytest.raises(type(error)) as caught:
        consume()
    assert caught.value is error
    if isinstance(error, Exception):
        assert seen == list(range(after))
    again = list(decoder.decode(jobs(3)))
    assert [one.job.payload for one in again] == [0, 1, 2]


def test_jobs_that_do_not_fit_together(decoder):
    def broken(**changes):
        one = job(GOOD[:2])
        for name, value in changes.items():
            setattr(one, name, value)
        return one

    for one in (
        broken(windows=np.zeros((1, 4), np.int32)),
        broken(windows=np.ones((2, 4), np.int64)),
        broken(windows=np.array([[0, 0, 0, 4], [0, 0, 4, 4]], np.int32)),
        broken(windows=np.array([[0, -1, 4, 4], [0, 0, 4, 4]], np.int32)),
        broken(windows=np.array([[0, 0, 4, 4], [40, 0, 12, 4]], np.int32)),
        broken(windows=np.array([[0, 0, 4, 4], [0, 2**31 - 1, 4, 4]], np.int32)),
        broken(sizes=np.ones((1, 2), np.int32)),
        broken(routes=["dali"]),
        broken(routes=["dali", "elsewhere"]),
        broken(encoded=[GOOD[0], GOOD[1].astype(np.int16)]),
        broken(encoded=[GOOD[0][::2], GOOD[1]]),
        job([GOOD[0]] * (BATCH + 1)),
    ):
        with pytest.raises(ArgumentError, match="DecodeJob"):
            list(decoder.decode([one]))
    assert len(list(decoder.decode(jobs(2)))) == 2


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 0}, {"threads": 0}, {"batch_size": 1.5}, {"prefetch": -1}, {"device": "cuda"}],
)
def test_arguments(options):
    with pytest.raises(ArgumentError, match=next(iter(options))):
        CropDecoder(**{"batch_size": 2, "threads": 1, **options})


@pytest.mark.parametrize("prefetch", [1, 5])
def test_prefetch_depths(prefetch):
    with CropDecoder(8, 1, prefetch) as one:
        for _ in range(2):
            done = list(one.decode(jobs(7, bad=[(2, 1)])))
            assert [each.job.payload for each in done] == list(range(7))
            for k, each in enumerate(done):
                check_pixels(each, [1] if k == 2 else [])
        assert one.n_rebuilt == 2


def test_crops_outlive_the_decoder():
    decoder = CropDecoder(8, 1)
    kept = list(decoder.decode(jobs(6)))
    decoder.close()
    del decoder
    gc.collect()
    for done in kept:
        check_pixels(done)
    view = kept[0].crops.array(2)
    expected = view.copy()
    del kept, done
    gc.collect()
    np.testing.assert_array_equal(view, expected)


def resources():
    gc.collect()
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads in /proc")
def test_nothing_is_left_after_close(decoder):
    list(decoder.decode(jobs(2)))  # what DALI starts once a process is there now
    before = resources()
    for _ in range(5):
        with CropDecoder(8, 3) as one:
            list(one.decode(jobs(3, bad=[(1, 1)])))
            list(one.decode([job([encode("BMP")])]))
            next(one.decode(jobs(5)))
        one.close()
    assert resources() == before
    dropped = CropDecoder(8, 3)
    next(dropped.decode(jobs(5)))
    del dropped
    assert resources() == before


def test_closed_decoders_refuse_by_name():
    decoder = CropDecoder(8, 1)
    run = decoder.decode(jobs(5))
    next(run)
    decoder.close()
    for use in (lambda: next(run), lambda: decoder.decode([]), lambda: decoder.decode_one(GOOD[0])):
        with pytest.raises(StateError, match="closed"):
            use()


def test_a_forked_child_is_refused_and_can_end():
    code = """
        import io, os, numpy as np
        from PIL import Image
        from fieldloom.errors import StateError
        from fieldloom.pipelines.decode import CropDecoder
        from fieldloom.pipelines.job import DecodeJob
        out = io.BytesIO(); Image.new("RGB", (9, 9)).save(out, "JPEG")
        data = np.frombuffer(out.getvalue(), np.uint8)
        job = DecodeJob([data], np.array([[0, 0, 5, 5]], np.int32), ["dali"])
        decoder = CropDecoder(4, 2)
        run = decoder.decode([job] * 9)
        next(run)
        pid = os.fork()
        if pid == 0:
            refused = 0
            for use in (lambda: next(run), lambda: decoder.decode([]), lambda: decoder.decode_one(data)):
                try:
                    use()
                except StateError as error:
                    refused += "fork" in str(error)
            decoder.close()
            del decoder, run, use
            own = CropDecoder(4, 2)
            refused += len(list(own.decode([job] * 3))) == 3
            own.close()
            os._exit(refused)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), len(list(run)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["4", "8"]


def test_interpreter_may_end_in_the_middle():
    code = """
        import io, numpy as np
        from PIL import Image
        from fieldloom.pipelines.decode import CropDecoder
        from fieldloom.pipelines.job import DecodeJob
        out = io.BytesIO(); Image.new("RGB", (9, 9)).save(out, "JPEG")
        data = np.frombuffer(out.getvalue(), np.uint8)
        job = DecodeJob([data], np.array([[0, 0, 5, 5]], np.int32), ["dali"])
        decoder = CropDecoder(4, 2)
        run = decoder.decode([job] * 9)
        next(run)
        print("left")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "left\n")
