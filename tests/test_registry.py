"""What every operation owes: this file fails for one that lacks it."""

import dataclasses
import inspect
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cuda_shim import ShimLauncher, has_compiler
from kernel_cases import photo
from stage_pass import groups_of, run_staged

import fieldloom as fl
from fieldloom import registry
from fieldloom.errors import ArgumentError
from fieldloom.kernels.fusedpass import FusedPass, Sources
from fieldloom.kernels.keys import Keys
from fieldloom.kernels.stages.operations import OPERATIONS
from fieldloom.order import Step
from fieldloom.recipe import Format, compile_recipe
from fieldloom.registry import GROUPS, REGISTRY, Entry

ROOT = Path(__file__).resolve().parents[1]
SIZE = (24, 40)
N = 16
RIGHT = np.broadcast_to(np.linspace(0, 1, SIZE[1], dtype=np.float32), SIZE)
GIVEN = {
    "table": np.full((N, 17), 0.5, np.float32),
    "masks": np.stack([1 - RIGHT, RIGHT / 2, RIGHT / 2])[None],
}
IMAGES = [(photo(*SIZE, k) * 0.7 + 30).astype(np.uint8) for k in range(N)]  # room for autocontrast
KEYS = Keys(77, 3, np.arange(N), np.zeros(N, np.int64))

every = pytest.mark.parametrize("entry", REGISTRY, ids=lambda entry: entry.name)


def compiled(entry: Entry, dtype: str = "float32", layout: str = "NCHW") -> FusedPass:
    step = entry.build(**GIVEN)
    if dtype == "uint8" and isinstance(step, fl.Normalize):
        pytest.skip("Normalize refuses uint8, by its own test")
    return FusedPass(compile_recipe([step], Format(SIZE, dtype, layout)))


# ---------------------------------------------------------------- the registry itself


def test_every_public_operation_is_here() -> None:
    built = {type(entry.build(**GIVEN)) for entry in REGISTRY}
    assert built == set(Step.__args__)


def test_every_named_operation_is_here() -> None:
    names = {entry.name for entry in REGISTRY if entry.group == "single operations"}
    aliases = {"identity", "horizontal_flip", "vertical_flip"}  # nothing to show, and groups of their own
    assert set(OPERATIONS) - aliases <= names


def test_names_are_unique_and_groups_known() -> None:
    names = [entry.name for entry in REGISTRY]
    assert len(set(names)) == len(names)
    assert [g for g in GROUPS if any(e.group == g for e in REGISTRY)] == list(GROUPS)
    assert {entry.group for entry in REGISTRY} == set(GROUPS)


@every
def test_code_is_what_users_write(entry: Entry) -> None:
    public = {name: getattr(fl, name) for name in fl.__all__}
    written = eval(entry.code, {"fl": type("fl", (), public), **GIVEN})
    assert type(written) is type(entry.build(**GIVEN))
    fields = [f.name for f in dataclasses.fields(written) if not _holds_arrays(getattr(written, f.name))]
    assert all(getattr(written, f) == getattr(entry.build(**GIVEN), f) for f in fields)


def _holds_arrays(value: Any) -> bool:
    return isinstance(value, np.ndarray)


# ---------------------------------------------------------------- what each owes


@every
def test_docstring_says_everything(entry: Entry) -> None:
    step = entry.build(**GIVEN)
    text = inspect.getdoc(type(step))
    assert text
    for field in dataclasses.fields(step):
        if field.init and field.name != "kinds":
            assert re.search(rf"\b{field.name}\b", text), (
                f"{type(step).__name__} does not explain {field.name}"
            )
    if dataclasses.fields(step):
        assert "Args:" in text or "Attributes:" in text
    assert re.search(r"(?m)^Exactness:", text), f"{type(step).__name__} does not say how exact it is"
    if entry.group in ("random fields", "frequency", "policies", "mixing", "erasing"):
        assert re.search(r"arXiv|Source", text), f"{type(step).__name__} names no source"
    if entry.group in ("frequency", "policies", "single operations", "mixing", "erasing"):
        assert "launch" in text.lower(), f"{type(step).__name__} does not say how many launches it costs"


@every
def test_wrong_arguments_are_refused_by_name(entry: Entry) -> None:
    step = entry.build(**GIVEN)
    if dataclasses.fields(step):
        assert entry.wrong, "an operation with options needs a wrong value in the registry"
    given = {f.name: getattr(step, f.name) for f in dataclasses.fields(step) if f.init}
    kinds = given.pop("kinds", ())
    for option, value in entry.wrong.items():
        with pytest.raises(ArgumentError, match=f"{re.escape(option)}|{re.escape(repr(value))}"):
            type(step)(*kinds, **{**given, option: value})


