"""The CUDA source compiles for every architecture without a warning, a spill or a stack, by NVRTC alone."""

import re
from concurrent.futures import ThreadPoolExecutor

import nvrtc
import pytest
from nvrtc import Compiled, compile_cuda
from variants import COVERING, FLAGSHIP, variant

from fieldloom.kernels import cuda

pytestmark = pytest.mark.skipif(
    nvrtc.nvrtc() is None, reason="needs NVRTC (pip install nvidia-cuda-nvrtc, or the extra `test`)"
)

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
KERNELS = {"prefilter", "lattice", "fused"}
VARIANTS = [variant(*row) for row in COVERING]
#: Each variant on one architecture in turn, and the flagship on all.
QUICK = [(arch, FLAGSHIP) for arch in ARCHITECTURES] + [
    (ARCHITECTURES[k % len(ARCHITECTURES)], each) for k, each in enumerate(VARIANTS)
]
REST = [(arch, each) for arch in ARCHITECTURES for each in VARIANTS if (arch, each) not in QUICK]


def compile_all(pairs: list[tuple[int, cuda.Variant]]) -> list[Compiled]:
    """In threads: the compiler lets go of Python's lock."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda p: compile_cuda(cuda.source(), f"sm_{p[0]}", p[1].definitions()), pairs))


def check(pairs: list[tuple[int, cuda.Variant]]) -> None:
    """No warnings, spills or stacks; prints a table of registers (pytest -s, or -rP)."""
    print("\nsm   variant (dtype planar border color rows)  registers: prefilter lattice fused | fused/pixel")
    for (arch, each), compiled in zip(pairs, compile_all(pairs), strict=True):
        where = f"sm_{arch} {each}"
        figures = compiled.kernels
        per_pixel = nvrtc.instructions(compiled.code, "fused") / each.rows
        registers = "  ".join(str(figures[name].registers) for name in ("prefilter", "lattice", "fused"))
        print(f"{arch:<4} {' '.join(each.definitions())}  {registers} | {per_pixel:.1f} instructions")
        assert compiled.warnings() == [], where
        assert figures.keys() == KERNELS, where
        for name, figure in figures.items():
            assert figure.spill_bytes == 0, f"{name} spills on {where}: {figure}"
            assert figure.stack_bytes == 0, f"{name} has a stack frame on {where}: {figure}"


def test_quick_pairs() -> None:
    check(QUICK)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_pairs() -> None:
    check(REST)


def test_spills_and_warnings_would_be_seen() -> None:
    # 96 floats that stay alive in 32 registers, and a variable that nobody uses.
    source = """
    extern "C" __global__ void __launch_bounds__(256, 8) greedy(float* p, int n) {
      int unused;
      float v[96];
    #pragma unroll
      for (int i = 0; i < 96; ++i) v[i] = p[i * n];
    #pragma unroll
      for (int i = 0; i < 96; ++i) p[i * n + 1] = v[i] * v[95 - i] + v[(i * 7) % 96];
    }"""
    compiled = compile_cuda(source, "sm_90", ())
    assert compiled.kernels["greedy"].spill_bytes > 0
    assert any("unused" in line for line in compiled.warnings())


def test_source_needs_no_header_and_no_library() -> None:
    source = re.sub(r"//.*", "", cuda.source())
    assert "#include" not in source
    assert "printf" not in source
    # Math functions that are no single instruction or exact by definition have our own versions.
    assert not re.search(r"\b(?:__)?(?:exp|log|pow|sin|cos|sincospi|tan|exp2|log2|sqrt)f?\(", source)


@pytest.mark.parametrize("each", [FLAGSHIP, VARIANTS[3]], ids=str)
def test_arithmetic_is_single_precision_and_never_contracted(each: cuda.Variant) -> None:
    ptx = compile_cuda(cuda.source(), "compute_90", each.definitions()).code.decode()
    assert ".f64" not in ptx
    # Each operation names its rounding: ptxas may contract a product and a sum only where none is named.
    operations = set(re.findall(r"\b(?:add|sub|mul|mad|fma|div|sqrt|rcp|ex2|lg2|sin|cos)\.\S*f32", ptx))
    allowed = re.compile(r"(?:add|sub|mul|fma|div|sqrt|rcp)\.(?:rn|rm)(?:\.sat)?\.f32")
    assert {op for op in operations if not allowed.fullmatch(op)} == set()
    assert "call" not in re.sub(r"//.*", "", ptx)
