"""The drawn photographs: the same every time, photograph-like in numbers, and a folder that appears whole."""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from fieldloom import errors
from fieldloom.perf import photos
from fieldloom.perf.canvas import Canvas, ellipse, polygon, rectangle, tile
from fieldloom.perf.photos import draw_photo, write_photo_folder
from fieldloom.perf.scenes import SCENES
from fieldloom.sources import FolderSource

N = 48


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "below" / "drawn"
    write_photo_folder(path, n=N, seed=3)
    return path


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.jpg"), key=lambda path: path.name)


@pytest.mark.parametrize("index", range(len(SCENES)), ids=lambda i: SCENES[i].__name__)
def test_picture_is_a_function_of_its_arguments(index: int) -> None:
    picture = draw_photo(index, 160, 120)
    assert (picture.shape, picture.dtype) == ((120, 160, 3), np.uint8)
    np.testing.assert_array_equal(picture, draw_photo(index, 160, 120))
    for other in (draw_photo(index, 160, 120, seed=1), draw_photo(index + 8, 160, 120)):
        assert (picture != other).mean() > 0.3


@pytest.mark.parametrize("index", range(len(SCENES)), ids=lambda i: SCENES[i].__name__)
def test_picture_has_light_shade_color_and_detail(index: int) -> None:
    picture = draw_photo(index, 400, 300).astype(np.float64)
    gray = picture.mean(axis=2)
    low, high = np.percentile(gray, [2, 98])
    assert high - low > 60
    assert np.ptp(picture, axis=2).mean() > 8
    assert np.abs(np.diff(gray, axis=1)).mean() > 1.5
    assert (gray >= 254).mean() < 0.2


def test_pictures_have_the_spectrum_of_photographs() -> None:
    """Power falls like 1/f^2, give or take, from large to small structure (natural images: 1.6 to 2.6)."""
    slopes = []
    for index in range(16):
        gray = draw_photo(index, 256, 256).mean(axis=2)
        window = np.hanning(256)
        power = np.abs(np.fft.fft2((gray - gray.mean()) * window[:, None] * window)) ** 2
        frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
        bands = np.geomspace(4 / 256, 0.35, 9)
        energy = [power[(frequency >= a) & (frequency < b)].mean() for a, b in itertools.pairwise(bands)]
        slopes.append(-np.polyfit(np.log(np.sqrt(bands[1:] * bands[:-1])), np.log(energy), 1)[0])
    assert 1.4 < np.median(slopes) < 3.0


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (37, 23), (1024, 64)])
def test_any_size(size: tuple[int, int]) -> None:
    for index in range(len(SCENES)):
        assert draw_photo(index, *size).shape == (size[1], size[0], 3)