@every
def test_picture_is_in_the_gallery(entry: Entry) -> None:
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    assert f"```python\n{entry.code}\n```" in page
    assert f"gallery/{entry.name}.jpg" in page
    assert (ROOT / "docs" / "gallery" / f"{entry.name}.jpg").stat().st_size > 1000


@every
def test_it_does_something(entry: Entry) -> None:
    plain = np.stack([image.transpose(2, 0, 1) for image in IMAGES]) / 255
    assert abs(run_staged(compiled(entry), IMAGES, KEYS) - plain).max() > 0.02 or entry.name in (
        "center_crop",  # of images of the output's size: itself
        "resize",
    )


@every
def test_batches_and_threads_change_nothing(entry: Entry) -> None:
    fused = compiled(entry)
    whole = run_staged(fused, IMAGES, KEYS)
    with ThreadPoolExecutor(3) as pool:
        np.testing.assert_array_equal(run_staged(fused, IMAGES, KEYS, executor=pool), whole)
    half = N // 2  # a multiple of the mixing groups
    for first in (0, half):
        part = slice(first, first + half)
        keys = Keys(KEYS.seed, KEYS.epoch, KEYS.ids[part], KEYS.occurrences[part])
        alone = run_staged(fused, IMAGES[part], keys, first=first)
        views = whole.reshape(fused.plan.views, N, *whole.shape[1:])[:, part]
        np.testing.assert_array_equal(alone, views.reshape(alone.shape))


#: Groups of which each entry draws something for each sample, also where it always acts.
DRAWING = ("random fields", "color", "frequency", "policies", "erasing", "mixing")


@pytest.mark.parametrize("entry", [e for e in REGISTRY if e.group in DRAWING], ids=lambda entry: entry.name)
def test_another_key_gives_another_picture(entry: Entry) -> None:
    fused = compiled(entry)
    other = Keys(KEYS.seed, KEYS.epoch + 1, KEYS.ids, KEYS.occurrences)
    assert (run_staged(fused, IMAGES, KEYS) != run_staged(fused, IMAGES, other)).any()


@every
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "uint8"])
def test_output_types_agree(entry: Entry, dtype: str) -> None:
    want = run_staged(compiled(entry), IMAGES, KEYS)
    for layout in ("NCHW", "NHWC"):
        fused = compiled(entry, dtype, layout)
        got = run_staged(fused, IMAGES, KEYS)
        got = got if layout == "NCHW" else got.transpose(0, 3, 1, 2)
        if dtype == "uint8":
            # Tie rounding aside, the float output in levels.
            assert abs(got - np.clip(want * 255, 0, 255)).max() <= 0.5 + 1e-3
        elif dtype == "float16":
            np.testing.assert_allclose(got.view(np.float16), want, rtol=6e-4, atol=1e-6)
        else:
            wide = (got.astype(np.uint32) << 16).view(np.float32)
            np.testing.assert_allclose(wide, want, rtol=5e-3, atol=1e-6)


@every
@pytest.mark.skipif(not has_compiler, reason="needs g++")
def test_cuda_source_gives_equal_bits(entry: Entry) -> None:
    from fieldloom.kernels.device import DevicePass

    fused = compiled(entry)
    windows = fused.windows(KEYS, np.array([SIZE] * N))
    sources = Sources.of_arrays(
        [i[y : y + h, x : x + w].copy() for i, (y, x, h, w) in zip(IMAGES, windows.rects, strict=True)]
    )
    stages = fused.stages(KEYS, groups_of(fused.plan, N))
    device = DevicePass(fused, "cpu", ShimLauncher(fused))
    got = device(KEYS, windows, sources, stages=stages).numpy()
    want = fused(KEYS, windows, sources, stages=stages)
    np.testing.assert_array_equal(got.view(np.uint32), want.view(np.uint32))


@every
def test_reference_agrees(entry: Entry) -> None:
    from stage_reference import reference_of

    fused = compiled(entry)
    got, want = run_staged(fused, IMAGES, KEYS), reference_of(fused, IMAGES, KEYS)
    error = abs(got - want)
    # Stages work on whole levels: where a float64 value lies on the edge between two, one level is right too.
    level = 1 / 255 if fused.plan.staged else 0.02 / 255
    assert np.quantile(error, 0.999) <= level * 1.001
    assert registry.REGISTRY is REGISTRY
