"""Every promise, for every kind of source."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from promises import check_resume, check_same, check_selected, check_worlds
from source_cases import CASES, N

import fieldloom as fl
from helpers import FULL, check_closed, check_ledger


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., fl.DataLoader]:
    source = CASES[request.param](tmp_path)

    def build(**options: Any) -> fl.DataLoader:
        settings = {"batch_size": 6, "size": 12, "shuffle": True, "seed": 5, "threads": 2, "device": "cpu"}
        return fl.DataLoader(source, **{**settings, "augment": FULL, **options})

    return build


@pytest.mark.parametrize("make", CASES, indirect=True)
def test_resume(make: Callable[..., fl.DataLoader]) -> None:
    check_resume(make)


@pytest.mark.parametrize("make", CASES, indirect=True)
def test_worlds(make: Callable[..., fl.DataLoader]) -> None:
    check_worlds(make)


@pytest.mark.parametrize("make", CASES, indirect=True)
def test_same(make: Callable[..., fl.DataLoader]) -> None:
    check_same(make)


@pytest.mark.parametrize("make", CASES, indirect=True)
def test_selected(make: Callable[..., fl.DataLoader]) -> None:
    check_selected(make)


@pytest.mark.parametrize("make", CASES, indirect=True)
def test_ledger_and_closed(make: Callable[..., fl.DataLoader]) -> None:
    with make() as loader:  # what starts once and stays: DALI's own threads
        next(iter(loader))
    with check_closed(slack=2), make() as loader:
        assert len(loader.source) == N
        for _ in range(2):
            check_ledger(loader)
        loader.select(list(range(0, N, 3)))
        assert len(check_ledger(loader)) == 2
        for _ in loader:
            break
