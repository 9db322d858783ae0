"""The stages' CUDA source compiles for every architecture without a warning, a spill or a stack."""

import functools
import itertools
import re
from concurrent.futures import ThreadPoolExecutor

import nvrtc
import pytest
from nvrtc import Compiled, compile_cuda

from fieldloom.kernels.cuda import DTYPES
from fieldloom.kernels.stages import launches
from fieldloom.kernels.stages.launches import STAGES, StageVariant
from fieldloom.kernels.stages.masks import mask_tables
from fieldloom.kernels.stages.spectrum import MAX_SIDE, Pasta, spectrum_tables

pytestmark = pytest.mark.skipif(
    nvrtc.nvrtc() is None, reason="needs NVRTC (pip install nvidia-cuda-nvrtc, or the extra `test`)"
)

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
VARIANTS = [
    StageVariant(dtype, planar) for dtype, planar in itertools.product(DTYPES.values(), (True, False))
]
#: Every variant and every architecture once, at least.
QUICK = [(ARCHITECTURES[k % len(ARCHITECTURES)], each) for k, each in enumerate(VARIANTS)]
REST = [pair for pair in itertools.product(ARCHITECTURES, VARIANTS) if pair not in QUICK]
#: Static and dynamic shared memory of a block that asks for no more than every device gives.
SHARED_BYTES = 48 * 1024
#: Two blocks of 256 threads beside each other hide each other's waits.
MOST_REGISTERS = 128
#: What rounds once, to nearest, and says so: ptxas may contract a product and a sum only where none is named.
ALLOWED = re.compile(r"(?:add|sub|mul|fma|div|sqrt|rcp)\.(?:rn|rm)(?:\.sat)?\.f32")
#: AutoContrast's table: Pillow's own arithmetic, 768 values a step (see kernels/stages/histogram.py).
ALLOWED_DOUBLE = {"add.rn.f64", "mul.rn.f64", "div.rn.f64"}


@functools.cache
def compiled(architecture: int, variant: StageVariant) -> Compiled:
    """The machine code of one variant, and ptxas' figures."""
    return compile_cuda(variant.source(), f"sm_{architecture}", variant.definitions())


def compile_all(pairs: list[tuple[int, StageVariant]]) -> list[Compiled]:
    """In threads: the compiler lets go of Python's lock."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda pair: compiled(*pair), pairs))


def check(pairs: list[tuple[int, StageVariant]]) -> None:
    """No warnings, spills or stacks; prints a table of registers (pytest -s, or -rP)."""
    print(f"\nsm   variant (dtype planar)  registers: {' '.join(StageVariant.kernels)}")
    wrong = []
    for (arch, each), one in zip(pairs, compile_all(pairs), strict=True):
        where, figures = f"sm_{arch} {each}", one.kernels
        assert figures.keys() == set(StageVariant.kernels), where
        registers = "  ".join(str(figures[name].registers) for name in StageVariant.kernels)
        print(f"{arch:<4} {' '.join(each.definitions())}  {registers}")
        wrong += [f"{where}: {line}" for line in one.warnings()]
        wrong += [
            f"{where}: {name}: {figure}"
            for name, figure in figures.items()
            if figure.spill_bytes or figure.stack_bytes or figure.registers > MOST_REGISTERS
        ]
    assert wrong == []


def test_quick_pairs() -> None:
    assert {arch for arch, _ in QUICK} == set(ARCHITECTURES)
    check(QUICK)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_pairs() -> None:
    check(REST)


@pytest.fixture(scope="module")
def ptx() -> dict[str, str]:
    """PTX of each kernel, without comments, and of what stands outside all under ""."""
    variant = StageVariant(1, False)
    code = re.sub(
        r"//.*", "", compile_cuda(variant.source(), "compute_90", variant.definitions()).code.decode()
    )
    before, *bodies = re.split(r"\.entry (\w+)", code)
    return {"": before, **dict(zip(bodies[::2], bodies[1::2], strict=True))}


def test_arithmetic_is_single_precision_and_never_contracted(ptx: dict[str, str]) -> None:
    assert ptx.keys() == {"", *StageVariant.kernels}
    for kernel, code in ptx.items():
        operations = set(re.findall(r"\b(?:add|sub|mul|mad|fma|div|sqrt|rcp|ex2|lg2|sin|cos)\.\S*f32", code))
        assert {op for op in operations if not ALLOWED.fullmatch(op)} == set(), kernel
        assert "call" not in code, kernel
        doubles = set(re.findall(r"\b(?:add|sub|mul|mad|fma|div|sqrt|rcp|min|max|abs|neg)\.\S*f64", code))
        assert doubles == (ALLOWED_DOUBLE if kernel == "program" else set()), kernel
        assert (".f64" in code) == (kernel == "program"), kernel


def test_double_precision_is_autocontrasts_alone() -> None:
    source = re.sub(r"//.*", "", launches.source())
    start, end = source.index("FUNCTION void autocontrast"), source.index("FUNCTION void equalize")
    assert "double" in source[start:end]
    # Neither a type nor a literal of float64 elsewhere.
    elsewhere = source[:start] + source[end:]
    assert not re.search(r"\bdouble\b", elsewhere)
    assert re.findall(r"(?<![\w.])\d+\.\d*(?:[eE][-+]?\d+)?(?![\w.])", elsewhere) == []


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_compiles_by_itself(stage: str) -> None:
    source = launches.source((stage,))
    assert {name for name in STAGES if f"#define HAS_{name.upper()}\n" in source} == {stage}
    code = compile_cuda(source, "compute_75", StageVariant(0, True).definitions()).code.decode()
    kernels = set(re.findall(r"\.entry (\w+)", code))
    assert kernels == {name for name in StageVariant.kernels if name.startswith(stage)}


def test_source_needs_no_header_and_no_library() -> None:
    source = re.sub(r"//.*", "", launches.source())
    assert "#include" not in source
    assert "printf" not in source
    assert not re.search(r"\b(?:__)?(?:exp|log|pow|sin|cos|sincospi|tan|exp2|log2|sqrt)f?\(", source)


def test_every_file_is_compiled() -> None:
    folder = launches.Path(launches.__file__).parent
    joined = launches.source()
    for file in sorted(folder.glob("*.cu")):
        assert joined.count(file.read_text(encoding="utf-8")) == 1, file.name


def test_shared_memory_suffices_on_every_device() -> None:
    dynamic = dict.fromkeys(StageVariant.kernels, 0)
    sides = (1, 7, 224, 1024, MAX_SIDE, 8192)
    found = [
        launches.masks_launch(
            mask_tables(height, width, decay), 1, 0, masks=0, samples=0, floats=0, scratch=0
        )
        for height, width in itertools.product(sides, (1, 224, 8192))
        for decay in (1.0, 3.0)
    ]
    for height, width in itertools.product(sides[:-1], sides[:-1]):
        tables = spectrum_tables(Pasta(3.0, 0.25, 2.0, 1.0, 0x30F), height, width)
        found += launches.spectrum_launches(tables, 1, 0, active=0, samples=0, working=0, floats=0, scratch=0)
    for launch in found:
        dynamic[launch.kernel] = max(dynamic[launch.kernel], 4 * launch.shared_floats)
    for name, figure in compiled(75, StageVariant(0, True)).kernels.items():
        assert figure.shared_bytes + dynamic[name] <= SHARED_BYTES, name
