"""Loaders whose recipes have stages: mixing within plan groups, views, strength, replay, bad samples."""

import numpy as np
import pytest
import torch
from kernel_cases import photo

import fieldloom as fl
from fieldloom.errors import ArgumentError

N = 44  # five whole groups and a half
IMAGES = np.stack([photo(20, 26, k) for k in range(N)])
LABELS = np.arange(N) % 5
SIZE = 16
EVERYTHING = [
    fl.RandomResizedCrop(), fl.HorizontalFlip(), fl.RandomField("translate"), fl.PASTA(p=0.5),
    fl.RandAugment(), fl.GaussianNoise(), fl.Normalize(), fl.RandomErasing(p=0.5, fill="noise"),
    fl.OneOf([fl.MixUp(), fl.CutMix(), fl.FMix(), fl.ResizeMix()]),
]  # fmt: skip


def loader(batch_size: int = 8, *, augment: object = EVERYTHING, **options: object) -> fl.DataLoader:
    settings = {"shuffle": True, "seed": 5, "threads": 1, "device": "cpu", "size": SIZE}
    return fl.DataLoader((IMAGES, LABELS), batch_size=batch_size, augment=augment, **settings | options)


def epoch_of(some: fl.DataLoader) -> dict[int, tuple[np.ndarray, ...]]:
    """id -> (image, classes, weights, ids) of one epoch; ids that come once."""
    found = {}
    for batch in some:
        rows = (batch.images, batch.mix.classes, batch.mix.weights, batch.mix.ids)
        for sample, *row in zip(batch.ids.tolist(), *rows, strict=True):
            found[sample] = tuple(value.numpy().copy() for value in row)
    return found


