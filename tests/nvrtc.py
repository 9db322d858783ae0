"""NVRTC through ctypes: compiles the CUDA source on machines without a GPU, a driver or CuPy."""

import ctypes
import functools
import re
import struct
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from fieldloom.kernels import cuda


@functools.cache
def nvrtc() -> ctypes.CDLL | None:
    """The compiler's library, from the wheel `nvidia-cuda-nvrtc` or wherever it is; None without one."""
    site = Path(sysconfig.get_path("purelib"))
    found = sorted([*site.glob("nvidia/*/lib/libnvrtc.so.*"), *site.glob("cupy*/**/libnvrtc.so.*")])
    for name in [*map(str, found), "libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12"]:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


@dataclass(frozen=True, slots=True)
class Kernel:
    """What ptxas says of one kernel."""

    registers: int
    shared_bytes: int
    stack_bytes: int
    spill_bytes: int


@dataclass(frozen=True, slots=True)
class Compiled:
    """One compilation: the cubin (or the PTX), the compiler's log, and ptxas' figures by kernel."""

    code: bytes
    log: str
    kernels: dict[str, Kernel]

    def warnings(self) -> list[str]:
        """Lines of the log that are not ptxas' own figures."""
        figures = re.compile(r"^(ptxas info\s*:|ptxas\s+\.\s+\d+ bytes stack frame|\s*$)")
        return [line for line in self.log.splitlines() if not figures.match(line)]


def compile_cuda(source: str, target: str, definitions: tuple[str, ...]) -> Compiled:
    """Compile for a target: "sm_90" gives a cubin, "compute_90" PTX."""
    library = nvrtc()
    assert library is not None
    program = ctypes.c_void_p()
    options = [f"--gpu-architecture={target}", *cuda.OPTIONS, *definitions]
    options += ["--ptxas-options=-v"] if target.startswith("sm_") else []
    array = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
    code = library.nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), b"fieldloom.cu", 0, None, None
    ) or library.nvrtcCompileProgram(program, len(options), array)
    try:
        log = _text(library, "ProgramLog", program).decode()
        if code != 0:
            raise RuntimeError(f"NVRTC error {code} for {target} {' '.join(definitions)}:\n{log}")
        binary = _text(library, "CUBIN" if target.startswith("sm_") else "PTX", program)
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))
    return Compiled(binary, log, _figures(log))


def _text(library: ctypes.CDLL, what: str, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    assert getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)) == 0
    buffer = ctypes.create_string_buffer(size.value)
    assert getattr(library, f"nvrtcGet{what}")(program, buffer) == 0
    return buffer.raw if what == "CUBIN" else buffer.value


def _figures(log: str) -> dict[str, Kernel]:
    found = {}
    for part in log.split("Compiling entry function '")[1:]:

        def number(pattern: str, part: str = part) -> int:
            return sum(int(n) for n in re.findall(pattern, part))

        registers = number(r"Used (\d+) registers")
        assert registers > 0, log
        found[part.split("'")[0]] = Kernel(
            registers,
            number(r"(\d+) bytes smem"),
            number(r"(\d+) bytes stack frame"),
            number(r"(\d+) bytes spill"),
        )
    return found


#: Lowest 12 bits of the NOPs that fill up a kernel.
_NOP = 0x918


def instructions(cubin: bytes, kernel: str) -> int:
    """Machine instructions of a kernel, without the NOPs behind it (16 bytes each since sm_70)."""
    (start,), (count, names) = struct.unpack_from("<Q", cubin, 40), struct.unpack_from("<HH", cubin, 60)
    # An ELF file's section headers: name, type, flags, address, offset, size, ...
    sections = [struct.unpack_from("<IIQQQQ", cubin, start + 64 * k) for k in range(count)]
    for section in sections:
        name = sections[names][4] + section[0]
        if cubin[name : cubin.index(b"\0", name)].decode() == f".text.{kernel}":
            words = struct.unpack_from(f"<{section[5] // 8}Q", cubin, section[4])[::2]
            return sum((word & 0xFFF) != _NOP for word in words)
    raise KeyError(kernel)
