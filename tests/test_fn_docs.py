"""docs/dali-plugin.md and docs/own-kernel.md: their code runs, and figures are those of the results file."""

import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from cuda_shim import has_compiler
from pixel_shim import PixelShim

from fieldloom.perf.photos import write_photo_folder
from fieldloom.pipelines.fn_pixels_device import DevicePixels

ROOT = Path(__file__).parents[1]
PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text() for name in ("dali-plugin", "own-kernel")}


def blocks(name):
    return re.findall(r"```python\n(.*?)```", PAGES[name], re.DOTALL)


@pytest.fixture
def beside_photos(tmp_path, monkeypatch):
    write_photo_folder(tmp_path / "photos" / "train", n=12)
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_code_runs_from_top_to_bottom(name, beside_photos):
    page = Path("page.py")  # a file, since DALI's conditions read the source
    page.write_text("\n".join(blocks(name)))
    names = runpy.run_path(str(page))
    form = names["images"]
    assert len(form) > 0
    if name == "dali-plugin":
        assert tuple(form.shape) == (4, 3, 64, 64)  # 12 photos in batches of 8
        for operator in ("train", "numbered", "sharded", "windows", "segmentation", "sometimes"):
            assert operator in names


def test_an_own_operation_takes_forty_lines_at_most():
    first = blocks("own-kernel")[0]
    assert len(first.strip().splitlines()) <= 40
    assert first.count("pixel(") == 1


@pytest.mark.skipif(not has_compiler, reason="g++ compiles the CUDA source for the CPU")
@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_its_twins_give_equal_bits(dtype):
    names = {}
    exec(compile(blocks("own-kernel")[0], "own-kernel.md", "exec"), names)
    operation = names["operation"]
    images = (np.random.default_rng(0).random((3, 31, 44, 3)) * 255).astype(dtype)
    want, out = operation(images, seed=3), np.empty_like(images)
    assert (want != images).mean() > 0.5
    units = np.stack([np.asarray(u) for u in _units(operation, 3)])
    DevicePixels(operation.cuda, "cpu", PixelShim)(list(images), list(out), units, "HWC")
    np.testing.assert_array_equal(out, want)


def _units(operation, seed):
    from fieldloom.kernels.keys import Keys

    return operation.units(Keys(seed, 0, np.arange(3), np.zeros(3, np.int64)))


def test_links_lead_somewhere():
    for name, page in PAGES.items():
        for target in re.findall(r"\]\(([^)#]+)", page):
            assert (ROOT / "docs" / target).exists(), (name, target)


def test_figures_are_those_of_the_results():
    report = json.loads((ROOT / "perf/results/embedding-cpu.json").read_text())
    page = re.sub(r"\s+", " ", PAGES["dali-plugin"])
    fused, light = report["overhead"]["fused"], report["overhead"]["normalize"]

    def figure(ways, way):
        return f"{ways[way]['cpu_over_bare']['median']:.2f}" if way in ways else "not built"

    for way in ("outside", "python_function", "direct", "numba_function"):
        assert f"| {figure(fused, way)} | {figure(light, way)} |" in page, way
    ways = report["ways"]
    embedded, direct = (ways[name]["cpu_over_outside"]["median"] for name in ("embedded", "direct"))
    assert f"`fn.fused` costs {embedded:.2f} times the CPU time" in page
    assert f"and {direct:.2f} times with `direct=True`" in page
    assert report["equal_bits"] is True
