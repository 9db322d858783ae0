"""Field laws against the figures that theory gives: covariance, spectrum, isotropy, bounds, folds."""

import numpy as np
import pytest
from kernel_cases import corner_determinants, displacements, keys, nodes_of, records, warp, with_pitch

from fieldloom.errors import ArgumentError
from fieldloom.kernels.fusedpass import FusedPass
from fieldloom.kernels.lattice import FOLD_MARGIN
from fieldloom.kernels.laws import Gaussian, PowerLaw, basis, gaussian_root
from fieldloom.kernels.plan import FieldColor, PassPlan
from fieldloom.kernels.records import HUE, VALUE


def gaussian_fields(n: int, *, length: float = 0.125, side: int = 64) -> np.ndarray:
    """Fields of deviation 1 at nodes one pixel apart, from the kernel: (n, 2, side + 1, side + 1)."""
    plan = with_pitch(PassPlan(side, side, transforms=(warp("translate", law=Gaussian(length)),)), 1)
    parts = [displacements(plan, keys(250, first=start)) for start in range(0, n, 250)]
    return np.concatenate(parts) / (side / 2)


@pytest.fixture(scope="module")
def fields() -> np.ndarray:
    """3000 pairs of Gaussian fields with a length of 8 pixels on 64 x 64: eight lengths a side."""
    return gaussian_fields(3000)


# ---------------------------------------------------------------- Gaussian


@pytest.mark.parametrize("length", [0.05, 0.1, 0.2, 0.4, 1.0, 4.0])
@pytest.mark.parametrize("extent", [1.0, 1.7])
def test_gaussian_root_is_a_root_of_the_covariance(length: float, extent: float) -> None:
    t = np.linspace(0, extent, 60)
    root = gaussian_root(t, length, extent)
    covariance = np.exp(-((t[:, None] - t) ** 2) / (2 * length**2))
    assert abs(root @ root.T - covariance).max() < 1.6e-4
    np.testing.assert_allclose((root**2).sum(1), 1, rtol=1e-12)


def test_gaussian_noise_does_not_depend_on_the_lattice() -> None:
    # 100 is no multiple of 8: the last node lies beyond the image, but no noise point may be added for it.
    plan = PassPlan(100, 150, transforms=(warp("translate", law=Gaussian(0.25), amplitude=0.1),))
    coarse = displacements(with_pitch(plan, 8), keys(5))
    fine = displacements(with_pitch(plan, 1), keys(5))
    np.testing.assert_allclose(coarse[:, :, :12, :18], fine[:, :, :96:8, :144:8], atol=5e-5)
    twice = PassPlan(200, 300, transforms=plan.transforms)
    np.testing.assert_allclose(
        displacements(with_pitch(twice, 2), keys(5)) / 2,
        displacements(with_pitch(plan, 1), keys(5)),
        atol=5e-5,
    )


def test_gaussian_variance_and_covariance(fields: np.ndarray) -> None:
    assert abs(fields.mean()) < 0.01
    assert fields.var() == pytest.approx(1, abs=0.02)
    # At single nodes too, the corners included: 6000 values deviate by 1.8 %.
    assert fields[:, :, ::16, ::16].var(axis=(0, 1)) == pytest.approx(1, abs=0.08)
    for lag in (4, 8, 16):
        want = np.exp(-(lag**2) / (2 * 8**2))
        assert (fields[..., lag:] * fields[..., :-lag]).mean() == pytest.approx(want, abs=0.01)
        assert (fields[..., lag:, :] * fields[..., :-lag, :]).mean() == pytest.approx(want, abs=0.01)
    diagonal = (fields[..., 8:, 8:] * fields[..., :-8, :-8]).mean()
    assert diagonal == pytest.approx(np.exp(-1), abs=0.01)


def test_gaussian_derivatives(fields: np.ndarray) -> None:
    along_x = (fields[..., 2:] - fields[..., :-2]) / 2
    along_y = (fields[..., 2:, :] - fields[..., :-2, :]) / 2
    ratio = along_x.var() / along_y.var()
    assert 0.97 < ratio < 1.03
    # A central difference over two pixels sees (1 - exp(-2^2 / (2 8^2))) / 2 of the variance, near 1 / 8^2.
    assert along_x.var() == pytest.approx((1 - np.exp(-1 / 32)) / 2, rel=0.03)


