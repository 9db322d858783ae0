"""Index masks through the loader: ids exact, the geometry of their images, and what may go wrong."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import fieldloom as fl
from fieldloom import errors
from fieldloom.indexmasks import decode_mask
from fieldloom.sources import Source
from fieldloom.sources.sample import Sample
from helpers import check_ledger, encode, text_file

N = 9
#: Everything that moves pixels.
MOVING = (
    fl.RandomResizedCrop(scale=(0.3, 1.0)),
    fl.HorizontalFlip(),
    fl.RandomAffine(degrees=20),
    fl.RandomField("translate"),
)
IDS = np.array([0, 3, 9, 77, 200, 255], np.uint8)


def ids(i: int, height: int = 40, width: int = 48) -> np.ndarray:
    """Blobs of some ids, uint8 (height, width); another picture for each i."""
    coarse = np.random.default_rng(i).integers(0, len(IDS), (6, 7), np.uint8)
    return IDS[np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.NEAREST))]


def rgb(mask: np.ndarray) -> np.ndarray:
    """An image that shows its own mask: the id in red, its place in green and blue."""
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    return np.stack([mask, y * 4, x * 4], axis=2).astype(np.uint8)


def palette(mask: np.ndarray, form: str = "PNG", **options: Any) -> bytes:
    """A palette PNG whose indices are the ids, and whose colors are not."""
    image = Image.frombytes("P", mask.shape[::-1], mask.tobytes())
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


class Masked(Source):
    """Images that show their own masks."""

    targets, classes, more, has_masks = None, None, True, True

    def __init__(self, stored: str = "pixels", n: int = N, **changed: Any) -> None:
        self.stored, self.n, self.changed = stored, n, changed
        self.bad: dict[int, Any] = {}

    def __len__(self) -> int:
        return self.n

    def name(self, i: int) -> str:
        return f"picture {i}"

    def mask(self, i: int) -> Any:
        return self.bad.get(i, ids(i, 40 + i % 3 * 8))

    def sample(self, i: int) -> Sample:
        image = rgb(ids(i, 40 + i % 3 * 8))
        if self.stored == "encoded":
            image = np.frombuffer(encode(image, "PNG"), np.uint8)
        return Sample(image, i % 3, self.mask(i), {"row": i})


def make(source: Any, **options: Any) -> fl.DataLoader:
    settings = {"batch_size": 4, "size": 24, "augment": MOVING, "seed": 3, "threads": 2, "device": "cpu"}
    return fl.DataLoader(source, **{**settings, "dtype": "uint8", **options})


def plain(source: Any, **options: Any) -> fl.DataLoader:
    return make(source, augment=(), size=(40, 48), **options)


def check_follows(images: torch.Tensor, masks: torch.Tensor) -> None:
    """Where a mask's id is the same all around, the image there shows that id: geometry is the same.

    The image is interpolated; next to another id its red is a mixture, and nothing is asked there.
    """
    red = images[..., 0, :, :].to(torch.int64)
    inside = torch.ones_like(masks, dtype=torch.bool)
    for dy in range(-3, 4):
        for dx in range(-3, 4):
            inside &= masks.roll((dy, dx), (-2, -1)) == masks
    inside[..., :3, :] = inside[..., -3:, :] = inside[..., :3] = inside[..., -3:] = False
    assert inside.float().mean() > 0.02
    assert ((red - masks).abs()[inside] <= 1).float().mean() > 0.999


@pytest.mark.parametrize("stored", ["pixels", "encoded"])
def test_masks_follow_their_images(stored: str) -> None:
    with make(Masked(stored), size=96, shuffle=True) as loader:
        for batch in check_ledger(loader):
            assert (batch.masks.dtype, batch.masks.shape) == (torch.int64, (len(batch), 96, 96))
            for id, mask in zip(batch.ids.tolist(), batch.masks, strict=True):
                assert set(mask.unique().tolist()) <= set(ids(id, 40 + id % 3 * 8).ravel().tolist())
            check_follows(batch.images, batch.masks)
            assert batch["mask"] is batch.masks
            assert batch.keys() == ["image", "target", "mask", "row"]
            assert batch["row"].tolist() == batch.ids.tolist()


@pytest.mark.parametrize("stored", ["pixels", "encoded"])
def test_without_geometry_masks_are_what_they_were(stored: str) -> None:
    source = Masked(stored, n=7)
    source.mask = ids  # type: ignore[method-assign]
    source.sample = lambda i: Sample(  # type: ignore[method-assign]
        np.frombuffer(encode(rgb(ids(i)), "PNG"), np.uint8) if stored == "encoded" else rgb(ids(i)), 0, ids(i)
    )
    with plain(source) as loader:
        for batch in loader:
            np.testing.assert_array_equal(batch.masks.numpy(), np.stack([ids(i) for i in batch.ids.tolist()]))
            np.testing.assert_array_equal(batch.images[:, 0].numpy(), batch.masks.numpy())


WIDE = ids(0).astype(np.int64) * 250  # up to 63750
FORMS = {
    "gray": (lambda mask: encode(mask, "PNG"), ids(0)),
    "palette": (palette, ids(0)),
    "palette of 4 bits": (lambda mask: palette(mask, bits=4), ids(0) % 16),
    "palette of 2 bits": (lambda mask: palette(mask, bits=2), ids(0) % 4),
    "16 bits": (lambda mask: encode(Image.fromarray(mask.astype(np.uint16)), "PNG"), WIDE),
    "1 bit": (lambda mask: encode(Image.fromarray(mask.astype(bool)), "PNG"), ids(0) % 2),
    "TIFF": (lambda mask: encode(mask, "TIFF"), ids(0)),
    "TIFF of 16 bits": (lambda mask: encode(Image.fromarray(mask.astype(np.uint16)), "TIFF"), WIDE),
    "TIFF of 32 bits": (lambda mask: encode(Image.fromarray(mask.astype(np.int32)), "TIFF"), WIDE * 1000),
    "BMP": (lambda mask: encode(mask, "BMP"), ids(0)),
    "GIF": (lambda mask: palette(mask, form="GIF", optimize=False), ids(0)),
    "gray of 2 bits": (lambda mask: few_bits(mask, 2), ids(0) % 4),
    "gray of 4 bits": (lambda mask: few_bits(mask, 4), ids(0) % 16),
    "bool": (lambda mask: mask.astype(bool), ids(0) % 2),
    "int64": (lambda mask: mask, WIDE * 1000),
    "uint16": (lambda mask: mask.astype(np.uint16), WIDE),
    "transposed": (lambda mask: np.asfortranarray(mask.astype(np.int32)), WIDE),
}


def few_bits(mask: np.ndarray, bits: int) -> bytes:
    """A gray PNG of few bits, written by hand: Pillow writes none."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = mask.shape
    each = 8 // bits
    padded = np.pad(mask, ((0, 0), (0, -width % each))).reshape(height, -1, each)
    packed = sum(padded[..., k].astype(np.uint16) << (8 - bits * (k + 1)) for k in range(each))
    packed = np.asarray(packed).astype(np.uint8)
    raw = b"".join(b"\0" + row.tobytes() for row in packed)
    head = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    chunks = (b"IHDR", head), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


