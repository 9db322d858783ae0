"""Mixes and batches that the tests of mixing share."""

import numpy as np
from kernel_cases import keys

from fieldloom.kernels.philox import slot_of
from fieldloom.kernels.stages.mixing import CutMix, FMix, Mix, Mixing, MixUp, ResizeMix, UserMasks
from fieldloom.kernels.stages.mixing_draws import draw_mixing
from fieldloom.kernels.stages.staged import Groups


def slots(position: int) -> dict[str, int]:
    names = {"slot": "mix", "partner_slot": "partner", "mask_slot": "mask"}
    return {option: slot_of(position, name) for option, name in names.items()}


def user_masks(height: int, width: int, sets: int = 5, ways: int = 3, **rule) -> UserMasks:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    table = rng.integers(0, 255 // (ways - 1), (sets, ways - 1, height, width), np.uint8)
    partners = table.mean((2, 3)) / 255
    shares = np.concatenate([1 - partners.sum(1, keepdims=True), partners], 1)
    return UserMasks(table=table, shares=shares, **slots(9), **rule)


ALL: dict[str, Mix] = {
    "mixup": MixUp(1.0, **slots(1)),
    "mixup_narrow": MixUp(0.2, **slots(1)),
    "cutmix": CutMix(1.0, **slots(2)),
    "cutmix_minmax": CutMix(1.0, (0.2, 0.6), **slots(2)),
    "fmix": FMix(1.0, 3.0, 0.0, **slots(3)),
    "fmix_soft": FMix(1.0, 3.0, 0.3, **slots(3)),
    "resizemix": ResizeMix(0.1, 0.8, False, **slots(4)),
    "user": user_masks(12, 20),
}


def one(item: Mix) -> Mixing:
    return Mixing((item,), (1.0,), slot=slot_of(0, "mix_choice"))


def groups(n: int, size: int = 8, classes: np.ndarray | None = None) -> Groups:
    return Groups(np.arange(n), np.arange(n) % 3 if classes is None else classes, size)


def draw(item: Mix | Mixing, n: int = 64, size: tuple[int, int] = (224, 224), **more):  # type: ignore[no-untyped-def]
    mixing = item if isinstance(item, Mixing) else one(item)
    return draw_mixing(
        mixing, more.pop("keys", keys(n)), more.pop("groups", groups(n)), *size, more.pop("strength", None)
    )
