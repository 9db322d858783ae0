"""Draws `Chains` items (AugMix): chains of operations, and weights that sum to one exactly.

Blocks of random words: draw 8 i + j operation, level and side of step j of chain i; 128 + i depth and
exponential of chain i, and (i = 0) the weight of their sum; 160 + i center of step i; from 256 on gamma
variates, where alpha is not 1.

The program of a sample is, with chains c of the clean image x and weights w in 2^-16:

    ACCUMULATE w0, c1..., ACCUMULATE w1, RESTORE, c2..., ACCUMULATE w2, ..., RESOLVE
"""

import numpy as np

from fieldloom.kernels.keys import Keys
from fieldloom.kernels.philox import slot_of

from .beta import GAMMA_DRAWS, beta, gamma
from .policies import MAX_DEPTH, MAX_WIDTH, Chains
from .policy_values import Columns, Drawn, index_below, unit, whole_centers
from .records import ACCUMULATE, IDENTITY, RESOLVE, RESTORE, STEP
from .variates import exponentials

_ONE = 65536


def n_chain_steps(item: Chains) -> int:
    """Steps of the item's program."""
    return item.width * (item.longest + 2) + 1


def chain_steps(
    item: Chains, columns: Columns, keys: Keys, strength: np.ndarray | None, view: int
) -> np.ndarray:
    """STEP (n, n_chain_steps(item)); `strength` is float32 (n,) or None."""
    n, longest = len(keys), item.longest
    out = np.zeros((n, n_chain_steps(item)), STEP)
    if view == 0 and item.views > 1:
        return out
    column = None if strength is None else strength.astype(np.float64)[:, None]
    drawn = draw_chains(item, columns, keys, column, view)
    noise_slot = slot_of(item.slot >> 8, "noise")
    steps = columns.steps(drawn, fill=item.fill, bilinear=item.bilinear, noise_slot=noise_slot)
    weights = chain_weights(item, keys, view)
    out["op"][:, 0], out["whole"][:, 0, 0] = ACCUMULATE, weights[:, 0]
    for chain in range(item.width):
        at = 1 + chain * (longest + 2)
        out[:, at : at + longest] = steps[:, chain * longest : (chain + 1) * longest]
        out["op"][:, at + longest] = ACCUMULATE
        out["whole"][:, at + longest, 0] = weights[:, 1 + chain]
        out["op"][:, at + longest + 1] = RESTORE if chain + 1 < item.width else RESOLVE
    if strength is not None:
        out["op"][strength == 0] = IDENTITY  # a sum of equal images, for nothing
    return out


def draw_chains(item: Chains, columns: Columns, keys: Keys, strength: np.ndarray | None, view: int) -> Drawn:
    """The chains' operations (n, width * longest), chain by chain; identity beyond a chain's depth."""
    longest = item.longest
    places = [(chain, step) for chain in range(item.width) for step in range(longest)]
    words = np.stack([keys.words(item.slot, MAX_DEPTH * c + s, view) for c, s in places], 1)
    rows = index_below(words[:, :, 0], len(item.ranges))
    low, high = item.level
    levels = low + (high - low) * unit(words[:, :, 1]).astype(np.float64)
    values = columns.values(rows, levels, words[:, :, 2] >> np.uint32(31) == 1, strength)
    on = unit(words[:, :, 3]) < columns.gates(rows, 1.0, strength)
    if not item.depth:
        own = [keys.words(item.slot, 128 + chain, view)[:, 0] for chain in range(item.width)]
        depth = 1 + index_below(np.stack(own, 1), 3)
        on = on & (np.tile(np.arange(longest), item.width) < np.repeat(depth, longest, 1))
    centers = None
    if columns.has_cutout:
        blocks = [keys.words(item.slot, 160 + i, view) for i in range(len(places))]
        centers = whole_centers(np.stack(blocks, 1), columns)
    return columns.draw(rows, values, on, centers)


def chain_weights(item: Chains, keys: Keys, view: int) -> np.ndarray:
    """Weights in 2^-16 of the clean image and of each chain: int64 (n, 1 + width), rows sum to 65536."""
    slot = item.slot | view << 16  # the view's place in the counter word
    if item.alpha == 1:
        words = np.stack([keys.words(slot, 128 + chain) for chain in range(item.width)], 1)
        shares, mixed = exponentials(words[:, :, 1]), unit(words[:, 0, 2])
    else:
        firsts = [256 + chain * GAMMA_DRAWS for chain in range(item.width)]
        shares = np.stack([gamma(item.alpha, keys, slot, first) for first in firsts], 1)
        mixed = beta(item.alpha, item.alpha, keys, slot, 256 + MAX_WIDTH * GAMMA_DRAWS)
    return _whole_weights(mixed.astype(np.float64), shares.astype(np.float64))


def _whole_weights(mixed: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(1 - mixed), mixed * shares / their sum, in 2^-16; rounding keeps the sum, and errs below 2^-16."""
    reached = shares.copy()
    for chain in range(1, shares.shape[1]):  # one order of summation everywhere
        reached[:, chain] += reached[:, chain - 1]
    ends = (1 - mixed)[:, None] + mixed[:, None] * (reached / reached[:, -1:])
    bounds = np.zeros((len(mixed), shares.shape[1] + 2))
    bounds[:, 1], bounds[:, 2:] = 1 - mixed, ends
    # The last bound is 1 within 2^-52, and rounds to 65536 whatever was drawn.
    whole = np.floor(bounds * _ONE + 0.5).astype(np.int64)
    return np.diff(whole, axis=1)
