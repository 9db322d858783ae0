"""Stage 1 against the float64 reference: composition, order, constants, exactness, determinism."""

import numpy as np
import pytest
from kernel_cases import PRESETS, displacements, keys, nodes_of, records, warp

from fieldloom.kernels import reference_lattice
from fieldloom.kernels.fusedpass import FusedPass
from fieldloom.kernels.laws import Gaussian, PowerLaw
from fieldloom.kernels.plan import Jitter, PassPlan
from fieldloom.kernels.records import CHROMA_P, CHROMA_Q, GAIN, HUE, N_FIELDS, OFFSET, SX, SY, VALUE

SEED = keys(1).seed


def check_nodes(one_pass: FusedPass, samples: np.ndarray) -> None:
    """Kernel and reference agree: positions within 2e-4 px, colors within 2e-6."""
    got = nodes_of(one_pass, samples, SEED).astype(np.float64)
    for k, sample in enumerate(samples):
        want = reference_lattice.controls(one_pass.plan, one_pass.pitch, sample, SEED)
        np.testing.assert_allclose(got[k, SX], want.x, atol=2e-4)
        np.testing.assert_allclose(got[k, SY], want.y, atol=2e-4)
        if want.hsv is not None:
            np.testing.assert_allclose(got[k, HUE : VALUE + 1], want.hsv, atol=2e-6)
        if want.linear:
            unit = 1 if want.hsv is not None else 255  # which stage turns pixel values into 0..1
            np.testing.assert_allclose(got[k, GAIN] * unit, want.gain, atol=2e-6)
            np.testing.assert_allclose(got[k, OFFSET], want.offset, atol=2e-6)
            np.testing.assert_allclose(got[k, CHROMA_P] * unit, want.chroma.real, atol=2e-6)
            np.testing.assert_allclose(got[k, CHROMA_Q] * unit, want.chroma.imag, atol=2e-6)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("size", [(48, 48), (37, 90)])
def test_presets_equal_the_reference(name: str, size: tuple[int, int]) -> None:
    one_pass = FusedPass(PassPlan(*size, transforms=PRESETS[name]))
    check_nodes(one_pass, records(one_pass, keys(6)))


@pytest.mark.parametrize("length", [0.05, 0.3, 2.0])
def test_long_strips(length: float) -> None:
    # 200 noise points on one axis: more than any square image takes.
    plan = PassPlan(20, 130, transforms=(warp("translate", law=Gaussian(length), amplitude=0.1),))
    one_pass = FusedPass(plan)
    check_nodes(one_pass, records(one_pass, keys(2)))


def test_kinds_compose_in_the_drawn_order() -> None:
    kinds = ("translate", "scale", "shear", "rotate")
    one_pass = FusedPass(PassPlan(64, 64, transforms=(warp(*kinds, law=PowerLaw(alpha=(0.3, 0.3))),)))
    samples = records(one_pass, keys(24))
    orders = {tuple(int(v) for v in order[:4]) for order in samples["order"]}
    assert len(orders) > 8
    check_nodes(one_pass, samples)
    # The order matters: turning it round moves the sources by whole pixels.
    before = nodes_of(one_pass, samples, SEED)[:, :2]
    samples["order"][:, :4] = samples["order"][:, 3::-1].copy()
    check_nodes(one_pass, samples)
    assert abs(nodes_of(one_pass, samples, SEED)[:, :2] - before).max(axis=(1, 2, 3)).min() > 0.5


def test_a_composition_of_one_kind_is_its_formula() -> None:
    # Translate by a field equals the field; the same fields drive scale and shear as (1 + g) x and x + g y.
    size, each = 32, {"law": PowerLaw(alpha=(0.2, 0.2)), "amplitude": 1.0}
    moved = {
        kind: displacements(PassPlan(size, size, transforms=(warp(kind, **each),)), keys(4))  # type: ignore[arg-type]
        for kind in ("translate", "scale", "shear", "rotate")
    }
    step = FusedPass(PassPlan(size, size, transforms=(warp("scale", **each),))).pitch  # type: ignore[arg-type]
    nodes = np.arange(size // step + 1) * step - size / 2.0
    x, y = np.meshgrid(nodes, nodes)
    g = moved["translate"][:, :, ::1] / (size / 2)
    np.testing.assert_allclose(moved["scale"], np.stack([g[:, 0] * x, g[:, 1] * y], 1), atol=1e-4)
    np.testing.assert_allclose(moved["shear"], np.stack([g[:, 0] * y, g[:, 1] * x], 1), atol=1e-4)


def test_closed_gates_leave_the_affine_alone() -> None:
    one_pass = FusedPass(PassPlan(40, 56, transforms=PRESETS["all"]))
    samples = records(one_pass, keys(3))
    samples["active"] = 0
    nodes = nodes_of(one_pass, samples, SEED)
    y, x = (np.arange(n) * one_pass.pitch - 0.5 for n in nodes.shape[2:])
    np.testing.assert_array_equal(nodes[:, SX], np.broadcast_to(x, nodes[:, SX].shape))
    np.testing.assert_array_equal(nodes[:, SY], np.broadcast_to(y[:, None], nodes[:, SY].shape))


def test_constants_are_constant() -> None:
    one_pass = FusedPass(PassPlan(40, 56, transforms=(Jitter((0.4, 0.3, 0.2, 0.1), 1.0, 0x108),)))
    samples = records(one_pass, keys(50))
    nodes = nodes_of(one_pass, samples, SEED)[:, GAIN : CHROMA_Q + 1].astype(np.float64)
    np.testing.assert_array_equal(nodes, np.broadcast_to(nodes[..., :1, :1], nodes.shape))
    brightness, contrast, saturation, hue = samples["amplitude"][:, 0].T.astype(np.float64)
    assert abs(samples["amplitude"][:, 0]).max(0) == pytest.approx([0.4, 0.3, 0.2, 0.1], rel=0.15)
    gain = (1 + brightness) * (1 + contrast)
    chroma = gain * (1 + saturation) * np.exp(1j * np.pi * hue)
    want = np.stack([gain / 255, -0.5 * contrast, chroma.real / 255, chroma.imag / 255], 1)
    np.testing.assert_allclose(nodes[..., 0, 0], want, atol=1e-6)


def test_batch_and_order_do_not_enter() -> None:
    one_pass = FusedPass(PassPlan(64, 48, transforms=PRESETS["all"]))
    samples = records(one_pass, keys(20))
    whole = nodes_of(one_pass, samples, SEED)
    turned = np.random.default_rng(0).permutation(20)
    np.testing.assert_array_equal(nodes_of(one_pass, samples[turned], SEED), whole[turned])
    np.testing.assert_array_equal(nodes_of(one_pass, samples[3:4], SEED)[0], whole[3])


def test_record_constants_agree() -> None:
    steps = [
        step
        for name in ("rfa_translate", "rfa_scale", "rfa_shear", "rfa_rotate", "color_field", "rfa_color")
        for step in reference_lattice.steps_of(PassPlan(8, 8, transforms=PRESETS[name]))
    ]
    assert tuple(step.n_fields for step in steps) == N_FIELDS
