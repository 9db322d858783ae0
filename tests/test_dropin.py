"""torch's DataLoader arguments: they mean what they mean there, or are answered in one line."""

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kernel_cases import photo
from torch.utils.data import DataLoader, Dataset, RandomSampler, default_collate

import fieldloom as fl
from fieldloom import dropin, pinning
from fieldloom.errors import ArgumentError
from fieldloom.ranks import Rank
from helpers import ids_of

N = 11
IMAGES = np.stack([photo(12, 14, k) for k in range(N)])
DATA = (IMAGES, np.arange(N) % 3)


def loader(*arguments: Any, **options: Any) -> fl.DataLoader:
    if not arguments and "dataset" not in options:
        arguments = (DATA,)
    return fl.DataLoader(*arguments, **{"size": 10, "device": "cpu", **options})


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropin, "_said", set())


# ---------------------------------------------------------------- arguments that have a meaning


def test_a_scripts_arguments_are_taken_as_they_are() -> None:
    arguments = {
        "batch_size": 4, "shuffle": None, "num_workers": 2, "drop_last": True, "timeout": 30,
        "prefetch_factor": 3, "pin_memory": True, "generator": torch.Generator().manual_seed(5),
    }  # fmt: skip
    theirs = DataLoader(list(range(N)), **arguments)
    with loader(dataset=DATA, **arguments) as some:
        for name in ("batch_size", "drop_last", "num_workers", "timeout", "prefetch_factor", "pin_memory"):
            assert getattr(some, name) == getattr(theirs, name), name
        assert (some.seed, some.shuffle, some.threads) == (5, False, 2)
        assert len(some) == len(theirs) == len(list(some)) == 2


def test_zero_workers_are_one_thread() -> None:
    with loader(num_workers=0) as some:
        assert some.threads == some.num_workers == 1


def test_no_timeout_and_no_generator_are_as_if_left_out() -> None:
    with loader(timeout=0, generator=None, prefetch_factor=None) as some:
        assert some.timeout == 0
        assert some.seed == 0
        assert some.prefetch_factor == 2


def test_a_generator_is_its_seed() -> None:
    with loader(shuffle=True, generator=torch.Generator().manual_seed(-3)) as some:
        assert some.seed == torch.Generator().manual_seed(-3).initial_seed() % 2**64
        order = ids_of(some)
    with loader(shuffle=True, seed=some.seed) as other:
        assert ids_of(other) == order


class Pairs(Dataset):
    def __len__(self) -> int:
        return N

    def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
        return IMAGES[i], i % 3


def test_attributes_that_scripts_read(tmp_path: Path) -> None:
    listed = [(image, 0) for image in IMAGES]
    sampler = RandomSampler(range(N))
    with loader(listed, sampler=sampler) as some:
        assert some.dataset is listed
        assert some.sampler is sampler
        assert some.batch_sampler is None
        assert len(some.dataset) == N
    with loader() as some:  # a pair of columns has length 2
        assert len(some.dataset) == N
    (tmp_path / "a").mkdir()
    for i in range(3):
        (tmp_path / f"a/{i}.jpg").touch()
    with loader(str(tmp_path)) as some:
        assert len(some.dataset) == 3
        assert some.dataset.classes == ["a"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_workers": 2, "threads": 2}, "num_workers together with threads"),
        ({"source": DATA, "dataset": DATA}, "dataset together with source"),
        ({"timeout": 3, "timeout_s": 3.0}, "timeout together with timeout_s"),
        ({"generator": torch.Generator(), "seed": 3}, "generator together with seed"),
        ({"num_workers": -1}, "num_workers=-1"),
        ({"num_workers": 1.5}, "num_workers=1.5"),
        ({"timeout": -1}, "timeout=-1"),
        ({"prefetch_factor": 0}, "prefetch_factor=0"),
        ({"generator": 5}, "generator=5: not a torch.Generator"),
        ({"pin_memory": "yes"}, "pin_memory='yes'"),
        ({"batch_size": None}, "batch_size=None"),
        ({"size": True}, "Pass shuffle=True by name"),
        ({"numworkers": 3}, "no option 'numworkers'"),
        ({"transform": print}, "did you mean 'augment'"),
    ],
)
def test_wrong_values_are_refused(options: dict[str, Any], message: str) -> None:
    arguments = () if "source" in options else (DATA,)
    with pytest.raises(ArgumentError, match=message):
        fl.DataLoader(*arguments, **options)