def test_folder_layout(folder: Path) -> None:
    source = FolderSource(folder)
    assert sorted(source.classes or ()) == sorted(scene.__name__ for scene in SCENES)
    assert np.bincount(source.targets).tolist() == [N // 8] * 8
    assert [path.name for path in folder.parent.iterdir()] == ["drawn"]  # no scratch folder is left


def test_folder_has_all_that_a_loader_meets(folder: Path) -> None:
    pictures = [Image.open(path) for path in files(folder)]
    assert {picture.mode for picture in pictures} == {"RGB", "L"}
    assert sum("progressive" in picture.info for picture in pictures) == 1
    assert {picture.getexif().get(0x0112) for picture in pictures} == {None, 1, 2, 3, 4, 5, 6, 7, 8}
    sizes = [ImageOps.exif_transpose(picture).size for picture in pictures]
    assert len(set(sizes)) >= 5
    assert {width > height for width, height in sizes} == {True, False}
    assert 250 <= np.median([min(size) for size in sizes]) <= 400
    assert 40_000 < np.median([path.stat().st_size for path in files(folder)]) < 120_000
    for picture in pictures:
        picture.close()


def test_turned_pictures_display_upright(folder: Path) -> None:
    """Each stored file, turned as its tag says, is the picture that was drawn."""
    seen = set()
    for i, path in enumerate(files(folder)):
        with Image.open(path) as picture:
            seen.add(picture.getexif().get(0x0112))
            upright = np.asarray(ImageOps.exif_transpose(picture).convert("L"), float)
        drawn = draw_photo(i, upright.shape[1], upright.shape[0], seed=3)
        expected = np.asarray(Image.fromarray(drawn).convert("L"), float)
        assert np.abs(upright - expected).mean() < 6
    assert len(seen) == 9


def test_complete_folder_is_left_alone(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in files(folder)}
    write_photo_folder(folder, n=N, seed=3)
    assert {path: path.stat().st_mtime_ns for path in files(folder)} == before


def test_folder_is_drawn_again_when_it_should_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "drawn"
    path.mkdir()  # an empty folder is no obstacle
    write_photo_folder(path, n=3, n_classes=2)
    first = [file.read_bytes() for file in files(path)]
    assert [file.parent.name for file in files(path)] == ["towers", "hills", "towers"]
    files(path)[0].unlink()
    write_photo_folder(path, n=3, n_classes=2)
    assert [file.read_bytes() for file in files(path)] == first
    write_photo_folder(path, n=3, n_classes=2, seed=1)
    assert [file.read_bytes() for file in files(path)] != first
    monkeypatch.setattr(photos, "DRAWING_VERSION", photos.DRAWING_VERSION + 1)
    stamp = files(path)[0].stat().st_mtime_ns
    write_photo_folder(path, n=3, n_classes=2, seed=1)
    assert files(path)[0].stat().st_mtime_ns != stamp
    assert [left.name for left in tmp_path.iterdir()] == ["drawn"]


def test_interrupted_drawing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(photos, "_develop", fail)
    with pytest.raises(KeyboardInterrupt):
        write_photo_folder(tmp_path / "drawn", n=2)
    assert list(tmp_path.iterdir()) == []


def test_foreign_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for path in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(errors.ArgumentError, match="path is taken"):
            write_photo_folder(path, n=2)
    assert [left.name for left in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("n_classes", [0, 9])
def test_bad_number_of_classes(tmp_path: Path, n_classes: int) -> None:
    with pytest.raises(errors.ArgumentError, match="from 1 to 8"):
        write_photo_folder(tmp_path / "drawn", n_classes=n_classes)


def test_shapes_cover_their_area() -> None:
    for shape, area in (
        (ellipse(0.5, 0.5, 0.3), np.pi * 0.09),
        (ellipse(0.5, 0.5, 0.4, 0.1, 0.7), np.pi * 0.04),
        (rectangle(0.2, 0.3, 0.7, 0.5), 0.1),
        (polygon((0.5, 0.1), (0.9, 0.9), (0.1, 0.9)), 0.32),
    ):
        canvas = Canvas(400, 400, np.random.default_rng(0))
        canvas.fill(shape, (1, 1, 1))
        assert canvas.rgb.dtype == np.float32
        assert canvas.rgb.mean() == pytest.approx(area, rel=0.02)


@pytest.mark.parametrize("slope", [0.0, 1.0, 1.7])
def test_tile_spectrum(slope: float) -> None:
    noise = tile(slope)
    assert noise.dtype == np.float32
    assert (noise.mean(), noise.std()) == pytest.approx((0, 1), abs=1e-3)
    power = np.abs(np.fft.rfft2(noise)) ** 2
    frequency = np.hypot(np.fft.fftfreq(1024)[:, None], np.fft.rfftfreq(1024))
    octaves = [power[(frequency >= f) & (frequency < 1.1 * f)].mean() for f in (0.02, 0.2)]
    assert np.log10(octaves[0] / octaves[1]) == pytest.approx(2 * slope, abs=0.15)


def test_import_brings_no_pillow() -> None:
    code = "import sys, fieldloom.perf.photos; print({'torch', 'PIL'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
