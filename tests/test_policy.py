"""What stands in for a bad sample, and how many are allowed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldloom.epoch import MAX_OCCURRENCES, plan_epoch
from fieldloom.policy import BadSamplePolicy, substitutes
from fieldloom.selection import Selection


def plan(n=20, ids=None, epoch=0, seed=3, shuffle=True):
    selection = None if ids is None else Selection.checked(ids, None, n)
    return plan_epoch(n, selection, shuffle=shuffle, seed=seed, epoch=epoch)


@pytest.mark.parametrize(
    ("max_bad", "planned", "limit"),
    [
        (None, 10, np.inf),
        (0, 10, 0),
        (3, 10, 3),
        (0.5, 10, 5),
        (0.05, 10, 0.5),
        (1.0, 10, 1),
        (np.inf, 9, np.inf),
        (0.0, 10, 0),
    ],
)
def test_limit(max_bad, planned: int, limit: float) -> None:
    assert BadSamplePolicy("skip", max_bad).limit(planned) == limit


@given(st.integers(0, 19), st.integers(0, 127), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_candidates(sample: int, occurrence: int, epoch: int, seed: int) -> None:
    drawn = list(substitutes(plan(epoch=epoch, seed=seed), seed, sample, occurrence))
    assert drawn == list(substitutes(plan(epoch=epoch, seed=seed), seed, sample, occurrence))
    assert all(0 <= candidate < 20 and candidate != sample for candidate, _ in drawn)
    assert all(MAX_OCCURRENCES <= o <= 255 for _, o in drawn), "none is a planned occurrence"


def test_candidates_vary() -> None:
    firsts = [next(substitutes(plan(1000), 3, sample, 0))[0] for sample in range(200)]
    assert len(set(firsts)) > 150
    other = [next(substitutes(plan(1000), 3, sample, 1))[0] for sample in range(200)]
    assert firsts != other


def test_candidates_come_from_the_selection() -> None:
    drawn = {c for sample in (2, 5) for c, _ in substitutes(plan(ids=[2, 5, 5, 9]), 3, sample, 0)}
    assert drawn <= {2, 5, 9}


def test_no_candidate_in_an_epoch_of_one() -> None:
    assert list(substitutes(plan(ids=[4]), 3, 4, 0)) == []


def test_stand_ins_of_different_samples_rarely_share_an_occurrence() -> None:
    """Two bad samples may draw the same candidate; its two appearances must be augmented differently."""
    few = plan(n=4, epoch=3)
    pairs = [next(iter(substitutes(few, 0, sample, 0))) for sample in range(4, 204)]
    assert {candidate for candidate, _ in pairs} == set(few.ids.tolist())
    # 200 draws among 4 x 128 pairs: about 166 distinct ones; a constant occurrence would leave 4.
    assert len(set(pairs)) > 140
