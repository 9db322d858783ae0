"""Under torch.distributed every rank ends with the selection that one process by itself would make."""

import multiprocessing
import socket

import numpy as np
import pytest

from helpers import decide_together

NAMES = ("coreset", "max-loss", "forgetting", "infobatch", "adaptive")


def selections(world: int, name: str) -> list[list[dict[str, np.ndarray]]]:
    """What each rank selected in each epoch."""
    spawned = multiprocessing.get_context("spawn")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    results = spawned.Queue()
    processes = [
        spawned.Process(target=decide_together, args=(rank, world, port, name, results))
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    found = dict(results.get(timeout=100) for _ in processes)
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    return [found[rank] for rank in range(world)]


def check(world: int, name: str) -> None:
    (alone,) = selections(1, name)
    assert any("ids" in epoch for epoch in alone), "nothing was selected: the test would show nothing"
    for rank, together in enumerate(selections(world, name)):
        for epoch, (one, other) in enumerate(zip(alone, together, strict=True)):
            assert one.keys() == other.keys(), (rank, epoch)
            for column, values in one.items():
                np.testing.assert_array_equal(values, other[column], f"rank {rank} epoch {epoch} {column}")


@pytest.mark.parametrize(("world", "name"), [(2, "coreset"), (3, "coreset"), (2, "forgetting")])
def test_ranks_decide_alike(world: int, name: str) -> None:
    check(world, name)


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_all_selectors(world: int, name: str) -> None:
    check(world, name)
