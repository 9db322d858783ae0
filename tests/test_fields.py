"""Other columns of a data set: they keep their names and their samples, whatever happens to a batch."""

from typing import Any

import numpy as np
import pytest
import torch

import fieldloom as fl
from fieldloom import errors
from fieldloom.collate import checked_target, column
from fieldloom.errors import DecodeError
from fieldloom.sources import Source
from fieldloom.sources.sample import Sample
from helpers import check_ledger, encode, pixels

N = 11


class Rich(Source):
    """Fields of every type; some samples can be bad."""

    targets, classes, more = None, ["a", "b"], True
    names = {"image": "photo", "target": "species"}  # noqa: RUF012

    def __init__(self, bad: tuple[int, ...] = (), stored: str = "encoded") -> None:
        self.bad, self.stored = bad, stored

    def __len__(self) -> int:
        return N

    def name(self, i: int) -> str:
        return f"rich {i}"

    def sample(self, i: int) -> Sample:
        if i in self.bad:
            raise DecodeError.make("cannot read", why="bad on purpose", sample=i, file=self.name(i))
        image = np.frombuffer(encode(i), np.uint8) if self.stored == "encoded" else pixels(seed=i)
        return Sample(image, i % 2, None, self.fields(i))

    def fields(self, i: int) -> dict[str, Any]:
        return {
            "number": i,
            "score": i / 2,
            "flag": i % 2 == 0,
            "text": f"t{i}",
            "raw": bytes([i]),
            "box": np.arange(4, dtype=np.int32) + i,
            "boxes": np.zeros((i, 4)),
            "tensor": torch.full((2,), i),
            "maybe": None if i == 3 else i,
        }


def make(source: Any, **options: Any) -> fl.DataLoader:
    settings = {"batch_size": 4, "size": 8, "seed": 1, "threads": 2, "device": "cpu"}
    return fl.DataLoader(source, **{**settings, **options})


def check_fields(batch: Any, source: Rich) -> None:
    expected = [source.fields(i) for i in batch.ids.tolist()]
    for name in source.fields(0):
        values = [row[name] for row in expected]
        found = batch[name]
        assert len(found) == len(values)
        for one, other in zip(found, values, strict=True):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    assert batch.targets.tolist() == [i % 2 for i in batch.ids.tolist()]


@pytest.mark.parametrize("stored", ["encoded", "pixels"])
@pytest.mark.parametrize("policy", ["raise", "skip", "substitute"])
def test_fields_stay_with_their_samples(stored: str, policy: str) -> None:
    source = Rich(() if policy == "raise" else (2, 9), stored)
    with make(source, shuffle=True, on_bad_sample=policy, augment=[fl.HorizontalFlip()]) as loader:
        for batch in check_ledger(loader):
            check_fields(batch, source)
        loader.select([5, 5, 1, 9, 3])
        for batch in loader:
            check_fields(batch, source)


def test_types_of_columns() -> None:
    with make(Rich(), batch_size=N) as loader:
        (batch,) = loader
    kinds = {name: getattr(batch[name], "dtype", list) for name in batch.fields}
    assert kinds == {
        "number": torch.int64, "score": torch.float64, "flag": torch.bool, "text": list, "raw": list,
        "box": torch.int32, "boxes": list, "tensor": torch.int64, "maybe": list,
    }  # fmt: skip
    assert batch.keys()[:2] == ["photo", "species"]
    assert batch["photo"] is batch["image"] is batch.images
    assert dict(batch)["species"] is batch["target"] is batch.targets
    images, targets = batch
    assert images is batch.images
    assert targets is batch.targets


@pytest.mark.parametrize("name", ["mask", "none", 2, None])
def test_columns_that_are_not_there(name: Any) -> None:
    with (
        make(Rich()) as loader,
        pytest.raises(errors.ArgumentError, match="There are photo, species, number"),
    ):
        next(iter(loader))[name]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2], torch.int64),
        ([1, 2.5], torch.float64),
        ([True, False], torch.bool),
        ([np.float32(1), np.float32(2)], torch.float32),
        ([np.bool_(True), np.bool_(False)], torch.bool),
        ([2**70, 1], list),
        ([2**63, -1], list),  # as floats they would be other numbers
        ([2**53 + 1, 0.5], list),
        ([2**53, 0.5], torch.float64),
        ([np.longdouble(1)], list),
        ([np.zeros(2, np.longdouble)], list),
        ([1j, 2], torch.complex128),
        ([1, None], list),
        ([1, "x"], list),
        ([np.zeros(2), np.zeros(3)], list),
        ([np.zeros(2), np.zeros(2)], torch.float64),
        ([np.array(["x"]), np.array(["y"])], list),
        ([np.datetime64("2020-01-01"), np.datetime64("2020-01-02")], list),
        ([torch.zeros(2), torch.zeros(2)], torch.float32),
        ([torch.zeros(2), torch.zeros(3)], list),
        ([torch.zeros(2), np.zeros(2)], list),
        ([], list),
    ],
    ids=str,
)
def test_column(values: list[Any], expected: Any) -> None:
    found = column(values)
    if expected is list:
        assert found == values or all(a is b for a, b in zip(found, values, strict=True))
    else:
        assert found.dtype == expected
        assert len(found) == len(values)


@pytest.mark.parametrize(
    "target", ["x", b"x", {}, [[1, 2]], [1, "x"], [[1], [2, 3]], np.zeros((2, 2)), object()], ids=type
)
def test_targets_that_are_no_numbers(target: Any) -> None:
    with pytest.raises(errors.LabelError, match=r"a target is a number.*fields of a dict"):
        checked_target(target)


def test_targets_that_are_numbers() -> None:
    for target in (1, 1.5, True, np.uint8(3), [1, 2], np.zeros(3), torch.tensor(2), torch.ones(2)):
        np.testing.assert_array_equal(checked_target(target), np.asarray(target))
    assert checked_target(None) is None
    for target in (float("nan"), [1, float("inf")], 1e39, [1e39]):
        with pytest.raises(errors.LabelError, match="not finite"):
            checked_target(target)
    with pytest.raises(errors.LabelError, match="int64"):
        checked_target(np.uint64(2**63))


@pytest.mark.parametrize(
    "returned", [None, pixels(), Sample(pixels(), 1, None, None)], ids=["none", "array", "fields"]
)
def test_what_is_no_sample(returned: Any) -> None:
    class Odd(Source):
        stored, targets, more = "pixels", np.zeros(3, np.int64), True

        def name(self, i: int) -> str:
            return "odd"

        def sample(self, i: int) -> Any:
            return returned

    with (
        fl.DataLoader(Odd(), batch_size=3, size=8, device="cpu", on_bad_sample="skip") as loader,
        pytest.raises(errors.ArgumentError, match=r"Odd.sample returned .*sample 0.*Return Sample"),
    ):
        next(iter(loader))