def test_a_loader_needs_data() -> None:
    with pytest.raises(ArgumentError, match="without a data set"):
        fl.DataLoader(batch_size=3)


# ---------------------------------------------------------------- arguments that have none


def test_batches_are_read_as_tuples_are() -> None:
    """torch's tutorials write `data[0].to(device), data[1].to(device)`."""
    with loader(batch_size=3) as some:
        batch = next(iter(some))
    images, targets = batch
    assert batch[0] is images
    assert batch[1] is targets
    for wrong in (2, -1, True):
        with pytest.raises(ArgumentError, match="no such column"):
            batch[wrong]


def test_torchs_default_beside_a_batch_sampler_is_taken() -> None:
    with loader(batch_sampler=[[0, 1, 2], [3]], batch_size=1) as some:
        assert [len(batch.ids) for batch in some] == [3, 1]


def test_a_collate_function_without_a_name_is_refused_too() -> None:
    with pytest.raises(ArgumentError, match=r"collate_fn=functools\.partial.*in the training loop"):
        loader(collate_fn=functools.partial(default_collate))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("persistent_workers", True),
        ("pin_memory_device", "cuda:0"),
        ("in_order", True),
        ("multiprocessing_context", "spawn"),
        ("worker_init_fn", None),
        ("collate_fn", None),
        ("collate_fn", default_collate),
    ],
)
def test_what_is_not_needed_is_said_once(option: str, value: Any) -> None:
    with pytest.warns(UserWarning, match=f"does not need {option}: ") as said, loader(**{option: value}):
        pass
    assert "\n" not in str(said[0].message)
    assert said[0].filename == __file__ or "test_dropin" in said[0].filename
    with loader(**{option: value}) as some:  # warnings are errors here
        assert len(ids_of(some)) == 1


@pytest.mark.parametrize(
    ("option", "value", "remedy"),
    [
        ("collate_fn", list, "Apply it to each batch in the training loop"),
        ("worker_init_fn", print, "seed= fixes all that is random"),
        ("in_order", False, "a batch that is late is waited for"),
    ],
)
def test_what_would_be_missed_is_refused(option: str, value: Any, remedy: str) -> None:
    with pytest.raises(ArgumentError, match=remedy) as error:
        loader(**{option: value})
    assert option in str(error.value)
    assert "\n" not in str(error.value)


def test_every_argument_of_torchs_loader_has_an_answer() -> None:
    import inspect

    own = inspect.signature(fl.DataLoader.__init__).parameters
    for name in inspect.signature(DataLoader.__init__).parameters:
        if name != "self":
            assert name in own or name in dropin._RENAMED or name in dropin._NOT_NEEDED, name


# ---------------------------------------------------------------- memory


def test_nothing_is_pinned_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with loader(pin_memory=True) as some:
        assert len(list(some)) == 1


