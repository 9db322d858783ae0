"""Saved state: the next batch is exactly the one that came next, wherever it is loaded."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from kernel_cases import photo
from torch.utils.data import RandomSampler

import fieldloom as fl
from fieldloom.errors import ArgumentError, StateError

N = 37
IMAGES = np.stack([photo(12, 14, k) for k in range(N)])
LABELS = np.arange(N) % 4
AUGMENT = [fl.RandomResizedCrop(), fl.RandomField("translate"), fl.RandAugment(), fl.Normalize(), fl.MixUp()]


def loader(**options: object) -> fl.DataLoader:
    settings = {"batch_size": 8, "size": 10, "shuffle": True, "seed": 3, "threads": 1, "device": "cpu"}
    return fl.DataLoader((IMAGES, LABELS), **{"augment": AUGMENT, **settings, **options})


def contents(batch: fl.Batch) -> tuple:
    mixed = () if batch.mix is None else (batch.mix.weights.numpy().tobytes(),)
    return (batch.epoch, batch.index, batch.ids.tolist(), batch.images.numpy().tobytes(),
            batch.weights.numpy().tobytes(), *mixed)  # fmt: skip


def epochs(some: fl.DataLoader, n: int) -> list[tuple]:
    return [contents(batch) for _ in range(n) for batch in some]


class Third:
    """A selector of a user's own: every third sample, beginning with the epoch's number; weights differ."""

    def select(self, epoch: int, signals: object) -> fl.Selection:
        ids = np.arange(epoch % 3, N, 3)
        return fl.Selection(ids, np.linspace(1, 2, len(ids)), np.linspace(0, 1, len(ids)))


def manual(some: fl.DataLoader) -> None:
    some.select(np.arange(20), weights=np.arange(1, 21), repeats=np.arange(20) % 3, strength=np.ones(20))


@pytest.mark.parametrize("kind", ["all", "manual", "selector", "drop_last"])
def test_every_batch_can_be_resumed_twice(kind: str) -> None:
    options = {"selector": {"selection": Third()}, "drop_last": {"drop_last": True}}.get(kind, {})
    with loader(**options) as some:
        if kind == "manual":
            manual(some)
        whole = epochs(some, 2)
    with loader(**options) as some, loader(**options) as other:
        if kind == "manual":
            manual(some)
        for taken in range(len(whole)):
            # A state of the middle of an epoch, and one right behind its last batch.
            position, state = 0, None
            some.set_epoch(0)
            for _ in range(2):
                for batch in some:
                    assert contents(batch) == whole[position]
                    position += 1
                    if position == taken + 1:
                        state = some.state_dict()
                        break
                if state is not None:
                    break
            for _ in range(2):
                other.load_state_dict(
                    json.loads(json.dumps(without_arrays(state))) | {"arrays": state["arrays"]}
                )
                assert epochs(other, 2)[: len(whole) - taken - 1] == whole[taken + 1 :]


def without_arrays(state: dict) -> dict:
    plain = {key: value for key, value in state.items() if key != "arrays"}
    assert len(json.dumps(plain)) < 4096
    return plain


@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1), (4, 2)])
def test_a_state_moves_to_another_world_size(first: int, second: int) -> None:
    def world(size: int) -> list[fl.DataLoader]:
        return [
            loader(batch_size=16 // size, rank=r, world_size=size, drop_last=True, mix_group=4)
            for r in range(size)
        ]

    def step(iterators: list) -> dict[int, bytes]:
        found = {}
        for iterator in iterators:
            batch = next(iterator)
            found |= {i: x.numpy().tobytes() for i, x in zip(batch.ids.tolist(), batch.images, strict=True)}
        return found

    before, after = world(first), world(second)
    try:
        iterators = [iter(some) for some in before]
        step(iterators)
        state = before[0].state_dict()
        want = step(iterators)
        for some in after:
            some.load_state_dict(state)
        assert step([iter(some) for some in after]) == want
    finally:
        for some in (*before, *after):
            some.close()


def test_states_at_the_ends() -> None:
    with loader() as some, loader() as other:
        fresh = some.state_dict()
        assert (fresh["epoch"], fresh["batch"]) == (0, 0)
        first = epochs(some, 1)
        behind = some.state_dict()
        assert (behind["epoch"], behind["batch"]) == (1, 0)
        other.load_state_dict(fresh)
        assert epochs(other, 1) == first
        other.load_state_dict(behind)
        assert other.epoch == 1
        iterator = iter(some)
        for _ in range(len(some)):
            next(iterator)
        assert some.state_dict()["epoch"] == 2  # all batches taken, though nobody has seen the end


def test_files_hold_a_state(tmp_path: Path) -> None:
    with loader(selection=Third()) as some, loader(selection=Third()) as other:
        next(iter(some))
        some.save_state(tmp_path / "state.json")
        assert len(list(tmp_path.glob("*.npz"))) == 1
        other.load_state(tmp_path / "state.json")
        assert other.state_dict()["plan"] == some.state_dict()["plan"]
        (array,) = tmp_path.glob("*.npz")
        array.write_bytes(array.read_bytes()[:-3] + b"abc")
        with pytest.raises(StateError, match="damaged"):
            other.load_state(tmp_path / "state.json")
        array.unlink()
        with pytest.raises(StateError, match="cannot read"):
            other.load_state(tmp_path / "state.json")
        (tmp_path / "state.json").write_text("{")
        with pytest.raises(StateError, match="cannot read"):
            other.load_state(tmp_path / "state.json")


@pytest.mark.parametrize(
    ("field", "value"),
    [("seed", 9), ("n_samples", 3), ("global_batch", 1), ("shuffle", False), ("drop_last", True),
     ("recipe", "x"), ("recipe_version", 0), ("format", 2), ("epoch", -1), ("batch", 1.5),
     ("plan", "0" * 32)],
)  # fmt: skip
def test_a_changed_field_is_named(field: str, value: object) -> None:
    with loader() as some, loader() as other:
        next(iter(some))
        state = some.state_dict() | {field: value}
        with pytest.raises(StateError, match="plan" if field == "plan" else str(value).replace(".", r"\.")):
            other.load_state_dict(state)


def test_what_is_no_state_is_refused() -> None:
    with loader() as some:
        for wrong in ({}, None, {"epoch": 1}):
            with pytest.raises(StateError, match="not a loader's state"):
                some.load_state_dict(wrong)
    with pytest.raises(StateError, match="closed"):
        some.state_dict()


def test_an_iterator_that_nobody_read_leaves_its_epoch() -> None:
    """Frameworks call `iter` to see that they can, and once more to read."""
    with loader() as some, loader() as other:
        whole = epochs(some, 2)
        iter(other)
        iter(other)
        assert other.epoch == 0
        assert contents(next(iter(other))) == whole[0]
        state = other.state_dict()
        assert epochs(other, 1) == whole[len(some) :]
        other.load_state_dict(state)
        iter(other)
        assert other.state_dict()["batch"] == 1
        assert epochs(other, 2) == whole[1:]
        iter(other)
        other.set_epoch(1)  # beside one that was not read
        assert epochs(other, 1) == whole[len(some) :]


def test_a_sampler_has_drawn_for_an_iterator_that_nobody_read() -> None:
    """Its generator has moved on, so the state must hold what it drew; also one saved right after loading."""

    def sampled() -> fl.DataLoader:
        generator = torch.Generator().manual_seed(5)
        return loader(shuffle=False, sampler=RandomSampler(range(N), generator=generator))

    with sampled() as some, sampled() as other, sampled() as third:
        whole = epochs(some, 2)
        assert epochs(other, 1) == whole[: len(some)]
        unread = iter(other)
        third.load_state_dict(other.state_dict())
        third.load_state_dict(third.state_dict())
        third.set_epoch(1)
        assert epochs(third, 1) == whole[len(some) :]
        assert [contents(batch) for batch in unread] == whole[len(some) :]


def test_set_epoch_keeps_the_place_in_that_epoch() -> None:
    """Scripts tell the epoch before each `for`; a loaded state goes on where it was nevertheless."""
    with loader() as some, loader() as other:
        whole = epochs(some, 2)
        some.set_epoch(0)
        iterator = iter(some)
        next(iterator), next(iterator)
        other.load_state_dict(some.state_dict())
        iter(other)
        for epoch in range(2):
            other.set_epoch(epoch)
            assert epochs(other, 1) == whole[len(some) * epoch or 2 : len(some) * (epoch + 1)]
        other.load_state_dict(some.state_dict())
        other.set_epoch(1)
        other.set_epoch(0)  # there and back: from the beginning
        assert epochs(other, 1) == whole[: len(some)]


# ---------------------------------------------------------------- ranks


@pytest.mark.parametrize("world", [2, 3, 8])
@pytest.mark.parametrize("drop_last", [False, True])
def test_ranks_share_the_plan_in_equal_steps(world: int, drop_last: bool) -> None:
    parts = []
    for rank in range(world):
        with loader(augment=[], batch_size=4, rank=rank, world_size=world, drop_last=drop_last) as some:
            parts.append([batch.ids.tolist() for batch in some])
            assert len(some) == len(parts[-1])
    assert len({len(part) for part in parts}) == 1
    assert all(len({len(part[b]) for part in parts}) == 1 for b in range(len(parts[0])))
    with loader(augment=[], batch_size=N) as some:
        order = next(iter(some)).ids.tolist()
    together = [i for b in range(len(parts[0])) for part in parts for i in part[b]]
    if drop_last:
        assert together == order[: len(together)]
        assert len(together) == N // (4 * world) * 4 * world
    else:
        assert together[:N] == order
        assert together[N:] == (order * world)[: len(together) - N]  # from the beginning again


def test_torchruns_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with loader(augment=[]) as some:
        assert (some.rank.index, some.rank.world) == (1, 2)
        assert some.state_dict()["global_batch"] == 16
    monkeypatch.setenv("RANK", "two")
    with pytest.raises(ArgumentError, match="RANK='two'"):
        loader()


@pytest.mark.parametrize(("rank", "world"), [(2, 2), (-1, 2), (0, 0), (None, 2), (1, None), (0.5, 2)])
def test_wrong_ranks_are_refused(rank: object, world: object) -> None:
    with pytest.raises(ArgumentError, match="rank="):
        loader(rank=rank, world_size=world)
