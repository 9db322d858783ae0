"""What holds for every selector: purity, state, documentation, and a place in the loader."""

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from selector_cases import clone, report, same

import fieldloom as fl
from fieldloom import selectors
from fieldloom.selectors import SELECTORS, Selector, Signals
from fieldloom.selectors.signals import KINDS

N, C = 60, 4
RNG = np.random.default_rng(5)
TARGETS = RNG.integers(0, C, N)
BUILD: dict[str, Callable[[], Selector]] = {
    "RS2": lambda: selectors.RS2(0.3),
    "RS2 with replacement": lambda: selectors.RS2(0.3, replacement=True),
    "RS2 balanced": lambda: selectors.RS2(0.6, class_balanced=True),
    "Coreset": lambda: selectors.Coreset(0.3, every=2),
    "Coreset augment": lambda: selectors.Coreset(0.3, every=2, mode="augment", method="stochastic"),
    "InfoBatch": lambda: selectors.InfoBatch(epochs=8),
    "MaxLoss": lambda: selectors.MaxLoss(0.3),
    "EL2N": lambda: selectors.EL2N(0.3, every=2, warmup=1),
    "GraNd": lambda: selectors.GraNd(0.3, every=3, warmup=0),
    "Forgetting": lambda: selectors.Forgetting(0.3, every=2, warmup=2),
    "EntropyFilter": lambda: selectors.EntropyFilter(fraction=0.4),
    "GraphCut": lambda: selectors.GraphCut(0.3, warmup=1),
    "KCenter": lambda: selectors.KCenter(0.3, warmup=1),
    "DatasetQuantization": lambda: selectors.DatasetQuantization(0.3, bins=3, every=2, warmup=1),
    "ProgressiveExpansion": lambda: selectors.ProgressiveExpansion(np.arange(N) ** 2 % 5, 2, 1, 5),
    "SampleAdaptive": lambda: selectors.SampleAdaptive(beta=0.5),
    "WeightedSampling": lambda: selectors.WeightedSampling(np.arange(N) + 1.0),
    "ClassBalanced": selectors.ClassBalanced,
}
EPOCHS = 6


def values(epoch: int) -> dict[str, np.ndarray]:
    """What a model says of every sample in an epoch."""
    rng = np.random.default_rng(epoch)
    return {
        "loss": rng.exponential(1, N).astype(np.float32),
        "correct": rng.random(N) < 0.6,
        "logits": rng.normal(0, 2, (N, C)).astype(np.float32),
        "embeddings": rng.normal(0, 2, (N, 5)).astype(np.float32),
    }


def train(selector: Selector, signals: Signals, first: int = 0) -> list[fl.Selection | None]:
    """Epochs from `first` on as a loader runs them: score, select, report what was delivered."""
    chosen = []
    for epoch in range(first, EPOCHS):
        if selector.needs_scoring(epoch):
            report(signals, epoch, **values(epoch))
        chosen.append(selector.select(epoch, signals))
        ids = np.arange(N) if chosen[-1] is None else np.unique(chosen[-1].ids)
        report(signals, epoch, ids=ids, **{name: v[ids] + 0 for name, v in values(epoch).items()})
    return chosen


def fresh(selector: Selector, seed: int = 1) -> Signals:
    return Signals(TARGETS, selector.signals, seed)


def test_every_selector_is_built_here() -> None:
    assert {type(build()) for build in BUILD.values()} == set(SELECTORS)
    assert all(getattr(fl, cls.__name__) is cls for cls in SELECTORS)


@pytest.mark.parametrize("name", BUILD)
def test_a_training_is_a_function_of_seed_and_signals(name: str) -> None:
    one, two = BUILD[name](), BUILD[name]()
    chosen = train(one, fresh(one))
    assert all(same(a, b) for a, b in zip(chosen, train(two, fresh(two)), strict=True))
    assert any(c is not None for c in chosen)


@pytest.mark.parametrize("name", BUILD)
def test_a_selection_keeps_its_contract(name: str) -> None:
    selector = BUILD[name]()
    for chosen in train(selector, fresh(selector)):
        if chosen is None:
            continue
        assert chosen.ids.dtype == np.int64
        assert len(chosen.ids)
        assert 0 <= chosen.ids.min() <= chosen.ids.max() < N
        if chosen.weights is not None:
            assert chosen.weights.dtype == np.float32
            assert chosen.weights.min() > 0
            assert chosen.weights.mean(dtype=np.float64) == pytest.approx(1, abs=1e-5)
        if chosen.strength is not None:
            assert chosen.strength.dtype == np.float32
        checked = fl.Selection.checked(chosen.ids, chosen.weights, N, chosen.strength)
        np.testing.assert_array_equal(checked.ids, chosen.ids)


