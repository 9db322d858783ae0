"""What the demo's sheet shows, in numbers: smooth warps, no seams, no fill pixels, plausible colors."""

import numpy as np
import pytest

import fieldloom as fl
from fieldloom.kernels.draws import Keys
from fieldloom.kernels.fusedpass import FusedPass
from fieldloom.perf.displacement import Displacement, displacement_of
from fieldloom.perf.grid import draw_grid, draw_scale
from fieldloom.perf.photos import draw_photo
from fieldloom.perf.sheet import Column, Row, contact_sheet, sheet_size
from fieldloom.perf.showcase import COLUMNS, displacements, recipes, replay, showcase
from fieldloom.recipe import Format, compile_recipe

SIZE = 224
IDS = list(range(12))


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    return [draw_photo(i, 320, 240) for i in IDS]


def test_warps_are_smooth_and_bounded(photos: list[np.ndarray]) -> None:
    for d in displacements(photos, IDS, size=SIZE, seed=0):
        # The published bound: each component at most a third of half the side.
        assert np.abs(d.nodes).max() <= SIZE / 6 + 1e-3
        assert np.abs(d.nodes).max() > 1
        per_node = d.pitch
        for axis in (1, 2):
            slope = np.diff(d.nodes, axis=axis) / per_node
            bend = np.diff(d.nodes, n=2, axis=axis) / per_node**2
            # A field of bound a and the paper's gamma has slopes of a few a a side, and bends likewise.
            assert np.abs(slope).max() < 3
            assert np.abs(bend).max() * per_node**2 / 8 < 0.25  # what bilinear cells leave out, in pixels


def test_no_seams_in_a_warped_ramp() -> None:
    """A gradual image stays gradual: neighbors differ by as much as the map's slope times the ramp's."""
    ramp = np.linspace(20, 235, 240).astype(np.uint8)
    image = np.ascontiguousarray(np.broadcast_to(ramp[:, None, None], (240, 240, 3)))
    for id in IDS:
        out = replay(image, recipes(SIZE)["warp"], SIZE, id=id, seed=0).astype(int)
        assert np.abs(np.diff(out, axis=0)).max() <= 8
        assert np.abs(np.diff(out, axis=1)).max() <= 8


