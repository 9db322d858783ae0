"""Sound files to damage, drawn and encoded here."""

import functools
import io
import tarfile
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin


def picture(height: int, width: int, seed: int, channels: int = 3) -> np.ndarray:
    """A smooth random picture with some noise, uint8 (height, width, channels)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 6, channels), np.uint8)
    layers = [
        np.asarray(Image.fromarray(coarse[..., c]).resize((width, height), Image.Resampling.BICUBIC))
        for c in range(channels)
    ]
    noisy = np.stack(layers, 2).astype(np.int16) + rng.integers(-9, 10, (height, width, channels))
    return noisy.clip(0, 255).astype(np.uint8)


def _encode(image: Image.Image, form: str, turned: int = 0, **options: Any) -> bytes:
    if turned:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = turned
        options["exif"][0x010F] = "a maker of cameras"
        options["exif"][0x011A] = 72.0
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def _rgb(height: int, width: int, seed: int) -> Image.Image:
    return Image.fromarray(picture(height, width, seed))


@functools.cache
def jpegs() -> tuple[bytes, ...]:
    """JPEG files: baseline, progressive, gray, CMYK, with EXIF, restarts, comments, profiles; tiny ones."""
    image, alpha = _rgb(48, 64, 1), Image.fromarray(picture(40, 40, 2, 4), "CMYK")
    return (
        _encode(image, "JPEG", quality=90),
        _encode(image, "JPEG", quality=90, subsampling=0, optimize=True),
        _encode(image, "JPEG", quality=60, subsampling=1),
        _encode(image, "JPEG", quality=85, progressive=True),
        _encode(image.convert("L"), "JPEG", quality=80),
        _encode(image.convert("L"), "JPEG", quality=80, progressive=True),
        _encode(alpha, "JPEG", quality=80),
        _encode(image, "JPEG", turned=6, quality=80),
        _encode(image, "JPEG", turned=3, quality=80, progressive=True),
        _encode(image, "JPEG", quality=80, restart_marker_blocks=2),
        _encode(image, "JPEG", quality=80, comment=b"\xff\xd9 a comment", icc_profile=bytes(range(200))),
        _encode(_rgb(1, 1, 3), "JPEG"),
        _encode(_rgb(97, 33, 4), "JPEG", quality=30),
        _encode(_rgb(200, 160, 5), "JPEG", quality=20),
    )


@functools.cache
def pngs() -> tuple[bytes, ...]:
    """PNG files: every mode that Pillow writes, with text and EXIF; tiny ones."""
    image = _rgb(30, 44, 6)
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a picture")
    text.add_text("Comment", "compressed " * 20, zip=True)
    wide = Image.fromarray(picture(20, 24, 7)[..., 0].astype(np.uint16) * 257)
    return (
        _encode(image, "PNG"),
        _encode(image.convert("L"), "PNG"),
        _encode(image.convert("LA"), "PNG"),
        _encode(image.convert("P"), "PNG", transparency=3),
        _encode(image.convert("P"), "PNG", bits=4),
        _encode(image.convert("1"), "PNG"),
        _encode(Image.fromarray(picture(24, 20, 8, 4), "RGBA"), "PNG"),
        _encode(wide, "PNG"),
        _encode(image, "PNG", pnginfo=text, compress_level=0),
        _encode(image, "PNG", turned=5),
        _encode(image, "PNG", save_all=True, append_images=[image.rotate(180)]),
        _encode(_rgb(1, 1, 9), "PNG"),
        _encode(_rgb(120, 90, 10), "PNG"),
    )


@functools.cache
def webps() -> tuple[bytes, ...]:
    """WebP files: lossy, lossless, with alpha, with EXIF, animated; tiny ones."""
    image, alpha = _rgb(40, 36, 11), Image.fromarray(picture(32, 30, 12, 4), "RGBA")
    return (
        _encode(image, "WEBP", quality=80),
        _encode(image, "WEBP", lossless=True),
        _encode(alpha, "WEBP", quality=70),
        _encode(alpha, "WEBP", lossless=True),
        _encode(image, "WEBP", turned=8),
        _encode(image, "WEBP", save_all=True, append_images=[image.rotate(180)], duration=40),
        _encode(_rgb(1, 1, 13), "WEBP"),
        _encode(_rgb(90, 120, 14), "WEBP", quality=30),
    )


@functools.cache
def tars() -> tuple[bytes, ...]:
    """Tar shards of small images and labels, in the three formats that tarfile writes."""
    return tuple(_shard(form, long) for form, long in (
        (tarfile.USTAR_FORMAT, False), (tarfile.GNU_FORMAT, False), (tarfile.PAX_FORMAT, False),
        (tarfile.GNU_FORMAT, True), (tarfile.PAX_FORMAT, True),
    ))  # fmt: skip


def _shard(form: int, long: bool) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as shard:
        for k in range(6):
            name = f"{'a-long-folder-name/' * 8 if long else ''}{k:04}"
            for suffix, data in (("jpg", _encode(_rgb(8, 8, k), "JPEG")), ("cls", str(k % 3).encode())):
                member = tarfile.TarInfo(f"{name}.{suffix}")
                member.size = len(data)
                shard.addfile(member, io.BytesIO(data))
    return out.getvalue()


SEEDS = {"jpeg": jpegs, "png": pngs, "webp": webps, "tar": tars}