def test_two_components_are_independent(fields: np.ndarray) -> None:
    assert abs((fields[:, 0] * fields[:, 1]).mean()) < 0.01


# ---------------------------------------------------------------- power law


def power_fields(gamma: float, n: int, *, isotropic: bool = True) -> np.ndarray:
    """Unbounded fields on one period of 32 x 32 from the law's tables: (n, 32, 32)."""
    law = PowerLaw(gamma=(gamma, gamma))
    tables = basis(law, 33, 33, 1, 32, 32)
    assert tables.log_k is not None
    assert tables.bonus is not None
    bonus = tables.bonus if isotropic else np.minimum(tables.bonus, 0)
    scale = np.exp2(-gamma / 2 * tables.log_k.astype(np.float64) + bonus)
    z = np.random.default_rng(int(gamma)).standard_normal((n, *scale.shape))
    return (tables.by @ (z * scale) @ tables.bx.T)[:, :32, :32]


def mode_energies(fields: np.ndarray) -> np.ndarray:
    """Mean energy of each mode (ky, kx), (32, 32)."""
    return (abs(np.fft.fft2(fields)) ** 2).mean(0)


def diagonal_ratio(fields: np.ndarray, gamma: float) -> float:
    """Energy of the four modes (+-1, +-1) over the axes' four, relative to 2^(-gamma / 2): 1 if isotropic."""
    energy = mode_energies(fields)
    diagonal = energy[1, 1] + energy[1, -1] + energy[-1, 1] + energy[-1, -1]
    axes = energy[0, 1] + energy[1, 0] + energy[0, -1] + energy[-1, 0]
    return float(diagonal / axes * 2 ** (gamma / 2))


@pytest.mark.parametrize("gamma", [6.0, 7.0, 10.0])
def test_power_law_spectrum(gamma: float) -> None:
    fields = power_fields(gamma, 4000)
    energy = mode_energies(fields)
    assert energy[0, 0] < 1e-6 * energy[0, 1]
    ky, kx = np.meshgrid(*[np.fft.fftfreq(32, 1 / 32)] * 2, indexing="ij")
    radius = np.hypot(ky, kx)
    kept = (radius > 0) & (radius <= 6)
    slope = np.polyfit(np.log(radius[kept]), np.log(energy[kept]), 1)[0]
    assert slope == pytest.approx(-gamma, abs=0.05)
    along_x = np.roll(fields, -1, 2) - fields
    along_y = np.roll(fields, -1, 1) - fields
    assert 0.97 < along_x.var() / along_y.var() < 1.03


@pytest.mark.parametrize("gamma", [6.0, 7.0, 10.0])
def test_power_law_is_isotropic_only_with_the_bonus(gamma: float) -> None:
    assert diagonal_ratio(power_fields(gamma, 4000), gamma) == pytest.approx(1, abs=0.05)
    # Without sqrt(2) on pairs of positive mode numbers the diagonals have half their energy.
    assert diagonal_ratio(power_fields(gamma, 4000, isotropic=False), gamma) == pytest.approx(0.5, abs=0.03)


def test_power_law_has_no_constant_term_whatever_gamma() -> None:
    assert abs(power_fields(0.0, 50).mean(axis=(1, 2))).max() < 1e-6


@pytest.mark.parametrize("alpha", [1 / 3, 0.1, 0.7])
def test_bound_is_exact_and_reached(alpha: float) -> None:
    # The planes of additive HSV are the fields themselves.
    color = FieldColor(PowerLaw(alpha=(alpha, alpha)), (1.0, 1.0, 1.0), True, 1.0, 0x107)
    one_pass = FusedPass(PassPlan(60, 80, transforms=(color,)))
    planes = abs(nodes_of(one_pass, records(one_pass, keys(500)), keys(1).seed)[:, HUE : VALUE + 1])
    assert planes.max() <= np.float32(alpha)
    assert planes.max(axis=(2, 3)).min() >= np.float32(alpha) * np.float32(1 - 1e-6)


# ---------------------------------------------------------------- folds


def test_pointwise_fold_probability(fields: np.ndarray) -> None:
    # P(det <= 0) = exp(-1 / (2 s^2)) / 2 at s = sigma / length = 0.4: 2.2e-2. Length 8 nodes: 3.2 nodes.
    folded = (corner_determinants(fields[:, :, ::2, ::2] * 3.2, 2.0) <= 0).mean()
    # Differences over two nodes see (1 - exp(-1 / 32)) 32 of the derivative's variance: s^2 is 1.5 % less.
    s2 = 0.4**2 * (1 - np.exp(-1 / 32)) * 32
    assert folded == pytest.approx(np.exp(-1 / (2 * s2)) / 2, rel=0.05)
    fine = (corner_determinants(fields * 3.2, 1.0) <= 0).mean()
    assert fine == pytest.approx(2.197e-2, rel=0.05)


