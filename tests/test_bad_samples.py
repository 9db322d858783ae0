"""Bad samples: each kind, at each place, under each policy; and odd images that are not bad."""

import io
import json
import os
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fieldloom as fl
from fieldloom.epoch import plan_epoch
from fieldloom.policy import substitutes
from helpers import (
    FULL,
    Recorded,
    check_closed,
    check_ledger,
    damaged_png,
    encode,
    huge_header,
    make_folder,
    pixels,
    text_file,
)

GOOD = [encode(pixels(seed=i), quality=92) for i in range(8)]
PHOTO = encode(pixels(64, 64, 1), quality=95)

#: kind -> (its bytes, the class of its error, words of the reason)
KINDS = {
    "text": (text_file(), fl.DecodeError, "an HTML page"),
    "empty": (b"", fl.DecodeError, "empty|0 bytes"),
    "zeros": (bytes(500), fl.DecodeError, "zero bytes only"),
    "cut at 1 %": (PHOTO[: len(PHOTO) // 100], fl.DecodeError, "cut or damaged"),
    "cut at 20 %": (PHOTO[: len(PHOTO) // 5], fl.DecodeError, "header is cut|end marker"),
    "cut at 50 %": (PHOTO[: len(PHOTO) // 2], fl.DecodeError, "end marker"),
    "cut at 99 %": (PHOTO[: len(PHOTO) * 99 // 100], fl.DecodeError, "end marker"),
    "damaged body": (damaged_png(), fl.DecodeError, "damaged"),
    "30000 x 30000": (huge_header(), fl.LimitError, "30000 x 30000 = 900000000 pixels, max_pixels is"),
    "0 x 0": (huge_header(0, 0), fl.DecodeError, "cut or damaged|0 x 0|no decoder"),
    "wrong format": (b"%PDF-1.4 and so on", fl.DecodeError, "a PDF document"),
}
#: Needs no decoder, one that only the decoder notices, and one of another class.
FEW = ("text", "damaged body", "30000 x 30000")
PLACES = {"first": [0], "middle": [9], "last": [21], "two in one batch": [4, 7], "all": list(range(22))}


def entries(bad: dict[int, bytes], n: int = 22) -> list[tuple[bytes, int]]:
    return [(bad.get(i, GOOD[i % 8]), i) for i in range(n)]


def make(source, **options):
    return fl.DataLoader(source, **{"batch_size": 4, "size": 16, "threads": 2, **options})


# ---------------------------------------------------------------- raise


@pytest.mark.parametrize("kind", KINDS)
def test_raise_names_it_and_goes_on(kind: str) -> None:
    data, error_class, reason = KINDS[kind]
    with make(entries({5: data})) as loader:
        for _ in range(2):
            iterator = iter(loader)
            assert next(iterator).ids.tolist() == [0, 1, 2, 3]
            with pytest.raises(error_class, match=reason) as caught:
                next(iterator)
            error = caught.value
            assert type(error) is error_class
            assert (error.sample, error.file) == (5, "encoded bytes in memory")
            assert "sample 5 (encoded bytes in memory)" in str(error)
            assert error.remedy
            assert str(error).endswith(error.remedy)
            assert [batch.index for batch in iterator] == [2, 3, 4, 5]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", FEW)
def test_raise_at_the_right_batch(kind: str, place: str) -> None:
    bad = dict.fromkeys(PLACES[place], KINDS[kind][0])
    with make(entries(bad)) as loader:
        iterator = iter(loader)
        outcomes = []
        while True:
            try:
                outcomes.append(next(iterator).ids.tolist())
            except StopIteration:
                break
            except KINDS[kind][1] as error:
                outcomes.append(error.sample)
        wanted = []
        for first in range(0, 22, 4):
            ids = list(range(first, min(first + 4, 22)))
            wanted.append(next((i for i in ids if i in bad), ids))
        assert outcomes == wanted


def test_one_text_among_64() -> None:
    """The file that makes DALI end the process when it is not checked first."""
    with check_closed(slack=2), make(entries({40: text_file()}, 64), batch_size=64, augment=FULL) as loader:
        with pytest.raises(fl.DecodeError, match="sample 40"):
            list(loader)
        loader.select([i for i in range(64) if i != 40])
        assert sum(len(batch) for batch in loader) == 63


def test_replay_of_a_bad_sample() -> None:
    with make(entries({5: damaged_png(), 6: text_file()})) as loader:
        for sample in (5, 6):
            with pytest.raises(fl.DecodeError, match=f"sample {sample} "):
                loader.replay(sample, 0)


# ---------------------------------------------------------------- skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", FEW)
def test_skip_shrinks_batches(kind: str, place: str) -> None:
    bad = dict.fromkeys(PLACES[place], KINDS[kind][0])
    with make(entries(bad), on_bad_sample="skip", layout="NHWC", size=(8, 12)) as loader:
        assert len(loader) == 6
        batches = check_ledger(loader)
        for batch in batches:
            ids = [i for i in range(batch.index * 4, min(batch.index * 4 + 4, 22)) if i not in bad]
            assert batch.ids.tolist() == batch.targets.tolist() == ids
            assert batch.images.shape == (len(ids), 8, 12, 3)
            assert len(batch) == len(batch.weights) == len(ids)
        ledger = loader.ledger
        assert (ledger.skipped, ledger.delivered) == (len(bad), 22 - len(bad))
        assert [(record.sample, record.action) for record in ledger.bad] == [(i, "skip") for i in sorted(bad)]


def test_what_remains_of_a_batch_is_unchanged() -> None:
    with (
        make(entries({}), augment=FULL) as clean,
        make(entries({1: text_file(), 6: damaged_png()}), augment=FULL, on_bad_sample="skip") as loader,
    ):
        whole = torch.cat([images for images, _ in clean])
        for batch in loader:
            assert torch.equal(batch.images, whole[batch.ids])


@pytest.mark.parametrize("layout", ["NCHW", "channels_last"])
def test_fully_bad_batch_is_empty(layout: str) -> None:
    with make(
        entries(dict.fromkeys(range(4), b"")), on_bad_sample="skip", layout=layout, threads=1
    ) as loader:
        batch = next(iter(loader))
        assert batch.images.shape == (0, 3, 16, 16)
        assert batch.images.dtype == torch.float32
        assert batch.ids.shape == batch.targets.shape == batch.weights.shape == (0,)


# ---------------------------------------------------------------- substitute


@pytest.mark.parametrize("place", ["first", "middle", "last", "two in one batch"])
@pytest.mark.parametrize("kind", FEW)
def test_substitute_is_always_the_same(kind: str, place: str) -> None:
    bad = dict.fromkeys(PLACES[place], KINDS[kind][0])
    runs = []
    for batch_size, threads in ((4, 2), (4, 2), (1, 1), (7, 4), (64, 2)):
        options = {"batch_size": batch_size, "threads": threads, "augment": FULL, "shuffle": True}
        with make(entries(bad), on_bad_sample="substitute", **options) as loader:
            loader.set_epoch(2)
            batches = check_ledger(loader)
            assert (loader.ledger.delivered, loader.ledger.substituted) == (22 - len(bad), len(bad))
            ids, images = torch.cat([b.ids for b in batches]), torch.cat([b.images for b in batches])
            assert torch.equal(torch.cat([b.targets for b in batches]), ids)
            runs.append((ids.tolist(), images))
    ids, images = runs[0]
    assert len(ids) == 22
    assert not set(ids) & set(bad)
    for other_ids, other_images in runs[1:]:
        assert other_ids == ids
        assert torch.equal(other_images, images)


def test_substitutes_differ_from_the_sample_itself() -> None:
    with make(entries({3: b""}), on_bad_sample="substitute", augment=FULL) as loader:
        batches = list(loader)
        images, ids = torch.cat([b.images for b in batches]), torch.cat([b.ids for b in batches]).tolist()
        stand_in = ids[3]
        assert ids.count(stand_in) == 2
        assert not torch.equal(images[3], images[ids.index(stand_in, 4 if stand_in > 3 else 0)])
        drawn = substitutes(plan_epoch(len(loader.source), None, shuffle=False, seed=0, epoch=0), 0, 3, 0)
        candidate, occurrence = next(drawn)
        assert candidate == stand_in
        assert torch.equal(images[3], loader.replay(stand_in, 0, occurrence))


def test_substitutes_come_from_the_selection_and_keep_the_weight() -> None:
    with make(entries({3: b""}), on_bad_sample="substitute") as loader:
        loader.select([3, 8, 9], [2, 1, 3])
        (batch,) = check_ledger(loader)
        assert batch.ids[0].item() in (8, 9)
        assert batch.weights.tolist() == [1, 0.5, 1.5]


def test_nothing_to_substitute_with() -> None:
    with make(entries(dict.fromkeys(range(22), text_file())), on_bad_sample="substitute") as loader:
        iterator = iter(loader)
        for first in range(0, 22, 4):
            with pytest.raises(fl.DecodeError, match=f"sample {first} "):
                next(iterator)
        assert next(iterator, None) is None


# ---------------------------------------------------------------- budget


@pytest.mark.parametrize("action", ["skip", "substitute"])
@pytest.mark.parametrize(
    ("max_bad", "allowed"), [(2, True), (1, False), (0, False), (0.1, True), (0.05, False)]
)
def test_budget(action: str, max_bad: float, allowed: bool) -> None:
    source = entries({3: text_file(), 17: damaged_png()})
    with make(source, on_bad_sample=action, max_bad=max_bad) as loader:
        for _ in range(2):  # the budget is that of an epoch
            if allowed:
                check_ledger(loader)
                continue
            with pytest.raises(fl.TooManyBadSamples, match=r"(?s)sample 3 .*raise max_bad") as caught:
                list(loader)
            assert f"max_bad allows {max_bad * 22 if 0 < max_bad < 1 else max_bad:g}" in str(caught.value)


def test_budget_lists_the_first_ten() -> None:
    with make(entries(dict.fromkeys(range(22), b"")), on_bad_sample="skip", max_bad=15) as loader:
        with pytest.raises(fl.TooManyBadSamples) as caught:
            list(loader)
        text = str(caught.value)
        assert text.startswith("16 bad samples: max_bad allows 15")
        assert [int(i) for i in re.findall(r"sample (\d+) ", text)] == list(range(10))


# ---------------------------------------------------------------- the log


def test_log(tmp_path: Path) -> None:
    log = tmp_path / "skipped.jsonl"
    with make(
        entries({3: text_file(), 17: damaged_png(), 18: huge_header()}),
        on_bad_sample="skip",
        bad_sample_log=log,
    ) as loader:
        for _ in range(2):
            check_ledger(loader)
    lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert [(line["epoch"], line["sample"], line["error"], line["action"]) for line in lines] == [
        (epoch, sample, error, "skip")
        for epoch in (0, 1)
        for sample, error in ((3, "DecodeError"), (17, "DecodeError"), (18, "LimitError"))
    ]
    assert all("encoded bytes in memory" in line["file"] and line["message"] for line in lines)


def test_log_with_odd_file_names(tmp_path: Path) -> None:
    names = [
        b"line\nbreak.jpg",
        b"not utf-8 \xff\xfe.jpg",
        b'quote".jpg',
        "ü\u2028.jpg".encode(),
        b"x" * 251 + b".jpg",
    ]
    folder = os.path.join(os.fsencode(tmp_path), b"data", b"a")
    os.makedirs(folder)
    for name in names:
        try:
            with open(os.path.join(folder, name), "wb") as file:
                file.write(text_file())
        except OSError:
            pytest.skip("this file system refuses such names")
    with open(os.path.join(folder, b"good.jpg"), "wb") as file:
        file.write(GOOD[0])
    log = tmp_path / "log.jsonl"
    with make(tmp_path / "data", on_bad_sample="skip", bad_sample_log=str(log)) as loader:
        check_ledger(loader)
        for record in loader.ledger.bad:
            assert "\n" not in record.message
            record.message.encode("ascii")
    lines = [json.loads(line) for line in log.read_bytes().decode("utf-8").splitlines()]
    assert sorted(os.path.basename(os.fsencode(line["file"])) for line in lines) == sorted(names)


@pytest.mark.parametrize("log", ["no/such/folder/log.jsonl", "", 3, "a\0b"])
def test_log_that_cannot_be_written(tmp_path: Path, monkeypatch, log) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(fl.ArgumentError, match="bad_sample_log="):
        make(entries({}), bad_sample_log=log)


# ---------------------------------------------------------------- files that change


@pytest.mark.parametrize("action", ["raise", "skip", "substitute"])
def test_file_deleted_or_truncated_during_the_epoch(tmp_path: Path, action: str) -> None:
    files = make_folder(tmp_path, 60)
    with make(tmp_path, on_bad_sample=action, prefetch=1) as loader:
        iterator = iter(loader)
        next(iterator)
        files[50].unlink()
        files[54].write_bytes(files[54].read_bytes()[:300])
        outcomes = {}
        for index in range(1, 15):
            try:
                outcomes[index] = len(next(iterator))
            except fl.DecodeError as error:
                outcomes[index] = error
        assert next(iterator, None) is None
        bad = {"skip": 3, "substitute": 4}.get(action)
        for index, sample, words in ((12, 50, "does not exist"), (13, 54, "end marker|cut or damaged")):
            if bad is None:
                error = outcomes.pop(index)
                assert error.sample == sample
                assert error.file == str(files[sample])
                assert re.search(words, str(error))
            else:
                assert outcomes.pop(index) == bad
        assert set(outcomes.values()) == {4}


@pytest.mark.parametrize("action", ["raise", "skip", "substitute"])
def test_a_fifo_is_never_skipped(tmp_path: Path, action: str) -> None:
    """Not a bad sample but an unsafe data set: no policy hides it, and nothing waits for it."""
    files = make_folder(tmp_path, 12)
    with make(tmp_path, on_bad_sample=action) as loader:
        files[5].unlink()
        os.mkfifo(files[5])
        iterator = iter(loader)
        assert len(next(iterator)) == 4
        with pytest.raises(fl.UnsafeError, match=r"sample 5 .*not a regular file"):
            next(iterator)
        assert len(list(iterator)) == 1


# ---------------------------------------------------------------- bugs are not bad samples


@pytest.mark.parametrize("stored", ["encoded", "pixels"])
@pytest.mark.parametrize("action", ["raise", "skip", "substitute"])
@pytest.mark.parametrize(
    "bug", [ValueError("my bug"), KeyError(3), MemoryError("none left"), OSError(5, "input")]
)
def test_a_bug_in_a_source_surfaces_unchanged(stored: str, action: str, bug: Exception) -> None:
    with make(Recorded(12, {5: bug}, stored), on_bad_sample=action) as loader:
        iterator = iter(loader)
        assert len(next(iterator)) == 4
        with pytest.raises(type(bug)) as caught:
            next(iterator)
        assert caught.value is bug
        assert [batch.index for batch in iterator] == [2]
        assert loader.ledger.bad == []


@pytest.mark.parametrize("stored", ["encoded", "pixels"])
def test_stop_iteration_does_not_end_the_epoch(stored: str) -> None:
    loader = make(Recorded(12, {5: StopIteration()}, stored))
    with loader, pytest.raises(RuntimeError, match="StopIteration"):
        list(loader)


@pytest.mark.parametrize("stored", ["encoded", "pixels"])
@pytest.mark.parametrize("action", ["raise", "skip", "substitute"])
def test_bad_samples_of_a_custom_source(stored: str, action: str) -> None:
    error = fl.SampleError.make("cannot read", why="the record is torn", sample=5, file="record 5")
    with make(Recorded(12, {5: error}, stored), on_bad_sample=action) as loader:
        if action == "raise":
            with pytest.raises(fl.SampleError, match="the record is torn"):
                list(loader)
            return
        batches = check_ledger(loader)
        assert [len(batch) for batch in batches] == [4, 3 if action == "skip" else 4, 4]
        assert loader.ledger.bad[0].sample == 5


@pytest.mark.parametrize("result", [
    b"bytes", np.zeros((4, 4), np.uint8), np.zeros(9), None,
])  # fmt: skip
def test_a_source_that_returns_something_else(result) -> None:
    source = Recorded(12)
    source.read = lambda i: result if i == 5 else Recorded.read(source, i)
    with make(source, on_bad_sample="skip") as loader:
        iterator = iter(loader)
        next(iterator)
        with pytest.raises(fl.ArgumentError, match=r"Recorded\.read returned"):
            next(iterator)
        assert len(next(iterator)) == 4


@pytest.mark.parametrize("result", [
    np.zeros((3, 8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((8, 8), np.uint8),
    np.zeros((0, 8, 3), np.uint8), None,
])  # fmt: skip
def test_a_source_that_returns_other_pixels(result) -> None:
    source = Recorded(12, stored="pixels")
    source.pixels = lambda i: result if i == 5 else Recorded.pixels(source, i)
    with make(source, on_bad_sample="skip") as loader:
        iterator = iter(loader)
        next(iterator)
        with pytest.raises(fl.ArgumentError, match=r"Recorded\.pixels returned"):
            next(iterator)
        assert len(next(iterator)) == 4


# ---------------------------------------------------------------- many


@pytest.mark.parametrize("action", ["skip", "substitute"])
def test_thousands_of_bad_samples_in_flat_memory(action: str) -> None:
    n = 3000 if action == "skip" else 1000
    source = [(text_file(), 0)] * n + [(GOOD[0], 1)] * n
    with make(source, on_bad_sample=action, batch_size=50, size=8) as loader:
        iterator = iter(loader)
        for _ in range(4):
            next(iterator)
        tracemalloc.start()
        kept = 0
        for batch in iterator:
            kept += len(batch)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert loader.ledger.balanced()
        assert len(loader.ledger.bad) <= 1000
        # A thousand records with their messages, and batches of 50 tiny images.
        assert peak < 8e6


# ---------------------------------------------------------------- odd, but not bad


def gradient(mode: str) -> Image.Image:
    return Image.fromarray(pixels(24, 32)).convert(mode)


def sixteen_bit() -> Image.Image:
    return Image.fromarray((np.arange(24 * 32, dtype=np.uint32) * 80).reshape(24, 32).astype(np.uint16))


def saved(image: Image.Image, form: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def rgb(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"))


def two_frames(form: str) -> bytes:
    frames = [Image.fromarray(pixels(24, 32, seed)) for seed in (0, 1)]
    return saved(frames[0], form, save_all=True, append_images=frames[1:], lossless=True)


def hidden() -> Image.Image:
    """RGBA whose transparent half has colors of its own."""
    image = gradient("RGBA")
    image.putalpha(Image.fromarray(np.repeat(np.array([[0, 255]], np.uint8), 16, 1).repeat(24, 0)))
    return image


GRAY_16 = ((np.asarray(sixteen_bit()).astype(int) * 255 + 32767) // 65535)[..., None].repeat(3, 2)
#: name -> (bytes, the pixels that they are, tolerance in levels)
ODD = {
    "gray JPEG": (saved(gradient("L"), "JPEG", quality=98), rgb(gradient("L")), 6),
    "CMYK JPEG": (saved(gradient("CMYK"), "JPEG", quality=98), rgb(gradient("CMYK")), 12),
    "progressive JPEG": (
        saved(gradient("RGB"), "JPEG", quality=98, subsampling=0, progressive=True),
        rgb(gradient("RGB")),
        12,
    ),
    "palette PNG": (saved(gradient("P"), "PNG"), rgb(gradient("P")), 0),
    "1-bit PNG": (saved(gradient("1"), "PNG"), rgb(gradient("1")), 0),
    "gray PNG": (saved(gradient("L"), "PNG"), rgb(gradient("L")), 0),
    "gray+alpha PNG": (saved(gradient("LA"), "PNG"), rgb(gradient("L")), 0),
    "RGBA PNG": (saved(hidden(), "PNG"), rgb(gradient("RGB")), 0),
    "16-bit PNG": (saved(sixteen_bit(), "PNG"), GRAY_16, 1),
    "16-bit TIFF": (saved(sixteen_bit(), "TIFF"), GRAY_16, 1),
    "TIFF": (saved(gradient("RGB"), "TIFF"), rgb(gradient("RGB")), 0),
    "BMP": (saved(gradient("RGB"), "BMP"), rgb(gradient("RGB")), 0),
    "PPM": (saved(gradient("RGB"), "PPM"), rgb(gradient("RGB")), 0),
    "GIF": (saved(gradient("P"), "GIF"), rgb(gradient("P")), 0),
    "animated PNG": (two_frames("PNG"), pixels(24, 32), 0),
    "animated WebP": (two_frames("WEBP"), pixels(24, 32), 0),
    "WebP": (saved(gradient("RGB"), "WEBP", lossless=True), rgb(gradient("RGB")), 0),
}


@pytest.fixture(scope="module")
def odd_images():
    source = [(data, i) for i, (data, _, _) in enumerate(ODD.values())]
    with make(source, size=(24, 32), dtype=torch.uint8, layout="NHWC", batch_size=7) as loader:
        return torch.cat([batch.images for batch in check_ledger(loader)]).numpy()


@pytest.mark.parametrize("name", ODD)
def test_odd_images_have_defined_results(odd_images, name: str) -> None:
    _, wanted, tolerance = ODD[name]
    got = odd_images[list(ODD).index(name)]
    assert np.abs(got.astype(int) - wanted).max() <= tolerance


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (300, 1), (2, 3)])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_tiny_and_long_images(form: str, height: int, width: int) -> None:
    data = encode(np.full((height, width, 3), 77, np.uint8), form=form)
    with make([(data, 0)] * 5, augment=(fl.RandomResizedCrop(), fl.RandomField("translate"))) as loader:
        for batch in check_ledger(loader):
            assert (batch.images * 255 - 77).abs().max() < 2