def assert_equal(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for sample, row in a.items():
        for left, right in zip(row, b[sample], strict=True):
            np.testing.assert_array_equal(left, right, f"sample {sample}")


@pytest.fixture(scope="module")
def whole() -> dict:
    with loader() as some:
        return epoch_of(some)


@pytest.mark.parametrize(("batch_size", "threads"), [(16, 1), (24, 3), (64, 2)])
def test_mixed_images_do_not_depend_on_batches_or_threads(whole: dict, batch_size: int, threads: int) -> None:
    with loader(batch_size, threads=threads) as some:
        assert_equal(epoch_of(some), whole)


def test_partners_come_from_the_plans_groups(whole: dict) -> None:
    with loader(augment=[], batch_size=N) as some:
        order = next(iter(some)).ids.tolist()
    place = {sample: k for k, sample in enumerate(order)}
    partners = {sample: int(row[3][1]) for sample, row in whole.items()}
    assert all(place[a] // 8 == place[b] // 8 for a, b in partners.items())
    mixed = [a for a, b in partners.items() if a != b]
    assert len(mixed) > N // 2
    assert all(whole[a][1].tolist() == [LABELS[a], LABELS[partners[a]]] for a in mixed)


def test_replay_gives_mixed_samples(whole: dict) -> None:
    with loader(batch_size=24) as some:
        for sample in (0, 17, N - 1):
            np.testing.assert_array_equal(some.replay(sample, 0).numpy(), whole[sample][0])


def test_replay_follows_the_selection_that_mixes() -> None:
    with loader() as some:
        some.select([3, 9, 3, 20, 31, 3])
        batch = next(iter(some))
        times = {3: 0}
        for image, sample in zip(batch.images, batch.ids.tolist(), strict=True):
            if sample == 9:
                np.testing.assert_array_equal(some.replay(9, 0).numpy(), image.numpy())
            times[sample] = times.get(sample, 0) + 1
        assert times[3] == 3
        with pytest.raises(ArgumentError, match="not in the plan"):
            some.replay(5, 0)


def test_batches_that_cut_groups_say_so_and_stay_within() -> None:
    with pytest.warns(UserWarning, match="mix_group=8"):
        some = loader(batch_size=10)
    with some:
        batch = next(iter(some))
        assert set(batch.mix.ids.flatten().tolist()) <= set(batch.ids.tolist())
        sample = int(batch.ids[4])
        np.testing.assert_array_equal(some.replay(sample, 0).numpy(), batch.images[4].numpy())


@pytest.mark.parametrize("batch_size", [8, 12])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.filterwarnings("ignore:batch_size")
def test_replay_gives_what_a_rank_delivers(batch_size: int, drop_last: bool) -> None:
    # The last batches begin the plan anew, so that groups hold samples of its beginning.
    choice = [fl.OneOf([fl.MixUp(), fl.CutMix()], alternate="groups")]
    for rank in range(3):
        options = {"rank": rank, "world_size": 3, "drop_last": drop_last, "augment": choice}
        with loader(batch_size, **options) as some:
            images = {
                int(i): image for batch in some for i, image in zip(batch.ids, batch.images, strict=True)
            }
            for sample, image in images.items():
                np.testing.assert_array_equal(some.replay(sample, 0).numpy(), image.numpy(), f"{sample}")
            others = [k for k in range(N) if k not in images]
            assert some.replay(others[0], 0).shape == (3, SIZE, SIZE)


@pytest.mark.parametrize("labels", ["same", "independent"])
def test_weights_are_those_of_the_mixture(labels: str) -> None:
    with loader(augment=[fl.MixUp(labels=labels)], batch_size=16) as some:
        weights = np.linspace(1, 3, N)
        some.select(np.arange(N), weights=weights)
        scaled = weights / weights.mean()
        for batch in some:
            want = (batch.mix.weights.numpy() * scaled[batch.mix.ids.numpy()]).sum(1)
            np.testing.assert_allclose(batch.weights.numpy(), want, rtol=1e-5)


def test_soft_targets() -> None:
    with loader(augment=[fl.MixUp()]) as some:
        batch = next(iter(some))
        soft = batch.soft_targets(5)
    np.testing.assert_allclose(soft.sum(1).numpy(), 1, rtol=1e-6)
    row = torch.zeros(5)
    row[batch.mix.classes[0, 0]] += batch.mix.weights[0, 0]
    row[batch.mix.classes[0, 1]] += batch.mix.weights[0, 1]
    torch.testing.assert_close(soft[0], row)
    with loader(augment=[]) as some:
        batch = next(iter(some))
    assert batch.mix is None
    assert (batch.soft_targets(5).argmax(1) == batch.targets).all()


def test_mixing_stops_after_a_fraction_of_training() -> None:
    with loader(augment=[fl.MixUp(stop_at=0.5)], epochs=4) as some:
        kinds = [np.concatenate([b.mix.kinds.numpy() for b in some]).max() for _ in range(4)]
    assert kinds == [1, 1, 0, 0]
    with pytest.raises(ArgumentError, match="epochs"):
        loader(augment=[fl.MixUp(stop_at=0.5)])


def test_a_choice_alternates_by_epoch() -> None:
    choice = fl.OneOf([fl.MixUp(), fl.CutMix()], alternate="epochs")
    with loader(augment=[choice]) as some:
        kinds = [set(np.concatenate([b.mix.kinds.numpy() for b in some]).tolist()) for _ in range(3)]
    assert kinds == [{1}, {2}, {1}]


@pytest.mark.parametrize(
    ("batch_size", "want"),
    [
        (16, [1] * 8 + [2] * 16 + [1] * 8 + [2] * 12),
        (12, [1] * 8 + [2] * 12 + [1] * 4 + [2] * 12 + [1] * 8),  # groups of 8 and 4 in each batch
        (4, ([1] * 4 + [2] * 8) * 4),  # a group a batch
    ],
)
@pytest.mark.filterwarnings("ignore:batch_size")
def test_a_choice_alternates_by_group_whatever_the_batch_size(batch_size: int, want: list[int]) -> None:
    choice = fl.OneOf([fl.MixUp(), fl.CutMix()], alternate="groups", every=[1, 2])
    with loader(batch_size, augment=[choice]) as some:
        batches = list(some)
        kinds = np.concatenate([b.mix.kinds.numpy() for b in batches])
        for batch in batches[-2:]:
            sample = int(batch.ids[-1])
            np.testing.assert_array_equal(some.replay(sample, 0).numpy(), batch.images[-1].numpy())
    assert kinds.tolist() == want[:N]


# ---------------------------------------------------------------- views


def test_views_stand_side_by_side() -> None:
    augment = [fl.RandomResizedCrop(), fl.AugMix(views=3), fl.Normalize()]
    with loader(augment=augment) as some, loader(augment=[augment[0], fl.Normalize()]) as plain:
        batch, clean = next(iter(some)), next(iter(plain))
        assert batch.images.shape == (3, 8, 3, SIZE, SIZE)
        # The clean view's pixels are whole levels; without stages they stay in float.
        assert abs(batch.images[0] - clean.images).max() <= 0.51 / 255 / 0.224
        assert not torch.equal(batch.images[1], batch.images[2])
        sample = int(batch.ids[5])
        np.testing.assert_array_equal(some.replay(sample, 0).numpy(), batch.images[:, 5].numpy())


def test_views_are_mixed_alike() -> None:
    with loader(augment=[fl.AugMix(views=2), fl.MixUp()]) as some:
        batch = next(iter(some))
    assert batch.images.shape[:2] == (2, 8)
    assert batch.mix.classes.shape == (8, 2)
    with loader(augment=[fl.AugMix(views=2)]) as some:
        unmixed = next(iter(some))
    place = {sample: k for k, sample in enumerate(unmixed.ids.tolist())}
    partners = [place[sample] for sample in batch.mix.ids[:, 1].tolist()]
    share = batch.mix.weights[:, 0].reshape(1, 8, 1, 1, 1)
    want = share * unmixed.images + (1 - share) * unmixed.images[:, partners]
    torch.testing.assert_close(batch.images, want, rtol=0, atol=1e-5)


# ---------------------------------------------------------------- strength


def test_strength_nothing_leaves_crop_and_flip() -> None:
    base = [fl.RandomResizedCrop(), fl.HorizontalFlip()]
    with (
        loader() as some,
        loader(augment=[*base, fl.Normalize()]) as plain,
    ):
        some.select(np.arange(N), strength=np.zeros(N))
        for batch, clean in zip(some, plain, strict=True):
            assert (batch.mix.kinds == 0).all()
            # Whole levels in between, so half a level of difference.
            assert abs(batch.images - clean.images).max() <= 0.51 / 255 / 0.224


def test_strength_one_is_the_recipe(whole: dict) -> None:
    with loader() as some:
        some.select(np.arange(N), strength=np.ones(N))
        assert_equal(epoch_of(some), whole)


def test_strength_acts_on_its_sample_alone() -> None:
    augment = [fl.RandomField("translate", p=1.0), fl.RandAugment(), fl.Normalize()]
    strength = np.ones(N)
    strength[7] = 0
    with loader(augment=augment) as some, loader(augment=augment) as full:
        some.select(np.arange(N), strength=strength)
        for batch, other in zip(some, full, strict=True):
            for sample, a, b in zip(batch.ids.tolist(), batch.images, other.images, strict=True):
                assert torch.equal(a, b) == (sample != 7)
                if sample == 7:
                    np.testing.assert_array_equal(some.replay(7, 0).numpy(), a.numpy())
                    alone = fl.augment(
                        IMAGES[7], augment=augment, id=7, epoch=0, seed=5, size=SIZE, strength=0.0
                    )
                    np.testing.assert_array_equal(alone.numpy(), a.numpy())


@pytest.mark.parametrize(
    ("strength", "why"),
    [
        (np.ones(3), "there are"),
        (-np.ones(N), ">= 0"),
        (np.full(N, 9.0), "more than 4"),
        (["x"] * N, "numbers"),
    ],
)
def test_wrong_strengths_are_refused(strength: object, why: str) -> None:
    with loader() as some, pytest.raises(ArgumentError, match=why):
        some.select(np.arange(N), strength=strength)


# ---------------------------------------------------------------- bad samples


class Broken:
    """Images in memory, some of which cannot be read."""

    stored, classes, targets = "pixels", None, LABELS.astype(np.int64)

    def __init__(self, bad: set[int]) -> None:
        self.bad = bad

    def __len__(self) -> int:
        return N

    def name(self, sample: int) -> str:
        return f"image {sample}"

    def pixels(self, sample: int) -> np.ndarray:
        if sample in self.bad:
            raise fl.DecodeError.make("cannot decode", why="it is broken")
        return IMAGES[sample]


@pytest.mark.parametrize("batch_size", [8, 24])
def test_a_skipped_partner_is_replaced_within_the_group(batch_size: int) -> None:
    settings = {"size": SIZE, "shuffle": True, "seed": 5, "threads": 1, "device": "cpu"}
    with fl.DataLoader(
        Broken({3, 11, 12}), batch_size=batch_size, augment=EVERYTHING, on_bad_sample="skip", **settings
    ) as some:
        found = epoch_of(some)
        assert len(found) == N - 3
        assert some.ledger.skipped == 3
        used = {int(i) for row in found.values() for i in row[3]}
        assert not used & {3, 11, 12}
        for sample in (0, 20):
            np.testing.assert_array_equal(some.replay(sample, 0).numpy(), found[sample][0])


def test_skips_mix_alike_in_batches_of_any_size() -> None:
    settings = {"size": SIZE, "shuffle": True, "seed": 5, "threads": 1, "device": "cpu"}
    both = []
    for batch_size in (8, 40):
        with fl.DataLoader(
            Broken({3, 11, 12}), batch_size=batch_size, augment=EVERYTHING, on_bad_sample="skip", **settings
        ) as some:
            both.append(epoch_of(some))
    assert_equal(*both)


@pytest.mark.parametrize("batch_size", [8, 12])
@pytest.mark.filterwarnings("ignore:batch_size")
def test_replay_mixes_with_the_same_stand_ins(batch_size: int) -> None:
    settings = {"size": SIZE, "shuffle": True, "seed": 5, "threads": 1, "device": "cpu"}
    bad = {3, 11, 12, 30}
    with fl.DataLoader(
        Broken(bad), batch_size=batch_size, augment=EVERYTHING, on_bad_sample="substitute", **settings
    ) as some:
        with fl.DataLoader((IMAGES, LABELS), batch_size=N, augment=[], **settings) as plain:
            order = next(iter(plain)).ids.tolist()
        batches = list(some)
        delivered = [(int(i), image) for b in batches for i, image in zip(b.ids, b.images, strict=True)]
        own = [(i, image) for (i, image), want in zip(delivered, order, strict=True) if i == want]
        assert len(own) == N - len(bad)
        for sample, image in own:
            np.testing.assert_array_equal(some.replay(sample, 0).numpy(), image.numpy(), f"sample {sample}")


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("augment", "why"),
    [
        ([fl.RandAugment(), fl.HorizontalFlip()], "HorizontalFlip behind RandAugment"),
        ([fl.MixUp(), fl.CutMix()], "OneOf"),
        ([fl.MixUp(), fl.RandAugment()], "RandAugment behind MixUp"),
        ([fl.RandAugment(), fl.PASTA()], "PASTA behind RandAugment"),
        ([fl.RandomErasing(), fl.RandomErasing()], "one RandomErasing"),
        ([fl.Normalize(), fl.RandAugment()], "before RandAugment"),
        ([fl.RandAugment(), fl.AugMix()], "AugMix"),
    ],
)
def test_wrong_orders_are_refused(augment: list, why: str) -> None:
    with pytest.raises(ArgumentError, match=why):
        loader(augment=augment)


def test_normalize_may_stand_before_or_behind_erasing() -> None:
    with (
        loader(augment=[fl.RandomErasing(), fl.Normalize()]) as one,
        loader(augment=[fl.Normalize(), fl.RandomErasing()]) as other,
    ):
        assert next(iter(one)).images.shape == next(iter(other)).images.shape


def test_one_image_alone_cannot_be_mixed() -> None:
    with pytest.raises(ArgumentError, match="partners"):
        fl.augment(IMAGES[0], augment=[fl.MixUp()], size=SIZE)


def test_strength_beyond_one_makes_no_image_black() -> None:
    with loader(augment=[fl.Operation("posterize", 4)]) as some:
        some.select(np.arange(N), strength=np.full(N, 4.0))
        brightest = torch.cat([batch.images.flatten(1).amax(1) for batch in some])
    assert (brightest >= 128 / 255).all()  # one bit is kept