def test_batches_are_pinned_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[torch.Tensor] = []

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        pinned.append(tensor.clone())
        return pinned[-1]

    monkeypatch.setattr(pinning, "can_pin", lambda: True)
    monkeypatch.setattr("fieldloom.loader.can_pin", lambda: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    with (
        loader(pin_memory=True, augment=[fl.MixUp()], batch_size=8) as some,
        loader(augment=[fl.MixUp()], batch_size=8) as other,
    ):
        for batch, plain in zip(some, other, strict=True):
            for column in (batch.images, batch.targets, batch.weights, batch.mix.classes, batch.mix.weights):
                assert any(column is tensor for tensor in pinned)
            assert torch.equal(batch.images, plain.images)
            assert not any(batch.ids is tensor for tensor in pinned)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_pinned_batches_on_a_machine_with_a_gpu() -> None:
    with loader(pin_memory=True) as some:
        batch = next(iter(some))
    assert batch.images.is_pinned()
    assert batch.to("cuda", non_blocking=True).images.device.type == "cuda"


def test_a_batch_moves_as_a_whole() -> None:
    with loader(augment=[fl.MixUp()], batch_size=N, mix_group=N) as some:
        batch = next(iter(some))
    moved = batch.to("meta")
    assert type(moved) is fl.Batch
    for column in (moved.images, moved.targets, moved.weights, moved.mix.classes, moved.mix.weights):
        assert column.device.type == "meta"
    assert moved.ids.device.type == moved.mix.ids.device.type == "cpu"
    assert moved.names == batch.names
    assert (moved.epoch, moved.index) == (0, 0)
    assert batch.images.device.type == "cpu"


def test_fields_and_masks_move_too() -> None:
    column, text = torch.arange(2), ["a", "b"]
    images = torch.zeros(2, 3, 4, 4)
    batch = fl.Batch(images, column, column, column, 0, 0, masks=column, fields={"x": column, "y": text})
    moved = batch.to("meta")
    assert moved.masks.device.type == moved["x"].device.type == "meta"
    assert moved["y"] == text


# ---------------------------------------------------------------- saved state


class Loaded:
    """A selector with arrays of all kinds of numbers."""

    def select(self, epoch: int, signals: object) -> fl.Selection:
        return fl.Selection(np.arange(8), np.linspace(1, 2, 8), np.linspace(0, 1, 8))

    def state(self) -> dict[str, np.ndarray]:
        return {"a": np.arange(3, dtype=np.uint8), "b": np.float64(2.5), "c": np.array([True, False])}

    def load(self, state: dict[str, np.ndarray]) -> None:
        self.loaded = state


def test_torch_saves_a_state_and_loads_it_as_weights_only(tmp_path: Path) -> None:
    with loader(batch_size=3, selection=Loaded()) as some:
        next(iter(some))
        torch.save({"loader": some.state_dict(), "epoch": 1}, tmp_path / "checkpoint.pt")
        want = some.state_dict()
    selector = Loaded()
    with loader(batch_size=3, selection=selector) as other:
        other.load_state_dict(torch.load(tmp_path / "checkpoint.pt", weights_only=True)["loader"])
        assert [b.index for b in other] == [1, 2]
        assert isinstance(selector.loaded["a"], np.ndarray)
        assert selector.loaded["a"].tolist() == [0, 1, 2]
        assert float(selector.loaded["b"]) == 2.5
        arrays = {name: array.numpy() for name, array in want["arrays"].items()}
        other.load_state_dict(want | {"arrays": arrays})  # NumPy's are taken as well
        assert [b.index for b in other] == [1, 2]


def test_a_state_does_not_change_behind_ones_back() -> None:
    with loader(batch_size=4, selection=fl.Forgetting(0.5)) as some:
        losses = []
        for batch in some:
            some.feedback(batch, correct=torch.ones(len(batch), dtype=torch.bool))
            losses.append(some.state_dict()["arrays"]["signals.correct_epochs"])
        assert [int((array == 0).sum()) for array in losses] == [4, 8, 11]


def test_the_convention_of_stateful_loaders() -> None:
    """A state of the beginning, of the middle and of the end; loaded, then iterated."""

    def run(some: fl.DataLoader) -> list[list[int]]:
        return ids_of(some)

    with loader(batch_size=4, shuffle=True) as some:
        fresh = some.state_dict()
        iterator = iter(some)
        first = next(iterator).ids.tolist()
        middle = some.state_dict()
        rest = [batch.ids.tolist() for batch in iterator]
        end = some.state_dict()
        second = run(some)
    for state, want in ((fresh, [first, *rest]), (middle, rest), (end, second)):
        with loader(batch_size=4, shuffle=True) as other:
            other.load_state_dict(state)
            assert run(other) == want
    with loader(batch_size=4, shuffle=True) as other:
        other.load_state_dict(middle)
        assert other.state_dict()["batch"] == 1
        assert len(other) == 3  # of the whole epoch, as in torchdata
        assert run(other) == rest
        assert run(other) == second


# ---------------------------------------------------------------- ranks


def test_a_process_group_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert Rank.of(None, None) == Rank(1, 2)
    distributed = torch.distributed
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_rank", lambda: 3)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 4)
    assert Rank.of(None, None) == Rank(3, 4)
    assert Rank.of(0, 8) == Rank(0, 8)
    monkeypatch.setattr(distributed, "is_initialized", lambda: False)
    assert Rank.of(None, None) == Rank(1, 2)


def test_ranks_do_not_import_torch() -> None:
    code = "import sys; from fieldloom.ranks import Rank; Rank.of(None, None); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