@pytest.mark.parametrize("form", FORMS)
def test_ids_stay_exact(form: str) -> None:
    store, mask = FORMS[form]
    stored = store(mask)
    stored = np.frombuffer(stored, np.uint8) if isinstance(stored, bytes) else stored
    found = decode_mask(stored, 40, 48, 1 << 20)
    assert found.dtype == (np.uint8 if mask.max() < 256 and form != "transposed" else np.int32)
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, mask)
    source = Masked(n=1)
    source.bad = {0: stored}
    with plain(source) as loader:
        np.testing.assert_array_equal(next(iter(loader)).masks[0].numpy(), mask)


BAD = {
    "none": (None, errors.LabelError, "no mask"),
    "size": (ids(0, 40, 47), errors.LabelError, r"40 x 47 pixels sample 3 .*the image has 40 x 48"),
    "encoded size": (np.frombuffer(palette(ids(0, 8, 8)), np.uint8), errors.LabelError, "8 x 8 pixels"),
    "colors": (np.frombuffer(encode(rgb(ids(0)), "PNG"), np.uint8), errors.DecodeError, "its pixels are RGB"),
    "JPEG": (np.frombuffer(encode(ids(0), "JPEG"), np.uint8), errors.DecodeError, "cannot decode the mask"),
    "text": (np.frombuffer(text_file(), np.uint8), errors.DecodeError, "cannot decode the mask"),
    "cut": (np.frombuffer(palette(ids(0))[:200], np.uint8), errors.DecodeError, "cannot decode the mask"),
    "empty": (np.zeros(0, np.uint8), errors.DecodeError, "cannot decode the mask"),
    "huge ids": (ids(0).astype(np.int64) << 32, errors.LabelError, "32-bit"),
    "inverted TIFF": (
        np.frombuffer(encode(ids(0), "TIFF", tiffinfo={262: 0}), np.uint8),
        errors.DecodeError,
        "zero is white",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_masks_are_bad_samples(kind: str) -> None:
    stored, error, match = BAD[kind]
    source = Masked()
    source.bad = {3: stored}
    with make(source) as loader:
        iterator = iter(loader)
        with pytest.raises(error, match=match) as caught:
            next(iterator)
        assert (caught.value.sample, caught.value.file) == (3, "picture 3")
        assert len(next(iterator)) == 4
    with make(source, on_bad_sample="skip") as loader:
        batches = check_ledger(loader)
        assert [len(batch.masks) for batch in batches] == [3, 4, 1]
        assert [bad.sample for bad in loader.ledger.bad] == [3]


def test_largest_mask() -> None:
    with pytest.raises(errors.LimitError, match="40 x 40 pixels, the limit is 1599"):
        decode_mask(np.frombuffer(palette(ids(0, 40, 40)), np.uint8), 40, 40, 1599)


def test_masks_that_are_none_end_the_batch() -> None:
    source = Masked()
    source.bad = {3: np.zeros((40, 48))}
    with make(source, on_bad_sample="skip") as loader, pytest.raises(errors.ArgumentError, match="float64"):
        next(iter(loader))


def test_substitutes_bring_their_own_masks() -> None:
    source = Masked()
    source.bad = {3: None, 7: None}
    with make(source, on_bad_sample="substitute", size=96) as loader:
        for batch in check_ledger(loader):
            check_follows(batch.images, batch.masks)
            for id, mask, row in zip(batch.ids.tolist(), batch.masks, batch["row"].tolist(), strict=True):
                assert id not in (3, 7)
                assert row == id
                assert set(mask.unique().tolist()) <= set(ids(id, 40 + id % 3 * 8).ravel().tolist())


def test_batches_without_a_sample() -> None:
    source = Masked(n=2)
    source.bad = {0: None, 1: None}
    with make(source, on_bad_sample="skip", mask_fill=300, border="constant") as loader:
        (batch,) = check_ledger(loader)
        assert batch.masks.shape == (0, 24, 24)
        assert batch.masks.dtype == torch.int64


@pytest.mark.parametrize("turned", range(1, 9))
def test_turned_images(turned: int, tmp_path: Path) -> None:
    """The image is shown as its EXIF says, and masks are of what is shown; a mask may be turned likewise."""
    shown = ids(1, 40, 48)
    stored = np.asarray(Image.fromarray(shown).transpose(_undo[turned])) if turned > 1 else shown
    image = rgb(shown) if turned == 1 else _rgb_as(shown, turned)
    (tmp_path / "x.png").write_bytes(encode(image, "PNG", turned=turned))
    for mask in (encode(shown, "PNG"), encode(stored, "PNG", turned=turned)):
        (tmp_path / "m.png").write_bytes(mask)
        with plain([{"image": str(tmp_path / "x.png"), "mask": str(tmp_path / "m.png")}]) as loader:
            batch = next(iter(loader))
        np.testing.assert_array_equal(batch.masks[0].numpy(), shown)
        np.testing.assert_array_equal(batch.images[0, 0].numpy(), shown)


#: How to store what shall be shown, by EXIF orientation: the inverse of what a reader does.
_undo = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def _rgb_as(shown: np.ndarray, turned: int) -> np.ndarray:
    return np.asarray(Image.fromarray(rgb(shown)).transpose(_undo[turned]))


@pytest.mark.parametrize("fill", [255, 7, 300, 70000])
def test_beyond_the_border(fill: int) -> None:
    moving = (fl.RandomAffine(degrees=0, translate=(0.5, 0.5)),)
    for stored in (ids(0), ids(0).astype(np.int32) + 1000):
        source = Masked(n=1)
        source.bad = {0: stored}
        with make(source, augment=moving, border="constant", fill=0, mask_fill=fill, size=(40, 48)) as loader:
            for _ in range(3):
                batch = next(iter(loader))
                outside = batch.images[0].sum(0) == 0
                assert set(batch.masks.unique().tolist()) <= {*stored.ravel().tolist(), fill}
                assert (batch.masks == fill).any() or not outside.any()


def test_recipes_that_masks_cannot_follow() -> None:
    for augment in ("imagenet_randaugment", [fl.MixUp()], [fl.AugMix()]):
        with pytest.raises(errors.ArgumentError, match="cannot be used with masks"):
            make(Masked(), augment=augment, dtype="float32", batch_size=8)


def test_replay_gives_the_mask() -> None:
    with make(Masked(), shuffle=True) as loader:
        for epoch in range(2):
            for batch in loader:
                for id, image, mask in zip(batch.ids.tolist(), batch.images, batch.masks, strict=True):
                    again, its_mask = loader.replay(id, epoch, mask=True)
                    assert torch.equal(again, image)
                    assert torch.equal(its_mask, mask)
        assert torch.equal(loader.replay(2, 0), loader.replay(2, 0, mask=True)[0])
    with make([(encode(0), 0)]) as loader, pytest.raises(errors.ArgumentError, match="the data set has none"):
        loader.replay(0, 0, mask=True)


def test_batches_and_threads_change_nothing() -> None:
    def masks(**options: Any) -> dict[int, bytes]:
        with make(Masked(), shuffle=True, **options) as loader:
            return {
                id: mask.numpy().tobytes()
                for batch in loader
                for id, mask in zip(batch.ids.tolist(), batch.masks, strict=True)
            }

    first = masks()
    assert len(first) == N
    assert masks(batch_size=7, threads=1) == masks(batch_size=1, threads=4) == first


def test_threads_leave_the_filters_of_warnings_alone() -> None:
    data = np.frombuffer(palette(ids(0, 40, 48)), np.uint8)
    before = list(warnings.filters)
    seen = []

    class Watched(np.ndarray):  # looked at while a mask is decoded: a race need not be waited for
        @property
        def data(self) -> memoryview:  # type: ignore[override]
            seen.append(list(warnings.filters))
            return super().data

    decode_mask(data.view(Watched), 40, 48, 10**6)
    assert seen
    assert all(filters == before for filters in seen)
