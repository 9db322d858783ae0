"""Counter-based random numbers: Philox 4x32-10, keyed by what a sample *is*, never by where it runs.

Key: the seed (64 bits). Counter words: (sample id, epoch, occurrence << 24 | view << 16 | slot, draw).
Nothing else enters: not the batch, the rank, the thread or the device. `slot` is the operation's place
in the recipe (`slot_of`); `draw` numbers the blocks of four words within it.

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
Exactness: integers; equal to the published known answers on both twins.
"""

import numpy as np
from numba import njit
from numpy import float32 as f32
from numpy import uint32 as u32
from numpy import uint64 as u64

from .elementary import log, sincospi
from .intrinsics import INLINE, entry, fma, sqrt

#: Version of the meaning of slots and draws: stored records replay only under the same version.
RECIPE_VERSION = 1

#: Second half of a slot: one code an operation. Codes are never reused for another operation.
OPERATION_CODES = {
    "order": 1,
    "substitute": 2,
    "crop": 3,
    "flip": 4,
    "affine": 5,
    "field": 6,
    "color_field": 7,
    "color_jitter": 8,
    "program": 9,
    "noise": 10,
    "mix": 11,
    "partner": 12,
    "mask": 13,
    "erase": 14,
    "spectrum": 15,
    "mix_choice": 16,
    "chain": 17,
    "select": 18,
}
#: Slots of the plan itself lie behind those of any recipe position.
PLAN_POSITION = 255


def slot_of(position: int, operation: str) -> int:
    """Random slot (16 bits) of an operation: its position in the recipe and its name."""
    return position << 8 | OPERATION_CODES[operation]


def stream_word(occurrence: int, view: int, slot: int) -> int:
    """Third counter word."""
    return occurrence << 24 | view << 16 | slot


@njit(**INLINE)
def philox(a, b, c, d, k, m):  # type: ignore[no-untyped-def]
    """One block: counter (a, b, c, d), key (k, m), all uint32 -> four uint32."""
    for _ in range(10):
        p = u64(0xD2511F53) * u64(a)
        q = u64(0xCD9E8D57) * u64(c)
        a, b, c, d = u32(q >> u64(32)) ^ b ^ k, u32(q), u32(p >> u64(32)) ^ d ^ m, u32(p)
        k = u32(k + u32(0x9E3779B9))
        m = u32(m + u32(0xBB67AE85))
    return a, b, c, d


@njit(**INLINE)
def unit(word):  # type: ignore[no-untyped-def]
    """A word as a float32 in [0, 1): its upper 24 bits, exact."""
    return f32(word >> u32(8)) * f32(2.0**-24)


@njit(**INLINE)
def normal_pair(u, v):  # type: ignore[no-untyped-def]
    """Two words -> two standard normals (Box-Muller; |z| < 5.9)."""
    radius = sqrt(f32(-2) * log(fma(f32(u >> u32(8)), f32(2.0**-24), f32(2.0**-25))))
    sine, cosine = sincospi(fma(f32(v >> u32(8)), f32(2.0**-23), f32(-1)))
    return radius * cosine, radius * sine


@njit(**INLINE)
def fill_normals(z, sample, epoch, stream, seed_low, seed_high, first_draw):  # type: ignore[no-untyped-def]
    """Fill z (float32, length a multiple of 4) with normals of draws first_draw, first_draw + 1, ..."""
    for i in range(z.size // 4):
        a, b, c, d = philox(sample, epoch, stream, u32(first_draw + u32(i)), seed_low, seed_high)
        z[4 * i], z[4 * i + 1] = normal_pair(a, b)
        z[4 * i + 2], z[4 * i + 3] = normal_pair(c, d)


@entry
def philox_blocks(counters, keys, out):  # type: ignore[no-untyped-def]
    """Blocks for arrays of counters (n, 4) and keys (n, 2), uint32 -> out (n, 4)."""
    for i in range(len(counters)):
        c, k = counters[i], keys[i]
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = philox(c[0], c[1], c[2], c[3], k[0], k[1])


@entry
def _keyed_words(seed_low, seed_high, ids, occurrences, epoch, stream, draw, out):  # type: ignore[no-untyped-def]
    for i in range(len(ids)):
        word = u32(stream | (u32(occurrences[i]) << u32(24)))
        out[i, 0], out[i, 1], out[i, 2], out[i, 3] = philox(
            u32(ids[i]), epoch, word, draw, seed_low, seed_high
        )


def random_words(
    seed: int,
    ids: np.ndarray,
    epoch: int,
    *,
    occurrences: np.ndarray | int = 0,
    view: int = 0,
    slot: int = 0,
    draw: int = 0,
) -> np.ndarray:
    """Four random words for each sample.

    Args:
        seed: 0 <= seed < 2**64.
        ids: Sample ids, integers below 2**32, shape (n,).
        epoch: 0 <= epoch < 2**32.
        occurrences: Which repeat of the id within the epoch (below 256), shape (n,) or one number.
        view: Which view of the sample (below 256).
        slot: The operation's slot, see `slot_of`.
        draw: Which block of four words.

    Returns:
        uint32 of shape (n, 4).
    """
    ids = np.ascontiguousarray(ids, np.uint32)
    occurrences = np.ascontiguousarray(occurrences, np.uint32)
    if occurrences.shape != ids.shape:
        occurrences = np.ascontiguousarray(np.broadcast_to(occurrences, ids.shape))
    out = np.empty((len(ids), 4), np.uint32)
    low, high = np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32)
    word = np.uint32(stream_word(0, view, slot))
    _keyed_words(low, high, ids, occurrences, np.uint32(epoch), word, np.uint32(draw), out)
    return out


def random_units(seed: int, ids: np.ndarray, epoch: int, **where) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Like `random_words`, as float32 in [0, 1), shape (n, 4)."""
    words = random_words(seed, ids, epoch, **where)
    return (words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