#: Selectors that draw nothing: their choice is the same for every seed.
DRAWLESS = {"Coreset", "MaxLoss", "EL2N", "GraNd", "Forgetting", "EntropyFilter", "GraphCut", "KCenter"} | {
    "SampleAdaptive"
}


@pytest.mark.parametrize("name", BUILD)
def test_the_seed_decides_draws(name: str) -> None:
    a, b = BUILD[name](), BUILD[name]()
    equal = [same(x, y) for x, y in zip(train(a, fresh(a, 1)), train(b, fresh(b, 2)), strict=True)]
    if name in DRAWLESS - {"Forgetting"}:  # Forgetting draws among equal counts
        assert all(equal)
    else:
        assert not all(equal)


@pytest.mark.parametrize("cut", range(EPOCHS))
@pytest.mark.parametrize("name", BUILD)
def test_resumes_at_any_epoch(name: str, cut: int) -> None:
    """State and signals saved in the middle of epoch `cut`, whose selection is asked for again."""
    one = BUILD[name]()
    signals = fresh(one)
    chosen = train(one, signals)
    one, signals = BUILD[name](), fresh(one)
    for epoch in range(cut + 1):
        if one.needs_scoring(epoch):
            report(signals, epoch, **values(epoch))
        last = one.select(epoch, signals)
        ids = np.arange(N) if last is None else np.unique(last.ids)
        ids = ids if epoch < cut else ids[: len(ids) // 2]
        report(signals, epoch, ids=ids, **{name: v[ids] + 0 for name, v in values(epoch).items()})
    two, loaded = clone(one, BUILD[name]()), fresh(one)
    loaded.load(signals.state())
    assert not two.needs_scoring(cut)
    assert all(same(a, b) for a, b in zip(train(two, loaded, cut), chosen[cut:], strict=True))


@pytest.mark.parametrize("name", BUILD)
def test_state_is_arrays_without_objects(name: str, tmp_path: Path) -> None:
    selector = BUILD[name]()
    train(selector, fresh(selector))
    np.savez(tmp_path / "state.npz", **selector.state())
    with np.load(tmp_path / "state.npz", allow_pickle=False) as file:
        other = BUILD[name]()
        other.load(dict(file))
    assert {k: v.tolist() for k, v in other.state().items()} == {
        k: v.tolist() for k, v in selector.state().items()
    }
    blank = BUILD[name]()
    blank.load({})
    assert blank.needs_scoring(3) == BUILD[name]().needs_scoring(3)


@pytest.mark.parametrize("name", BUILD)
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_signals_on_a_device(name: str, device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    selector = BUILD[name]()
    signals = fresh(selector)
    for epoch in range(3):
        where = torch.arange(N, device=device)
        on_device = {k: torch.as_tensor(v, device=device) for k, v in values(epoch).items()}
        signals.store(where, epoch, on_device)
        chosen = selector.select(epoch, signals)
        assert chosen is None or isinstance(chosen.ids, np.ndarray)


@pytest.mark.parametrize("cls", SELECTORS)
def test_documentation_says_what_it_costs(cls: type) -> None:
    text = inspect.getdoc(cls) or ""
    for section in ("Needs:", "Memory:", "Cost:", "Source:"):
        assert f"\n{section} " in text, section
    options = list(inspect.signature(cls).parameters)
    described = text.partition("Args:")[2]
    for option in options:
        assert re.search(rf"\n    {option}: ", described), option
    assert set(cls.signals) <= set(KINDS)
    assert isinstance(cls.signals, tuple)


@pytest.mark.parametrize("name", BUILD)
def test_in_a_loader(name: str) -> None:
    """Three epochs of a real loader deliver what the selector says, unselected samples are not read."""
    images = np.zeros((N, 8, 8, 3), np.uint8)
    with fl.DataLoader(
        (images, TARGETS), batch_size=16, size=8, threads=1, shuffle=True, seed=1, selection=BUILD[name](),
        device="cpu",
    ) as loader:  # fmt: skip
        for epoch in range(3):
            if loader.needs_scoring:
                for batch in loader.scoring_pass():
                    loader.feedback(batch, **{k: v[batch.ids] for k, v in values(epoch).items()})
            seen: list[int] = []
            for batch in loader:
                seen += batch.ids.tolist()
                if loader.signals.names:
                    loader.feedback(batch, **{k: v[batch.ids] for k, v in values(epoch).items()})
            if name in ("RS2", "RS2 with replacement"):
                assert len(set(seen)) == len(seen) == 18
            elif name == "WeightedSampling":
                assert len(seen) == N > len(set(seen))
            elif name == "Coreset":
                assert len(set(seen)) == len(seen) == 18


def test_import_starts_no_torch() -> None:
    code = "import sys, fieldloom.selectors; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
