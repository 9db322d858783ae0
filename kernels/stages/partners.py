"""Who mixes with whom: partners among the samples of a batch that belong to one group of the plan."""

from typing import TYPE_CHECKING

import numpy as np
from numpy import uint64 as u64

from fieldloom.kernels.intrinsics import entry

from .records import MAX_WAYS

if TYPE_CHECKING:
    from .mixing import PartnerRule
    from .staged import Groups

_RULES = {"random": 0, "same_class": 1, "other_class": 2, "reversed": 3}
_RANDOM, _SAME, _OTHER, _REVERSED = range(4)


@entry
def _find(order, numbers, classes, rows, words, rule, wanted, out):  # type: ignore[no-untyped-def]
    """Partners of the samples with wanted[i] > 0; `rows[i]` is their place in `words`."""
    n = len(order)
    candidates = np.empty(n, np.int64)
    first = 0
    while first < n:
        last = first + 1
        while last < n and numbers[order[last]] == numbers[order[first]]:
            last += 1
        for rank in range(first, last):
            i = order[rank]
            if wanted[i] == 0:
                continue
            count = 0
            # "reversed" begins with the mirrored place and goes on from there.
            start = first + (last - 1 - rank) if rule == _REVERSED else first
            for step in range(last - first):
                other = start + step
                j = order[other - (last - first) if other >= last else other]
                same = classes[j] == classes[i]
                if j != i and (rule in (_RANDOM, _REVERSED) or same == (rule == _SAME)):
                    candidates[count] = j
                    count += 1
            if rule == _REVERSED and order[start] == i:
                count = 0  # the middle of an odd group mirrors itself
            if count == 0:
                continue
            for way in range(wanted[i]):
                if way >= count:  # fewer candidates than ways: they come again
                    out[i, way] = out[i, way - count]
                    continue
                pick = np.int64(way)
                if rule != _REVERSED:
                    pick += np.int64((u64(words[rows[i], way]) * u64(count - way)) >> u64(32))
                out[i, way] = candidates[pick]
                candidates[pick] = candidates[way]
        first = last


def find_partners(
    groups: "Groups", rows: np.ndarray, words: np.ndarray, rule: "PartnerRule", ways: int
) -> np.ndarray:
    """Partners of some samples of a batch.

    Within a group, samples count in the order of their plan positions: neither their order in memory nor
    the other groups of the batch matter. "random" draws uniformly and without repetition among the other
    members, "same_class" and "other_class" among those of them; "reversed" takes the mirrored place of the
    members present, and for more ways those that follow it, cyclically.

    Args:
        groups: The whole batch's.
        rows: int64 (m,): samples that want partners.
        words: uint32 (m, 4): each one's own random words.
        rule: Among whom.
        ways: Images in the mixture, 2 to MAX_WAYS.

    Returns:
        int64 (m, ways - 1): positions in the batch; -1 where there is nobody. Fewer candidates than ways
        repeat.
    """
    assert 2 <= ways <= MAX_WAYS
    n = len(groups.positions)
    positions = np.asarray(groups.positions, np.int64)
    places, wanted = np.zeros(n, np.int64), np.zeros(n, np.int64)
    places[rows], wanted[rows] = np.arange(len(rows)), ways - 1
    out = np.full((n, ways - 1), -1, np.int64)
    _find(
        np.argsort(positions, kind="stable"), positions // groups.size, np.asarray(groups.classes, np.int64),
        places, words, _RULES[rule], wanted, out,
    )  # fmt: skip
    return out[rows]
