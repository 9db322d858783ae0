"""A user's sampler or batch sampler decides on an epoch: resumed exactly, shared out by rank, or refused."""

import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from kernel_cases import photo
from promises import by_sample, check_resume, check_worlds
from torch.utils.data import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

import fieldloom as fl
from fieldloom.errors import ArgumentError, StateError
from helpers import ids_of

N = 23
IMAGES = np.stack([photo(12, 14, k) for k in range(N)])
LABELS = np.arange(N) % 3
AUGMENT = [fl.RandomResizedCrop(), fl.RandomField("translate"), fl.Normalize()]


def loader(**options: Any) -> fl.DataLoader:
    settings = {"size": 10, "seed": 3, "threads": 1, "device": "cpu", "augment": AUGMENT}
    if "batch_sampler" not in options:
        settings["batch_size"] = 6
    return fl.DataLoader((IMAGES, LABELS), **{**settings, **options})


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(11)


class Odd:
    """A sampler of a user's own: NumPy's global generator, no length, tensors as ids."""

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter(torch.from_numpy(np.random.permutation(N)[: random.randint(9, 14)]))


class Buckets:
    """A batch sampler of a user's own: batches of many sizes, without a batch_size."""

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.randperm(N).tolist()
        for size in itertools.cycle((1, 5, 2, 7)):
            if not order:
                return
            yield order[:size]
            del order[:size]