def test_image_fold_probability_gaussian(fields: np.ndarray) -> None:
    # Eight lengths a side, k = length / sigma = 4: 0.049 measured, 0.071 bound (Euler characteristic).
    folded = (corner_determinants(fields * 2.0, 1.0) <= 0).any(axis=(1, 2, 3)).mean()
    assert 0.04 < folded < 0.07


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "law", "low", "high"),
    [
        ("translate", PowerLaw(), 0.012, 0.030),
        ("translate", PowerLaw(gamma=(7, 7), alpha=(1 / 3, 1 / 3)), 0.39, 0.49),
        ("translate", PowerLaw(gamma=(10, 10), alpha=(1 / 3, 1 / 3)), 0.12, 0.20),
        ("scale", PowerLaw(), 0.0, 0.012),
        ("shear", PowerLaw(), 0.0, 0.012),
        ("rotate", PowerLaw(), 0.53, 0.63),
    ],
)
def test_image_fold_probability_of_the_paper(kind: str, law: PowerLaw, low: float, high: float) -> None:
    # .021, .44, .16, .005, .004 and .58 in an independent simulation with another interpolation.
    u = displacements(with_pitch(PassPlan(128, 128, transforms=(warp(kind, law=law),)), 2), keys(1500))
    assert low <= (corner_determinants(u, 2.0) <= 0).any(axis=(1, 2, 3)).mean() <= high


@pytest.mark.parametrize("kinds", [("translate",), ("rotate",), ("shear", "translate")])
def test_no_fold_leaves_no_fold(kinds: tuple[str, ...]) -> None:
    # k = 3 folds most images; sigma in half sides.
    options = {"law": Gaussian(0.125), "amplitude": 2 * 0.125 / 3}
    plan = PassPlan(64, 64, transforms=(warp(*kinds, no_fold=True, **options),))  # type: ignore[arg-type]
    free = PassPlan(64, 64, transforms=(warp(*kinds, **options),))  # type: ignore[arg-type]
    plan, free = with_pitch(plan, 2), with_pitch(free, 2)
    folded = corner_determinants(displacements(free, keys(1000)), 2.0).min(axis=(1, 2, 3))
    assert (folded <= 0).mean() > 0.5
    least = corner_determinants(displacements(plan, keys(1000)), 2.0).min(axis=(1, 2, 3))
    assert least.min() > FOLD_MARGIN - 1e-3
    # As large as the margin allows: fields that were shrunk stand at it.
    assert least[folded <= 0].max() < FOLD_MARGIN + 1e-3


def test_no_fold_leaves_unfolded_fields_untouched() -> None:
    options = {"law": Gaussian(0.125), "amplitude": 2 * 0.125 / 4.5}
    plan = with_pitch(PassPlan(64, 64, transforms=(warp("translate", no_fold=True, **options),)), 2)  # type: ignore[arg-type]
    free = with_pitch(PassPlan(64, 64, transforms=(warp("translate", **options),)), 2)  # type: ignore[arg-type]
    guarded, plain = displacements(plan, keys(300)), displacements(free, keys(300))
    calm = corner_determinants(plain, 2.0).min(axis=(1, 2, 3)) > FOLD_MARGIN + 1e-3
    assert 0.5 < calm.mean() < 1
    np.testing.assert_array_equal(guarded[calm], plain[calm])


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    "make",
    [
        lambda: PowerLaw(gamma=(9, 7)),
        lambda: PowerLaw(alpha=(-0.1, 0.3)),
        lambda: PowerLaw(alpha=(0, float("nan"))),
        lambda: PowerLaw(gamma=7),  # type: ignore[arg-type]
        lambda: PowerLaw(modes=0),
        lambda: PowerLaw(modes=17),
        lambda: Gaussian(length=0.01),
        lambda: Gaussian(length=float("inf")),
        lambda: Gaussian(sigma=-1),
    ],
)
def test_wrong_arguments_are_named(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ArgumentError, match=r"PowerLaw|Gaussian"):
        make()
