"""The lattice's pitch: how far the bilinear lattice lies from the continuous field it samples."""

import numpy as np
import pytest
from kernel_cases import PRESETS, displacements, keys, warp, with_pitch

from fieldloom.kernels.laws import Gaussian, PowerLaw
from fieldloom.kernels.plan import FieldColor, FieldWarp, Jitter, PassPlan
from fieldloom.kernels.reference import interpolate

LARGEST = PowerLaw(alpha=(1 / 3, 1 / 3))
WARPS = {
    "rfa_translate": warp("translate", law=LARGEST),
    "rfa_scale": warp("scale", law=LARGEST),
    "rfa_shear": warp("shear", law=LARGEST),
    "rfa_rotate": warp("rotate", law=LARGEST),
    "all four": warp("rotate", "scale", "shear", "translate", law=LARGEST),
    "gaussian": warp("translate", law=Gaussian(0.25), amplitude=0.1),
    "short gaussian": warp("translate", law=Gaussian(0.125), amplitude=0.05),
    "gaussian rotate": warp("rotate", law=Gaussian(0.25), amplitude=0.1 / np.pi),
}


def distances(transform: FieldWarp, side: int, pitch: int, n: int) -> np.ndarray:
    """Between source positions at the pixel centers, in output pixels: (n, side, side).

    Continuous is the same draw at twice the output size and pitch 1, whose odd nodes are our pixel
    centers; its power-law fields are bounded by their own, finer maximum.
    """
    plan = with_pitch(PassPlan(side, side, transforms=(transform,)), pitch)
    fine = with_pitch(PassPlan(2 * side, 2 * side, transforms=(transform,)), 1)
    out = []
    for first in range(0, n, 8):
        coarse = displacements(plan, keys(8, first=first))
        exact = displacements(fine, keys(8, first=first))[:, :, 1::2, 1::2] / 2
        for u, v in zip(coarse, exact, strict=True):
            x, y = (interpolate(u[k], side, side, pitch) - v[k] for k in (0, 1))
            out.append(np.hypot(x, y))
    return np.array(out)


@pytest.mark.parametrize("side", [224, 96, 32])
@pytest.mark.parametrize("name", WARPS)
def test_lattice_lies_within_a_quarter_pixel(name: str, side: int) -> None:
    pitch = PassPlan(side, side, transforms=(WARPS[name],)).pitch()
    distance = distances(WARPS[name], side, pitch, 96)
    assert np.quantile(distance, 0.999) <= 0.25
    assert distance.max() <= (0.25 if pitch > 1 else 0.27)


def test_pitch_is_not_needlessly_fine() -> None:
    # One step coarser passes a quarter pixel: at the published amplitudes there is nothing to gain.
    for name, side in (
        ("rfa_translate", 224),
        ("rfa_rotate", 224),
        ("rfa_translate", 96),
        ("rfa_rotate", 96),
    ):
        pitch = PassPlan(side, side, transforms=(WARPS[name],)).pitch()
        assert distances(WARPS[name], side, 2 * pitch, 96).max() > 0.25


@pytest.mark.parametrize("side", [224, 96, 32])
def test_colors_lie_within_a_hundredth(side: int) -> None:
    # A color control's field is a translation's in units of half a side.
    for law, strength in ((LARGEST, 1.0), (Gaussian(0.25), 0.2)):
        color = FieldColor(law, (strength,) * 3, True, 1.0, 0x107)
        pitch = PassPlan(side, side, transforms=(color,)).pitch()
        same = warp("translate", law=law, amplitude=strength)
        assert np.quantile(distances(same, side, pitch, 48), 0.999) / (side / 2) <= 0.012


@pytest.mark.parametrize("side", [1, 2, 3, 5, 8, 31, 224, 1024])
@pytest.mark.parametrize("name", PRESETS)
def test_pitch_is_a_power_of_two_up_to_8(name: str, side: int) -> None:
    pitch = PassPlan(side, side + 3, transforms=PRESETS[name]).pitch()
    assert pitch in (1, 2, 4, 8)
    assert pitch <= max(side, 1)


def test_without_fields_the_lattice_is_as_coarse_as_can_be() -> None:
    assert PassPlan(224, 224).pitch() == 8
    assert PassPlan(224, 224, transforms=(Jitter((0.4, 0.4, 0.4, 0.1), 0.8, 0x108),)).pitch() == 8
    assert PassPlan(224, 224, transforms=(warp("translate", law=PowerLaw(alpha=(0, 0))),)).pitch() == 8


def test_rougher_and_stronger_laws_take_finer_lattices() -> None:
    def pitch(**law) -> int:  # type: ignore[no-untyped-def]
        return PassPlan(224, 224, transforms=(warp("translate", law=PowerLaw(**law)),)).pitch()

    assert pitch(alpha=(0, 0.05)) == 8
    assert pitch(gamma=(7, 10)) == 4
    assert pitch(gamma=(3, 7)) < 4
    assert pitch(alpha=(0, 2)) < 4
