"""Numba's disk cache must not outlive an edit of any kernel file."""

from pathlib import Path

import numba
import pytest

from fieldloom.kernels import cpu, draws, fused, intrinsics, lattice, philox, shrink

MODULES = (cpu, draws, fused, lattice, philox, shrink)


def dispatchers():
    for module in MODULES:
        for name, value in vars(module).items():
            if isinstance(value, numba.core.dispatcher.Dispatcher) and value.__module__ == module.__name__:
                yield pytest.param(value, id=f"{module.__name__}.{name}")


def is_inlined(dispatcher) -> bool:
    return bool(dispatcher.targetoptions.get("forceinline"))


@pytest.mark.parametrize("dispatcher", [p for p in dispatchers() if not is_inlined(p.values[0])])
def test_entries_are_stamped_with_the_digest_of_all_sources(dispatcher):
    # The attribute is Numba's own; should a release rename it, this fails rather than the cache.
    folder = Path(dispatcher.py_func.__code__.co_filename).parent
    assert dispatcher._cache._cache_file._source_stamp == intrinsics.source_digest(folder)


@pytest.mark.parametrize("edited", ["kernels/b.py", "kernels/stages/c.py"])
def test_digest_changes_with_any_file(tmp_path, monkeypatch, edited):
    stages = tmp_path / "kernels" / "stages"
    stages.mkdir(parents=True)
    for name in ("kernels/a.py", "kernels/b.py", "kernels/stages/c.py"):
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.setattr(intrinsics, "__file__", str(tmp_path / "kernels" / "intrinsics.py"))
    digest = intrinsics.source_digest.__wrapped__
    before = digest(stages)
    (tmp_path / edited).write_text("x = 2\n")
    assert digest(stages) != before
