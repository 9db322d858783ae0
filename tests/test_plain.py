"""Copying whole pixels gives what resampling them gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import keys, noise

from fieldloom.kernels import cpu
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.plain import is_plain_sample
from fieldloom.kernels.plan import Affine, Crop, Flip, Jitter, PassPlan

FLIPS = (Flip(0.5, True, 0x104), Flip(0.5, False, 0x204))


def both_ways(plan: PassPlan, images: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, list[bool]]:
    """The shortcut's output, the general path's, and which samples took the shortcut."""
    fused, batch = FusedPass(plan), keys(len(images))
    windows = fused.windows(batch, np.array([image.shape[:2] for image in images]))
    crops = [i[y : y + h, x : x + w] for i, (y, x, h, w) in zip(images, windows.rects.tolist(), strict=True)]
    sources = Sources.of_arrays(crops)
    samples = fused.records(batch, windows, sources)
    taken = [
        bool(is_plain_sample(samples, k, plan.height, plan.width) and (samples["taps"][k, :, 0] == 256).all())
        for k in range(len(images))
    ]  # fmt: skip
    general = fused.empty(len(images))
    hardly = np.full(3, 1e-30, np.float32)  # a bias that changes nothing, and with which there is no shortcut
    cpu.run(
        samples, transforms=fused.transforms, basis=fused.basis, seed=batch.seed, pitch=fused.pitch,
        border=0, fill=fused.fill, center=0.5, scales=fused.scales, bias=hardly, dtype="uint8", planar=True,
        height=plan.height, width=plan.width, out=general,
    )  # fmt: skip
    return fused(batch, windows, sources), general, taken


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(2, 40), st.integers(2, 40)),
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
    st.sampled_from(["whole", "random", "center"]),
)
def test_shortcut_equals_resampling(size: tuple[int, int], more: tuple[int, int], kind: str) -> None:
    images = [noise(size[0] + more[0], size[1] + more[1], k) for k in range(6)]
    plan = PassPlan(*size, crop=Crop(kind, slot=3), warps=FLIPS, dtype="uint8")  # type: ignore[arg-type]
    got, want, taken = both_ways(plan, images)
    np.testing.assert_array_equal(got, want)
    if kind != "whole" or more == (0, 0):
        assert all(taken)


@pytest.mark.parametrize(
    "plan",
    [
        PassPlan(16, 16, warps=(Affine((3, 3), (0, 0), (1, 1), (0, 0), 1.0, 0x105),), dtype="uint8"),
        PassPlan(16, 16, crop=Crop("random", padding=30, slot=3), dtype="uint8"),
        PassPlan(16, 16, crop=Crop("random", padding=30, slot=3), warps=FLIPS, dtype="uint8"),
        PassPlan(15, 16, dtype="uint8"),
        PassPlan(16, 16, transforms=(Jitter((0.4, 0.4, 0.4, 0.2), 0.5, 0x106),), dtype="uint8"),
    ],
    ids=["turned", "padded", "padded and mirrored", "resized", "recolored"],
)  # fmt: skip
def test_others_are_resampled(plan: PassPlan) -> None:
    got, want, taken = both_ways(plan, [noise(16, 16, k) for k in range(8)])
    np.testing.assert_array_equal(got, want)
    assert not all(taken)
