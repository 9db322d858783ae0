import numpy as np
import pytest
import torch
from hypothesis import given, settings
from submodular_cases import clouds, lines

from fieldloom.errors import ArgumentError
from fieldloom.kernels.submodular.facility import facility_location, facility_location_classes
from fieldloom.kernels.submodular.facility_torch import (
    facility_location_classes_torch,
    facility_location_torch,
)

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def agree(a, b) -> None:
    assert np.array_equal(a.indices, b.indices)
    assert np.array_equal(a.weights, b.weights)
    assert np.array_equal(a.gains, b.gains)
    assert a.value == b.value


@settings(max_examples=40)
@given(clouds() | lines())
def test_equals_the_numpy_path(case):
    vectors, budget = case
    agree(facility_location_torch(torch.from_numpy(vectors), budget), facility_location(vectors, budget))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("limit_bytes", [1 << 26, 300_000])
def test_classes_equal_the_numpy_path(metric, limit_bytes, device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    random = np.random.default_rng(0)
    labels = random.permutation(np.repeat([0, 1, 3, 4], [150, 40, 100, 1]))
    vectors = random.normal(size=(291, 13)).astype(np.float32) * np.float32(1e4)
    vectors[::7] = 0
    budgets = [20, 0, 0, 100, 1]
    found = facility_location_classes_torch(
        torch.from_numpy(vectors).to(device), torch.from_numpy(labels).to(device), budgets,
        metric=metric, limit_bytes=limit_bytes,
    )  # fmt: skip
    for a, b in zip(found, facility_location_classes(vectors, labels, budgets, metric=metric), strict=True):
        agree(a, b)


def test_half_precision_is_widened():
    vectors = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)).half()
    agree(facility_location_torch(vectors, 5), facility_location(vectors.float().numpy(), 5))


@pytest.mark.parametrize(
    ("vectors", "budget", "limit_bytes", "message"),
    [
        (torch.zeros(4, 2), 5, 1 << 20, "budget=5"),
        (torch.zeros(4, 2), 0, 1 << 20, "budget=0"),
        (torch.zeros(4, 2, dtype=torch.int64), 1, 1 << 20, "floating-point"),
        (torch.zeros(4), 1, 1 << 20, "floating-point matrix"),
        (torch.tensor([[0.0], [float("nan")]]), 1, 1 << 20, "finite"),
        (torch.zeros(4, 2), 1, 80, "limit_bytes=80 is too little"),
    ],
)
def test_wrong_arguments(vectors, budget, limit_bytes, message):
    with pytest.raises(ArgumentError, match=message):
        facility_location_torch(vectors, budget, limit_bytes=limit_bytes)


def test_wrong_classes():
    with pytest.raises(ArgumentError, match="labels are out of range"):
        facility_location_classes_torch(torch.zeros(2, 2), torch.tensor([0, 1]), [1])