@pytest.mark.parametrize("name", ["original", "warp", "shear"])
def test_no_pixel_from_outside_the_image(photos: list[np.ndarray], name: str) -> None:
    """Mirrored borders invent nothing: values stay within those of the photograph, never the fill color."""
    for id, photo in zip(IDS, photos, strict=True):
        bright = (photo // 2 + 100).astype(np.uint8)
        out = replay(bright, recipes(SIZE)[name], SIZE, id=id, seed=0)
        assert out.min() >= bright.min() - 1
        assert out.max() <= bright.max() + 1


def test_colors_are_plausible(photos: list[np.ndarray]) -> None:
    changed, clipped = 0, []
    for id, photo in zip(IDS, photos, strict=True):
        crop = replay(photo, recipes(SIZE)["original"], SIZE, id=id, seed=0).astype(int)
        out = replay(photo, recipes(SIZE)["color"], SIZE, id=id, seed=0).astype(int)
        assert out.std() > 0.5 * crop.std()  # not constant
        assert np.abs(out - crop).mean() < 50
        assert np.abs(out.mean((0, 1)) - crop.mean((0, 1))).max() < 50
        changed += np.abs(out - crop).mean() > 3
        clipped.append(((out == 0) | (out == 255)).mean() - ((crop == 0) | (crop == 255)).mean())
    assert changed >= len(IDS) - 1
    # Not saturated, as a rule: a single photo that is nearly white already does clip where it gets brighter.
    assert np.median(clipped) < 0.03
    assert np.mean(clipped) < 0.08


def test_color_fields_are_smooth() -> None:
    gray = np.full((240, 240, 3), 128, np.uint8)
    for id in IDS:
        out = replay(gray, recipes(SIZE)["color"], SIZE, id=id, seed=0).astype(int)
        assert np.abs(np.diff(out, axis=0)).max() <= 4
        assert np.abs(np.diff(out, axis=1)).max() <= 4


def test_the_grid_is_that_of_the_column_beside_it() -> None:
    """The drawn displacement moves pixels exactly as the column "Warp" does."""
    x = np.broadcast_to(np.arange(16, 240, dtype=np.uint8)[None, :, None], (SIZE, SIZE, 3))
    (d,) = displacements([x], [3], size=SIZE, seed=7)
    out = replay(np.ascontiguousarray(x), recipes(SIZE)["warp"], SIZE, id=3, seed=7)[..., 0]
    source = np.arange(SIZE) + 0.5 + d.dense()[0]
    inside = (source > 0.5) & (source < SIZE - 0.5)
    assert inside.mean() > 0.5
    assert np.abs(out[inside] - (source[inside] + 15.5)).max() <= 0.51


def test_the_same_warp_is_in_the_last_column() -> None:
    """Equal positions in the list give equal draws: "All in one pass" holds the fields shown before."""
    keys = Keys(0, 0, np.array(IDS), np.zeros(len(IDS), np.int64))
    sizes = np.full((len(IDS), 2), 300)
    one, both = (
        displacement_of(FusedPass(compile_recipe(recipes(SIZE)[name], Format(SIZE))), keys, sizes)
        for name in ("warp", "all")
    )
    for a, b in zip(one, both, strict=True):
        np.testing.assert_allclose(a.nodes, b.nodes, atol=2e-3)  # the crop and the flip are taken out


def test_a_recipe_without_fields_has_no_displacement() -> None:
    fused = FusedPass(compile_recipe([fl.RandomResizedCrop(), fl.HorizontalFlip(p=1.0)], Format((48, 64))))
    keys = Keys(0, 0, np.array([1]), np.array([0]))
    (d,) = displacement_of(fused, keys, np.array([[100, 120]]))
    assert np.abs(d.nodes).max() < 1e-3
    assert d.dense().shape == (2, 48, 64)


def still(side: int = 56) -> Displacement:
    return Displacement(np.zeros((2, 15, 15), np.float32), 4, side, side)


def test_a_grid_at_rest_is_straight_and_uncolored() -> None:
    grid = draw_grid(still(), limit_px=10, lines=14).astype(int)
    lines = [*range(4, 56, 4)]
    rows = grid[:, 2]  # a column of pixels between two vertical lines
    dark = rows.sum(1) < rows.sum(1).max() - 60
    assert {i for i in range(56) if dark[i]} == {
        j for line in (0, *lines, 56) for j in (line - 1, line) if 0 <= j < 56
    }
    assert np.ptp(grid[2::4, 2::4].reshape(-1, 3), axis=0).max() == 0


def test_folds_are_red() -> None:
    def red(d: Displacement) -> float:
        grid = draw_grid(d, limit_px=1000, lines=2).astype(int)  # few lines: the ground is looked at
        return ((grid[..., 0] - grid[..., 2]) > 60).mean()

    d = still()
    assert red(d) < 0.15  # the crop's edge
    d.nodes[0] = 56 - 2 * 4 * np.arange(15)  # x -> 56 - x: mirrored, so the determinant is negative
    assert red(d) > 0.8


def test_scale_goes_from_light_to_dark() -> None:
    scale = draw_scale(60, 5).astype(int).sum(2)
    assert scale.shape == (5, 60)
    assert (np.diff(scale[0]) <= 0).all()


def test_sheet_has_the_size_it_says_and_keeps_the_cells() -> None:
    cell = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    columns, rows = (
        [Column("A", "a"), Column("B")],
        [Row([cell, cell], "x\ny \udce9 " * 50), Row([cell, cell])],
    )
    sheet = contact_sheet("T", "s", columns, rows, cell=(30, 20), foot=["f", draw_scale(9, 4)])
    assert sheet.size == sheet_size(columns, rows, cell=(30, 20), foot=True)
    pixels = np.asarray(sheet)
    windows = np.lib.stride_tricks.sliding_window_view(pixels, cell.shape)[:, :, 0]
    assert (windows == cell).all((2, 3, 4)).sum() == 4  # found unchanged, four times
    assert (pixels[:10] == pixels[0, 0]).all()  # a margin, and light
    assert pixels[0, 0].min() > 240


def test_images_keep_their_aspect_ratio_in_a_cell() -> None:
    wide = np.full((10, 40, 3), 9, np.uint8)
    pixels = np.asarray(contact_sheet("", "", [Column("")], [Row([wide])], cell=(80, 80)))
    dark = (pixels == 9).all(2)
    assert (dark.any(1).sum(), dark.any(0).sum()) == (20, 80)


def test_showcase_is_reproducible(photos: list[np.ndarray]) -> None:
    one, two = (showcase(photos[:2], IDS[:2], size=96, seed=1, cell=96) for _ in range(2))
    rows = [Row([], "") for _ in range(2)]
    assert one.size == sheet_size(COLUMNS, rows, cell=(96, 96), foot=True)
    assert one.tobytes() == two.tobytes()
    assert one.tobytes() != showcase(photos[:2], IDS[:2], size=96, seed=2, cell=96).tobytes()
