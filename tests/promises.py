"""Harnesses for what every loader promises, whatever its source: each is one function, used by all tests.

`make` builds a loader from options: `make(batch_size=4, rank=1, world_size=2)`.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import fieldloom as fl

Make = Callable[..., fl.DataLoader]


def contents(batch: fl.Batch) -> tuple[Any, ...]:
    """Everything that a batch delivers, comparable."""
    fields = tuple((name, _comparable(column)) for name, column in sorted(batch.fields.items()))
    masks = None if batch.masks is None else batch.masks.numpy().tobytes()
    return (
        batch.epoch, batch.index, batch.ids.tolist(), _comparable(batch.images), _comparable(batch.targets),
        _comparable(batch.weights), masks, fields,
    )  # fmt: skip


def _comparable(column: Any) -> Any:
    if isinstance(column, torch.Tensor):
        return tuple(column.shape), column.contiguous().view(torch.uint8).numpy().tobytes()
    return repr(column)


def by_sample(batches: list[fl.Batch]) -> dict[tuple[int, int, int], Any]:
    """(epoch, id, how often it came before in the epoch) -> what was delivered of it."""
    found: dict[tuple[int, int, int], Any] = {}
    for batch in batches:
        for i, id in enumerate(batch.ids.tolist()):
            times = sum(key[:2] == (batch.epoch, id) for key in found)
            mask = None if batch.masks is None else batch.masks[i].numpy().tobytes()
            fields = {name: repr(column[i]) for name, column in batch.fields.items()}
            found[batch.epoch, id, times] = (
                batch.images[i].contiguous().view(torch.uint8).numpy().tobytes(),
                batch.targets[i].tolist(), batch.weights[i].item(), mask, fields,
            )  # fmt: skip
    return found


def epochs(loader: fl.DataLoader, n: int = 1) -> list[tuple[Any, ...]]:
    """Contents of the batches of n epochs from where the loader stands."""
    return [contents(batch) for _ in range(n) for batch in loader]


def check_resume(make: Make, n_epochs: int = 2, twice: int = 2) -> None:
    """A state saved at any batch of `n_epochs`, and loaded `twice`, gives the rest of them byte for byte."""
    with make() as some:
        whole = epochs(some, n_epochs)
    assert whole
    with make() as saving, make() as loading:
        taken = 0
        for _ in range(n_epochs):
            for batch in saving:
                assert contents(batch) == whole[taken], f"batch {taken} of the loader that saves"
                taken += 1
                state = _through_text(saving.state_dict())
                for _ in range(twice):
                    loading.load_state_dict(state)
                    left = n_epochs - loading.epoch
                    assert epochs(loading, left) == whole[taken:], f"resumed behind batch {taken}"


def check_worlds(make: Make, global_batch: int = 8, worlds: tuple[int, ...] = (1, 2, 4)) -> None:
    """Ranks share each global batch out, disjointly and in equal steps; states move to other world sizes."""
    expected: list[dict[Any, Any]] = []
    for world in worlds:
        ranks = [
            make(batch_size=global_batch // world, rank=r, world_size=world, drop_last=True)
            for r in range(world)
        ]
        assert len({len(rank) for rank in ranks}) == 1
        steps = [by_sample(list(together)) for together in zip(*ranks, strict=True)]
        assert all(len(step) == global_batch for step in steps), "ranks see disjoint samples"
        expected = expected or steps
        assert steps == expected, f"{world} ranks"
        for rank in ranks:
            rank.close()
    for before in worlds:
        with make(batch_size=global_batch // before, rank=0, world_size=before, drop_last=True) as first:
            next(iter(first))
            state = _through_text(first.state_dict())
        for after in worlds:
            ranks = [
                make(batch_size=global_batch // after, rank=r, world_size=after, drop_last=True)
                for r in range(after)
            ]
            for rank in ranks:
                rank.load_state_dict(state)
            steps = [by_sample(list(together)) for together in zip(*ranks, strict=True)]
            assert steps == expected[1:], f"from {before} to {after} ranks"
            for rank in ranks:
                rank.close()


def check_same(make: Make) -> None:
    """Batch size and threads change nothing of any sample; each can be replayed alone."""
    with make(batch_size=5, threads=1) as loader:
        expected = by_sample(list(loader))
    for options in ({"batch_size": 1, "threads": 2}, {"batch_size": 64, "threads": 3}):
        with make(**options) as loader:
            assert by_sample(list(loader)) == expected, options
    with make() as loader:
        for epoch, id, times in list(expected)[::5]:
            image = loader.replay(id, epoch=epoch, occurrence=times)
            found = image.contiguous().view(torch.uint8).numpy().tobytes()
            assert found == expected[epoch, id, times][0], f"replay of sample {id}"


def check_selected(make: Make) -> None:
    """Only what is selected is read."""
    with make() as loader:
        n, read = len(loader.source), set[int]()
        for name in ("read", "pixels", "sample", "window"):
            if hasattr(loader.source, name):
                setattr(loader.source, name, _noting(getattr(loader.source, name), read))
        ids = list(range(1, n, 4))
        loader.select(ids)
        assert sorted(id for batch in loader for id in batch.ids.tolist()) == ids
        assert read <= set(ids)
        assert read or loader.source.dense is not None


def _noting(method: Callable[..., Any], read: set[int]) -> Callable[..., Any]:
    def noted(i: int, *rest: Any) -> Any:
        read.add(int(i))
        return method(i, *rest)

    return noted


def _through_text(state: dict[str, Any]) -> dict[str, Any]:
    """A state as it comes back from a file: plain values as JSON, below 4 kB."""
    plain = {key: value for key, value in state.items() if key != "arrays"}
    text = json.dumps(plain)
    assert len(text) < 4096
    arrays = {key: np.asarray(value).copy() for key, value in state["arrays"].items()}
    return json.loads(text) | {"arrays": arrays}