SAMPLERS: dict[str, Callable[[], Any]] = {
    "random": lambda: RandomSampler(range(N)),
    "generator": lambda: RandomSampler(range(N), generator=generator()),
    "subset": lambda: SubsetRandomSampler([3, 4, 5, 6, 7, 20, 21]),
    "weighted": lambda: WeightedRandomSampler(np.arange(1, N + 1).tolist(), 20, generator=generator()),
    "distributed": lambda: DistributedSampler(range(N), num_replicas=2, rank=1),
    "list": lambda: [5, 5, 1, 2, 22],
    "own": Odd,
}
BATCH_SAMPLERS: dict[str, Callable[[], Any]] = {
    "torch": lambda: BatchSampler(RandomSampler(range(N), generator=generator()), 5, False),
    "of ranks": lambda: BatchSampler(DistributedSampler(range(N), num_replicas=2, rank=1), 5, True),
    "list": lambda: [[1, 2, 3], [4], [5, 6, 7, 8, 9], [1, 2]],
    "own": Buckets,
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_is_resumed_at_every_batch(name: str) -> None:
    check_resume(lambda **options: loader(sampler=SAMPLERS[name](), **options))


@pytest.mark.parametrize("name", BATCH_SAMPLERS)
def test_a_batch_sampler_is_resumed_at_every_batch(name: str) -> None:
    check_resume(lambda **options: loader(batch_sampler=BATCH_SAMPLERS[name](), **options))


def test_what_is_delivered_is_what_the_sampler_gave() -> None:
    alone = RandomSampler(range(N), generator=generator())
    with loader(sampler=RandomSampler(range(N), generator=generator())) as some:
        for _ in range(3):
            assert [i for batch in ids_of(some) for i in batch] == list(alone)
    lists = [[4, 4, 9], [1], [0, 2, 22, 3]]
    with loader(batch_sampler=lists) as some:
        assert len(some) == 3
        assert ids_of(some) == lists
        assert ids_of(some) == lists
        assert some.batch_size == 4


def test_repeats_within_an_epoch_are_augmented_anew() -> None:
    with loader(sampler=[7, 7, 7]) as some:
        images = next(iter(some)).images
    assert not torch.equal(images[0], images[1])
    assert not torch.equal(images[1], images[2])


@pytest.mark.parametrize("name", ["random", "own"])
def test_a_sampler_without_a_generator_follows_the_seed_and_leaves_others_alone(name: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    with loader(sampler=SAMPLERS[name]()) as some:
        first, second = ids_of(some), ids_of(some)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()
    assert random.getstate() == before[2]
    assert first != second
    torch.manual_seed(2)
    with loader(sampler=SAMPLERS[name]()) as some:
        some.set_epoch(1)
        assert ids_of(some) == second
    with loader(sampler=SAMPLERS[name](), seed=4) as some:
        assert ids_of(some) != first


def test_lengths_draw_nothing() -> None:
    class Counted(RandomSampler):
        drawn = 0

        def __iter__(self) -> Iterator[int]:
            self.drawn += 1
            return super().__iter__()

    sampler = Counted(range(N))
    with loader(sampler=sampler) as some:
        assert len(some) == 4
        assert sampler.drawn == 0
        assert len(ids_of(some)) == 4
        assert sampler.drawn == 1
        some.state_dict()
        assert len(some) == 4
        assert sampler.drawn == 1
    with loader(sampler=sampler, drop_last=True) as some:
        assert len(some) == len(ids_of(some)) == 3
    with loader(sampler=Odd()) as some, pytest.raises(TypeError):
        len(some)


# ---------------------------------------------------------------- ranks


def ranks(world: int, **options: Any) -> list[list[fl.Batch]]:
    """Batches of an epoch by rank; options of each rank are made by calling them with it."""
    found = []
    for rank in range(world):
        made = {k: v(rank) if callable(v) else v for k, v in options.items()}
        with loader(rank=rank, world_size=world, **made) as some:
            found.append(list(some))
            assert len(found[-1]) == len(some)
    return found


def test_a_samplers_state_moves_to_another_world_size() -> None:
    check_worlds(lambda **options: loader(sampler=RandomSampler(range(N), generator=generator()), **options))


def test_a_sampler_is_shared_out() -> None:
    found = ranks(2, sampler=lambda _: RandomSampler(range(N), generator=generator()), batch_size=3)
    with loader(sampler=RandomSampler(range(N), generator=generator())) as some:
        whole = list(some)
    steps = [by_sample(list(together)) for together in zip(*found, strict=True)]
    assert steps[:-1] == [by_sample([batch]) for batch in whole[:-1]]
    assert len(found[0][-1]) == len(found[1][-1]) == 3  # 5 are left, and one is added


def test_ranks_take_what_the_first_drew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where their generators differ, they would meet the same samples."""
    first: list[Any] = []

    def broadcast(drawn: list[Any], src: int) -> None:
        assert src == 0
        if first:
            drawn[0] = first[0]
        else:
            first.append(drawn[0])

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "broadcast_object_list", broadcast)
    found = ranks(
        2, batch_size=3, drop_last=True,
        sampler=lambda rank: RandomSampler(range(N), generator=torch.Generator().manual_seed(rank)),
    )  # fmt: skip
    ids = [i for batches in found for batch in batches for i in batch.ids.tolist()]
    assert len(set(ids)) == len(ids) == 18
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: False)
    other = ranks(
        2, batch_size=3, drop_last=True,
        sampler=lambda rank: RandomSampler(range(N), generator=torch.Generator().manual_seed(rank)),
    )  # fmt: skip
    ids = [i for batches in other for batch in batches for i in batch.ids.tolist()]
    assert len(set(ids)) < len(ids), "the generators of this test are alike"


def test_a_sampler_that_shares_out_is_left_alone() -> None:
    def sampler(rank: int) -> DistributedSampler:
        return DistributedSampler(range(N), num_replicas=2, rank=rank, seed=4)

    found = ranks(2, sampler=sampler)
    for rank, batches in enumerate(found):
        own = sampler(rank)
        own.set_epoch(0)
        assert [i for batch in batches for i in batch.ids.tolist()] == list(own)
    assert len(found[0]) == len(found[1]) == 2


@pytest.mark.parametrize("world", [2, 3])
def test_batches_of_a_batch_sampler_go_round(world: int) -> None:
    lists = [[0, 1], [2], [3, 4, 5], [6], [7, 8, 9, 10]]
    found = [[batch.ids.tolist() for batch in batches] for batches in ranks(world, batch_sampler=lists)]
    assert len({len(batches) for batches in found}) == 1
    together = [batch for step in zip(*found, strict=True) for batch in step]
    assert together == (lists * 2)[: len(together)]


def test_the_state_of_another_rank_is_refused_where_the_sampler_shares_out() -> None:
    def of(rank: int) -> fl.DataLoader:
        sampler = DistributedSampler(range(N), num_replicas=2, rank=rank)
        return loader(sampler=sampler, rank=rank, world_size=2)

    with of(0) as first, of(1) as second:
        next(iter(first))
        with pytest.raises(StateError, match=r"another rank's: rank and world size were \[0, 2\]"):
            second.load_state_dict(first.state_dict())


def test_a_states_batch_sampler_and_world_are_compared() -> None:
    lists = [[0, 1], [2], [3, 4, 5], [6]]
    with loader(batch_sampler=lists) as some, loader(batch_sampler=lists, rank=0, world_size=2) as other:
        next(iter(some))
        with pytest.raises(StateError, match="batch_sampler, 1 ranks"):
            other.load_state_dict(some.state_dict())


# ---------------------------------------------------------------- epochs, mixing


def test_set_epoch_reaches_the_sampler() -> None:
    sampler = DistributedSampler(range(N), num_replicas=1, rank=0)
    for option in ({"sampler": sampler}, {"batch_sampler": BatchSampler(sampler, 6, False)}):
        with loader(**option) as some:
            some.set_epoch(7)
            first = ids_of(some)
            assert sampler.epoch == 7
            assert ids_of(some) != first
            assert sampler.epoch == 8


def test_an_epoch_told_to_the_sampler_alone_is_answered() -> None:
    sampler = DistributedSampler(range(N), num_replicas=1, rank=0)
    with loader(sampler=sampler) as some:
        sampler.set_epoch(0)  # what scripts do, and right
        next(iter(some))
        sampler.set_epoch(1)
        next(iter(some))
        sampler.set_epoch(9)
        with pytest.warns(UserWarning, match=r"set_epoch\(9\) is overruled by the loader, whose epoch is 2"):
            iter(some)


def test_mixed_samples_of_batches_of_different_sizes_are_replayed() -> None:
    lists = [[0, 1, 2, 3, 4], [5], [6, 7, 8, 9, 10, 11, 12], [13, 14]]
    with loader(batch_sampler=lists, augment=[*AUGMENT, fl.MixUp()], mix_group=4) as some:
        for batch in some:
            partners = set(batch.mix.ids.flatten().tolist())
            assert partners <= set(batch.ids.tolist())
            for id, image in zip(batch.ids.tolist(), batch.images, strict=True):
                assert torch.equal(some.replay(id, epoch=0), image)


def test_other_epochs_of_a_sampler_are_not_replayed() -> None:
    with loader(sampler=RandomSampler(range(N), generator=generator())) as some:
        list(some)
        some.replay(3, epoch=0)
        with pytest.raises(ArgumentError, match="replay of epoch 5"):
            some.replay(3, epoch=5)


def test_an_iterator_that_nobody_read_draws_nothing_more() -> None:
    alone = RandomSampler(range(N), generator=generator())
    with loader(sampler=RandomSampler(range(N), generator=generator())) as some:
        iter(some)
        iter(some)
        assert some.epoch == 0
        for _ in range(2):
            assert [i for batch in ids_of(some) for i in batch] == list(alone)


def test_a_choice_by_hand_overrides() -> None:
    with loader(sampler=RandomSampler(range(N))) as some:
        some.select([1, 2])
        assert ids_of(some) == [[1, 2]]
        some.select(None)
        assert len(ids_of(some)) == 4


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": SequentialSampler(range(N)), "shuffle": True}, "sampler together with shuffle"),
        ({"sampler": [1], "selection": fl.RS2(0.5)}, "sampler together with selection"),
        ({"sampler": [1], "batch_sampler": [[1]]}, "batch_sampler together with sampler"),
        ({"batch_sampler": [[1]], "batch_size": 8}, "batch_sampler together with batch_size"),
        ({"batch_sampler": [[1]], "drop_last": True}, "batch_sampler together with drop_last"),
        ({"batch_sampler": [[1]], "shuffle": True}, "batch_sampler together with shuffle"),
        ({"sampler": 5}, "sampler=5: not an iterable of ids"),
        ({"batch_sampler": "ab"}, "not an iterable of lists of ids"),
        ({"sampler": iter([1, 2])}, "an iterator is used up after one epoch"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        loader(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": [1, 2.5]}, "sampler gave 2.5 at position 1: not a sample's id"),
        ({"sampler": [[1, 2]]}, r"sampler gave \[1, 2\] .* go to batch_sampler="),
        ({"sampler": [1, N]}, f"id {N}"),
        ({"sampler": [-1]}, "id -1"),
        ({"sampler": []}, "no ids"),
        ({"batch_sampler": [1, 2]}, "gave 1 as batch 0: not a list"),
        ({"batch_sampler": [[1], []]}, "gave no ids as batch 1"),
    ],
)
def test_wrong_ids_are_refused_when_the_epoch_begins(options: dict[str, Any], message: str) -> None:
    with loader(**options) as some, pytest.raises(ArgumentError, match=message):
        iter(some)


def test_a_sampler_without_an_end_is_refused() -> None:
    class Endless:
        def __iter__(self) -> Iterator[int]:
            return itertools.cycle(range(N))

    with loader(sampler=Endless()) as some, pytest.raises(ArgumentError, match="Let its iterator end"):
        iter(some)
